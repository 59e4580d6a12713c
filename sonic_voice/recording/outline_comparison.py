"""Comparison of two conversations of the same user: turns, words, tools, interruptions, latency.

Turns are paired by the user's words, because a service may divide speech into other turns. The
cost of a pairing is the sum of the word error rates of its pairs, and `UNPAIRED_COST` for each turn
that has no partner (Needleman and Wunsch, 1970); the cheapest pairing is taken.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from .conversation_outline import ConversationOutline, TurnOutline

UNPAIRED_COST = 0.6
"""Cost of a turn without a partner, as a word error rate: turns with fewer than half of their words
in common are no pair."""

MAX_WORDS = 500
"""Maximum number of words of a turn that are compared."""

MAX_TURNS = 1_000
"""Maximum number of turns of a conversation that are compared."""

MAX_SHIFT = 20
"""Maximum difference of the places of two turns that are a pair."""

PAIRED_CHARACTERS = 200
"""Number of characters of the user's words by which pairs are found."""

Aspect = Literal[
    "turns", "user-words", "assistant-words", "tools", "interruptions", "latency", "end"
]
"""Aspect in which two conversations may differ."""

ASPECTS: tuple[Aspect, ...] = get_args(Aspect)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The differences between two conversations that are not reported."""

    word_errors: float = 0.0
    """Maximum word error rate of a turn, 0 to 1."""
    latency_ms: int = 500
    """Maximum difference of the response latency of a turn, in ms."""


@dataclass(frozen=True, slots=True)
class TurnComparison:
    """Two turns that belong together, or one without a partner."""

    before: TurnOutline | None
    """The turn on the tape; None if only the other conversation has it."""
    after: TurnOutline | None
    """The turn of the other conversation; None if only the tape has it."""
    user_word_errors: float | None
    """Word error rate of the user's words, against the tape's; None without a partner."""
    assistant_word_errors: float | None
    """Word error rate of the answer; None without a partner."""
    latency_change_ms: int | None
    """Change of the response latency, in ms; None if it is not known for both."""
    differences: tuple[Aspect, ...]
    """Aspects in which they differ by more than is tolerated."""


@dataclass(frozen=True, slots=True)
class ConversationComparison:
    """Two conversations, turn by turn."""

    turns: tuple[TurnComparison, ...]
    before: ConversationOutline
    after: ConversationOutline

    @property
    def differences(self) -> tuple[Aspect, ...]:
        """Aspects in which the conversations differ, in the order of `ASPECTS`."""
        found = {aspect for turn in self.turns for aspect in turn.differences}
        if bool(self.before.error) != bool(self.after.error):
            found.add("end")
        return tuple(aspect for aspect in ASPECTS if aspect in found)

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as a JSON object."""
        return {
            "differences": list(self.differences),
            "turns": [asdict(turn) for turn in self.turns],
            "streams": {"before": self.before.streams, "after": self.after.streams},
            "error": {"before": self.before.error, "after": self.after.error},
        }


def compare_conversations(
    before: ConversationOutline,
    after: ConversationOutline,
    tolerance: Tolerance = Tolerance(),
) -> ConversationComparison:
    """Return what two conversations have in common, and what not.

    Args:
        before: The conversation on the tape.
        after: The other conversation.
        tolerance: How far they may differ.
    """
    pairs = _paired(before.turns[:MAX_TURNS], after.turns[:MAX_TURNS])
    return ConversationComparison(
        tuple(_compared(old, new, tolerance) for old, new in pairs), before, after
    )


def _compared(
    old: TurnOutline | None, new: TurnOutline | None, tolerance: Tolerance
) -> TurnComparison:
    if old is None or new is None:
        return TurnComparison(old, new, None, None, None, ("turns",))
    user, assistant = (
        word_error_rate(old.user, new.user),
        word_error_rate(old.assistant, new.assistant),
    )
    change_ms = None
    if old.latency_ms is not None and new.latency_ms is not None:
        change_ms = new.latency_ms - old.latency_ms
    found: dict[Aspect, bool] = {
        "user-words": user > tolerance.word_errors,
        "assistant-words": assistant > tolerance.word_errors,
        "tools": old.tools != new.tools,
        "interruptions": old.interrupted != new.interrupted,
        "latency": change_ms is not None and abs(change_ms) > tolerance.latency_ms,
    }
    differences: tuple[Aspect, ...] = tuple(aspect for aspect in ASPECTS if found.get(aspect))
    return TurnComparison(old, new, round(user, 3), round(assistant, 3), change_ms, differences)


def _paired(
    before: Sequence[TurnOutline], after: Sequence[TurnOutline]
) -> list[tuple[TurnOutline | None, TurnOutline | None]]:
    """Return the cheapest pairing of two sequences, in order."""
    costs = [
        [UNPAIRED_COST * (i + j) for j in range(len(after) + 1)] for i in range(len(before) + 1)
    ]
    errors = [
        [_pairing_error(i, j, old, new) for j, new in enumerate(after)]
        for i, old in enumerate(before)
    ]
    for i in range(1, len(before) + 1):
        for j in range(1, len(after) + 1):
            costs[i][j] = min(
                costs[i - 1][j - 1] + errors[i - 1][j - 1],
                costs[i - 1][j] + UNPAIRED_COST,
                costs[i][j - 1] + UNPAIRED_COST,
            )
    pairs: list[tuple[TurnOutline | None, TurnOutline | None]] = []
    i, j = len(before), len(after)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + errors[i - 1][j - 1]:
            i, j = i - 1, j - 1
            pairs.append((before[i], after[j]))
        elif i and (not j or costs[i][j] == costs[i - 1][j] + UNPAIRED_COST):
            i -= 1
            pairs.append((before[i], None))
        else:
            j -= 1
            pairs.append((None, after[j]))
    return pairs[::-1]


def _pairing_error(i: int, j: int, old: TurnOutline, new: TurnOutline) -> float:
    if abs(i - j) > MAX_SHIFT:
        return 1.0
    return word_error_rate(old.user[:PAIRED_CHARACTERS], new.user[:PAIRED_CHARACTERS])


def word_error_rate(said: str, heard: str) -> float:
    """Return the share of words to change, add or drop to get from one text to the other.

    Case and punctuation do not count. The share is of the longer text, so that it is at most 1.

    Args:
        said: One text.
        heard: The other text.
    """
    old, new = _words(said), _words(heard)
    longest = max(len(old), len(new))
    if old == new or not longest:
        return 0.0
    errors = list(range(len(new) + 1))
    for row, word in enumerate(old, 1):
        diagonal, errors[0] = errors[0], row
        for column, other in enumerate(new, 1):
            change = diagonal + (word != other)
            diagonal = errors[column]
            errors[column] = min(change, errors[column] + 1, errors[column - 1] + 1)
    return errors[-1] / longest


def _words(text: str) -> list[str]:
    return re.sub(r"[^\w']|_", " ", text.lower()).split()[:MAX_WORDS]
