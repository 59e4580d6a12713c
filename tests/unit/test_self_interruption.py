"""Which interruptions are the model's own echo, and when there are too many of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.events import AssistantText, Event, Interrupted, UserText
from sonic_voice.self_interruption import (
    MANY,
    WITHIN_S,
    WORDS_TIMEOUT_S,
    SelfInterruptionMonitor,
    repeats,
)

ANSWER = "I have gone forward, and now I am standing in front of the garden gate."


def answered(monitor: SelfInterruptionMonitor, turn: int, now: float) -> None:
    assert not monitor.observe(AssistantText(turn, 0, ANSWER, "SPECULATIVE"), now)


def interrupted(
    monitor: SelfInterruptionMonitor, turn: int, now: float, text: str, *, typed: bool = False
) -> bool:
    """Report an answer, its interruption, and the words of it a second later."""
    answered(monitor, turn, now - 1)
    assert not monitor.observe(Interrupted(turn, "marker"), now)
    return monitor.observe(UserText(turn + 1, text, typed), now + 1)


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("standing in front of the", True),
        ("and now i'm standing in front", True),
        ("Garden gate!", True),
        ("", True),
        ("...", True),
        ("stop", False),
        ("gate", False),
        ("what is behind the garden gate", False),
        ("please go back again", False),
    ],
)
def test_words_repeat_the_answer_or_are_the_users(text: str, repeated: bool) -> None:
    assert repeats(text, ANSWER) is repeated


def test_two_echoes_within_a_minute_are_reported_once() -> None:
    monitor = SelfInterruptionMonitor()
    assert not interrupted(monitor, 1, 10.0, "standing in front of")
    assert interrupted(monitor, 2, 30.0, "the garden gate")
    assert not interrupted(monitor, 3, 40.0, "the garden gate")
    assert interrupted(monitor, 4, 50.0, "the garden gate")


def test_two_echoes_that_are_further_apart_are_not_reported() -> None:
    monitor = SelfInterruptionMonitor()
    assert not interrupted(monitor, 1, 10.0, "the garden gate")
    assert not interrupted(monitor, 2, 10.1 + WITHIN_S, "the garden gate")
    assert interrupted(monitor, 3, 60.0 + WITHIN_S, "the garden gate")


@pytest.mark.parametrize("typed", [False, True])
def test_a_user_who_interrupts_is_no_echo(typed: bool) -> None:
    monitor = SelfInterruptionMonitor()
    text = "the garden gate" if typed else "wait, that is wrong"
    for turn in range(1, 6):
        assert not interrupted(monitor, turn, turn * 10.0, text, typed=typed)
        assert not monitor.check(turn * 10.0 + 9)


@pytest.mark.parametrize(
    ("text", "typed", "echo"),
    [
        ("the garden gate", False, True),
        ("no, wait", False, False),
        ("the garden gate", True, False),
    ],
)
def test_words_may_come_before_the_interruption(text: str, typed: bool, echo: bool) -> None:
    """A typed turn is reported when it is sent, and some models report words first."""
    monitor, reports = SelfInterruptionMonitor(), 0
    for turn in (1, 2):
        now = 20.0 * turn
        answered(monitor, turn, now)
        reports += monitor.observe(UserText(turn + 1, text, typed), now + 1)
        reports += monitor.observe(Interrupted(turn, "contentEnd"), now + 1.2)
        reports += monitor.check(now + 10)
    assert reports == echo


def test_an_interruption_without_words_counts_when_they_are_overdue() -> None:
    monitor = SelfInterruptionMonitor()
    for turn, now in ((1, 10.0), (2, 20.0)):
        answered(monitor, turn, now - 1)
        monitor.observe(Interrupted(turn, "marker"), now)
        assert not monitor.check(now + WORDS_TIMEOUT_S - 0.1)
        assert monitor.check(now + WORDS_TIMEOUT_S) is (turn == 2)
        assert not monitor.check(now + WORDS_TIMEOUT_S + 1)


def test_words_of_a_user_who_speaks_for_long_are_waited_for() -> None:
    monitor = SelfInterruptionMonitor()
    for turn in (1, 2):
        now = 30.0 * turn
        answered(monitor, turn, now)
        monitor.observe(Interrupted(turn, "marker"), now)
        for k in range(100):
            assert not monitor.check(now + 0.1 * k, speaking=True)
        assert not monitor.observe(UserText(turn + 1, "so much for that"), now + 12)


def test_words_that_come_too_late_are_not_counted_again() -> None:
    monitor = SelfInterruptionMonitor()
    answered(monitor, 1, 0.0)
    monitor.observe(Interrupted(1, "marker"), 1.0)
    assert not monitor.observe(UserText(2, "the garden gate"), 10.0)
    assert not monitor.check(20.0)


EVENTS = st.sampled_from(
    [
        AssistantText(1, 0, ANSWER, "SPECULATIVE"),
        Interrupted(1, "marker"),
        UserText(2, "the garden gate"),
        UserText(2, "no"),
    ]
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 20))))
def test_no_order_of_events_reports_more_often_than_every_second_interruption(
    steps: list[tuple[Event, float]],
) -> None:
    monitor, now, reports = SelfInterruptionMonitor(), 0.0, 0
    for event, wait_s in steps:
        now += wait_s
        reports += monitor.observe(event, now)
    interruptions = sum(isinstance(event, Interrupted) for event, _ in steps)
    assert reports <= interruptions // MANY
