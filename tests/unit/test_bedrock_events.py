"""Our publisher and receiver beside the SDK's own: the same bytes out, the same meaning in."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInput,
    InvokeModelWithBidirectionalStreamInputChunk,
)
from aws_sdk_bedrock_runtime.models import (
    _InvokeModelWithBidirectionalStreamOutputDeserializer as OutputDeserializer,  # pyright: ignore[reportPrivateUsage]
)
from aws_sdk_signers import AsyncEventSigner
from smithy_aws_core.identity import AWSCredentialsIdentity, StaticCredentialsResolver
from smithy_aws_event_stream.aio import AWSEventPublisher, SigningConfig
from smithy_aws_event_stream.events import Event, EventHeaderEncoder, EventMessage
from smithy_aws_event_stream.exceptions import (
    ChecksumMismatch,
    EventError,
    InvalidEventBytes,
)
from smithy_core.aio.types import AsyncBytesReader
from smithy_json import JSONCodec

from sonic_voice.bedrock import event_publisher
from sonic_voice.bedrock.events import Publisher, Receiver
from sonic_voice.errors import ErrorKind, ServiceError
from tests.support.sdk_clock import sdk_clock

PAYLOADS = [b"", b"{}", b'{"event":{"audioInput":{}}}', bytes(range(256)) * 37, b"x" * 200_000]
NOON = datetime(2026, 1, 2, 12, 0, 0, 123_456, tzinfo=UTC)
KEYS = AWSCredentialsIdentity(access_key_id="AKID", secret_access_key="secret")


class Written:
    """A request's body that keeps what is written."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed = False

    async def write(self, data: bytes) -> None:
        self.pieces.append(data)

    async def close(self) -> None:
        self.closed = True


