"""A publisher and a receiver of events, with the SDK's signer and codec but less work per event.

The SDK's own publisher and receiver pass an event through the serializers of its model, and read a
message in four pieces; that takes a third of the CPU time of a conversation's network. Every event
of this operation is a blob in the only member `chunk`, so that its form is known: constant headers,
and base64 in `{"bytes":"..."}` (protocol reference 1.4).

The SDK still does the rest: SigV4 with its chain of signatures, messages with their checksums, and
members of its model other than chunks. tests/unit/test_bedrock_events.py compares the bytes with
those of the SDK's own publisher. Exceptions are parsed here, because the SDK loses the text of
exceptions that its model does not contain, such as `expiredTokenException`.
"""

import json
from base64 import b64decode, b64encode
from binascii import crc32
from collections.abc import Callable, Mapping
from io import BytesIO
from struct import Struct
from typing import Any, Protocol, cast

from smithy_aws_core.aio.protocols import RestJsonClientProtocol
from smithy_aws_event_stream.aio import AWSEventReceiver, SigningConfig
from smithy_aws_event_stream.events import Event, EventMessage
from smithy_core.aio.interfaces.auth import AuthScheme
from smithy_core.aio.types import AsyncBytesReader
from smithy_core.codecs import Codec

from ..errors import ServiceError, service_error

_CHUNK = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}
"""Headers of every event to the service."""

_PRELUDE = Struct("!III")
"""Prelude of a message: its length, the length of its headers, and the checksum of both."""

_CHECKED_BYTES = 8
"""Number of bytes of the prelude that its checksum covers."""


class ByteWriter(Protocol):
    """A writer of the request's body."""

    async def write(self, data: bytes) -> None:
        """Send `data` and return when it was accepted.

        Args:
            data: Any number of bytes.

        Raises:
            Exception: The request is over.
        """
        ...

    async def close(self) -> None:
        """End the body."""
        ...


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


class Publisher:
    """A writer of signed events, for one task.

    Cancelling one of its methods breaks the chain of signatures, and with it the stream.

    Args:
        body: The body of the request.
        signing: The SDK's signer, with its properties and credentials.
    """

    def __init__(self, body: ByteWriter, signing: SigningConfig) -> None:
        self._body = body
        self._signing = signing

    async def send(self, payload: bytes) -> None:
        """Sign and send one event.

        Args:
            payload: JSON of the event.

        Raises:
            SonicError: The stream has ended; the error comes from the body.
        """
        message = EventMessage(headers=_CHUNK, payload=b'{"bytes":"%b"}' % b64encode(payload))
        signed = await self._signing.signer.sign(event=message, **await self._signing_arguments())
        await self._body.write(signed.encode())

    async def close(self) -> None:
        """Send the signed empty message that ends the input, and end the body."""
        try:
            signer = self._signing.signer
            last = await signer.sign_empty(event=EventMessage(), **await self._signing_arguments())
            await self._body.write(last.encode())
        finally:
            await self._body.close()

    async def _signing_arguments(self) -> dict[str, Any]:
        signing = self._signing
        identity = await signing.identity_resolver.get_identity(
            properties=signing.identity_properties
        )
        return {"identity": identity, "properties": signing.signing_properties}


class Receiver:
    """A reader of events. The SDK's own receiver handles all events other than chunks.

    Args:
        source: The body of the response.
        codec: The SDK's codec, for its receiver.
        deserializer: The SDK's deserializer of events, for its receiver.
    """

    def __init__(self, source: ByteReader, codec: Codec, deserializer: Callable[..., Any]) -> None:
        self._source = source
        self._codec = codec
        self._deserializer = deserializer

    async def receive(self) -> bytes | None:
        """Wait for the next event and return its payload; return None at the end of the stream.

        Cancelling this may lose a part of an event.

        Raises:
            ServiceError: The service sent an exception, which the SDK's model may not contain.
            EventError: The data is not a valid message (an error of the SDK).
            SonicError: The source failed.
        """
        while message := await self._message():
            event = Event.decode(BytesIO(message))
            assert event is not None
            if event.message.headers.get(":event-type") == "chunk":
                return b64decode(json.loads(event.message.payload).get("bytes") or b"")
            if event.message.headers.get(":message-type") in {"exception", "error"}:
                raise _sent_error(event.message.headers, event.message.payload)
            sdk = AWSEventReceiver[Any](self._codec, AsyncBytesReader(message), self._deserializer)
            await sdk.receive()  # raises for an invalid event, and skips unknown members
        return None

    async def _message(self) -> bytes:
        prelude = await self._source.read(_PRELUDE.size)
        if len(prelude) < _PRELUDE.size:
            return prelude
        length_bytes, _, checksum = _PRELUDE.unpack(prelude)
        if crc32(prelude[:_CHECKED_BYTES]) != checksum:
            return prelude  # the decoder raises for it; a wrong length is not waited for
        return prelude + await self._source.read(length_bytes - _PRELUDE.size)


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


class DuplexStream(Protocol):
    """The SDK's `DuplexEventStream` with a `Publisher` and a `Receiver`."""

    input_stream: Publisher
    """Writer of events to the service."""

    async def await_output(self) -> tuple[Any, Receiver]:
        """Wait for the response's headers, and return the response and its reader.

        Raises:
            Exception: The request failed.
        """
        ...


class EventProtocol(RestJsonClientProtocol):
    """The SDK's protocol of the service, with the `Publisher` and `Receiver` of this module."""

    def create_event_publisher(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        request: Any,
        context: Any,
        auth_scheme: AuthScheme[Any, Any, Any, Any] | None = None,
        **_: object,
    ) -> Publisher:
        """Create the writer of events. Called by the SDK.

        Args:
            request: The signed HTTP request.
            context: Properties of the operation.
            auth_scheme: The scheme that signed the request.
        """
        assert auth_scheme is not None
        signer = auth_scheme.event_signer(request=request)
        assert signer is not None
        signing = SigningConfig(
            signer=signer,
            signing_properties=auth_scheme.signer_properties(context=context),
            identity_resolver=auth_scheme.identity_resolver(context=context),
            identity_properties=auth_scheme.identity_properties(context=context),
        )
        return Publisher(request.body, signing)

    def create_event_receiver(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, response: Any, event_deserializer: Callable[..., Any], **_: object
    ) -> Receiver:
        """Create the reader of events. Called by the SDK.

        Args:
            response: The HTTP response, of which the headers have arrived.
            event_deserializer: The SDK's deserializer of events.
        """
        return Receiver(response.body, self.payload_codec, event_deserializer)
