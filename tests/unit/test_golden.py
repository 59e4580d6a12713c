"""The recorded sequences of the service, decoded to their documented meaning."""

from pathlib import Path

import pytest

from sonic_voice import wire
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Ignored,
    Interrupted,
    ToolCall,
    TurnEnded,
    Usage,
    UserSpeechEnded,
    UserText,
)
from sonic_voice.transcript import Transcript
from sonic_voice.turns import Turns

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.jsonl"))


def payloads(name: str) -> list[bytes]:
    return (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()


def read(name: str) -> tuple[list[Event], Transcript]:
    transcript = Transcript()
    turns = Turns(transcript)
    events = [
        event
        for payload in payloads(name)
        for event in turns.receive(wire.decode_output(payload), 0.0)
    ]
    return events, transcript


def of[T](kind: type[T], events: list[Event]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def story(transcript: Transcript) -> list[tuple[int, str, str]]:
    return [(line.turn, line.role, line.text) for line in transcript.lines]


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_understood(name: str) -> None:
    events, _ = read(name)
    assert events
    assert not of(Ignored, events)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_decoded_encodes_to_the_same_bytes(name: str) -> None:
    for payload in payloads(name):
        assert wire.encode_output(wire.decode_output(payload)) == payload


def test_single_turn() -> None:
    events, transcript = read("v2-single-turn")
    assert story(transcript) == [
        (1, "USER", "what time do you open on sundays?"),
        (1, "ASSISTANT", "We’re open from nine on Sundays."),
    ]
    assert of(UserSpeechEnded, events) == [UserSpeechEnded(1920, 2400)]
    assert of(TurnEnded, events) == [TurnEnded(1)]
    sound = of(Audio, events)
    assert {event.rate_hz for event in sound} == {16_000}
    assert sum(len(event.pcm) for event in sound) == 16 * 2528 + 32
    assert of(Usage, events)[-1].total == wire.Tokens(210, 356, 15, 27)


def test_tool_turn() -> None:
    events, transcript = read("v2-tool-turn")
    arguments = '{"order_id":"42","detail":"[full history]"}'
    tool_use = "fb0a993c-0000-4000-8000-000000000001"
    assert of(ToolCall, events) == [ToolCall(1, tool_use, "track_order", arguments)]
    assert of(TurnEnded, events) == [TurnEnded(1)]
    assert story(transcript)[1][2].endswith("now. \n\nIt arrives tomorrow.")


def test_barge_in() -> None:
    events, transcript = read("v2-barge-in")
    assert of(Interrupted, events) == [Interrupted(1, "userSpeechStart")]
    assert [event for event in of(AssistantText, events) if event.stage == "FINAL"] == [
        AssistantText(1, 0, "Once upon a time", "FINAL")
    ]
    assert story(transcript) == [
        (1, "USER", "tell me a long story."),
        (1, "ASSISTANT", "Once upon a time"),
        (2, "USER", "stop, something shorter."),
        (2, "ASSISTANT", "Sure."),
    ]
    assert transcript.lines[1].planned == "Once upon a time there was a lighthouse."
    assert transcript.lines[1].interrupted


def test_several_sentences_on_v1() -> None:
    events, transcript = read("v1-multi-sentence-turn")
    assert of(UserText, events) == [
        UserText(1, "hi can you look something up"),
        UserText(1, "about the weather"),
    ]
    assert story(transcript) == [
        (1, "USER", "hi can you look something up about the weather"),
        (1, "ASSISTANT", "Of course.  Which city do you mean?"),
    ]
    finals = [event for event in of(AssistantText, events) if event.stage == "FINAL"]
    assert [(event.turn, event.block) for event in finals] == [(1, 0), (1, 1)]
