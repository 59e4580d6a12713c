"""Text models behind the APIs that a reasoner may use: HTTP endpoints, and Bedrock's Converse.

    reasoner_model("openai:http://localhost:11434/v1#llama3.2")     Chat Completions
    reasoner_model("responses:https://api.openai.com/v1#gpt-5")     Responses
    reasoner_model("messages:https://api.anthropic.com/v1#claude-…") Messages
    reasoner_model("converse:us.amazon.nova-2-lite-v1:0")           Converse, through the AWS SDK

Keys of HTTP endpoints come from environment variables: `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, and
`AWS_BEARER_TOKEN_BEDROCK` for endpoints of AWS. Converse signs with the credentials of a
`BedrockTransport`.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ..chat.endpoint import (
    KEY_VARIABLE,
    ChatEndpoint,
    EndpointError,
    EndpointTimeouts,
    StreamingEndpoint,
    endpoint_address,
)
from ..chat.json_values import parse_object
from ..errors import ConfigError, ConnectionLost, NetworkError
from . import chat_completions, converse, messages, responses
from .requests import AnswerPart, AnswerReader, ModelApi, ModelRequest

if TYPE_CHECKING:
    from ..bedrock import BedrockTransport

MESSAGES_KEY_VARIABLE = "ANTHROPIC_API_KEY"
"""Environment variable that holds the key of an endpoint of the Messages API."""

TIMEOUTS = EndpointTimeouts(connect_s=5.0, first_s=20.0, next_s=10.0)
"""Timeouts of a request: nobody in a conversation waits longer for a word."""

FORMS = "converse:MODEL, openai:URL#MODEL, responses:URL#MODEL or messages:URL#MODEL"
"""The addresses of models, in words."""


class HttpModel:
    """A text model behind an HTTP endpoint. Implements `ModelApi`.

    Args:
        endpoint: The endpoint.
        model: Name of the model at the endpoint.
        body: Returns the body of a request to a model.
        reader: Makes the reader of an answer.
    """

    def __init__(
        self,
        endpoint: StreamingEndpoint,
        model: str,
        body: Callable[[ModelRequest, str], dict[str, Any]],
        reader: Callable[[], AnswerReader],
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._body = body
        self._reader = reader

    async def answer(self, request: ModelRequest) -> AsyncGenerator[AnswerPart]:
        """See `ModelApi`."""
        reader = self._reader()
        try:
            async with aclosing(self._endpoint.request(self._body(request, self._model))) as pieces:
                async for piece in pieces:
                    for part in reader.read(dict(parse_object(piece) or {})):
                        yield part
        except EndpointError as error:
            raise NetworkError(f"{error}.") from error
        if not reader.finished:
            raise ConnectionLost("The answer of the reasoner broke off.", reason="cut")

    async def aclose(self) -> None:
        """See `ModelApi`. Every request has its own connection, so there is nothing to close."""


class ConverseModel:
    """A text model of Bedrock behind `ConverseStream`. Implements `ModelApi`.

    Args:
        transport: Has the region, the credentials and the settings of the network. It is closed
            with the model.
        model: Id of the model, or of an inference profile.
    """

    def __init__(self, transport: "BedrockTransport", model: str) -> None:
        self._transport = transport
        self._model = model

    async def answer(self, request: ModelRequest) -> AsyncGenerator[AnswerPart]:
        """See `ModelApi`. Ending it closes the request, which cancelling its reader would not."""
        from ..bedrock.converse_stream import converse_stream

        reader = converse.ConverseReader()
        document = converse.request_document(request)
        async with aclosing(converse_stream(self._transport, self._model, document)) as events:
            async for event in events:
                for part in reader.read(event):
                    yield part
        if not reader.finished:
            raise ConnectionLost("The answer of the reasoner broke off.", reason="cut")

    async def aclose(self) -> None:
        """See `ModelApi`. The transport is closed."""
        await self._transport.aclose()


def reasoner_model(
    address: str,
    *,
    transport: "Callable[[], BedrockTransport] | None" = None,
    timeouts: EndpointTimeouts = TIMEOUTS,
) -> ModelApi:
    """Return the model of an address, without using the network.

    Args:
        address: One of `FORMS`.
        transport: Makes the transport of Converse, which is closed with the model; None for one of
            the region and the credentials of the environment.
        timeouts: Timeouts of a request to an HTTP endpoint.

    Raises:
        ConfigError: `address` is malformed, names no model, or holds a user or a password.
    """
    kind, _, rest = address.partition(":")
    match kind:
        case "openai":
            found = endpoint_address(address, kind, chat_completions.PATH, KEY_VARIABLE)
            return HttpModel(
                ChatEndpoint(found.url, key=found.key, timeouts=timeouts),
                found.model,
                chat_completions.request_body,
                chat_completions.ChatCompletionsReader,
            )
        case "responses":
            found = endpoint_address(address, kind, responses.PATH, KEY_VARIABLE)
            return HttpModel(
                StreamingEndpoint(
                    found.url,
                    headers=found.bearer,
                    secret=found.key,
                    read_error=responses.read_error,
                    timeouts=timeouts,
                ),
                found.model,
                responses.request_body,
                responses.ResponsesReader,
            )
        case "messages":
            found = endpoint_address(address, kind, messages.PATH, MESSAGES_KEY_VARIABLE)
            keys = {"x-api-key": found.key} if found.key and not found.of_aws else found.bearer
            return HttpModel(
                StreamingEndpoint(
                    found.url,
                    headers={"anthropic-version": messages.VERSION} | keys,
                    secret=found.key,
                    read_error=messages.read_error,
                    timeouts=timeouts,
                ),
                found.model,
                messages.request_body,
                messages.MessagesReader,
            )
        case "converse" if rest.strip():
            return ConverseModel((transport or _default_transport)(), rest.strip())
        case _:
            raise ConfigError(f"{address!r} is no reasoner.", hint=f"Write {FORMS}.")


def _default_transport() -> "BedrockTransport":
    from ..bedrock import BedrockTransport

    return BedrockTransport()
