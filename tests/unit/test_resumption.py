"""Scripted brains in the later streams of a renewed conversation."""

from pathlib import Path

import pytest

from sonic_voice.emulator.brains.resumption import (
    NOTHING_MORE,
    begins_with,
    rest_of,
    split_history,
    stage_direction,
)
from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.scenario import parse_scenario
from sonic_voice.emulator.service.brain import BrainSession, ConversationSetup
from sonic_voice.events import ToolCall
from sonic_voice.handover import CONTINUE_TEXT, late_result_text, result_note
from sonic_voice.wire import ToolDefinition

STEPS = """
steps:
  - user: hello
    say: Good morning. What can I do for you?
  - user: go forward ten meters
    call:
      tool: go
      arguments: {meters: 10}
      then: I went {result.meters} meters.
  - user: thank you
    say: You are welcome.
"""
CALL = ToolCall(2, "t1", "go", '{"meters": 10}')


@pytest.fixture
def stream() -> BrainSession:
    brain = ScriptedBrain(parse_scenario(STEPS, Path("steps.yaml")), lambda pcm, a, b: pcm)
    return brain.begin(ConversationSetup(tools=(ToolDefinition("go", "Goes.", "{}"),)))


def test_a_stream_without_history_begins_with_the_first_step(stream: BrainSession) -> None:
    assert stream.hear(None).words == "hello"


def test_a_history_of_the_first_steps_is_followed_by_the_next_one(stream: BrainSession) -> None:
    stream.told("USER", "Hello.")
    stream.told("ASSISTANT", "Good morning. What can I do for you?")
    assert stream.hear(None).words == "go forward ten meters"


def test_steps_that_one_message_joins_are_all_followed(stream: BrainSession) -> None:
    note = result_note(CALL, '{"meters": 10}')
    stream.told("USER", f"hello\ngo forward ten meters\n{note}")
    assert stream.hear(None).words == "thank you"


def test_a_step_without_words_is_passed_only_by_a_later_one() -> None:
    """A client's history has no turn of the user for an empty transcript."""
    text = """
steps:
  - {user: hello, say: Good morning.}
  - {user: "", say: I hear you.}
  - {user: thank you, say: You are welcome.}
"""
    brain = ScriptedBrain(parse_scenario(text, Path("steps.yaml")), lambda pcm, a, b: pcm)
    stream = brain.begin(ConversationSetup())
    stream.told("USER", "hello")
    assert stream.hear(None).say == ("I hear you.",)
    stream = brain.begin(ConversationSetup())
    stream.told("USER", "hello")
    stream.told("USER", "thank you")
    assert stream.hear(None).words == "something else"


def test_a_history_of_other_words_leaves_the_script_at_its_beginning(stream: BrainSession) -> None:
    stream.told("USER", "What is the weather?")
    stream.told("ASSISTANT", "It rains.")
    stream.told("USER", "hello")
    assert stream.hear(None).words == "hello"


def test_an_answer_that_broke_off_is_continued_where_it_was_heard(stream: BrainSession) -> None:
    stream.told("USER", "hello")
    stream.told("ASSISTANT", "Good morning. What can")
    assert stream.hear(CONTINUE_TEXT, typed=True).say == ("I do for you?",)
    assert stream.hear(None).words == "go forward ten meters"


def test_a_late_result_is_answered_like_one_in_time(stream: BrainSession) -> None:
    stream.told("USER", "hello")
    stream.told("USER", "go forward ten meters")
    text = late_result_text(CALL, '{"meters": 7}')
    assert stream.hear(text, typed=True).say == ("I went 7 meters.",)
    assert stream.hear(None).words == "thank you"


def test_the_texts_of_a_session_are_stage_directions() -> None:
    continued, late = stage_direction(CONTINUE_TEXT), stage_direction(late_result_text(CALL, "{}"))
    assert continued is not None
    assert continued.result is None
    assert late is not None
    assert late.result == {}
    assert stage_direction("hello") is None


def test_the_results_in_a_message_are_not_its_words() -> None:
    note = result_note(CALL, '{"meters": 10}')
    assert split_history(f"go forward\n{note}") == ("go forward", [{"meters": 10}])


@pytest.mark.parametrize(
    ("text", "words", "rest"),
    [
        ("Hello there, you.", "hello there", "you."),
        ("hello", "Hello!", ""),
        ("help", "hello", None),
    ],
)
def test_a_beginning_is_found_whatever_its_punctuation(
    text: str, words: str, rest: str | None
) -> None:
    assert begins_with(text, words) == rest


def test_the_rest_of_an_answer_that_was_heard_to_its_end_says_so() -> None:
    assert rest_of("Good morning.", "good morning") == NOTHING_MORE
    assert rest_of("Good morning.", "") == "Good morning."
    assert rest_of("Good morning.", "Something else") == "Good morning."
