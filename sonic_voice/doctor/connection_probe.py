"""One connection to the service and one unsigned request on it, to see how far that comes.

The request is `GET /`, which names no operation: whatever the service answers, it starts nothing.
The emulator answers 404. What counts is that there is an answer, in HTTP/2, and its date.
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
"""How long the answer may take, in seconds; a far region needs under one."""

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where the service listens."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of a probe."""

    connected_ms: float
    """From the first look for its name, or its proxy's, to the end of the TLS handshake."""
    security: str
    """The version of TLS; "no TLS" on loopback."""
    clock_offset: timedelta | None
    """How much later it is here than there, by the answer's date; None if it has none."""


def address_of(endpoint: str) -> ServiceAddress:
    """The address_of of a URL that `check_endpoint` has passed."""
    parts = urlsplit(endpoint)
    return ServiceAddress(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])


async def probe(
    address: ServiceAddress, tls: TlsContext | None, tunnel: "Tunnel | None" = None
) -> ProbeResult:
    """Connect, ask, and hang up. Raises `NetworkError`.

    Args:
        at: Where the service listens.
        tls: What to trust there; None: in clear.
        tunnel: The way through a proxy; None: directly.

    It connects and waits as a conversation does, so that both report a fault in the same words.
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
            hint="Check the endpoint, and what stands in between: a proxy, a firewall, a VPN.",
        ) from error
    finally:
        connection.close()
        await connection.closed
    clock_offset = sent + (received - sent) / 2 - date if date is not None else None
    security = (connection.tls_version or "TLS") if tls is not None else "no TLS"
    return ProbeResult((connected_s - began_s) * 1000, security, clock_offset)


def _connection(address: ServiceAddress) -> "H2Connection":
    from ..http2.connection import H2Connection
    from ..http2.keepalive import PING_S

    return H2Connection(ping_s=PING_S, peer=str(address))


async def _request_date(connection: "H2Connection", address: ServiceAddress) -> datetime | None:
    """The date of the answer to `GET /`, whatever else it says."""
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
            return None  # said in HTTP/2, too
        raise
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
