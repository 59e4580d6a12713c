"""Recovery on in-memory streams: what a new stream receives after a fault in each phase."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sonic_voice import live_watch
from sonic_voice.config import Deadlines, SessionConfig, ToolSpec
from sonic_voice.errors import (
    ConnectionLost,
    DeadlineError,
    ServiceError,
    SonicError,
    service_error,
)
from sonic_voice.events import (
    Audio,
    Closed,
    Ended,
    Opened,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.handover import CONTINUE_TEXT
from sonic_voice.policies import NO_RENEWAL, RecoveryPolicy
from sonic_voice.session import Session

from ..support.memory_service import (
    ManualClock,
    MemoryService,
    RefusingTransport,
    next_event,
    rest_of,
)

CUT = ConnectionLost("The connection was cut.", reason="cut")
THROTTLED = service_error("ThrottlingException", "Too many requests.", status=429)
TOOL = ToolSpec("go", "Goes.", {"type": "object", "properties": {}})
V1 = "amazon.nova-sonic-v1:0"
QUICK = RecoveryPolicy(first_wait_s=0.01, longest_wait_s=0.02, jitter=0, patience_s=3)
SECOND = 32_000
"""Bytes of a second of the user's audio."""


def config(**settings: Any) -> SessionConfig:
    settings = {"recovery": QUICK, "renewal": NO_RENEWAL, "tools": (TOOL,), **settings}
    return SessionConfig(**settings)


def voice(seconds: float, *, mark: int = 8000) -> bytes:
    """Loud audio; each `mark` is another voice."""
    return mark.to_bytes(2, "little", signed=True) * int(16_000 * seconds)


def silence(seconds: float) -> bytes:
    return bytes(int(SECOND * seconds))


@pytest.fixture
async def transport() -> AsyncIterator[RefusingTransport]:
    transport = RefusingTransport()
    yield transport
    assert all(stream.closed for stream in transport.streams)


@asynccontextmanager
async def talking(
    transport: RefusingTransport, clock: Callable[[], float] = time.monotonic, **settings: Any
) -> AsyncGenerator[tuple[Session, MemoryService]]:
    """A session that ends well, and the far end of its first stream."""
    async with Session.open(config(**settings), transport, clock=clock) as session:
        service = await MemoryService.of(transport)
        yield session, service
        session.finish()
        last = transport.streams[-1]
        if not session._open_manager.over.done():  # pyright: ignore[reportPrivateUsage]
            last.finish()
            async for _ in session:
                pass


# -- what the next stream receives, by the phase of the fault --------------------------------------


