"""Events to and from the service, by the SDK's signer and codec, on a shorter way.

The SDK's own publisher and receiver take an event through the serializers of its model, and read
an answer in four pieces; that is a third of the CPU time of a conversation's network. Every event
of this operation is a blob in the one member `chunk`, so what it looks like is known: headers that
never change, and base64 in `{"bytes":"..."}` (protocol reference 1.4).

What is the SDK's own stays its own: SigV4 with its chain of signatures, messages with their
checksums, and members of its model other than chunks. tests/unit/test_bedrock_events.py compares
the bytes with those of the SDK's own publisher. Exceptions are read here: the SDK loses the text of
those that its model does not know, such as `expiredTokenException`.
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
_PRELUDE = Struct("!III")  # lengths of the message and of its headers, checksum of both
_CHECKED_BYTES = 8


class ByteWriter(Protocol):
    """Where a request's bytes go."""

    async def write(self, data: bytes) -> None:
        """Raises once the request is over."""
        ...

    async def close(self) -> None:
        """Nothing more will be written."""
        ...


class ByteReader(Protocol):
    """Where a response's bytes come from."""

    async def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        ...


class Publisher:
    """Signs payloads and writes them to `body`. One task sends; cancelled, it breaks the chain."""

    def __init__(self, body: ByteWriter, signing: SigningConfig) -> None:
        self._body = body
        self._signing = signing

    async def send(self, payload: bytes) -> None:
        """One event. Raises what the body raises."""
        message = EventMessage(headers=_CHUNK, payload=b'{"bytes":"%b"}' % b64encode(payload))
        signed = await self._signing.signer.sign(event=message, **await self._signing_arguments())
        await self._body.write(signed.encode())

    async def close(self) -> None:
        """The signed empty message that ends the input, and the end of the body."""
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
    """Reads payloads from `source`; the SDK's own receiver judges events that are no chunk."""

    def __init__(self, source: ByteReader, codec: Codec, deserializer: Callable[..., Any]) -> None:
        self._source = source
        self._codec = codec
        self._deserializer = deserializer

    async def receive(self) -> bytes | None:
        """The next payload, None at the end. Cancelling it may lose a part of one.

        Raises `ServiceError` for what the service sent as an exception, modelled or not, the
        SDK's `EventError` for what is no message, and what the source raises.
        """
        while message := await self._message():
            event = Event.decode(BytesIO(message))
            assert event is not None
            if event.message.headers.get(":event-type") == "chunk":
                return b64decode(json.loads(event.message.payload).get("bytes") or b"")
            if event.message.headers.get(":message-type") in {"exception", "error"}:
                raise _sent_error(event.message.headers, event.message.payload)
            sdk = AWSEventReceiver[Any](self._codec, AsyncBytesReader(message), self._deserializer)
            await sdk.receive()  # judges it, and passes over members that it does not know
        return None

    async def _message(self) -> bytes:
        prelude = await self._source.read(_PRELUDE.size)
        if len(prelude) < _PRELUDE.size:
            return prelude
        length_bytes, _, checksum = _PRELUDE.unpack(prelude)
        if crc32(prelude[:_CHECKED_BYTES]) != checksum:
            return prelude  # the decoder says so; a length that is wrong is not waited for
        return prelude + await self._source.read(length_bytes - _PRELUDE.size)


def _sent_error(headers: Mapping[str, object], payload: bytes) -> ServiceError:
    """Return the error of an exception frame or an error frame (protocol reference 1.7).

    An exception has its name in `:exception-type` and its text as JSON in the payload, an error
    both in headers. Whatever is missing, the text that there is stays.
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
    """What the SDK makes of the two: its `DuplexEventStream`."""

    input_stream: Publisher

    async def await_output(self) -> tuple[Any, Receiver]:
        """Wait for the response's headers; raises what came instead."""
        ...


class EventProtocol(RestJsonClientProtocol):
    """The SDK's protocol of the service, with a `Publisher` and a `Receiver` in their places."""

    def create_event_publisher(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        request: Any,
        context: Any,
        auth_scheme: AuthScheme[Any, Any, Any, Any] | None = None,
        **_: object,
    ) -> Publisher:
        """The SDK's hook."""
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
        """The SDK's hook."""
        return Receiver(response.body, self.payload_codec, event_deserializer)
