"""A scenario as records, one for each kind of mapping in the file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .conditions import Condition, Like, Says

BreakKind = Literal["reset", "cut", "cut-mid-frame", "goaway"]

EXCEPTIONS = (
    "internalServerException",
    "modelStreamErrorException",
    "validationException",
    "throttlingException",
    "modelTimeoutException",
    "serviceUnavailableException",
)
"""Members of the output union: what an exception in the stream may be (reference 1.7)."""

END = "end"
"""The `goto` to after the last step."""

LAST_WORDS = "That was all this scenario has to say."


@dataclass(frozen=True, slots=True)
class Recording:
    """Mono s16le samples of a WAV file."""

    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class StreamException:
    """An exception in the stream."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Branch:
    """Another answer, for when all its conditions hold."""

    conditions: tuple[Condition, ...]
    answer: "ScenarioStep"
    """Stands in the place of the step, whose `user` it has."""


@dataclass(frozen=True, slots=True)
class ScenarioCall:
    """A tool call, what is said while it runs, and what after its result.

    From `delay_ms` on, the fields are those of a `Step`, for when the result is there.
    """

    tool: str
    arguments: Mapping[str, Any]
    meanwhile: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    delay_ms: int = 0
    assign: Mapping[str, Any] = field(default_factory=dict[str, Any])
    goto: str = ""
    expect: tuple[Condition, ...] = ()
    fallback: "ScenarioStep | None" = None
    when: tuple[Branch, ...] = ()


@dataclass(frozen=True, slots=True)
class ScenarioStep:
    """One utterance of the user and what it is answered with."""

    user: str
    say: tuple[str, ...] = ()
    call: ScenarioCall | None = None
    wav: Recording | None = None
    delay_ms: int = 0
    error: StreamException | None = None
    broken: BreakKind | None = None
    assign: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`set` in the file: variables and their new values."""
    goto: str = ""
    """The name of the step for the next utterance; empty: the one after this."""
    name: str = ""
    expect: tuple[Condition, ...] = ()
    fallback: "ScenarioStep | None" = None
    """`else` in the file: the answer when something expected is not so."""
    when: tuple[Branch, ...] = ()
    """The first whose conditions hold is the answer instead of this."""

    @property
    def answers(self) -> "Iterator[ScenarioStep]":
        """All that may be answered to the words."""
        yield self
        yield from () if self.fallback is None else (self.fallback,)
        yield from (branch.answer for branch in self.when)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file. `endpoint_ms` None: what the client asks for; `voice` None: the client's."""

    name: str
    steps: tuple[ScenarioStep, ...]
    loop: bool = False
    otherwise: tuple[str, ...] = (LAST_WORDS,)
    endpoint_ms: int | None = None
    voice: str | None = None
    assign: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The variables that each stream begins with."""

    @property
    def hints(self) -> tuple[str, ...]:
        """The words that it waits for: a recogniser does well to know them."""
        found = dict.fromkeys(step.user for step in self.steps)
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
