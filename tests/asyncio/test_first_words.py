"""The greeting and the idle prompts of a session, on in-memory streams."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sonic_voice.config import AudioFormat, SessionConfig
from sonic_voice.errors import ConnectionLost
from sonic_voice.events import (
    Audio,
    Closed,
    Interrupted,
    Reconnecting,
    Renewed,
    TurnEnded,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.first_words import recorded_hello
from sonic_voice.handover import CONTINUE_TEXT
from sonic_voice.policies import IdlePrompt, RecoveryPolicy
from sonic_voice.session import Session

from ..support.memory_service import (
    ManualClock,
    MemoryService,
    RefusingTransport,
    next_event,
    rest_of,
)

CUT = ConnectionLost("The connection was cut.", reason="cut")
V1 = "amazon.nova-sonic-v1:0"
GREETING = "Welcome the caller to Example Bank."
STILL_THERE = IdlePrompt(after_s=20, text="Ask whether the user is still there.")
FAREWELL = IdlePrompt(after_s=10, text="Say goodbye.", then="end")
HELLO = recorded_hello(AudioFormat(16_000))


def voice(seconds: float) -> bytes:
    return b"\x00\x20" * int(16_000 * seconds)


def silence(seconds: float) -> bytes:
    return bytes(2 * int(16_000 * seconds))


@pytest.fixture
async def transport() -> AsyncIterator[RefusingTransport]:
    transport = RefusingTransport()
    yield transport
    assert all(stream.closed for stream in transport.streams)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def opened(transport: RefusingTransport, clock: ManualClock, **settings: Any) -> Session:
    recovery = RecoveryPolicy(first_wait_s=0.01)
    return Session.open(SessionConfig(recovery=recovery, **settings), transport, clock=clock)


async def close(session: Session, service: MemoryService) -> None:
    session.finish()
    service.says_goodbye()
    assert (await rest_of(session))[-1] == Closed()


# -- the greeting ----------------------------------------------------------------------------------


async def test_the_assistant_speaks_first_and_the_request_is_no_turn_of_the_user(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        steps = await service.receives(f"text: {GREETING}")
        assert steps == ["session", "prompt tiffany", "system", "audio start", f"text: {GREETING}"]
        assert session.owes_answer
        service.hears("Welcome the caller to Example Bank")  # its echo
        service.answers("Welcome to Example Bank.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)
        assert [(line.role, line.text) for line in session.transcript.lines] == [
            ("ASSISTANT", "Welcome to Example Bank.")
        ]
        await close(session, service)


async def test_a_user_who_speaks_into_the_greeting_is_heard_and_interrupts_it(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        service.hears(GREETING)
        service.answers("Welcome to Example Bank.", ends=False)
        await next_event(session, Audio)
        await session.send_audio(voice(0.5))
        assert voice(0.5) in await service.hears_audio(16_000)
        service.speech_begins(0)
        assert await next_event(session, Interrupted) == Interrupted(1, "userSpeechStart")
        service.speech_ends(400)
        service.hears("I lost my card")
        assert await next_event(session, UserText) == UserText(2, "I lost my card")
        service.answers("Sorry.")
        await next_event(session, TurnEnded)
        await close(session, service)


async def test_a_fault_before_the_greeting_sounds_asks_for_it_again(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        service.hears(GREETING)
        for _ in range(2):
            service.plans("Welcome.")
            service.breaks(CUT)
            service = await MemoryService.of(transport)
            await next_event(session, Renewed)
            await service.receives(f"text: {GREETING}")
        service.answers("Welcome.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)
        assert [line.text for line in session.transcript.lines] == ["Welcome."]
        await close(session, service)


async def test_a_fault_in_the_greeting_continues_it(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        service.answers("Welcome to Example Bank.", payloads=10, ends=False)
        await next_event(session, Audio)
        service.breaks(CUT)
        service = await MemoryService.of(transport)
        await service.receives(f"text: {CONTINUE_TEXT}")
        service.answers("Bank.")
        await next_event(session, TurnEnded)
        await close(session, service)


async def test_a_fault_after_the_user_spoke_instead_asks_for_no_greeting(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        service.hears("I lost my card")
        await next_event(session, UserText)
        service.breaks(CUT)
        service = await MemoryService.of(transport)
        await service.receives("text: I lost my card")
        assert service.texts == ["I lost my card"]
        service.answers("Sorry.")
        await next_event(session, TurnEnded)
        await close(session, service)


async def test_a_greeting_that_was_heard_is_not_repeated(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        service.answers("Welcome.")
        await next_event(session, TurnEnded)
        session.update(voice="matthew")
        service = await MemoryService.of(transport)
        await next_event(session, Renewed)
        service.breaks(CUT)
        service = await MemoryService.of(transport)
        await next_event(session, Renewed)
        await service.receives("audio")
        assert service.texts == []
        await close(session, service)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
async def test_a_model_without_text_hears_a_recording_that_is_no_turn_of_the_user(
    transport: RefusingTransport, clock: ManualClock, rate_hz: int
) -> None:
    format = AudioFormat(rate_hz)
    hello = recorded_hello(format)
    assert format.seconds(len(hello)) == pytest.approx(2.03, abs=0.05)
    async with opened(transport, clock, model=V1, input=format, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        assert (await service.hears_audio(len(hello)))[: len(hello)] == hello
        assert session.owes_answer
        service.hears("hullo")  # nobody else has said anything
        service.answers("Welcome.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)
        assert [line.text for line in session.transcript.lines] == ["Welcome."]
        service.hears("hello")
        assert await next_event(session, UserText) == UserText(2, "hello")
        service.answers("Hi.")
        await next_event(session, TurnEnded)
        await close(session, service)


async def test_words_that_are_transcribed_with_the_recording_are_those_of_the_user(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, model=V1, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        await session.send_audio(voice(0.5))
        assert (await service.hears_audio(len(HELLO) + 16_000)).startswith(HELLO)
        service.hears("Hello. I lost my card")
        assert await next_event(session, UserText) == UserText(1, "I lost my card")
        service.answers("Sorry.")
        await next_event(session, TurnEnded)
        await close(session, service)


async def test_a_model_without_text_is_asked_again_after_a_fault_until_the_greeting_sounds(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, model=V1, greeting=GREETING) as session:
        service = await MemoryService.of(transport)
        service.hears("hello")
        service.plans("Welcome.")
        service.breaks(CUT)
        await next_event(session, Reconnecting)
        service = await MemoryService.of(transport)
        assert (await service.hears_audio(len(HELLO))).startswith(HELLO)
        service.hears("hello")
        service.answers("Welcome.")
        assert await next_event(session, TurnEnded) == TurnEnded(1)
        service.breaks(CUT)
        service = await MemoryService.of(transport)
        await next_event(session, Renewed)
        heard = await service.hears_audio(3200)
        assert not any(heard)
        await close(session, service)


# -- idle prompts ----------------------------------------------------------------------------------


async def pass_time(session: Session, clock: ManualClock, seconds: float) -> None:
    """Let time pass in silence, of which the session hears in steps of half a second."""
    for _ in range(round(2 * seconds)):
        clock.now += 0.5
        await session.send_audio(silence(0.5))
        await asyncio.sleep(0)


async def test_a_silent_user_is_addressed_once_until_the_user_speaks(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, idle_prompts=[STILL_THERE]) as session:
        service = await MemoryService.of(transport)
        await pass_time(session, clock, 19)
        assert service.texts == []
        await pass_time(session, clock, 2)
        await service.receives(f"text: {STILL_THERE.text}")
        service.hears(STILL_THERE.text)
        service.answers("Are you still there?")
        await next_event(session, TurnEnded)
        await pass_time(session, clock, 60)
        assert len(service.texts) == 1
        service.speech_begins(70_000)
        await next_event(session, UserSpeechStarted)
        await pass_time(session, clock, 30)  # somebody speaks
        service.speech_ends(100_000)
        service.hears("yes")
        service.answers("Good.")
        await next_event(session, TurnEnded)
        await pass_time(session, clock, 25)
        await service.receives(f"text: {STILL_THERE.text}")
        assert [line.role for line in session.transcript.lines] == [
            *("ASSISTANT", "USER", "ASSISTANT"),
        ]
        service.answers("Hm?")
        await next_event(session, TurnEnded)
        await close(session, service)


async def test_the_last_prompt_may_end_the_conversation_once_it_was_answered(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, idle_prompts=[STILL_THERE, FAREWELL]) as session:
        service = await MemoryService.of(transport)
        for prompt, words in ((STILL_THERE, "Hello?"), (FAREWELL, "Goodbye.")):
            await pass_time(session, clock, prompt.after_s + 3)
            await service.receives(f"text: {prompt.text}")
            service.hears(prompt.text)
            service.answers(words, payloads=20)  # 2 s
            await next_event(session, TurnEnded)
        await pass_time(session, clock, 1.5)
        assert not session.finished
        clock.now += 1.0
        await session.send_audio(silence(0.5))
        assert session.finished
        await service.receives("end of input")
        service.says_goodbye()
        assert (await rest_of(session))[-1] == Closed()


async def test_a_user_who_answers_the_farewell_goes_on(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    async with opened(transport, clock, idle_prompts=[FAREWELL]) as session:
        service = await MemoryService.of(transport)
        await pass_time(session, clock, 11)
        await service.receives(f"text: {FAREWELL.text}")
        service.answers("Goodbye.", ends=False)
        await next_event(session, Audio)
        service.speech_begins(11_000)
        await next_event(session, Interrupted)
        service.speech_ends(12_000)
        service.hears("wait")
        service.answers("Yes?")
        await next_event(session, TurnEnded)
        await pass_time(session, clock, 5)
        assert not session.finished
        await close(session, service)


async def test_a_model_without_text_may_end_a_silent_conversation(
    transport: RefusingTransport, clock: ManualClock
) -> None:
    end = IdlePrompt(after_s=5, then="end")
    async with opened(transport, clock, model=V1, idle_prompts=[end]) as session:
        service = await MemoryService.of(transport)
        for _ in range(20):  # the user speaks, and nothing reports it
            clock.now += 0.5
            await session.send_audio(silence(0.25) + voice(0.25))
        await pass_time(session, clock, 5)
        assert not session.finished
        await pass_time(session, clock, 1.5)
        clock.now += 0.5
        with pytest.raises(Exception, match="closed"):
            await pass_time(session, clock, 1)
        assert session.finished
        await service.receives("end of input")
        service.says_goodbye()
        assert (await rest_of(session))[-1] == Closed()


async def test_the_silence_of_a_source_that_delivers_nothing_may_end_the_conversation(
    transport: RefusingTransport,
) -> None:
    """The session makes the silence itself then, and says goodbye in the middle of it."""
    end = IdlePrompt(after_s=0.05, then="end")
    config = SessionConfig(idle_prompts=(end,))
    async with Session.open(config, transport) as session:
        service = await MemoryService.of(transport)
        await service.receives("end of input")
        service.says_goodbye()
        assert (await rest_of(session))[-1] == Closed()
