"""The bridge as a server of its own, or on an application's, with the `websockets` library.

    async with Bridge(offer, transport) as bridge, served(bridge, pages=load_pages(folder)) as url:

or, on a server that an application has:

    async with Bridge(offer, transport, access=access) as bridge:
        async with websockets.serve(handler(bridge), ..., **options(bridge.limits)):

Compression is off: sound does not shrink, and a decompressor is a way to fill the memory.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.http11 import Response as HttpResponse
from websockets.typing import Subprotocol

from ..errors import ConfigError
from .bridge import Bridge
from .closing import BridgeRefusal, Close
from .frames import FRAME_BYTES
from .limits import BridgeLimits
from .messages import SUBPROTOCOL
from .site import TALK, PageFile, Site
from .socket import Gone

CLOSING_S = 2.0
"""For the peer to answer a close frame; then the connection is cut."""

_quiet = logging.getLogger(f"{__name__}.websockets")
_quiet.setLevel(logging.WARNING)  # below it, whole frames and headers are logged: tokens
_quiet.addHandler(logging.NullHandler())

_GOODBYES = (1000, 1001)
"""The page said so, or was closed by the user."""


def options(limits: BridgeLimits) -> dict[str, Any]:
    """What `websockets.serve` has to be given for a bridge of these limits."""
    return {
        "subprotocols": [SUBPROTOCOL],
        "select_subprotocol": _select,
        "compression": None,
        "max_size": FRAME_BYTES,
        "max_queue": 16,
        "open_timeout": limits.hello_s,
        "ping_interval": limits.ping_s,
        "ping_timeout": limits.ping_s,
        "close_timeout": CLOSING_S,
        "logger": _quiet,
        "server_header": None,
    }


def handler(bridge: Bridge) -> Callable[[ServerConnection], Awaitable[None]]:
    """For `websockets.serve`: holds a conversation with whoever connects, by the bridge's rules."""

    async def handle(connection: ServerConnection) -> None:
        await bridge.handle(_Connection(connection))
        await connection.wait_closed()
        # It is part of reference cycles of `websockets`: what waits in it would stay until the
        # garbage collector comes by, most of a megabyte for each client that floods.
        with suppress(ConnectionClosed):
            while True:
                await connection.recv(decode=False)

    return handle


@asynccontextmanager
async def served(
    bridge: Bridge,
    *,
    pages: Mapping[str, PageFile],
    host: str = "127.0.0.1",
    port: int = 0,
    tls: SSLContext | None = None,
) -> AsyncGenerator[str]:
    """Serve `bridge` and `pages` at `host`, and give the URL. `port` 0 takes a free one.

    Raises `ConfigError` where it cannot listen, and where `bridge.access` is too little for `host`.
    Leaving ends all conversations first.
    """
    bridge.access.check_host(host)
    site: Site | None = None

    def answer(connection: ServerConnection, request: Request) -> HttpResponse | None:
        assert site is not None
        wants_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        if wants_socket and request.path.partition("?")[0] == TALK:
            return None
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        response = site.answer(
            getattr(request, "method", "GET"), request.path, headers, time.time()
        )
        return HttpResponse(
            response.status,
            response.status.phrase,
            Headers({**response.headers, "Connection": "close"}),
            response.body,
        )

    try:
        server = await serve(
            handler(bridge),
            host,
            port,
            ssl=tls,
            process_request=answer,
            start_serving=False,
            **options(bridge.limits),
        )
    except OSError as error:
        raise ConfigError(
            f"Cannot listen at {host}, port {port}: {error.strerror or error}.",
            hint="Name another --port, or a --host that is an address of this machine.",
        ) from error
    async with server:
        port = next(iter(server.sockets)).getsockname()[1]
        bridge.access = bridge.access.with_own_origins(host, port, tls=tls is not None)
        site = Site(bridge, pages, bridge.access, tls=tls is not None)
        await server.start_serving()
        try:
            yield f"{'https' if tls else 'http'}://{_shown(host)}:{port}/"
        finally:
            bridge.stop()


def _shown(host: str) -> str:
    """`host` in a URL: a browser gives a microphone to `localhost`, by any of its names."""
    if host == "127.0.0.1":
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours or none: a client without it is told by a close code, which a page can read."""
    ours = Subprotocol(SUBPROTOCOL)
    return ours if ours in offered else None


class _Connection:
    """A `Socket` over a connection of `websockets`."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    @property
    def origin(self) -> str | None:
        request = self._connection.request
        return request.headers.get("Origin") if request is not None else None

    @property
    def address(self) -> str:
        return str(self._connection.remote_address[0])

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _why(closed) from closed

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise _why(closed) from closed

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSING_S):
                await self._connection.close(code, reason)
        except TimeoutError:
            self._connection.transport.abort()


def _why(closed: ConnectionClosed) -> Exception:
    """What the end of a connection means. Some rules are watched by `websockets` itself."""
    if closed.sent is not None and not closed.rcvd_then_sent:
        if closed.sent.code == Close.TOO_BIG:
            return BridgeRefusal(Close.TOO_BIG)
        if closed.sent.code in (1002, 1007):  # no WebSocket, no UTF-8
            return BridgeRefusal(Close.BAD_MESSAGE)
    return Gone(goodbye=closed.rcvd is not None and closed.rcvd.code in _GOODBYES)
