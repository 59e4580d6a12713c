"""The bridge as a server of its own, or on a server of the application, with `websockets`.

    async with Bridge(offer, transport) as bridge, served(bridge, pages=load_pages(folder)) as url:

or, on a `websockets` server that the application starts:

    async with Bridge(offer, transport, access=access) as bridge:
        async with websockets.serve(handler(bridge), ..., **options(bridge.limits)):

Compression is off: it does not make sound smaller, and decompression would let a client fill the
memory.
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
from .socket import ConnectionGone

CLOSING_S = 2.0
"""Maximum time for the peer to answer a close frame, in seconds. Then the connection is cut."""

_websockets_log = logging.getLogger(f"{__name__}.websockets")
# Below WARNING, `websockets` logs whole frames and headers, which contain tokens.
_websockets_log.setLevel(logging.WARNING)
_websockets_log.addHandler(logging.NullHandler())

_GOODBYES = (1000, 1001)
"""Close codes of a page that left on purpose, or that the user closed."""


def options(limits: BridgeLimits) -> dict[str, Any]:
    """Return the arguments that `websockets.serve` needs for a bridge.

    Args:
        limits: The limits of the bridge.
    """
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
        "logger": _websockets_log,
        "server_header": None,
    }


def handler(bridge: Bridge) -> Callable[[ServerConnection], Awaitable[None]]:
    """Return a connection handler for `websockets.serve`.

    Args:
        bridge: The open bridge, which serves each connection.
    """

    async def handle(connection: ServerConnection) -> None:
        await bridge.handle(_Connection(connection))
        await connection.wait_closed()
        # The connection is part of reference cycles inside `websockets`. Messages that wait in it
        # would stay in memory until the garbage collector runs: almost a megabyte for each client
        # that floods. Reading them releases them now.
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
    """Serve a bridge and the files of a page, and yield the URL of the page.

    Leaving the context ends all conversations first.

    Args:
        bridge: The open bridge. On loopback its `access` is extended by the origins of the page.
        pages: The files to serve by path, from `load_pages`.
        host: The name or address to listen at.
        port: The port; 0 chooses a free one.
        tls: The certificate for https; None serves http.

    Raises:
        ConfigError: If it cannot listen there, or `bridge.access` is not strict enough for `host`.
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
            yield f"{'https' if tls else 'http'}://{_displayed_host(host)}:{port}/"
        finally:
            bridge.stop()


def _displayed_host(host: str) -> str:
    """Return `host` as it is written in a URL.

    127.0.0.1 becomes `localhost`; browsers allow the microphone for either.
    """
    if host == "127.0.0.1":
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Return the subprotocol of the bridge if the client offers it, else None.

    A client that does not offer it is refused later, with a close code, which a page can read.
    """
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
            raise _exception_for(closed) from closed

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise _exception_for(closed) from closed

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSING_S):
                await self._connection.close(code, reason)
        except TimeoutError:
            self._connection.transport.abort()


def _exception_for(closed: ConnectionClosed) -> Exception:
    """Return the exception that the end of a connection means to the bridge.

    `websockets` enforces some rules of the bridge itself, such as the size of a message.
    """
    if closed.sent is not None and not closed.rcvd_then_sent:
        if closed.sent.code == Close.TOO_BIG:
            return BridgeRefusal(Close.TOO_BIG)
        if closed.sent.code in (1002, 1007):  # an error in the protocol, or in UTF-8
            return BridgeRefusal(Close.BAD_MESSAGE)
    return ConnectionGone(goodbye=closed.rcvd is not None and closed.rcvd.code in _GOODBYES)
