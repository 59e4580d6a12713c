"""Signatures: the documented example verifies, and every change to a signed thing is found."""

import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from sonic_voice.emulator.server.event_stream import (
    EventStreamFrame,
    HeaderValue,
    Timestamp,
    encode_headers,
)
from sonic_voice.emulator.server.sigv4 import (
    EXPIRED_TOKEN,
    STREAMING_BODY,
    AccessKeyPair,
    AuthError,
    ChainError,
    HttpRequest,
    SignatureChain,
    SignedRequest,
    signing_key,
    verify_request,
)

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
KEYS = AccessKeyPair("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
PATH = "/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream"
SCOPE = "20261122/us-east-1/bedrock/aws4_request"
STAMP = "20261122T100000Z"


def sign(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), sha256).digest()


def signed_request(
    *, token: str | None = None, secret: str = KEYS.secret_key, host: str = "host"
) -> HttpRequest:
    """A request signed by hand, from the text of the specification."""
    headers = {
        host: "localhost:8443",
        "x-amz-content-sha256": STREAMING_BODY,
        "x-amz-date": STAMP,
    }
    if token is not None:
        headers["x-amz-security-token"] = token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    # The path is encoded twice: its percent signs are encoded again.
    path = PATH.replace("%", "%25")
    canonical = f"POST\n{path}\n\n{lines}\n{names}\n{STREAMING_BODY}"
    digest = sha256(canonical.encode()).hexdigest()
    key = signing_key(secret, "20261122", "us-east-1")
    signature = sign(key, f"AWS4-HMAC-SHA256\n{STAMP}\n{SCOPE}\n{digest}").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEYS.access_key}/{SCOPE}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return HttpRequest("POST", PATH, "", headers)


def with_header(request: HttpRequest, name: str, value: str) -> HttpRequest:
    return replace(request, headers={**request.headers, name: value})


def test_the_signing_key_is_that_of_the_specification() -> None:
    """The example of the SigV4 documentation: 20150830, us-east-1, iam."""
    key = signing_key(KEYS.secret_key, "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def test_a_good_signature_names_its_region() -> None:
    signed = verify_request(signed_request(), KEYS, NOW)
    assert signed.region == "us-east-1"


def test_authority_may_be_signed_in_the_place_of_host() -> None:
    """As the AWS SDK for JavaScript does over HTTP/2."""
    assert verify_request(signed_request(host=":authority"), KEYS, NOW).region == "us-east-1"


def test_one_of_them_must_be_signed() -> None:
    with pytest.raises(AuthError):
        verify_request(signed_request(host="x-host"), KEYS, NOW)


def test_a_session_token_is_signed_too() -> None:
    request = signed_request(token="some-token")
    verify_request(request, KEYS, NOW)
    with pytest.raises(AuthError, match="InvalidSignature"):
        verify_request(with_header(request, "x-amz-security-token", "other"), KEYS, NOW)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (replace(signed_request(), headers={}), "MissingAuthenticationTokenException"),
        (with_header(signed_request(), "authorization", "Bearer abc"), "AccessDeniedException"),
        (with_header(signed_request(), "authorization", "AWS4"), "IncompleteSignatureException"),
        (with_header(signed_request(), "x-amz-date", "now"), "IncompleteSignatureException"),
        (with_header(signed_request(), "x-amz-date", "20261122T100001Z"), "InvalidSignature"),
        (with_header(signed_request(), "x-amz-date", "20261121T100000Z"), "InvalidSignature"),
        (with_header(signed_request(), "host", "elsewhere"), "InvalidSignature"),
        (replace(signed_request(), path="/model/other/x"), "InvalidSignature"),
        (replace(signed_request(), query="a=b"), "InvalidSignature"),
        (replace(signed_request(), method="GET"), "InvalidSignature"),
        (signed_request(secret="another"), "InvalidSignature"),
        (signed_request(token=EXPIRED_TOKEN), "ExpiredTokenException"),
    ],
)
def test_a_request_that_is_not_in_order_is_refused(request_: HttpRequest, code: str) -> None:
    with pytest.raises(AuthError) as refused:
        verify_request(request_, KEYS, NOW)
    assert refused.value.code.startswith(code)
    assert refused.value.status == 403


