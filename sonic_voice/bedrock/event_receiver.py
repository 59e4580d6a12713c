"""The reader of events of one stream.

Exceptions are parsed here, because the SDK loses the text of exceptions that its model does not
contain, such as `expiredTokenException`.
"""

import json
import re
from base64 import b64decode
from binascii import crc32
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from struct import Struct
from typing import Any, Protocol, cast, runtime_checkable

from smithy_aws_event_stream.aio import AWSEventReceiver
from smithy_aws_event_stream.events import Event
from smithy_core.aio.types import AsyncBytesReader
from smithy_core.codecs import Codec

from ..errors import ServiceError, service_error
from ..transport import Sink
from ..wire.codecs import decode_plain_base64

_PRELUDE = Struct("!III")
"""Prelude of a message: its length, the length of its headers, and the checksum of both."""

_CHECKED_BYTES = 8
"""Number of bytes of the prelude that its checksum covers."""


class ByteReader(Protocol):
    """A reader of the response's body."""

    async def read(self, size: int = -1) -> bytes:
        """Wait for `size` bytes and return them.

        Args:
            size: Number of bytes; negative: everything until the end of the body.

        Returns:
            Exactly `size` bytes, or fewer at the end of the body.
        """
        ...


@runtime_checkable
class SomeReader(Protocol):
    """A reader of the response's body that can also return what has arrived."""

    async def read_some(self, limit: int, sink: Callable[[bytes], bytes] | None = None) -> bytes:
        """Wait for data and return what has arrived.

        Args:
            limit: Maximum number of bytes.
            sink: Called with the data that arrives while this waits. It returns what it has not
                taken; this goes on waiting as long as that is nothing.

        Returns:
            At least one byte, or nothing at the end of the body.
        """
        ...


_BEFORE_BASE64 = b'{"bytes":"'
"""Beginning of the payload of a chunk of the usual form."""

_AFTER_BASE64 = re.compile(rb'"(?:,"p":"[A-Za-z0-9]*")?\}')
"""End of this payload, with the padding that other operations have."""

_CHECKSUM = Struct("!I")
"""Checksum at the end of a message."""

_FRAMING_BYTES = _PRELUDE.size + _CHECKSUM.size
"""Length of a message without headers and payload, in bytes."""

_MAX_KNOWN_HEADERS = 16
"""Maximum number of blocks of headers that are remembered; the service uses one."""

READ_BYTES = 64 * 1024
"""Maximum number of bytes that are taken from the body at once: 0.8 s of an answer's audio. Credit
is returned for them although some may wait here."""


