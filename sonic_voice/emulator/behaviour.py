"""The settings in which an emulator differs from the undisturbed real service.

They are made by the command line or by a program, and read by the assembly and the server.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

type RecognitionChoice = Literal["default", "auto", "light", "good", "none"]
"""The recogniser of an emulator; see `Behaviour.ears`."""
type VoiceQuality = Literal["light", "good", "auto"]
"""The quality of the voices of an emulator; `auto` is the best that is installed."""
type LifeClock = Literal["wall", "audio"]
"""The clock of a stream's life; see `Behaviour.life_clock`."""


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """The wall-clock limits of a stream, in seconds."""

    stall_s: float = 0.25
    """Pause of the client after which `Service.stalled` is called."""
    idle_s: float = 55.0
    """Pause of the client that ends the stream (reference 1.9)."""
    life_s: float = 480.0
    """Age that ends the stream (reference 1.9)."""


@dataclass(frozen=True, slots=True)
class ChaosProfile:
    """A mixture of faults under one seed."""

    seed: int
    calm: float = 0.4
    """Proportion of the streams without a fault."""
    refused: float = 0.1
    """Proportion of the streams that are refused at their opening."""
    timed: float = 0.2
    """Proportion of the streams with a fault at a time. The others have theirs at an event."""
    without: frozenset[str] = frozenset()
    """Texts of `CHAOS_ENDS` and `CHAOS_REFUSALS` in `faults.chaos` that are left out, such as
    `stall`, which takes wall time to be noticed."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The settings in which an emulator differs from the undisturbed real service.

    The defaults are for use inside a program: every model is available, also past its end of life,
    and no limit is shortened.
    """

    strict: bool = False
    """True to refuse mistakes that real clients are known to make."""
    models: tuple[str, ...] = ()
    """Ids of the models that are offered. Empty: all."""
    allow_retired: bool = True
    """True to offer models past their end of life."""
    latency: str = "typical"
    """The name of a profile in `latency.PROFILES`."""
    timeouts: StreamTimeouts = field(default_factory=StreamTimeouts)
    """Limits of a stream, by the wall clock."""
    life_clock: LifeClock = "wall"
    """The clock by which `timeouts.life_s` ends a stream. `audio`: its input audio, so that a run
    at a multiple of real time has streams of eight minutes, too."""
    keys_life_s: float | None = None
    """Time from its making in which the emulator accepts its credentials, in seconds. Afterwards
    new streams are refused with `ExpiredTokenException`. None: always."""
    max_streams: int | None = None
    """Maximum number of concurrent streams; more are throttled. None: no maximum."""
    ears: RecognitionChoice = "default"
    """The recogniser of words. `default`: none with a scenario, which knows the words, and
    otherwise the best that is installed."""
    ears_model: Path | None = None
    """A folder with the Whisper model of the recogniser, in CTranslate2's format. None: the best
    model that is installed as a package."""
    language: str = ""
    """The language of all speech of the user, as an ISO 639-1 code. Empty: a recogniser that knows
    several finds out for each utterance, as the real service does."""
    voices: VoiceQuality = "light"
    """Quality of the voices. Good ones need a processor for a tenth of the time that they speak."""
    brain: str = ""
    """The chat endpoint that answers instead of a scenario or small talk, as `openai:URL#MODEL`.
    Empty: none."""
    brain_thinks_first: bool = False
    """True if the answers of the chat endpoint begin with thoughts that have no opening tag:
    nothing is spoken until their closing tag."""
    faults: tuple[str, ...] = ()
    """Faults, each as `NAME[:ARGUMENT][@CONDITIONS]`; see `faults.grammar`."""
    chaos: int | ChaosProfile | None = None
    """The seed of the chaos profile, or a profile; see `faults.chaos`. None: no chaos."""
