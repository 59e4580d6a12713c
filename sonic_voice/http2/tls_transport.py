"""A transport over a TLS socket, which encrypts into the kernel and decrypts out of it.

asyncio's own transport passes every record of TLS through two buffers in memory, a second transport
and nine functions; that was a quarter of the Python calls of a conversation's network. A socket of
the `ssl` module sends or receives a record in one call. Only the client's direct connections use
this: a tunnel has TLS on top of a transport, and event loops without `add_reader`, or with a
transport in C, have their own.

OpenSSL keeps a record that the kernel accepted in part, and finishes it when the same data is
written again. So whatever was not accepted stays at the head of the queue, whole. A peer that asks
for two key updates in that time ends the connection: OpenSSL cannot answer the second one.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress

_RECORD_BYTES = 16 * 1024
"""Maximum data of a record of TLS, in bytes: one read returns a whole record (RFC 8446, 5.1)."""

_WRITE_AHEAD_BYTES = 64 * 1024
"""Maximum data that waits for the socket before the protocol is paused, in bytes, unless it is set:
that of asyncio."""

_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""Errors of a TLS socket that must wait for the network."""

_HUNG_UP = (ConnectionError, ssl.SSLEOFError)
"""Errors of a write to a peer that has closed the connection. What it has sent before can be
read."""


async def start_tls_on_socket(
    sock: socket.socket, context: ssl.SSLContext, server_hostname: str, protocol: asyncio.Protocol
) -> "TlsTransport":
    """Take a connected socket, do the TLS handshake on it, and return a paused transport.

    Cancelling it, or an error, closes the socket.

    Args:
        sock: The socket, without data of TLS.
        context: The TLS context.
        server_hostname: Name of the server, for SNI and its certificate.
        protocol: The protocol of the transport.

    Raises:
        OSError: The handshake failed, or the peer closed the connection.
    """
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    try:
        tls = context.wrap_socket(
            sock, server_hostname=server_hostname, do_handshake_on_connect=False
        )
    except BaseException:
        sock.close()
        raise
    try:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await _ready(tls, loop.add_reader, loop.remove_reader)
            except ssl.SSLWantWriteError:
                await _ready(tls, loop.add_writer, loop.remove_writer)
    except BaseException:
        tls.close()
        raise
    return TlsTransport(loop, tls, protocol)


async def _ready(
    tls: ssl.SSLSocket, add: Callable[..., object], remove: Callable[[int], object]
) -> None:
    """Wait until a socket is ready, given the loop's functions for that direction."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(tls.fileno(), lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        remove(tls.fileno())


class TlsTransport(asyncio.Transport):
    """A transport over a TLS socket whose handshake is done. It begins paused.

    Args:
        loop: The event loop, which must have `add_reader`.
        tls: The socket, not blocking.
        protocol: The protocol, whose `connection_made` the caller calls.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLSocket, protocol: asyncio.BaseProtocol
    ) -> None:
        super().__init__({"socket": tls, "ssl_object": tls})
        self._loop = loop
        self._tls = tls
        self._fd = tls.fileno()
        self._queue = deque[bytes]()
        self._queued_bytes = 0
        self._closing = False
        self._closed = False
        self._write_error: OSError | None = None
        self._protocol_paused = False
        self._reading = False
        self.set_protocol(protocol)
        self.set_write_buffer_limits()

    # --- reading

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport`."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.BaseTransport`."""
        return self._protocol

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport`."""
        return self._reading

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._fd, self._read_ready)

    def _read_ready(self) -> None:
        try:
            data = self._tls.recv(_RECORD_BYTES)
        except _NOT_NOW:
            return
        except OSError as error:
            # After `close`, OpenSSL reports the peer's close_notify as an error.
            self._drop(None if self._closing else self._write_error or error)
            return
        if not data:
            with suppress(OSError):
                self._tls.unwrap()
            self._drop(self._write_error)
        elif not self._closing:
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        try:
            self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            # As asyncio's transports do: a protocol that has failed gets nothing more.
            message = "Fatal error: protocol.data_received() call failed."
            context = {"message": message, "exception": error, "transport": self}
            self._loop.call_exception_handler(context)
            self._drop(error)

    # --- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.WriteTransport`."""
        if self._closing or self._write_error is not None or not data:
            return
        if not self._queue:
            try:
                self._tls.send(data)
                return
            except _NOT_NOW:
                self._loop.add_writer(self._fd, self._write_ready)
            except OSError as error:
                self._write_failed(error)
                return
        self._queue.append(bytes(data))
        self._queued_bytes += len(data)
        if self._queued_bytes > self._high_bytes and not self._protocol_paused:
            self._protocol_paused = True
            self._protocol.pause_writing()

    def _write_ready(self) -> None:
        queue = self._queue
        try:
            while queue:
                self._queued_bytes -= self._tls.send(queue[0])
                queue.popleft()
        except _NOT_NOW:
            pass
        except OSError as error:
            self._write_failed(error)
            return
        if self._protocol_paused and self._queued_bytes <= self._low_bytes:
            self._protocol_paused = False
            self._protocol.resume_writing()
        if not queue and not self._closed:  # the protocol may have aborted meanwhile
            self._loop.remove_writer(self._fd)
            if self._closing:
                self._say_goodbye()

    def _write_failed(self, error: OSError) -> None:
        """Write nothing more, and end once what the peer had sent is read."""
        if not self._reading or self._closing or not isinstance(error, _HUNG_UP):
            self._drop(error)
            return
        self._write_error = error
        self._loop.remove_writer(self._fd)
        self._queue.clear()
        self._queued_bytes = 0

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        return self._queued_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See `asyncio.WriteTransport`."""
        return self._low_bytes, self._high_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`."""
        if high is None:
            high = _WRITE_AHEAD_BYTES if low is None else 4 * low
        self._high_bytes = high
        self._low_bytes = high // 4 if low is None else low

    def can_write_eof(self) -> bool:
        """Return False: TLS closes both directions at once."""
        return False

    # --- the end

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._closing

    def close(self) -> None:
        """Send what waits and TLS's close_notify, and wait for the peer's. It has no deadline."""
        if self._closing:
            return
        self.resume_reading()  # for the peer's answer; its data is dropped
        self._closing = True
        if not self._queue:
            self._say_goodbye()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._drop(None)

    def _say_goodbye(self) -> None:
        """Send close_notify, after which only the peer's is waited for."""
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._fd, self._write_ready)
            return
        except OSError:
            pass
        self._drop(None)

    def _drop(self, error: BaseException | None) -> None:
        """Close the socket and report the end to the protocol, in the next turn of the loop."""
        if self._closed:
            return
        self.pause_reading()
        self._loop.remove_writer(self._fd)
        self._closing = self._closed = True
        self._queue.clear()
        self._queued_bytes = 0
        self._tls.close()
        why = error if isinstance(error, Exception) else None
        self._loop.call_soon(self._protocol.connection_lost, why)
