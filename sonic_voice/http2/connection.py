"""One HTTP/2 connection on asyncio, used by the client and by the emulator.

`H2Connection` is an `asyncio.Protocol` around h2's state machine (`H2State`). Bytes arrive in
`data_received`, are parsed by h2, and are given to the stream they belong to within the same call:
there is no queue, task or thread between the socket and the reader. An `H2Stream` is one request
and its response, as a reader and a writer of bytes.

Flow control works in both directions. Credit for received data is returned as the reader takes it,
so that a slow reader holds back the peer once the window is full. `write` waits for the peer's
windows and for the socket (`pause_writing`). Buffered data is bounded by the window in one
direction and by the socket's high-water mark in the other.

A graceful GOAWAY (NO_ERROR, with a last stream id that includes ours) only forbids *new* streams
(RFC 9113, 6.8): the stream goes on, and when the connection ends later, the reason is `goaway`.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import cast

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from ..errors import ConnectionLost, NetworkError
from .frames import DATA, END_STREAM, DataFrame, FrameSplitter, frame_header, window_update
from .h2_state import H2State
from .keepalive import PING_DEADLINE_S, Keepalive
from .preface import PrefaceCheck
from .read_buffers import limit_read_buffers
from .send_buffers import limit_send_buffers
from .stream import H2Stream, Headers

_log = logging.getLogger(__name__)

STREAM_WINDOW_BYTES = 4 * 1024 * 1024
"""Flow-control window of a stream, in bytes: the amount that a peer may send ahead of the reader,
about 45 s of speech (24,000 * 2 * 16/9 bytes/s)."""

_WRITE_AHEAD_BYTES = 64 * 1024
"""Maximum data that waits for a server's socket before `write` waits, in bytes: 0.8 s of an
answer's audio."""

_GO_ON = "Open a new session to go on."
"""Hint for every connection that ended."""

UNREAD_S = 15.0
"""Time in which a stalled connection leaves its socket unread, in seconds: longer than a client
needs to miss the answer to a ping, and short enough not to keep its descriptor for minutes."""

_CLOSE_S = 1.0
"""Maximum time for a peer to answer the close of a connection, in seconds; then the socket is
dropped."""


