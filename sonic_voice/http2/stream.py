"""One HTTP/2 stream: a reader and a writer of bytes, for one task each.

A stream holds what arrived and was not read yet, and whether the peer, or this side, is done.
It sends through the connection it belongs to (`StreamConnection`) and never waits for the network in any
other way than to wait until the connection wakes it: so whatever ends a stream ends the waiting.

How a stream can end:

- cleanly, when both sides sent END_STREAM;
- by its peer: RST_STREAM, GOAWAY, or the connection going away, told apart as `ConnectionLost`
  with reason `reset`, `goaway` and `cut`;
- by us: `abort(error)`.

In the last two, a pending `write` raises at once and so does every later one. A `read` first
hands out what arrived complete before the end, because an exception frame of the service may
come in one packet with the reset that follows it; after `abort` it hands out nothing more.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ..errors import ConnectionLost, SonicError

type Headers = list[tuple[str, str]]

_CANCEL = 8  # HTTP/2's error code for "no longer needed"


class StreamConnection(Protocol):
    """What a stream needs of its connection."""

    credit_step_bytes: int

    def send_available(self, stream_id: int, view: memoryview) -> int:
        """Send what the windows and the socket take now; returns how many bytes that was."""
        ...

    def end(self, stream: "H2Stream") -> None:
        """END_STREAM."""
        ...

    def reset(self, stream: "H2Stream", code: int) -> None:
        """RST_STREAM; the caller fails the stream."""
        ...

    def credit(self, stream_id: int, flow_bytes: int) -> None:
        """Let the peer send `flow_bytes` more on this stream."""
        ...


class H2Stream:
    """One stream of a connection. One task reads and one writes; either may be cancelled."""

    def __init__(self, connection: StreamConnection, stream_id: int) -> None:
        self.id = stream_id
        self.headers: Headers | None = None
        self.error: SonicError | None = None
        self.input_ended = False
        self.output_ended = False
        self.on_input_ended: Callable[[], object] | None = None
        """Called once the peer can say nothing more, for good or ill."""
        self._connection = connection
        self._inbox = bytearray()
        self._owed_bytes = 0  # received, no credit given for it yet
        self._discarding = False
        self._shut = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    async def wait_headers(self) -> Headers:
        """The peer's headers. Raises `SonicError` if the stream ends before they came."""
        while self.headers is None:
            if self.error is not None:
                raise self.error
            await self._wait_for_input()
        return self.headers

    async def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the stream; if negative, all of it.

        Cancelling it loses nothing. Raises `SonicError` if the stream did not end well.
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
        self._credit(self._owed_bytes - len(inbox))
        return taken

    async def write(self, data: bytes) -> None:
        """Send `data`; returns when the socket took it. Raises `SonicError` once it is over.

        Cancelled half-way, part of `data` may have been sent.
        """
        view = memoryview(data)
        while True:
            self._check_open()
            sent = self._connection.send_available(self.id, view)
            if sent == len(view):
                return
            view = view[sent:]
            await self._wait_for_room()

    def end(self) -> None:
        """END_STREAM: nothing more will be written. Quiet if that is so already."""
        if not self.output_ended and self.error is None:
            self.output_ended = True
            self._connection.end(self)

    def shut_output(self) -> None:
        """Nobody takes what is written any more: pending and later writes raise `ended`."""
        self._shut = True
        self.wake_writer()

    def reset(self, code: int = _CANCEL) -> None:
        """RST_STREAM: neither side goes on."""
        if self.error is None and not (self.input_ended and self.output_ended):
            self._connection.reset(self, code)
            self.fail(ConnectionLost("The stream was reset by this side.", reason="reset"))

    def discard_input(self) -> None:
        """Drop what the peer still sends, without holding it back."""
        self._discarding = True
        self._inbox.clear()
        self._credit(self._owed_bytes)

    def abort(self, error: SonicError) -> None:
        """End the stream here and now: pending and later reads and writes raise `error`."""
        self.input_ended = False
        self.discard_input()
        self.reset()
        self.error = error
        self._wake()

    async def close(self) -> None:
        """The reader wants nothing more: reset, unless the stream is over."""
        self.reset()

    def fail(self, error: SonicError) -> None:
        """The stream is over; what arrived complete may still be read."""
        if self.error is None:
            self.error = error
            self._wake()
            self._input_has_ended()

    def received_headers(self, headers: Headers) -> None:
        """The connection's call: the peer's headers."""
        self.headers = headers
        self._wake_reader()

    def received(self, data: bytes, flow_bytes: int) -> None:
        """The connection's call: `data` came and used `flow_bytes` of the windows."""
        self._owed_bytes += flow_bytes
        if self._discarding:
            self._credit(self._owed_bytes)
            return
        self._inbox += data
        self._wake_reader()

    def received_end(self) -> None:
        """The connection's call: END_STREAM."""
        self.input_ended = True
        self._wake_reader()
        self._input_has_ended()

    def wake_writer(self) -> None:
        """The connection's call: there may be room now."""
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
        """Return credit, in steps: asking h2 costs more than most reads."""
        if flow_bytes >= self._connection.credit_step_bytes:
            self._owed_bytes -= flow_bytes
            self._connection.credit(self.id, flow_bytes)

    async def _wait_for_input(self) -> None:
        # The one who waits will take all there is, and may want more than a window holds.
        self._credit(self._owed_bytes)
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
