"""The Messages API: requests, and the reader of streamed answers.

A request is a POST to `/messages` with the header `anthropic-version`. Its answer comes as content
blocks: `content_block_start`, deltas with text or with a part of a call's JSON, and
`content_block_stop`. `message_stop` ends it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..chat.json_values import as_object, as_text, parse_object
from ..config import ToolSpec
from .requests import (
    AnswerPart,
    CallBlocks,
    ModelRequest,
    add_tools,
    calls_with_results,
    plain_messages,
)

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
    add_tools(body, request, _described, {"type": "none"})
    return body


def _described(tool: ToolSpec) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.schema}


def _messages(request: ModelRequest) -> Iterator[dict[str, Any]]:
    yield from plain_messages(request)
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
        self._calls = CallBlocks()

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
                self._calls.add(index, as_text(delta.get("partial_json")))
            case "content_block_stop":
                yield from self._calls.end(index)
            case "message_stop":
                self.finished = True
            case _:
                pass

    def _start(self, index: object, block: Mapping[str, Any]) -> None:
        if block.get("type") != "tool_use":
            return
        given = as_object(block.get("input"))
        begin = json.dumps(given) if given else ""
        self._calls.begin(index, as_text(block.get("id")), as_text(block.get("name")), begin)
