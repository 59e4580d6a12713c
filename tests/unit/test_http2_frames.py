"""Frames that are read and written without h2."""

from hyperframe.frame import DataFrame as ReferenceData
from hyperframe.frame import Frame, PingFrame, WindowUpdateFrame
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.http2.frames import (
    DATA,
    END_STREAM,
    HEADER_BYTES,
    DataFrame,
    FrameSplitter,
    frame_header,
    window_update,
)
from tests.support.pieces import pieces

MAX_FRAME_BYTES = 300


def data_frame(stream_id: int, data: bytes, padding: int | None, ended: bool) -> ReferenceData:
    frame = ReferenceData(stream_id, data)
    if padding is not None:
        frame.flags.add("PADDED")
        frame.pad_length = padding
    if ended:
        frame.flags.add("END_STREAM")
    return frame


def ping_frame(data: bytes) -> PingFrame:
    return PingFrame(0, data)


frames = st.builds(
    data_frame,
    st.sampled_from([1, 3]),
    st.binary(max_size=40),
    st.none() | st.integers(0, 200),
    st.booleans(),
) | st.binary(min_size=8, max_size=8).map(ping_frame)


@given(st.lists(frames), st.lists(st.integers(0, 10_000), max_size=8))
def test_frames_come_out_whole_and_in_order_however_they_are_cut(
    sent: list[Frame], cuts: list[int]
) -> None:
    splitter = FrameSplitter(lambda stream_id: stream_id == 1, MAX_FRAME_BYTES)
    data = b"".join(frame.serialize() for frame in sent)
    parts = [part for piece in pieces(data, cuts) for part in splitter.split(piece)]
    found: list[DataFrame | Frame] = []
    for part in parts:
        if isinstance(part, DataFrame):
            found.append(part)
            continue
        view = memoryview(part)
        while view:  # h2 gets whole frames only
            frame, length = Frame.parse_frame_header(view[:HEADER_BYTES])
            frame.parse_body(view[HEADER_BYTES : HEADER_BYTES + length])
            assert len(view) >= HEADER_BYTES + length
            found.append(frame)
            view = view[HEADER_BYTES + length :]
    assert len(found) == len(sent)
    for frame, got in zip(sent, found, strict=True):
        if isinstance(frame, ReferenceData) and frame.stream_id == 1:
            flow_bytes = len(frame.serialize()) - HEADER_BYTES
            ended = "END_STREAM" in frame.flags
            assert got == DataFrame(1, frame.data, flow_bytes, ended)
        else:
            assert isinstance(got, Frame)
            assert got.serialize() == frame.serialize()


def test_a_frame_of_too_great_a_length_is_given_to_h2_at_once() -> None:
    splitter = FrameSplitter(lambda _: True, MAX_FRAME_BYTES)
    begun = frame_header(DATA, 0, 1, MAX_FRAME_BYTES + 1) + b"abc"
    assert list(splitter.split(begun)) == [begun]


def test_padding_that_is_longer_than_its_frame_is_left_to_h2() -> None:
    splitter = FrameSplitter(lambda _: True, MAX_FRAME_BYTES)
    padded = 0x8
    for payload in (b"", b"\x03ab", b"\xff"):
        wrong = frame_header(DATA, padded, 1, len(payload)) + payload
        assert list(splitter.split(wrong)) == [wrong]


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**14), st.booleans())
def test_a_header_is_that_of_the_library(stream_id: int, size: int, ended: bool) -> None:
    frame = data_frame(stream_id or 1, bytes(size), None, ended)
    flags = END_STREAM if ended else 0
    header = frame_header(DATA, flags, stream_id or 1, size)
    assert header == frame.serialize()[:HEADER_BYTES]


@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_a_window_update_is_that_of_the_library(stream_id: int, increment: int) -> None:
    frame = WindowUpdateFrame(stream_id)
    frame.window_increment = increment
    assert window_update(stream_id, increment) == frame.serialize()
