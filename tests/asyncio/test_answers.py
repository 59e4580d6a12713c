"""A person at a microphone is told when no answer comes, once, and only then."""

import asyncio

import pytest

from sonic_voice.cli.answers import AnswerTimer
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    Opened,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    Usage,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.wire import Tokens

SAID = UserText(1, "hello")
USAGE = Usage(Tokens(), Tokens())


async def notices(*events: Event, spoken: bool = False) -> list[str]:
    """What is told when `events` come at once, and then nothing for as long as it takes."""
    told: list[str] = []
    watch = AnswerTimer(told.append, after_s=0.01)
    if spoken:
        watch.spoken()
        watch.spoken()
    for event in events:
        watch(event, 0.0)
    loop = asyncio.get_running_loop()
    later = loop.create_future()
    loop.call_later(0.05, later.set_result, None)
    await later
    watch.close()
    return told


@pytest.mark.parametrize(
    "answer",
    [
        AssistantText(1, 0, "Hi.", "SPECULATIVE"),
        Audio(1, bytes(2), 24_000),
        Interrupted(1, "marker"),
        ToolCall(1, "t", "go", "{}"),
    ],
    ids=lambda event: type(event).__name__,
)
async def test_an_answer_in_time_is_no_notice(answer: Event) -> None:
    assert await notices(SAID, answer) == []


async def test_a_turn_without_an_answer_is_told_once() -> None:
    (told,) = await notices(SAID, USAGE)
    assert told.startswith("The service has not answered for 0.01 s.")


async def test_a_tool_result_without_an_answer_is_told() -> None:
    call = ToolCall(1, "t", "go", "{}")
    assert len(await notices(SAID, call, ToolAnswered(1, "t", "go", "{}"))) == 1


async def test_a_service_that_sends_no_event_is_told_to_a_person_who_speaks() -> None:
    (told,) = await notices(spoken=True)
    assert told.startswith("The service has not reacted to your voice for 0.01 s.")


@pytest.mark.parametrize("event", [USAGE, UserSpeechStarted(0)])
async def test_a_service_that_sends_events_may_hear_a_noise_and_say_nothing(event: Event) -> None:
    assert await notices(event, spoken=True) == []


async def test_a_connection_is_no_reaction_of_the_service() -> None:
    (told,) = await notices(Opened(20, 0), spoken=True)
    assert told.startswith("The service has not reacted to your voice for 0.01 s.")


async def test_while_connecting_again_no_answer_is_missed() -> None:
    lost = Reconnecting("The connection was cut.", 1, 0.0, "cut")
    assert await notices(SAID, lost) == []
    assert await notices(SAID, lost, Renewed(400, 0, "The connection was cut.")) == []
