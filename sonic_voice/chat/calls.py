"""The tool calls of an answer, put together from their pieces, and the tools that they mean.

OpenAI's servers give each call an index, and send id and name once. Others give every call the
index 0, or none; repeat id and name in every piece; or leave out the id. A piece belongs to the
call of its index or, without one, of its id, or else to the latest call. It begins another call
where an id or a name comes to a call that is already complete:

    piece                          latest call of its index      is
    another id, a name             complete, or without arguments, or of another name    a new call
    no id, a name and arguments    complete                      a new call
    anything else                                                a part of the call
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from .json_values import Json, as_object, parse_object
from .pieces import CallPiece


@dataclass(slots=True)
class ChatToolCall:
    """A tool call that the endpoint made."""

    id: str = ""
    """Id that the endpoint gave the call, or one of ours if it gave none."""
    tool: str = ""
    arguments_json: str = ""
    result_json: str | None = None
    """Result of the tool; None until it arrives."""


@dataclass(slots=True)
class IncomingCalls:
    """The tool calls of an answer that is still being received."""

    calls: list[ChatToolCall] = field(default_factory=list[ChatToolCall])
    """The calls, in the order of their beginning."""
    _by_index: dict[int, ChatToolCall] = field(default_factory=dict[int, ChatToolCall])
    """Latest call of each index."""

    def add(self, piece: CallPiece) -> None:
        """Add a piece of a call.

        Args:
            piece: The piece.
        """
        call = self._call_of(piece)
        if call is None or _begins_another(piece, call):
            call = ChatToolCall()
            self.calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        call.id = call.id or piece.id
        if not call.tool or piece.tool.startswith(call.tool):  # repeated, or longer than before
            call.tool = piece.tool or call.tool
        else:
            call.tool += piece.tool
        call.arguments_json += piece.arguments_json

    def _call_of(self, piece: CallPiece) -> ChatToolCall | None:
        if piece.index is not None:
            return self._by_index.get(piece.index)
        same_id = [call for call in self.calls if piece.id and call.id == piece.id]
        latest = next(reversed(same_id or self.calls), None)
        # Without an index, an unknown id with a name is another call.
        known = not (piece.id and piece.tool) or same_id or (latest and not latest.id)
        return latest if known else None


def _begins_another(piece: CallPiece, call: ChatToolCall) -> bool:
    if not piece.tool or not call.tool:
        return False
    complete = parse_object(call.arguments_json) is not None
    if piece.id and call.id and piece.id != call.id:
        return complete or not call.arguments_json or piece.tool != call.tool
    return not piece.id and complete and bool(piece.arguments_json)


def parse_arguments(text: str) -> Json | None:
    """Return the arguments of a call, or None if they are no JSON object.

    Empty text and null are no arguments. Servers also send the object as a JSON text, twice, or
    after an empty object.

    Args:
        text: The arguments as they were received.
    """
    decoder, at, found = json.JSONDecoder(), 0, list[Json]()
    text = text.strip()
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        if isinstance(value, str) and text[0] == '"':
            return parse_arguments(value) if at == len(text) and value[:1] != '"' else None
        if value is not None and not isinstance(value, dict):
            return None
        found.append(as_object(value))
        at += len(text[at:]) - len(text[at:].lstrip())
    filled = [one for one in found if one]
    if any(one != filled[0] for one in filled):
        return None
    return filled[0] if filled else {}


def resolve_tool(name: str, tools: Iterable[str]) -> str | None:
    """Return the tool that a name means, or None if it means none or several.

    Models put a namespace before a name (`functions.sing`), leave a tag of their template behind
    it, or spell it in another case or with other marks between its words.

    Args:
        name: The name in a call.
        tools: Names of the tools that are offered.
    """
    tools = list(tools)
    if name in tools:
        return name
    bare = name.partition("<|")[0]
    last = re.split(r"[.:/]", bare.strip())[-1]
    for spelling in (bare, last):
        meant = [tool for tool in tools if _plain(spelling) and _plain(tool) == _plain(spelling)]
        if len(meant) == 1:
            return meant[0]
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()
