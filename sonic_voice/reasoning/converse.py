"""Bedrock's Converse API: the documents of requests, and the reader of streamed answers.

The documents are those of the REST API of `ConverseStream`; the SDK sends them, and delivers the
events of the answer (`bedrock.converse_stream`). A model that has called tools must be told of them
again in each later request of the turn, and there is no tool choice that forbids calls: the last
request therefore says so in words.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..chat.json_values import as_object, as_text, parse_object
from .requests import AnswerPart, CallBlocks, ModelRequest, calls_with_results

NO_MORE_CALLS = "Answer now, without further tool calls."
"""Text behind the results of the last tool calls of a turn."""


def request_document(request: ModelRequest) -> dict[str, Any]:
    """Return the document of a request, without the id of the model.

    Args:
        request: The request.
    """
    document: dict[str, Any] = {
        "messages": list(_messages(request)),
        "inferenceConfig": {"maxTokens": request.max_tokens},
    }
    if request.system:
        document["system"] = [{"text": request.system}]
    if request.tools:
        document["toolConfig"] = {
            "tools": [
                {
                    "toolSpec": {
                        "name": tool.name,
                        "description": tool.description,
                        "inputSchema": {"json": tool.schema},
                    }
                }
                for tool in request.tools
            ]
        }
    return document


def _messages(request: ModelRequest) -> Iterator[dict[str, Any]]:
    for message in request.messages:
        yield {"role": message.role.lower(), "content": [{"text": message.text}]}
    for number, found in enumerate(request.rounds, 1):
        blocks: list[dict[str, Any]] = [{"text": found.text}] if found.text else []
        for call in found.calls:
            arguments = dict(parse_object(call.arguments_json) or {})
            use = {"toolUseId": call.id, "name": call.name, "input": arguments}
            blocks.append({"toolUse": use})
        yield {"role": "assistant", "content": blocks}
        results: list[dict[str, Any]] = [
            {"toolResult": {"toolUseId": call.id, "content": [{"json": parse_object(result)}]}}
            for call, result in calls_with_results(found)
        ]
        if not request.may_call and number == len(request.rounds):
            results.append({"text": NO_MORE_CALLS})
        yield {"role": "user", "content": results}


class ConverseReader:
    """A reader of one answer. Implements `AnswerReader`."""

    def __init__(self) -> None:
        self.finished = False
        self._calls = CallBlocks()

    def read(self, piece: Mapping[str, Any]) -> Iterator[AnswerPart]:
        """See `AnswerReader`. Thoughts, which have deltas of their own, are not read."""
        for name, body in piece.items():
            event = as_object(body)
            index = event.get("contentBlockIndex")
            match name:
                case "contentBlockStart":
                    use = as_object(as_object(event.get("start")).get("toolUse"))
                    if use:
                        id, tool = as_text(use.get("toolUseId")), as_text(use.get("name"))
                        self._calls.begin(index, id, tool)
                case "contentBlockDelta":
                    delta = as_object(event.get("delta"))
                    if text := as_text(delta.get("text")):
                        yield text
                    self._calls.add(index, as_text(as_object(delta.get("toolUse")).get("input")))
                case "contentBlockStop":
                    yield from self._calls.end(index)
                case "messageStop":
                    self.finished = True
                case _:
                    pass
