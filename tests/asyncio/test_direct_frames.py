"""DATA frames that pass h2 by, against a real h2 server: its windows hold in both directions."""

import asyncio
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection as H2State
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    WindowUpdated,
)
from h2.settings import SettingCodes
from hypothesis import example, given
from hypothesis import strategies as st

from sonic_voice.errors import ConnectionLost
from sonic_voice.http2.connection import H2Connection
from sonic_voice.http2.frames import DATA, frame_header
from sonic_voice.http2.h2_state import _warn_of_h2  # pyright: ignore[reportPrivateUsage]
from sonic_voice.http2.stream import H2Stream

WINDOW_BYTES = 1_000
REQUEST = [
    (":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/"),
]  # fmt: skip


class Pair(asyncio.Transport):
    """A client's connection, and the h2 server that receives all it writes at once."""

    def __init__(self, *, server_window: int = WINDOW_BYTES) -> None:
        super().__init__()
        self.server = H2State(H2Configuration(client_side=False))
        self.server.local_settings.update({SettingCodes.INITIAL_WINDOW_SIZE: server_window})
        self.server.local_settings.acknowledge()
        self.data = bytearray()
        """Data that the server has received."""
        self.owed_bytes = 0
        """Received bytes for which the server has returned no credit."""
        self.ended = False
        self.terminated: ErrorCodes | int | None = None
        self.closing = False
        self.client = H2Connection(window_bytes=WINDOW_BYTES)
        self.client.connection_made(self)
        self.server.initiate_connection()
        self.deliver()
        self.stream = self.client.open_stream(REQUEST)

    def write(self, data: Any) -> None:
        """Give bytes of the client to the server, which raises if a window is exceeded."""
        for event in self.server.receive_data(bytes(data)):
            match event:
                case DataReceived():
                    self.data += event.data or b""
                    self.owed_bytes += event.flow_controlled_length or 0
                case RequestReceived() | WindowUpdated():
                    pass
                case StreamEnded():
                    self.ended = True
                case ConnectionTerminated():
                    self.terminated = event.error_code
                case _:
                    pass

    def deliver(self) -> None:
        """Give the bytes of the server to the client."""
        if sent := self.server.data_to_send():
            self.client.data_received(sent)

    def answer(self, *headers: tuple[str, str]) -> None:
        """Send the headers of the response."""
        self.server.send_headers(self.stream.id, [(":status", "200"), *headers])
        self.deliver()

    def credit(self, size: int) -> None:
        """Return credit for received data."""
        size = min(size, self.owed_bytes)
        self.owed_bytes -= size
        self.server.acknowledge_received_data(size, self.stream.id)
        self.deliver()

    def resize(self, window_bytes: int) -> None:
        """Change the windows of all streams, which may become negative."""
        self.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        self.deliver()

    # -- what a connection asks of its transport

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            self.client.connection_lost(None)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


operations = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 700)),
    st.tuples(st.just("send"), st.integers(1, 700)),
    st.tuples(st.just("credit"), st.integers(1, 2_000)),
    st.tuples(st.just("resize"), st.integers(0, 3_000)),
    st.tuples(st.sampled_from(["pause", "resume", "wait"]), st.just(0)),
)


@example([("send", 700), ("send", 700), ("credit", 2_000), ("send", 100)])
@given(st.lists(operations, max_size=40))
async def test_what_is_sent_at_once_or_later_arrives_in_order_within_the_windows(
    done: list[tuple[str, int]],
) -> None:
    pair = Pair()
    stream, sent = pair.stream, bytearray()
    writing: asyncio.Task[None] | None = None
    for number, (what, size) in enumerate(done):
        match what:
            case "send":
                data = bytes([number % 256]) * size
                if writing is not None and not writing.done():
                    continue  # one task writes
                sent += data
                if stream.has_room(size):
                    stream.write_now(data)
                else:
                    writing = asyncio.create_task(stream.write(data))
                    await asyncio.sleep(0)
            case "credit":
                pair.credit(size)
            case "resize":
                pair.resize(size)
            case "pause":
                pair.client.pause_writing()
            case "resume":
                pair.client.resume_writing()
            case _:
                await asyncio.sleep(0)
        if writing is not None and not writing.done():
            assert not stream.has_room(1), "it would be overtaken"
    pair.client.resume_writing()
    pair.resize(100_000)
    if writing is not None:
        await asyncio.wait_for(writing, 5)
    stream.end()
    assert pair.data == sent
    assert pair.ended


