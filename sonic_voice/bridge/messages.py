"""The text frames: JSON objects with a `type`, read into records, written from events.

A page says little, and each word of it is checked here; unknown fields are left aside so that a
later page can say more, an unknown type is refused. `web_client/README.md` describes them all.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ..events import (
    AssistantText,
    Event,
    Heard,
    Interrupted,
    NetworkSlow,
    StreamExpiring,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from .closing import BridgeRefusal, Close

VERSION = 1
SUBPROTOCOL = f"sonic-voice.v{VERSION}"

TEXT_BYTES = 8 * 1024
"""The longest text frame of a page."""

SAID_CHARACTERS = 2000
"""The longest typed turn."""

ALIVE = json.dumps({"type": "alive"}, separators=(",", ":"))
"""A sign of life. It has no number: it is of the connection, not of the conversation."""

_MOST = 1 << 32


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the sound of a turn: after so many of its samples. Turn 0: before everything."""

    turn: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: who it is, and what it would like."""

    version: int
    token: str = ""
    voice: str = ""
    language: str = ""
    resume: str = ""
    """What `ready` gave, to go on with that conversation."""
    seen: int = 0
    """The last `seq` that came, when resuming."""
    received: Position = Position()
    """The sound that came, when resuming."""


@dataclass(frozen=True, slots=True)
class Played:
    """How much has sounded, and in which epoch the page lives."""

    epoch: int
    at: Position


@dataclass(frozen=True, slots=True)
class Say:
    """A typed turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Cut the answer off."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The goodbye."""


type PageMessage = Hello | Played | Say | Interrupt | Bye


def read_message(text: str) -> PageMessage:
    """What a page says. Raises `BridgeRefusal`: `BAD_MESSAGE`, `UNKNOWN_MESSAGE` or `TOO_BIG`."""
    if len(text) > TEXT_BYTES or len(text.encode("utf-8", "replace")) > TEXT_BYTES:
        raise BridgeRefusal(Close.TOO_BIG)
    try:
        document = json.loads(text, parse_constant=_no_number)
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


@dataclass(frozen=True, slots=True)
class _Fields:
    """A JSON object, its members checked as they are taken."""

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

    def position(self, name: str) -> Position:
        value = self.members.get(name, {})
        if not isinstance(value, dict):
            raise BridgeRefusal(Close.BAD_MESSAGE)
        fields = _Fields(cast(dict[str, Any], value))
        return Position(fields.count("turn"), fields.count("samples"))


def _hello(fields: _Fields) -> Hello:
    return Hello(
        version=fields.count("version"),
        token=fields.text("token", 4096),
        voice=fields.text("voice", 64),
        language=fields.text("language", 64),
        resume=fields.text("resume", 256),
        seen=fields.count("seen"),
        received=fields.position("received"),
    )


def _played(fields: _Fields) -> Played:
    return Played(fields.count("epoch"), Position(fields.count("turn"), fields.count("samples")))


def _say(fields: _Fields) -> Say:
    text = fields.text("text")
    if not text.strip():
        raise BridgeRefusal(Close.BAD_MESSAGE)
    try:
        text.encode()  # JSON can spell half a surrogate pair, UTF-8 cannot
    except UnicodeEncodeError as error:
        raise BridgeRefusal(Close.BAD_MESSAGE) from error
    return Say(text)


_READERS: dict[str, Callable[[_Fields], PageMessage]] = {
    "hello": _hello,
    "played": _played,
    "say": _say,
    "interrupt": lambda _: Interrupt(),
    "bye": lambda _: Bye(),
}


def encode_event(event: Event, *, show_tools: bool) -> dict[str, Any] | None:
    """What a page is told of `event`; None: nothing.

    What a tool was asked and what it answered is the application's, and told only with
    `show_tools`.
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
        case ToolCall(turn, tool_use, name, arguments_json):
            facts = {"turn": turn, "tool_use": tool_use, "name": name}
            shown = {"arguments_json": arguments_json} if show_tools else {}
            return {"type": "tool_call", **facts, **shown}
        case ToolAnswered(turn, tool_use, name, result_json):
            facts = {"turn": turn, "tool_use": tool_use, "name": name}
            shown = {"result_json": result_json} if show_tools else {}
            return {"type": "tool_answered", **facts, **shown}
        case TurnEnded(turn):
            return {"type": "turn_ended", "turn": turn}
        case StreamExpiring() | NetworkSlow():
            return {"type": "notice", "text": event.notice}
        case _:
            return None
