"""The events that a session yields to its owner, in the order in which they happen.

A *turn* is the user's words and the answer to them, numbered from 1 for the whole session. An
answer is reported three times: as `AssistantText` with stage SPECULATIVE once it is planned, as
`Audio` with its sound, and as `AssistantText` with stage FINAL as the service assumes that it was
spoken.
"""

from dataclasses import dataclass, field
from typing import Any

from .catalog import EXPERT_TOOL
from .errors import SonicError
from .wire import Stage, Tokens


@dataclass(frozen=True, slots=True)
class UserSpeechStarted:
    """The beginning of the user's speech, as the service noticed it (v2 and later)."""

    offset_ms: int
    """Position in the audio sent at which the user began to speak, in ms."""


@dataclass(frozen=True, slots=True)
class UserSpeechEnded:
    """The end of the user's speech, as the service noticed it (v2 and later)."""

    offset_ms: int
    """Position in the audio sent at which the user stopped, in ms."""
    detected_ms: int
    """Position in the audio sent at which the service noticed it, in ms."""


@dataclass(frozen=True, slots=True)
class UserText:
    """Words that the user said or typed. A turn may have several, which belong together."""

    turn: int
    text: str
    typed: bool = False
    """True if the words were sent as text."""


@dataclass(frozen=True, slots=True)
class AssistantText:
    """The text of one block of an answer.

    Blocks are joined without separators. A FINAL text replaces the SPECULATIVE text of its block.
    """

    turn: int
    block: int
    """Number of the block within its turn, from 0."""
    text: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound of an answer. It comes faster than it plays."""

    turn: int
    pcm: bytes
    """s16le mono PCM."""
    rate_hz: int
    """Sample rate of the PCM, in Hz."""
    sound_block: int = field(default=0, compare=False)
    """Number of the service's block of sound within the session, from 1; 0 if it is not known."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """Words that the guard has flagged (`guards`), so that something is not heard.

    A sentence of the answer is withheld: no sample of it is played, and an `AssistantText` with the
    replacement comes in place of its text. If words of the user were flagged, the whole answer to
    them is withheld, and tools that it calls are not run.
    """

    turn: int
    role: str
    """`USER` or `ASSISTANT`: the side whose words were flagged."""
    text: str
    """The flagged words. They are for the application; pages and terminals do not show them."""
    reason: str
    """The guard's reason, in words."""

    @property
    def notice(self) -> str:
        """A sentence for the user."""
        reason = f" ({self.reason})" if self.reason else ""
        if self.role == "USER":
            return f"The guard withholds the answer to these words{reason}."
        return f"The guard withheld a sentence{reason}."


@dataclass(frozen=True, slots=True)
class GuardFailed:
    """A guard that gave no verdict on words: it failed, or its time was over."""

    turn: int
    role: str
    """`USER` or `ASSISTANT`: the side whose words were not judged."""
    reason: str
    """The failure, in a sentence."""
    withheld: bool
    """True if the words count as flagged (policy `closed`), False if they pass (`open`)."""

    @property
    def notice(self) -> str:
        """A sentence for the user."""
        effect = "What it would have judged is withheld" if self.withheld else "The words pass"
        return f"The guard gave no verdict: {self.reason} {effect}."


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A barge-in: playback of the turn must stop at once.

    It comes once for a turn, at the first sign of the barge-in.
    """

    turn: int
    sign: str
    """The sign that the service sent: `userSpeechStart`, `marker` or `contentEnd`."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The part of an interrupted answer that reached the listener, by the playout clock."""

    turn: int
    heard_ms: int
    """Sound of the answer that was played, in ms."""
    heard: str
    """The words that were heard."""
    planned: str
    """The whole answer as it was planned."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model. Exactly one result must be sent for it.

    `converse` sends it, and also runs the calls of a reasoner, which observers receive like those
    of the model.
    """

    turn: int
    tool_use: str
    """Id of the call, under which the result is sent."""
    name: str
    arguments_json: str
    """Arguments as the model wrote them: a JSON object as a string."""
    by_reasoner: bool = False
    """True if the reasoner has made the call, and gets the result; the service is not involved."""

    @property
    def reserved(self) -> bool:
        """True for `ExpertTool`, with which the model asks for its own words: views show those."""
        return self.name == EXPERT_TOOL


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """Words of a running tool for the user: a report of it, or its acknowledgement.

    Nova 2.5 is asked to say them; with other models they are shown only.
    """

    turn: int
    tool_use: str
    name: str
    text: str
    """A sentence, such as "I have found three of five."."""


@dataclass(frozen=True, slots=True)
class PictureShown:
    """A picture that a tool shows to the user (`ToolContext.show`)."""

    turn: int
    tool_use: str
    name: str
    alt: str
    """The content of the picture, in words."""
    media_type: str
    """`image/png`, `image/jpeg` or `image/webp`."""
    data: bytes = field(repr=False)
    """The file, at most `pictures.MAX_PICTURE_BYTES`."""

    @property
    def notice(self) -> str:
        """A sentence for a user who has no page."""
        return f"Picture: {self.alt}"

    @property
    def facts(self) -> dict[str, Any]:
        """The fields as JSON values, with the size of the file in its place."""
        return {
            "turn": self.turn,
            "tool_use": self.tool_use,
            "name": self.name,
            "alt": self.alt,
            "media_type": self.media_type,
            "size_bytes": len(self.data),
        }