class Receiver:
    """A reader of events.

    Chunks, which are nearly all events, are read in straight-line code. Everything else is given to
    the SDK's decoder, and members of its model to its receiver.

    Args:
        source: The body of the response.
        codec: The SDK's codec, for its receiver.
        deserializer: The SDK's deserializer of events, for its receiver.
        fast: Whether chunks are read here; False gives every event to the SDK's decoder.
    """

    def __init__(
        self,
        source: ByteReader,
        codec: Codec,
        deserializer: Callable[..., Any],
        *,
        fast: bool = True,
    ) -> None:
        self._source = source
        self._codec = codec
        self._deserializer = deserializer
        self._fast = fast
        self._some = source if fast and isinstance(source, SomeReader) else None
        self._messages = MessageBuffer()
        self._chunk_headers = set[bytes]()
        """Blocks of headers that the SDK's decoder has found to be those of a chunk."""

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """Wait for the next event and return its payload; return None at the end of the stream.

        Cancelling this may lose a part of an event.

        Args:
            sink: Called with the payloads that arrive while this waits, see `transport.Stream`.

        Raises:
            ServiceError: The service sent an exception, which the SDK's model may not contain.
            EventError: The data is not a valid message (an error of the SDK).
            SonicError: The source failed.
        """
        while True:
            message = self._messages.take()
            if message is None:
                data = await self._read_more(sink)
                self._messages.add(data)
                if data:
                    continue
                message = self._messages.take_rest()
                if not message:
                    return None
            payload = self._chunk_payload(message) if self._fast else None
            if payload is None:
                payload = await self._decoded(message)
            if payload is not None:
                return payload

    async def _decoded(self, message: bytes) -> bytes | None:
        """Return the payload of any event; None if it is to be ignored."""
        event = Event.decode(BytesIO(message))
        assert event is not None
        if event.message.headers.get(":event-type") == "chunk":
            if len(self._chunk_headers) < _MAX_KNOWN_HEADERS:
                self._chunk_headers.add(message[_PRELUDE.size :][: event.prelude.headers_length])
            return b64decode(json.loads(event.message.payload).get("bytes") or b"")
        if event.message.headers.get(":message-type") in {"exception", "error"}:
            raise _sent_error(event.message.headers, event.message.payload)
        sdk = AWSEventReceiver[Any](self._codec, AsyncBytesReader(message), self._deserializer)
        await sdk.receive()  # raises for an invalid event, and skips unknown members
        return None

    def _chunk_payload(self, message: bytes) -> bytes | None:
        """Return the payload of a message if it is a chunk of the usual form, else None.

        Args:
            message: A message, of which the checksum of the prelude has been checked if it is
                whole.
        """
        size = len(message)
        if size < _FRAMING_BYTES:
            return None
        length, headers_bytes, _ = _PRELUDE.unpack_from(message)
        begin = _PRELUDE.size + headers_bytes
        if (
            length != size
            or message[_PRELUDE.size : begin] not in self._chunk_headers
            or not message.startswith(_BEFORE_BASE64, begin)
        ):
            return None
        checked = memoryview(message)[: size - _CHECKSUM.size]
        if crc32(checked) != _CHECKSUM.unpack_from(message, size - _CHECKSUM.size)[0]:
            return None  # the decoder raises for it
        begin += len(_BEFORE_BASE64)
        end = message.find(b'"', begin)
        if end < 0 or not _AFTER_BASE64.fullmatch(message, end, size - _CHECKSUM.size):
            return None
        try:
            return decode_plain_base64(message[begin:end])
        except ValueError:
            return None  # JSON may spell it with escapes

    async def _read_more(self, sink: Sink | None) -> bytes:
        """Wait for more of the data; return nothing at its end."""
        if self._some is None or not self._messages.is_empty:
            return await self._source.read(self._messages.missing_bytes)
        if sink is None:
            return await self._some.read_some(READ_BYTES)
        return await self._some.read_some(READ_BYTES, partial(self._deliver, sink))

    def _deliver(self, sink: Sink, data: bytes) -> bytes:
        """Give the payloads in received data to the sink, and return what `receive` must handle.

        A part of a message is kept. Long messages are returned, because adding their parts one by
        one would take too long.
        """
        messages = self._messages
        messages.add(data)
        while not messages.is_empty:
            message = messages.take()
            if message is None:
                return messages.take_rest() if messages.missing_bytes > READ_BYTES else b""
            payload = self._chunk_payload(message)
            if payload is None or not sink(payload):
                return message + messages.take_rest()
        return b""


class MessageBuffer:
    """A buffer of received bytes, from which whole messages are taken."""

    def __init__(self) -> None:
        self.is_empty = True
        """True if all bytes were taken."""
        self._data = b""
        self._at = 0  # of the next message

    @property
    def missing_bytes(self) -> int:
        """Number of bytes that `take` needs to return a message, or to learn its length."""
        here = len(self._data) - self._at
        if here < _PRELUDE.size:
            return _PRELUDE.size - here
        length, _, _ = _PRELUDE.unpack_from(self._data, self._at)
        return max(0, length - here)

    def add(self, data: bytes) -> None:
        """Append received bytes.

        Args:
            data: The bytes.
        """
        self._data = data if self.is_empty else self._data[self._at :] + data
        self._at = 0
        self.is_empty = not self._data

    def take(self) -> bytes | None:
        """Remove the next message and return it; return None if it is not here as a whole.

        A prelude with a wrong checksum is returned alone. The decoder raises for it; its length is
        not believed, and not waited for.
        """
        data, at = self._data, self._at
        if len(data) - at < _PRELUDE.size:
            return None
        length, _, checksum = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + _CHECKED_BYTES]) != checksum:
            length = 0
        end = at + max(length, _PRELUDE.size)
        if end > len(data):
            return None
        self._at = end
        self.is_empty = end == len(data)
        return data[at:end]

    def take_rest(self) -> bytes:
        """Remove the bytes that are no whole message, and return them."""
        rest, self._data = self._data[self._at :], b""
        self._at = 0
        self.is_empty = True
        return rest


def _sent_error(headers: Mapping[str, object], payload: bytes) -> ServiceError:
    """Return the error of an exception frame or an error frame (protocol reference 1.7).

    An exception has its name in `:exception-type` and its text as JSON in the payload; an error has
    both in headers. When one of them is missing, the text that exists is kept.
    """
    code = headers.get(":exception-type") or headers.get(":error-code") or "exception"
    text = headers.get(":error-message") or ""
    try:
        document = json.loads(payload)
    except ValueError:
        document = None
    if isinstance(document, dict):
        found = cast(dict[str, object], document)
        text = found.get("message") or found.get("Message") or text
    if not isinstance(text, str) or not text:
        text = payload.decode("utf-8", "replace")
    return service_error(str(code), text)
