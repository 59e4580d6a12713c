"""Idle prompts: when a silent user is addressed, and when the conversation ends."""

import pytest

from sonic_voice.config import SessionConfig
from sonic_voice.errors import ConfigError
from sonic_voice.idle import FAREWELL_S, IdleTimer
from sonic_voice.policies import IdlePrompt

FIRST = IdlePrompt(after_s=20, text="Ask whether the user is still there.")
SECOND = IdlePrompt(after_s=10, text="Say goodbye.", then="end")
V1 = "amazon.nova-sonic-v1:0"


def sent(timer: IdleTimer, *states: tuple[float, bool]) -> list[tuple[float, IdlePrompt]]:
    """The prompts that are due at times at which the conversation is busy or not."""
    asked = [(now, timer.prompt(now, busy=busy)) for now, busy in states]
    return [(now, prompt) for now, prompt in asked if prompt is not None]


def test_a_prompt_is_due_after_its_time_of_silence() -> None:
    timer = IdleTimer([FIRST])
    assert sent(timer, (5, False), (24.9, False), (25, False), (99, False)) == [(25, FIRST)]


def test_the_time_counts_only_while_nobody_speaks_and_nothing_plays_or_is_owed() -> None:
    timer = IdleTimer([FIRST])
    assert sent(timer, (0, False), (19, False), (19.5, True), (20, False), (39, False)) == []
    assert sent(timer, (40, False)) == [(40, FIRST)]


def test_the_next_prompt_counts_from_the_end_of_the_answer_to_the_one_before() -> None:
    timer = IdleTimer([FIRST, SECOND])
    states = [(0, False), (20, False), (21, True), (25, False), (34, False), (35, False)]
    assert sent(timer, *states) == [(20, FIRST), (35, SECOND)]


def test_each_prompt_comes_again_once_the_user_has_spoken() -> None:
    timer = IdleTimer([FIRST])
    assert sent(timer, (0, False), (20, False), (60, False)) == [(20, FIRST)]
    timer.user_spoke()
    assert sent(timer, (61, False), (80, False), (81, False)) == [(81, FIRST)]


def test_the_conversation_ends_once_the_last_prompt_was_answered() -> None:
    timer = IdleTimer([SECOND])
    assert sent(timer, (0, False), (10, False)) == [(10, SECOND)]
    assert not timer.is_over(11, busy=True)
    assert timer.is_over(12, busy=False)


def test_the_conversation_ends_also_if_the_last_prompt_is_not_answered() -> None:
    timer = IdleTimer([SECOND])
    sent(timer, (0, False), (10, False))
    assert not timer.is_over(9 + FAREWELL_S, busy=True)
    assert timer.is_over(10 + FAREWELL_S, busy=True)


def test_a_user_who_speaks_after_the_last_prompt_keeps_the_conversation() -> None:
    timer = IdleTimer([SECOND])
    sent(timer, (0, False), (10, False))
    timer.user_spoke()
    assert not timer.is_over(12, busy=False)


def test_without_prompts_nothing_is_due() -> None:
    timer = IdleTimer([])
    assert sent(timer, (0, False), (1e6, False)) == []
    assert not timer.is_over(1e6, busy=False)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"after_s": 0, "text": "Ask."}, "more than 0 s"),
        ({"after_s": float("nan"), "text": "Ask."}, "more than 0 s"),
        ({"after_s": 5}, "no text"),
        ({"after_s": 5, "text": " "}, "no text"),
        ({"after_s": 5, "text": "Ask.", "then": "stop"}, "wait or end"),
    ],
)
def test_an_impossible_prompt_is_refused(prompt: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        IdlePrompt(**prompt)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"idle_prompts": (SECOND, FIRST)}, "Only the last"),
        ({"idle_prompts": (FIRST,), "model": V1}, "takes no text"),
        ({"greeting": "  "}, "blank"),
        ({"greeting": "x" * 1_000_000}, "are the limit"),
    ],
)
def test_impossible_first_words_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SessionConfig(**settings)  # pyright: ignore[reportArgumentType]
