"""The state of a conversation that passes from one stream of a session to the next."""

from dataclasses import dataclass, field

from .events import ToolCall


@dataclass(slots=True)
class Playback:
    """The state that the streams of a session share: its newest turn, and what is playing."""

    newest_turn: int = 0
    """Number of the newest turn of the session, 0 before any."""
    sounding: int = 0
    """Number of the newest turn that has sound, 0 before any."""
    until_s: float = 0.0
    """Time until which its sound is playing, in monotonic seconds."""
    interrupted: set[int] = field(default_factory=set[int])
    """Numbers of the interrupted turns."""
    sound_blocks: int = 0
    """Number of blocks of sound that have begun so far."""


@dataclass(frozen=True, slots=True)
class AudioStart:
    """The beginning of a stream's audio within the conversation."""

    offset_ms: int = 0
    """Position in the conversation's audio at which the audio of the stream begins, in ms. Offsets
    of the service count from there."""
    turn: int | None = None
    """Number of the turn that the stream will answer, or whose words it will hear; None if the
    newest turn is over."""
    sounded: bool = False
    """True if the answer to this turn has had sound."""


@dataclass(frozen=True, slots=True)
class TurnProgress:
    """The progress of the newest turn of a stream, for the stream that replaces it."""

    turn: int
    """Number of the newest turn, 0 before any."""
    over: bool
    """True if its last sound has come, or it was interrupted, or there is no turn."""
    sounded: bool
    """True once the answer has sound."""
    calls: tuple[ToolCall, ...]
    """Tool calls whose result is still owed, without those of `ExpertTool`."""
    user_speaks: bool
    """True while the service hears the user speak."""
    speech_began_ms: int | None
    """Position in the conversation's audio at which the newest speech of the user began, in ms;
    None if the service has not reported it."""
    transcribed_ms: int
    """Position in the conversation's audio up to which the user's speech was transcribed, in ms."""
    heard_from_ms: int
    """The same position before the words of the newest turn were transcribed, in ms."""
    typed: bool = False
    """True if the user typed the newest turn."""
    owes: bool = False
    """True if an answer is owed, also one that has opened no turn yet."""
    expert: bool = False
    """True if a call of `ExpertTool` is being answered, which ends with the stream."""
