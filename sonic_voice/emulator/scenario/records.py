"""A scenario as records, one for each kind of mapping in the file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .conditions import Condition, Like, Says

BreakKind = Literal["reset", "cut", "cut-mid-frame", "goaway"]
"""Ways in which a stream or its connection breaks."""

EXCEPTIONS = (
    "internalServerException",
    "modelStreamErrorException",
    "validationException",
    "throttlingException",
    "modelTimeoutException",
    "serviceUnavailableException",
)
"""Members of the output union: the exceptions that a stream may end with (reference 1.7)."""

END = "end"
"""Value of a `goto` that leads behind the last step."""

LAST_WORDS = "That was all this scenario has to say."
"""Default answer to utterances after the last step."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Mono s16le samples of a WAV file."""

    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class StreamException:
    """An exception that ends the stream."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Branch:
    """An alternative answer, for when all its conditions hold."""

    conditions: tuple[Condition, ...]
    answer: "ScenarioStep"
    """Replaces the answer of the step, and has the same `user`."""


@dataclass(frozen=True, slots=True)
class ScenarioCall:
    """A tool call, with the answers while it runs and after its result.

    From `delay_ms` on, the fields are those of a `ScenarioStep`, and apply when the result arrives.
    """

    tool: str
    arguments: Mapping[str, Any]
    """Arguments, which may contain placeholders."""
    meanwhile: tuple[str, ...] = ()
    """Sentences before the result, for models that speak during a call."""
    then: tuple[str, ...] = ()
    """Sentences after the result."""
    delay_ms: int = 0
    assign: Mapping[str, Any] = field(default_factory=dict[str, Any])
    goto: str = ""
    expect: tuple[Condition, ...] = ()
    fallback: "ScenarioStep | None" = None
    when: tuple[Branch, ...] = ()


@dataclass(frozen=True, slots=True)
class ScenarioStep:
    """One utterance of the user and its answer."""

    user: str
    """Words of the utterance, used if there is no recogniser. Empty: the transcript is empty."""
    say: tuple[str, ...] = ()
    calls: tuple[ScenarioCall, ...] = ()
    """Tool calls, made together in this order."""
    wav: Recording | None = None
    """Recording that is played instead of speaking the one sentence of `say`."""
    delay_ms: int = 0
    """Additional delay before the answer, in milliseconds of input audio."""
    error: StreamException | None = None
    """Exception that ends the stream instead of the answer, or in the middle of it."""
    broken: BreakKind | None = None
    """How the stream breaks instead of the answer, or in the middle of it."""
    assign: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`set` in the file: variables and their new values."""
    goto: str = ""
    """Name of the step for the next utterance; empty for the following step."""
    name: str = ""
    """Name for `goto`; empty if it has none."""
    expect: tuple[Condition, ...] = ()
    """Conditions whose failure is noted."""
    fallback: "ScenarioStep | None" = None
    """`else` in the file: the answer when an expectation does not hold."""
    when: tuple[Branch, ...] = ()
    """Alternatives: the first whose conditions hold replaces this answer."""

    @property
    def answers(self) -> "Iterator[ScenarioStep]":
        """All answers that the step may give."""
        yield self
        yield from () if self.fallback is None else (self.fallback,)
        yield from (branch.answer for branch in self.when)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file."""

    name: str
    steps: tuple[ScenarioStep, ...]
    loop: bool = False
    """True to begin again after the last step."""
    otherwise: tuple[str, ...] = (LAST_WORDS,)
    """Answer to every utterance after the last step."""
    endpoint_ms: int | None = None
    """Silence that ends an utterance, in milliseconds; None for what the client asks for."""
    voice: str | None = None
    """Voice of the answers; None for the client's choice."""
    assign: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Variables that each stream begins with."""

    @property
    def hints(self) -> tuple[str, ...]:
        """Words that the scenario waits for, which help a recogniser."""
        found = dict.fromkeys(step.user for step in self.steps if step.user.strip())
        for step in self.steps:
            branched = (c for branch in step.when for c in branch.conditions)
            for condition in (*step.expect, *branched):
                match condition:
                    case Condition("user", Says(texts)):
                        found |= dict.fromkeys(texts)
                    case Condition("user", Like(text)):
                        found[text] = None
                    case _:
                        pass
        return tuple(found)
