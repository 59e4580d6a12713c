"""Planned renewals on in-memory streams: when a session moves, what moves, what stays behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sonic_voice import stream_manager
from sonic_voice.config import Deadlines, SessionConfig, ToolSpec
from sonic_voice.errors import ConnectionLost
from sonic_voice.events import (
    AssistantText,
    Audio,
    Closed,
    Interrupted,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    Usage,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.policies import NO_RECOVERY, NO_RENEWAL, RecoveryPolicy
from sonic_voice.session import Session

from ..support.memory_service import (
    ManualClock,
    MemoryService,
    RefusingTransport,
    next_event,
    rest_of,
)

CUT = ConnectionLost("The connection was cut.", reason="cut")
TOOL = ToolSpec("go", "Goes.", {"type": "object", "properties": {}})
V1 = "amazon.nova-sonic-v1:0"
SECOND = 32_000
"""Bytes of a second of the user's audio."""

PREPARE_S, LATEST_S = 360.0, 450.0
"""Ages of a stream at which the next one is prepared, and at which the switch is forced."""


def voice(seconds: float, *, mark: int = 8000) -> bytes:
    """Loud audio; each `mark` is another voice."""
    return mark.to_bytes(2, "little", signed=True) * int(16_000 * seconds)


def silence(seconds: float) -> bytes:
    return bytes(int(SECOND * seconds))


class Talk:
    """A session on a clock that the test moves, and the far ends of its streams."""

    def __init__(self, transport: RefusingTransport, **settings: Any) -> None:
        settings = {"tools": (TOOL,), **settings}
        self.clock = ManualClock()
        self.transport = transport
        self.session = Session.open(SessionConfig(**settings), transport, clock=self.clock)

    async def __aenter__(self) -> tuple["Talk", Session, MemoryService]:
        await self.session.__aenter__()
        return self, self.session, await self.service()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self.session.finish()
            last = next(stream for stream in reversed(self.transport.streams) if not stream.closed)
            last.finish()
            async for _ in self.session:
                pass
        await self.session.__aexit__(kind, error, trace)

    async def service(self) -> MemoryService:
        """The far end of the next stream."""
        return await MemoryService.of(self.transport)

    async def age(self, seconds: float) -> None:
        """Move the clock, and let the session notice it by audio."""
        self.clock.now = seconds
        await self.session.send_audio(silence(0.5))


@pytest.fixture
async def transport() -> AsyncIterator[RefusingTransport]:
    transport = RefusingTransport()
    yield transport
    assert all(stream.closed for stream in transport.streams)


