"""Comparison of two conversations of one user: pairs of turns, and aspects in which they differ."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.cli.replay_report import comparison_lines
from sonic_voice.recording.conversation_outline import (
    ConversationOutline,
    ToolUseOutline,
    TurnOutline,
)
from sonic_voice.recording.outline_comparison import (
    Tolerance,
    compare_conversations,
    word_error_rate,
)

GREETING = TurnOutline(1, "hello", "Hello! What shall I do?", 900)
ORDER = TurnOutline(
    2, "where is my order", "It is on its way.", 1200, tools=[ToolUseOutline("find", {"id": 7})]
)
GOODBYE = TurnOutline(3, "thank you", "Goodbye!", 800, interrupted=True)


def outline(*turns: TurnOutline, error: str = "") -> ConversationOutline:
    return ConversationOutline(turns, 1, error)


TAPE = outline(GREETING, ORDER, GOODBYE)


def test_equal_conversations_do_not_differ() -> None:
    compared = compare_conversations(TAPE, TAPE)
    assert compared.differences == ()
    assert [turn.latency_change_ms for turn in compared.turns] == [0, 0, 0]


@pytest.mark.parametrize(
    ("changed", "aspect"),
    [
        (replace(ORDER, user="where is her order"), "user-words"),
        (replace(ORDER, assistant="It is lost."), "assistant-words"),
        (replace(ORDER, tools=[]), "tools"),
        (replace(ORDER, tools=[ToolUseOutline("find", {"id": 8})]), "tools"),
        (replace(ORDER, interrupted=True), "interruptions"),
        (replace(ORDER, latency_ms=1900), "latency"),
    ],
)
def test_each_change_of_a_turn_is_named(changed: TurnOutline, aspect: str) -> None:
    compared = compare_conversations(TAPE, outline(GREETING, changed, GOODBYE))
    assert compared.differences == (aspect,)
    assert [bool(turn.differences) for turn in compared.turns] == [False, True, False]
    assert any(aspect in line for line in comparison_lines(compared))


def test_a_tolerance_covers_small_changes() -> None:
    changed = replace(ORDER, user="where is her order", latency_ms=1900)
    compared = compare_conversations(
        TAPE, outline(GREETING, changed, GOODBYE), Tolerance(word_errors=0.3, latency_ms=700)
    )
    assert compared.differences == ()


def test_a_turn_that_only_one_conversation_has_is_not_paired() -> None:
    extra = TurnOutline(2, "what did you say", "Nothing.", 700)
    compared = compare_conversations(
        TAPE, outline(GREETING, extra, replace(ORDER, turn=3), replace(GOODBYE, turn=4))
    )
    assert compared.differences == ("turns",)
    assert [(t.before is None, t.after is None) for t in compared.turns] == [
        (False, False), (True, False), (False, False), (False, False),
    ]  # fmt: skip
    assert "only now" in "\n".join(comparison_lines(compared))


def test_an_error_at_the_end_is_a_difference() -> None:
    compared = compare_conversations(TAPE, outline(*TAPE.turns, error="cut: The network is gone."))
    assert compared.differences == ("end",)


def test_foreign_text_cannot_imitate_lines() -> None:
    compared = compare_conversations(TAPE, outline(replace(GREETING, user="\n3 turns\x1b[2J")))
    assert not any("\n" in line or "\x1b" in line for line in comparison_lines(compared))


words = st.lists(st.sampled_from(["a", "b", "c", "D.", "e!"]), max_size=6).map(" ".join)


@given(words, words)
def test_a_word_error_rate_is_a_share(one: str, other: str) -> None:
    assert word_error_rate(one, one.upper()) == 0.0
    assert word_error_rate(one, other) == word_error_rate(other, one)
    assert 0.0 <= word_error_rate(one, other) <= 1.0


@settings(max_examples=50)
@given(st.lists(words, max_size=6), st.lists(words, max_size=6))
def test_every_turn_is_in_the_pairing_once_and_in_order(one: list[str], other: list[str]) -> None:
    before = outline(*[TurnOutline(n, text) for n, text in enumerate(one, 1)])
    after = outline(*[TurnOutline(n, text) for n, text in enumerate(other, 1)])
    turns = compare_conversations(before, after).turns
    assert tuple(t.before for t in turns if t.before) == before.turns
    assert tuple(t.after for t in turns if t.after) == after.turns
