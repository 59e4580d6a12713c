"""What a session tells its owner, in the order in which it happens.

A *turn* is what the user said and the answer to it, numbered from 1 for the whole session. An
answer is told three times: `AssistantText` with stage SPECULATIVE as soon as it is planned,
`Audio` as it sounds, `AssistantText` with stage FINAL as the service believes it was spoken.
"""

from dataclasses import dataclass

from .wire import Stage, Tokens


@dataclass(frozen=True, slots=True)
class UserSpeechStarted:
    """The user began to speak, `offset_ms` into the audio sent (v2 and later)."""

    offset_ms: int


@dataclass(frozen=True, slots=True)
class UserSpeechEnded:
    """The user stopped at `offset_ms` of the audio sent; the service noticed at `detected_ms`."""

    offset_ms: int
    detected_ms: int


@dataclass(frozen=True, slots=True)
class UserText:
    """What the user said, or typed; a turn may have several, which belong together."""

    turn: int
    text: str
    typed: bool = False


@dataclass(frozen=True, slots=True)
class AssistantText:
    """One block of an answer. Blocks join without separators; FINAL replaces SPECULATIVE."""

    turn: int
    block: int
    """Number of the block within its turn, from 0."""
    text: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound of an answer: s16le mono PCM at `rate_hz`. Comes faster than it plays."""

    turn: int
    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Barge-in: stop playing `turn` at once. Told once per turn, at the first sign of it.

    `sign` is what the service sent: `userSpeechStart`, `marker` or `contentEnd`.
    """

    turn: int
    sign: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What of an interrupted answer reached the listener; told by whoever plays the sound."""

    turn: int
    heard_ms: int
    heard: str
    planned: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool. Owes exactly one result, under `tool_use`."""

    turn: int
    tool_use: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """The result that was sent for a tool call."""

    turn: int
    tool_use: str
    name: str
    result_json: str


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """All sound of this turn's answer has come; it may still be playing."""

    turn: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of this step and of the session so far."""

    delta: Tokens
    total: Tokens


@dataclass(frozen=True, slots=True)
class NetworkSlow:
    """The network takes the user's speech more slowly than it is spoken; told while it lasts.

    It does not end the session. A network that takes nothing at all does, with an error.
    """

    late_s: float
    """How long the speech that was sent last had waited for the network, in seconds."""
    speech_per_s: float
    """Seconds of speech that the network takes in a second; below 1 it cannot keep up."""

    @property
    def notice(self) -> str:
        """The sentence for the person who talks."""
        return (
            f"Slow network: your speech is sent {self.late_s:.1f} s late "
            f"({self.speech_per_s:.2f} s of it a second)."
        )


@dataclass(frozen=True, slots=True)
class Ignored:
    """A payload that was left aside: an unknown event name, or one that cannot be read."""

    what: str


@dataclass(frozen=True, slots=True)
class StreamExpiring:
    """The service will end the stream, and with it this conversation, in about `left_s` seconds.

    Told once, after seven eighths of the stream's life: at seven of eight minutes.
    """

    left_s: float
    life_s: float
    """Wall-clock life of a stream, in seconds (reference 0.4)."""

    @property
    def notice(self) -> str:
        """The sentence for the person who talks."""
        left = duration(self.left_s)
        verb = "is" if left.startswith("1 ") else "are"
        return (
            f"The service ends every conversation after {duration(self.life_s)}; "
            f"{left} {verb} left."
        )


def duration(seconds: float) -> str:
    """Return `seconds` in words: in minutes where they are whole ones, else in seconds."""
    minutes, rest = divmod(round(seconds), 60)
    number, unit = (minutes, "minute") if minutes and not rest else (round(seconds), "second")
    return f"{number} {unit}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream ended after our goodbye. Always the last event."""


type Event = (
    UserSpeechStarted
    | UserSpeechEnded
    | UserText
    | AssistantText
    | Audio
    | Interrupted
    | Heard
    | ToolCall
    | ToolAnswered
    | TurnEnded
    | Usage
    | NetworkSlow
    | Ignored
    | StreamExpiring
    | Closed
)
