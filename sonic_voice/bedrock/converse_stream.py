"""`ConverseStream`: the streamed answer of a text model of Bedrock, with a transport's settings.

    async with aclosing(converse_stream(transport, model, document)) as events:
        async for event in events: ...

The document and the events are those of the REST API, as JSON values. Cancelling the task that
reads the SDK's answer does not end the request: the SDK keeps its connection. Here each request has
an HTTP client of its own, which is aborted when the generator ends, so that the model stops.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import ConverseStreamInput
from smithy_aws_core.identity import StaticCredentialsResolver

from ..errors import ConnectionLost
from .sdk_errors import sonic_error
from .stream_client import StreamClient
from .transport import BedrockTransport

_EVENT = "ConverseStreamOutput"
"""Beginning of the SDK's names of the events."""


async def converse_stream(
    transport: BedrockTransport, model: str, document: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any]]:
    """Yield the events of an answer, each as `{name: body}`.

    Args:
        transport: Has the region, the credentials and the settings of the network.
        model: Id of the model, or of an inference profile.
        document: The request, without the id of the model.

    Raises:
        ConfigError: A setting of the transport cannot be used.
        CredentialsError: There are no valid credentials.
        SonicError: The request was refused, or the answer broke off.
    """
    setup = await transport.shared_setup()
    identity = await setup.account.identity()
    client = StreamClient(setup.new_engine())

    def plugin(config: AsyncBedrockRuntimeConfig) -> None:
        config.transport = client
        config.aws_credentials_identity_resolver = StaticCredentialsResolver(identity)

    codec: Any = cast(Any, setup.account.config.protocol).payload_codec
    try:
        request = codec.deserialize(json.dumps(document).encode(), ConverseStreamInput)
        request.model_id = model
        output = await setup.sdk_client.converse_stream(request, plugins=[plugin])
        events: Any = output.output_stream
        while (event := await events.receive()) is not None:
            value = _value(event)
            if value is not None:
                yield {_name(event): json.loads(codec.serialize(value))}
    except Exception as error:
        translated = sonic_error(error)
        raise translated from translated.__cause__
    finally:
        client.abort(ConnectionLost("The request was closed.", reason="ended"))
        await client.close()


def _value(event: object) -> Any:
    """Return the body of an event, None for an unknown one, or raise it if it is an exception."""
    value = getattr(event, "value", None)
    if isinstance(value, Exception):
        raise value
    return value


def _name(event: object) -> str:
    """Return the name of an event in the API: `contentBlockDelta`."""
    name = type(event).__name__.removeprefix(_EVENT)
    return name[:1].lower() + name[1:]
