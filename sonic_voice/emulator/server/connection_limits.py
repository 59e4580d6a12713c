"""Who may come in at the emulator's port, and how long one may stand in the doorway.

A connection that has no stream open is of use to nobody for long. One that never asks for a
stream, or takes for ever to say so (a byte of its headers now and then), is let go, and so is one
whose streams are over, with a GOAWAY, as any load balancer does it: see `ConnectionTimeouts`. An open stream
has limits of its own (`served.StreamTimeouts`).

Whoever speaks something else than HTTP/2 over TLS is told so where there is a way to tell, and a
line of the log says what came. Nothing that arrives can end more than its own connection.
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
from ...http2.stream import H2Stream

_log = logging.getLogger(__name__)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES = 16_384
"""HTTP/2's own limit, as long as nobody announces another (RFC 9113, 4.2)."""
_FRAME_HEADER_BYTES = 9
_HTTP1 = re.compile(rb"[A-Z]{1,16} [^\r\n]{0,8000} HTTP/1\.[01]\r?\n")
_TELL_HTTP1 = b"This is Amazon Bedrock's streaming operation, emulated: it speaks HTTP/2 only.\n"
_HTTP1_ANSWER = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_TELL_HTTP1), _TELL_HTTP1)
)


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """How long a connection may do without a stream, in seconds."""

    handshake_s: float = 10.0
    """From the TCP connection to the end of the TLS handshake."""
    request_s: float = 10.0
    """From there to the end of the first request's headers."""
    idle_s: float = 60.0
    """Between two looks whether a connection that had a stream still has one."""


_connecting: ContextVar["ServerConnection"] = ContextVar("connecting")
"""Whose handshake it is: asyncio accepts each connection in a context of its own."""

type OnRequest = Callable[[H2Connection, H2Stream], None]


class LoggingSSLObject(ssl.SSLObject):
    """Tells the log why a handshake failed; asyncio does so in debug mode alone."""

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
    """Looks at the lengths that frames claim: h2 believes 16 MB until they are all there."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0

    def fits(self, data: bytes) -> bool:
        """Whether every frame that begins in the next bytes is of a size that we allow."""
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
    """All connections from the moment they are accepted."""

    def __init__(
        self, on_request: OnRequest, window_bytes: int, timeouts: ConnectionTimeouts
    ) -> None:
        self.timeouts = timeouts
        self.window_bytes = window_bytes
        self.on_request = on_request
        self.open_connections: set[ServerConnection] = set()
        """Those that are past the handshake and not gone."""
        self.handshake_timers: set[asyncio.TimerHandle] = set()
        """One for each that is in its handshake."""

    def open(self) -> "ServerConnection":
        """The protocol of one more connection."""
        return ServerConnection(self)

    async def aclose(self, patience_s: float) -> None:
        """Say goodbye to all, and cut off who has not gone after `patience_s`."""
        for timer in self.handshake_timers:
            timer.cancel()
        for connection in tuple(self.open_connections):
            connection.close()
        if closing := [connection.closed for connection in self.open_connections]:
            await asyncio.wait(closing, timeout=patience_s)
        for connection in tuple(self.open_connections):
            connection.cut()
        if closing := [connection.closed for connection in self.open_connections]:
            await asyncio.wait(closing)


class ServerConnection(H2Connection):
    """A client's connection. It gets our side of HTTP/2 once it has begun with its own."""

    def __init__(self, connections: ServerConnections) -> None:
        super().__init__(
            on_stream=lambda stream: connections.on_request(self, stream),
            window_bytes=connections.window_bytes,
        )
        self._connections = connections
        self._peer = "somebody"
        _connecting.set(self)
        self._preface = b""
        self._frame_sizes = FrameSizeCheck()
        self._timer = self._loop.call_later(
            connections.timeouts.handshake_s, self._handshake_timed_out
        )
        connections.handshake_timers.add(self._timer)

    def handshake_failed(self, why: str) -> None:
        """There will be no connection; asyncio does not tell."""
        self._cancel_timer()
        _log.info("a TLS handshake failed: %s", why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._cancel_timer()
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if peer else self._peer
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            _log.info("%s did not ask for HTTP/2 in its TLS handshake (ALPN)", self._peer)
        self._connections.open_connections.add(self)
        self._timer = self._loop.call_later(
            self._connections.timeouts.request_s, self._close_if_idle
        )

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            if self._preface != _PREFACE:
                data = self._read_preface(data)
            if data and not self._frame_sizes.fits(data):
                self.drop(ConnectionLost("Its frames are larger than HTTP/2 allows.", reason="cut"))
            elif data:
                super().data_received(data)
        except Exception as error:
            _log.exception("what %s sent broke its connection", self._peer)
            self.drop(ConnectionLost(f"The connection broke: {error}.", reason="cut"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._cancel_timer()
        self._connections.open_connections.discard(self)
        super().connection_lost(exc)

    def drop(self, error: NetworkError) -> None:
        """See `H2Connection`."""
        _log.info("%s is cut off: %s", self._peer, error.message)
        super().drop(error)

    def _read_preface(self, data: bytes) -> bytes:
        """Read the client's first bytes; returns the frames that came behind its preface."""
        came = self._preface + data
        self._preface = came[: len(_PREFACE)]
        transport = self._transport
        if transport is None or transport.is_closing():
            return b""
        if self._preface == _PREFACE:
            super().connection_made(transport)
            super().data_received(_PREFACE)
            return came[len(_PREFACE) :]
        if _PREFACE.startswith(self._preface):
            return b""
        if _HTTP1.match(came):
            _log.info("%s speaks HTTP/1.1; this operation needs HTTP/2", self._peer)
            transport.write(_HTTP1_ANSWER)
            transport.close()
        else:
            self.drop(ConnectionLost("It does not speak HTTP/2.", reason="cut"))
        return b""

    def _cancel_timer(self) -> None:
        self._timer.cancel()
        self._connections.handshake_timers.discard(self._timer)

    def _handshake_timed_out(self) -> None:
        self._connections.handshake_timers.discard(self._timer)
        _log.info("somebody connected and did not come to the end of a TLS handshake")

    def _close_if_idle(self) -> None:
        """No stream for too long; or not yet, and another look then."""
        if self._streams:
            self._timer = self._loop.call_later(
                self._connections.timeouts.idle_s, self._close_if_idle
            )
            return
        _log.info("%s has no stream and is let go", self._peer)
        self.close()
