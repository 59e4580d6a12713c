"""AgentCore Runtime in front of a container, as its documentation describes it.

It accepts WebSockets at `/runtimes/ARN/ws` that are authenticated by SigV4 in headers, by a
presigned URL, or by a bearer token in a header or, for browsers, in a subprotocol. It verifies no
signatures: that is not what is tested here. It passes on the headers of its list alone, closes
connections with frames over 32 KB (1009) or over 250 frames a second (1008), and asks `/ping` all
the time.
"""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

ARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/voice-abc123"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
CUSTOM = "x-amzn-bedrock-agentcore-runtime-custom-"
SENTINEL = "base64UrlBearerAuthorization"
FRAME_BYTES = 32 * 1024
FRAMES_PER_S = 250
SERVICE = "bedrock-agentcore"

_KEYS = Credentials("AKIDEXAMPLE", "secret")
_PING_S = 0.1


@dataclass
class Platform:
    """The public side of the runtime, and what has passed through it."""

    port: int
    container: int
    """Port of the container."""
    largest: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    """Size of the largest frame in each direction, in bytes."""
    pings: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Each answer to `/ping` that differs from the one before."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    connections: set[ServerConnection] = field(default_factory=set[ServerConnection])
    """Connections of clients."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/runtimes/{quote(ARN, safe='')}/ws"

    async def ping(self) -> dict[str, Any]:
        """Return the body of the container's answer, which must be one of the two states."""
        status, body = await get(self.container, "/ping")
        assert status == 200, body
        answer = json.loads(body)
        assert answer["status"] in ("Healthy", "HealthyBusy")
        if answer not in self.pings[-1:]:
            self.pings.append(answer)
            self.changed.set()
        return answer

    async def until_ping(self, status: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while self.pings[-1]["status"] != status:
                self.changed.clear()
                await self.changed.wait()
            return self.pings[-1]

    def cut(self) -> None:
        """Lose the connections of all clients."""
        for connection in self.connections:
            connection.transport.abort()

    def in_session(self, session: str) -> str:
        """Return an address that names a session, and is not signed."""
        return f"{self.url}?{SESSION}={session}"

    def signed(self, session: str = "") -> dict[str, str]:
        """Return the headers of a backend with AWS keys."""
        request = AWSRequest("GET", self.url.replace("ws:", "http:"))
        signer: Any = SigV4Auth(_KEYS, SERVICE, "us-east-1")
        signer.add_auth(request)
        return {**dict(request.headers.items()), SESSION: session or str(uuid.uuid4())}

    def presigned(self, session: str) -> str:
        """Return an address that a backend has signed for a browser."""
        request: Any = AWSRequest("GET", self.in_session(session).replace("ws:", "http:"))
        signer: Any = SigV4QueryAuth(_KEYS, SERVICE, "us-east-1", expires=300)
        signer.add_auth(request)
        return str(request.url).replace("http:", "ws:")

    @asynccontextmanager
    async def opened(
        self,
        url: str = "",
        *,
        headers: dict[str, str] | None = None,
        subprotocols: list[str] | None = None,
    ) -> AsyncGenerator[ClientConnection]:
        offered = [Subprotocol(name) for name in subprotocols or ()]
        async with connect(
            url or self.url,
            additional_headers=headers or {},
            subprotocols=offered or None,
            compression=None,
            max_queue=None,
            max_size=None,
            proxy=None,
        ) as connection:
            yield connection


def bearer_protocols(token: str) -> list[str]:
    """Return the subprotocols by which a browser sends a token."""
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return [f"{SENTINEL}.{encoded}", SENTINEL]


async def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Return status and body of the container's answer, without the platform."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    finally:
        writer.close()
    return int(head.split()[1]), body


@asynccontextmanager
async def platform(container: int) -> AsyncGenerator[Platform]:
    """Run the platform in front of the port of a container that answers `/ping`."""
    here = Platform(0, container)
    await here.ping()

    async def pinging() -> None:
        while True:
            with suppress(OSError):
                await here.ping()
            await asyncio.sleep(_PING_S)

    async def pass_on(connection: ServerConnection) -> None:
        assert connection.request is not None
        here.connections.add(connection)
        headers = _forwarded(connection.request, connection.subprotocol)
        where = f"ws://127.0.0.1:{container}/ws"
        try:
            inner = connect(
                where, additional_headers=headers, compression=None, max_size=None, proxy=None
            )
            async with inner as socket, asyncio.TaskGroup() as tasks:
                tasks.create_task(_pump(connection, socket, here, "up"))
                tasks.create_task(_pump(socket, connection, here, "down"))
        finally:
            here.connections.discard(connection)
            await connection.close()

    server = await serve(
        pass_on,
        "127.0.0.1",
        0,
        process_request=_authenticate,
        select_subprotocol=lambda _, offered: SENTINEL if SENTINEL in offered else None,  # pyright: ignore[reportArgumentType]
        compression=None,
        max_size=None,
    )
    async with server:
        here.port = next(iter(server.sockets)).getsockname()[1]
        task = asyncio.create_task(pinging())
        try:
            yield here
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _authenticate(connection: ServerConnection, request: Request) -> Response | None:
    path, query = urlsplit(request.path)[2:4]
    parameters = dict(parse_qsl(query))
    authorization = request.headers.get("Authorization", "")
    protocols = request.headers.get("Sec-WebSocket-Protocol", "")
    if unquote(path) != f"/runtimes/{ARN}/ws":
        return connection.respond(HTTPStatus.NOT_FOUND, "ResourceNotFoundException")
    if not (
        authorization.startswith(("AWS4-HMAC-SHA256 ", "Bearer "))
        or parameters.keys() >= {"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Expires"}
        or f"{SENTINEL}." in protocols
    ):
        return connection.respond(HTTPStatus.FORBIDDEN, "AccessDeniedException")
    return None


def _forwarded(request: Request, subprotocol: str | None) -> dict[str, str]:
    """Return the headers that the container receives: a runtime with a JWT authorizer, and with
    `Authorization` in its list."""
    parameters = dict(parse_qsl(urlsplit(request.path).query))
    given = request.headers.get(SESSION) or parameters.get(SESSION)
    custom = {name: text for name, text in parameters.items() if name.lower().startswith(CUSTOM)}
    headers = {SESSION: given or str(uuid.uuid4()), **custom}
    authorization = request.headers.get("Authorization", "")
    if authorization.startswith("Bearer "):
        headers["Authorization"] = authorization
    elif subprotocol == SENTINEL:
        offered = request.headers["Sec-WebSocket-Protocol"].split(",")
        token = next(name.strip() for name in offered if f"{SENTINEL}." in name).partition(".")[2]
        decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        headers["Authorization"] = f"Bearer {decoded}"
    return headers


async def _pump(
    source: ServerConnection | ClientConnection,
    target: ServerConnection | ClientConnection,
    here: Platform,
    way: str,
) -> None:
    """Pass on messages frame by frame, and enforce the limits."""
    second, count = 0, 0
    over = 0

    async def frames(parts: AsyncIterator[str | bytes]) -> AsyncIterator[Any]:
        nonlocal second, count, over
        async for part in parts:
            size = len(part.encode() if isinstance(part, str) else part)
            here.largest[way] = max(here.largest[way], size)
            second, count = (second, count + 1) if int(time.time()) == second else (0, 1)
            second = second or int(time.time())
            over = 1009 if size > FRAME_BYTES else 1008 if count > FRAMES_PER_S else over
            if over:
                return
            yield part

    try:
        while not over:
            whole = frames(source.recv_streaming())
            first = await anext(whole, None)
            if first is not None:
                parts = [first, *[part async for part in whole]]
                await target.send(parts if len(parts) > 1 else first)
        await source.close(over)
        await target.close(over)
    except ConnectionClosed as closed:
        close = closed.rcvd or closed.sent
        await target.close(close.code if close else 1011, close.reason if close else "")
