"""The state of a connection: frames that are sent beside h2, and a GOAWAY that ends nothing."""

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event

from sonic_voice.http2.h2_state import DEFAULT_WINDOW_BYTES, H2State

REQUEST = [
    (":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/"),
]  # fmt: skip
WINDOW_BYTES = 1_000


class Pair:
    """A client with an open stream, and its server."""

    def __init__(self, server_window: int = WINDOW_BYTES) -> None:
        self.client, self.server = H2State(client=True), H2State(client=False)
        self.client.begin(DEFAULT_WINDOW_BYTES)
        self.server.begin(server_window)
        self.exchange()
        self.id = self.client.get_next_available_stream_id()
        self.client.send_headers(self.id, REQUEST)
        self.client.check_windows(self.id)
        self.exchange()

    def exchange(self) -> list[Event]:
        """Carry what both have to say; return what happened at the server."""
        events: list[Event] = []
        for _ in range(2):
            events += self.server.receive_data(self.client.data_to_send())
            self.client.receive_data(self.server.data_to_send())
        return events


def data_of(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, DataReceived))


def test_a_frame_beside_h2_is_one_that_h2_reads() -> None:
    pair = Pair()
    assert data_of(pair.server.receive_data(pair.client.data_frame(pair.id, b"hello"))) == b"hello"


def test_frames_beside_h2_and_those_of_h2_count_in_the_same_windows() -> None:
    pair = Pair()
    frame = pair.client.data_frame(pair.id, bytes(400))
    assert pair.client.send_available(pair.id, memoryview(bytes(1_000))) == 600
    assert pair.client.outbound_flow_control_window == DEFAULT_WINDOW_BYTES - WINDOW_BYTES
    data = data_of(pair.server.receive_data(frame + pair.client.data_to_send()))
    assert len(data) == WINDOW_BYTES
    assert not pair.client.has_room(pair.id, 1)
    pair.server.acknowledge_received_data(WINDOW_BYTES, pair.id)
    pair.exchange()
    assert pair.client.has_room(pair.id, WINDOW_BYTES)
    assert not pair.client.has_room(pair.id, WINDOW_BYTES + 1)


def test_a_stream_that_is_not_open_has_no_room() -> None:
    assert not Pair().client.has_room(99, 1)


def test_without_a_checked_window_no_frame_is_sent_beside_h2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def another_window(_: H2Connection, stream_id: int) -> int:
        return 5

    monkeypatch.setattr(H2Connection, "local_flow_control_window", another_window)
    pair = Pair()
    assert not pair.client.has_room(pair.id, 1)
    assert pair.client.send_available(pair.id, memoryview(b"hello")) == 5


def test_a_graceful_goaway_leaves_the_connection_open() -> None:
    pair = Pair()
    pair.server.close_connection(ErrorCodes.NO_ERROR, last_stream_id=pair.id)
    pair.client.receive_data(pair.server.data_to_send())
    assert not pair.client.is_closed
    pair.client.send_data(pair.id, b"more")
    pair.client.close_connection()
    assert pair.client.is_closed
