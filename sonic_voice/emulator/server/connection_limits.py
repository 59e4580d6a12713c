"""Connection limits of the emulator's port: TLS handshake, first request and idle timeouts.

A connection without an open stream is closed with a GOAWAY, as load balancers do it: when it never
asks for a stream, when it takes too long to do so (a byte of its headers now and then), and when
its streams are over. See `ConnectionLimits`. An open stream has limits of its own
(`behaviour.StreamTimeouts`).

A client that does not speak HTTP/2 over TLS is told so where there is a way to tell it, and a line
of the log says what it sent. Nothing that a client sends can end more than its own connection.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

from ...errors import ConnectionLost, NetworkError
from ...http2.connection import H2Connection
from ...http2.h2_state import DEFAULT_WINDOW_BYTES
from ...http2.stream import H2Stream

_log = logging.getLogger(__name__)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The bytes that every HTTP/2 client sends first (RFC 9113, 3.4)."""
MAX_FRAME_BYTES = 16_384
"""Maximum payload of an HTTP/2 frame, in bytes: the default, which this server does not change
(RFC 9113, 4.2)."""
_FRAME_HEADER_BYTES = 9
"""Length of the header of an HTTP/2 frame, in bytes (RFC 9113, 4.1)."""
_HTTP1 = re.compile(rb"[A-Z]{1,16} [^\r\n]{0,8000} HTTP/1\.[01]\r?\n")
HEALTH_PATHS = frozenset({"/health", "/healthz", "/ping"})
"""Paths at which health checks are answered, over HTTP/1.1 and HTTP/2."""
HEALTHY = b"ok\n"
"""Answer to a health check."""
_HEALTH = re.compile(rb"(?:GET|HEAD) (?:%s) HTTP/1\.[01]\r?\n" % "|".join(HEALTH_PATHS).encode())
_HEALTH_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(HEALTHY), HEALTHY)
)
_TELL_HTTP1 = b"This is Amazon Bedrock's streaming operation, emulated: it speaks HTTP/2 only.\n"
_HTTP1_ANSWER = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_TELL_HTTP1), _TELL_HTTP1)
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of the connections to an emulator."""

    handshake_s: float = 10.0
    """Maximum time from the TCP connection to the end of the TLS handshake, in seconds."""
    request_s: float = 10.0
    """Maximum time from then to the end of the first request's headers, in seconds."""
    idle_s: float = 60.0
    """Interval at which a connection that had a stream is checked for another one, in seconds."""
    window_bytes: int = DEFAULT_WINDOW_BYTES
    """Bytes that a client may send on a stream before they are read. It is the default of HTTP/2:
    with a larger first window, the AWS SDK's CRT client hangs at single events of 50 to 72 kB that
    are sent before it has read the settings. A window that grows later would let a recording at
    full speed run seconds ahead of its answers, which are rendered while nothing is read."""


_connecting: ContextVar["ServerConnection"] = ContextVar("connecting")
"""The connection whose handshake is in progress. asyncio accepts each connection in a context of
its own."""

type OnRequest = Callable[[H2Connection, H2Stream], None]
"""A function that is called with each new request, by its connection and its stream."""


