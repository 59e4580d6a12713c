"""The SDK's protocol of the service, with our own writer and reader of events.

The SDK does the rest: it signs the request, finds the endpoint, and knows the model of the
operation. `event_publisher` writes events, `event_receiver` reads them.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol

from aws_sdk_bedrock_runtime.models import CONVERSE_STREAM
from smithy_aws_core.aio.protocols import RestJsonClientProtocol
from smithy_aws_event_stream.aio import SigningConfig
from smithy_core.aio.interfaces.auth import AuthScheme

from .event_publisher import ByteWriter, Publisher, report_fallback
from .event_receiver import Receiver

__all__ = ["ByteWriter", "DuplexStream", "EventPath", "EventProtocol", "Publisher", "Receiver"]

type EventPath = Literal["fast", "sdk"]
"""Name of the way of events: `fast` signs and frames them here, `sdk` with the SDK's objects."""


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

    path: ClassVar[EventPath] = "fast"
    """The way of events."""

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
        return Publisher(request.body, signing, _seed(request) if self.path == "fast" else None)

    def create_event_receiver(
        self, *, response: Any, event_deserializer: Callable[..., Any], **others: Any
    ) -> Any:
        """Create the reader of events. Called by the SDK.

        Args:
            response: The HTTP response, of which the headers have arrived.
            event_deserializer: The SDK's deserializer of events.
            others: Further arguments of the SDK, with the operation. Another operation than that of
                a voice stream has events of its own, which the SDK reads.
        """
        if others.get("operation") is CONVERSE_STREAM:
            return super().create_event_receiver(
                response=response, event_deserializer=event_deserializer, **others
            )
        fast = self.path == "fast"
        return Receiver(response.body, self.payload_codec, event_deserializer, fast=fast)


class SdkEventProtocol(EventProtocol):
    """The same protocol with the SDK's signer and codec for each event, for comparison."""

    path = "sdk"


def _seed(request: Any) -> str | None:
    """Return the signature of a signed request, which begins the chain; None if there is none."""
    entry = request.fields.entries.get("authorization")
    _, _, signature = (entry.as_string() if entry is not None else "").rpartition("Signature=")
    if not signature:
        report_fallback("The AWS SDK signs requests in another way than expected.")
    return signature or None
