"""Open a connection to a service, and say in words why there is none.

`dial` is the one way from a host and a port to an `H2Connection`: name, TCP, a proxy on the way if
there is one, TLS, and the choice of HTTP/2 in the handshake (ALPN). The client of conversations and
the doctor's probe both use it, so that they report the same fault in the same words.

TLS is begun on a plain transport by `loop.start_tls`, because only then can the limit of the plain
transport's own write buffer be set, which else holds a second of audio where nobody sees it.
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
from .tunnel import Tunnel

CONNECT_TIMEOUT_S = 8.0
"""Maximum time for name, TCP and TLS together, in seconds. A far region needs under one; TCP asks
again after 1, 3 and 7 s; and a network that is not there is to be reported within 10 s."""

_NAMES_TIMEOUT_S = 2.0
"""Maximum time for asking again which names a rejected certificate is for, in seconds."""

_SHUTDOWN_S = 1.0
"""How long the peer may take to answer TLS's close_notify, in seconds."""

_TLS_RECORD_BYTES = 16_384
"""How much may wait in TLS to a proxy, below TLS to the service: one record."""

_ENOUGH_NAMES = 4
"""How many names of a certificate a message lists."""


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
        new_connection: Makes the connection's protocol.
        tls: What to trust; None: no TLS.
        timeout_s: Maximum time for all of it, in seconds.
        tunnel: The way through a proxy; None: directly.

    Raises:
        ProxyError: The proxy is at fault, or says that the service is.
        ConnectError: Nobody listens, or TLS or HTTP/2 cannot be agreed on.
        DeadlineError: It took longer than `timeout_s`.
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
    """Return what kept us from connecting to `place`, in words; `stage` is `TCP` or `TLS`."""
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
    """One attempt to connect. `stage` says how far it came: `TCP`, then `TLS`."""

    def __init__(self, host: str, port: int, tls: TlsContext | None, tunnel: Tunnel | None) -> None:
        self.stage = "TCP"
        self._host = host
        self._port = port
        self._tls = tls
        self._tunnel = tunnel

    async def connect(self, new_connection: Callable[[], H2Connection]) -> H2Connection:
        raw, early = await self._plain()
        transport = raw
        try:
            if self._tls is not None:
                transport = await self._secure(raw, early, self._tls)
        except BaseException:
            raw.abort()
            raise
        connection = new_connection()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        early.replay_to(connection)
        raw.resume_reading()
        if self._tls is not None and _alpn(transport) != "h2":
            connection.cut()
            raise no_http2(f"{self._host}:{self._port}")
        return connection

    async def names(self) -> tuple[str, ...]:
        """Return the names that the peer's certificate is for; empty if that cannot be known.

        A failed handshake leaves no certificate behind. So there is a second one, which trusts
        the same CAs and does not compare the name; it ends there, and nothing is sent. A tunnel
        is used once, so that through a proxy there is none.
        """
        assert self._tls is not None
        if self._tunnel is not None:
            return ()
        cas = self._tls.cas
        try:
            context = tls_context(cas.file if cas.explicit else None)
            context.check_hostname = False
            async with asyncio.timeout(_NAMES_TIMEOUT_S):
                raw, early = await self._plain()
                try:
                    secured = await self._secure(raw, early, context)
                    found: ssl.SSLObject = secured.get_extra_info("ssl_object")
                    listed = (found.getpeercert() or {}).get("subjectAltName", ())
                finally:
                    raw.abort()
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
        self.stage = "TLS"
        # The limit is that of the transport above it; only TLS needs room for a record of its own.
        below_tls = raw.get_extra_info("ssl_object") is not None
        raw.set_write_buffer_limits(high=_TLS_RECORD_BYTES if below_tls else 0)
        secured = await asyncio.get_running_loop().start_tls(
            raw,
            early,
            context,
            server_hostname=self._host,
            ssl_shutdown_timeout=_SHUTDOWN_S,
        )
        assert secured is not None
        return secured


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
