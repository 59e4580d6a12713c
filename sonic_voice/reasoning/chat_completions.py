"""The Chat Completions API: requests, and the reader of streamed answers.

A request is a POST to `/chat/completions`; its answer comes as `chat.completion.chunk` objects,
which are read in the spellings of many servers (`chat.pieces`, `chat.calls`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..chat.calls import IncomingCalls
from ..chat.pieces import read_piece
from ..chat.thoughts import without_unopened_thoughts
from ..config import ToolSpec
from .requests import (
    AnswerPart,
    ModelCall,
    ModelRequest,
    add_tools,
    calls_with_results,
    plain_messages,
)

PATH = "/chat/completions"
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
        "max_tokens": request.max_tokens,
        "messages": list(_messages(request)),
    }
    add_tools(body, request, _described, "none")
    return body


def _described(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def _messages(request: ModelRequest) -> Iterator[dict[str, Any]]:
    if request.system:
        yield {"role": "system", "content": request.system}
    yield from plain_messages(request)
    for found in request.rounds:
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json or "{}"},
            }
            for call in found.calls
        ]
        yield {"role": "assistant", "content": found.text, "tool_calls": calls}
        for call, result in calls_with_results(found):
            yield {"role": "tool", "tool_call_id": call.id, "content": result}


class ChatCompletionsReader:
    """A reader of one answer. Implements `AnswerReader`."""

    def __init__(self) -> None:
        self.finished = False
        self._incoming = IncomingCalls()

    def read(self, piece: Mapping[str, Any]) -> Iterator[AnswerPart]:
        """See `AnswerReader`. The calls come when the answer is complete."""
        answer = read_piece(piece)
        for call in answer.calls:
            self._incoming.add(call)
        text = without_unopened_thoughts(answer.text) if answer.whole else answer.text
        if text:
            yield text
        if answer.finished and not self.finished:
            self.finished = True
            for number, call in enumerate(self._incoming.calls, 1):
                yield ModelCall(call.id or f"call_{number}", call.tool, call.arguments_json)