async def test_after_a_fault_in_a_pause_the_next_stream_gets_the_history_and_nothing_else(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        await session.send_audio(silence(1) + voice(1) + silence(1))
        first.speech_begins(1000)
        first.speech_ends(2000)
        first.hears("hello")
        first.answers("Hi.")
        await next_event(session, TurnEnded)
        first.breaks(CUT)
        assert await next_event(session, Reconnecting) == Reconnecting(CUT.message, 1, 0.0, "cut")
        second = await MemoryService.of(transport)
        renewed = await next_event(session, Renewed)
        assert (renewed.reason, renewed.replayed_ms) == (CUT.message, 0)
        await session.send_audio(voice(0.5, mark=9000))
        assert await second.hears_audio(16_000) == voice(0.5, mark=9000)
        assert second.history == ["USER: hello", "ASSISTANT: Hi."]
        assert second.texts == []
        second.hears("and now")
        assert await next_event(session, UserText) == UserText(2, "and now")


async def test_after_a_fault_in_the_users_speech_it_is_heard_from_its_beginning(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        await session.send_audio(silence(1) + voice(0.5))
        first.speech_begins(1000)
        await next_event(session, UserSpeechStarted)
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        await session.send_audio(voice(0.25, mark=9000))
        second = await MemoryService.of(transport)
        replayed = silence(0.3) + voice(0.5) + voice(0.25, mark=9000)
        assert await second.hears_audio(len(replayed)) == replayed
        second.speech_begins(300)
        assert await next_event(session, UserSpeechStarted) == UserSpeechStarted(1000)


async def test_after_a_fault_before_the_answer_the_words_are_sent_as_text(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        first.hears("what time is it")
        await next_event(session, UserText)
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await second.receives("text: what time is it")
        assert second.history == []
        second.hears("What time is it?")  # its echo
        second.answers("Noon.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)
        assert [line.text for line in session.transcript.lines] == ["what time is it", "Noon."]


async def test_after_a_fault_in_the_answer_the_next_stream_continues_it(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        first.hears("count")
        first.answers("One two three four five six.", payloads=10, ends=False)
        for _ in range(10):
            await next_event(session, Audio)
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await second.receives(f"text: {CONTINUE_TEXT}")
        assert second.history[0] == "USER: count"
        assert second.history[1].startswith("ASSISTANT: One")
        assert not second.history[1].endswith("six.")
        second.answers("Seven.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)


async def test_the_result_of_a_call_that_a_fault_cut_off_is_sent_once_as_text(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        first.hears("go")
        first.calls("t1", "go")
        await next_event(session, ToolCall)
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await next_event(session, Renewed)
        await second.receives("audio")
        assert second.texts == []  # the call is not made again
        assert session.owes_answer
        session.send_tool_result("t1", '{"at": 3}')
        assert (await next_event(session, ToolAnswered)).turn == 1
        await second.receives("audio")
        [text] = second.texts
        assert '{"at": 3}' in text
        with pytest.raises(SonicError, match="t1"):
            session.send_tool_result("t1", '{"at": 3}')
        second.answers("Done.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)


async def test_a_second_fault_while_a_tool_runs_does_not_ask_the_question_again(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        first.hears("go")
        first.calls("t1", "go")
        await next_event(session, ToolCall)
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await next_event(session, Renewed)
        second.breaks(CUT)
        third = await MemoryService.of(transport)
        await next_event(session, Renewed)
        await third.receives("audio")
        assert third.texts == []
        session.send_tool_result("t1", "{}")
        await third.receives("audio")
        assert len(third.texts) == 1


async def test_a_result_that_comes_while_there_is_no_stream_is_sent_to_the_next(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        first.hears("go")
        first.calls("t1", "go")
        await next_event(session, ToolCall)
        transport.gate.clear()
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        session.send_tool_result("t1", '{"at": 3}')
        await next_event(session, ToolAnswered)
        transport.gate.set()
        second = await MemoryService.of(transport)
        await next_event(session, Renewed)
        await second.receives("audio")
        assert len(second.texts) == 1


async def test_a_fault_at_goodbye_is_recovered_from_while_an_answer_is_owed(
    transport: RefusingTransport,
) -> None:
    async with Session.open(config(), transport) as session:
        first = await MemoryService.of(transport)
        first.hears("bye")
        await next_event(session, UserText)
        session.finish()
        await first.receives("end of input")
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await second.receives("text: bye")
        second.answers("Bye.")
        await next_event(session, TurnEnded)
        await second.receives("end of input")
        second.says_goodbye()
        assert (await rest_of(session))[-1] == Closed()


async def test_a_goodbye_waits_for_the_words_that_are_heard_again(
    transport: RefusingTransport,
) -> None:
    async with Session.open(config(), transport) as session:
        first = await MemoryService.of(transport)
        await session.send_audio(silence(1) + voice(0.5) + silence(0.5))
        first.speech_begins(1000)
        await next_event(session, UserSpeechStarted)
        session.finish()
        await first.receives("end of input")
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await next_event(session, Renewed)
        await second.hears_audio(len(silence(0.3) + voice(0.5) + silence(0.75)))
        assert "audio end" not in second.look()
        assert session.owes_answer
        second.speech_begins(300)
        second.speech_ends(800)
        second.hears("goodbye")
        second.answers("Bye.")
        await next_event(session, TurnEnded)
        await second.receives("end of input")
        second.says_goodbye()
        assert (await rest_of(session))[-1] == Closed()


async def test_a_goodbye_waits_for_the_result_of_a_call_that_a_fault_cut_off(
    transport: RefusingTransport,
) -> None:
    async with Session.open(config(), transport) as session:
        first = await MemoryService.of(transport)
        first.hears("go")
        first.calls("t1", "go")
        await next_event(session, ToolCall)
        session.finish()
        await first.receives("end of input")
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await next_event(session, Renewed)
        await second.receives("audio")
        session.send_tool_result("t1", '{"at": 3}')
        await second.receives("audio")
        assert len(second.texts) == 1
        second.answers("Done.")
        await next_event(session, TurnEnded)
        await second.receives("end of input")
        second.says_goodbye()
        assert (await rest_of(session))[-1] == Closed()


async def test_a_model_without_text_hears_the_words_again_and_only_those(
    transport: RefusingTransport,
) -> None:
    clock = ManualClock()
    async with talking(transport, clock, model=V1) as (session, first):
        await session.send_audio(silence(1) + voice(1, mark=7000) + silence(1))
        await first.hears_audio(3 * SECOND)
        first.hears("hello")
        first.answers("Hi.")
        await next_event(session, TurnEnded)
        clock.now = 10.0
        await session.send_audio(voice(1, mark=8000) + silence(1))
        await first.hears_audio(5 * SECOND)
        first.hears("bye")
        await next_event(session, UserText)
        again = first
        for _ in range(2):  # a second fault does not move the beginning
            again.breaks(CUT)
            again = await MemoryService.of(transport)
            renewed = await next_event(session, Renewed)
            replayed = await again.hears_audio(2 * SECOND)
            assert voice(0.02, mark=7000) not in replayed
            assert voice(1, mark=8000) in replayed
            assert renewed.replayed_ms < 2700
            assert again.history == ["USER: hello", "ASSISTANT: Hi."]
        again.hears("bye")
        again.answers("Bye.")
        assert await next_event(session, TurnEnded) == TurnEnded(2)
        assert [line.text for line in session.transcript.lines] == ["hello", "Hi.", "bye", "Bye."]


# -- the user's audio and texts meanwhile ----------------------------------------------------------


async def test_what_is_said_while_reconnecting_is_sent_once_and_in_order(
    transport: RefusingTransport,
) -> None:
    transport.errors = [None, CUT, None, CUT]
    async with talking(transport) as (session, _):
        await session.send_audio(silence(1))
        said = bytearray()
        for outage in range(2):
            transport.gate.clear()
            transport.streams[-1].finish(CUT)
            await next_event(session, Reconnecting)
            for word in range(20):
                said += (chunk := voice(0.1, mark=2000 + 100 * outage + word))
                await session.send_audio(chunk)
            transport.gate.set()
            service = await MemoryService.of(transport)
            await next_event(session, Renewed)
            kept = silence(0.3) + said  # nothing of it was transcribed, in no outage
            assert (await service.hears_audio(len(kept)))[: len(kept)] == kept


async def test_a_sender_waits_when_no_more_can_be_kept_and_goes_on_with_the_next_stream(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        transport.gate.clear()
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        sender = asyncio.create_task(session.send_audio(silence(60)))
        ring = session._open_manager.input.ring  # pyright: ignore[reportPrivateUsage]
        while ring.end < 29 * SECOND:  # noqa: ASYNC110 (a ring has no event)
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert not sender.done()
        assert ring.end <= 30 * SECOND
        transport.gate.set()
        await asyncio.wait_for(sender, 5)


async def test_a_sender_that_waits_for_a_stuck_network_goes_on_at_the_fault(
    transport: RefusingTransport,
) -> None:
    """Speech in an outage is kept, however long the conversation has lasted before."""
    async with talking(transport) as (session, first):
        await session.send_audio(silence(40))
        await first.hears_audio(40 * SECOND)
        first.stream.writable.clear()
        sender = asyncio.create_task(session.send_audio(voice(20)))
        ring = session._open_manager.input.ring  # pyright: ignore[reportPrivateUsage]
        while ring.end < 55 * SECOND:  # noqa: ASYNC110 (a ring has no event)
            await asyncio.sleep(0)
        transport.gate.clear()
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        await asyncio.wait_for(sender, 1)
        transport.gate.set()
        second = await MemoryService.of(transport)
        assert voice(20) in await second.hears_audio(len(silence(0.3) + voice(20)))


async def test_texts_typed_meanwhile_are_sent_in_order(transport: RefusingTransport) -> None:
    async with talking(transport) as (session, first):
        transport.gate.clear()
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        session.send_text("one")
        session.send_text("two")
        transport.gate.set()
        second = await MemoryService.of(transport)
        assert await next_event(session, UserText) == UserText(1, "one", typed=True)
        assert await next_event(session, UserText) == UserText(2, "two", typed=True)
        await second.receives("text: two")
        assert second.texts == ["one", "two"]


async def test_texts_come_after_the_start_of_the_audio(transport: RefusingTransport) -> None:
    """The service refuses a text before its audio is open, and a history after it."""
    async with talking(transport) as (session, first):
        first.hears("hello")
        first.answers("Hi.")
        first.hears("what time is it")
        await next_event(session, UserText)
        await next_event(session, UserText)
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        steps = await second.receives("text: what time is it")
        assert steps[:6] == [
            *("session", "prompt tiffany", "system", "history USER: hello"),
            *("history ASSISTANT: Hi.", "audio start"),
        ]
        second.answers("Noon.")
        await next_event(session, TurnEnded)


async def test_an_update_while_reconnecting_reaches_the_next_stream(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = asyncio.Event()

    async with talking(transport) as (session, first):

        async def accepted(self: object) -> None:
            await accept.wait()

        monkeypatch.setattr(type(first.stream), "accepted", accepted)
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await second.receives("prompt tiffany")
        session.update(voice="matthew")
        accept.set()
        await next_event(session, Renewed)
        third = await MemoryService.of(transport)
        await third.receives("prompt matthew")
        assert (await next_event(session, Renewed)).reason == "update"


# -- attempts, waits and limits --------------------------------------------------------------------


async def test_the_waits_between_attempts_grow_and_the_opening_is_reported(
    transport: RefusingTransport,
) -> None:
    transport.errors = [THROTTLED] * 4
    policy = RecoveryPolicy(first_wait_s=0.01, longest_wait_s=0.03, jitter=0)
    async with Session.open(config(recovery=policy), transport) as session:
        waits = [(await next_event(session, Reconnecting)).retry_in_s for _ in range(4)]
        assert waits == [0.01, 0.02, 0.03, 0.03]
        assert isinstance(await anext(session), Opened)
        session.finish()
        transport.streams[0].finish()
        assert await rest_of(session) == [Closed()]


async def test_the_attempts_of_an_outage_are_limited(transport: RefusingTransport) -> None:
    transport.errors = [None, *[THROTTLED] * 9]
    policy = RecoveryPolicy(attempts=3, first_wait_s=0.01, longest_wait_s=0.01)
    with pytest.raises(ServiceError, match="Too many"):
        async with Session.open(config(recovery=policy), transport) as session:
            (await MemoryService.of(transport)).breaks(CUT)
            await rest_of(session)
    assert transport.attempts == 4


async def test_the_patience_with_an_outage_is_limited(transport: RefusingTransport) -> None:
    transport.errors = [None, *[THROTTLED] * 50]
    policy = RecoveryPolicy(attempts=50, first_wait_s=0.02, longest_wait_s=0.02, patience_s=0.1)
    with pytest.raises(ServiceError):
        async with Session.open(config(recovery=policy), transport) as session:
            (await MemoryService.of(transport)).breaks(CUT)
            await rest_of(session)
    assert transport.attempts <= 8


async def test_streams_that_break_again_and_again_end_the_conversation(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_watch, "WORKING_S", 0.0)
    policy = RecoveryPolicy(outages=3, first_wait_s=0.01)
    with pytest.raises(ConnectionLost):
        async with Session.open(config(recovery=policy), transport) as session:
            for _ in range(4):
                (await MemoryService.of(transport)).breaks(CUT)
            await rest_of(session)
    assert transport.attempts == 4


FINAL = [
    service_error("ValidationException", "Invalid input request.", status=400),
    service_error("ValidationException", "The content was blocked by our content filters."),
    service_error("AccessDeniedException", "Not authorised.", status=403),
    service_error("ResourceNotFoundException", "This model version has reached its end of life."),
    service_error("ThrottlingException", "Your quota is 0.", status=429),
]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: error.text)
async def test_a_final_fault_ends_the_conversation_at_once_with_its_error(
    transport: RefusingTransport, error: ServiceError
) -> None:
    with pytest.raises(ServiceError) as caught:
        async with Session.open(config(), transport) as session:
            (await MemoryService.of(transport)).breaks(error)
            assert await anext(session) == Ended(error)
            await anext(session)
    assert caught.value is error
    assert transport.attempts == 1


async def test_expired_credentials_are_looked_up_once_more(transport: RefusingTransport) -> None:
    expired = service_error("ExpiredTokenException", "The security token is expired", status=403)
    transport.errors = [None, expired, expired]
    with pytest.raises(ServiceError, match="expired"):
        async with Session.open(config(), transport) as session:
            (await MemoryService.of(transport)).breaks(CUT)
            await rest_of(session)
    assert transport.attempts == 3


async def test_a_service_that_is_not_reached_at_the_first_opening_is_reported_at_once(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport.gate.clear()
    deadlines = Deadlines(open_s=0.05)
    with pytest.raises(DeadlineError):
        async with Session.open(config(deadlines=deadlines), transport):
            pytest.fail("entered")
    assert transport.attempts == 1


# -- streams that do not work ----------------------------------------------------------------------


async def test_a_stream_that_reacts_to_nothing_is_replaced(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_watch, "VERIFY_S", 0.05)
    async with talking(transport) as (session, first):
        first.hears("what time is it")
        await next_event(session, UserText)
        first.breaks(CUT)
        second = await MemoryService.of(transport)
        await second.receives("text: what time is it")
        second.counts_tokens(20)  # it counts what it takes, and does nothing else
        third = await MemoryService.of(transport)
        await third.receives("text: what time is it")
        third.answers("Noon.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)


async def test_streams_that_react_to_nothing_are_one_outage(
    transport: RefusingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_watch, "VERIFY_S", 0.02)
    monkeypatch.setattr(live_watch, "WORKING_S", 0.01)
    policy = RecoveryPolicy(attempts=3, first_wait_s=0.01)
    with pytest.raises(ConnectionLost, match="does not react"):
        async with Session.open(config(recovery=policy), transport) as session:
            first = await MemoryService.of(transport)
            first.hears("what time is it")
            await next_event(session, UserText)
            first.breaks(CUT)
            await rest_of(session)
    assert transport.attempts == 4


async def test_what_a_broken_stream_sends_late_changes_nothing(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        first.hears("hello")
        await next_event(session, UserText)
        first.breaks(CUT)
        first.answers("Late.")
        second = await MemoryService.of(transport)
        await second.receives("text: hello")
        second.answers("Hi.")
        await next_event(session, TurnEnded)
        assert [line.text for line in session.transcript.lines] == ["hello", "Hi."]


# -- cancellation ----------------------------------------------------------------------------------


async def a_recovered_session(transport: RefusingTransport) -> None:
    """Touches the awaits of a recovery: fault, refused attempt, opening, replay, goodbye."""
    policy = RecoveryPolicy(first_wait_s=1e-6, longest_wait_s=1e-6, jitter=0)
    deadlines = Deadlines(open_s=1, send_s=1, close_s=0.05)
    chosen = config(recovery=policy, deadlines=deadlines)
    async with Session.open(chosen, transport) as session:
        await session.send_audio(voice(0.1))
        first = await MemoryService.of(transport)
        first.hears("hello")
        await next_event(session, UserText)
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        await session.send_audio(voice(0.1))
        second = await MemoryService.of(transport)
        await second.receives("text: hello")
        second.answers("Hi.")
        await next_event(session, TurnEnded)
        session.finish()
        await second.receives("end of input")
        second.says_goodbye()
        await rest_of(session)


async def test_cancelled_at_any_await_of_a_recovery_a_session_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    steps = 0
    while True:
        transport = RefusingTransport([None, THROTTLED, None])
        task = asyncio.create_task(a_recovered_session(transport))
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
    assert task.cancelled() or task.exception() is None
    assert len(transport.streams) == 2


async def test_speech_before_a_fault_is_kept_however_long_the_outage_is_silent(
    transport: RefusingTransport,
) -> None:
    async with talking(transport) as (session, first):
        await session.send_audio(silence(20) + voice(4))
        await first.hears_audio(24 * SECOND)
        transport.gate.clear()
        first.breaks(CUT)
        await next_event(session, Reconnecting)
        sender = asyncio.create_task(session.send_audio(silence(60)))
        await asyncio.sleep(0.01)
        transport.gate.set()
        second = await MemoryService.of(transport)
        assert voice(4) in await second.hears_audio(10 * SECOND)
        await asyncio.wait_for(sender, 5)