class LoggingSSLObject(ssl.SSLObject):
    """An SSL object that logs why a handshake failed. asyncio does so only in debug mode."""

    def do_handshake(self) -> None:
        """See `ssl.SSLObject`."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            _connecting.get().handshake_failed(f"{reason}{_advice(str(reason))}")
            raise


def _advice(reason: str) -> str:
    if "UNKNOWN_CA" in reason:
        return "; the client does not trust the emulator's CA"
    if "HTTP_REQUEST" in reason:
        return "; the client speaks plain HTTP: its endpoint must begin with https://"
    return ""


class FrameSizeCheck:
    """A check of the lengths that HTTP/2 frames announce.

    h2 accepts up to 16 MB and rejects an oversized frame only when all of it has been received.
    """

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0

    def fits(self, data: bytes) -> bool:
        """Return whether every frame that begins in the next bytes has an allowed size.

        Args:
            data: The next bytes of the connection, cut anywhere.
        """
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            taken = data[at : at + _FRAME_HEADER_BYTES - len(self._header)]
            self._header += taken
            at += len(taken)
            if len(self._header) == _FRAME_HEADER_BYTES:
                self._left = int.from_bytes(self._header[:3])
                self._header.clear()
                if self._left > MAX_FRAME_BYTES:
                    return False
        return True


class ServerConnections:
    """The connections of a server, from the moment at which they are accepted.

    Args:
        on_request: Called with each new request.
        limits: The limits of the connections.
    """

    def __init__(self, on_request: OnRequest, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.on_request = on_request
        self.open_connections: set[ServerConnection] = set()
        """Connections that have finished their handshake and have not ended."""
        self.handshake_timers: set[asyncio.TimerHandle] = set()
        """The timers of the connections that are in their handshake."""

    def open(self) -> "ServerConnection":
        """Return the protocol of a new connection, as `create_server` needs it."""
        return ServerConnection(self)

    async def aclose(self, grace_s: float) -> None:
        """Close every connection with a GOAWAY, and wait until all have ended.

        Args:
            grace_s: Seconds after which connections that are still open are aborted.
        """
        for timer in self.handshake_timers:
            timer.cancel()
        for connection in tuple(self.open_connections):
            connection.close()
        if closing := [connection.closed for connection in self.open_connections]:
            await asyncio.wait(closing, timeout=grace_s)
        for connection in tuple(self.open_connections):
            connection.cut()
        if closing := [connection.closed for connection in self.open_connections]:
            await asyncio.wait(closing)


class ServerConnection(H2Connection):
    """A client's connection. HTTP/2 begins once the client has sent its preface.

    Args:
        connections: The connections of the server, with the limits.
    """

    def __init__(self, connections: ServerConnections) -> None:
        super().__init__(
            on_stream=lambda stream: connections.on_request(self, stream),
            window_bytes=connections.limits.window_bytes,
        )
        self._connections = connections
        self._accepted: asyncio.Transport | None = None
        self._event_loop = asyncio.get_running_loop()
        self._client_name = "a client"
        _connecting.set(self)
        self._first_bytes = b""
        self._frame_sizes = FrameSizeCheck()
        self._timer = self._event_loop.call_later(
            connections.limits.handshake_s, self._handshake_timed_out
        )
        connections.handshake_timers.add(self._timer)

    def handshake_failed(self, why: str) -> None:
        """Log a failed handshake. asyncio calls no method of a protocol in that case.

        Args:
            why: The reason.
        """
        self._cancel_timer()
        _log.info("a TLS handshake failed: %s", why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._cancel_timer()
        self._accepted = cast(asyncio.Transport, transport)
        self.attach(self._accepted)  # HTTP/2 begins in `_read_preface`
        peer = transport.get_extra_info("peername")
        self._client_name = f"{peer[0]}:{peer[1]}" if peer else self._client_name
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() is None:
            _log.info("%s did not ask for HTTP/2 in its TLS handshake (ALPN)", self._client_name)
        self._connections.open_connections.add(self)
        self._timer = self._event_loop.call_later(
            self._connections.limits.request_s, self._close_without_streams
        )

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            if self._first_bytes != _PREFACE:
                data = self._read_preface(data)
            if data and not self._frame_sizes.fits(data):
                self.drop(ConnectionLost("Its frames are larger than HTTP/2 allows.", reason="cut"))
            elif data:
                super().data_received(data)
        except Exception as error:
            _log.exception("what %s sent broke its connection", self._client_name)
            self.drop(ConnectionLost(f"The connection broke: {error}.", reason="cut"))

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        self._log_silent_client()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if exc is not None:
            self._log_silent_client()
        self._cancel_timer()
        self._connections.open_connections.discard(self)
        super().connection_lost(exc)

    def drop(self, error: NetworkError) -> None:
        """See `H2Connection`."""
        _log.info("%s is cut off: %s", self._client_name, error.message)
        super().drop(error)

    def _read_preface(self, data: bytes) -> bytes:
        """Read the client's first bytes, and begin HTTP/2 after its preface.

        Returns:
            The bytes behind the preface; none while it is not complete, or if it is wrong.
        """
        received = self._first_bytes + data
        self._first_bytes = received[: len(_PREFACE)]
        transport = self._accepted
        if transport is None or transport.is_closing():
            return b""
        if self._first_bytes == _PREFACE:
            super().connection_made(transport)
            super().data_received(_PREFACE)
            return received[len(_PREFACE) :]
        if _PREFACE.startswith(self._first_bytes):
            return b""
        if _HEALTH.match(received):
            transport.write(_HEALTH_ANSWER)
            transport.close()
        elif _HTTP1.match(received):
            _log.info("%s speaks HTTP/1.1; this operation needs HTTP/2", self._client_name)
            transport.write(_HTTP1_ANSWER)
            transport.close()
        else:
            self.drop(ConnectionLost("It does not speak HTTP/2.", reason="cut"))
        return b""

    def _log_silent_client(self) -> None:
        """Log a client that left before its first byte, as Node.js does with a foreign CA."""
        if not self._first_bytes:
            _log.info(
                "%s left right after the TLS handshake; it may not trust the emulator's CA",
                self._client_name,
            )

    def _cancel_timer(self) -> None:
        self._timer.cancel()
        self._connections.handshake_timers.discard(self._timer)

    def _handshake_timed_out(self) -> None:
        self._connections.handshake_timers.discard(self._timer)
        _log.info(
            "a client did not come to the end of a TLS handshake; it may not trust the "
            "emulator's CA"
        )

    def _close_without_streams(self) -> None:
        """Close the connection if it has no stream, else check again after `idle_s`."""
        if self.has_streams:
            self._timer = self._event_loop.call_later(
                self._connections.limits.idle_s, self._close_without_streams
            )
            return
        _log.info("%s has no stream and is closed", self._client_name)
        self.close()
