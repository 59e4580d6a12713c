"""Check the connection to the service, the clock, and whether the service accepts our signature.

No stream to a model is opened. An unsigned request shows whether the network lets us reach the
service (`probe`). A signed request then goes through `BedrockTransport`, as those of conversations
do, to a model that does not exist, and ends at once. Services of AWS authenticate a request before
they look at its content. So "no such model" means that the signature was accepted, and status 403
that it was not. The exception is a 403 with `AccessDenied`: it is about the permissions of a known
identity (reference 1.7). The emulator answers 404 `ResourceNotFoundException`, as the service is
documented to (protocol reference 1.7); a `ValidationException` would mean the same. Only a
conversation shows whether this identity may use the real model.

Signatures are dated. One whose date is wrong by five minutes is refused, and the refusal tells the
time of the signature and that of the service.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..catalog import check_offered
from ..errors import ConfigError, ErrorKind, NetworkError, ServiceError, SonicError
from ..http2.tls import CertificateError, proxy_tls_context, tls_context
from .account import resolve
from .connection_probe import ServiceAddress, address_of, probe
from .finding import Finding, failure
from .options import Options

if TYPE_CHECKING:
    from ..bedrock.endpoint import Endpoint, Route
    from ..http2.proxies import Proxy
    from ..http2.tunnel import Tunnel

NONEXISTENT_MODEL = "sonic-voice.doctor-was-here"
"""Model id that is well-formed and that no model has."""

SIGNATURE_TOLERANCE = timedelta(minutes=5)
"""Maximum error of a signature's date that the service accepts (Signature Version 4)."""

CLOCK_WARNING_OFFSET = timedelta(minutes=1)
"""Difference of the clocks from which on a warning is given, well before signatures fail."""

_TIMESTAMP = re.compile(r"\b(\d{8}T\d{6}Z)\b")
"""A time in the text of a refusal. The first is the signature's, the last the service's."""

_SET_CLOCK = "Set the clock and synchronise it by NTP; on Linux: timedatectl set-ntp true"
"""Next step if the clock is wrong."""


async def check_service(options: Options) -> AsyncIterator[Finding]:
    """Check endpoint, proxy, connection, clock and signature, until one of them fails.

    Args:
        options: The conversation to check for.

    Yields:
        Findings named `AWS settings`, `endpoint`, `proxy`, `CA`, `connection`, `clock` and
        `signature`. Nothing if region or model are wrong: `check_account` reports that.
    """
    from ..bedrock.endpoint import route_to
    from ..http2.proxies import ProxySettings
    from ..http2.tunnel import ProxyError

    try:
        endpoint = await _resolve_endpoint(options)
    except ConfigError as error:
        yield failure("AWS settings", error)
        return
    if endpoint is None:
        return
    try:
        route = route_to(endpoint, ProxySettings.read(options.proxy))
    except ConfigError as error:
        yield failure("proxy", error)
        return
    address = address_of(endpoint.url)
    if finding := _endpoint_finding(endpoint):
        yield finding
    tunnel = None
    try:
        tls = tls_context(options.ca_file)
        tunnel = _tunnel(route.proxy, address, options)
        answer = await probe(address, tls if address.scheme == "https" else None, tunnel)
    except (ConfigError, CertificateError) as error:
        yield failure("CA", error)
        return
    except NetworkError as error:
        if isinstance(error, ProxyError) or (tunnel is not None and not tunnel.is_open):
            yield failure("proxy", error)
            return
        fix = f"{error.hint} {route.proxies.bypass}".rstrip()
        yield Finding("connection", "failure", error.message, fix)
        return
    if finding := _proxy_finding(route, address):
        yield finding
    if address.scheme == "https":
        yield Finding("CA", "ok", f"the certificate of {address} is trusted; CAs: {tls.cas}")
    how = f"{answer.security} and HTTP/2 with {address} after {answer.connected_ms:.0f} ms"
    yield Finding("connection", "ok", how)
    signed = await _send_signed_request(options)
    # The times in a refusal of the signature count more than the date of the probe's answer.
    clock_offset = answer.clock_offset
    if signed is not None and signed.clock_offset is not None:
        clock_offset = signed.clock_offset
    yield _clock_finding(clock_offset, signed)
    if signed is not None and signed.clock_offset is None:
        yield _signature_finding(signed)


async def _resolve_endpoint(options: Options) -> "Endpoint | None":
    """Return the endpoint of a conversation; None if `check_account` reports why there is none.

    Raises:
        ConfigError: A setting for the endpoint is neither true nor false.
    """
    from ..bedrock.endpoint import resolve_endpoint

    try:
        account = await resolve(options)
    except ConfigError:
        return None
    try:
        check_offered(options.model, account.config.region)
    except ConfigError:
        await account.aclose()
        return None
    try:
        return await resolve_endpoint(account.config)
    finally:
        await account.aclose()