def test_keys_are_refused_from_the_moment_at_which_they_expire() -> None:
    keys = replace(KEYS, expires_at=NOW)
    assert verify_request(signed_request(), keys, NOW - timedelta(seconds=1)).region == "us-east-1"
    with pytest.raises(AuthError) as refused:
        verify_request(signed_request(), keys, NOW)
    assert refused.value.code == "ExpiredTokenException"


def test_an_unknown_key_is_told_from_a_wrong_signature() -> None:
    with pytest.raises(AuthError, match="The security token included in the request is invalid"):
        verify_request(signed_request(), AccessKeyPair("AKIDOTHER", KEYS.secret_key), NOW)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_that_is_far_off_is_refused(minutes: int) -> None:
    with pytest.raises(AuthError, match="Signature expired"):
        verify_request(signed_request(), KEYS, NOW + timedelta(minutes=minutes))


def test_the_secret_is_in_no_repr() -> None:
    signed = verify_request(signed_request(), KEYS, NOW)
    assert KEYS.secret_key not in repr(KEYS)
    assert KEYS.secret_key not in repr(signed)


class Signer:
    """A client's side of the chain, by hand."""

    def __init__(self) -> None:
        self.previous = "00" * 32

    def sign(
        self, payload: bytes, ms: int = 1_795_341_600_500, stamp: str = STAMP, day: str = "20261122"
    ) -> EventStreamFrame:
        date = {":date": Timestamp(ms)}
        text = "\n".join(
            (
                "AWS4-HMAC-SHA256-PAYLOAD",
                stamp,
                f"{day}/us-east-1/bedrock/aws4_request",
                self.previous,
                sha256(encode_headers(date)).hexdigest(),
                sha256(payload).hexdigest(),
            )
        )
        signature = sign(signing_key(KEYS.secret_key, day, "us-east-1"), text)
        self.previous = signature.hex()
        return EventStreamFrame({**date, ":chunk-signature": signature}, payload)


def chain() -> SignatureChain:
    return SignatureChain(SignedRequest("us-east-1", "00" * 32, KEYS.secret_key))


def test_frames_verify_in_their_order_to_the_empty_one() -> None:
    assert datetime.fromtimestamp(1_795_341_600, UTC) == NOW
    signer, checked = Signer(), chain()
    assert [checked.unwrap(signer.sign(p)) for p in (b"a", b"b", b"")] == [b"a", b"b", b""]


def test_the_date_of_a_frame_decides_its_scope_and_key() -> None:
    """The chain goes on over midnight UTC, in both directions: a clock may be set back."""
    signer, checked = Signer(), chain()
    before = (1_795_391_999_900, "20261122T235959Z", "20261122")
    after = (1_795_392_000_100, "20261123T000000Z", "20261123")
    for payload, at in ((b"a", before), (b"b", after), (b"c", before), (b"", after)):
        assert checked.unwrap(signer.sign(payload, *at)) == payload


def test_a_frame_of_today_in_the_scope_of_yesterday_breaks_the_chain() -> None:
    with pytest.raises(ChainError):
        chain().unwrap(Signer().sign(b"a", 1_795_392_000_100, "20261123T000000Z", "20261122"))


def test_a_frame_that_is_dropped_breaks_the_chain() -> None:
    signer, checked = Signer(), chain()
    signer.sign(b"a")
    with pytest.raises(ChainError):
        checked.unwrap(signer.sign(b"b"))


def test_a_frame_that_is_repeated_breaks_the_chain() -> None:
    signer, checked = Signer(), chain()
    frame = signer.sign(b"a")
    checked.unwrap(frame)
    with pytest.raises(ChainError):
        checked.unwrap(frame)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (":date", Timestamp(1_795_341_600_501)),
        (":date", Timestamp(2**62)),
        (":date", "2026-11-22"),
        (":chunk-signature", bytes(32)),
        (":chunk-signature", "text"),
    ],
)
def test_a_frame_with_a_changed_header_breaks_the_chain(name: str, value: HeaderValue) -> None:
    frame = Signer().sign(b"a")
    with pytest.raises(ChainError):
        chain().unwrap(replace(frame, headers={**frame.headers, name: value}))


def test_a_frame_with_a_changed_payload_breaks_the_chain() -> None:
    with pytest.raises(ChainError):
        chain().unwrap(replace(Signer().sign(b"a"), payload=b"other"))


def test_a_frame_without_a_signature_is_told_from_a_wrong_one() -> None:
    with pytest.raises(ChainError, match="not signed"):
        chain().unwrap(EventStreamFrame({}, b"a"))
