"""Stand-ins of text models behind the four APIs of reasoners, as real servers on loopback.

Each answers a request with the next of its moves, which are written once for all APIs (`Answer`),
and writes down what it was asked, and when a client went away before its answer was complete.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

from aiohttp import web

from .converse_server import ConverseServer

Kind = Literal["openai", "responses", "messages", "converse"]
"""An API, as the addresses of reasoners name it."""

KINDS: tuple[Kind, ...] = ("openai", "responses", "messages", "converse")
PATHS = {"openai": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


class Answer(Protocol):
    """The answer to one request, in any API."""

    async def text(self, *pieces: str) -> None:
        """Send pieces of text."""
        ...

    async def call(self, id: str, name: str, *arguments: str) -> None:
        """Send a tool call whose arguments come in parts."""
        ...

    async def stop(self, reason: str = "end_turn") -> None:
        """End the answer as complete."""
        ...

    async def refuse(self, status: int, code: str, message: str) -> None:
        """Answer with an HTTP error."""
        ...


type Move = Callable[[Any], Awaitable[None]]
"""Answers a request; it gets an `Answer`."""


def saying(*pieces: str) -> Move:
    """Return a move that answers with pieces of text."""

    async def move(answer: Answer) -> None:
        await answer.text(*pieces)
        await answer.stop()

    return move


def calling(name: str, *arguments: str, before: str = "") -> Move:
    """Return a move that answers with a tool call."""

    async def move(answer: Answer) -> None:
        if before:
            await answer.text(before)
        await answer.call("call-1", name, *arguments)
        await answer.stop("tool_use")

    return move


class TextModel(Protocol):
    """A stand-in that runs."""

    asked: list[dict[str, Any]]
    """Bodies of the requests."""
    left: asyncio.Event
    """Set when a client went away before its answer was complete."""
    left_s: list[float]
    """Times at which clients did, in seconds of the loop's clock."""


class HttpTextModel:
    """The stand-in of one of the three HTTP APIs."""

    def __init__(self, kind: Kind, moves: Sequence[Move]) -> None:
        self.kind: Kind = kind
        self.moves = list(moves)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = asyncio.Event()
        self.left_s: list[float] = []
        self.address = ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["HttpTextModel"]:
        """Listen on loopback until the block ends."""
        application = web.Application()
        application.router.add_post(PATHS[self.kind], self._serve)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        self.address = f"{self.kind}:http://{host}:{port}/v1#stand-in"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        answer = _ANSWERS[self.kind](request)
        try:
            await self.moves.pop(0)(answer)
        except asyncio.CancelledError:
            self.left_s.append(asyncio.get_running_loop().time())
            self.left.set()
            raise
        return answer.response