async def test_nothing_is_written_at_once_after_the_end() -> None:
    pair = Pair()
    assert pair.stream.has_room(10)
    pair.stream.shut_output()
    assert not pair.stream.has_room(10)
    other = Pair()
    other.stream.end()
    assert not other.stream.has_room(10)
    lost = Pair()
    lost.abort()
    assert not lost.stream.has_room(10)
    closing = Pair()
    closing.close()
    assert not closing.stream.has_room(10)


async def test_an_h2_whose_windows_are_elsewhere_is_reported_and_writes_all_frames(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def another_window(_: H2State, stream_id: int) -> int:
        return 5

    monkeypatch.setattr(H2State, "local_flow_control_window", another_window)
    _warn_of_h2.cache_clear()
    for _ in range(2):
        pair = Pair()
        assert not pair.stream.has_room(1)
        await pair.stream.write(b"hello")
        assert pair.data == b"hello"
    assert len(caplog.records) == 1


async def test_a_frame_is_never_longer_than_the_peer_takes() -> None:
    pair = Pair(server_window=100_000)
    limit = pair.server.max_inbound_frame_size
    assert pair.stream.has_room(limit)
    assert not pair.stream.has_room(limit + 1)


@pytest.mark.parametrize("content_length", [False, True])
@example([(400, 50)] * 200)  # more than the window of the connection
@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 50)), max_size=30))
async def test_received_data_is_credited_with_its_padding(
    content_length: bool, frames: list[tuple[int, int]]
) -> None:
    pair = Pair()
    total = sum(size for size, _ in frames)
    pair.answer(*([("content-length", str(total))] if content_length else []))
    reading = asyncio.create_task(read_all(pair.stream))
    for number, (size, padding) in enumerate(frames):
        # With credit returned for everything, the window always has room for one more frame.
        pad = padding or None
        pair.server.send_data(pair.stream.id, bytes([number % 256]) * size, pad_length=pad)
        pair.deliver()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    pair.server.end_stream(pair.stream.id)
    pair.deliver()
    expected = b"".join(bytes([number % 256]) * size for number, (size, _) in enumerate(frames))
    assert await asyncio.wait_for(reading, 5) == expected
    assert pair.stream.error is None
    assert pair.stream.bypasses_h2 is not content_length


async def read_all(stream: H2Stream) -> bytes:
    """Read a stream as it arrives, to its end."""
    data = bytearray()
    while some := await stream.read_some(10_000):
        data += some
    return bytes(data)


async def test_a_peer_that_exceeds_the_window_ends_the_connection() -> None:
    pair = Pair()
    pair.answer()
    stream_id = pair.stream.id
    frame = frame_header(DATA, 0, stream_id, 400) + bytes(400)
    for _ in range(3):
        pair.client.data_received(frame)
    assert pair.terminated == ErrorCodes.FLOW_CONTROL_ERROR
    assert isinstance(pair.stream.error, ConnectionLost)
    assert await pair.stream.read(800) == bytes(800), "what was allowed can be read"
    with pytest.raises(ConnectionLost):
        await pair.stream.read(1)


async def test_data_after_the_end_is_an_error_of_the_peer() -> None:
    pair = Pair()
    pair.answer()
    pair.server.end_stream(pair.stream.id)
    pair.deliver()
    assert pair.stream.input_ended
    pair.client.data_received(frame_header(DATA, 0, pair.stream.id, 3) + b"abc")
    assert pair.stream.output_ended, "h2 has reset the stream"
    assert await pair.stream.read() == b""
