"""The event stream's frames: what goes in comes out, and nothing else is taken for a frame."""

import struct
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.emulator.server.event_stream import (
    PRELUDE_BYTES,
    EventStreamFrame,
    FrameError,
    HeaderValue,
    Timestamp,
    decode,
    encode,
    encode_headers,
    frame_size,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES: st.SearchStrategy[HeaderValue] = st.one_of(
    st.booleans(),
    INT64,
    st.binary(max_size=200),
    st.text(max_size=60),
    st.builds(Timestamp, INT64),
    st.uuids(),
)
NAMES = st.text(min_size=1, max_size=40)
FRAMES = st.builds(
    EventStreamFrame, st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=400)
)


@given(FRAMES)
def test_a_frame_survives_the_wire(frame: EventStreamFrame) -> None:
    assert decode(encode(frame)) == frame


@given(FRAMES)
def test_the_prelude_tells_the_size(frame: EventStreamFrame) -> None:
    data = encode(frame)
    assert frame_size(data[:PRELUDE_BYTES]) == len(data)


@given(FRAMES, st.data())
def test_a_frame_cut_short_is_refused(frame: EventStreamFrame, data: st.DataObject) -> None:
    whole = encode(frame)
    size = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(FrameError):
        decode(whole[:size])


@given(FRAMES, st.data())
def test_a_changed_byte_is_noticed(frame: EventStreamFrame, data: st.DataObject) -> None:
    whole = bytearray(encode(frame))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError):
        decode(bytes(whole))


@given(st.binary(max_size=300))
def test_header_bytes_of_any_kind_are_read_or_refused(block: bytes) -> None:
    """The checksums are right here, so that the header parser itself meets the rubbish."""
    lengths = struct.pack("!II", 16 + len(block), len(block))
    body = lengths + struct.pack("!I", crc32(lengths)) + block
    try:
        decode(body + struct.pack("!I", crc32(body)))
    except FrameError:
        return


def test_the_smallest_frame_has_sixteen_bytes() -> None:
    assert len(encode(EventStreamFrame())) == 16


def test_headers_are_laid_out_as_the_reference_says() -> None:
    encoded = encode_headers({":date": Timestamp(1), "s": "é", "b": b"\x01", "t": True})
    assert encoded == (
        b"\x05:date\x08\x00\x00\x00\x00\x00\x00\x00\x01"
        b"\x01s\x07\x00\x02\xc3\xa9"
        b"\x01b\x06\x00\x01\x01"
        b"\x01t\x00"
    )


@pytest.mark.parametrize(
    ("block", "value"),
    [
        (b"\x01a\x01", False),
        (b"\x01a\x02\xff", -1),
        (b"\x01a\x03\x01\x00", 256),
        (b"\x01a\x04\x00\x00\x00\x07", 7),
        (b"\x01a\x09" + bytes(16), UUID(int=0)),
    ],
)
def test_every_type_of_header_is_read(block: bytes, value: HeaderValue) -> None:
    lengths = struct.pack("!II", 16 + len(block), len(block))
    body = lengths + struct.pack("!I", crc32(lengths)) + block
    assert decode(body + struct.pack("!I", crc32(body))).headers == {"a": value}


@pytest.mark.parametrize(
    "headers", [{"": "x"}, {"n" * 256: "x"}, {"a": "x" * 0x8000}, {"a": 2**63}]
)
def test_what_does_not_fit_is_not_encoded(headers: dict[str, HeaderValue]) -> None:
    with pytest.raises(FrameError):
        encode(EventStreamFrame(headers))
