"""The transport to Amazon Bedrock over the AWS SDK.

The SDK knows the operation, signs and frames, though not through its own publisher and receiver
(`events`); the bytes go over `http2`, or over the SDK's CRT client with `engine="crt"`. What it
leaves to us:

- *Credentials first* (`account`): a request that fails before it is sent leaves the SDK
  waiting for ever. A stream signs with what was found at its opening.
- *One HTTP client per stream*, put in place by a plugin of the call. A stream can then be aborted
  and closed without its neighbours.
- *Honest ends.* Whatever the SDK raises becomes one of ours (`sdk_errors`), and a `send` that
  waits, or comes later, raises what ended the stream. Every task the SDK starts for a stream is
  seen to its end.

Source: protocol reference 1.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, get_args

from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOperationInput
from smithy_aws_core.identity import AWSCredentialsIdentity, StaticCredentialsResolver
from smithy_core.interceptors import Interceptor, OutputContext, RequestContext
from smithy_http.aio.interfaces import HTTPRequest, HTTPResponse
from smithy_http.interfaces import HTTPRequestConfiguration

from ..catalog import check_offered
from ..errors import ConfigError, ConnectionLost, CredentialsError, DeadlineError, SonicError
from ..extras import install_command
from ..http2.client import Http2Client
from ..http2.dialing import CONNECT_TIMEOUT_S
from ..http2.proxies import Proxy, ProxySettings
from ..http2.tls import proxy_tls_context, tls_context
from .account import CREDENTIALS_TIMEOUT_S, Account, check_endpoint
from .endpoint import Route, resolve_endpoint, route_to
from .events import ByteWriter, DuplexStream, Receiver
from .sdk_errors import refusal, sonic_error

EngineName = Literal["http2", "crt"]

_REFUSAL_S = 5.0
"""How long the body of an HTTP error may take; it comes with its headers or not at all."""

_FIRST_ERROR_STATUS = 400


class HttpEngine(Protocol):
    """One stream's HTTP client: `http2.Http2Client` or `crt.CrtClient`."""

    @property
    def error(self) -> SonicError | None:
        """What ended the stream, if it did not end well."""
        ...

    async def send(
        self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None
    ) -> HTTPResponse:
        """The SDK's interface of an HTTP client."""
        ...

    def new_body(self) -> ByteWriter | None:
        """What the request's body is to be in place of the SDK's, if there is something better."""
        ...

    def abort(self, error: SonicError) -> None:
        """End everything at once; whoever waits gets `error`."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class BedrockTransport:
    """Opens streams to models on Amazon Bedrock; see `transport.Transport`.

    `region`, `profile` and `endpoint` default to what the environment and the shared AWS files
    say; without keys, credentials come from every source that the AWS CLI supports. `ca_file`: a
    PEM file with the CAs to trust, instead of `AWS_CA_BUNDLE`, `SSL_CERT_FILE` or the system's.
    `proxy`: the URL of a proxy for every
    endpoint, empty for none at all; None: what `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    `engine="crt"` needs the extra `crt`.
    Raises `ConfigError` for what can be seen to be wrong at once.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        profile: str | None = None,
        endpoint: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        proxy: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        engine: EngineName = "http2",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        credentials_timeout_s: float = CREDENTIALS_TIMEOUT_S,
    ) -> None:
        if engine not in get_args(EngineName):
            raise ConfigError(f"There is no engine {engine!r}.", hint="http2 or crt.")
        if endpoint is not None:
            check_endpoint(endpoint)
        self._settings: dict[str, str | None] = {
            "region": region,
            "profile": profile,
            "endpoint": endpoint,
        }
        self._keys = _static_credentials(access_key, secret_key, session_token)
        self._ca_file = os.fspath(ca_file) if ca_file is not None else None
        self._proxies = ProxySettings.read(proxy)
        self._engine: EngineName = engine
        self._connect_timeout_s = connect_timeout_s
        self._credentials_timeout_s = credentials_timeout_s
        self._setting_up = asyncio.Lock()
        self._setup: _SharedSetup | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"BedrockTransport({self._settings}, engine={self._engine!r})"

    async def open(self, model: str) -> "BedrockStream":
        """A new stream to `model`; it connects while the caller already sends.

        Raises `ConfigError` and `CredentialsError`, before any contact with the service. Errors
        of the network come from the stream. Cancelled, it leaves nothing behind.
        """
        setup = await self._ready()
        check_offered(model, setup.account.config.region)
        identity = await setup.account.identity()
        client = _StreamClient(setup.new_engine())
        invoking = asyncio.create_task(_invoke(setup.client, model, client, identity))
        try:
            await asyncio.wait({invoking, client.unsent_error}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # It has nothing to wait for but itself; half-made, it could not be cleaned up.
            await asyncio.wait({invoking, client.unsent_error}, return_when=asyncio.FIRST_COMPLETED)
            await _abandon(invoking, client)
            raise
        if not invoking.done():
            await _abandon(invoking, client)
            raise sonic_error(client.unsent_error.result())
        try:
            duplex = invoking.result()
        except Exception as error:
            await client.close()
            meant = sonic_error(error)
            raise meant from meant.__cause__
        return BedrockStream(duplex, client)

    async def check_region(self, model: str) -> None:
        """Raise `ConfigError` if no region is set, or the region does not offer `model`.

        Reads the environment and the shared AWS files and touches no network. `open` checks the
        same; a server that waits for its first conversation finds it at its start with this.
        """
        check_offered(model, (await self._ready()).account.config.region)

    async def authenticate(self) -> None:
        """Look up credentials ahead of the first stream, which then finds them at hand.

        Useful where a person may have to type an MFA code, which takes longer than a session waits
        for its opening. Raises what `open` raises.
        """
        await (await self._ready()).account.identity()

    async def route(self) -> Route:
        """Return the way that streams go. Touches no network.

        Raises:
            ConfigError: the settings of AWS or of the proxy cannot be used.
        """
        return (await self._ready()).route

    async def aclose(self) -> None:
        """Close what the streams share. The streams themselves are their owners'."""
        self._closed = True
        if self._setup is not None:
            await self._setup.client.close()
            await self._setup.account.aclose()

    async def _ready(self) -> "_SharedSetup":
        if self._closed:
            raise ConfigError("This transport has been closed.", hint="Make a new one.")
        async with self._setting_up:
            if self._setup is None:
                account = await Account.resolve(
                    **self._settings, keys=self._keys, timeout_s=self._credentials_timeout_s
                )
                try:
                    endpoint = await resolve_endpoint(account.config)
                    if endpoint.variants:
                        account.config.endpoint_uri = endpoint.url
                    route = route_to(endpoint, self._proxies)
                    new_engine = _engine_factory(
                        self._engine, self._ca_file, self._connect_timeout_s, route.proxy
                    )
                except BaseException:
                    await account.aclose()
                    raise
                client = AsyncBedrockRuntimeClient(account.config)
                self._setup = _SharedSetup(account, client, new_engine, route)
            return self._setup


@dataclass(frozen=True, slots=True)
class _SharedSetup:
    """What the streams of one transport share."""

    account: Account
    client: AsyncBedrockRuntimeClient
    new_engine: Callable[[], HttpEngine]
    route: Route


def _engine_factory(
    name: EngineName, ca_file: str | None, timeout_s: float, proxy: Proxy | None
) -> Callable[[], HttpEngine]:
    """What makes the HTTP client of each stream; what they share is made here, once."""
    tls = tls_context(ca_file)
    secure = proxy is not None and proxy.scheme == "https"
    proxy_tls = proxy_tls_context(ca_file) if secure else None
    if name == "http2":
        return lambda: Http2Client(
            tls=tls, proxy=proxy, proxy_tls=proxy_tls, connect_timeout_s=timeout_s
        )
    try:
        from .crt import CrtClient, CrtShared
    except ImportError as error:
        raise ConfigError(
            "The engine crt needs the package awscrt.", hint=f"Run: {install_command('crt')}"
        ) from error
    shared = CrtShared(tls, proxy, proxy_tls)
    return lambda: CrtClient(shared, connect_timeout_s=timeout_s)


def _static_credentials(
    access: str | None, secret: str | None, token: str | None
) -> AWSCredentialsIdentity | None:
    if access is None and secret is None and token is None:
        return None
    if not access or not secret:
        raise CredentialsError("An access key and a secret key are given together or not at all.")
    return AWSCredentialsIdentity(
        access_key_id=access, secret_access_key=secret, session_token=token
    )


class BedrockStream:
    """One stream to a model; see `transport.Stream` for the contract."""

    def __init__(self, duplex: DuplexStream, client: "_StreamClient") -> None:
        self._input = duplex.input_stream
        self._client = client
        self._opening = asyncio.create_task(duplex.await_output(), name="bedrock opening")
        self._output: Receiver | None = None
        self._error: SonicError | None = None
        self._input_ended = False
        self._ended = False

    async def send(self, payload: bytes) -> None:
        """See `Stream`."""
        if self._error is not None:
            raise self._error
        if self._input_ended:
            raise ConnectionLost("The input has ended; nothing can be sent.", reason="ended")
        try:
            await self._input.send(payload)
        except Exception as error:
            why = await self._end_error(error)
            raise why from why.__cause__

    async def accepted(self) -> None:
        """See `Stream`."""
        try:
            # Shielded: a caller's deadline ends the waiting, not the opening.
            _, self._output = await asyncio.shield(self._opening)
        except Exception as error:
            self._error = self._error or sonic_error(error)
            raise self._error from self._error.__cause__

    async def receive(self) -> bytes | None:
        """See `Stream`."""
        if self._output is None:
            await self.accepted()
        assert self._output is not None
        try:
            if not self._ended and (payload := await self._output.receive()) is not None:
                return payload
            self._ended = True
        except Exception as error:
            self._error = self._error or sonic_error(error)
            raise self._error from self._error.__cause__
        if self._error is not None:
            raise self._error
        return None

    async def end_input(self) -> None:
        """See `Stream`. Quiet when the service has ended its side already."""
        if self._input_ended or self._ended or self._error is not None:
            return
        self._input_ended = True
        try:
            await self._input.close()
        except Exception as error:
            why = await self._end_error(error)
            if not (isinstance(why, ConnectionLost) and why.reason == "ended"):
                raise why from why.__cause__

    def abort(self, error: SonicError) -> None:
        """See `Stream`."""
        self._error = error
        self._client.abort(error)

    async def aclose(self) -> None:
        """See `Stream`."""
        if not self._ended and self._error is None:
            self.abort(ConnectionLost("The stream was closed.", reason="ended"))
        await self._client.close()
        # The SDK's tasks end with the client; their errors have been told, or nobody wants them.
        await asyncio.wait({self._opening})
        if not self._opening.cancelled():
            self._opening.exception()

    async def _end_error(self, error: Exception) -> SonicError:
        """What ended the stream, when all a sender sees is that its pipe is closed."""
        if self._error is None and not self._opening.done():
            # Refused, or never connected: the words for it are on their way.
            await asyncio.wait({self._opening}, timeout=_REFUSAL_S)
        if self._error is None and self._opening.done() and not self._opening.cancelled():
            failed = self._opening.exception()
            if failed is not None:
                self._error = sonic_error(failed)
        if self._error is not None:
            return self._error
        if self._client.error is not None:
            return self._client.error
        return ConnectionLost("The service has ended the stream.", reason="ended")


class _StreamClient:
    """The SDK's transport for one stream: an engine, and what the SDK would forget.

    Reads the body of a refusal, which the SDK understands in a few cases only, and holds the
    failure of a request that was never sent, which the SDK does not tell.
    """

    SUPPORTS_DUPLEX_STREAMING: Literal[True] = True
    TIMEOUT_EXCEPTIONS: tuple[type[Exception], ...] = (DeadlineError,)

    def __init__(self, engine: HttpEngine) -> None:
        self._engine = engine
        self.unsent_error: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    @property
    def error(self) -> SonicError | None:
        """What ended the stream, if it did not end well."""
        return self._engine.error

    def new_body(self) -> ByteWriter | None:
        """See `HttpEngine`."""
        return self._engine.new_body()

    async def send(
        self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None
    ) -> HTTPResponse:
        """See `HttpEngine`. Raises `ServiceError` in place of a response of status 400 or more."""
        response = await self._engine.send(request, request_config=request_config)
        if response.status < _FIRST_ERROR_STATUS:
            return response
        try:
            async with asyncio.timeout(_REFUSAL_S):
                body = await response.consume_body_async()
        except (TimeoutError, SonicError):
            body = b""  # what the headers say must do
        raise refusal(response.status, response.fields, body)

    def abort(self, error: SonicError) -> None:
        """See `HttpEngine`."""
        self._engine.abort(error)

    async def close(self) -> None:
        """See `HttpEngine`."""
        await self._engine.close()


class _TransmitInterceptor(Interceptor[Any, Any, Any, Any]):
    """Gives a request the body that its `_StreamClient` likes best, and tells it of one that is never sent.

    The SDK's `duplex_stream` then waits for ever for a future that nobody sets, and the error
    stays in a task that nobody awaits. So the error is taken out here and a None put in its place.
    """

    def __init__(self, client: _StreamClient) -> None:
        self._client = client
        self._sent = False

    def modify_before_transmit(self, context: RequestContext[Any, Any]) -> Any:
        """The request is signed, which takes no notice of a body that is a stream."""
        request = context.transport_request
        request.body = self._client.new_body() or request.body
        return request

    def read_before_transmit(self, context: RequestContext[Any, Any]) -> None:
        """The request goes out: from here on the SDK reports."""
        self._sent = True

    def modify_before_completion(self, context: OutputContext[Any, Any, Any, Any]) -> Any:
        """The last word on what the execution gives."""
        if self._sent or not isinstance(context.response, Exception):
            return context.response
        if not self._client.unsent_error.done():
            self._client.unsent_error.set_result(context.response)
        return None

    # smithy-core 0.9 calls this one in place of the other at the end of an execution.
    modify_before_attempt_completion = modify_before_completion


async def _invoke(
    sdk: AsyncBedrockRuntimeClient,
    model: str,
    client: _StreamClient,
    identity: AWSCredentialsIdentity,
) -> DuplexStream:
    def plugin(config: AsyncBedrockRuntimeConfig) -> None:
        config.transport = client
        config.aws_credentials_identity_resolver = StaticCredentialsResolver(identity)
        config.interceptors = [*config.interceptors, _TransmitInterceptor(client)]

    asked = InvokeModelWithBidirectionalStreamOperationInput(model_id=model)
    duplex = await sdk.invoke_model_with_bidirectional_stream(asked, plugins=[plugin])
    return cast(DuplexStream, duplex)  # of `EventProtocol`


async def _abandon(invoking: asyncio.Task[DuplexStream], client: _StreamClient) -> None:
    """Clean up after an opening that nobody waits for any more, or that will never be."""
    if invoking.done() and not invoking.cancelled() and invoking.exception() is None:
        await BedrockStream(invoking.result(), client).aclose()
        return
    invoking.cancel()
    await asyncio.wait({invoking})
    if not invoking.cancelled():
        invoking.exception()
    await client.close()
