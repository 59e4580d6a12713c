"""A tunnel to a service through a proxy.

    TCP  ->  [TLS to the proxy]  ->  CONNECT or SOCKS5  ->  `dialing`: [TLS to the service], HTTP/2

`python-socks` implements CONNECT and SOCKS5. It uses a stream of this module (its parameter
`forward`), because its own streams have three limits: they take the first bytes of an answer to
CONNECT for the whole answer, the interface that returns a socket has no TLS to the proxy, and an
HTTP/2 protocol cannot be attached to the reader and writer of the other interface. The stream here
is an asyncio protocol that collects received data. When the tunnel is open, `dialing` starts TLS to
the service on its transport and attaches the HTTP/2 connection. This works the same over TCP and
over TLS.

Failures of the proxy are raised as `ProxyError`, so that they are not blamed on the service.
"""

import asyncio
import re
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from http import HTTPStatus
from inspect import signature
from typing import Any, Literal, cast

from ..errors import ConnectError, DeadlineError
from ..printable import printable
from .early_bytes import EarlyBytes
from .proxies import Proxy

_REPLY_BYTES = 65_536
"""Maximum size of a proxy's answer to CONNECT, in bytes. An error page of Squid follows the answer
and is read as far as it arrives with it; 64 KiB hold the largest."""

_NO_TIMEOUT_S = 3600.0
"""Timeout for python-socks, which requires one, in seconds. The caller's deadline is shorter."""

_SHOWN_REASON = 60
"""Maximum number of characters of a proxy's own text in a message."""

_SHUTDOWN_S = 1.0
"""Maximum time for the proxy to answer TLS's close_notify, in seconds."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
"""End of the head of an HTTP answer."""

_UNKNOWN_USER = frozenset({HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.UNAUTHORIZED})
"""Status codes for a missing or wrong password; tinyproxy answers a wrong one with 401."""


_SOCKS_FORBIDDEN = 2
"""Reply code of SOCKS5 for a connection that the proxy's rules forbid (RFC 1928, section 6)."""

_SOCKS_UNREACHABLE = frozenset({1, 3, 4, 5, 6})
"""Reply codes of SOCKS5 that concern the destination (RFC 1928, section 6)."""


class ProxyError(ConnectError):
    """The proxy could not be reached, refused the request, or could not reach the service."""


