"""The way to a service through a proxy.

    TCP  ->  [TLS to the proxy]  ->  CONNECT or SOCKS5  ->  `dialing`: [TLS to the service], HTTP/2

`python-socks` speaks CONNECT and SOCKS5. It does so over a stream of ours (its parameter
`forward`), because its own leave three things out: they take the first bytes of an answer to
CONNECT for all of it, they have no TLS to the proxy in the interface that gives a socket, and no
HTTP/2 protocol can be put onto the reader and writer of the other. Ours is an asyncio protocol
that collects what arrives; when the tunnel is open, `dialing` starts TLS to the service on its
transport and puts the HTTP/2 connection there. This works the same over TCP and over TLS.

What is wrong with the proxy leaves as `ProxyError`, so that nobody looks for it at the service.
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
from .early_bytes import EarlyBytes
from .proxies import Proxy

_REPLY_BYTES = 65_536
"""Maximum size of a proxy's answer to CONNECT. Squid's error pages, which follow it, are read as
far as they come with it; 64 KiB hold the largest."""

_NO_TIMEOUT_S = 3600.0
"""A limit for python-socks, which wants one, in seconds. The caller's deadline comes first."""

_SHOWN_REASON = 60
"""How many characters of a proxy's own words are shown."""

_SHUTDOWN_S = 1.0
"""How long the service may take to answer the goodbye of TLS."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")

_UNKNOWN_USER = frozenset({HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.UNAUTHORIZED})
"""What proxies answer to a missing or wrong password; tinyproxy says 401 to a wrong one."""

_GATEWAY_ERRORS = range(500, 600)
"""What HTTP proxies answer when the destination is at fault: most say 502 or 504, tinyproxy 500."""

_SOCKS_FORBIDDEN = 2
_SOCKS_UNREACHABLE = frozenset({1, 3, 4, 5, 6})
"""Reply codes of SOCKS5 that are about the destination (RFC 1928, section 6)."""


class ProxyError(ConnectError):
    """The proxy could not be reached, refused us, or could not reach the service."""


class Tunnel:
    """One connection attempt through a proxy; it is used once.

    Args:
        proxy: the proxy.
        host: name or address of the service; a name is looked up by the proxy, but for `socks5`.
        port: port of the service.
        proxy_tls: what to trust at a proxy of scheme `https`.
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
        """Whether the proxy has done its part: what fails from then on is the service's."""
        return self._step == "use"

    @property
    def _where(self) -> str:
        source = f" ({self._proxy.source})" if self._proxy.source else ""
        return f"{self._proxy}{source}"

    async def open(self, *, secure: bool) -> tuple[asyncio.Transport, EarlyBytes]:
        """Connect to the proxy and have it connect to the service.

        Cancelling it leaves no connection. It has no deadline of its own.

        Args:
            secure: Whether TLS to the service will follow.

        Returns:
            A paused transport to the service, and what it said before anybody asked.

        Raises:
            ProxyError: The proxy is at fault, or says that the service is.
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
        """Take `wire` off its transport; what it received belongs to the service."""
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
        """Return what is to be said if the attempt has not come to an end by now."""
        service = f"{self._host}:{self._port}"
        # A proxy that expects a line of HTTP waits for more when it gets TLS.
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
        """Have the proxy connect to the service. Raises `ProxyError`."""
        import python_socks
        from python_socks.async_.asyncio.v2 import Proxy as Handshake

        proxy = self._proxy
        kind = python_socks.ProxyType.SOCKS5 if proxy.is_socks else python_socks.ProxyType.HTTP
        # The library encodes as Latin-1, RFC 7617 wants UTF-8: this gives the bytes of UTF-8.
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
        """Return what the proxy's answer means.

        Args:
            code: status of HTTP or reply code of SOCKS5; None if the answer has none.
            text: the words of the answer or of the library.
        """
        name, service = f"The proxy {self._where}", f"{self._host}:{self._port}"
        socks = self._proxy.is_socks
        words = "".join(c for c in text if c.isprintable())[:_SHOWN_REASON]
        if code in _UNKNOWN_USER and not socks:
            return self._unknown_user(words[:3])
        if socks and code is None and "uthentication" in text:
            return self._unknown_user("SOCKS5")
        if code == (_SOCKS_FORBIDDEN if socks else HTTPStatus.FORBIDDEN):
            return ProxyError(
                f"{name} forbids connections to {service} ({words}).",
                hint="Ask for it to be allowed; if it can be reached directly, add it to NO_PROXY.",
            )
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
    """Let a TLS transport be dropped by TLS above it.

    In Python 3.12.0 and 3.12.1 `_force_close`, which TLS calls to drop the transport below it,
    calls `_abort` with an argument that it does not take, and asyncio prints the `TypeError`.
    """
    if "exc" not in signature(SSLProtocol._abort).parameters:

        def force_close(_: Exception | None) -> None:
            transport.abort()

        cast(Any, transport)._force_close = force_close


class _ProxyStream(asyncio.Protocol):
    """Collects what arrives until another protocol takes its place.

    To python-socks it is a stream. One task reads.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        """What arrived and was not read. Bounded by `_REPLY_BYTES` and one read of the socket."""
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.lost: Exception | None = None
        self.ended = False
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

    # --- what python-socks calls

    async def write(self, data: bytes) -> None:
        """Send a request, which is short."""
        self.transport.write(data)

    async def read(self, max_bytes: int = 0) -> bytes:
        """Return the head of an HTTP answer, however it is cut into packets."""
        while (end := _END_OF_HEAD.search(self.received)) is None:
            if len(self.received) > _REPLY_BYTES:
                return self._take(len(self.received))  # no head; python-socks says so
            await self._more()
        return self._take(end.end())

    async def read_exactly(self, n: int) -> bytes:
        """Return the next `n` bytes."""
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
    """To python-socks the proxy before its own: gives the connection that is open already."""

    def __init__(self, wire: _ProxyStream) -> None:
        self._wire = wire

    async def connect(self, dest_host: str, dest_port: int, **_: object) -> _ProxyStream:
        """Return the connection to the proxy."""
        return self._wire
