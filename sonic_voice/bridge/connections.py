"""Connections of `websockets` that ration what a client may send, before it is parsed.

Usual messages do not pass through `websockets` (`websocket_frames`): they are given to the bridge
within the call that reads them from the socket, and written within the call that sends them.

`websockets` answers each ping with a write of its own. When the client does not read, asyncio
keeps the writes, and sums their sizes at each further one: a client that sent pings and read no
pongs stopped the event loop for 4 to 5 s. Here the answers to one chunk are one write, and a client
that exceeds its ration is disconnected, before and after it has said hello.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from websockets.asyncio.server import ServerConnection
from websockets.frames import CTRL_OPCODES, CloseCode, Frame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from ..http2.read_buffers import limit_read_buffers
from .closing import REASONS, BridgeRefusal, Close
from .forwarding import TrustedProxies
from .frames import FRAGMENT_BYTES, FRAME_BYTES
from .limits import BridgeLimits
from .rationing import FrameRation
from .websocket_frames import BINARY, TEXT, ForeignFrames, MessageSplitter, write_frame

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this platform
    from websockets.utils import apply_mask

SLICE_BYTES = 4096
"""Maximum size of the data that is parsed before the ration is checked, in bytes. asyncio delivers
up to 256 KiB at once, which can hold 43,000 frames; 4 KiB hold 680, which take about 10 ms."""

HEADER_LINE_BYTES = 16 * 1024
"""Maximum length of the request line and of a header, in bytes. All cookies of a site are in one
header, and applications have 12 KB of them; `websockets` allows 8 KiB."""

UNREAD_MESSAGES = 16
"""Number of messages after the end of a conversation at which no more is read from the socket."""

_HEAD_END = b"\r\n\r\n"
"""Last bytes of a request."""


def rationed(
    limits: BridgeLimits, proxies: TrustedProxies | None = None
) -> Callable[..., "RationedConnection"]:
    """Return the `create_connection` of `websockets.serve` for a bridge.

    Args:
        limits: The limits of the bridge.
        proxies: Proxies from which any number of connections may come.
    """
    return partial(RationedConnection, limits, proxies or TrustedProxies(), Counter())


def peer_address(connection: ServerConnection) -> str:
    """Return the address of the peer of a connection; empty on a Unix socket.

    Args:
        connection: The connection.
    """
    peer: Any = connection.remote_address
    return str(cast(Any, peer)[0]) if isinstance(peer, tuple) else ""


class _LongLineReader(StreamReader):
    """A reader that accepts header lines of up to `HEADER_LINE_BYTES`."""

    def read_line(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, m: int, *too_long: Any
    ) -> Generator[None, None, bytearray]:
        """Read a line, as `StreamReader.read_line`.

        Args:
            m: The maximum length that `websockets` would apply, in bytes.
            too_long: The exception for a longer line; `websockets` 14 has no such argument.
        """
        return super().read_line(max(m, HEADER_LINE_BYTES), *too_long)


class RationedConnection(ServerConnection):
    """A connection of a client, which is disconnected when it exceeds its ration.

    Args:
        limits: The limits of the bridge.
        proxies: Proxies from which any number of connections may come.
        waiting: Number of connections without a request, by address, of the whole server.
        protocol: The protocol state machine.
        arguments: The other arguments of `ServerConnection`.
        options: Its keyword arguments.
    """

    def __init__(
        self,
        limits: BridgeLimits,
        proxies: TrustedProxies,
        waiting: Counter[str],
        protocol: ServerProtocol,
        *arguments: Any,
        **options: Any,
    ) -> None:
        protocol.reader = _LongLineReader()
        protocol.parser = protocol.parse()
        next(protocol.parser)
        super().__init__(protocol, *arguments, **options)
        self._limits = limits
        self._proxies = proxies
        self._waiting = waiting
        self._waiting_address = ""
        """Address under which this connection is counted in `waiting`; empty if it is not."""
        self._ration = FrameRation(limits, now_s=time.monotonic())
        self._exceeded = False
        self._first_bytes = b""
        self._requested = False
        """True once the whole request has come."""
        self._request_end = b""
        """The last bytes of the request so far."""
        self._splitter = MessageSplitter(FRAME_BYTES, SLICE_BYTES, apply_mask)
        self._queued = 0
        """Number of messages that wait in the queue of `websockets`."""
        self._fragments: bytearray | None = None
        """The fragmented message that has begun."""
        self._is_text = False
        """True if that is a text."""
        self._take: Callable[[str | bytes], None] | None = None
        self._direct = False
        """True once messages are not queued by `websockets` any more."""
        self._unread = 0
        """Number of messages that have come after the end of the conversation."""
        self._over: asyncio.Future[None] = self.loop.create_future()
        """Done when the connection is lost, or the function of `receive_each` has failed."""
        self._fault: Exception | None = None
        """The exception that the function of `receive_each` has raised; None for none."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        limit_read_buffers(self.transport)
        address = peer_address(self)
        if not address or self._proxies.trust(address):
            return
        if self._waiting[address] >= self._limits.handshakes_of_address:
            self.transport.abort()
            return
        self._waiting[address] += 1
        self._waiting_address = address

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._wait_no_longer()
        super().connection_lost(exc)
        self._stop(None)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._first_bytes = self._first_bytes or bytes(data[:8])
        if not self._requested:
            data = self._receive_request(data)
        for part in self._splitter.split(data, reads=self._direct):
            if isinstance(part, ForeignFrames):
                super().data_received(part.data)
            elif self.protocol.state is State.OPEN:
                self._count_frame(control=False)
                self._deliver(part)
            if self._exceeded:
                self._disconnect()
                return

    def _receive_request(self, data: bytes) -> bytes:
        """Give `websockets` what belongs to the request, and return the rest."""
        kept = len(self._request_end)
        seen = self._request_end + data
        at = seen.find(_HEAD_END)
        self._requested = at >= 0
        end = at + len(_HEAD_END) - kept if self._requested else len(data)
        self._request_end = seen[1 - len(_HEAD_END) :]
        for start in range(0, end, SLICE_BYTES):
            super().data_received(data[start : min(start + SLICE_BYTES, end)])
        return data[end:]

    def process_event(self, event: Any) -> None:
        """Count a frame, or note that the request has come."""
        if isinstance(event, Frame):
            control = event.opcode in CTRL_OPCODES
            self._count_frame(control=control)
            if not control:
                if self._direct:
                    self._assemble(event)
                    return
                self._queued += event.fin
                self._fragments = None if event.fin else bytearray()
        else:
            self._wait_no_longer()
        super().process_event(event)

    def _count_frame(self, *, control: bool) -> None:
        try:
            if control:
                self._ration.consume_control(time.monotonic())
            else:
                self._ration.consume(1, time.monotonic())
        except BridgeRefusal:
            self._exceeded = True

    def _assemble(self, frame: Frame) -> None:
        """Deliver a message that has come in fragments, or is not UTF-8."""
        if frame.opcode in (TEXT, BINARY):
            self._fragments, self._is_text = bytearray(), frame.opcode == TEXT
        assert self._fragments is not None
        self._fragments += frame.data  # at most the maximum size of a message in all
        if frame.fin:
            whole, self._fragments = bytes(self._fragments), None
            try:
                self._deliver(whole.decode() if self._is_text else whole)
            except UnicodeDecodeError:
                self.protocol.fail(CloseCode.INVALID_DATA)
                self.send_data()
                self._stop(BridgeRefusal(Close.BAD_MESSAGE))

    def _deliver(self, message: str | bytes) -> None:
        if self._take is None:
            self._unread += 1
            if self._unread == UNREAD_MESSAGES:
                self.transport.pause_reading()
            return
        try:
            self._take(message)
        except Exception as error:  # it is raised by `receive_each`
            self._stop(error)

    def _stop(self, fault: Exception | None) -> None:
        self._take = None
        if not self._over.done():
            self._fault = fault
            self._over.set_result(None)

    async def receive(self) -> str | bytes:
        """Return the next message. Not to be called after `receive_each`.

        Raises:
            ConnectionClosed: The connection is closed.
        """
        message = await self.recv()
        self._queued -= 1
        return message

    async def receive_each(self, take: Callable[[str | bytes], None]) -> None:
        """Call a function with each message as it comes, until the connection is closed.

        When this ends, the messages that come afterwards are lost.

        Args:
            take: The function. When it raises an exception, this raises it.

        Raises:
            ConnectionClosed: The connection is closed.
        """
        while self._queued or self._fragments is not None:
            take(await self.receive())
        if self.protocol.state is not State.CLOSED:
            self._take, self._direct = take, True
            try:
                await self._over
                if self._fault is not None:
                    raise self._fault
            finally:
                self._take = self._fault = None  # its traceback refers to this connection
        await self.recv()

    def offer(self, message: str | bytes) -> bool:
        """Write a message at once if the client reads, and it fits in a frame.

        Not to be called while `send` runs.

        Args:
            message: Text for a text frame, bytes for a binary frame.

        Returns:
            Whether it was written. Otherwise nothing was done.
        """
        closing = self.protocol.state is not State.OPEN or self.transport.is_closing()
        if closing or self.paused:
            return False
        if isinstance(message, bytes):
            frame = write_frame(BINARY, message)
        else:
            text = message.encode()
            if len(text) > FRAGMENT_BYTES:
                return False
            frame = write_frame(TEXT, text)
        self.transport.write(frame)
        return True

    def send_data(self) -> None:
        """Write all that the protocol wants to send at once.

        It is called after everything that can begin the closing of the connection.
        """
        if self.protocol.state is State.CLOSING:
            self._splitter.stop()
        writes = self.protocol.data_to_send()
        if self.request is None and self.protocol.handshake_exc is not None and writes == [b""]:
            # The request could not be read, for instance because it has a body.
            readable = self._first_bytes.startswith((b"GET ", b"HEAD "))
            status = HTTPStatus.BAD_REQUEST if readable else HTTPStatus.METHOD_NOT_ALLOWED
            response = self.protocol.reject(status, "There is only GET.\n")
            if not readable:
                response.headers["Allow"] = "GET, HEAD"
            writes = [response.serialize(), b""]
        if joined := b"".join(writes):
            self.transport.write(joined)
        if writes and writes[-1] == b"":  # the end of the stream
            if self.transport.can_write_eof():
                with suppress(OSError, RuntimeError):  # the connection may be lost
                    self.transport.write_eof()
            else:
                self.transport.close()

    def _disconnect(self) -> None:
        """Close with a reason if the client reads, and cut the connection if it does not."""
        unread = self.transport.get_write_buffer_size() > 0
        self.protocol.fail(Close.FLOOD, REASONS[Close.FLOOD].text)
        self.send_data()
        if unread:
            self.transport.abort()

    def _wait_no_longer(self) -> None:
        if self._waiting_address:
            self._waiting[self._waiting_address] -= 1
            if not self._waiting[self._waiting_address]:
                del self._waiting[self._waiting_address]
            self._waiting_address = ""
