"""Assertions about turns of the test kit: what holds, and what a failure says."""

import re
from collections.abc import Callable

import pytest

from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechEnded,
    UserText,
)
from sonic_voice.testing import Turn
from sonic_voice.testing.exchange import ConversationRecord

SECOND = bytes(48_000)
"""A second of sound at 24 kHz."""


def turns(*events: tuple[float, Event], played_ms: int = 10_000) -> list[Turn]:
    """Return the turns of a conversation with these events, one for each turn of the service."""
    record = ConversationRecord(lambda turn: played_ms)
    found: list[Turn] = []

    def add(part: object) -> None:
        turn = Turn(len(found) + 1, record)
        turn.parts.append(record.turns[len(found) + 1])
        turn.place_among(lambda: found)
        found.append(turn)

    record.on_new_turn(add)
    for now, event in events:
        record(event, now)
        record.note_playback(now)
    return found


FORECAST = (
    (2.0, UserSpeechEnded(1_600, 2_000)),
    (2.0, UserText(1, "What is the weather in Paris?")),
    (2.3, ToolCall(1, "id", "weather", '{"city": "Paris", "days": 2}')),
    (2.4, ToolAnswered(1, "id", "weather", '{"celsius": 18}')),
    (3.0, AssistantText(1, 0, "It is 18 degrees.", "SPECULATIVE")),
    (3.1, Audio(1, SECOND, 24_000)),
    (3.2, TurnEnded(1)),
)
STORY = (
    (6.0, UserText(2, "tell me a story", typed=True)),
    (7.0, AssistantText(2, 0, "Once upon a time there was a king.", "SPECULATIVE")),
    (7.0, Audio(2, SECOND, 24_000)),
    (8.0, Interrupted(2, "marker")),
    (8.0, Heard(2, 950, "Once upon a time", "Once upon a time there was a king.")),
)


def test_what_holds_passes() -> None:
    forecast, story = turns(*FORECAST, *STORY)
    forecast.user_said("weather", "PARIS")
    forecast.user_said(re.compile(r"in P\w+\?"))
    forecast.assistant_said("it is 18 degrees")
    forecast.was_not_interrupted()
    assert forecast.called("weather", city="Paris").result == {"celsius": 18}
    story.assistant_said("once", "a time")
    story.assistant_did_not_say("king")
    story.called_nothing()
    for after_ms in (None, 950, 930, (900, 1000), pytest.approx(1000, abs=60)):
        story.was_interrupted(after_ms=after_ms)


def test_the_response_latency_counts_from_the_end_of_speech_or_from_the_typed_text() -> None:
    forecast, story = turns(*FORECAST, *STORY, played_ms=0)
    with pytest.raises(AssertionError, match="has no response latency"):
        _ = forecast.response_latency_ms
    forecast, story = turns(*FORECAST, *STORY, played_ms=10)
    assert forecast.response_latency_ms == 3_100 - 1_600
    assert story.response_latency_ms == 7_000 - 6_000


FAILURES: list[tuple[Callable[[Turn], object], str]] = [
    (lambda t: t.user_said("London"), "the user did not say 'London'"),
    (lambda t: t.user_said("Paris", "weather"), "the user did not say 'weather'"),
    (lambda t: t.user_said("ris"), "the user did not say 'ris'"),
    (lambda t: t.assistant_said("20 degrees"), "The assistant said: It is 18 degrees."),
    (lambda t: t.assistant_did_not_say("18"), "the assistant said '18'"),
    (lambda t: t.called("weather", city="Rome"), "weather(city='Rome') was not called"),
    (lambda t: t.called("map"), "The model called: weather(city='Paris', days=2)"),
    (lambda t: t.called_nothing(), "a tool was called"),
    (lambda t: t.was_interrupted(), "the answer was not interrupted"),
]
"""Assertions that do not hold for the forecast, and what their failures say."""


@pytest.mark.parametrize(("check", "message"), FAILURES)
def test_a_failure_says_what_was_there(check: Callable[[Turn], object], message: str) -> None:
    forecast, _ = turns(*FORECAST, *STORY)
    with pytest.raises(AssertionError) as failed:
        check(forecast)
    text = str(failed.value)
    assert text.startswith("Turn 1: ")
    assert message in text
    assert ">   user         at 2.00 s    What is the weather in Paris?" in text
    assert (
        "\n    assistant    at 7.00 s    Once upon a time ...  (interrupted after 0.95 s)" in text
    )


def test_words_that_an_interruption_cut_off_were_not_said() -> None:
    _, story = turns(*FORECAST, *STORY)
    with pytest.raises(AssertionError, match="it was interrupted before"):
        story.assistant_said("king")
    with pytest.raises(AssertionError, match="interrupted after 950 ms, not 500"):
        story.was_interrupted(after_ms=500)
    with pytest.raises(AssertionError, match="interrupted after 950 ms"):
        story.was_not_interrupted()


def test_a_failure_shows_only_the_turns_around_the_place() -> None:
    many = turns(*((float(n), UserText(n, f"number {n}")) for n in range(1, 10)))
    with pytest.raises(AssertionError) as failed:
        many[4].user_said("zero")
    shown = re.findall(r"number (\d)", str(failed.value).partition("Transcript:")[2])
    assert shown == ["3", "4", "5", "6", "7"]


def test_control_characters_of_the_service_do_not_reach_a_terminal() -> None:
    (turn,) = turns((1.0, UserText(1, "red \x1b[31malert")))
    assert "\x1b" not in repr(turn)
