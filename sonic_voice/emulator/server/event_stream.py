"""The frames of `application/vnd.amazon.eventstream`: a prelude, headers, payload and a checksum.

    4 bytes  total length of the frame, all of it
    4        length of the headers
    4        CRC-32 of the eight bytes before
    n        headers: name length (1), name, type (1), value
    m        payload
    4        CRC-32 of everything before

Numbers are big-endian. This is an implementation of its own, with nothing but the standard
library, so that the emulator checks the frames of the SDK independently of the SDK.

Source: reference 1.3.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID
from zlib import crc32

PRELUDE_BYTES = 12
"""Bytes of both lengths and their checksum. They must be read to know how much follows."""

_CRC_BYTES = 4
_SMALLEST_BYTES = PRELUDE_BYTES + _CRC_BYTES
MAX_HEADERS_BYTES = 128 * 1024
"""Maximum length of the headers of a frame, in bytes."""
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
"""Maximum length of the payload of a frame, in bytes."""
_MAX_VALUE_BYTES = 0x7FFF
"""Maximum length of a header's value, in bytes."""


class FrameError(ValueError):
    """An error: a checksum, a length or a header of a frame is wrong."""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A header value of type 8, a point in time."""

    ms: int
    """Milliseconds since 1970-01-01, UTC."""


type HeaderValue = bool | int | bytes | str | Timestamp | UUID
"""A value of a header."""


@dataclass(frozen=True, slots=True)
class EventStreamFrame:
    """A frame of the event stream."""

    headers: Mapping[str, HeaderValue] = field(default_factory=dict[str, HeaderValue])
    """The headers by name, in their order."""
    payload: bytes = b""


def encode(frame: EventStreamFrame) -> bytes:
    """Encode a frame.

    Args:
        frame: The frame.

    Returns:
        Its bytes.

    Raises:
        FrameError: The frame, a header's name or a header's value does not fit the format.
    """
    headers = encode_headers(frame.headers)
    if len(headers) > MAX_HEADERS_BYTES or len(frame.payload) > MAX_PAYLOAD_BYTES:
        raise FrameError("the frame is larger than the format allows")
    total = PRELUDE_BYTES + len(headers) + len(frame.payload) + _CRC_BYTES
    lengths = struct.pack("!II", total, len(headers))
    prelude = lengths + struct.pack("!I", crc32(lengths))
    body = b"".join((prelude, headers, frame.payload))
    return body + struct.pack("!I", crc32(body))


def frame_size(prelude: bytes) -> int:
    """Return the length of a whole frame, in bytes.

    Args:
        prelude: The first `PRELUDE_BYTES` of the frame.

    Raises:
        FrameError: The prelude is incomplete, its checksum is wrong, or its lengths are impossible.
    """
    if len(prelude) != PRELUDE_BYTES:
        raise FrameError("the frame ends within its prelude")
    total, headers, checksum = struct.unpack("!III", prelude)
    if crc32(prelude[:8]) != checksum:
        raise FrameError("the checksum of the prelude is wrong")
    if headers > MAX_HEADERS_BYTES or total < _SMALLEST_BYTES + headers:
        raise FrameError("the lengths in the prelude cannot be")
    if total - headers - _SMALLEST_BYTES > MAX_PAYLOAD_BYTES:
        raise FrameError("the payload is larger than the format allows")
    return total


def decode(data: bytes) -> EventStreamFrame:
    """Decode a frame.

    Args:
        data: The bytes of exactly one frame.

    Raises:
        FrameError: A checksum, a length or a header is wrong.
    """
    total = frame_size(data[:PRELUDE_BYTES])
    if len(data) != total:
        raise FrameError(f"the frame has {len(data)} bytes and should have {total}")
    (checksum,) = struct.unpack("!I", data[-_CRC_BYTES:])
    if crc32(data[:-_CRC_BYTES]) != checksum:
        raise FrameError("the checksum of the frame is wrong")
    (headers_size,) = struct.unpack("!I", data[4:8])
    end = PRELUDE_BYTES + headers_size
    return EventStreamFrame(_decode_headers(data[PRELUDE_BYTES:end]), data[end:-_CRC_BYTES])


def encode_headers(headers: Mapping[str, HeaderValue]) -> bytes:
    """Encode headers without the rest of a frame, as signatures need them.

    Args:
        headers: The headers by name, in their order.

    Raises:
        FrameError: A name or a value does not fit the format.
    """
    return b"".join(_encode_header(name, value) for name, value in headers.items())


def _encode_header(name: str, value: HeaderValue) -> bytes:
    key = name.encode()
    if not 0 < len(key) <= 0xFF:
        raise FrameError(f"{name[:40]!r} cannot be the name of a header")
    return bytes((len(key),)) + key + _encode_value(value)


def _encode_value(value: HeaderValue) -> bytes:
    try:
        match value:
            case bool():
                return b"\x00" if value else b"\x01"
            case int():
                return b"\x05" + struct.pack("!q", value)
            case Timestamp(ms):
                return b"\x08" + struct.pack("!q", ms)
            case UUID():
                return b"\x09" + value.bytes
            case bytes():
                return b"\x06" + _sized(value)
            case str():
                return b"\x07" + _sized(value.encode())
    except struct.error as error:
        raise FrameError(f"{value!r} does not fit a header") from error


def _sized(value: bytes) -> bytes:
    if len(value) > _MAX_VALUE_BYTES:
        raise FrameError(f"a header of {len(value)} bytes is too long")
    return struct.pack("!H", len(value)) + value


# Types 2 to 5 are integers of 1, 2, 4 and 8 bytes.
_INTEGERS = {2: "!b", 3: "!h", 4: "!i", 5: "!q"}


def _decode_headers(block: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(block):
            size = block[at]
            name = _take(block, at + 1, size).decode()
            at += 1 + size
            if not name or name in headers:
                raise FrameError(f"header {name!r} has no name or comes twice")
            headers[name], at = _decode_value(block[at], block, at + 1)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise FrameError("a header ends too early or is not UTF-8") from error
    return headers


def _decode_value(kind: int, block: bytes, at: int) -> tuple[HeaderValue, int]:
    """Return the value at `at`, and the position at which the next header begins."""
    match kind:
        case 0 | 1:
            return kind == 0, at
        case 2 | 3 | 4 | 5:
            form = _INTEGERS[kind]
            return struct.unpack_from(form, block, at)[0], at + struct.calcsize(form)
        case 6 | 7:
            (size,) = struct.unpack_from("!H", block, at)
            value = _take(block, at + 2, size)
            return (value if kind == 6 else value.decode()), at + 2 + size
        case 8:
            return Timestamp(struct.unpack_from("!q", block, at)[0]), at + 8
        case 9:
            return UUID(bytes=_take(block, at, 16)), at + 16
        case _:
            raise FrameError(f"a header is of type {kind}, which there is not")


def _take(block: bytes, at: int, size: int) -> bytes:
    part = block[at : at + size]
    if len(part) != size:
        raise IndexError(at)
    return part
