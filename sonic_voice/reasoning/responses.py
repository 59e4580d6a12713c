"""The Responses API: requests, and the reader of streamed answers.

A request is a POST to `/responses` that asks the server to store nothing. Its answer comes as typed
events; the text is in `response.output_text.delta`, a tool call in `response.output_item.done`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..chat.json_values import as_object, as_text
from ..config import ToolSpec
from .requests import (
    AnswerPart,
    ModelCall,
    ModelRequest,
    add_tools,
    calls_with_results,
    plain_messages,
)

PATH = "/responses"
"""Path of the API behind the root of the URL."""


def request_body(request: ModelRequest, model: str) -> dict[str, Any]:
    """Return the body of a request.

    Args:
        request: The request.
        model: Name of the model at the endpoint.
    """
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "store": False,
        "max_output_tokens": request.max_tokens,
        "input": list(_items(request)),
    }
    if request.system:
        body["instructions"] = request.system
    add_tools(body, request, _described, "none")
    return body


def _described(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": False,
    }


def _items(request: ModelRequest) -> Iterator[dict[str, Any]]:
    yield from plain_messages(request)
    for found in request.rounds:
        if found.text:
            yield {"role": "assistant", "content": found.text}
        for call in found.calls:
            yield {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments_json or "{}",
            }
        for call, result in calls_with_results(found):
            yield {"type": "function_call_output", "call_id": call.id, "output": result}


def read_error(piece: Mapping[str, Any]) -> str:
    """Return the error that an event reports, or an empty text.

    Args:
        piece: The event.
    """
    failed = as_object(piece.get("response")).get("error")
    error = failed or piece.get("error") or (piece if piece.get("type") == "error" else None)
    message = as_text(as_object(error).get("message"))
    return message or ("an error without a message" if error else "")


class ResponsesReader:
    """A reader of one answer. Implements `AnswerReader`."""

    def __init__(self) -> None:
        self.finished = False

    def read(self, piece: Mapping[str, Any]) -> Iterator[AnswerPart]:
        """See `AnswerReader`. Thoughts, which have events of their own, are not read."""
        match piece.get("type"):
            case "response.output_text.delta" | "response.refusal.delta":
                if text := as_text(piece.get("delta")):
                    yield text
            case "response.output_item.done":
                item = as_object(piece.get("item"))
                if item.get("type") == "function_call":
                    id = as_text(item.get("call_id"))
                    yield ModelCall(id, as_text(item.get("name")), as_text(item.get("arguments")))
            case "response.completed" | "response.incomplete":
                self.finished = True
            case _:
                pass
