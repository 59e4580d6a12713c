"""A stand-in of `ConverseStream`, over HTTP/2, that checks signatures and answers with events.

It answers each request with the next of its moves, and writes down what it was asked and when a
client went away before its answer was complete.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from sonic_voice.emulator.server import LOCAL_KEYS
from sonic_voice.emulator.server.event_stream import EventStreamFrame, encode
from sonic_voice.emulator.server.sigv4 import HttpRequest, verify_request
from sonic_voice.http2.connection import H2Connection
from sonic_voice.http2.stream import H2Stream

type Move = Callable[["ConverseAnswer"], Awaitable[None]]
"""Answers a request."""


class ConverseAnswer:
    """The answer to one request."""

    def __init__(self, connection: H2Connection, stream: H2Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._begun = False

    async def event(self, name: str, **body: Any) -> None:
        """Send an event.

        Args:
            name: Its name in the API.
            body: Its members.
        """
        await self._frame({":message-type": "event", ":event-type": name}, body)

    async def exception(self, name: str, message: str) -> None:
        """Send an exception in mid-stream.

        Args:
            name: Its name in the API, such as `throttlingException`.
            message: Its text.
        """
        await self._frame(
            {":message-type": "exception", ":exception-type": name}, {"message": message}
        )

    async def text(self, *pieces: str) -> None:
        """Send pieces of text."""
        for piece in pieces:
            await self.event("contentBlockDelta", contentBlockIndex=0, delta={"text": piece})

    async def call(self, id: str, name: str, *arguments: str) -> None:
        """Send a tool call whose arguments come in parts."""
        use = {"toolUseId": id, "name": name}
        await self.event("contentBlockStart", contentBlockIndex=1, start={"toolUse": use})
        for part in arguments:
            delta = {"toolUse": {"input": part}}
            await self.event("contentBlockDelta", contentBlockIndex=1, delta=delta)
        await self.event("contentBlockStop", contentBlockIndex=1)

    async def stop(self, reason: str = "end_turn") -> None:
        """End the message."""
        await self.event("contentBlockStop", contentBlockIndex=0)
        await self.event("messageStop", stopReason=reason)

    async def refuse(self, status: int, code: str, message: str) -> None:
        """Answer with an HTTP error."""
        self._begun = True
        headers = [
            (":status", str(status)),
            ("content-type", "application/json"),
            ("x-amzn-errortype", code),
        ]
        self._connection.send_headers(self._stream, headers)
        await self._stream.write(json.dumps({"message": message}).encode())

    async def _frame(self, headers: dict[str, Any], body: dict[str, Any]) -> None:
        if not self._begun:
            self._begun = True
            kind = "application/vnd.amazon.eventstream"
            self._connection.send_headers(
                self._stream, [(":status", "200"), ("content-type", kind)]
            )
        headers[":content-type"] = "application/json"
        await self._stream.write(encode(EventStreamFrame(headers, json.dumps(body).encode())))


@dataclass
class ConverseServer:
    """The stand-in. Enter `running`, then ask it at `url`."""

    moves: list[Move]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Bodies of the requests."""
    models: list[str] = field(default_factory=list[str])
    left_s: list[float] = field(default_factory=list[float])
    """Times at which clients went away before the end, in seconds of the loop's clock."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    problems: list[str] = field(default_factory=list[str])

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["ConverseServer"]:
        """Listen on loopback until the block ends."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        connections: list[H2Connection] = []

        def connect() -> H2Connection:
            def accept(stream: H2Stream) -> None:
                task = loop.create_task(self._serve(connection, stream))
                tasks.add(task)

            connection = H2Connection(on_stream=accept)
            connections.append(connection)
            return connection

        server = await loop.create_server(connect, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for connection in connections:
                connection.cut()

    async def _serve(self, connection: H2Connection, stream: H2Stream) -> None:
        headers = dict(stream.headers or [])
        headers.setdefault("host", headers.get(":authority", ""))
        body = await stream.read()
        try:
            path = headers[":path"]
            headers.setdefault("x-amz-content-sha256", sha256(body).hexdigest())
            verify_request(HttpRequest("POST", path, "", headers), LOCAL_KEYS, datetime.now(UTC))
            assert headers["x-amz-content-sha256"] == sha256(body).hexdigest()
            _, kind, model, operation = path.split("/")
            assert (kind, operation) == ("model", "converse-stream"), path
        except Exception as error:
            self.problems.append(repr(error))
            await ConverseAnswer(connection, stream).refuse(403, "AccessDeniedException", "no")
            stream.end()
            return
        self.models.append(unquote(model))
        self.asked.append(json.loads(body))
        moving = asyncio.ensure_future(self.moves.pop(0)(ConverseAnswer(connection, stream)))
        try:
            # The client has a connection for each request.
            await asyncio.wait({moving, connection.closed}, return_when=asyncio.FIRST_COMPLETED)
            if not moving.done():
                self.left_s.append(asyncio.get_running_loop().time())
                self.left.set()
            else:
                moving.result()
                stream.end()
        finally:
            moving.cancel()


CREDENTIALS: dict[str, Any] = {
    "region": "us-east-1",
    "access_key": LOCAL_KEYS.access_key,
    "secret_key": LOCAL_KEYS.secret_key,
}
"""Arguments of a `BedrockTransport` to the stand-in, without its endpoint."""
