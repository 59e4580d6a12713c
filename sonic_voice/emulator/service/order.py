"""The service's legal order, as a table: (state, kind of input) -> the next state, or the error.

A stream is NEW until `sessionStart`, in SESSION until `promptStart`, in PROMPT while the system
prompt and the history come, LIVE while the audio container is open, QUIET after it was closed,
ENDED after `promptEnd` and OVER after `sessionEnd` (reference 2.1, 11.3).

A pair that is not in the table is refused with the service's text for anything out of place.
`Tolerated` stands for steps that real clients take and whose sessions work nevertheless. They are
noted, and refused only in strict mode, with the text that the service has for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from ...wire import (
    AudioInput,
    AudioStart,
    ContentEnd,
    Input,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolResult,
    ToolResultStart,
    UnknownInput,
)

INVALID = "Invalid input request, please fix your input and try again."
UNEXPECTED = "The system encountered an unexpected error during processing. Try your request again."
NO_PROMPT = "No prompts were received in the sequence"
NO_AUDIO = "Prompt [{prompt}] must have at least one audio content"
OPEN_CONTENT = "Error(s):\nError 1 : All contents must be closed before ending prompt"
OPEN_PROMPT = "Error(s):\nError 1 : All prompts must be closed before ending session"
"""Text against `sessionEnd` in an open prompt. It is the only text here that was not recorded; its
wording follows that of `OPEN_CONTENT`."""


class StreamState(Enum):
    """A state of a stream; the module describes each."""

    NEW = auto()
    SESSION = auto()
    PROMPT = auto()
    LIVE = auto()
    QUIET = auto()
    ENDED = auto()
    OVER = auto()


class InputKind(Enum):
    """A kind of input event. The end of the audio container is a kind of its own."""

    SESSION_START = auto()
    PROMPT_START = auto()
    TEXT_START = auto()
    AUDIO_START = auto()
    TOOL_START = auto()
    TEXT = auto()
    AUDIO = auto()
    RESULT = auto()
    BLOCK_END = auto()
    AUDIO_END = auto()
    PROMPT_END = auto()
    SESSION_END = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Refused:
    """A verdict: the event is an error that ends the stream."""

    text: str
    """The service's text. It may contain `{prompt}`, which stands for the prompt's name."""


@dataclass(frozen=True, slots=True)
class Tolerated:
    """A verdict: the event is a mistake that the service forgives, unless it is strict."""

    state: StreamState
    """The next state."""
    rule: str
    """Name under which the mistake is noted."""
    text: str
    """The service's text in strict mode, which ends the stream."""


type Verdict = StreamState | Refused | Tolerated
"""The next state of a stream, or the reason why there is none."""

_CAME: dict[type, InputKind] = {
    SessionStart: InputKind.SESSION_START,
    PromptStart: InputKind.PROMPT_START,
    TextStart: InputKind.TEXT_START,
    AudioStart: InputKind.AUDIO_START,
    ToolResultStart: InputKind.TOOL_START,
    TextInput: InputKind.TEXT,
    AudioInput: InputKind.AUDIO,
    ToolResult: InputKind.RESULT,
    ContentEnd: InputKind.BLOCK_END,
    PromptEnd: InputKind.PROMPT_END,
    SessionEnd: InputKind.SESSION_END,
    UnknownInput: InputKind.UNKNOWN,
}


def input_kind(record: Input, audio: str | None) -> InputKind:
    """Return the kind of an input event.

    Args:
        record: The event.
        audio: `contentName` of the open audio container, or None.
    """
    if isinstance(record, ContentEnd) and record.content == audio:
        return InputKind.AUDIO_END
    return _CAME[type(record)]


def verdict(state: StreamState, what: InputKind) -> Verdict:
    """Return the service's verdict on an input event.

    Args:
        state: The state of the stream.
        what: The kind of the event.
    """
    return TABLE.get((state, what), _OUT_OF_PLACE)


_OUT_OF_PLACE = Refused(INVALID)

NEW, SESSION, PROMPT, LIVE, QUIET, ENDED, OVER = StreamState
_IN_A_PROMPT = (PROMPT, LIVE, QUIET)

_BLOCKS = (
    InputKind.TEXT_START,
    InputKind.TEXT,
    InputKind.TOOL_START,
    InputKind.RESULT,
    InputKind.BLOCK_END,
)
_TABLE: dict[tuple[StreamState, InputKind], Verdict] = {
    (NEW, InputKind.SESSION_START): SESSION,
    (SESSION, InputKind.PROMPT_START): PROMPT,
    (SESSION, InputKind.SESSION_END): Refused(NO_PROMPT),
    # A prompt without audio cannot end. One client ends it with its audio container still open.
    (PROMPT, InputKind.AUDIO_START): LIVE,
    (PROMPT, InputKind.PROMPT_END): Refused(NO_AUDIO),
    (LIVE, InputKind.AUDIO): LIVE,
    (LIVE, InputKind.AUDIO_START): Refused(UNEXPECTED),
    (LIVE, InputKind.AUDIO_END): QUIET,
    (LIVE, InputKind.PROMPT_END): Tolerated(ENDED, "open-audio", OPEN_CONTENT),
    (QUIET, InputKind.AUDIO_START): Tolerated(LIVE, "second-audio", UNEXPECTED),
    (QUIET, InputKind.AUDIO): Tolerated(QUIET, "late-audio", INVALID),
    (QUIET, InputKind.PROMPT_END): ENDED,
    (ENDED, InputKind.AUDIO): Tolerated(ENDED, "late-audio", INVALID),
    (ENDED, InputKind.SESSION_END): OVER,
} | {(state, block): state for state in _IN_A_PROMPT for block in _BLOCKS}
for _state in _IN_A_PROMPT:
    _TABLE[_state, InputKind.SESSION_END] = Tolerated(OVER, "open-prompt", OPEN_PROMPT)
# One client sends `connectionEnd`, such an unknown name, in the place of `sessionEnd`.
for _state in (SESSION, *_IN_A_PROMPT, ENDED):
    _TABLE[_state, InputKind.UNKNOWN] = Tolerated(_state, "unknown-event", INVALID)

TABLE: Mapping[tuple[StreamState, InputKind], Verdict] = MappingProxyType(_TABLE)
"""The legal steps, and those that are refused or tolerated with a text of their own."""
