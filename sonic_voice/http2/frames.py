"""Frames of HTTP/2 that are written and read here, because h2 costs too much for each of them.

A conversation consists of DATA frames. h2 turns each into several objects and events, which took a
quarter of the CPU time of sending and half of that of receiving. h2 keeps everything else: headers,
settings, pings, resets, and the accounts of the windows that it checks.

Source: RFC 9113, 4.1, 6.1, 6.9.
"""

from collections.abc import Callable, Generator
from struct import Struct
from typing import NamedTuple

HEADER_BYTES = 9
"""Length of a frame's header, in bytes."""

DATA = 0
"""Type of a DATA frame."""

END_STREAM = 0x1
"""Flag of a DATA frame that is the last of its stream."""

_PADDED = 0x8
"""Flag of a DATA frame with padding, whose length is the first byte of the payload."""

_WINDOW_UPDATE = 8
"""Type of a WINDOW_UPDATE frame."""

_LENGTH_SHIFT = 8
"""Number of bits by which the length of a frame is shifted beside its type in 32 bits."""

_HEADER = Struct("!IBI")
"""Header of a frame: length and type in 32 bits, flags, stream."""

_INCREMENT = Struct("!I")
"""Payload of a WINDOW_UPDATE frame."""


def frame_header(kind: int, flags: int, stream_id: int, payload_bytes: int) -> bytes:
    """Return the header of a frame.

    Args:
        kind: Type of the frame.
        flags: Its flags.
        stream_id: The stream's number; 0 for the connection.
        payload_bytes: Length of its payload, at most 2**24 - 1.
    """
    return _HEADER.pack(payload_bytes << _LENGTH_SHIFT | kind, flags, stream_id)


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame.

    Args:
        stream_id: The stream's number; 0 for the connection.
        increment: Number of bytes by which the window grows, at least 1.
    """
    header = frame_header(_WINDOW_UPDATE, 0, stream_id, _INCREMENT.size)
    return header + _INCREMENT.pack(increment)


class DataFrame(NamedTuple):
    """A DATA frame of a stream that is read here."""

    stream_id: int
    data: bytes
    """Its content, without padding."""
    flow_bytes: int
    """Length that the flow-control windows count, with padding."""
    ended: bool
    """True if it is the last of its stream."""


class FrameSplitter:
    """A splitter of received bytes into DATA frames that are read here, and bytes for h2.

    h2 sees whole frames only, so that DATA frames can be taken from between them. At most one
    frame, of the maximum size, is kept.

    Args:
        reads: Function that returns whether the DATA frames of a stream are read here.
        max_frame_bytes: Maximum length of a frame's payload, in bytes. h2 gets longer ones at once
            and explains what is wrong.
    """

    def __init__(self, reads: Callable[[int], bool], max_frame_bytes: int) -> None:
        self._reads = reads
        self._max_frame_bytes = max_frame_bytes
        self._rest = b""

    def split(self, data: bytes) -> Generator[DataFrame | bytes]:
        """Yield what the received bytes contain, in their order.

        Whether a stream's frames are read here is asked after all frames before have been yielded.

        Args:
            data: The next bytes from the peer.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = begin = 0  # of the next frame, and of the bytes for h2 before it
        size = len(data)
        while size - at >= HEADER_BYTES:
            length, flags, stream_id = _HEADER.unpack_from(data, at)
            kind, length = length & 0xFF, length >> _LENGTH_SHIFT
            if length > self._max_frame_bytes:
                at = size
                break
            end = at + HEADER_BYTES + length
            if end > size:
                break
            if kind == DATA:
                if begin < at:
                    yield data[begin:at]
                    begin = at
                if self._reads(stream_id):
                    frame = _data_frame(stream_id, flags, data[at + HEADER_BYTES : end])
                    if frame is not None:
                        yield frame
                        begin = end
            at = end
        if begin < at:
            yield data[begin:at]
        if at < size:
            self._rest = data[at:]


def _data_frame(stream_id: int, flags: int, payload: bytes) -> DataFrame | None:
    """Return a DATA frame; None if its padding is longer than the frame."""
    flow_bytes = len(payload)
    if flags & _PADDED:
        if not payload or payload[0] >= flow_bytes:
            return None
        payload = payload[1 : flow_bytes - payload[0]]
    return DataFrame(stream_id, payload, flow_bytes, bool(flags & END_STREAM))
