"""The SDK's HTTP client interface over HTTP/2: full duplex, low latency, errors that say the cause.

The SDK's default transport cannot stream both ways. Its other transport, over the AWS CRT, leaves
Nagle's algorithm on, accepts no private CA and hides a cut connection.

The interface is small: `send(request)` connects, sends the request's headers, and returns when the
response's headers arrive. The response's body is then read while the request's body is still being
sent. The request's body is either a `RequestBody`, whose writer writes directly to the stream, or
any body type of the SDK, which a task copies to the stream (the *pump*).

There is one connection for each stream, and no pool. A voice stream lives for minutes and fills
its connection. Streams that shared a connection would share its losses, its flow-control window
and its head-of-line blocking, and a stuck stream could not be dropped alone. Only the TLS context
is shared.

When the stream ends, for any reason, the request's body is closed, so that a pending or later
`write` raises instead of waiting forever.

All errors are `SonicError`s: `ConnectError` (no listener, no TLS, no HTTP/2), `DeadlineError` (the
connection was not established in time), `ConnectionLost` (see `stream`).
"""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any, Literal

from smithy_core.aio.interfaces import StreamingBlob
from smithy_core.aio.types import AsyncBytesProvider
from smithy_core.aio.utils import read_streaming_blob_async
from smithy_core.interfaces import URI
from smithy_http import Fields, tuples_to_fields
from smithy_http.aio.interfaces import HTTPRequest
from smithy_http.interfaces import HTTPRequestConfiguration

from ..errors import ConnectError, ConnectionLost, DeadlineError, SonicError
from .connection import STREAM_WINDOW_BYTES, H2Connection
from .dialing import CONNECT_TIMEOUT_S, dial
from .keepalive import PING_DEADLINE_S, PING_S
from .loopback import is_loopback
from .proxies import Proxy
from .request_body import RequestBody
from .stream import H2Stream, Headers
from .tls import TlsContext, tls_context
from .tunnel import Tunnel

_FIRST_ERROR_STATUS = 400
_DEFAULT_PORTS = {"https": 443, "http": 80}
# Headers of HTTP/1.1 that HTTP/2 says otherwise or forbids (RFC 9113, 8.2.2).
_NOT_IN_HTTP2 = frozenset({"host", "connection", "transfer-encoding", "upgrade", "keep-alive"})


class Http2Response:
    """A response whose headers have arrived; `body` reads the rest as it arrives."""

    reason: str | None = None

    def __init__(self, headers: Headers, body: H2Stream) -> None:
        plain = [(name, value) for name, value in headers if not name.startswith(":")]
        self.status = int(dict(headers)[":status"])
        self.fields: Fields = tuples_to_fields(plain)
        self.body = body

    async def consume_body_async(self) -> bytes:
        """Wait for the end of the body and return all of it."""
        return await self.body.read()

    def consume_body(self) -> bytes:
        """Raise `TypeError`: the body can only be read asynchronously."""
        raise TypeError("the body of this response is asynchronous")

    def __repr__(self) -> str:
        return f"Http2Response(status={self.status})"


