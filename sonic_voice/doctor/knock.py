"""One connection to the service and one unsigned request on it, to see how far that comes.

The request is `GET /`, which names no operation: whatever the service answers, it starts nothing.
The emulator answers 404. What counts is that there is an answer, in HTTP/2, and its date.
"""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import ConnectError, ConnectionLost, DeadlineError
from .options import Options

if TYPE_CHECKING:
    from ..http2.connection import H2Connection
    from ..http2.tunnel import Tunnel

DEADLINE_S = 10.0
"""Name, TCP, TLS and an answer; a far region needs under a second."""

_PORTS = {"https": 443, "http": 80}
_NOT_YET_VALID, _EXPIRED = 9, 10  # OpenSSL's X509_V_ERR_CERT_...
_CA_VARIABLES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")


class CertificateError(ConnectError):
    """The service's certificate is not one to trust here."""


@dataclass(frozen=True, slots=True)
class Place:
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
class Answer:
    """What came of a knock."""

    connected_ms: float
    """From the first look for its name, or its proxy's, to the end of the TLS handshake."""
    security: str
    """The version of TLS; "no TLS" on loopback."""
    ahead: timedelta | None
    """How much later it is here than there, by the answer's date; None if it has none."""


def place(endpoint: str) -> Place:
    """The place of a URL that `check_endpoint` has passed."""
    parts = urlsplit(endpoint)
    return Place(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])


def trusted(options: Options) -> str:
    """Whose word counts for certificates, in words."""
    if options.ca_file is not None:
        return f"those of {os.fspath(options.ca_file)} (--ca)"
    for name in _CA_VARIABLES:
        if path := os.environ.get(name):
            return f"those of {path} ({name})"
    return "the system's"


async def knock(
    at: Place, tls: ssl.SSLContext | None, trust: str, tunnel: "Tunnel | None" = None
) -> Answer:
    """Connect, ask, and hang up. `tls` None: in clear. Raises `NetworkError`.

    `tunnel`: the way through a proxy; None: directly.
    """
    began_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(DEADLINE_S):
            connection, security = await _connect(at, tls, trust, tunnel)
            connected_s = asyncio.get_running_loop().time()
            try:
                asked = datetime.now(UTC)
                date = await _ask(connection, at)
                answered = datetime.now(UTC)
            finally:
                connection.close()
                await connection.closed
    except TimeoutError as error:
        if tunnel is not None:
            raise tunnel.deadline_error(DEADLINE_S) from error
        raise DeadlineError(
            f"{at} did not answer within {DEADLINE_S:g} s.",
            waited_s=DEADLINE_S,
            hint=f"Check the network, and that a firewall lets TCP to port {at.port} out.",
        ) from error
    ahead = asked + (answered - asked) / 2 - date if date is not None else None
    return Answer((connected_s - began_s) * 1000, security, ahead)


async def _connect(
    at: Place, tls: ssl.SSLContext | None, trust: str, tunnel: "Tunnel | None"
) -> tuple["H2Connection", str]:
    from ..http2.connection import H2Connection
    from ..http2.tunnel import connect

    try:
        transport, connection = await connect(
            H2Connection, at.host, at.port, tls=tls, timeout_s=DEADLINE_S, tunnel=tunnel
        )
    except OSError as error:
        raise _connect_error(at, error, trust) from error
    if tls is None:
        return connection, "no TLS"
    agreed: ssl.SSLObject = transport.get_extra_info("ssl_object")
    if agreed.selected_alpn_protocol() != "h2":
        connection.cut()
        await connection.closed
        raise ConnectError(
            f"{at} does not speak HTTP/2: it did not choose it in the TLS handshake.",
            hint="Check the endpoint; a proxy that opens TLS in between must let HTTP/2 through.",
        )
    return connection, agreed.version() or "TLS"


async def _ask(connection: "H2Connection", at: Place) -> datetime | None:
    """The date of the answer to `GET /`, whatever else it says."""
    stream = connection.open_stream(
        [
            (":method", "GET"),
            (":scheme", at.scheme),
            (":authority", at.authority),
            (":path", "/"),
        ]
    )
    stream.end()
    try:
        headers = dict(await stream.wait_headers())
    except ConnectionLost as error:
        if error.reason in {"reset", "goaway"}:
            return None  # said in HTTP/2, too
        raise ConnectError(
            f"{at} gave no answer in HTTP/2: {error.message}",
            hint="Check the endpoint, and what stands in between.",
        ) from error
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _connect_error(at: Place, error: OSError, trust: str) -> ConnectError:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in {_NOT_YET_VALID, _EXPIRED}:
            hint = f"Is the clock right? Here it is {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
        else:
            hint = f"Trusted are {trust}. For another CA: --ca FILE, or export SSL_CERT_FILE=FILE"
        return CertificateError(
            f"The certificate of {at} is not trusted: {error.verify_message}.", hint=hint
        )
    if isinstance(error, ssl.SSLError):
        return ConnectError(
            f"TLS with {at} failed: {error.reason or error}.", hint="Check the endpoint."
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(
            f"There is no host {at.host!r}: {error.strerror}.",
            hint="Check the region, the endpoint and the network.",
        )
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return ConnectError(f"Nobody listens at {at}.", hint="Check the endpoint.")
    return ConnectError(
        f"No connection to {at}: {error.strerror or error}.", hint="Check the network."
    )
