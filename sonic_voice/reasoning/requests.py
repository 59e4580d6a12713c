"""A request to a text model, and the parts of its answer, whatever API the model is behind.

A turn may take several requests: the model answers with tool calls, which are made, and is asked
again with their results. Each such exchange is a `ToolRound`.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ..config import ToolSpec
from ..history import ASSISTANT_FIRST, Message


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A tool call of a text model."""

    id: str
    """Id of the call, under which its result is sent."""
    name: str
    arguments_json: str
    """Arguments as the model wrote them."""


@dataclass(frozen=True, slots=True)
class ToolRound:
    """An answer of a model that called tools, with the results of the calls."""

    text: str
    """Text that the model wrote before its calls; may be empty."""
    calls: tuple[ModelCall, ...]
    results: tuple[str, ...]
    """Result of each call, a JSON object as a string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A request to a text model."""

    system: str
    """System prompt; may be empty."""
    messages: tuple[Message, ...]
    """Conversation so far, the words to answer last; it begins with the user, roles alternate."""
    tools: tuple[ToolSpec, ...] = ()
    rounds: tuple[ToolRound, ...] = ()
    """Answers of this turn with tool calls, in their order."""
    may_call: bool = True
    """False if the model shall answer without further tool calls."""
    max_tokens: int = 1024
    """Maximum length of the answer, in tokens."""


type AnswerPart = str | ModelCall
"""A part of a model's answer: a piece of its text, or a whole tool call."""


class ModelApi(Protocol):
    """A text model behind an API."""

    def answer(self, request: ModelRequest) -> AsyncGenerator[AnswerPart]:
        """Yield the parts of an answer as they come. Cancelling it ends the request.

        Args:
            request: The request.

        Raises:
            SonicError: There is no answer, or it broke off.
        """
        ...

    async def aclose(self) -> None:
        """Release what the requests share. Requests are ended by their readers."""
        ...


class AnswerReader(Protocol):
    """A reader of the JSON objects of one answer."""

    @property
    def finished(self) -> bool:
        """True once the model has said that its answer is complete."""
        ...

    def read(self, piece: dict[str, Any]) -> Iterable[AnswerPart]:
        """Return the parts that an object completes.

        Args:
            piece: The object.
        """
        ...


def begun_by_user(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Return messages as text models take them: the user first, and roles that alternate.

    Args:
        messages: Messages, the oldest first. Blank ones are left out.
    """
    merged: list[Message] = []
    for message in messages:
        if not message.text.strip():
            continue
        if merged and merged[-1].role == message.role:
            message = Message(message.role, f"{merged.pop().text}\n{message.text}")
        merged.append(message)
    if merged and merged[0].role == "ASSISTANT":
        merged.insert(0, Message("USER", ASSISTANT_FIRST))
    return tuple(merged)


def calls_with_results(found: ToolRound) -> Iterator[tuple[ModelCall, str]]:
    """Yield the calls of a round, each with its result.

    Args:
        found: The round.
    """
    yield from zip(found.calls, found.results, strict=True)


def plain_messages(request: ModelRequest) -> Iterator[dict[str, Any]]:
    """Yield the messages of a request as the HTTP APIs write them: a role and a text.

    Args:
        request: The request.
    """
    for message in request.messages:
        yield {"role": message.role.lower(), "content": message.text}


def add_tools(
    body: dict[str, Any],
    request: ModelRequest,
    describe: Callable[[ToolSpec], dict[str, Any]],
    no_calls: object,
) -> None:
    """Add the tools of a request to its body, as the HTTP APIs write them.

    Args:
        body: The body.
        request: The request; without tools nothing is added.
        describe: Returns what the API says of a tool.
        no_calls: Value of `tool_choice` that forbids calls.
    """
    if request.tools:
        body["tools"] = [describe(tool) for tool in request.tools]
        if not request.may_call:
            body["tool_choice"] = no_calls


class CallBlocks:
    """The tool calls of an answer that comes in content blocks, a call's JSON in parts."""

    def __init__(self) -> None:
        self._open: dict[object, tuple[str, str, list[str]]] = {}
        """Id, name and JSON so far of the calls whose block is open, by the index of the block."""

    def begin(self, index: object, id: str, name: str, arguments_json: str = "") -> None:
        """Note the begin of a call.

        Args:
            index: Index of its block.
            id: Its id.
            name: Name of the tool.
            arguments_json: JSON that comes with the begin.
        """
        self._open[index] = id, name, [arguments_json]

    def add(self, index: object, part: str) -> None:
        """Add a part of a call's JSON. Nothing happens if the block is not that of a call.

        Args:
            index: Index of the block.
            part: The part.
        """
        if index in self._open:
            self._open[index][2].append(part)

    def end(self, index: object) -> Iterator[ModelCall]:
        """Yield the call of a block that has ended, if it is that of a call.

        Args:
            index: Index of the block.
        """
        if index in self._open:
            id, name, parts = self._open.pop(index)
            yield ModelCall(id, name, "".join(parts) or "{}")