class Http2Client:
    """An HTTP client for the SDK that sends each request on an HTTP/2 connection of its own.

    A plain `http://` URL means HTTP/2 with prior knowledge, and is accepted for loopback only.

    Args:
        tls: The TLS context, from `tls_context`; None builds the default one when first needed.
        proxy: The proxy of every connection; None connects directly, whatever the environment
            says.
        proxy_tls: The TLS context for an `https` proxy, from `proxy_tls_context`.
        connect_timeout_s: Maximum time to establish a connection, in seconds.
        ping_s: Silence of the peer after which a PING is sent, in seconds; None sends none.
        ping_deadline_s: Maximum time for the answer to a PING, in seconds.
        window_bytes: Flow-control window of a stream, in bytes.
    """

    SUPPORTS_DUPLEX_STREAMING: Literal[True] = True
    TIMEOUT_EXCEPTIONS: tuple[type[Exception], ...] = (DeadlineError,)

    def __init__(
        self,
        *,
        tls: TlsContext | None = None,
        proxy: Proxy | None = None,
        proxy_tls: TlsContext | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        ping_s: float | None = PING_S,
        ping_deadline_s: float = PING_DEADLINE_S,
        window_bytes: int = STREAM_WINDOW_BYTES,
    ) -> None:
        self._tls = tls
        self._proxy = proxy
        self._proxy_tls = proxy_tls
        self._connect_timeout_s = connect_timeout_s
        self._ping_s = ping_s
        self._ping_deadline_s = ping_deadline_s
        self._window_bytes = window_bytes
        self._connections: set[H2Connection] = set()
        self._streams: set[H2Stream] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._dialing: set[asyncio.Task[H2Connection]] = set()
        self._end_error: SonicError | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Http2Client":
        """Return a client with the same settings and without connections.

        The SDK copies its configuration, and the HTTP client in it, for each of its clients.
        """
        return Http2Client(
            tls=self._tls,
            proxy=self._proxy,
            proxy_tls=self._proxy_tls,
            connect_timeout_s=self._connect_timeout_s,
            ping_s=self._ping_s,
            ping_deadline_s=self._ping_deadline_s,
            window_bytes=self._window_bytes,
        )

    @property
    def error(self) -> SonicError | None:
        """The error that ended the stream; None while it is open or when it ended cleanly."""
        return self._end_error or next(
            (s.error for s in self._streams if s.error is not None), None
        )

    async def send(
        self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None
    ) -> Http2Response:
        """Connect, send the request, and return when the response's headers arrive.

        Both bodies go on after that. A response with a status of 400 or more ends the request's
        body, because the peer does not want the rest of it. When this fails or is cancelled, no
        connection is left.

        Args:
            request: The request, with its destination, headers and body.
            request_config: Ignored; part of the SDK's interface.

        Returns:
            The response, whose body is still arriving.

        Raises:
            ConnectError: There is no connection to the peer.
            DeadlineError: The connection was not established in time.
            ConnectionLost: The stream ended before the response's headers.
        """
        body = request.body
        stream: H2Stream | None = None
        try:
            connection = await self._dial(request.destination)
            stream = connection.open_stream(_headers(request))
            stop = self._start_body(body, stream)
            response = Http2Response(await stream.wait_headers(), stream)
        except BaseException:
            if stream is not None:
                stream.reset()
            await _close_body(body)
            raise
        if response.status >= _FIRST_ERROR_STATUS:
            stop()
            stream.end()
        return response

    def new_body(self) -> RequestBody:
        """Return a request body whose writer writes directly to the stream."""
        return RequestBody()

    def abort(self, error: SonicError) -> None:
        """End every stream and connection attempt at once.

        Args:
            error: The error that pending and later calls raise.
        """
        self._end_error = error
        for stream in tuple(self._streams):
            stream.abort(error)
        for dialing in self._dialing:
            dialing.cancel()

    async def close(self) -> None:
        """Send GOAWAY on every connection and wait, at most a second, until all are closed."""
        if self._end_error is None:
            self._end_error = ConnectionLost("The HTTP client has been closed.", reason="ended")
        for task in (*self._pumps, *self._dialing):
            task.cancel()
        for connection in self._connections:
            connection.close()
        waiting = (*self._pumps, *self._dialing, *(c.closed for c in self._connections))
        if waiting:
            await asyncio.wait(waiting)

    def _start_body(
        self, body: StreamingBlob | RequestBody, stream: H2Stream
    ) -> Callable[[], object]:
        """Start to send `body` on `stream`, and return a function that stops it."""
        direct = isinstance(body, RequestBody)
        sending = body.send_to(stream) if direct else _pump(body, stream)
        pump = asyncio.create_task(sending, name="http2 pump")
        stop = body.shut if direct else pump.cancel
        self._pumps.add(pump)
        self._streams.add(stream)
        stream.on_input_ended = stop

        def done(pump: asyncio.Task[None]) -> None:
            self._pumps.discard(pump)
            if not pump.cancelled() and (error := pump.exception()) is not None:
                lost = ConnectionLost("The request's body broke.", reason="ended")
                lost.__cause__ = error
                stream.abort(lost)

        pump.add_done_callback(done)
        return stop

    async def _dial(self, uri: URI) -> H2Connection:
        """Return a connection with HTTP/2 agreed on, or raise `SonicError` at the deadline."""
        host = uri.host.strip("[]")
        port = uri.port or _DEFAULT_PORTS.get(uri.scheme, 443)
        if self._end_error is not None:
            raise self._end_error
        if uri.scheme == "http" and not is_loopback(host):
            raise ConnectError(
                f"{host} is not this machine: speech and credentials do not go there in clear.",
                hint="Use https://.",
            )
        # A task, so that `abort` ends it without cancelling our caller.
        dialing = asyncio.create_task(self._connect(host, port, uri.scheme), name="http2 dial")
        self._dialing.add(dialing)
        try:
            await asyncio.wait({dialing})
        except asyncio.CancelledError:
            dialing.add_done_callback(_drop_connection)
            raise
        finally:
            self._dialing.discard(dialing)
            if not dialing.done():
                dialing.cancel()
                await asyncio.wait({dialing})
        if not dialing.cancelled():
            return dialing.result()
        raise self._end_error or ConnectionLost("The HTTP client has been closed.", reason="ended")

    async def _connect(self, host: str, port: int, scheme: str) -> H2Connection:
        secure = scheme == "https"
        if secure and self._tls is None:
            self._tls = tls_context()
        proxy = self._proxy
        connection = await dial(
            host,
            port,
            lambda: self._new_connection(f"{host}:{port}"),
            tls=self._tls if secure else None,
            timeout_s=self._connect_timeout_s,
            tunnel=Tunnel(proxy, host, port, self._proxy_tls) if proxy is not None else None,
        )
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
        return connection

    def _new_connection(self, peer: str) -> H2Connection:
        return H2Connection(
            window_bytes=self._window_bytes,
            ping_s=self._ping_s,
            ping_deadline_s=self._ping_deadline_s,
            peer=peer,
        )