class _SseAnswer:
    """An answer of server-sent events."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._begun = False

    async def refuse(self, status: int, code: str, message: str) -> None:
        """See `Answer`."""
        self.response = web.StreamResponse(
            status=status, headers={"Content-Type": "application/json"}
        )
        await self.response.prepare(self._request)
        error = {"error": {"type": code, "message": message}}
        await self.response.write(json.dumps(error).encode())

    async def _send(self, event: Any, name: str = "") -> None:
        if not self._begun:
            self._begun = True
            await self.response.prepare(self._request)
            await self._open()
        line = f"event: {name}\n" if name else ""
        data = event if isinstance(event, str) else json.dumps(event)
        await self.response.write(f"{line}data: {data}\n\n".encode())

    async def _open(self) -> None:
        """Send what comes before the first piece."""


class _ChatAnswer(_SseAnswer):
    async def text(self, *pieces: str) -> None:
        """See `Answer`."""
        for piece in pieces:
            await self._delta({"content": piece})

    async def call(self, id: str, name: str, *arguments: str) -> None:
        """See `Answer`."""
        function = {"name": name, "arguments": ""}
        await self._delta({"tool_calls": [{"index": 0, "id": id, "function": function}]})
        for part in arguments:
            await self._delta({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})

    async def stop(self, reason: str = "end_turn") -> None:
        """See `Answer`."""
        finish = "tool_calls" if reason == "tool_use" else "stop"
        await self._delta({}, finish)
        await self._send("[DONE]")

    async def _delta(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await self._send({"object": "chat.completion.chunk", "choices": [choice]})


class _ResponsesAnswer(_SseAnswer):
    async def _open(self) -> None:
        response: Any = {"id": "resp_1", "status": "in_progress", "error": None, "output": []}
        await self._typed("response.created", response=response)

    async def text(self, *pieces: str) -> None:
        """See `Answer`."""
        for piece in pieces:
            await self._typed(
                "response.output_text.delta",
                item_id="msg_1",
                output_index=0,
                content_index=0,
                delta=piece,
            )

    async def call(self, id: str, name: str, *arguments: str) -> None:
        """See `Answer`."""
        item = {"type": "function_call", "id": "fc_1", "call_id": id, "name": name}
        await self._typed(
            "response.output_item.added", output_index=1, item=item | {"arguments": ""}
        )
        for part in arguments:
            await self._typed(
                "response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta=part
            )
        whole = item | {"arguments": "".join(arguments), "status": "completed"}
        await self._typed("response.output_item.done", output_index=1, item=whole)

    async def stop(self, reason: str = "end_turn") -> None:
        """See `Answer`."""
        response = {"id": "resp_1", "status": "completed", "error": None}
        await self._typed("response.completed", response=response)

    async def _typed(self, kind: str, **body: Any) -> None:
        await self._send({"type": kind} | body, kind)


class _MessagesAnswer(_SseAnswer):
    _index = 0

    async def _open(self) -> None:
        message: Any = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        await self._typed("message_start", message=message)
        await self._typed("ping")

    async def text(self, *pieces: str) -> None:
        """See `Answer`."""
        block = {"type": "text", "text": ""}
        await self._typed("content_block_start", index=self._index, content_block=block)
        for piece in pieces:
            delta = {"type": "text_delta", "text": piece}
            await self._typed("content_block_delta", index=self._index, delta=delta)
        await self._typed("content_block_stop", index=self._index)
        self._index += 1

    async def call(self, id: str, name: str, *arguments: str) -> None:
        """See `Answer`."""
        block: Any = {"type": "tool_use", "id": id, "name": name, "input": {}}
        await self._typed("content_block_start", index=self._index, content_block=block)
        for part in arguments:
            delta = {"type": "input_json_delta", "partial_json": part}
            await self._typed("content_block_delta", index=self._index, delta=delta)
        await self._typed("content_block_stop", index=self._index)
        self._index += 1

    async def stop(self, reason: str = "end_turn") -> None:
        """See `Answer`."""
        await self._typed("message_delta", delta={"stop_reason": reason})
        await self._typed("message_stop")

    async def _typed(self, kind: str, **body: Any) -> None:
        await self._send({"type": kind} | body, kind)


_ANSWERS: dict[str, Callable[[web.Request], Any]] = {
    "openai": _ChatAnswer,
    "responses": _ResponsesAnswer,
    "messages": _MessagesAnswer,
}


@asynccontextmanager
async def text_model(kind: Kind, *moves: Move) -> AsyncGenerator[tuple[Any, Any]]:
    """Run a stand-in, and yield it with the model of a reasoner that asks it.

    Args:
        kind: The API.
        moves: Answers to its requests, in order.
    """
    from sonic_voice.bedrock import BedrockTransport
    from sonic_voice.reasoning.model_apis import reasoner_model

    from .converse_server import CREDENTIALS

    if kind != "converse":
        async with HttpTextModel(kind, moves).running() as served:
            yield served, reasoner_model(served.address)
        return
    async with ConverseServer(list(moves)).running() as service:
        transport = BedrockTransport(endpoint=service.url, **CREDENTIALS)
        try:
            yield service, reasoner_model("converse:stand-in", transport=lambda: transport)
        finally:
            await transport.aclose()
            assert service.problems == []
