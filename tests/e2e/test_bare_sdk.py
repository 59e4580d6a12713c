"""A client that is not ours: the AWS SDK alone, against the emulator, signatures verified.

What it sends is signed by the SDK and checked by code that shares nothing with it; and what is
signed wrongly is refused.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOperationInput,
    InvokeModelWithBidirectionalStreamOutputChunk,
    ValidationException,
)
from aws_sdk_signers import AsyncEventSigner
from smithy_aws_event_stream.aio import AWSEventPublisher
from smithy_aws_event_stream.events import EventMessage

from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.server import Emulator
from sonic_voice.emulator.service.effects import Effect, Emit, Expiry
from sonic_voice.http2.client import Http2Client

PATIENCE_S = 5.0


class Echo:
    """The smallest service: every event comes back."""

    def receive(self, payload: bytes) -> list[Effect]:
        return [Emit(payload)]

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        return []

    def words(self, key: int, text: str | None) -> list[Effect]:
        return []

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        return []

    def end_of_input(self) -> list[Effect]:
        return []

    def stalled(self) -> list[Effect]:
        return []

    def expire(self, which: Expiry) -> list[Effect]:
        return []


@pytest.fixture(params=[True, False], ids=["strict", "lenient"])
async def emulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Emulator]:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    behaviour = Behaviour(strict=request.param)
    async with Emulator(lambda _: Echo(), behaviour=behaviour) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
async def client(
    request: pytest.FixtureRequest, emulator: Emulator
) -> AsyncIterator[AsyncBedrockRuntimeClient]:
    """The SDK's client, configured by nothing but the environment, over its CRT and over ours."""
    transport: Any = Http2Client()
    if getattr(request, "param", "http2") == "crt":
        pytest.importorskip("awscrt")
        from smithy_http.aio.crt import AWSCRTHTTPClient

        transport = AWSCRTHTTPClient()
    config = await AsyncBedrockRuntimeConfig.resolve(transport=transport)
    async with asyncio.timeout(PATIENCE_S), AsyncBedrockRuntimeClient(config) as client:
        yield client


def chunk(payload: bytes) -> InvokeModelWithBidirectionalStreamInputChunk:
    part = BidirectionalInputPayloadPart(bytes_=payload)
    return InvokeModelWithBidirectionalStreamInputChunk(value=part)


MODEL = InvokeModelWithBidirectionalStreamOperationInput(model_id="amazon.nova-2-sonic-v1:0")


@pytest.mark.parametrize("client", ["crt", "http2"], indirect=True)
async def test_the_bare_sdk_converses_with_the_emulator(
    client: AsyncBedrockRuntimeClient, emulator: Emulator
) -> None:
    stream = await client.invoke_model_with_bidirectional_stream(MODEL)
    heard: list[bytes | None] = []
    for word in (b"one", b"two", b"three"):
        await stream.input_stream.send(chunk(word))
    _, output = await stream.await_output()
    for _ in range(3):
        event = await output.receive()
        assert isinstance(event, InvokeModelWithBidirectionalStreamOutputChunk)
        heard.append(event.value.bytes_)
    await stream.input_stream.close()
    assert await output.receive() is None
    assert heard == [b"one", b"two", b"three"]
    (statistics,) = emulator.streams
    assert (statistics.end, statistics.notes) == ("finished", 0)


@pytest.mark.parametrize("client", ["crt", "http2"], indirect=True)
@pytest.mark.parametrize("size_kb", range(46, 91, 4))
async def test_a_large_event_that_is_sent_at_once_arrives(
    client: AsyncBedrockRuntimeClient, size_kb: int
) -> None:
    # A promptStart with many tools. Over CRT, such events hung with an initial window of 4 MiB.
    stream = await client.invoke_model_with_bidirectional_stream(MODEL)
    large = b"p" * (size_kb * 1000)
    for payload in (b"sessionStart", large, b"contentStart"):
        await stream.input_stream.send(chunk(payload))
    _, output = await stream.await_output()
    for sent in (b"sessionStart", large, b"contentStart"):
        event = await output.receive()
        assert isinstance(event, InvokeModelWithBidirectionalStreamOutputChunk)
        assert event.value.bytes_ == sent
    await stream.input_stream.close()


async def refused(stream: Any) -> str:
    """The text of the validationException that the stream ends with."""
    _, output = await stream.await_output()
    with pytest.raises(ValidationException) as error:
        while await output.receive() is not None:
            pass
    await output.close()
    return error.value.message


async def test_a_frame_signed_wrongly_is_refused(client: AsyncBedrockRuntimeClient) -> None:
    stream = await client.invoke_model_with_bidirectional_stream(MODEL)
    await stream.input_stream.send(chunk(b"good"))
    signer(stream)._prior_signature = b"00" * 32  # pyright: ignore[reportPrivateUsage]
    await stream.input_stream.send(chunk(b"bad"))
    assert "signature of the frame does not fit" in await refused(stream)


async def test_a_frame_without_a_signature_is_refused(client: AsyncBedrockRuntimeClient) -> None:
    stream = await client.invoke_model_with_bidirectional_stream(MODEL)
    await stream.input_stream.send(chunk(b"good"))
    await publisher(stream)._writer.write(EventMessage().encode())  # pyright: ignore[reportPrivateUsage]
    assert "not signed" in await refused(stream)


async def test_a_frame_with_a_wrong_checksum_is_refused(client: AsyncBedrockRuntimeClient) -> None:
    stream = await client.invoke_model_with_bidirectional_stream(MODEL)
    await stream.input_stream.send(chunk(b"good"))
    await publisher(stream)._writer.write(bytes(100))  # pyright: ignore[reportPrivateUsage]
    message = await refused(stream)
    assert message.startswith("RequestId=")
    assert message.endswith(
        "Unable to parse input chunk. Please check input format contains correct format."
    )


async def test_a_missing_empty_frame_is_noted_or_refused(
    client: AsyncBedrockRuntimeClient, emulator: Emulator, request: pytest.FixtureRequest
) -> None:
    """Old SDKs end the HTTP/2 stream without it (reference 1.5)."""
    stream = await client.invoke_model_with_bidirectional_stream(MODEL)
    await stream.input_stream.send(chunk(b"good"))
    writer: Any = publisher(stream)._writer  # pyright: ignore[reportPrivateUsage]
    await writer.close()
    if "strict" in request.node.name:
        assert "without its signed empty frame" in await refused(stream)
        return
    _, output = await stream.await_output()
    assert await output.receive() is not None
    assert await output.receive() is None
    assert emulator.streams[0].notes == 1


def publisher(stream: Any) -> AWSEventPublisher[Any]:
    """The SDK's writer of frames, to have it write what it should not."""
    found: Any = stream.input_stream
    assert isinstance(found, AWSEventPublisher)
    return cast(AWSEventPublisher[Any], found)


def signer(stream: Any) -> AsyncEventSigner:
    config = publisher(stream)._signing_config  # pyright: ignore[reportPrivateUsage]
    assert config is not None
    assert isinstance(config.signer, AsyncEventSigner)
    return config.signer
