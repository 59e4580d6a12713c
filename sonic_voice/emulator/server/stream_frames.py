"""The frames of one stream: what the client sends is read and verified, output is encoded.

A frame of the client is signed and holds another one, whose JSON holds the payload: an input event
in base64 (reference 1.4, 1.5). A frame of the service is not signed and has one layer.
"""

import json
from base64 import b64decode, b64encode
from enum import Enum, auto

from ...http2.stream import H2Stream
from .event_stream import PRELUDE_BYTES, EventStreamFrame, decode, encode, frame_size
from .sigv4 import SignatureChain

CHUNK_BYTES = 1_000_000
"""Maximum payload of a chunk, in bytes (reference 0.4)."""

UNREADABLE = "Unable to parse input chunk. Please check input format contains correct format."
"""The service's text about a frame that cannot be read."""

_FRAME_BYTES = 2 * CHUNK_BYTES
"""Maximum length of a frame, in bytes. Base64 makes 4/3 of a chunk; the envelopes and headers
around it need far less than the rest."""

_CHUNK_HEADERS = {
    ":event-type": "chunk",
    ":content-type": "application/json",
    ":message-type": "event",
}


class ChunkError(ValueError):
    """An error: a frame does not hold a valid chunk. The client is sent the message."""


class InputEnd(Enum):
    """The end of a client's input, and how it was marked (reference 1.5)."""

    SIGNED = auto()
    """By the signed empty frame."""
    BARE = auto()
    """By END_STREAM alone, as old clients send it."""


class PayloadReader:
    """A reader of the payloads of one stream, which verifies their signatures.

    Args:
        stream: The HTTP/2 stream.
        chain: Verifies the signatures of the frames.
    """

    def __init__(self, stream: H2Stream, chain: SignatureChain) -> None:
        self._stream = stream
        self._chain = chain
        self._prelude = b""

    async def read(self) -> bytes | InputEnd:
        """Return the payload of the next frame, or the end of the input.

        Cancelling this loses nothing: a prelude that was read is kept for the next call.

        Raises:
            ChunkError: The frame is too long, or does not hold a chunk.
            FrameError: The frame cannot be read.
            ChainError: Its signature is not the next of the chain.
            SonicError: The stream or its connection has broken.
        """
        if not self._prelude:
            self._prelude = await self._stream.read(PRELUDE_BYTES)
        if not self._prelude:
            return InputEnd.BARE
        size = frame_size(self._prelude)
        if size > _FRAME_BYTES:
            raise ChunkError(f"A chunk is at most {CHUNK_BYTES} bytes.")
        rest = await self._stream.read(size - PRELUDE_BYTES)
        frame = decode(self._prelude + rest)
        self._prelude = b""
        inner = self._chain.unwrap(frame)
        return _chunk(decode(inner)) if inner else InputEnd.SIGNED


def chunk_frame(payload: bytes) -> bytes:
    """Encode an output event as a frame, which is not signed and has one layer (reference 1.4).

    Args:
        payload: The UTF-8 JSON of the event.
    """
    return encode(EventStreamFrame(_CHUNK_HEADERS, b'{"bytes":"' + b64encode(payload) + b'"}'))


def invalid_frame() -> bytes:
    """Return a frame whose checksum is wrong, as damaged bytes have it."""
    frame = chunk_frame(b'{"event":{"usageEvent":{}}}')
    return frame[:-1] + bytes((frame[-1] ^ 0xFF,))


def exception_frame(code: str, message: str) -> bytes:
    """Encode a modelled exception as a frame (reference 1.7).

    Args:
        code: A member of the output union, such as `validationException`.
        message: The text of the exception.
    """
    headers = {
        ":exception-type": code,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode(EventStreamFrame(headers, json.dumps({"message": message}).encode()))


def error_frame(code: str, message: str) -> bytes:
    """Encode an error that is not modelled as a frame (reference 1.7).

    Args:
        code: Any name.
        message: The text of the error.
    """
    headers = {":message-type": "error", ":error-code": code, ":error-message": message}
    return encode(EventStreamFrame(headers))


def _chunk(frame: EventStreamFrame) -> bytes:
    """Return the decoded `bytes` member of the JSON in an inner frame."""
    if frame.headers.get(":message-type") != "event" or frame.headers.get(":event-type") != "chunk":
        raise ChunkError(UNREADABLE)
    try:
        payload = b64decode(json.loads(frame.payload)["bytes"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChunkError(UNREADABLE) from error
    if len(payload) > CHUNK_BYTES:
        raise ChunkError(f"A chunk is at most {CHUNK_BYTES} bytes.")
    return payload
