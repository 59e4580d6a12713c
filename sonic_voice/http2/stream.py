"""One HTTP/2 stream: a reader and a writer of bytes, for one task each.

A stream buffers the data that arrived and was not read yet, and knows whether the peer and this
side have ended their halves. It sends through its connection (`StreamConnection`). When it waits,
it waits only to be woken by the connection, so that every end of a stream ends the waiting.

A stream can end in three ways:

- cleanly, when both sides have sent END_STREAM;
- by its peer: RST_STREAM, GOAWAY, or the loss of the connection. The error is `ConnectionLost`
  with the reason `reset`, `goaway` or `cut`;
- by this side: `abort(error)`.

In the last two cases a pending `write` raises at once, and so does every later one. A `read` first
returns the data that arrived completely before the end, because an exception frame of the service
may arrive in one packet with the reset that follows it. After `abort`, a `read` returns nothing
more.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ..errors import ConnectionLost, SonicError

type Headers = list[tuple[str, str]]

_CANCEL = 8
"""Error code of HTTP/2 for a stream that is no longer needed (RFC 9113, 7)."""


class StreamConnection(Protocol):
    """The port of a stream to its connection."""

    credit_step_bytes: int
    """Minimum amount of credit to return at once, in bytes."""

    def send_available(self, stream_id: int, view: memoryview) -> int:
        """Send as much as the flow-control windows and the socket accept now.

        Args:
            stream_id: The stream's number.
            view: The data to send; may be sent in part.

        Returns:
            The number of bytes that were sent; 0 if the stream must wait.
        """
        ...

    def has_room(self, stream_id: int, size: int) -> bool:
        """Return whether the windows and the socket accept a whole DATA frame now.

        Args:
            stream_id: The stream's number.
            size: Length of the data, in bytes.
        """
        ...

    def send_now(self, stream_id: int, data: bytes) -> None:
        """Send one DATA frame, for which there is room.

        Args:
            stream_id: The stream's number.
            data: The data.
        """
        ...

    def end(self, stream: "H2Stream") -> None:
        """Send END_STREAM.

        Args:
            stream: The stream, whose output has ended.
        """
        ...

    def reset(self, stream: "H2Stream", code: int) -> None:
        """Send RST_STREAM; the caller fails the stream.

        Args:
            stream: The stream to forget.
            code: Error code of HTTP/2.
        """
        ...

    def credit(self, stream_id: int, flow_bytes: int) -> None:
        """Return flow-control credit, so that the peer may send more.

        Args:
            stream_id: The stream's number.
            flow_bytes: Number of bytes that were read, with the padding of their frames.
        """
        ...


class H2Stream:
    """One stream of a connection. One task reads and one writes; either may be cancelled."""

    def __init__(self, connection: StreamConnection, stream_id: int) -> None:
        self.id = stream_id
        self.headers: Headers | None = None
        """Headers from the peer; None until they arrive."""
        self.error: SonicError | None = None
        """The error that ended the stream; None while it is open or when it ended cleanly."""
        self.input_ended = False
        """True if the peer has sent END_STREAM."""
        self.output_ended = False
        """True if this side has sent END_STREAM, or the peer accepts no more data."""
        self.on_input_ended: Callable[[], object] | None = None
        """Function that is called once when the peer can send nothing more, cleanly or not."""
        self._connection = connection
        self._inbox = bytearray()
        self.owed_bytes = 0
        """Number of bytes that were received and for which no credit was returned yet."""
        self.bypasses_h2 = False
        """True if the DATA frames of the peer are read without h2."""
        self._sink: Callable[[bytes], bytes] | None = None  # of a reader that waits
        self._discarding = False
        self._shut = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    async def wait_headers(self) -> Headers:
        """Wait for the peer's headers and return them. Cancelling it loses nothing.

        Raises:
            SonicError: The stream ended before the headers arrived.
        """
        while self.headers is None:
            if self.error is not None:
                raise self.error
            await self._wait_for_input()
        return self.headers

    async def read(self, size: int = -1) -> bytes:
        """Wait for `size` bytes and return them. Cancelling it loses nothing.

        Args:
            size: Number of bytes; negative: everything until the end of the stream.

        Returns:
            Exactly `size` bytes, or fewer at the end of the stream.

        Raises:
            SonicError: The stream did not end cleanly, and too little arrived before its end.
        """
        inbox = self._inbox
        while size < 0 or len(inbox) < size:
            if self.input_ended:
                size = len(inbox)
                break
            if self.error is not None:
                raise self.error
            await self._wait_for_input()
        taken = bytes(inbox[:size])
        del inbox[:size]
        self._credit(self.owed_bytes - len(inbox))
        return taken

    async def read_some(self, limit: int, sink: Callable[[bytes], bytes] | None = None) -> bytes:
        """Wait for data and return what has arrived. Cancelling it loses nothing.

        Args:
            limit: Maximum number of bytes to return.
            sink: Called with the data that arrives while this waits. It returns what it has not
                taken; this goes on waiting as long as that is nothing.

        Returns:
            At least one byte, or nothing at the end of the stream.

        Raises:
            SonicError: The stream did not end cleanly, and nothing arrived before its end.
        """
        inbox = self._inbox
        while not inbox and not self.input_ended:
            if self.error is not None:
                raise self.error
            self._sink = sink
            try:
                await self._wait_for_input()
            finally:
                self._sink = None
        taken = bytes(inbox[:limit])
        del inbox[:limit]
        self._credit(self.owed_bytes - len(inbox))
        return taken

    async def write(self, data: bytes) -> None:
        """Send `data` and return when the socket has accepted all of it.

        When this is cancelled, part of `data` may have been sent.

        Args:
            data: Any number of bytes; it is divided into frames as needed.

        Raises:
            SonicError: The stream has ended.
        """
        view = memoryview(data)
        while True:
            self._check_open()
            sent = self._connection.send_available(self.id, view)
            if sent == len(view):
                return
            view = view[sent:]
            await self._wait_for_room()

    def has_room(self, size: int) -> bool:
        """Return whether `write_now` may be called: the stream is open and nothing must wait.

        Args:
            size: Number of bytes to write.
        """
        if self.error is not None or self.output_ended or self._shut or self._writer is not None:
            return False
        return self._connection.has_room(self.id, size)

    def write_now(self, data: bytes) -> None:
        """Send `data` at once, in one frame. To be called only if there is room for it.

        Args:
            data: The bytes.
        """
        self._connection.send_now(self.id, data)

    def end(self) -> None:
        """Send END_STREAM, after which nothing more is written. Idempotent."""
        if not self.output_ended and self.error is None:
            self.output_ended = True
            self._connection.end(self)

    def shut_output(self) -> None:
        """Make pending and later writes raise `ConnectionLost` with the reason `ended`."""
        self._shut = True
        self.wake_writer()

    def reset(self, code: int = _CANCEL) -> None:
        """Send RST_STREAM, which ends both directions. Idempotent.

        Args:
            code: Error code of HTTP/2.
        """
        if self.error is None and not (self.input_ended and self.output_ended):
            self._connection.reset(self, code)
            self.fail(ConnectionLost("The stream was reset by this side.", reason="reset"))

    def discard_input(self) -> None:
        """Drop the data that the peer still sends, and return credit for it."""
        self._discarding = True
        self._inbox.clear()
        self._credit(self.owed_bytes)

    def abort(self, error: SonicError) -> None:
        """End the stream at once, without the data that was not read yet.

        Args:
            error: The error that pending and later reads and writes raise.
        """
        self.input_ended = False
        self.discard_input()
        self.reset()
        self.error = error
        self._wake()

    async def close(self) -> None:
        """Close the reader: reset the stream unless it has ended. Idempotent."""
        self.reset()

    def fail(self, error: SonicError) -> None:
        """End the stream with an error. Data that arrived before can still be read.

        Args:
            error: The error that writes, and reads after the buffered data, raise.
        """
        if self.error is None:
            self.error = error
            self._wake()
            self._input_has_ended()

    def received_headers(self, headers: Headers) -> None:
        """Store the peer's headers. Called by the connection.

        Args:
            headers: Names and values, with the pseudo-headers.
        """
        self.headers = headers
        self._wake_reader()

    def received(self, data: bytes, flow_bytes: int) -> None:
        """Buffer data from the peer. Called by the connection.

        Args:
            data: The content of a DATA frame.
            flow_bytes: Number of bytes of the flow-control windows that the frame used.
        """
        self.owed_bytes += flow_bytes
        if self._discarding:
            self._credit(self.owed_bytes)
            return
        if self._sink is not None and not self._inbox:
            data = self._sink(data)
            if not data:
                self._credit(self.owed_bytes)
                return
        self._inbox += data
        self._wake_reader()

    def received_end(self) -> None:
        """Mark the end of the peer's data (END_STREAM). Called by the connection."""
        self.input_ended = True
        self._wake_reader()
        self._input_has_ended()

    def wake_writer(self) -> None:
        """Wake a pending write, because there may be room now. Called by the connection."""
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake(self) -> None:
        self._wake_reader()
        self.wake_writer()

    def _input_has_ended(self) -> None:
        call, self.on_input_ended = self.on_input_ended, None
        if call is not None:
            call()

    def _check_open(self) -> None:
        if self.error is not None:
            raise self.error
        if self.output_ended or self._shut:
            raise ConnectionLost("The stream has ended; nothing can be sent.", reason="ended")

    def _credit(self, flow_bytes: int) -> None:
        """Return credit in large steps, because calling h2 costs more than most reads."""
        if flow_bytes >= self._connection.credit_step_bytes:
            self.owed_bytes -= flow_bytes
            self._connection.credit(self.id, flow_bytes)

    async def _wait_for_input(self) -> None:
        # The reader will take all of the buffer, and may wait for more than a window holds.
        self._credit(self.owed_bytes)
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    async def _wait_for_room(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()
        try:
            await self._writer
        finally:
            self._writer = None
