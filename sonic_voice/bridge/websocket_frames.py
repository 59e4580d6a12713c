"""Frames of WebSocket that are read and written here, because `websockets` costs too much for each.

A conversation consists of short messages, each in one frame. `websockets` turns each into several
objects, a queue entry and a wake-up, which took most of the CPU time of a connection. It keeps
everything else: the handshake, control frames, fragmented messages, and all frames that break the
protocol. Pure.

Source: RFC 6455, 5.2.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from struct import Struct

FIN = 0x80
"""Bit of the first byte of the last frame of a message."""

_KNOWN = frozenset((0, 1, 2, 8, 9, 10))
"""First bytes of the frames that exist, without `FIN`. The bits of extensions are not set."""

TEXT, BINARY = 1, 2
"""Opcodes of messages."""

_WHOLE_MESSAGE = (FIN | BINARY, FIN | TEXT)
"""First bytes of frames that are a whole message."""

_FIRST_CONTROL = 8
"""The lowest opcode of a control frame."""

_MASKED = 0x80
"""Bit of the second byte of a frame from a client."""

_MASK_BYTES = 4
"""Length of the masking key."""

_LONG = 126
"""Value of the 7 bits of the length when it follows in 16 bits. Only 127 is greater: 64 bits."""

_LONG_HEADER = Struct("!BBH")
"""Header of a frame whose length has 16 bits."""

type Unmask = Callable[[bytes, bytes], bytes]
"""A function that returns the XOR of a payload and a masking key."""


def write_frame(opcode: int, payload: bytes) -> bytes:
    """Encode a message as the one frame of a server.

    Args:
        opcode: `TEXT` or `BINARY`.
        payload: The message, of at most 65,535 bytes; UTF-8 for a text.
    """
    size = len(payload)
    if size < _LONG:
        return bytes((FIN | opcode, size)) + payload
    return _LONG_HEADER.pack(FIN | opcode, _LONG, size) + payload


@dataclass(frozen=True, slots=True)
class ForeignFrames:
    """Frames that are for `websockets`. Only the last of them can be incomplete."""

    data: bytes


class MessageSplitter:
    """A splitter of the bytes of a client into messages that are read here, and other frames.

    `websockets` gets whole frames, so that messages can be taken from between them. At most one
    frame, of the maximum size, is kept.

    Args:
        max_bytes: Maximum size of a message, in bytes. `websockets` gets longer ones at once, and
            refuses them.
        run_bytes: Size at which frames for `websockets` are yielded, in bytes; one of them may
            exceed it.
        unmask: Removes the mask of a payload.
    """

    def __init__(self, max_bytes: int, run_bytes: int, unmask: Unmask) -> None:
        self._max_bytes = max_bytes
        self._run_bytes = run_bytes
        self._unmask = unmask
        self._rest = b""
        self._fragmented = False
        """True while a fragmented message is not complete; `websockets` must see its end."""
        self._foreign = False
        """True if all the rest is for `websockets`, because a frame is not as it should be."""

    def stop(self) -> None:
        """Leave all that follows to `websockets`, because the connection is closing."""
        self._foreign = True

    def split(self, data: bytes, *, reads: bool) -> Iterable[str | bytes | ForeignFrames]:
        """Return what the received bytes contain, in their order.

        What follows a part is read when the next part is asked for.

        Args:
            data: The next bytes from the client.
            reads: Whether messages are read here; otherwise all frames are for `websockets`.
        """
        if self._rest:
            data = self._rest + data
        first = self._bounds(data, 0)
        if first is None or first[1] != len(data):
            return self._split(data, first, reads=reads)
        self._rest = b""
        message = self._message(data, 0, *first, reads=reads)
        return (ForeignFrames(data) if message is None else message,)

    def _split(
        self, data: bytes, bounds: tuple[int, int] | None, *, reads: bool
    ) -> Generator[str | bytes | ForeignFrames]:
        """Yield what bytes contain that are not one frame.

        Args:
            data: The bytes, from the beginning of a frame.
            bounds: The result of `_bounds` for that frame.
            reads: As for `split`.
        """
        at = begin = 0  # of the next frame, and of the frames for `websockets` before it
        while bounds is not None:
            payload, end = bounds
            message = self._message(data, at, payload, end, reads=reads)
            if message is not None:
                if begin < at:
                    yield ForeignFrames(data[begin:at])
                yield message
                begin = end
            at = end
            if at - begin >= self._run_bytes:
                yield ForeignFrames(data[begin:at])
                begin = at
            bounds = self._bounds(data, at)
        if self._foreign:
            at = len(data)
        self._rest = data[at:]
        for start in range(begin, at, self._run_bytes):
            yield ForeignFrames(data[start : min(start + self._run_bytes, at)])

    def _bounds(self, data: bytes, at: int) -> tuple[int, int] | None:
        """Return where the payload of the frame at `at` begins and ends; None if it is not whole.

        If the frame is for `websockets` whatever follows, `_foreign` is set.
        """
        size = len(data)
        if self._foreign or size - at < 2:
            return None
        payload, length = at + 2 + _MASK_BYTES, data[at + 1] - _MASKED
        if length == _LONG:
            if size - at < _LONG_HEADER.size:
                return None
            payload, length = payload + 2, data[at + 2] << 8 | data[at + 3]
        elif not 0 <= length < _LONG:  # no mask, or 64 bits, which no message needs
            length = self._max_bytes + 1
        if data[at] & ~FIN not in _KNOWN or length > self._max_bytes:
            self._foreign = True
            return None
        return (payload, payload + length) if payload + length <= size else None

    def _message(
        self, data: bytes, at: int, payload: int, end: int, *, reads: bool
    ) -> str | bytes | None:
        """Return the message of the frame at `at`; None if `websockets` has to see the frame."""
        first = data[at]
        if self._fragmented or not reads or first not in _WHOLE_MESSAGE:
            if first & ~FIN < _FIRST_CONTROL:
                self._fragmented = not first & FIN
            return None
        message = self._unmask(data[payload:end], data[payload - _MASK_BYTES : payload])
        if first == FIN | BINARY:
            return message
        try:
            return message.decode()
        except UnicodeDecodeError:
            return None
