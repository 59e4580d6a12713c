"""Frames that are read and written beside `websockets`, which is the judge of what is right."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import apply_mask

from sonic_voice.bridge.websocket_frames import (
    BINARY,
    TEXT,
    ForeignFrames,
    MessageSplitter,
    write_frame,
)

MAX_BYTES, RUN_BYTES = 300, 64

payloads = st.binary(max_size=8) | st.integers(100, 300).map(bytes)
texts = st.text(max_size=20).map(str.encode) | st.just(b"\xff")
frames = st.one_of(
    st.builds(Frame, st.just(Opcode.BINARY), payloads),
    st.builds(Frame, st.just(Opcode.TEXT), texts),
    st.builds(Frame, st.sampled_from((Opcode.BINARY, Opcode.CONT)), payloads, st.booleans()),
    st.builds(Frame, st.sampled_from((Opcode.PING, Opcode.PONG)), st.binary(max_size=8)),
    st.just(Frame(Opcode.CLOSE, b"\x03\xe8")),
)
clients = st.lists(frames, max_size=8).map(
    lambda sent: b"".join(frame.serialize(mask=True) for frame in sent)
)
breaches = st.sampled_from(
    (
        b"",
        b"\x82\x04",  # no mask
        b"\x82\xff" + bytes(8),  # a length in 64 bits
        b"\xc2\x80",  # compressed
        b"\x83\x80",  # no opcode
        b"\x82\xfe\x7f\xff",  # too big
        b"\x80\x80" + bytes(4),  # the end of nothing
        b"\x09\x80" + bytes(4),  # a ping in fragments
        b"\x82\x84" + bytes(5),  # not whole
    )
)


def judge() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=MAX_BYTES)


def received(protocol: ServerProtocol, data: bytes) -> list[tuple[int, bytes, bool]]:
    protocol.receive_data(data)
    events = [event for event in protocol.events_received() if isinstance(event, Frame)]
    return [(event.opcode, bytes(event.data), event.fin) for event in events]


@given(clients, breaches, st.lists(st.integers(1, 60), max_size=20), st.booleans())
def test_what_is_read_here_is_what_websockets_reads(
    sent: bytes, breach: bytes, steps: list[int], reads: bool
) -> None:
    """Whatever a client sends, and however it comes: in the same order, with the same end."""
    data = sent + breach + sent
    alone, beside = judge(), judge()
    expected = received(alone, data)
    splitter = MessageSplitter(MAX_BYTES, RUN_BYTES, apply_mask)
    got: list[tuple[int, bytes, bool]] = []
    cuts = [0, *(at for at in sorted(set(steps)) if at < len(data)), len(data)]
    for begin, end in pairwise(cuts):
        for part in splitter.split(data[begin:end], reads=reads):
            if isinstance(part, ForeignFrames):
                got += received(beside, part.data)
            elif beside.state is not State.OPEN:
                pass
            elif isinstance(part, str):
                got.append((Opcode.TEXT, part.encode(), True))
            else:
                got.append((Opcode.BINARY, part, True))
    assert got == expected
    assert (beside.state, beside.close_sent) == (alone.state, alone.close_sent)


def test_many_small_frames_come_in_runs_of_limited_size() -> None:
    """So that the ration can be checked between them."""
    pings = Frame(Opcode.PING, b"").serialize(mask=True) * 1000
    splitter = MessageSplitter(MAX_BYTES, RUN_BYTES, apply_mask)
    runs = [part for part in splitter.split(pings, reads=True) if isinstance(part, ForeignFrames)]
    assert b"".join(run.data for run in runs) == pings
    assert max(len(run.data) for run in runs) < RUN_BYTES + 6


def test_a_message_that_is_too_big_is_for_websockets_at_its_header() -> None:
    begun = Frame(Opcode.BINARY, bytes(MAX_BYTES + 1)).serialize(mask=True)[:10]
    splitter = MessageSplitter(MAX_BYTES, RUN_BYTES, apply_mask)
    assert list(splitter.split(begun, reads=True)) == [ForeignFrames(begun)]


def test_usual_messages_are_not_for_websockets() -> None:
    voice = Frame(Opcode.BINARY, bytes(200)).serialize(mask=True)
    played = Frame(Opcode.TEXT, b'{"type":"played"}').serialize(mask=True)
    splitter = MessageSplitter(MAX_BYTES, RUN_BYTES, apply_mask)
    parts = list(splitter.split(voice + played, reads=True))
    assert parts == [bytes(200), '{"type":"played"}']


@pytest.mark.parametrize("size", [0, 125, 126, 24_012, 65_535])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_a_frame_is_that_of_websockets(opcode: Opcode, size: int) -> None:
    expected = Frame(opcode, b"x" * size).serialize(mask=False)
    assert write_frame({Opcode.TEXT: TEXT, Opcode.BINARY: BINARY}[opcode], b"x" * size) == expected
