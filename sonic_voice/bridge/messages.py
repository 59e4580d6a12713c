"""The text frames: JSON objects with a `type`, decoded into records and encoded from events.

Messages of a page are checked completely. Unknown fields are ignored, so that a later version of
the page can send more; an unknown type is refused. `web_client/README.md` describes all messages.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from ..events import (
    AssistantText,
    Event,
    Guarded,
    Heard,
    Interrupted,
    NetworkSlow,
    Opened,
    PictureShown,
    Reconnecting,
    Renewed,
    StreamExpiring,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    ToolProgress,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from ..history import Message, Role
from .closing import BridgeRefusal, Close

VERSION = 1
"""Version of the protocol between page and bridge."""

SUBPROTOCOL = f"sonic-voice.v{VERSION}"
"""WebSocket subprotocol that both sides must agree on."""

TEXT_BYTES = 8 * 1024
"""Maximum size of a text frame of a page, in bytes of UTF-8."""

SAID_CHARACTERS = 2000
"""Maximum length of a typed turn, in characters."""

ALIVE = json.dumps({"type": "alive"}, separators=(",", ":"))
"""Message that shows that the connection works. It has no `seq`, because it belongs to the
connection and not to the conversation."""

_MOST = 1 << 32
"""Exclusive upper bound of the numbers in a message: turns and samples have 32 bits in a frame."""


@dataclass(frozen=True, slots=True)
class Position:
    """A position in the sound of a turn. Turn 0 is before all sound."""

    turn: int = 0
    """Number of the turn."""
    samples: int = 0
    """Samples of the turn before this position."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a connection. It begins a new conversation or resumes one."""

    version: int
    """Version of the protocol that the page uses."""
    token: str = ""
    """Session token; empty if it has none."""
    voice: str = ""
    """Voice that the page asks for; empty: the server's choice."""
    language: str = ""
    """Language that the page asks for, such as `fr` or `fr-FR`; empty: any."""
    resume: str = ""
    """Resume token, from `ready`; empty for a new conversation."""
    seen: int = 0
    """The last `seq` that the page received, when it resumes."""
    received: Position = Position()
    """The position up to which the page received sound, when it resumes."""
    history: tuple[Message, ...] = ()
    """Words of earlier conversations that the page has kept, for a new conversation. The page may
    have made them up: an offer uses them only if it has `page_history`."""


@dataclass(frozen=True, slots=True)
class Played:
    """A report of playback."""

    epoch: int
    """Epoch that the page plays."""
    at: Position
    """Position up to which sound was played."""


@dataclass(frozen=True, slots=True)
class Say:
    """A typed turn."""

    text: str
    """Text of the turn, not blank."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A request to cut off the answer."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer of the page to a call of one of its tools."""

    id: str
    """Id of the call."""
    result_json: str
    """Result as JSON, `null` for none; empty if the tool has failed."""
    error: str
    """Why the tool has failed, in words for the model; empty if it has not."""


@dataclass(frozen=True, slots=True)
class PictureReceived:
    """A report of how much of a picture the page has received."""

    picture: int
    """The `seq` of the picture's announcement."""
    received: int
    """Bytes from its beginning."""


@dataclass(frozen=True, slots=True)
class Bye:
    """A request to end the conversation."""


type PageMessage = Hello | Played | Say | Interrupt | ToolResult | PictureReceived | Bye


def read_message(text: str) -> PageMessage:
    """Decode and check a message of a page.

    Args:
        text: The text frame.

    Raises:
        BridgeRefusal: `TOO_BIG`, `BAD_MESSAGE` or `UNKNOWN_MESSAGE`.
    """
    if len(text) > TEXT_BYTES or len(text.encode("utf-8", "replace")) > TEXT_BYTES:
        raise BridgeRefusal(Close.TOO_BIG)
    try:
        document = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise BridgeRefusal(Close.BAD_MESSAGE) from error
    if not isinstance(document, dict):
        raise BridgeRefusal(Close.BAD_MESSAGE)
    fields = _Fields(cast(dict[str, Any], document))
    reader = _READERS.get(fields.text("type"))
    if reader is None:
        raise BridgeRefusal(Close.UNKNOWN_MESSAGE)
    return reader(fields)


def _no_number(name: str) -> float:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_number)
"""A decoder that refuses `NaN` and `Infinity`. `json.loads` would make one for each message."""


@dataclass(frozen=True, slots=True)
class _Fields:
    """A JSON object whose members are checked when they are read."""

    members: dict[str, Any]

    def text(self, name: str, most: int = SAID_CHARACTERS) -> str:
        value = self.members.get(name, "")
        if not isinstance(value, str) or len(value) > most:
            raise BridgeRefusal(Close.BAD_MESSAGE)
        return value

    def count(self, name: str) -> int:
        value = self.members.get(name, 0)
        if type(value) is not int or not 0 <= value < _MOST:
            raise BridgeRefusal(Close.BAD_MESSAGE)
        return value

    def items(self, name: str) -> list[object]:
        value = self.members.get(name, [])
        if not isinstance(value, list):
            raise BridgeRefusal(Close.BAD_MESSAGE)
        return cast(list[object], value)

    def position(self, name: str) -> Position:
        value = self.members.get(name, {})
        if not isinstance(value, dict):
            raise BridgeRefusal(Close.BAD_MESSAGE)
        fields = _Fields(cast(dict[str, Any], value))
        return Position(fields.count("turn"), fields.count("samples"))


_ROLES: dict[str, Role] = {"user": "USER", "assistant": "ASSISTANT"}
"""Roles of the history by their names in a message."""


