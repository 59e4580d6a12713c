"""The service's operations beside the voice stream, with the settings of a `BedrockTransport`.

    async with BedrockOperations(BedrockTransport(region="us-east-1")) as operations:  # prepares
        answer = await operations.call("converse", {"modelId": ..., "messages": [...]}, timeout_s=5)
        answer = await operations.invoke_model("amazon.titan-embed-text-v2:0", {"inputText": "..."},
                                               timeout_s=5)

Requests and answers are the documents of the REST API, as JSON values. The SDK's service model
checks a request before anything is sent. Connections are kept and used again, as a guard or an
embedding must not wait for a TLS handshake each time; through a proxy each request has its own.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from aws_sdk_bedrock_runtime import models
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from smithy_aws_core.identity import StaticCredentialsResolver
from smithy_http.aio.interfaces import HTTPRequest, HTTPResponse
from smithy_http.interfaces import HTTPRequestConfiguration

from ..errors import ConfigError, ConnectError, ConnectionLost, DeadlineError, SonicError
from ..http2.tls import tls_context
from .sdk_errors import sonic_error
from .stream_client import StreamClient
from .transport import BedrockTransport, SharedSetup

if TYPE_CHECKING:
    from smithy_http.aio.aiohttp import AIOHTTPClient

OperationName = Literal[
    "apply_guardrail",
    "converse",
    "get_async_invoke",
    "invoke_guardrail_checks",
    "start_async_invoke",
]
"""Name of an operation whose request and answer are JSON documents, as in the SDK."""

_INPUTS: dict[OperationName, type[Any]] = {
    "apply_guardrail": models.ApplyGuardrailInput,
    "converse": models.ConverseInput,
    "get_async_invoke": models.GetAsyncInvokeInput,
    "invoke_guardrail_checks": models.InvokeGuardrailChecksInput,
    "start_async_invoke": models.StartAsyncInvokeInput,
}
"""Structures of the requests in the SDK's service model."""

type _Operation = Callable[..., Awaitable[Any]]


class BedrockOperations:
    """A client of the operations. It closes the transport that it was given.

    Args:
        transport: Has the region, the credentials and the settings of the network.
    """

    def __init__(self, transport: BedrockTransport) -> None:
        self._transport = transport
        self._http: AIOHTTPClient | None = None

    async def call(
        self, operation: OperationName, document: Mapping[str, Any], *, timeout_s: float
    ) -> dict[str, Any]:
        """Send a request, and return the document of the answer.

        Args:
            operation: Name of the operation.
            document: The request, with the members that become a part of its path.
            timeout_s: Maximum time for the request and its answer, in seconds.

        Raises:
            ConfigError: The document is not a request of this operation, or a setting of the
                transport cannot be used.
            CredentialsError: There are no valid credentials.
            DeadlineError: There was no answer in time.
            SonicError: The request was refused, or the service cannot be reached.
        """
        setup = await self._transport.shared_setup()
        codec: Any = cast(Any, setup.account.config.protocol).payload_codec
        try:
            request = codec.deserialize(json.dumps(document).encode(), _INPUTS[operation])
        except Exception as error:
            raise ConfigError(f"This is no request for {operation}: {error}") from error
        answer = await self._send(setup, getattr(setup.sdk_client, operation), request, timeout_s)
        return cast(dict[str, Any], json.loads(codec.serialize(answer)))

    async def invoke_model(
        self, model: str, body: Mapping[str, Any], *, timeout_s: float
    ) -> dict[str, Any]:
        """Invoke a model that answers with one JSON document.

        Args:
            model: Id of the model, or of an inference profile.
            body: The request in the model's own form.
            timeout_s: Maximum time for the request and its answer, in seconds.

        Raises:
            SonicError: See `call`.
        """
        setup = await self._transport.shared_setup()
        request = models.InvokeModelInput(
            body=json.dumps(body).encode(),
            content_type="application/json",
            accept="application/json",
            model_id=model,
        )
        answer = await self._send(setup, setup.sdk_client.invoke_model, request, timeout_s)
        try:
            document = json.loads(answer.body)
        except ValueError as error:
            raise ConnectionLost(
                f"The answer of {model} is not JSON.", reason="cut", hint="Ask again."
            ) from error
        return cast(dict[str, Any], document) if isinstance(document, dict) else {}

    async def prepare(self) -> None:
        """Do what takes the processor a quarter of a second: read settings and certificates.

        It belongs before a conversation, whose sound would wait for it. Entering the client does
        it.

        Raises:
            ConfigError: A setting of the transport cannot be used.
            CredentialsError: There are no valid credentials.
        """
        setup = await self._transport.shared_setup()
        await setup.account.identity()
        if setup.route.proxy is None:
            self._pooled(setup)

    async def aclose(self) -> None:
        """Close the connections and the transport. May be called again."""
        if self._http is not None:
            await self._http.close()
            self._http = None
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self.prepare()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _send(
        self, setup: SharedSetup, operation: _Operation, request: Any, timeout_s: float
    ) -> Any:
        identity = await setup.account.identity()
        pooled = setup.route.proxy is None
        client = StreamClient(self._pooled(setup) if pooled else setup.new_engine())

        def plugin(config: AsyncBedrockRuntimeConfig) -> None:
            config.transport = client
            config.aws_credentials_identity_resolver = StaticCredentialsResolver(identity)

        try:
            async with asyncio.timeout(timeout_s):
                return await operation(request, plugins=[plugin])
        except TimeoutError as error:
            raise DeadlineError(
                f"{setup.route.endpoint.url} did not answer within {timeout_s:g} s.",
                waited_s=timeout_s,
            ) from error
        except Exception as error:
            translated = sonic_error(error)
            raise translated from translated.__cause__
        finally:
            client.abort(ConnectionLost("The request is over.", reason="ended"))
            await client.close()

    def _pooled(self, setup: SharedSetup) -> "_PooledEngine":
        """Return an engine over the client that keeps connections."""
        if self._http is None:
            import aiohttp  # importing it takes 0.2 s
            from smithy_http.aio.aiohttp import AIOHTTPClient

            tls: SSLContext | bool = False
            if setup.route.endpoint.url.startswith("https:"):
                tls = tls_context(self._transport.ca_file)
                tls.set_alpn_protocols(["http/1.1"])
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
            self._http = AIOHTTPClient(_session=session)
        return _PooledEngine(self._http)


class _PooledEngine:
    """An `HttpEngine` for one request over connections that are kept.

    Args:
        http: The client that keeps them.
    """

    error: SonicError | None = None
    """None: a request ends with its call."""

    def __init__(self, http: "AIOHTTPClient") -> None:
        self._http = http

    async def send(
        self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None
    ) -> HTTPResponse:
        """Send a request and return its response. See `HttpEngine`."""
        import aiohttp

        try:
            return await self._http.send(request, request_config=request_config)
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectError(
                f"The service cannot be reached: {str(error) or type(error).__name__}.",
                hint="Check the endpoint and the network.",
            ) from error

    def new_body(self) -> None:
        """Return None: the SDK's body is used."""

    def abort(self, error: SonicError) -> None:
        """Do nothing: cancelling the call ends the request.

        Args:
            error: Ignored.
        """

    async def close(self) -> None:
        """Do nothing: the connection is kept."""