@dataclass(frozen=True, slots=True)
class ToolHeld:
    """A tool whose result is there, and is sent when neither side speaks."""

    turn: int
    tool_use: str
    name: str

    @property
    def notice(self) -> str:
        """A sentence for the user."""
        return "Its answer waits for a pause."


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """The result that was sent for a tool call, to the service or to the reasoner."""

    turn: int
    tool_use: str
    name: str
    result_json: str
    """A JSON object as a string. For `ExpertTool`: the sentences that were sent, as `text`."""
    by_reasoner: bool = False
    """True if the reasoner has made the call, and got the result."""

    @property
    def reserved(self) -> bool:
        """True for `ExpertTool`, with which the model asks for its own words: views show those."""
        return self.name == EXPERT_TOOL


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The end of a turn's answer: all its sound has come, but it may still be playing."""

    turn: int


@dataclass(frozen=True, slots=True)
class Usage:
    """A count of tokens."""

    delta: Tokens
    """Tokens of this step."""
    total: Tokens
    """Tokens of the session so far."""


@dataclass(frozen=True, slots=True)
class NetworkSlow:
    """A network that takes the user's speech more slowly than it is spoken.

    The event is repeated while this lasts. It does not end the session. A network that takes
    nothing at all ends it with an error.
    """

    late_s: float
    """Time for which the speech sent last had waited for the network, in seconds."""
    speech_per_s: float
    """Seconds of speech that the network takes in a second; below 1 it cannot keep up."""

    @property
    def notice(self) -> str:
        """A sentence for the user."""
        return (
            f"Slow network: your speech is sent {self.late_s:.1f} s late "
            f"({self.speech_per_s:.2f} s of it a second)."
        )


@dataclass(frozen=True, slots=True)
class Ignored:
    """A payload that was ignored: an unknown event, or one that cannot be read."""

    what: str
    """The reason, in words."""


@dataclass(frozen=True, slots=True)
class StreamExpiring:
    """An announcement that the service will soon end the stream, and with it this conversation.

    It comes once, after seven eighths of the stream's life: at seven of eight minutes.
    """

    left_s: float
    """Approximate time until the end, in seconds."""
    life_s: float
    """Wall-clock life of a stream, in seconds (reference 0.4)."""

    @property
    def notice(self) -> str:
        """A sentence for the user."""
        left = duration(self.left_s)
        verb = "is" if left.startswith("1 ") else "are"
        return (
            f"The service ends every conversation after {duration(self.life_s)}; "
            f"{left} {verb} left."
        )


def duration(seconds: float) -> str:
    """Return a time in words: in minutes if it is a whole number of them, else in seconds.

    Args:
        seconds: The time, in seconds.
    """
    minutes, rest = divmod(round(seconds), 60)
    number, unit = (minutes, "minute") if minutes and not rest else (round(seconds), "second")
    return f"{number} {unit}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Opened:
    """The beginning of the conversation: the service has taken the first stream.

    It is reported only where the owner did not wait for it: after `Reconnecting` events, and in a
    session that keeps the audio of its opening (`early_audio`).
    """

    waited_ms: int
    """Time since the session was entered, in ms."""
    replayed_ms: int
    """Audio of the user that was kept meanwhile and is now sent, in ms."""


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """A fault that interrupted the conversation, or its opening: a new stream will be opened.

    What the user says meanwhile is kept, up to 30 s of it, and sent to the new stream. One event
    comes for each attempt. `Renewed` or `Opened` follows when one succeeds, `Ended` otherwise.
    """

    reason: str
    """The fault, in a sentence."""
    attempt: int
    """Number of the attempt, from 1."""
    retry_in_s: float
    """Time until the attempt begins, in seconds."""
    kind: str = "other"
    """The fault, in a word of `errors.fault_kind`."""

    @property
    def notice(self) -> str:
        """A sentence for the user."""
        when = "now" if self.retry_in_s < 1 else f"in {duration(self.retry_in_s)}"
        return f"{self.reason} Connecting again {when}."


PLANNED_RENEWALS = frozenset({"age", "credentials", "update", "suspended"})
"""Reasons of a renewal that no fault made necessary: the age of the stream, the expiry of its
credentials, a changed configuration, a process that had been suspended."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new stream that carries the conversation on."""

    gap_ms: int
    """Time during which no stream took the user's audio, in ms; 0 for a planned renewal."""
    replayed_ms: int
    """Audio of the user that was sent before and is sent to the new stream again, in ms."""
    reason: str
    """The reason: one of `PLANNED_RENEWALS`, else the fault in a sentence."""

    @property
    def planned(self) -> bool:
        """True if no fault made the new stream necessary. The user does not notice it."""
        return self.reason in PLANNED_RENEWALS

    @property
    def notice(self) -> str:
        """A sentence for the user."""
        if self.planned:
            return f"The conversation moved to a new stream ({self.reason})."
        return f"Connected again after {self.gap_ms / 1000:.1f} s. The conversation goes on."


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the conversation by a fault that could not be recovered from.

    It is the last event. The session then raises the error.
    """

    error: SonicError


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of the stream after our goodbye. It is always the last event."""


type Event = (
    UserSpeechStarted
    | UserSpeechEnded
    | UserText
    | AssistantText
    | Audio
    | Guarded
    | GuardFailed
    | Interrupted
    | Heard
    | ToolCall
    | ToolProgress
    | PictureShown
    | ToolHeld
    | ToolAnswered
    | TurnEnded
    | Usage
    | NetworkSlow
    | Ignored
    | StreamExpiring
    | Opened
    | Reconnecting
    | Renewed
    | Ended
    | Closed
)
