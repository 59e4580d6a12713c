"""The framing of a tape: how records lie in the file, and how they are found after damage.

    MAGIC | record | record | ...            record = head | body

Each record begins with a sync marker and has its length and a checksum. A reader that finds a
wrong checksum looks for the next marker behind which a valid record lies. `FORMAT.md` describes
the format for other readers.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from .records import Damage

MAGIC = b"SVTAPE\r\n"
"""First bytes of a tape. A transfer that converts line ends damages it, and is noticed."""

SYNC = b"\xf5SVT"
"""First bytes of a record. The byte F5 never occurs in UTF-8, so no JSON contains the marker."""

HEAD = struct.Struct("<4sBBHIIQ")
"""Head without its checksum: marker, kind, reserved, stream, length of the body in bytes, order,
and time in microseconds."""

CHECKSUM = struct.Struct("<I")
"""CRC-32 of the head from the kind on, and of the body."""

HEAD_BYTES = HEAD.size + CHECKSUM.size
"""Size of the head, in bytes."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Maximum size of a body, in bytes. The largest payload is a chat history of some 200 KB."""

SEARCH_BYTES = 64 * 1024 * 1024
"""Maximum number of bytes that are checked in vain while a damaged file is searched, besides four
times its size. A file that was made to be slow to read would otherwise take hours."""


class Kind(IntEnum):
    """The kind of a record in the file."""

    HEADER = 1
    TEMPLATE = 2
    STREAM_OPENED = 3
    SENT = 4
    RECEIVED = 5
    STREAM_ENDED = 6
    EVENT = 7
    SENT_SOUND = 8
    RECEIVED_SOUND = 9
    PLAYED = 10


@dataclass(frozen=True, slots=True)
class Frame:
    """A record as it lies in the file."""

    kind: int
    """A `Kind`, or a number of a newer version."""
    stream: int
    order: int
    """Number of the record among all records of the conversation, from 0."""
    time_us: int
    """Time at which it was written, in microseconds since the beginning."""
    body: bytes
    offset: int = 0
    """Position of its first byte in the file."""

    @property
    def length(self) -> int:
        """Size of head and body, in bytes."""
        return HEAD_BYTES + len(self.body)


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a record.

    Args:
        frame: The record; its offset is not used.
    """
    return encode_fields(frame.kind, frame.stream, frame.order, frame.time_us, frame.body)


def encode_fields(kind: int, stream: int, order: int, time_us: int, body: bytes) -> bytes:
    """Return the bytes of a record with the fields of a `Frame`, without making one.

    Args:
        kind: A `Kind`.
        stream: Number of the service stream; 0 for none.
        order: Number of the record among all records, from 0.
        time_us: Time at which it is written, in microseconds.
        body: Its body.
    """
    head = HEAD.pack(SYNC, kind, 0, min(stream, 0xFFFF), len(body), order & 0xFFFFFFFF, time_us)
    return b"".join((head, CHECKSUM.pack(_checksum(head, body)), body))


def scan(data: bytes) -> Iterator[Frame | Damage]:
    """Yield the records of a file, and the parts between them that cannot be read.

    Args:
        data: The whole file.
    """
    position = len(MAGIC) if data.startswith(MAGIC) else 0
    budget = SEARCH_BYTES + 4 * len(data)
    while position < len(data):
        frame = _frame_at(data, position)
        if frame is not None:
            yield frame
            position += frame.length
            continue
        begin = position
        while frame is None and budget > 0:
            position = data.find(SYNC, position + 1)
            if position < 0:
                break
            frame = _frame_at(data, position)
            if frame is None:
                budget -= _checked_bytes(data, position)
        if frame is None:
            why = _why_cut_off(data, begin) if budget > 0 else "too much is damaged to be searched"
            yield Damage(begin, len(data) - begin, why)
            return
        yield Damage(begin, position - begin, "no record can be read here")


def first_frame_from(data: bytes, time_us: int) -> int:
    """Return the position of the first record that was written at a time or later.

    Times never decrease from record to record, so that this takes some 25 steps in a file of any
    size: halve the range of bytes, look for the next valid record, compare its time.

    Args:
        data: The whole file, which may be a memory map.
        time_us: The time, in microseconds since the beginning.

    Returns:
        The position; the size of the file if there is no such record.
    """
    low, high = 0, len(data)
    while low < high:
        middle = (low + high) // 2
        frame = _next_frame(data, middle, high)
        if frame is None or frame.time_us >= time_us:
            high = middle
        else:
            low = frame.offset + frame.length
    frame = _next_frame(data, low, len(data))
    return len(data) if frame is None else frame.offset


def _next_frame(data: bytes, position: int, end: int) -> Frame | None:
    """Return the first valid record that begins in a range of positions."""
    while 0 <= (position := data.find(SYNC, position)) < end:
        frame = _frame_at(data, position)
        if frame is not None:
            return frame
        position += 1
    return None


def _frame_at(data: bytes, position: int) -> Frame | None:
    if not data.startswith(SYNC, position) or position + HEAD_BYTES > len(data):
        return None
    _, kind, _, stream, length, order, time_us = HEAD.unpack_from(data, position)
    begin = position + HEAD_BYTES
    if length > MAX_BODY_BYTES or begin + length > len(data):
        return None
    body = data[begin : begin + length]
    (checksum,) = CHECKSUM.unpack_from(data, position + HEAD.size)
    if _checksum(data[position : position + HEAD.size], body) != checksum:
        return None
    return Frame(kind, stream, order, time_us, body, position)


def _checked_bytes(data: bytes, position: int) -> int:
    """Return how many bytes the check of a record that is none has taken, roughly."""
    if position + HEAD.size > len(data):
        return 1
    length: int = HEAD.unpack_from(data, position)[4]
    return HEAD_BYTES + (length if length <= min(MAX_BODY_BYTES, len(data) - position) else 0)


def _checksum(head: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(head[len(SYNC) :]))


def _why_cut_off(data: bytes, begin: int) -> str:
    """Return the reason for which the end of a file cannot be read."""
    rest = len(data) - begin
    if data.startswith(SYNC[:rest], begin):
        if rest < HEAD_BYTES:
            return "the last record is cut off"
        length: int = HEAD.unpack_from(data, begin)[4]
        if rest < HEAD_BYTES + length <= HEAD_BYTES + MAX_BODY_BYTES:
            return "the last record is cut off"
    return "no record can be read here"
