"""Probe the connection to the service: connect, send one unsigned request, read its answer.

The request is `GET /`, which names no operation and therefore starts nothing, whatever the service
answers. The emulator answers 404. The probe succeeds if there is an answer in HTTP/2; the answer's
date tells how far the clocks differ.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import ConnectionLost, DeadlineError
from ..http2.tls import TlsContext

if TYPE_CHECKING:
    from ..http2.connection import H2Connection
    from ..http2.tunnel import Tunnel

DEADLINE_S = 10.0
"""Maximum time to wait for the answer, in seconds; a distant region needs less than one."""

_PORTS = {"https": 443, "http": 80}
"""Default port of each URL scheme."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """The address at which the service listens."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """The value of the `:authority` header: host, and port unless it is the default one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a successful probe."""

    connected_ms: float
    """Time from the start of the name lookup (of the service or of its proxy) to the end of the TLS
    handshake, in milliseconds."""
    security: str
    """Version of TLS, or "no TLS" on loopback."""
    clock_offset: timedelta | None
    """Local time minus the service's time, by the date of the answer; None if it has no date."""


def address_of(endpoint: str) -> ServiceAddress:
    """Return the address in a URL.

    Args:
        endpoint: A URL that `check_endpoint` has accepted.
    """
    parts = urlsplit(endpoint)
    return ServiceAddress(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])


async def probe(
    address: ServiceAddress, tls: TlsContext | None, tunnel: "Tunnel | None" = None
) -> ProbeResult:
    """Connect, send a request, wait for the answer, and close the connection.

    It connects and waits as a conversation does, so that both report a fault in the same words.
    Cancelling it closes the connection.

    Args:
        address: The address of the service.
        tls: The certificates to trust; None connects without TLS.
        tunnel: The tunnel through a proxy; None connects directly.

    Raises:
        NetworkError: The connection or the request failed, or took too long.
    """
    from ..http2.dialing import dial

    began_s = asyncio.get_running_loop().time()
    connection = await dial(
        address.host, address.port, lambda: _connection(address), tls=tls, tunnel=tunnel
    )
    connected_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(DEADLINE_S):
            sent = datetime.now(UTC)
            date = await _request_date(connection, address)
            received = datetime.now(UTC)
    except TimeoutError as error:
        raise DeadlineError(
            f"{address} did not answer within {DEADLINE_S:g} s.",
            waited_s=DEADLINE_S,
            hint="Check the endpoint, and any proxy, firewall or VPN on the way to it.",
        ) from error
    finally:
        connection.close()
        await connection.closed
    # The date is taken to be of the moment half-way between request and answer.
    clock_offset = sent + (received - sent) / 2 - date if date is not None else None
    security = (connection.tls_version or "TLS") if tls is not None else "no TLS"
    return ProbeResult((connected_s - began_s) * 1000, security, clock_offset)


def _connection(address: ServiceAddress) -> "H2Connection":
    from ..http2.connection import H2Connection
    from ..http2.keepalive import PING_S

    return H2Connection(ping_s=PING_S, peer=str(address))


async def _request_date(connection: "H2Connection", address: ServiceAddress) -> datetime | None:
    """Send `GET /` and return the date of the answer, whatever its status; None without one."""
    stream = connection.open_stream(
        [
            (":method", "GET"),
            (":scheme", address.scheme),
            (":authority", address.authority),
            (":path", "/"),
        ]
    )
    stream.end()
    try:
        headers = dict(await stream.wait_headers())
    except ConnectionLost as error:
        if error.reason in {"reset", "goaway"}:
            return None  # this is an answer in HTTP/2, too
        raise
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