class Broken(Written):
    async def write(self, data: bytes) -> None:
        raise ConnectionResetError


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make it noon for the SDK's signer and for ours."""
    monkeypatch.setattr(event_publisher, "time", SimpleNamespace(time=NOON.timestamp))
    with sdk_clock([NOON]):
        yield


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test see the report that a process makes once."""
    monkeypatch.setattr(event_publisher, "_reported", set[str]())


def signing() -> SigningConfig:
    return SigningConfig(
        signer=AsyncEventSigner(initial_signature=b"0" * 64, event_encoder_cls=EventHeaderEncoder),
        signing_properties={"region": "us-east-1", "service": "bedrock"},
        identity_resolver=StaticCredentialsResolver(KEYS),
        identity_properties={},
    )


@pytest.mark.parametrize("seed", ["0" * 64, None], ids=["fast", "sdk"])
@pytest.mark.usefixtures("noon")
async def test_the_bytes_are_those_of_the_sdks_own_publisher_to_the_end(seed: str | None) -> None:
    ours, theirs = Written(), Written()
    publisher = Publisher(ours, signing(), seed)
    sdk = AWSEventPublisher[InvokeModelWithBidirectionalStreamInput](JSONCodec(), theirs, signing())
    for payload in PAYLOADS:
        await publisher.send(payload)
        part = BidirectionalInputPayloadPart(bytes_=payload)
        await sdk.send(InvokeModelWithBidirectionalStreamInputChunk(value=part))
    await publisher.close()
    await sdk.close()
    assert len(ours.pieces) == len(PAYLOADS) + 1
    assert ours.pieces == theirs.pieces
    assert ours.closed
    assert theirs.closed


@pytest.mark.usefixtures("noon")
async def test_an_sdk_that_signs_otherwise_is_reported_once_and_signs_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sdk = Written()
    for body in (Written(), sdk):
        publisher = Publisher(body, signing(), "not the signature of the request")
        for payload in PAYLOADS:
            await publisher.send(payload)
            assert not publisher.offer(payload)
        await publisher.close()
    expected = Written()
    reference = Publisher(expected, signing())
    for payload in PAYLOADS:
        await reference.send(payload)
    await reference.close()
    assert sdk.pieces == expected.pieces
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "another way than expected" in caplog.text


class Direct(Written):
    """A body that has room for events of up to 1,000 bytes."""

    def has_room(self, size: int) -> bool:
        return size <= 1000

    def write_now(self, data: bytes) -> None:
        self.pieces.append(data)


@pytest.mark.usefixtures("noon")
async def test_what_is_refused_for_want_of_room_was_not_signed() -> None:
    body, whole = Direct(), Written()
    publisher, reference = Publisher(body, signing(), "0" * 64), Publisher(whole, signing())
    assert not publisher.offer(b"{}"), "the first event is the SDK's"
    for payload in PAYLOADS:
        if not publisher.offer(payload):
            await publisher.send(payload)
        await reference.send(payload)
    assert body.pieces == whole.pieces
    assert [publisher.offer(payload) for payload in PAYLOADS] == [True, True, True, False, False]


async def test_the_body_is_closed_though_the_last_message_cannot_be_written() -> None:
    body = Broken()
    with pytest.raises(ConnectionResetError):
        await Publisher(body, signing()).close()
    assert body.closed


def chunk(payload: bytes, **more: str) -> bytes:
    body = {"bytes": b64encode(payload).decode(), **more}
    return message({":event-type": "chunk"}, json.dumps(body).encode())


def message(headers: dict[str, str], payload: bytes = b"", kind: str = "event") -> bytes:
    headers = {":message-type": kind, ":content-type": "application/json", **headers}
    return EventMessage(headers=headers, payload=payload).encode()


def receiver(sent: bytes) -> Receiver:
    return Receiver(AsyncBytesReader(sent), JSONCodec(), OutputDeserializer().deserialize)


async def test_payloads_are_read_in_order_and_then_none() -> None:
    reading = receiver(b"".join(map(chunk, PAYLOADS)))
    assert [await reading.receive() for _ in PAYLOADS] == PAYLOADS
    assert await reading.receive() is None


async def test_a_padding_that_other_operations_have_is_ignored() -> None:
    assert await receiver(chunk(b"{}", p="abcdef")).receive() == b"{}"


async def test_members_that_the_sdk_does_not_know_are_passed_over() -> None:
    sent = message({":event-type": "novelty"}, b"{}") + chunk(b"{}")
    assert await receiver(sent).receive() == b"{}"


K = ErrorKind
EXCEPTIONS = {
    "throttling": K.THROTTLED,  # one that the SDK's model knows; the others it does not
    "expiredToken": K.ACCESS,
    "accessDenied": K.ACCESS,
    "unrecognizedClient": K.ACCESS,
    "serviceQuotaExceeded": K.THROTTLED,
    "modelError": K.CAPACITY,
    "modelNotReady": K.CAPACITY,
    "resourceNotFound": K.NOT_FOUND,
    "novelty": K.UNKNOWN,
}


@pytest.mark.parametrize("payload", [
    b'{"message":"The text."}', b'{"Message":"The text."}', b"The text.", b'"The text."',
    b'{"message":"The text.","originalStatusCode":500}',
])  # fmt: skip
@pytest.mark.parametrize("spelling", ["{}", "{}Exception"])
@pytest.mark.parametrize("name", EXCEPTIONS)
async def test_an_exception_keeps_its_text_and_gets_its_kind_modelled_or_not(
    name: str, spelling: str, payload: bytes
) -> None:
    for code in (name, name[0].upper() + name[1:]):
        sent = message({":exception-type": spelling.format(code)}, payload, kind="exception")
        with pytest.raises(ServiceError) as failed:
            await receiver(sent).receive()
        assert failed.value.kind is EXCEPTIONS[name]
        assert failed.value.code == spelling.format(code)
        assert "The text." in failed.value.text


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b"null", b"\xff", b'{"message":7}'])
async def test_an_exception_without_a_text_is_one_all_the_same(payload: bytes) -> None:
    sent = message({":exception-type": "modelErrorException"}, payload, kind="exception")
    with pytest.raises(ServiceError) as failed:
        await receiver(sent).receive()
    assert failed.value.kind is K.CAPACITY


@pytest.mark.parametrize("headers", [
    {":error-code": "expiredToken", ":error-message": "very"}, {":error-code": "expiredToken"},
])  # fmt: skip
async def test_an_error_frame_is_an_error_of_the_service(headers: dict[str, str]) -> None:
    with pytest.raises(ServiceError) as failed:
        await receiver(message(headers, kind="error")).receive()
    assert failed.value.kind is K.ACCESS
    assert failed.value.text == headers.get(":error-message", "")


def torn(sent: bytes) -> bytes:
    return sent[:-1]


def bent(sent: bytes) -> bytes:
    return sent[:-5] + bytes([sent[-5] ^ 1]) + sent[-4:]


def boundless(sent: bytes) -> bytes:
    return b"\xff" + sent[1:]


def begun(sent: bytes) -> bytes:
    return sent[:7]


@pytest.mark.parametrize(("spoil", "error"), [
    (torn, InvalidEventBytes),
    (begun, InvalidEventBytes),
    (bent, ChecksumMismatch),
    (boundless, ChecksumMismatch),
])  # fmt: skip
async def test_what_is_no_message_is_an_error_of_the_sdks(
    spoil: Callable[[bytes], bytes], error: type[EventError]
) -> None:
    sent = spoil(chunk(b"{}"))
    with pytest.raises(error):
        Event.decode(BytesIO(sent))
    with pytest.raises(error):
        await receiver(sent).receive()


class Endless:
    """A connection on which nothing more comes after `sent`: reading on would wait for ever."""

    def __init__(self, sent: bytes) -> None:
        self._sent = BytesIO(sent)

    async def read(self, size: int = -1) -> bytes:
        taken = self._sent.read(size)
        assert len(taken) == size, "it waits for what does not come"
        return taken


async def test_a_length_that_its_checksum_belies_is_not_waited_for() -> None:
    source: Any = Endless(boundless(chunk(b"{}")))
    with pytest.raises(ChecksumMismatch):
        await Receiver(source, JSONCodec(), OutputDeserializer().deserialize).receive()
