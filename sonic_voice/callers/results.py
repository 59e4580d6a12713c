"""The result of a caller's conversation: the turns that were observed, and the failures."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

from .records import CallerScript


@dataclass(slots=True)
class ObservedCall:
    """A tool call of the model."""

    tool: str
    arguments_json: str
    """Arguments as the model wrote them."""
    result_json: str = ""
    """Result that was sent; empty if none was."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments; empty if they are no JSON object."""
        try:
            value = json.loads(self.arguments_json)
        except (ValueError, RecursionError):
            return {}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


@dataclass(slots=True)
class ObservedTurn:
    """A turn of the caller and the answer to it."""

    number: int
    """Number of the turn, from 1; 0 for what the assistant says before the caller's first turn."""
    said: str
    """Words that the caller said; empty if they are not known."""
    began_s: float
    """Time at which the caller began to speak, in seconds of the conversation."""
    ended_s: float | None = None
    """Time at which the caller stopped, in seconds of the conversation; None while speaking."""
    user: str = ""
    """Words that the service heard."""
    assistant: str = ""
    """Words of the answer as it was planned, also where it was cut off."""
    heard: str = ""
    """Words of the answer that were heard."""
    calls: list[ObservedCall] = field(default_factory=list[ObservedCall])
    response_latency_ms: int | None = None
    """Time from the end of the caller's speech to the first sound of the answer, in milliseconds;
    None if none came."""
    interrupted: bool = False
    """True if the caller's speech interrupted the answer before."""
    missed_word: int | None = None
    """Number of the word at which the turn should have begun, if the answer before ended without
    it; None otherwise."""

    @property
    def answered(self) -> bool:
        """True if the assistant said or did anything."""
        return bool(self.assistant or self.calls)


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that does not hold."""

    turn: int | None
    """Number of the turn; None for the whole conversation."""
    text: str
    """Sentence that says what was expected and what was found."""

    def __str__(self) -> str:
        return self.text if self.turn is None else f"turn {self.turn}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judge's decision on one sentence."""

    criterion: str
    """The sentence."""
    passed: bool
    reason: str = ""
    """The judge's reason; empty if it gave none."""


@dataclass(slots=True)
class CallerResult:
    """The result of one caller."""

    script: CallerScript
    turns: list[ObservedTurn] = field(default_factory=list[ObservedTurn])
    """The turns that were observed; the first may be turn 0."""
    failures: list[Failure] = field(default_factory=list[Failure])
    """Expectations that do not hold, and the error that ended the conversation."""
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    """The judge's decisions; empty without a judge."""
    duration_s: float = 0.0
    """Length of the conversation, in seconds of its own clock."""

    @property
    def passed(self) -> bool:
        """True if every expectation holds and the judge agreed to everything.

        The judge can only fail a conversation: it never makes up for an expectation.
        """
        return not self.failures and all(verdict.passed for verdict in self.verdicts)
