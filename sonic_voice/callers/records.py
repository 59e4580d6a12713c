"""A caller file as records, one for each kind of mapping in it."""

from dataclasses import dataclass, field
from pathlib import Path

from ..emulator.scenario import Condition

DEFAULT_VOICE = "matthew"
"""Voice of the service whose local counterpart speaks the caller's words, if the file names none.
It differs from the voice that the assistant has by default."""

DEFAULT_MAX_TURNS = 10
"""Maximum number of turns of a simulated caller, if the file does not say."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment at which a turn begins: after the answer before, or at one of its words."""

    word: int | None = None
    """Number of the word, from 1, of the answer before at which the turn begins; None to begin
    after the answer."""
    silence_ms: int | None = None
    """Silence after the answer before, in milliseconds; None for the usual pause."""


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A tool call that is expected, or must not occur."""

    tool: str
    arguments: tuple[Condition, ...] = ()
    """Conditions on the arguments, as `arguments.NAME`. Other arguments may be anything."""

    def __str__(self) -> str:
        tests = ", ".join(
            f"{condition.of.removeprefix('arguments.')} {condition.test}"
            for condition in self.arguments
        )
        return f"{self.tool} with {tests}" if tests else self.tool


@dataclass(frozen=True, slots=True)
class Expectations:
    """The expectations of a turn, or of a whole conversation."""

    texts: tuple[Condition, ...] = ()
    """Conditions on `user` and `assistant`."""
    calls: tuple[ExpectedCall, ...] | None = None
    """Calls that must occur, in any order; empty if there must be none; None if that is open."""
    within_ms: int | None = None
    """Maximum response latency, in milliseconds."""
    interrupted: bool | None = None
    """True if the turn must interrupt the answer before it, False if it must not; None: either."""
    never_said: tuple[Condition, ...] = ()
    """Conditions on `assistant` that must not hold."""
    never_called: tuple[ExpectedCall, ...] = ()
    """Calls that must not occur."""


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """One utterance of the caller."""

    say: str = ""
    """Words of the utterance; empty if it is a sound file whose words are not given."""
    play: Path | None = None
    """Sound file that is played instead of speaking `say`."""
    moment: Moment = field(default_factory=Moment)
    """The moment at which it begins."""
    expect: Expectations = field(default_factory=Expectations)
    """The expectations of this turn."""


@dataclass(frozen=True, slots=True)
class Persona:
    """A simulated caller, whose words a chat model makes up."""

    persona: str
    """Description of the caller, for the model."""
    goal: str
    """Goal of the caller."""
    opening: str = ""
    """First words of the caller; empty if the model makes them up, too."""
    max_turns: int = DEFAULT_MAX_TURNS
    """Number of turns after which the conversation ends."""


@dataclass(frozen=True, slots=True)
class CallerScript:
    """A whole file."""

    name: str
    path: Path
    """The file, to which the paths in it are relative."""
    turns: tuple[ScriptedTurn, ...] = ()
    """The turns; empty for a simulated caller."""
    persona: Persona | None = None
    """The simulated caller; None for a scripted one."""
    expect: Expectations = field(default_factory=Expectations)
    """The expectations of the whole conversation."""
    judge: tuple[str, ...] = ()
    """Sentences that the judge decides on."""
    scenario: Path | None = None
    """Scenario file of the emulator."""
    tools: Path | None = None
    """Python file with the tools that the model may call."""
    system: str = ""
    """System prompt; empty for the default one."""
    greeting: str = ""
    """Request with which the assistant speaks first; empty if the caller does."""
    model: str = ""
    """Id of the model; empty for the default one."""
    voice: str = DEFAULT_VOICE
    """Voice of the caller."""
