"""Nothing of a turn is printed twice, in whatever order its events come and the screen looks."""

import io
import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.cli.story import PrintedTranscript
from sonic_voice.cli.terminal.drawing import turn_lines
from sonic_voice.cli.terminal.scene import TURNS_REMEMBERED, Scene, ShownTurn
from sonic_voice.config import SessionConfig
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from sonic_voice.metrics import Metrics
from sonic_voice.session import Session
from sonic_voice.transport import MemoryTransport

from .test_screen_drawing import terminal

SENTENCES = 3
HALF_SECOND = bytes(24_000)


def events_of(turn: int) -> list[Event]:
    """Everything that may come of a turn. Each of its texts has one word that nothing else has."""
    said: list[Event] = [UserText(turn, f"asks{turn}x"), UserText(turn, f"again{turn}x")]
    calls: list[Event] = [
        ToolCall(turn, f"t{turn}", f"call{turn}x", "{}"),
        ToolAnswered(turn, f"t{turn}", f"name{turn}x", f"result{turn}x"),
    ]
    plans = [f" plan{turn}x{index}x" for index in range(SENTENCES)]
    answer: list[Event] = []
    for index, text in enumerate(plans):
        answer += [
            AssistantText(turn, index, text, "SPECULATIVE"),
            Audio(turn, HALF_SECOND, 24_000),
        ]
    cut = Heard(turn, 500, plans[0].strip(), "".join(plans).strip())
    return [*said, *calls, *answer, TurnEnded(turn), Interrupted(turn, "marker"), cut, cut]


WORDS = re.compile(r"(?:asks|again|result|plan\dx|call)\dx")


@dataclass(frozen=True)
class Look:
    """The screen looks, when so much of each turn was played."""

    played_ms: int


STORIES = st.tuples(
    st.permutations([event for turn in (1, 2, 3) for event in events_of(turn)]),
    st.lists(st.tuples(st.integers(0, 42), st.integers(0, 2000)), max_size=12),
)


def told(events: list[Event], looks: list[tuple[int, int]]) -> list[Event | Look]:
    """The events with the looks among them; what was played only grows."""
    story: list[Event | Look] = list(events)
    played = sorted(ms for _, ms in looks)
    for (at, _), ms in sorted(zip(looks, played, strict=True), reverse=True):
        story.insert(at, Look(ms))
    return story


def printed(story: list[Event | Look]) -> list[ShownTurn]:
    """What the screen prints permanently of a story, to its end."""
    scene, out = Scene(), list[ShownTurn]()
    for step in story:
        if isinstance(step, Look):
            out += scene.take_finished(lambda _, played_ms=step.played_ms: played_ms)
        else:
            scene.observe(step, 0.0)
    return [*out, *scene.take_finished(lambda _: 10_000), *scene.live(lambda _: 10_000)]


def words(turns: list[ShownTurn]) -> list[str]:
    lines = [line.plain for turn in turns for line in turn_lines(terminal(), turn)]
    return WORDS.findall("\n".join(lines))


@given(STORIES)
def test_no_order_of_events_prints_a_part_of_a_turn_twice_on_the_screen(
    story: tuple[list[Event], list[tuple[int, int]]],
) -> None:
    seen = words(printed(told(*story)))
    assert len(seen) == len(set(seen)), seen


@given(STORIES)
def test_no_order_of_events_loses_what_the_user_said(
    story: tuple[list[Event], list[tuple[int, int]]],
) -> None:
    seen = words(printed(told(*story)))
    assert {f"{word}{turn}x" for word in ("asks", "again") for turn in (1, 2, 3)} <= set(seen)


@given(st.permutations([event for turn in (1, 2, 3) for event in events_of(turn)]))
def test_no_order_of_events_prints_a_part_of_a_turn_twice_in_the_transcript(
    events: list[Event],
) -> None:
    session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: 10.0)
    metrics, out = Metrics(session), io.StringIO()
    transcript = PrintedTranscript(out, metrics)
    for event in events:
        metrics(event, 10.0)
        transcript(event, 10.0)
    # The line of an interruption repeats the words that were heard.
    lines = [line for line in out.getvalue().splitlines() if "interrupted after" not in line]
    seen = WORDS.findall("\n".join(lines))
    assert len(seen) == len(set(seen)), out.getvalue()
    for turn in (1, 2, 3):
        assert out.getvalue().count(f"heard: plan{turn}x0x") <= 1
    assert out.getvalue().count(" s]") <= 3  # one latency for each turn


@pytest.mark.parametrize("looks", [True, False])
def test_the_rest_of_an_answer_that_was_cut_by_key_is_not_shown(looks: bool) -> None:
    cut = Heard(1, 400, "First", "First sentence.")
    story: list[Event | Look] = [
        UserText(1, "Tell."), AssistantText(1, 0, "First sentence.", "SPECULATIVE"),
        Audio(1, HALF_SECOND, 24_000), cut,
    ]  # fmt: skip
    for number in range(7):
        story += [Look(400)] if looks else []
        story.append(AssistantText(1, number, f"Sentence {number}.", "SPECULATIVE"))
    story.append(TurnEnded(1))
    (turn,) = printed(story)
    assert (turn.heard, turn.rest, turn.interrupted) == ("First", " sentence.", True)


def test_an_answer_that_goes_on_after_it_was_taken_shows_only_what_is_new() -> None:
    scene, played = Scene(), {1: 500}
    scene.observe(AssistantText(1, 0, "One.", "SPECULATIVE"), 0.0)
    scene.observe(Audio(1, HALF_SECOND, 24_000), 0.0)
    scene.observe(TurnEnded(1), 0.0)
    (first,) = scene.take_finished(lambda turn: played[turn])
    scene.observe(AssistantText(1, 1, "One two three four.", "SPECULATIVE"), 0.0)
    scene.observe(Audio(1, HALF_SECOND, 24_000), 0.0)
    scene.observe(TurnEnded(1), 0.0)
    played[1] = 750
    (second,) = scene.live(lambda turn: played[turn])
    assert (first.heard, first.continued) == ("One.", False)
    assert (second.heard, second.rest, second.continued) == ("One two", " three four.", True)


def test_a_very_old_turn_is_not_shown_again() -> None:
    scene = Scene()
    for number in range(1, TURNS_REMEMBERED + 3):
        scene.observe(UserText(number, "Hm."), 0.0)
        scene.take_finished(lambda _: 0)
    scene.observe(AssistantText(1, 0, "Very late.", "SPECULATIVE"), 0.0)
    assert [turn.number for turn in scene.live(lambda _: 0)] == [TURNS_REMEMBERED + 2]