async def until(holds: Callable[[], object]) -> None:
    """Let the loop run until a condition holds that has no event."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def greeted(session: Session, service: MemoryService) -> None:
    """One turn, to its end."""
    service.hears("hello")
    service.answers("Hi.")
    await next_event(session, TurnEnded)


# -- when ------------------------------------------------------------------------------------------


async def test_the_next_stream_is_prepared_in_time_and_waits_for_its_history(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        await greeted(session, first)
        first.hears("what time is it")
        await next_event(session, UserText)
        await talk.age(PREPARE_S - 1)
        assert transport.attempts == 1
        await talk.age(PREPARE_S)
        second = await talk.service()
        assert await second.receives("system") == ["session", "prompt tiffany", "system"]
        first.answers("Noon.")
        await next_event(session, TurnEnded)
        assert await next_event(session, Renewed) == Renewed(0, 0, "age")
        await second.receives("audio start")
        assert second.history == [
            *("USER: hello", "ASSISTANT: Hi."),
            *("USER: what time is it", "ASSISTANT: Noon."),
        ]


async def test_the_switch_waits_for_the_end_of_the_users_speech_and_of_the_answer(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        first.speech_begins(0)
        await next_event(session, UserSpeechStarted)
        await talk.age(PREPARE_S)
        second = await talk.service()
        await second.receives("system")
        for phase in (
            lambda: first.speech_ends(300),
            lambda: first.hears("go"),
            lambda: first.calls("t1", "go"),
        ):
            phase()
            await talk.age(talk.clock.now + 1)
            assert second.look() == ["session", "prompt tiffany", "system"]
        await next_event(session, ToolCall)
        session.send_tool_result("t1", "{}")
        id = first.answers("Done.", ends=False)
        await next_event(session, Audio)
        await talk.age(talk.clock.now + 1)
        assert second.look() == ["session", "prompt tiffany", "system"]
        first.goes_on(id)
        await next_event(session, Renewed)


async def test_the_switch_waits_while_the_user_is_loud_and_not_yet_reported(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, _):
        await session.send_audio(silence(2) + voice(0.5))
        talk.clock.now = PREPARE_S
        await session.send_audio(voice(0.1))
        second = await talk.service()
        await second.receives("system")
        talk.clock.now += 1
        await session.send_audio(voice(0.1))
        await asyncio.sleep(0)
        assert second.look() == ["session", "prompt tiffany", "system"]
        await talk.age(PREPARE_S + 2)  # half a second of silence
        await next_event(session, Renewed)


async def test_the_switch_is_forced_at_the_latest_age_and_nothing_is_lost(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        await session.send_audio(silence(1) + voice(0.5))
        first.speech_begins(1000)
        await next_event(session, UserSpeechStarted)
        talk.clock.now = LATEST_S
        await session.send_audio(voice(0.2, mark=9000))
        second = await talk.service()
        renewed = await next_event(session, Renewed)
        assert (renewed.gap_ms, renewed.replayed_ms) == (0, 1000)
        replayed = silence(0.3) + voice(0.5) + voice(0.2, mark=9000)
        assert await second.hears_audio(len(replayed)) == replayed
        first.hears("half of it")  # what the old stream still hears is no turn
        second.speech_begins(300)
        second.speech_ends(1000)
        second.hears("all of it")
        assert await next_event(session, UserText) == UserText(1, "all of it")
        second.answers("Yes.")
        await next_event(session, TurnEnded)
        assert [line.text for line in session.transcript.lines] == ["all of it", "Yes."]


async def test_a_forced_switch_before_the_answer_asks_again_after_the_history(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        await greeted(session, first)
        first.hears("what time is it")
        await next_event(session, UserText)
        await talk.age(LATEST_S)
        second = await talk.service()
        steps = await second.receives("text: what time is it")
        assert steps.index("audio start") < steps.index("text: what time is it")
        assert second.history == ["USER: hello", "ASSISTANT: Hi."]
        first.answers("Too late.")
        second.answers("Noon.")
        assert await next_event(session, TurnEnded) == TurnEnded(2)
        texts = [line.text for line in session.transcript.lines]
        assert texts == ["hello", "Hi.", "what time is it", "Noon."]


async def test_a_text_typed_in_the_moment_of_the_switch_comes_after_the_start_of_the_audio(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        await greeted(session, first)
        await talk.age(PREPARE_S)
        second = await talk.service()
        await next_event(session, Renewed)
        session.send_text("and now")
        steps = await second.receives("text: and now")
        assert steps.index("audio start") < steps.index("text: and now")
        second.answers("Now.")
        await next_event(session, TurnEnded)


async def test_a_prepared_stream_that_is_not_used_is_replaced(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        first.speech_begins(0)
        await next_event(session, UserSpeechStarted)
        await talk.age(PREPARE_S)
        second = await talk.service()
        prepared = session._open_manager._prepared  # pyright: ignore[reportPrivateUsage]
        await until(lambda: prepared.since_s() is not None)
        await talk.age(PREPARE_S + 31)
        third = await talk.service()
        await third.receives("system")
        await until(lambda: second.stream.closed)
        assert "audio start" not in second.look()
        first.speech_ends(400)
        first.hears("hello")
        first.answers("Hi.")
        await next_event(session, Renewed)
        await third.receives("audio start")


async def test_a_prepared_stream_that_breaks_is_replaced(transport: RefusingTransport) -> None:
    async with Talk(transport) as (talk, session, first):
        first.hears("hello")
        await next_event(session, UserText)
        await talk.age(PREPARE_S)
        second = await talk.service()
        await second.receives("system")
        second.breaks(CUT)
        await talk.age(PREPARE_S + 1)
        third = await talk.service()
        await third.receives("system")
        first.answers("Hi.")
        await next_event(session, Renewed)
        await third.receives("audio start")


async def test_credentials_that_expire_make_the_renewal_earlier(
    transport: RefusingTransport,
) -> None:
    transport.expire_at = datetime.now(UTC) + timedelta(seconds=300)
    async with Talk(transport) as (talk, session, _):
        transport.expire_at = None
        await talk.age(20)
        assert transport.attempts == 1
        await talk.age(40)
        await talk.service()
        assert (await next_event(session, Renewed)).reason == "credentials"


async def test_without_a_policy_nothing_is_renewed(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Talk(transport, renewal=NO_RENEWAL) as (talk, _, first):
        await talk.age(479)
        await first.hears_audio(SECOND // 2)
        assert transport.attempts == 1


async def test_a_suspended_process_moves_to_a_new_stream(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_manager, "TICK_S", 0.01)
    slept_s = 0.0
    calendar = time.time
    monkeypatch.setattr(stream_manager.time, "time", lambda: calendar() + slept_s)
    async with Talk(transport) as (talk, session, _):
        await asyncio.sleep(0)
        slept_s = 3600.0
        await talk.service()
        assert (await next_event(session, Renewed)).reason == "suspended"


async def test_a_suspended_process_without_a_policy_of_renewal_keeps_its_stream(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_manager, "TICK_S", 0.01)
    slept_s = 0.0
    calendar = time.time
    monkeypatch.setattr(stream_manager.time, "time", lambda: calendar() + slept_s)
    async with Talk(transport, renewal=NO_RENEWAL) as (_, _, first):
        await asyncio.sleep(0)
        slept_s = 3600.0
        await first.hears_audio(SECOND // 2)  # its own silence, for several ticks
        assert transport.attempts == 1


# -- what stays behind -----------------------------------------------------------------------------


async def test_a_retired_stream_finishes_its_answer_and_its_last_texts_and_says_goodbye(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        first.hears("count")
        id = first.answers("One two three.", payloads=2, ends=False)
        await next_event(session, Audio)
        await talk.age(LATEST_S)
        await talk.service()
        await next_event(session, Renewed)
        assert session.owes_answer
        first.goes_on(id, payloads=3)
        for _ in range(3):
            assert (await next_event(session, Audio)).turn == 1
        assert await next_event(session, TurnEnded) == TurnEnded(1)
        first.confirms("One two three.")
        final = await next_event(session, AssistantText)
        assert (final.turn, final.stage) == (1, "FINAL")
        talk.clock.now += 10
        await first.receives("end of input")
        first.says_goodbye()
        assert not session.owes_answer


async def test_what_a_retired_stream_hears_or_begins_later_changes_nothing(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        await greeted(session, first)
        await talk.age(PREPARE_S)
        second = await talk.service()
        await next_event(session, Renewed)
        first.speech_begins(5000)
        first.speech_ends(6000)
        first.hears("an echo")
        first.answers("Nobody asked.")
        first.calls("t9", "go")
        first.counts_tokens(7)
        await next_event(session, Usage)
        second.hears("now")
        assert await next_event(session, UserText) == UserText(2, "now")
        while (event := session._events.take()) is not None:  # pyright: ignore[reportPrivateUsage]
            assert not isinstance(event, Audio | ToolCall)
        second.answers("Yes.")
        await next_event(session, TurnEnded)
        assert [line.text for line in session.transcript.lines] == ["hello", "Hi.", "now", "Yes."]


async def test_a_barge_in_after_the_switch_interrupts_the_answer_of_the_old_stream(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        first.hears("count")
        id = first.answers("One two three.", payloads=20, ends=False)
        await next_event(session, Audio)
        talk.clock.now = LATEST_S
        first.goes_on(id, payloads=20, ends=False)  # it is still playing
        await session.send_audio(silence(0.5))
        second = await talk.service()
        await next_event(session, Renewed)
        second.speech_begins(0)
        assert await next_event(session, Interrupted) == Interrupted(1, "userSpeechStart")
        first.goes_on(id, payloads=5)
        first.counts_tokens(3)
        while not isinstance(event := await anext(session), Usage):
            assert not isinstance(event, Audio)
        retired = session._open_manager._retired  # pyright: ignore[reportPrivateUsage]
        assert not retired.owes_answer
        second.speech_ends(400)
        second.hears("stop")
        assert await next_event(session, UserText) == UserText(2, "stop")
        second.answers("Fine.")
        await next_event(session, TurnEnded)


async def test_a_goodbye_after_the_switch_lets_the_old_stream_finish_its_answer(
    transport: RefusingTransport,
) -> None:
    async with Session.open(SessionConfig(), transport, clock=(clock := ManualClock())) as session:
        first = await MemoryService.of(transport)
        first.hears("count")
        id = first.answers("One two three.", ends=False)
        await next_event(session, Audio)
        clock.now = LATEST_S
        await session.send_audio(silence(0.5))
        second = await MemoryService.of(transport)
        await next_event(session, Renewed)
        session.finish()
        await second.hears_audio(len(silence(0.25)))
        assert "audio end" not in second.steps
        first.goes_on(id, payloads=4)
        for _ in range(4):
            await next_event(session, Audio)
        assert await next_event(session, TurnEnded) == TurnEnded(1)
        await second.receives("end of input")
        second.says_goodbye()
        assert (await rest_of(session))[-1] == Closed()


async def test_the_result_of_a_call_of_the_old_stream_goes_to_the_new_one_as_text(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport) as (talk, session, first):
        first.hears("go")
        first.calls("t1", "go")
        await next_event(session, ToolCall)
        await talk.age(LATEST_S)
        second = await talk.service()
        await next_event(session, Renewed)
        await second.receives("audio start")
        session.send_tool_result("t1", '{"at": 3}')
        assert (await next_event(session, ToolAnswered)).turn == 1
        await second.receives("audio")
        assert len(second.texts) == 1
        assert "result t1" not in " ".join(first.look())
        second.answers("Done.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)


async def test_a_fault_of_a_retired_stream_is_no_fault_of_the_conversation(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport, recovery=NO_RECOVERY) as (talk, session, first):
        await greeted(session, first)
        await talk.age(PREPARE_S)
        second = await talk.service()
        await next_event(session, Renewed)
        first.breaks(CUT)
        second.hears("still here")
        second.answers("Yes.")
        assert await next_event(session, TurnEnded) == TurnEnded(2)


# -- what goes on ----------------------------------------------------------------------------------


async def test_turns_tokens_and_offsets_go_on(transport: RefusingTransport) -> None:
    async with Talk(transport) as (talk, session, first):
        await session.send_audio(silence(5))
        await greeted(session, first)
        first.counts_tokens(10)
        await next_event(session, Usage)
        await talk.age(PREPARE_S)
        second = await talk.service()
        await next_event(session, Renewed)
        second.counts_tokens(5)
        assert (await next_event(session, Usage)).total.text_in == 15
        assert session.tokens.text_in == 15
        await session.send_audio(voice(1))
        second.speech_begins(0)
        assert await next_event(session, UserSpeechStarted) == UserSpeechStarted(5500)
        second.speech_ends(1000)
        second.hears("bye")
        second.answers("Bye.")
        assert await next_event(session, TurnEnded) == TurnEnded(2)


async def test_an_update_moves_the_conversation_soon(transport: RefusingTransport) -> None:
    async with Talk(transport) as (_, session, first):
        await greeted(session, first)
        session.update(voice="matthew", system="Be brief.")
        second = await MemoryService.of(transport)
        assert (await next_event(session, Renewed)).reason == "update"
        await second.receives("audio start")
        assert second.steps[1] == "prompt matthew"
        assert second.history == ["USER: hello", "ASSISTANT: Hi."]


async def test_an_update_while_a_stream_is_prepared_prepares_another_one(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Talk(transport) as (talk, session, first):
        first.hears("hello")
        await next_event(session, UserText)
        accept = asyncio.Event()

        async def accepted(self: object) -> None:
            await accept.wait()

        monkeypatch.setattr(type(first.stream), "accepted", accepted)
        await talk.age(PREPARE_S)
        second = await talk.service()
        await second.receives("prompt tiffany")
        session.update(voice="matthew")
        accept.set()
        first.answers("Hi.")
        assert (await next_event(session, Renewed)).reason == "update"
        third = await talk.service()
        await third.receives("audio start")
        assert third.steps[1] == "prompt matthew"
        await until(lambda: second.stream.closed)


async def test_an_update_works_without_a_policy_of_renewal(transport: RefusingTransport) -> None:
    async with Talk(transport, renewal=NO_RENEWAL) as (talk, session, _):
        session.update(endpointing="LOW")
        await talk.service()
        assert (await next_event(session, Renewed)).reason == "update"


async def test_a_fault_while_the_next_stream_is_prepared_leaves_no_stream_behind(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = RecoveryPolicy(first_wait_s=0.01)
    async with Talk(transport, recovery=policy) as (talk, session, first):
        first.hears("hello")
        await next_event(session, UserText)
        accept = asyncio.Event()

        async def accepted(self: object) -> None:
            await accept.wait()

        with monkeypatch.context() as patch:
            patch.setattr(type(first.stream), "accepted", accepted)
            await talk.age(PREPARE_S)
            prepared = await talk.service()
            await prepared.receives("system")
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        third = await talk.service()
        await third.receives("text: hello")
        accept.set()
        third.answers("Hi.")
        await next_event(session, TurnEnded)
        await until(lambda: prepared.stream.closed)
        waiting = session._open_manager._prepared  # pyright: ignore[reportPrivateUsage]
        assert waiting.since_s() is None


async def test_an_hour_has_seven_renewals_and_one_transcript(transport: RefusingTransport) -> None:
    async with Talk(transport) as (talk, session, service):
        turns = 0
        for _ in range(8):
            for _ in range(3):
                turns += 1
                service.hears(f"word {turns}")
                service.answers(f"Answer {turns}.")
                assert await next_event(session, TurnEnded) == TurnEnded(turns)
                talk.clock.now += 100
                await session.send_audio(silence(0.1))
            talk.clock.now += 70
            await session.send_audio(silence(0.5))
            old, service = service, await talk.service()
            await next_event(session, Renewed)
            await old.receives("end of input")
            old.says_goodbye()
        texts = [line.text for line in session.transcript.lines]
        assert texts == [t for n in range(1, turns + 1) for t in (f"word {n}", f"Answer {n}.")]


# -- cancellation ----------------------------------------------------------------------------------


async def a_renewed_session(transport: RefusingTransport) -> None:
    """Touches the awaits of a renewal: preparation, switch, drained stream, goodbye."""
    clock = ManualClock()
    config = SessionConfig(deadlines=Deadlines(open_s=1, send_s=1, close_s=0.05))
    async with Session.open(config, transport, clock=clock) as session:
        first = await MemoryService.of(transport)
        first.hears("hello")
        id = first.answers("Hi.", ends=False)
        await next_event(session, Audio)
        clock.now = LATEST_S
        await session.send_audio(silence(0.1))
        second = await MemoryService.of(transport)
        await next_event(session, Renewed)
        first.goes_on(id)
        await next_event(session, TurnEnded)
        session.finish()
        await second.receives("end of input")
        second.says_goodbye()
        await rest_of(session)


async def test_cancelled_at_any_await_of_a_renewal_a_session_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    steps = 0
    while True:
        transport = RefusingTransport()
        task = asyncio.create_task(a_renewed_session(transport))
        for _ in range(steps):
            await asyncio.sleep(0)
        was_done = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == before, f"cancelled after {steps} steps"
        assert all(stream.closed for stream in transport.streams), f"after {steps} steps"
        if was_done:
            break
        steps += 1
    assert len(transport.streams) == 2


async def test_a_fault_just_after_a_switch_is_not_counted_to_an_outage_long_ago(
    transport: RefusingTransport,
) -> None:
    async with Talk(transport, recovery=RecoveryPolicy(patience_s=0.2)) as (talk, session, first):
        first.breaks(CUT)
        await next_event(session, Renewed)
        await talk.service()
        await asyncio.sleep(0.3)  # the patience with that outage is over
        await talk.age(PREPARE_S)
        third = await talk.service()
        await talk.age(PREPARE_S + 1)
        await next_event(session, Renewed)
        third.breaks(CUT)
        await next_event(session, Renewed)
        await talk.service()