def _history_message(value: object) -> Message:
    if not isinstance(value, dict):
        raise BridgeRefusal(Close.BAD_MESSAGE)
    fields = _Fields(cast(dict[str, Any], value))
    role, text = _ROLES.get(fields.text("role")), fields.text("text")
    if role is None or not _is_unicode(text):
        raise BridgeRefusal(Close.BAD_MESSAGE)
    return Message(role, text)


def _is_unicode(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair: JSON can contain it, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hello(fields: _Fields) -> Hello:
    return Hello(
        version=fields.count("version"),
        token=fields.text("token", 4096),
        voice=fields.text("voice", 64),
        language=fields.text("language", 64),
        resume=fields.text("resume", 256),
        seen=fields.count("seen"),
        received=fields.position("received"),
        history=tuple(_history_message(value) for value in fields.items("history")),
    )


def _played(fields: _Fields) -> Played:
    return Played(fields.count("epoch"), Position(fields.count("turn"), fields.count("samples")))


def _say(fields: _Fields) -> Say:
    text = fields.text("text")
    if not text.strip() or not _is_unicode(text):
        raise BridgeRefusal(Close.BAD_MESSAGE)
    return Say(text)


def _tool_result(fields: _Fields) -> ToolResult:
    id, error = fields.text("id", 32), fields.text("error")
    result_json = "" if error else json.dumps(fields.members.get("result"))
    if not id or not _is_unicode(error):
        raise BridgeRefusal(Close.BAD_MESSAGE)
    return ToolResult(id, result_json, error)


_READERS: dict[str, Callable[[_Fields], PageMessage]] = {
    "hello": _hello,
    "played": _played,
    "say": _say,
    "interrupt": lambda _: Interrupt(),
    "tool_result": _tool_result,
    "picture_received": lambda fields: PictureReceived(
        fields.count("picture"), fields.count("bytes")
    ),
    "bye": lambda _: Bye(),
}


def encode_event(event: Event, *, show_tools: bool) -> dict[str, Any] | None:
    """Encode an event as a message for the page.

    Args:
        event: The event of the conversation.
        show_tools: Whether to include the arguments and results of tools. They belong to the
            application and are left out otherwise.

    Returns:
        The message without its `seq`, or None if the page is not told of such events.
    """
    match event:
        case UserSpeechStarted(offset_ms):
            return {"type": "user_speech_started", "offset_ms": offset_ms}
        case UserSpeechEnded(offset_ms, detected_ms):
            facts = {"offset_ms": offset_ms, "detected_ms": detected_ms}
            return {"type": "user_speech_ended", **facts}
        case UserText(turn, text, typed):
            return {"type": "user_text", "turn": turn, "text": text, "typed": typed}
        case AssistantText(turn, block, text, stage):
            facts = {"turn": turn, "block": block, "text": text, "stage": stage}
            return {"type": "assistant_text", **facts}
        case Interrupted(turn):
            return {"type": "interrupted", "turn": turn}
        case Heard(turn, heard_ms, heard, planned):
            facts = {"turn": turn, "heard_ms": heard_ms, "heard": heard, "planned": planned}
            return {"type": "heard", **facts}
        case TurnEnded(turn):
            return {"type": "turn_ended", "turn": turn}
        case ToolCall() | ToolProgress() | PictureShown() | ToolHeld() | ToolAnswered():
            return _encode_tool_event(event, show_tools=show_tools)
        case _:
            return _encode_connection_event(event)


def _encode_tool_event(
    event: ToolCall | ToolProgress | PictureShown | ToolHeld | ToolAnswered, *, show_tools: bool
) -> dict[str, Any] | None:
    """Encode an event about a tool, as `encode_event`.

    Reports and pictures are addressed to the user: they are no data of the tool.
    """
    match event:
        case ToolCall() | ToolAnswered() if event.reserved:
            return None
        case ToolCall(turn, tool_use, name, arguments_json):
            facts = {"turn": turn, "tool_use": tool_use, "name": name}
            shown = {"arguments_json": arguments_json} if show_tools else {}
            return {"type": "tool_call", **facts, **shown}
        case ToolAnswered(turn, tool_use, name, result_json):
            facts = {"turn": turn, "tool_use": tool_use, "name": name}
            shown = {"result_json": result_json} if show_tools else {}
            return {"type": "tool_answered", **facts, **shown}
        case ToolProgress(turn, tool_use, name, text):
            facts = {"turn": turn, "tool_use": tool_use, "name": name}
            return {"type": "tool_progress", **facts, "text": text}
        case ToolHeld(turn, tool_use, name):
            return {"type": "tool_held", "turn": turn, "tool_use": tool_use, "name": name}
        case PictureShown(turn, tool_use, _, alt, kind, data):
            facts = {"turn": turn, "tool_use": tool_use, "alt": alt}
            return {"type": "picture", **facts, "media_type": kind, "bytes": len(data)}


def _encode_connection_event(event: Event) -> dict[str, Any] | None:
    """Encode an event about the connection to the service, as `encode_event`."""
    match event:
        case StreamExpiring() | NetworkSlow():
            return {"type": "notice", "text": event.notice}
        case Guarded():  # the reason and the words are the application's
            return {"type": "notice", "text": replace(event, reason="").notice}
        case Opened():
            return {"type": "listening"}
        case Reconnecting(_, attempt, retry_in_s):
            # The reason is left out, because it may contain addresses of the server's network.
            return {"type": "reconnecting", "attempt": attempt, "retry_in_s": round(retry_in_s, 3)}
        case Renewed(gap_ms, replayed_ms) if not event.planned:
            return {"type": "renewed", "gap_ms": gap_ms, "replayed_ms": replayed_ms}
        case _:
            return None
