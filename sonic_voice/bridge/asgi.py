"""The bridge inside a Starlette, FastAPI or any other ASGI application (ASGI 3.0, WebSocket 2.3).

    async with Bridge(offer, transport, access=access) as bridge:      # in the lifespan
        app.mount("/voice", asgi(bridge, load_pages(web_client())))

It can also be the whole application: it then follows the lifespan of the server, which ends its
conversations.

Configure the ASGI server to limit messages to 32 KiB, to send pings, and not to compress. The
options of `uvicorn` are:
`ws_max_size=32768, ws_ping_interval=10, ws_ping_timeout=10, ws_per_message_deflate=False`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from .agentcore import choose_subprotocol, session_id, verified_subject
from .bridge import Bridge
from .forwarding import is_remote, join_headers
from .site import PageFile, Site
from .socket import ConnectionGone

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

CLOSING_S = 2.0
"""Maximum time to send a close message, in seconds."""

_GOODBYES = (1000, 1001)
"""Close codes of a page that left on purpose, or that the user closed."""


def asgi(bridge: Bridge, pages: Mapping[str, PageFile] | None = None) -> Application:
    """Build an ASGI application with conversations at `/talk`, and the files of the page.

    Both paths are relative to where the application is mounted.

    Args:
        bridge: The open bridge. Its `access` must name the origins of all pages, including the
            application's own.
        pages: The files to serve by path, from `load_pages`; None serves no files.
    """
    site = Site(bridge, pages or {}, bridge.access)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(bridge, receive, send)
            return
        path = "/" + scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        headers = join_headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        if scope["type"] == "websocket":
            await _talk(bridge, path == site.socket_path, scope, headers, receive, send)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        response = site.answer(
            scope["method"],
            f"{path}?{query}",
            headers,
            time.time(),
            remote=is_remote(_peer(scope), headers),
        )
        answered = [
            (name.lower().encode(), value.encode()) for name, value in response.headers.items()
        ]
        await send(
            {"type": "http.response.start", "status": response.status.value, "headers": answered}
        )
        await send({"type": "http.response.body", "body": response.body})

    return application


async def _live(bridge: Bridge, receive: Receive, send: Send) -> None:
    """Follow the lifespan of a server whose whole application this is.

    The bridge ends its conversations when the server stops. Whoever has opened it leaves it.
    """
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await bridge.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _peer(scope: Scope) -> str:
    """Return the address of the peer; empty if the server does not know it."""
    return str((scope.get("client") or ("",))[0])


async def _talk(
    bridge: Bridge,
    found: bool,
    scope: Scope,
    headers: Mapping[str, str],
    receive: Receive,
    send: Send,
) -> None:
    await receive()  # websocket.connect
    if not found:
        # A close before `accept` is answered with HTTP 403.
        await send({"type": "websocket.close", "code": 1000})
        return
    agreed = choose_subprotocol(scope.get("subprotocols", ()))
    await send({"type": "websocket.accept", "subprotocol": agreed})
    access = bridge.access
    address = access.proxies.client_address(_peer(scope), headers)
    connection = _Connection(
        headers.get("origin"),
        (session_id(headers) if access.agentcore else "") or address,
        is_remote(_peer(scope), headers),
        verified_subject(headers) if access.agentcore else "",
        agreed,
        receive,
        send,
    )
    await bridge.handle(connection)


class _Connection:
    """A `Socket` over ASGI messages."""

    def __init__(
        self,
        origin: str | None,
        address: str,
        remote: bool,
        subject: str,
        subprotocol: str | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self.origin = origin
        self.address = address
        self.remote = remote
        self.subject = subject
        self.subprotocol = subprotocol
        self._receive = receive
        self._send = send

    async def receive(self) -> str | bytes:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionGone(goodbye=message.get("code") in _GOODBYES)
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def receive_each(self, take: Callable[[str | bytes], None]) -> None:
        while True:
            take(await self.receive())

    def offer(self, message: str | bytes) -> bool:
        return False  # ASGI knows sending only as something to wait for

    async def send(self, message: str | bytes) -> None:
        field = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", field: message})
        except OSError as error:  # ASGI specifies it for a connection that is closed
            raise ConnectionGone from error

    async def close(self, code: int, reason: str) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
