"""Verification of Signature Version 4: of a request, and of the chain of its frames.

A request is signed with a key that is derived from the secret, the day, the region and the service.
The signature of the request is the seed of a chain: each frame of the event stream is signed
together with the signature before it, so that frames cannot be changed, dropped, repeated or
reordered. The last frame is empty and signed, too.

Nothing here uses the SDK, so that an SDK that signs wrongly is detected.

Source: reference 1.1 and 1.5.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote

from .event_stream import EventStreamFrame, Timestamp, encode_headers

SERVICE = "bedrock"
"""The service for which requests must be signed."""
STREAMING_BODY = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
"""The value that stands for the hash of a body whose frames are signed one by one."""

CLOCK_SKEW_S = 300.0
"""Maximum difference between the client's clock and ours, in seconds, before its signatures count
as expired."""

EXPIRED_TOKEN = "EXPIRED"
"""A session token that the emulator treats as expired, for tests."""

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/"
    r"(?P<service>[a-z0-9-]+)/aws4_request\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_DAY_DIGITS = len("YYYYMMDD")
_DATE_HEADER = ":date"
_SIGNATURE_HEADER = ":chunk-signature"


UNKNOWN_KEY = "UnrecognizedClientException"
"""Code of the error for an access key that is not one of the accepted ones."""


class AuthError(Exception):
    """An error: a request is not signed as it must be.

    Args:
        code: The service's name of the exception (reference 1.7).
        message: The service's text.
    """

    status = 403
    """The HTTP status of the answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ChainError(ValueError):
    """An error: a frame is not signed, or not as the next of its chain."""


@dataclass(frozen=True, slots=True)
class AccessKeyPair:
    """A pair of access key and secret key that the emulator accepts.

    A session token is accepted beside it, but not required.
    """

    access_key: str
    """The access key id."""
    secret_key: str = field(repr=False)
    """The secret access key."""
    expires_at: datetime | None = None
    """The moment from which new streams are refused with `ExpiredTokenException`. None: never."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The signed parts of a request."""

    method: str
    path: str
    """The path as it was sent, with its escapes."""
    query: str
    """The query without its question mark."""
    headers: Mapping[str, str]
    """The headers by their names in lower case."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request with a valid signature, and the values that its frames are checked with."""

    region: str
    """The region for which it was signed."""
    signature: str
    """Its signature, in hexadecimal digits."""
    secret_key: str = field(repr=False)
    """The secret access key that signed it."""


def verify_request(
    request: HttpRequest, keys: AccessKeyPair | Sequence[AccessKeyPair], now: datetime
) -> SignedRequest:
    """Verify the signature of a request.

    Args:
        request: The request.
        keys: The credentials that are accepted.
        now: The current time.

    Returns:
        The values with which the frames of the request are checked.

    Raises:
        AuthError: The signature is missing, of unknown credentials, expired or wrong.
    """
    authorization = request.headers.get("authorization", "")
    if not authorization:
        raise AuthError("MissingAuthenticationTokenException", "Missing Authentication Token")
    if authorization.lower().startswith("bearer"):
        raise AuthError(
            "AccessDeniedException",
            "This operation does not support API keys. Sign the request with SigV4.",
        )
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise AuthError(
            "IncompleteSignatureException",
            "Authorization header requires Credential, SignedHeaders and Signature.",
        )
    accepted = (keys,) if isinstance(keys, AccessKeyPair) else keys
    own = next((known for known in accepted if known.access_key == found["key"]), None)
    if own is None:
        raise AuthError(UNKNOWN_KEY, "The security token included in the request is invalid.")
    expired = own.expires_at is not None and now >= own.expires_at
    if expired or request.headers.get("x-amz-security-token") == EXPIRED_TOKEN:
        raise AuthError(
            "ExpiredTokenException", "The security token included in the request is expired"
        )
    if found["service"] != SERVICE:
        raise AuthError(
            "InvalidSignatureException", f"Credential should be scoped to service: '{SERVICE}'."
        )
    return _verify_signature(request, found, own, now)