class H2Connection(asyncio.Protocol):
    """One HTTP/2 connection, of a client or of a server; see the module.

    A client's connection closes by itself when its stream has ended.

    Args:
        on_stream: Called from `data_received` with the stream of each new request. It makes the
            connection a server's; None makes it a client's.
        window_bytes: Flow-control window of a stream, in bytes. The connection's window is four
            times as large.
        ping_s: Silence of the peer after which a PING is sent, in seconds; None sends none.
        ping_deadline_s: Maximum time for the answer to a PING, in seconds.
        peer: Name of the other side in messages.
    """

    def __init__(
        self,
        *,
        on_stream: Callable[[H2Stream], None] | None = None,
        window_bytes: int = STREAM_WINDOW_BYTES,
        ping_s: float | None = None,
        ping_deadline_s: float = PING_DEADLINE_S,
        peer: str = "The peer",
    ) -> None:
        self.received_at_s = 0.0
        """Time of the last data from the peer, in seconds of the loop's clock."""
        self.drained_at_s = 0.0
        """Time at which a full write buffer last drained, in seconds of the loop's clock. It shows
        that the peer acknowledges data."""
        self.credit_step_bytes = max(1, window_bytes // 8)
        """Minimum amount of credit that a stream returns at once, in bytes."""
        self.tls_version: str | None = None
        """The negotiated version of TLS; None without TLS."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """A future that is done when the socket is closed."""
        self._on_stream = on_stream
        self._window_bytes = window_bytes
        self._ping_s = ping_s
        self._ping_deadline_s = ping_deadline_s
        self._h2 = H2State(client=on_stream is None)
        self._streams: dict[int, H2Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._keepalive: Keepalive | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None  # of a connection that is stalled
        self._paused = False
        self._goaway = False
        self._lost: NetworkError | None = None
        self._peer = peer
        self._preface = PrefaceCheck(peer) if on_stream is None else None
        self._splitter: FrameSplitter | None = None
        if on_stream is None:
            self._splitter = FrameSplitter(self._reads_data, self._h2.max_inbound_frame_size)

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_AHEAD_BYTES)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            # Audio is sent in small packets, which must not wait for earlier acknowledgements.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self.tls_version = tls.version() if tls is not None else None
        limit_read_buffers(self._transport)
        if self._on_stream is None:
            limit_send_buffers(self._transport)
        self._h2.begin(self._window_bytes)
        self._flush()
        self.received_at_s = self._loop.time()
        if self._ping_s is not None:
            self._keepalive = Keepalive(self, self._ping_s, self._ping_deadline_s)

    def attach(self, transport: asyncio.Transport) -> None:
        """Take the transport before HTTP/2 begins on it with `connection_made`.

        A server calls this while it waits for the client's first bytes, so that `close`, `cut` and
        `drop` end the connection already.

        Args:
            transport: The transport of the connection.
        """
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._stall_timer is not None:
            return
        self.received_at_s = self._loop.time()
        if self._preface is not None:
            if wrong := self._preface.check(data):
                self.drop(wrong)
                return
            if self._preface.done:
                self._preface = None
        if self._splitter is None:
            self._receive_by_h2(data)
            return
        for part in self._splitter.split(data):
            if isinstance(part, bytes):
                if not self._receive_by_h2(part):
                    return
            elif not self._receive_data(part):
                return

    def _receive_data(self, frame: DataFrame) -> bool:
        """Give the data of a frame that h2 does not see to its stream.

        Returns:
            Whether the connection goes on.
        """
        stream = self._streams[frame.stream_id]
        if stream.owed_bytes + frame.flow_bytes > self._window_bytes:
            self._h2.close_connection(ErrorCodes.FLOW_CONTROL_ERROR)
            self._flush()
            self.drop(ConnectionLost("The peer sent more than it was allowed to.", reason="cut"))
            return False
        stream.received(frame.data, frame.flow_bytes)
        if frame.ended:
            return self._receive_by_h2(frame_header(DATA, END_STREAM, stream.id, 0))
        return True

    def _reads_data(self, stream_id: int) -> bool:
        """Return whether DATA frames of a stream are read without h2."""
        stream = self._streams.get(stream_id)
        return stream is not None and stream.bypasses_h2 and not stream.input_ended

    def _receive_by_h2(self, data: bytes) -> bool:
        """Give bytes to h2 and act on its events; return whether the connection goes on."""
        try:
            events = self._h2.receive_data(data)
        except (ProtocolError, UnicodeDecodeError) as error:
            what = "a header is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            _log.debug("not HTTP/2: %s", what)
            self._flush()  # h2's own GOAWAY, which names the mistake
            lost = ConnectionLost(f"The peer does not keep to HTTP/2: {what}.", reason="cut")
            lost.__cause__ = error
            self.drop(lost)
            return False
        for event in events:
            self._receive(event)
        self._flush()
        return True

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = self._stall_timer is not None
        self.drained_at_s = self._loop.time()
        self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        lost: NetworkError = ConnectionLost(
            "The connection ended in the middle of the stream.",
            reason="goaway" if self._goaway else "cut",
            hint=_GO_ON,
        )
        if self._preface is not None:
            lost = self._preface.closed(exc, secure=self.tls_version is not None)
        lost.__cause__ = exc
        self._fail_all(lost)
        self._stop_keepalive()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        if self._closer is not None:
            self._closer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # --- what streams and owners call

    def open_stream(self, headers: Headers) -> H2Stream:
        """Send a request's headers and return its stream, to which the body is written.

        Args:
            headers: The request's headers with the pseudo-headers first; names in lower case.

        Raises:
            NetworkError: The connection has ended already; the error says why.
        """
        if self._lost is not None:
            raise self._lost
        stream = H2Stream(self, self._h2.get_next_available_stream_id())
        self._streams[stream.id] = stream
        self._h2.send_headers(stream.id, headers)
        self._flush()
        self._h2.check_windows(stream.id)
        return stream

    def send_headers(self, stream: H2Stream, headers: Headers) -> None:
        """Send a response's headers; do nothing if the stream has ended.

        Args:
            stream: The stream of the request.
            headers: The response's headers with `:status` first.
        """
        if stream.error is None:
            self._h2.send_headers(stream.id, headers)
            self._flush()

    def send_available(self, stream_id: int, view: memoryview) -> int:
        """See `StreamConnection`."""
        if self._paused:
            return 0
        size = self._h2.send_available(stream_id, view)
        self._flush()
        return size

    def has_room(self, stream_id: int, size: int) -> bool:
        """See `StreamConnection`."""
        transport = self._transport
        if self._paused or transport is None or transport.is_closing():
            return False
        return self._h2.has_room(stream_id, size)

    def send_now(self, stream_id: int, data: bytes) -> None:
        """See `StreamConnection`."""
        assert self._transport is not None
        # h2 has nothing else to send: all its bytes are written with the call that makes them.
        # One write: asyncio makes a TLS record of each.
        self._transport.write(self._h2.data_frame(stream_id, data))

    def end(self, stream: H2Stream) -> None:
        """See `StreamConnection`."""
        self._h2.end_stream(stream.id)
        self._flush()
        self._forget_if_over(stream)

    def reset(self, stream: H2Stream, code: int) -> None:
        """See `StreamConnection`."""
        if self._streams.pop(stream.id, None) is not None and not self.closed.done():
            self._h2.reset_stream(stream.id, code)
            self._flush()
        self._close_if_idle()

    def credit(self, stream_id: int, flow_bytes: int) -> None:
        """See `StreamConnection`."""
        if self.closed.done():
            return
        stream = self._streams.get(stream_id)
        if stream is None or not stream.bypasses_h2:
            self._h2.acknowledge_received_data(flow_bytes, stream_id)
            self._flush()
        elif not (
            self._transport is None or self._transport.is_closing() or self._stall_timer is not None
        ):
            # h2 has not seen the data, and would not believe that it is credited.
            credit = window_update(0, flow_bytes)
            if not stream.input_ended:
                credit += window_update(stream_id, flow_bytes)
            self._transport.write(credit)

    @property
    def has_streams(self) -> bool:
        """True while a stream of the connection is open."""
        return bool(self._streams)

    def ping(self) -> None:
        """Send a PING; do nothing once the connection is ending."""
        if self._h2.is_closed:
            self._stop_keepalive()
            return
        self._h2.ping(b"sonic---")
        self._flush()

    def fail_unresponsive(self, silent_s: float) -> None:
        """Drop the connection because the peer does not answer.

        Args:
            silent_s: Time since the last data from the peer, in seconds.
        """
        self.drop(
            ConnectionLost(
                f"{self._peer} has answered nothing for {silent_s:.0f} s, not even a ping.",
                reason="cut",
                hint=f"Check the network. {_GO_ON}",
            )
        )

    def close(self) -> None:
        """Send GOAWAY and close the connection; `closed` is done when that is complete."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._stall_timer is not None:  # nothing that could be sent would arrive
            self.cut()
            return
        self._fail_all(ConnectionLost("This side closed the connection.", reason="ended"))
        self._stop_keepalive()
        if not self._h2.is_closed:
            self._h2.close_connection()
        self._flush()
        transport.close()
        # The socket is dropped if the peer does not answer TLS's close_notify or does not read.
        self._closer = self._loop.call_later(_CLOSE_S, transport.abort)

    def cut(self) -> None:
        """Drop the connection without GOAWAY, as a broken network does."""
        self._stop_keepalive()
        if self._transport is not None:
            self._transport.abort()

    def stall(self, unread_s: float = UNREAD_S) -> None:
        """Stop reading and writing while the socket stays open, as a host that hangs does.

        Not even pings are answered, and nothing can be sent any more. The end of the connection is
        noticed only after `unread_s`, when the socket is read again and its data dropped.

        Args:
            unread_s: Time in which the socket is not read, in seconds.
        """
        transport = self._transport
        if transport is None or transport.is_closing() or self._stall_timer is not None:
            return
        transport.pause_reading()
        self._paused = True
        self._stall_timer = self._loop.call_later(unread_s, transport.resume_reading)

    def drop(self, error: NetworkError) -> None:
        """Fail every stream and drop the connection.

        Args:
            error: The error that readers and writers of the streams get.
        """
        self._fail_all(error)
        self.cut()

    # --- events of h2

    def _receive(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self._receive_goaway(event)
        elif isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
            self._wake_writers()
        elif isinstance(event, RequestReceived) and self._on_stream is not None:
            stream = H2Stream(self, event.stream_id)
            self._streams[stream.id] = stream
            stream.headers = cast(Headers, event.headers)
            self._on_stream(stream)
        else:
            self._receive_on_stream(event)

    def _receive_on_stream(self, event: Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", 0))
        if isinstance(event, DataReceived):
            if stream is not None:
                stream.received(event.data, event.flow_controlled_length)
            else:  # data of a stream that has ended still uses the connection's window
                self.credit(event.stream_id, event.flow_controlled_length)
        elif stream is None:
            return
        elif isinstance(event, ResponseReceived):
            headers = cast(Headers, event.headers)
            # h2 compares the length of a body with its header, and must see such a body.
            stream.bypasses_h2 = not any(name == "content-length" for name, _ in headers)
            stream.received_headers(headers)
        elif isinstance(event, StreamEnded):
            stream.received_end()
            self._forget_if_over(stream)
        elif isinstance(event, StreamReset):
            self._receive_reset(stream, event)

    def _receive_reset(self, stream: H2Stream, event: StreamReset) -> None:
        del self._streams[stream.id]
        if stream.input_ended:
            # "I have answered and want no more of the request" (RFC 9113, 8.1).
            stream.output_ended = True
            stream.wake_writer()
        else:
            stream.fail(
                ConnectionLost(
                    f"The peer reset the stream (HTTP/2 {_name(event.error_code)}).",
                    reason="reset",
                    hint=_GO_ON,
                )
            )
        self._close_if_idle()

    def _receive_goaway(self, event: ConnectionTerminated) -> None:
        self._goaway = True
        graceful = event.error_code == ErrorCodes.NO_ERROR
        last = event.last_stream_id or 0
        ours = self._on_stream is None
        for stream in [s for s in self._streams.values() if not graceful or (ours and s.id > last)]:
            del self._streams[stream.id]
            stream.fail(
                ConnectionLost(
                    f"The peer ended the connection (HTTP/2 {_name(event.error_code)}).",
                    reason="goaway",
                    hint=_GO_ON,
                )
            )
        self._close_if_idle()

    def _forget_if_over(self, stream: H2Stream) -> None:
        if stream.input_ended and stream.output_ended:
            self._streams.pop(stream.id, None)
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._streams and (self._on_stream is None or self._goaway):
            self.close()

    def _stop_keepalive(self) -> None:
        if self._keepalive is not None:
            self._keepalive.stop()

    def _fail_all(self, error: NetworkError) -> None:
        self._lost = self._lost or error
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if stream.input_ended:
                stream.output_ended = True
                stream.wake_writer()
            else:
                stream.fail(error)

    def _wake_writers(self) -> None:
        for stream in self._streams.values():
            stream.wake_writer()

    def _flush(self) -> None:
        if self._stall_timer is not None:
            return
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _name(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else f"error {code}"