class Tunnel:
    """One connection attempt through a proxy; it is used once.

    Args:
        proxy: The proxy to use.
        host: Name or address of the service. The proxy resolves a name, except with `socks5`.
        port: TCP port of the service.
        proxy_tls: TLS context for a proxy with the scheme `https`.
    """

    def __init__(
        self, proxy: Proxy, host: str, port: int, proxy_tls: ssl.SSLContext | None = None
    ) -> None:
        self._proxy = proxy
        self._host = host
        self._port = port
        self._proxy_tls = proxy_tls
        self._step: Literal["connect", "request", "use"] = "connect"

    @property
    def is_open(self) -> bool:
        """True once the proxy has connected to the service, to which later failures belong."""
        return self._step == "use"

    @property
    def _where(self) -> str:
        source = f" ({self._proxy.source})" if self._proxy.source else ""
        return f"{self._proxy}{source}"

    async def open(self, *, secure: bool) -> tuple[asyncio.Transport, EarlyBytes]:
        """Connect to the proxy and request a connection to the service.

        Cancelling this leaves no connection. It has no deadline of its own.

        Args:
            secure: Whether TLS to the service will follow.

        Returns:
            A paused transport to the service, and the bytes that it has sent already.

        Raises:
            ProxyError: The proxy failed, or reports that it cannot reach the service.
        """
        wire = await self._connect()
        try:
            self._step = "request"
            await self._request_tunnel(wire)
            self._step = "use"
            return wire.transport, self._release(wire, secure=secure)
        except BaseException:
            wire.transport.abort()
            raise

    def _release(self, wire: "_ProxyStream", *, secure: bool) -> EarlyBytes:
        """Release the transport from `wire`, and return the bytes that the service has sent."""
        wire.transport.pause_reading()
        if wire.received and secure:
            raise ProxyError(
                f"The proxy {self._where} sent something of its own into the tunnel.",
                hint="Check that it is a proxy, and of this kind.",
            )
        early = EarlyBytes()
        if wire.received:
            early.data_received(bytes(wire.received))
        if wire.ended:
            early.connection_lost(wire.lost)
        wire.transport.set_protocol(early)
        if self._proxy.scheme == "https":
            _patch_force_close(wire.transport)
        return early

    def deadline_error(self, waited_s: float) -> DeadlineError:
        """Return the error for an attempt that has exceeded its deadline.

        Args:
            waited_s: The deadline, in seconds.
        """
        service = f"{self._host}:{self._port}"
        # A proxy that expects a line of HTTP waits for more data when it receives TLS.
        no_tls = (
            " If it does not speak TLS itself, write http:// in place of https://."
            if self._proxy.scheme == "https"
            else ""
        )
        message, hint = {
            "connect": (
                f"The proxy {self._where} could not be reached within {waited_s:g} s.",
                f"Check the proxy's address and the network; the service was not tried.{no_tls}",
            ),
            "request": (
                f"The proxy {self._where} did not connect to {service} within {waited_s:g} s.",
                "Check the proxy's address and kind, and that it may reach the service.",
            ),
            "use": (
                f"No connection to {service} through the proxy {self._where} after {waited_s:g} s.",
                "Check the endpoint, and what the proxy does with TLS.",
            ),
        }[self._step]
        return DeadlineError(message, waited_s=waited_s, hint=hint)

    async def _connect(self) -> "_ProxyStream":
        secure = self._proxy.scheme == "https"
        try:
            _, wire = await asyncio.get_running_loop().create_connection(
                _ProxyStream,
                self._proxy.host,
                self._proxy.port,
                ssl=(self._proxy_tls or ssl.create_default_context()) if secure else None,
                server_hostname=self._proxy.host if secure else None,
                ssl_shutdown_timeout=_SHUTDOWN_S if secure else None,
            )
        except OSError as error:
            raise self._unreachable(error) from error
        return wire

    def _unreachable(self, error: OSError) -> ProxyError:
        name = f"the proxy {self._where}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return ProxyError(
                f"The certificate of {name} is not trusted: {error.verify_message}.",
                hint="For a private CA name its file by `ca_file` (--ca) or SSL_CERT_FILE.",
            )
        if isinstance(error, ssl.SSLError):
            return ProxyError(
                f"TLS with {name} failed: {error.reason or error}.",
                hint="If it speaks TLS only to the service, write http:// in place of https://.",
            )
        check = "Check the proxy's URL. The service itself was not tried."
        if isinstance(error, socket.gaierror):
            return ProxyError(
                f"There is no host {self._proxy.host!r}, {name}: {error.strerror}.", hint=check
            )
        if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
            return ProxyError(f"Nobody listens at {name}.", hint=check)
        return ProxyError(f"No connection to {name}: {error.strerror or error}.", hint=check)

    async def _request_tunnel(self, wire: "_ProxyStream") -> None:
        """Request a connection to the service from the proxy, or raise `ProxyError`."""
        import python_socks
        from python_socks.async_.asyncio.v2 import Proxy as Handshake

        proxy = self._proxy
        kind = python_socks.ProxyType.SOCKS5 if proxy.is_socks else python_socks.ProxyType.HTTP
        # The library encodes as Latin-1, and RFC 7617 requires UTF-8: this yields UTF-8 bytes.
        user, password = (text.encode().decode("latin-1") for text in (proxy.user, proxy.password))
        handshake = Handshake(
            kind,
            proxy.host,
            proxy.port,
            user,
            password,
            rdns=proxy.scheme != "socks5",
            forward=cast(Any, _ConnectedProxy(wire)),
        )
        try:
            await handshake.connect(self._host, self._port, timeout=_NO_TIMEOUT_S)
        except python_socks.ProxyError as error:
            raise self._refusal(error.error_code, str(error)) from error
        except socket.gaierror as error:
            raise ProxyError(
                f"There is no host {self._host!r}: {error.strerror}. With socks5:// its name is "
                "looked up here.",
                hint="Write socks5h:// to have the proxy look it up.",
            ) from error
        except (EOFError, OSError) as error:
            raise ProxyError(
                f"The proxy {self._where} closed the connection without an answer.",
                hint="Check that its URL has the right scheme and port, and the proxy's log.",
            ) from error

    def _refusal(self, code: int | None, text: str) -> ProxyError:
        """Return the error for a proxy's negative answer.

        Args:
            code: Status of HTTP or reply code of SOCKS5; None if the answer has none.
            text: The text of the answer or of the library.
        """
        name, service = f"The proxy {self._where}", f"{self._host}:{self._port}"
        socks = self._proxy.is_socks
        words = printable(text)[:_SHOWN_REASON]
        if code in _UNKNOWN_USER and not socks:
            return self._unknown_user(words[:3])
        if socks and code is None and "uthentication" in text:
            return self._unknown_user("SOCKS5")
        if code == (_SOCKS_FORBIDDEN if socks else HTTPStatus.FORBIDDEN):
            return ProxyError(
                f"{name} forbids connections to {service} ({words}).",
                hint="Ask for it to be allowed; if it can be reached directly, add it to NO_PROXY.",
            )
        # HTTP proxies report an unreachable service by 502 or 504, tinyproxy by 500.
        unreachable = socks and code in _SOCKS_UNREACHABLE
        if unreachable or (
            not socks and code is not None and code >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return ProxyError(
                f"{name} could not connect to {service} ({words}).",
                hint="Check the endpoint and the region; the proxy itself answers.",
            )
        if code is not None:
            return ProxyError(
                f"{name} does not open a tunnel to {service} ({words}).",
                hint="It must allow CONNECT to this port." if not socks else "See its log.",
            )
        kind = "SOCKS5" if socks else "an HTTP proxy's CONNECT"
        return ProxyError(
            f"{name} does not speak {kind}.", hint="Check the scheme and the port in its URL."
        )

    def _unknown_user(self, how: str) -> ProxyError:
        proxy = self._proxy
        if not proxy.user or (proxy.is_socks and not proxy.password):
            return ProxyError(
                f"The proxy {self._where} wants a user name and a password ({how}).",
                hint=f"Name them in its URL: {proxy.scheme}://USER:PASSWORD@{proxy.host}:"
                f"{proxy.port}",
            )
        return ProxyError(
            f"The proxy {self._where} refuses the user name or the password ({how}).",
            hint="Correct them in its URL, special characters percent-encoded. Of HTTP's ways to "
            "log in only basic authentication is supported."
            if not proxy.is_socks
            else "Correct them in its URL, special characters percent-encoded.",
        )


def _patch_force_close(transport: asyncio.Transport) -> None:
    """Make it possible to drop a TLS transport from TLS above it.

    In Python 3.12.0 and 3.12.1 `_force_close`, which TLS calls to drop the transport below it,
    calls `_abort` with an argument that it does not accept, and asyncio prints the `TypeError`.
    """
    if "exc" not in signature(SSLProtocol._abort).parameters:

        def force_close(_: Exception | None) -> None:
            transport.abort()

        cast(Any, transport)._force_close = force_close


class _ProxyStream(asyncio.Protocol):
    """A protocol that buffers received data until another protocol replaces it.

    python-socks uses it as a stream, from one task.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        """Data that was not read yet. Bounded by `_REPLY_BYTES` and one read of the socket."""
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        """Transport of the connection, set by asyncio when it is established."""
        self.lost: Exception | None = None
        """Reason for the end of the connection, if asyncio gave one."""
        self.ended = False
        """True if the connection has ended."""
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.ended = True
        self.lost = exc
        self._changed.set()

    # --- called by python-socks

    async def write(self, data: bytes) -> None:
        """Send a request without waiting, because it is short.

        Args:
            data: The request.
        """
        self.transport.write(data)

    async def read(self, max_bytes: int = 0) -> bytes:
        """Wait for the head of an HTTP answer, in any number of packets, and return it.

        Args:
            max_bytes: Ignored; part of the interface.

        Raises:
            EOFError: The connection ended before the end of the head.
            OSError: The connection failed.
        """
        while (end := _END_OF_HEAD.search(self.received)) is None:
            if len(self.received) > _REPLY_BYTES:
                return self._take(len(self.received))  # not a head: python-socks raises for it
            await self._more()
        return self._take(end.end())

    async def read_exactly(self, n: int) -> bytes:
        """Wait for the next `n` bytes and return them.

        Args:
            n: Number of bytes.

        Raises:
            EOFError: The connection ended before.
            OSError: The connection failed.
        """
        while len(self.received) < n:
            await self._more()
        return self._take(n)

    async def close(self) -> None:
        """Drop the connection."""
        self.transport.abort()

    async def _more(self) -> None:
        if self.ended:
            raise self.lost or EOFError
        self._changed.clear()
        await self._changed.wait()

    def _take(self, size: int) -> bytes:
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken


class _ConnectedProxy:
    """A connector for python-socks that returns a connection which is established already.

    python-socks uses it as the proxy before its own proxy.
    """

    def __init__(self, wire: _ProxyStream) -> None:
        self._wire = wire

    async def connect(self, dest_host: str, dest_port: int, **_: object) -> _ProxyStream:
        """Return the connection to the proxy.

        Args:
            dest_host: Ignored; part of the interface.
            dest_port: Ignored; part of the interface.
        """
        return self._wire