def _endpoint_finding(endpoint: "Endpoint") -> Finding | None:
    """Return a finding about settings that change the endpoint; None if there are none."""
    if endpoint.ignored:
        return Finding("endpoint", "warning", endpoint.note, "Keep one of the two.")
    if endpoint.variants:
        host = address_of(endpoint.url).host
        return Finding("endpoint", "ok", f"{host}, by {' and '.join(endpoint.variants)}")
    return None


def _proxy_finding(route: "Route", address: ServiceAddress) -> Finding | None:
    """Return a finding about the proxy of a working connection; None if no proxy is set."""
    if route.proxy is not None:
        return Finding("proxy", "ok", f"{route.proxy} ({route.proxy.source}) connects to {address}")
    return Finding("proxy", "ok", route.proxies.bypass) if route.proxies.bypass else None


def _tunnel(proxy: "Proxy | None", address: ServiceAddress, options: Options) -> "Tunnel | None":
    """Return the tunnel through a proxy; None without a proxy.

    Raises:
        ConfigError: The CA file cannot be used.
    """
    from ..http2.tunnel import Tunnel

    if proxy is None:
        return None
    tls = proxy_tls_context(options.ca_file) if proxy.scheme == "https" else None
    return Tunnel(proxy, address.host, address.port, tls)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The result of a signed request."""

    refusal: SonicError | None
    """Error that the request failed with; None if the service accepted it."""

    @property
    def accepted(self) -> bool:
        """True if the service accepted the signature: it objected to the model at most."""
        if isinstance(self.refusal, ServiceError):
            return self.refusal.kind in {ErrorKind.NOT_FOUND, ErrorKind.REQUEST}
        return self.refusal is None

    @property
    def clock_offset(self) -> timedelta | None:
        """Local time minus the service's time, if the service refused the signature for its date;
        otherwise None."""
        if self.accepted or not isinstance(self.refusal, ServiceError):
            return None
        times = [
            datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            for time in _TIMESTAMP.findall(self.refusal.text)
        ]
        return times[0] - times[-1] if len(times) > 1 else None


async def _send_signed_request(options: Options) -> SignedRequest | None:
    """Send a signed request to a model that does not exist.

    Returns:
        Its result; None without credentials, which `check_account` reports.
    """
    from ..bedrock import BedrockTransport

    transport = BedrockTransport(
        region=options.region,
        profile=options.profile,
        endpoint=options.endpoint,
        ca_file=options.ca_file,
        proxy=options.proxy,
    )
    try:
        stream = await transport.open(NONEXISTENT_MODEL)
        try:
            await stream.end_input()
            await stream.accepted()
        finally:
            await stream.aclose()
    except ConfigError:
        return None
    except SonicError as error:
        return SignedRequest(error)
    finally:
        await transport.aclose()
    return SignedRequest(None)


def _clock_finding(clock_offset: timedelta | None, signed: SignedRequest | None) -> Finding:
    signed_accepted = signed is not None and signed.accepted
    if clock_offset is None and signed_accepted:
        return Finding(
            "clock", "ok", "right enough: the service accepted a signature with its date"
        )
    if clock_offset is None:
        text = "not measured: no answer had a date, and no signed request was accepted."
        return Finding("clock", "warning", text, "Compare it with another clock.")
    text = f"{_duration(clock_offset)} the service's"
    if signed is not None and signed.clock_offset is not None:
        text = f"{text}, which refuses signatures with this date."
        return Finding("clock", "failure", text, _SET_CLOCK)
    if abs(clock_offset) < CLOCK_WARNING_OFFSET:
        return Finding("clock", "ok", text)
    late = abs(clock_offset) > SIGNATURE_TOLERANCE and not signed_accepted
    return Finding("clock", "failure" if late else "warning", text, _SET_CLOCK)


def _duration(clock_offset: timedelta) -> str:
    seconds = abs(clock_offset.total_seconds())
    length = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{length} {'ahead of' if clock_offset > timedelta() else 'behind'}"


def _signature_finding(signed: SignedRequest) -> Finding:
    if signed.accepted or signed.refusal is None:
        return Finding(
            "signature",
            "ok",
            "the service accepted a signed request (to a model that does not exist)",
        )
    refusal = signed.refusal
    if isinstance(refusal, ServiceError) and refusal.code.startswith("AccessDenied"):
        return Finding(
            "signature",
            "warning",
            "the service knows this identity, but it may not use all models.",
            "Check that it has the permissions bedrock:InvokeModel and "
            "bedrock:InvokeModelWithBidirectionalStream for the model.",
        )
    passing = isinstance(refusal, ServiceError) and refusal.recoverable
    return Finding("signature", "warning" if passing else "failure", refusal.message, refusal.hint)
