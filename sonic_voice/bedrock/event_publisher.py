"""The writer of signed events of one stream.

The SDK's own publisher passes an event through the serializers of its model, and signs it through
objects, dictionaries and a lock; together that takes most of the CPU time of a conversation's
network. Every event of this operation is a blob in the only member `chunk`, so that its form is
known: constant headers, and base64 in `{"bytes":"..."}` (protocol reference 1.4). `event_signing`
writes it in straight-line code.

tests/unit/test_bedrock_events.py compares the bytes with those of the SDK's own publisher.
"""

import logging
import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from smithy_aws_event_stream.aio import SigningConfig
from smithy_aws_event_stream.events import EventMessage

from .event_signing import CHUNK_HEADERS, EventSigner, signed_bytes

_log = logging.getLogger(__name__)


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


@runtime_checkable
class DirectWriter(Protocol):
    """A writer of the request's body that can also write without waiting."""

    def has_room(self, size: int) -> bool:
        """Return whether `write_now` may be called, before any other call.

        Args:
            size: Number of bytes to write.
        """
        ...

    def write_now(self, data: bytes) -> None:
        """Send `data` at once. To be called only if there is room for it.

        Args:
            data: The bytes.
        """
        ...


class Publisher:
    """A writer of signed events, for one task.

    The SDK's signer signs the first event of a stream, and `EventSigner` repeats it. If both have
    the same bytes, `EventSigner` signs all others. If they differ, the SDK is not as expected: the
    log says so once, and the SDK's signer goes on.

    Cancelling one of its methods breaks the chain of signatures, and with it the stream.

    Args:
        body: The body of the request.
        signing: The SDK's signer, with its properties and credentials.
        seed: The signature of the request; None to use the SDK's signer for all events.
    """

    def __init__(self, body: ByteWriter, signing: SigningConfig, seed: str | None = None) -> None:
        self._body = body
        self._direct = body if isinstance(body, DirectWriter) else None
        self._signing = signing
        self._seed = seed
        self._signer: EventSigner | None = None

    async def send(self, payload: bytes) -> None:
        """Sign and send one event.

        Args:
            payload: JSON of the event.

        Raises:
            SonicError: The stream has ended; the error comes from the body.
        """
        if self._signer is not None:
            await self._body.write(self._signer.sign(payload, time.time()))
            return
        message = EventMessage(
            headers=CHUNK_HEADERS, payload=b'{"bytes":"%b"}' % b64encode(payload)
        )
        arguments = await self._signing_arguments()
        signed = await self._signing.signer.sign(event=message, **arguments)
        data = signed.encode()
        if self._seed is not None:
            self._signer = _same_signer(self._seed, arguments, payload, signed, data)
            self._seed = None
        await self._body.write(data)

    def offer(self, payload: bytes) -> bool:
        """Sign and send one event without waiting, or do nothing.

        Args:
            payload: JSON of the event.

        Returns:
            Whether it was sent.
        """
        signer, direct = self._signer, self._direct
        if signer is None or direct is None or not direct.has_room(signed_bytes(len(payload))):
            return False  # before it is signed: what is signed must be sent
        direct.write_now(signer.sign(payload, time.time()))
        return True

    async def close(self) -> None:
        """Send the signed empty message that ends the input, and end the body."""
        try:
            await self._body.write(await self._last_message())
        finally:
            await self._body.close()

    async def _last_message(self) -> bytes:
        if self._signer is not None:
            return self._signer.sign_end(time.time())
        signer = self._signing.signer
        last = await signer.sign_empty(event=EventMessage(), **await self._signing_arguments())
        return last.encode()

    async def _signing_arguments(self) -> dict[str, Any]:
        signing = self._signing
        identity = await signing.identity_resolver.get_identity(
            properties=signing.identity_properties
        )
        return {"identity": identity, "properties": signing.signing_properties}


def _same_signer(
    seed: str, arguments: Mapping[str, Any], payload: bytes, signed: EventMessage, data: bytes
) -> EventSigner | None:
    """Return a signer that has signed the first event as the SDK did; None if it cannot.

    Args:
        seed: The signature of the request.
        arguments: Credentials and properties with which the SDK's signer has signed.
        payload: JSON of the event.
        signed: The message of the SDK's signer.
        data: The bytes of this message.
    """
    try:
        properties = arguments["properties"]
        signer = EventSigner(
            arguments["identity"].secret_access_key,
            properties["region"],
            properties["service"],
            seed,
        )
        date = signed.headers[":date"]
        if isinstance(date, datetime) and signer.sign(payload, date.timestamp()) == data:
            return signer
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        _log.debug("events cannot be signed without the SDK: %s", error)
    report_fallback("The AWS SDK signs events in another way than expected.")
    return None


_reported = set[str]()
"""Reasons for which the SDK's path is used that were reported already."""


def report_fallback(reason: str) -> None:
    """Log a reason for using the SDK's path, once for each process.

    Args:
        reason: What is not as expected, as a sentence.
    """
    if reason not in _reported:
        _reported.add(reason)
        _log.warning("%s Its own path is used, which takes more CPU time.", reason)