def _verify_signature(
    request: HttpRequest, found: re.Match[str], keys: AccessKeyPair, now: datetime
) -> SignedRequest:
    stamp = request.headers.get("x-amz-date", "")
    _check_time(stamp, found["day"], now)
    names = found["headers"].split(";")
    # Over HTTP/2 the AWS SDK for JavaScript signs `:authority`, and no `host`.
    if "x-amz-date" not in names or not {"host", ":authority"} & set(names):
        raise _wrong_signature()
    scope = _scope(found["day"], found["region"], found["service"])
    key = signing_key(keys.secret_key, found["day"], found["region"], found["service"])
    digest = sha256(_canonical(request, names).encode()).hexdigest()
    expected = _sign(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    if not hmac.compare_digest(expected, found["signature"]):
        raise _wrong_signature()
    return SignedRequest(found["region"], expected, keys.secret_key)


def _check_time(stamp: str, day: str, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(stamp, _DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise AuthError(
            "IncompleteSignatureException", "Date must be in ISO-8601 'basic format'."
        ) from error
    if not stamp.startswith(day):
        raise AuthError(
            "InvalidSignatureException", "Date in Credential scope does not match X-Amz-Date."
        )
    if abs((now - signed_at).total_seconds()) > CLOCK_SKEW_S:
        raise AuthError(
            "InvalidSignatureException",
            f"Signature expired: {stamp} is too far from {now.strftime(_DATE_FORMAT)}",
        )


def _canonical(request: HttpRequest, names: list[str]) -> str:
    """Return the canonical request.

    The path is encoded once more than it was sent, as every service except S3 does.
    """
    pairs = sorted(
        (quote(name, safe=""), quote(value, safe=""))
        for name, value in parse_qsl(request.query, keep_blank_values=True)
    )
    headers = "".join(f"{n}:{' '.join(request.headers.get(n, '').split())}\n" for n in names)
    return "\n".join(
        (
            request.method,
            quote(request.path, safe="/"),
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(names),
            request.headers.get("x-amz-content-sha256", STREAMING_BODY),
        )
    )


def _wrong_signature() -> AuthError:
    return AuthError(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method.",
    )


def signing_key(secret_key: str, day: str, region: str, service: str = SERVICE) -> bytes:
    """Return the signing key of one day, region and service.

    Args:
        secret_key: The secret access key.
        day: The day, as `YYYYMMDD`.
        region: The region.
        service: The service.
    """
    key = ("AWS4" + secret_key).encode()
    for part in (day, region, service, "aws4_request"):
        key = _sign(key, part)
    return key


def _scope(day: str, region: str, service: str) -> str:
    """Return the credential scope."""
    return f"{day}/{region}/{service}/aws4_request"


def _sign(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class SignatureChain:
    """A check of the frames of one request, in their order.

    The date of a frame decides the scope and the key with which it is signed, as it does in the
    SDKs. After midnight UTC both are those of the new day, while the chain of signatures goes on.

    Args:
        request: The request, whose signature begins the chain.
    """

    def __init__(self, request: SignedRequest) -> None:
        self._region = request.region
        self._secret_key = request.secret_key
        self._previous = request.signature
        self._day = ""
        self._key = b""

    def unwrap(self, frame: EventStreamFrame) -> bytes:
        """Verify a frame and return its payload.

        Args:
            frame: The next frame of the request.

        Returns:
            The bytes of a whole inner frame, or nothing at the end of the input.

        Raises:
            ChainError: The signature is missing or wrong. The chain cannot be used any more.
        """
        date = frame.headers.get(_DATE_HEADER)
        signature = frame.headers.get(_SIGNATURE_HEADER)
        if not isinstance(date, Timestamp) or not isinstance(signature, bytes):
            raise ChainError("the frame is not signed")
        if not hmac.compare_digest(self._expected(date, frame.payload), signature):
            raise ChainError("the signature of the frame does not fit")
        self._previous = signature.hex()
        return frame.payload

    def _expected(self, date: Timestamp, payload: bytes) -> bytes:
        try:
            stamp = datetime.fromtimestamp(date.ms // 1000, UTC).strftime(_DATE_FORMAT)
        except (ValueError, OverflowError, OSError) as error:
            raise ChainError("the date of the frame cannot be") from error
        day = stamp[:_DAY_DIGITS]
        text = "\n".join(
            (
                "AWS4-HMAC-SHA256-PAYLOAD",
                stamp,
                _scope(day, self._region, SERVICE),
                self._previous,
                sha256(encode_headers({_DATE_HEADER: date})).hexdigest(),
                sha256(payload).hexdigest(),
            )
        )
        if day != self._day:
            self._key = signing_key(self._secret_key, day, self._region)
            self._day = day
        return _sign(self._key, text)
