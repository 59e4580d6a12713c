"""A turn of a conversation under test, with assertions that read like sentences.

A `Turn` begins when the caller speaks (or with a greeting), and has the words of the user and the
answer to them. Each assertion returns normally if it holds, and otherwise raises an
`AssertionError` that says what was there instead, with the transcript around the turn.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

from .exchange import CalledTool, ConversationRecord, ServiceTurn
from .transcript_text import turn_lines

CONTEXT_TURNS = 2
"""Number of turns before and after the one in question that a failure shows."""

AFTER_TOLERANCE_MS = 32
"""Tolerance of `was_interrupted(after_ms=...)` for a plain number, in ms: one step of time."""

type Words = str | re.Pattern[str]
"""Words to look for: a text, in which case and punctuation do not matter, or a pattern."""


class Milliseconds(int):
    """A number of milliseconds that knows its turn, so that a failed comparison can show it."""

    turn: "Turn"

    def __new__(cls, value: int, turn: "Turn") -> Self:
        """Return the number.

        Args:
            value: The number.
            turn: The turn that it was measured in.
        """
        number = super().__new__(cls, value)
        number.turn = turn
        return number


class Turn:
    """The words of the caller at a time, and the answer to them."""

    def __init__(self, position: int, record: ConversationRecord) -> None:
        """Begin a turn of which nothing is known yet.

        Args:
            position: Number of the turn in the conversation, from 1.
            record: The record of the conversation.
        """
        self.position = position
        """Number of the turn in the conversation under test, from 1."""
        self.parts: list[ServiceTurn] = []
        """The turns of the service that belong to it: several if a pause divided the words."""
        self._record = record
        self._neighbours: Callable[[], Sequence[Turn]] = lambda: ()

    # -- facts ---------------------------------------------------------------------------------

    @property
    def user_text(self) -> str:
        """The words of the user, as the service understood them."""
        return " ".join(part.user_text for part in self.parts if part.user_text)

    @property
    def planned(self) -> str:
        """The whole answer as it was planned, also the part that an interruption cut off."""
        return " ".join(part.planned for part in self.parts if part.planned)

    @property
    def heard(self) -> str:
        """The answer as far as it was heard."""
        return " ".join(filter(None, (self._record.heard_so_far(part) for part in self.parts)))

    @property
    def calls(self) -> list[CalledTool]:
        """The tool calls of the turn, in their order."""
        return [call for part in self.parts for call in part.calls]

    @property
    def interrupted(self) -> bool:
        """True if the answer was cut off."""
        return any(part.interrupted for part in self.parts)

    @property
    def heard_ms(self) -> int | None:
        """Played length of an interrupted answer, in ms; None if it was not interrupted."""
        return next((part.heard_ms for part in self.parts if part.heard_ms is not None), None)

    @property
    def answered(self) -> bool:
        """True once all sound of the answer has come."""
        return bool(self.parts) and self.parts[-1].ended

    @property
    def response_latency_ms(self) -> Milliseconds:
        """Time from the end of the user's speech to the first audible sample of the answer, in ms.

        For a typed turn, and for a model that does not report the end of speech, it counts from the
        user's text.

        Raises:
            AssertionError: There was no answer, or nothing that it could answer.
        """
        __tracebackhide__ = True
        for part in self.parts:
            began_ms = part.user_at_ms if part.speech_end_ms is None else part.speech_end_ms
            if began_ms is not None and part.audible_at_ms is not None:
                return Milliseconds(part.audible_at_ms - began_ms, self)
        raise self._failure("has no response latency: it was not answered with sound")

    # -- assertions ----------------------------------------------------------------------------

    def user_said(self, *words: Words) -> None:
        """Assert that the user said some words, in this order.

        Args:
            words: The words.

        Raises:
            AssertionError: They are not in what the service understood.
        """
        __tracebackhide__ = True
        if missing := _missing(words, self.user_text):
            raise self._failure(
                f"the user did not say {_quoted(missing)}", "The user said", self.user_text
            )

    def assistant_said(self, *words: Words) -> None:
        """Assert that the assistant said some words, in this order, and that they were heard.

        Args:
            words: The words.

        Raises:
            AssertionError: They are not in what was heard of the answer.
        """
        __tracebackhide__ = True
        if missing := _missing(words, self.heard):
            cut = _missing(words, self.planned) is None
            raise self._failure(
                f"the assistant did not say {_quoted(missing)}"
                + (": it was interrupted before" if cut else ""),
                "The assistant said",
                self.heard,
            )

    def assistant_did_not_say(self, *words: Words) -> None:
        """Assert that the assistant said none of some words, or was interrupted before them.

        Args:
            words: The words.

        Raises:
            AssertionError: One of them was heard.
        """
        __tracebackhide__ = True
        for said in words:
            if _missing((said,), self.heard) is None:
                raise self._failure(
                    f"the assistant said {_quoted(said)}", "The assistant said", self.heard
                )

    def called(self, tool: str, **arguments: Any) -> CalledTool:
        """Assert that the model called a tool with some arguments.

        Args:
            tool: Name of the tool.
            arguments: Arguments that the call must have, besides others. They are compared with
                `==`, so that `pytest.approx` can be used.

        Returns:
            The first call that fits.

        Raises:
            AssertionError: There is no such call.
        """
        __tracebackhide__ = True
        for call in self.calls:
            if call.name == tool and all(
                name in call.arguments and call.arguments[name] == value
                for name, value in arguments.items()
            ):
                return call
        wanted = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        calls = "; ".join(map(repr, self.calls)) or "no tool"
        raise self._failure(f"{tool}({wanted}) was not called", "The model called", calls)

    def called_nothing(self) -> None:
        """Assert that the model called no tool.

        Raises:
            AssertionError: It called one.
        """
        __tracebackhide__ = True
        if self.calls:
            calls = "; ".join(map(repr, self.calls))
            raise self._failure("a tool was called", "The model called", calls)

    def was_interrupted(self, after_ms: Any = None) -> None:
        """Assert that the answer was cut off.

        Args:
            after_ms: How much of it was played before, in ms: a number, which may be wrong by
                `AFTER_TOLERANCE_MS`; a pair of the least and the most; or anything that equals it,
                such as `pytest.approx(1500, abs=200)`. None: any.

        Raises:
            AssertionError: It was not cut off, or not then.
        """
        __tracebackhide__ = True
        if not self.interrupted:
            raise self._failure("the answer was not interrupted", "The assistant said", self.heard)
        heard_ms = self.heard_ms or 0
        if after_ms is not None and not _is_about(heard_ms, after_ms):
            raise self._failure(f"the answer was interrupted after {heard_ms} ms, not {after_ms!r}")

    def was_not_interrupted(self) -> None:
        """Assert that the answer was not cut off.

        Raises:
            AssertionError: It was.
        """
        __tracebackhide__ = True
        if self.interrupted:
            raise self._failure(f"the answer was interrupted after {self.heard_ms} ms")

    # -- texts ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return "\n".join(turn_lines(self.position, self.parts, self._record.heard_so_far))

    def place_among(self, turns: Callable[[], Sequence["Turn"]]) -> None:
        """Tell the turn which turns a failure can show around it.

        Args:
            turns: Returns all turns of the conversation, in their order.
        """
        self._neighbours = turns

    def context(self) -> list[str]:
        """Return the lines of the transcript around the turn, which is marked."""
        lines: list[str] = []
        for turn in self._neighbours() or (self,):
            if abs(turn.position - self.position) <= CONTEXT_TURNS:
                mark = "> " if turn is self else "  "
                lines += [mark + line for line in repr(turn).splitlines()]
        return lines

    def _failure(self, what: str, label: str = "", found: str = "") -> AssertionError:
        lines = [f"Turn {self.position}: {what}."]
        if label:
            lines.append(f"{label}: {found or '(nothing)'}")
        return AssertionError("\n".join([*lines, "", "Transcript:", *self.context()]))


_NOT_SAID = re.compile(r"[^\w']+")


def plain_words(text: str) -> str:
    """Return a text in lower case, with one space between its words and no punctuation.

    Args:
        text: The text.
    """
    return " ".join(_NOT_SAID.sub(" ", text.casefold()).split())


def words_position(words: Words, text: str, begin: int = 0) -> int | None:
    """Return the position after some words in a text, or None if they do not occur.

    Args:
        words: The words.
        text: The text: as it is for a pattern, else by `plain_words`.
        begin: Position at which the search begins.
    """
    if isinstance(words, re.Pattern):
        found = words.search(text, begin)
        return found.end() if found else None
    wanted = plain_words(words)
    at = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)").search(text, begin)
    return at.end() if at else None


def _missing(wanted: Sequence[Words], text: str) -> Words | None:
    """Return the first of some words that do not follow each other in a text, or None."""
    begin, plain = 0, plain_words(text)
    for words in wanted:
        pattern = isinstance(words, re.Pattern)
        end = words_position(words, text if pattern else plain, 0 if pattern else begin)
        if end is None:
            return words
        begin = begin if pattern else end
    return None


def _quoted(words: Words) -> str:
    return repr(words.pattern if isinstance(words, re.Pattern) else words)


def _is_about(heard_ms: int, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        least_ms, most_ms = cast(tuple[float, float], wanted)
        return least_ms <= heard_ms <= most_ms
    if isinstance(wanted, int | float):
        return abs(heard_ms - wanted) <= AFTER_TOLERANCE_MS
    return bool(heard_ms == wanted)
