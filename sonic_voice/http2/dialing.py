"""Establishment of a connection to a service, with an explanation of every failure.

`dial` is the only way from a host and a port to an `H2Connection`: name resolution, TCP, a proxy if
there is one, TLS, and the negotiation of HTTP/2 in the handshake (ALPN). The client of
conversations and the doctor's probe both use it, so that they report the same fault in the same
words.

On a direct connection TLS is done on the socket itself (`tls_transport`). Through a proxy, and on
event loops other than asyncio's own for sockets, it is started on a plain transport by
`loop.start_tls`, because only then can the limit of the plain transport's own write buffer be set.
With its default limit that buffer holds a second of audio that is not measured.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from ..errors import ConfigError, ConnectError, DeadlineError
from .connection import H2Connection
from .early_bytes import EarlyBytes
from .tls import (
    HOST_MISMATCH_CODES,
    TlsContext,
    certificate_error,
    closed_in_handshake,
    no_http2,
    tls_context,
    tls_error,
)
from .tls_transport import start_tls_on_socket
from .tunnel import Tunnel

CONNECT_TIMEOUT_S = 8.0
"""Maximum time for name resolution, TCP and TLS together, in seconds. A distant region needs less
than one; TCP retransmits after 1, 3 and 7 s; and a missing network must be reported within 10 s."""

_NAMES_TIMEOUT_S = 2.0
"""Maximum time to find out which names a rejected certificate is for, in seconds."""

_SHUTDOWN_S = 1.0
"""Maximum time for the peer to answer TLS's close_notify, in seconds."""

_TLS_RECORD_BYTES = 16_384
"""Write buffer of TLS to a proxy, below TLS to the service, in bytes: one record."""

_ENOUGH_NAMES = 4
"""Maximum number of a certificate's names in a message."""


async def dial(
    host: str,
    port: int,
    new_connection: Callable[[], H2Connection],
    *,
    tls: TlsContext | None,
    timeout_s: float = CONNECT_TIMEOUT_S,
    tunnel: Tunnel | None = None,
) -> H2Connection:
    """Connect to `host`:`port` and return the connection, with HTTP/2 agreed on.

    Cancelling it leaves no connection.

    Args:
        host: A name, or an address without brackets.
        port: The TCP port.
        new_connection: Function that creates the connection's protocol.
        tls: The TLS context; None: no TLS.
        timeout_s: Maximum time for the whole attempt, in seconds.
        tunnel: A tunnel through a proxy; None connects directly.

    Returns:
        The connection, ready for a request.

    Raises:
        ProxyError: The proxy failed, or reports that it cannot reach the service.
        ConnectError: There is no listener, or the negotiation of TLS or HTTP/2 failed.
        DeadlineError: The attempt took longer than `timeout_s`.
    """
    place = f"{host}:{port}"
    dialing = _Dialing(host, port, tls, tunnel)
    try:
        async with asyncio.timeout(timeout_s):
            return await dialing.connect(new_connection)
    except TimeoutError as error:
        late = tunnel.deadline_error(timeout_s) if tunnel is not None else None
        raise late or _too_late(place, dialing.stage, timeout_s) from error
    except ssl.SSLCertVerificationError as error:
        assert tls is not None
        names = await dialing.names() if error.verify_code in HOST_MISMATCH_CODES else ()
        raise certificate_error(place, error, tls.cas, names=names) from error
    except OSError as error:
        raise connect_error(place, dialing.stage, error) from error


def connect_error(place: str, stage: str, error: OSError) -> ConnectError:
    """Return the error that explains a failed connection attempt.

    Args:
        place: Host and port, for the message.
        stage: The stage that failed: `TCP` or `TLS`.
        error: The error of the operating system or of TLS.
    """
    if isinstance(error, ssl.SSLError):
        return tls_error(place, error)
    if stage == "TLS":
        return closed_in_handshake(place)
    if isinstance(error, socket.gaierror):
        host = place.rpartition(":")[0]
        return ConnectError(
            f"There is no host {host!r}: {error.strerror}.",
            hint="Check the region, the endpoint and the network.",
        )
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return ConnectError(f"Nobody listens at {place}.", hint="Check the endpoint.")
    what = error.strerror or str(error) or type(error).__name__
    return ConnectError(f"No connection to {place}: {what}.", hint="Check the network.")


