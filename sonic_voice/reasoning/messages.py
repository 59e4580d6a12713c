"""The Messages API: requests, and the reader of streamed answers.

A request is a POST to `/messages` with the header `anthropic-version`. Its answer comes as content
blocks: `content_block_start`, deltas with text or with a part of a call's JSON, and
`content_block_stop`. `message_stop` ends it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..chat.json_values import as_object, as_text, parse_object
from .requests import AnswerPart, ModelCall, ModelRequest, calls_with_results

PATH = "/messages"
"""Path of the API behind the root of the URL."""

VERSION = "2023-06-01"
"""Value of the header `anthropic-version`."""


def request_body(request: ModelRequest, model: str) -> dict[str, Any]:
    """Return the body of a request.

    Args:
        request: The request.
        model: Name of the model at the endpoint.
    """
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "max_tokens": request.max_tokens,
        "messages": list(_messages(request)),
    }
    if request.system:
        body["system"] = request.system
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
            for tool in request.tools
        ]
        if not request.may_call:
            body["tool_choice"] = {"type": "none"}
    return body


def _messages(request: ModelRequest) -> Iterator[dict[str, Any]]:
    for message in request.messages:
        yield {"role": message.role.lower(), "content": message.text}
    for found in request.rounds:
        blocks: list[dict[str, Any]] = []
        if found.text:
            blocks.append({"type": "text", "text": found.text})
        for call in found.calls:
            arguments = dict(parse_object(call.arguments_json) or {})
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
            blocks.append(block)
        yield {"role": "assistant", "content": blocks}
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": result}
            for call, result in calls_with_results(found)
        ]
        yield {"role": "user", "content": results}


def read_error(piece: Mapping[str, Any]) -> str:
    """Return the error that an event reports, or an empty text.

    Args:
        piece: The event.
    """
    if piece.get("type") != "error":
        return ""
    return as_text(as_object(piece.get("error")).get("message")) or "an error without a message"


class MessagesReader:
    """A reader of one answer. Implements `AnswerReader`."""

    def __init__(self) -> None:
        self.finished = False
        self._calls: dict[object, tuple[str, str, list[str]]] = {}
        """Id, name and JSON so far of the calls whose block is open, by the index of the block."""

    def read(self, piece: Mapping[str, Any]) -> Iterator[AnswerPart]:
        """See `AnswerReader`. Thoughts, which have deltas of their own, are not read."""
        index = piece.get("index")
        match piece.get("type"):
            case "content_block_start":
                self._start(index, as_object(piece.get("content_block")))
            case "content_block_delta":
                delta = as_object(piece.get("delta"))
                if text := as_text(delta.get("text")):
                    yield text
                if index in self._calls:
                    self._calls[index][2].append(as_text(delta.get("partial_json")))
            case "content_block_stop" if index in self._calls:
                id, name, parts = self._calls.pop(index)
                yield ModelCall(id, name, "".join(parts) or "{}")
            case "message_stop":
                self.finished = True
            case _:
                pass

    def _start(self, index: object, block: Mapping[str, Any]) -> None:
        if block.get("type") != "tool_use":
            return
        given = as_object(block.get("input"))
        parts = [json.dumps(given)] if given else []
        self._calls[index] = (as_text(block.get("id")), as_text(block.get("name")), parts)
