"""Connections of `websockets` that ration what a client may send, before it is parsed.

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
from websockets.frames import CTRL_OPCODES, Frame
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from .closing import REASONS, BridgeRefusal, Close
from .forwarding import TrustedProxies
from .limits import BridgeLimits
from .rationing import FrameRation

SLICE_BYTES = 4096
"""Maximum size of the data that is parsed before the ration is checked, in bytes. asyncio delivers
up to 256 KiB at once, which can hold 43,000 frames; 4 KiB hold 680, which take about 10 ms."""

HEADER_LINE_BYTES = 16 * 1024
"""Maximum length of the request line and of a header, in bytes. All cookies of a site are in one
header, and applications have 12 KB of them; `websockets` allows 8 KiB."""


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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
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

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._first_bytes = self._first_bytes or bytes(data[:8])
        for start in range(0, len(data), SLICE_BYTES):
            super().data_received(data[start : start + SLICE_BYTES])
            if self._exceeded:
                self._disconnect()
                return

    def process_event(self, event: Any) -> None:
        """Count a frame, or note that the request has come."""
        if isinstance(event, Frame):
            try:
                self._ration.consume(time.monotonic(), control=event.opcode in CTRL_OPCODES)
            except BridgeRefusal:
                self._exceeded = True
        else:
            self._wait_no_longer()
        super().process_event(event)

    def send_data(self) -> None:
        """Write all that the protocol wants to send at once."""
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
