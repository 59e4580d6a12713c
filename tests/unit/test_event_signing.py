"""Signed events, byte by byte as the SDK's own publisher signs them, at every time of the day."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInput,
    InvokeModelWithBidirectionalStreamInputChunk,
)
from aws_sdk_signers import AsyncEventSigner
from hypothesis import given
from hypothesis import strategies as st
from smithy_aws_core.identity import AWSCredentialsIdentity, StaticCredentialsResolver
from smithy_aws_event_stream.aio import AWSEventPublisher, SigningConfig
from smithy_aws_event_stream.events import EventHeaderEncoder
from smithy_json import JSONCodec

from sonic_voice.bedrock.event_signing import EventSigner, signed_bytes
from tests.support.sdk_clock import sdk_clock

SEED = "0123456789abcdef" * 4
MIDNIGHT = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
SECRETS = ("secret", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "schlüssel")


class Written:
    """A request's body that keeps what is written."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.pieces.append(data)


async def sdk_bytes(
    payloads: Sequence[bytes], times: Sequence[datetime], secret: str, token: str | None
) -> list[bytes]:
    """Return what the SDK's publisher writes for `payloads` and the end, each at its time."""
    identity = AWSCredentialsIdentity(
        access_key_id="AKID", secret_access_key=secret, session_token=token
    )
    signer = AsyncEventSigner(initial_signature=SEED.encode(), event_encoder_cls=EventHeaderEncoder)
    signing = SigningConfig(
        signer=signer,
        signing_properties={"region": "us-east-1", "service": "bedrock"},
        identity_resolver=StaticCredentialsResolver(identity),
        identity_properties={},
    )
    body = Written()
    sdk = AWSEventPublisher[InvokeModelWithBidirectionalStreamInput](JSONCodec(), body, signing)
    clock = [times[0]]
    with sdk_clock(clock):
        for payload, at in zip(payloads, times, strict=False):
            clock[0] = at
            part = BidirectionalInputPayloadPart(bytes_=payload)
            await sdk.send(InvokeModelWithBidirectionalStreamInputChunk(value=part))
        clock[0] = times[-1]
        await sdk.close()
    return body.pieces


def our_bytes(payloads: Sequence[bytes], times: Sequence[datetime], secret: str) -> list[bytes]:
    """Return what our signer makes of the same."""
    signer = EventSigner(secret, "us-east-1", "bedrock", SEED)
    signed = [
        signer.sign(payload, at.timestamp()) for payload, at in zip(payloads, times, strict=False)
    ]
    return [*signed, signer.sign_end(times[-1].timestamp())]


seconds_around_midnight = st.floats(-100_000, 100_000).map(
    lambda offset: datetime.fromtimestamp(MIDNIGHT + offset, UTC)
)
events = st.lists(st.tuples(st.binary(max_size=3000), seconds_around_midnight), min_size=1)


@given(events, st.sampled_from(SECRETS), st.sampled_from([None, "token"]))
async def test_every_event_has_the_sdks_bytes_whatever_the_clock_does(
    sent: list[tuple[bytes, datetime]], secret: str, token: str | None
) -> None:
    payloads = [payload for payload, _ in sent]
    times = [at for _, at in sent]
    assert our_bytes(payloads, times, secret) == await sdk_bytes(payloads, times, secret, token)


@pytest.mark.parametrize("step_s", [0.25, -0.25])
async def test_the_chain_goes_on_over_midnight_in_both_directions(step_s: float) -> None:
    times = [
        datetime.fromtimestamp(MIDNIGHT + step_s * (number - 4.5), UTC) for number in range(10)
    ]
    payloads = [b"%d" % number for number in range(9)]
    assert len({at.date() for at in times}) == 2
    assert our_bytes(payloads, times, "secret") == await sdk_bytes(payloads, times, "secret", None)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1_400, 200_000])
def test_the_size_of_a_signed_event_is_known_before_it_is_signed(size: int) -> None:
    signer = EventSigner("secret", "us-east-1", "bedrock", SEED)
    assert len(signer.sign(bytes(size), MIDNIGHT)) == signed_bytes(size)
