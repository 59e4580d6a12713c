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
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ssl import SSLContext
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.http11 import Response as HttpResponse
from websockets.typing import Subprotocol

from ..errors import ConfigError
from .access import Access
from .agentcore import choose_subprotocol, session_id, verified_subject
from .bridge import Bridge
from .closing import BridgeRefusal, Close
from .connections import RationedConnection, peer_address, rationed
from .forwarding import TrustedProxies, is_remote, join_headers
from .frames import FRAME_BYTES, fragments
from .limits import BridgeLimits
from .messages import SUBPROTOCOL
from .site import PageFile, Site
from .socket import ConnectionGone

CLOSING_S = 2.0
"""Maximum time for the peer to answer a close frame, in seconds. Then the connection is cut."""

_websockets_log = logging.getLogger(f"{__name__}.websockets")
# Below WARNING, `websockets` logs whole frames and headers, which contain tokens.
_websockets_log.setLevel(logging.WARNING)
_websockets_log.addHandler(logging.NullHandler())

_GOODBYES = (1000, 1001)
"""Close codes of a page that left on purpose, or that the user closed."""


def options(limits: BridgeLimits, proxies: TrustedProxies | None = None) -> dict[str, Any]:
    """Return the arguments that `websockets.serve` needs for a bridge.

    Args:
        limits: The limits of the bridge.
        proxies: Proxies from which any number of connections may come: `Access.proxies`.
    """
    return {
        "create_connection": rationed(limits, proxies),
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
        assert isinstance(connection, RationedConnection)  # because of `options`
        await bridge.handle(_Connection(connection, bridge.access))
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
    sockets: Sequence[socket.socket] = (),
) -> AsyncGenerator[str]:
    """Serve a bridge and the files of a page, and yield the URL of the page.

    Leaving the context ends all conversations first. `Bridge.drain` may stop listening before.

    Args:
        bridge: The open bridge. On loopback its `access` is extended by the origins of the page.
        pages: The files to serve by path, from `load_pages`.
        host: The name or address to listen at.
        port: The port; 0 chooses a free one.
        tls: The certificate for https; None serves http.
        sockets: Sockets to listen on, bound by another process to an address of `host`; empty binds
            one here.

    Raises:
        ConfigError: If it cannot listen there, or `bridge.access` is not strict enough for `host`.
    """
    bridge.access.check_host(host)
    site: Site | None = None

    def answer(connection: ServerConnection, request: Request) -> HttpResponse | None:
        assert site is not None
        headers = join_headers(request.headers.raw_items())
        wants_socket = headers.get("upgrade", "").lower() == "websocket"
        is_page = wants_socket and request.path.partition("?")[0] == site.socket_path
        if is_page and not site.passes_on(headers):
            return None
        response = site.answer(
            getattr(request, "method", "GET"),
            request.path,
            headers,
            time.time(),
            remote=is_remote(peer_address(connection), headers),
        )
        return HttpResponse(
            response.status,
            response.status.phrase,
            Headers({**response.headers, "Connection": "close"}),
            response.body,
        )

    shared = options(bridge.limits, bridge.access.proxies)
    places: list[dict[str, Any]] = [{"sock": one} for one in sockets]
    async with AsyncExitStack() as stack:
        servers: list[Server] = []
        for place in places or [{"host": host, "port": port}]:
            starting = serve(
                handler(bridge),
                **place,
                ssl=tls,
                process_request=answer,
                start_serving=False,
                **shared,
            )
            try:
                servers.append(await stack.enter_async_context(starting))
            except OSError as error:
                raise cannot_listen(host, port, error) from error
        port = next(iter(servers[0].sockets)).getsockname()[1]
        bridge.access = bridge.access.with_own_origins(host, port, tls=tls is not None)
        site = Site(bridge, pages, bridge.access, tls=tls is not None)
        for server in servers:
            bridge.on_leaving(server.server.close)
            await server.start_serving()
        try:
            yield f"{'https' if tls else 'http'}://{displayed_host(host)}:{port}/"
        finally:
            bridge.stop()


def cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    """Return the error to raise if a server cannot listen.

    Args:
        host: The name or address.
        port: The port.
        error: What the system says.
    """
    return ConfigError(
        f"Cannot listen at {host}, port {port}: {error.strerror or error}.",
        hint="Name another --port, or a --host that is an address of this machine.",
    )


def displayed_host(host: str) -> str:
    """Return `host` as it is written in a URL.

    127.0.0.1 becomes `localhost`; browsers allow the microphone for either.
    """
    if host == "127.0.0.1":
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Return the subprotocol of the bridge if the client offers it, else None.

    A client that does not offer it is refused later, with a close code, which a page can read. That
    of AgentCore Runtime is agreed on, too: a page may connect as it does there.
    """
    chosen = choose_subprotocol(offered)
    return None if chosen is None else Subprotocol(chosen)


class _Connection:
    """A `Socket` over a connection of `websockets`."""

    def __init__(self, connection: RationedConnection, access: Access) -> None:
        request = connection.request
        headers = join_headers(request.headers.raw_items() if request is not None else ())
        self.origin = headers.get("origin")
        self.address = access.proxies.client_address(peer_address(connection), headers)
        self.subject = ""
        if access.agentcore:
            self.address = session_id(headers) or self.address
            self.subject = verified_subject(headers)
        self.remote = is_remote(peer_address(connection), headers)
        self._connection = connection
        self.offer = connection.offer

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.receive()
        except ConnectionClosed as closed:
            raise _exception_for(closed) from closed

    async def receive_each(self, take: Callable[[str | bytes], None]) -> None:
        try:
            await self._connection.receive_each(take)
        except ConnectionClosed as closed:
            raise _exception_for(closed) from closed

    async def send(self, message: str | bytes) -> None:
        try:
            whole = isinstance(message, bytes)
            await self._connection.send(message if whole else fragments(message))
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
        if closed.sent.code in (Close.TOO_BIG, Close.FLOOD):
            return BridgeRefusal(Close(closed.sent.code))
        if closed.sent.code in (1002, 1007):  # an error in the protocol, or in UTF-8
            return BridgeRefusal(Close.BAD_MESSAGE)
    return ConnectionGone(goodbye=closed.rcvd is not None and closed.rcvd.code in _GOODBYES)
