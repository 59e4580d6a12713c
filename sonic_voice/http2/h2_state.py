"""The state of an HTTP/2 connection: h2's, and what this package adds to it.

- A graceful GOAWAY does not end the connection (RFC 9113, 6.8).
- DATA frames are sent beside h2, which costs too much for each of them (`frames`). They count in
  h2's windows, so that h2 can send frames between them.

There is no I/O here: what is to be written is in `data_to_send`, as h2 has it, or returned.
"""

import logging
from functools import cache

from h2.config import H2Configuration
from h2.connection import (
    ConnectionInputs,
    ConnectionState,
    H2Connection,
    H2ConnectionStateMachine,
)
from h2.settings import SettingCodes, Settings

from .frames import DATA, frame_header

_log = logging.getLogger(__name__)

_STREAMS_PER_CONNECTION = 100
"""Maximum number of concurrent streams, which the settings tell the peer."""

DEFAULT_WINDOW_BYTES = 65_535
"""Flow-control window of a stream or connection before any setting or WINDOW_UPDATE, in bytes
(RFC 9113, 6.9.2)."""


class _StateMachine(H2ConnectionStateMachine):
    """A state machine of h2 that stays open after a GOAWAY.

    h2 treats every GOAWAY as the end of the connection, which a graceful one is not. There is no
    option for it, so that the private table of transitions is replaced here.
    """

    _transitions = H2ConnectionStateMachine._transitions | {
        (state, ConnectionInputs.RECV_GOAWAY): (None, state)
        for state in (ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN)
    }


class H2State(H2Connection):
    """h2's state of one connection, with DATA frames that it does not write itself.

    Args:
        client: Whether it is that of a client.
    """

    outbound_flow_control_window: int

    def __init__(self, *, client: bool) -> None:
        super().__init__(H2Configuration(client_side=client, header_encoding="utf-8"))
        self.state_machine = _StateMachine()
        self._is_client = client
        self._writes_frames = False

    @property
    def is_closed(self) -> bool:
        """True once the connection is ending."""
        return self.state_machine.state is ConnectionState.CLOSED

    def begin(self, window_bytes: int) -> None:
        """Prepare the first frames of the connection: its settings and its window.

        Args:
            window_bytes: Flow-control window of a stream, in bytes. The connection's window is four
                times as large.
        """
        self.local_settings = Settings(
            client=self._is_client,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: window_bytes,
                SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS_PER_CONNECTION,
            },
        )
        self.initiate_connection()
        more = 4 * window_bytes - DEFAULT_WINDOW_BYTES
        if more > 0:
            self.increment_flow_control_window(more)

    def send_available(self, stream_id: int, view: memoryview) -> int:
        """Send as much as the windows accept now.

        Args:
            stream_id: The stream's number.
            view: The data to send; may be sent in part.

        Returns:
            The number of bytes that are sent.
        """
        size = min(len(view), max(0, self.local_flow_control_window(stream_id)))
        step = self.max_outbound_frame_size
        for at in range(0, size, step):
            self.send_data(stream_id, bytes(view[at : min(at + step, size)]))
        return size

    def check_windows(self, stream_id: int) -> None:
        """Find out whether frames can be sent beside h2: whether its windows are where we look.

        h2's manual does not name these attributes, which have been there since h2 2.

        Args:
            stream_id: A stream that has been opened.
        """
        try:
            windows = (
                self.outbound_flow_control_window,
                self.streams[stream_id].outbound_flow_control_window,
            )
            self._writes_frames = min(windows) == self.local_flow_control_window(stream_id)
        except (AttributeError, KeyError, TypeError):
            self._writes_frames = False
        if not self._writes_frames:
            _warn_of_h2()

    def has_room(self, stream_id: int, size: int) -> bool:
        """Return whether the windows accept a whole DATA frame now, sent beside h2.

        Args:
            stream_id: The stream's number.
            size: Length of the data, in bytes.
        """
        if not self._writes_frames:
            return False
        stream = self.streams.get(stream_id)
        # A window is negative after the peer has made it smaller.
        return (
            stream is not None
            and size <= stream.outbound_flow_control_window
            and size <= self.outbound_flow_control_window
            and size <= self.max_outbound_frame_size
        )

    def data_frame(self, stream_id: int, data: bytes) -> bytes:
        """Return a DATA frame, for which there is room, and count it as sent.

        Args:
            stream_id: The stream's number.
            data: The data.
        """
        size = len(data)
        self.outbound_flow_control_window -= size
        self.streams[stream_id].outbound_flow_control_window -= size
        return frame_header(DATA, 0, stream_id, size) + data


@cache
def _warn_of_h2() -> None:
    """Log, once for each process, that frames cannot be written without h2."""
    _log.warning("h2 counts its windows in another way than expected; sending takes more CPU time.")