class _Dialing:
    """One attempt to connect."""

    def __init__(self, host: str, port: int, tls: TlsContext | None, tunnel: Tunnel | None) -> None:
        self.stage = "TCP"
        """The stage that was reached: `TCP`, then `TLS`."""
        self._host = host
        self._port = port
        self._tls = tls
        self._tunnel = tunnel

    async def connect(self, new_connection: Callable[[], H2Connection]) -> H2Connection:
        """Connect, negotiate TLS and HTTP/2, and return the connection.

        Args:
            new_connection: Function that creates the connection's protocol.

        Raises:
            OSError: The connection or the TLS handshake failed.
            ConnectError: The proxy failed, or the peer does not support HTTP/2.
        """
        raw, early = await self._plain()
        transport = raw
        try:
            if self._tls is not None:
                transport = await self._secure(raw, early, self._tls)
        except BaseException:
            raw.abort()
            raise
        # A transport that was lost does not tell it any more.
        speaks_h2 = self._tls is None or _alpn(transport) == "h2"
        # The peer may have sent its settings, or closed, before its protocol exists here.
        connection = new_connection()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        early.replay_to(connection)
        transport.resume_reading()
        if not speaks_h2:
            connection.cut()
            raise no_http2(f"{self._host}:{self._port}")
        return connection

    async def names(self) -> tuple[str, ...]:
        """Return the names that the peer's certificate is for; empty if they are not known.

        A failed handshake does not give access to the certificate. A second handshake is made
        that trusts the same CAs and does not compare the name; it is aborted at its end, and no
        data is sent. There is none through a proxy, because a tunnel is used only once.
        """
        assert self._tls is not None
        if self._tunnel is not None:
            return ()
        cas = self._tls.cas
        try:
            context = tls_context(cas.file if cas.explicit else None)
            context.check_hostname = False
            async with asyncio.timeout(_NAMES_TIMEOUT_S):
                transport, early = await self._plain()
                try:
                    transport = await self._secure(transport, early, context)
                    found: ssl.SSLObject = transport.get_extra_info("ssl_object")
                    listed = (found.getpeercert() or {}).get("subjectAltName", ())
                finally:
                    transport.abort()
        except (OSError, TimeoutError, ConfigError):
            return ()
        names = [str(pair[1]) for pair in listed if isinstance(pair, tuple)]
        more = len(names) - _ENOUGH_NAMES
        return (*names[:_ENOUGH_NAMES], *([f"{more} others"] if more > 0 else []))

    async def _plain(self) -> tuple[asyncio.Transport, EarlyBytes]:
        """Return a paused transport to the service, without TLS to it."""
        if self._tunnel is not None:
            return await self._tunnel.open(secure=self._tls is not None)
        loop = asyncio.get_running_loop()
        return await loop.create_connection(EarlyBytes, self._host, self._port)

    async def _secure(
        self, raw: asyncio.Transport, early: EarlyBytes, context: ssl.SSLContext
    ) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        self.stage = "TLS"
        if self._tunnel is None and isinstance(loop, asyncio.SelectorEventLoop):
            sock = _taken_socket(raw)
            return await start_tls_on_socket(sock, context, self._host, early)
        # The TLS transport has a limit of its own. Only TLS below it needs room for one record.
        below_tls = raw.get_extra_info("ssl_object") is not None
        raw.set_write_buffer_limits(high=_TLS_RECORD_BYTES if below_tls else 0)
        secured = await loop.start_tls(
            raw,
            early,
            context,
            server_hostname=self._host,
            ssl_shutdown_timeout=_SHUTDOWN_S,
        )
        assert secured is not None
        return secured


def _taken_socket(transport: asyncio.Transport) -> socket.socket:
    """Return the socket of a transport, which it loses."""
    found = transport.get_extra_info("socket")
    taken = socket.fromfd(found.fileno(), found.family, found.type)
    transport.set_protocol(asyncio.Protocol())  # for the end of the transport
    transport.abort()
    return taken


def _alpn(transport: asyncio.Transport) -> str | None:
    agreed: ssl.SSLObject = transport.get_extra_info("ssl_object")
    return agreed.selected_alpn_protocol()


def _too_late(place: str, stage: str, timeout_s: float) -> DeadlineError:
    if stage == "TLS":
        return DeadlineError(
            f"{place} took the connection, but no TLS was agreed on within {timeout_s:g} s.",
            waited_s=timeout_s,
            hint="Check the endpoint, and what stands in between: a proxy, a firewall, a VPN.",
        )
    return DeadlineError(
        f"No connection to {place} after {timeout_s:g} s.",
        waited_s=timeout_s,
        hint="Check the network, the endpoint and the region, and that a firewall lets TCP to "
        f"port {place.rpartition(':')[2]} out.",
    )