def _drop_connection(dialing: asyncio.Task[H2Connection]) -> None:
    """Cut a connection that was established after its caller was cancelled."""
    if not dialing.cancelled() and dialing.exception() is None:
        dialing.result().cut()


async def _pump(body: StreamingBlob, stream: H2Stream) -> None:
    """Copy `body` to `stream` until either of them ends."""
    try:
        if isinstance(body, AsyncIterable):
            async for chunk in body:
                await stream.write(chunk)
        elif content := await read_streaming_blob_async(body):
            await stream.write(content)
        stream.end()
    except SonicError:
        # The stream has ended: its reader gets the error from it, writers from the closed body.
        return
    finally:
        await _close_body(body)


async def _close_body(body: StreamingBlob | RequestBody) -> None:
    """Close `body` so that pending and later writes of the SDK raise."""
    if isinstance(body, RequestBody):
        body.shut()
    elif isinstance(body, AsyncBytesProvider):
        await body.close(flush=False)


def _headers(request: HTTPRequest) -> Headers:
    uri = request.destination
    default = uri.port is None or uri.port == _DEFAULT_PORTS.get(uri.scheme)
    host = f"[{uri.host}]" if ":" in uri.host and not uri.host.startswith("[") else uri.host
    path = uri.path or "/"
    headers = [
        (":method", request.method),
        (":scheme", uri.scheme),
        # The same value as in the signature: without the port if it is the scheme's default.
        (":authority", host if default else f"{host}:{uri.port}"),
        (":path", f"{path}?{uri.query}" if uri.query else path),
    ]
    for field in request.fields.entries.values():
        name = field.name.lower()
        if field.kind == "header" and name not in _NOT_IN_HTTP2:
            headers += [(name, value) for value in field.values]
    return headers
