"""Received events: the same payloads and errors as by the SDK's decoder, however they are cut."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable

from aws_sdk_bedrock_runtime.models import (
    _InvokeModelWithBidirectionalStreamOutputDeserializer as OutputDeserializer,  # pyright: ignore[reportPrivateUsage]
)
from hypothesis import given
from hypothesis import strategies as st
from smithy_aws_event_stream.events import EventMessage
from smithy_json import JSONCodec

from sonic_voice.bedrock.event_receiver import READ_BYTES, Receiver
from tests.support.pieces import pieces


class Arriving:
    """The body of a response, which arrives in pieces while its reader waits."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._inbox = bytearray()

    async def read(self, size: int = -1) -> bytes:
        while len(self._inbox) < size and self._pieces:
            self._inbox += self._pieces.pop(0)
        return self._taken(size)

    async def read_some(self, limit: int, sink: Callable[[bytes], bytes] | None = None) -> bytes:
        while not self._inbox and self._pieces:
            piece = self._pieces.pop(0)
            self._inbox += sink(piece) if sink is not None else piece
        return self._taken(limit)

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._inbox[:size])
        del self._inbox[:size]
        return taken


def message(headers: dict[str, str], payload: bytes, kind: str = "event") -> bytes:
    headers = {":message-type": kind, ":content-type": "application/json", **headers}
    return EventMessage(headers=headers, payload=payload).encode()


def chunk(payload: bytes, *, form: str = "plain") -> bytes:
    text = b64encode(payload).decode()
    body = {
        "plain": f'{{"bytes":"{text}"}}',
        "padded": f'{{"bytes":"{text}","p":"abcdEFGH0123"}}',
        "spaced": f'{{ "bytes" : "{text}" }}',
        "last": f'{{"p":"abc","bytes":"{text}"}}',
        "escaped": json.dumps({"bytes": text}).replace("/", "\\/"),
        "none": "{}",
        "twice": f'{{"bytes":"AAAA","bytes":"{text}"}}',
        "no base64": f'{{"bytes":"{text}*"}}',
    }[form]
    return message({":event-type": "chunk"}, body.encode())


FORMS = ["plain", "padded", "spaced", "last", "escaped", "none", "twice"]
chunks = st.builds(chunk, st.binary(max_size=200), form=st.sampled_from(FORMS))
others = st.sampled_from(
    [
        message({":event-type": "novelty"}, b"{}"),
        message({":event-type": "initial-response"}, b"{}"),
        message({":exception-type": "throttlingException"}, b'{"message":"m"}', kind="exception"),
        message({":error-code": "e", ":error-message": "m"}, b"", kind="error"),
        b"\xff" + chunk(b"{}")[1:],
        chunk(b"{}")[:-1] + b"\x00",
        chunk(b"{}", form="no base64"),
        chunk(b"{}")[:-3],
        b"\x00\x00",
    ]
)
streams = st.lists(st.one_of(chunks, chunks, chunks, others), max_size=12).map(b"".join)
cut_lists = st.lists(st.integers(0, 100_000), max_size=12)


async def received(data: list[bytes], *, fast: bool, refused: int = -1) -> list[object]:
    """Return all payloads and the error at the end, as the owner of a stream gets them.

    Args:
        data: The pieces in which the body arrives.
        fast: Whether chunks are read in straight-line code.
        refused: Number of payloads that the sink takes before it refuses each third; -1: no sink.
    """
    found: list[object] = []

    def sink(payload: bytes) -> bool:
        if len(found) >= refused and len(found) % 3 == 0:
            return False
        found.append(payload)
        return True

    source = Arriving(list(data))
    receiver = Receiver(source, JSONCodec(), OutputDeserializer().deserialize, fast=fast)
    try:
        while True:
            payload = await receiver.receive(sink if refused >= 0 else None)
            found.append(payload)
            if payload is None:
                return found
    except Exception as error:
        return [*found, (type(error), str(error))]


@given(streams, cut_lists, st.sampled_from([-1, 0, 4]))
async def test_payloads_and_errors_are_those_of_the_sdks_decoder(
    stream: bytes, cuts: list[int], refused: int
) -> None:
    expected = await received([stream], fast=False)
    assert await received(pieces(stream, cuts), fast=True, refused=refused) == expected


async def test_a_long_message_is_not_put_together_piece_by_piece() -> None:
    payload = bytes(3 * READ_BYTES)
    data = chunk(b"{}") + chunk(payload) + chunk(b"[]")
    cut = pieces(data, list(range(0, len(data), 1_000)))
    assert await received(cut, fast=True, refused=100) == [b"{}", payload, b"[]", None]


async def test_a_sink_gets_payloads_only_while_the_reader_waits() -> None:
    taken: list[bytes] = []

    def sink(payload: bytes) -> bool:
        taken.append(payload)
        return True

    source = Arriving([chunk(b"1") + chunk(b"2"), chunk(b"3"), chunk(b"4")])
    receiver = Receiver(source, JSONCodec(), OutputDeserializer().deserialize)
    assert await receiver.receive() == b"1", "its headers are learned by the SDK's decoder"
    assert await receiver.receive(sink) == b"2", "it was there before the reader waited"
    assert await asyncio.wait_for(receiver.receive(sink), 5) is None
    assert taken == [b"3", b"4"]
