"""The transport to Amazon Bedrock over the AWS SDK.

The SDK defines the operation, signs and frames, with the publisher and the receiver of `events` in
place of its own. The bytes are sent by `http2`, or by the SDK's CRT client with `engine="crt"`.
This module adds to the SDK:

- *Credentials before the request* (`account`): the SDK waits forever for a request that fails
  before it is sent. A stream signs with the credentials that were found when it was opened.
- *One HTTP client for each stream*, set by a plugin of the call, so that a stream can be aborted
  and closed without affecting others.
- *Errors for every end.* Each exception of the SDK becomes a `SonicError` (`sdk_errors`), and a
  pending or later `send` raises the error that ended the stream. Every task that the SDK starts
  for a stream is awaited.

Source: protocol reference 1.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOperationInput
from smithy_aws_core.identity import AWSCredentialsIdentity, StaticCredentialsResolver

from ..catalog import check_offered
from ..errors import ConfigError, ConnectionLost, CredentialsError, SonicError
from ..extras import install_command
from ..http2.client import Http2Client
from ..http2.dialing import CONNECT_TIMEOUT_S
from ..http2.proxies import Proxy, ProxySettings
from ..http2.tls import proxy_tls_context, tls_context
from ..transport import Sink
from .account import CREDENTIALS_TIMEOUT_S, Account, check_endpoint
from .endpoint import Route, resolve_endpoint, route_to
from .events import DuplexStream, EventPath, Receiver
from .sdk_errors import sonic_error
from .stream_client import REFUSAL_TIMEOUT_S, HttpEngine, StreamClient, TransmitInterceptor

EngineName = Literal["http2", "crt"]
"""Name of an HTTP client: `http2.Http2Client` or the SDK's, over the AWS CRT."""


class BedrockTransport:
    """A transport that opens streams to models on Amazon Bedrock; see `transport.Transport`.

    Args:
        region: AWS region; None: from the environment or the shared AWS files.
        profile: Profile of the shared AWS files; None: from the environment, or the default.
        endpoint: URL of the service; None: from the environment, the files or the region.
        ca_file: PEM file with the CAs to trust, in place of `AWS_CA_BUNDLE`, `SSL_CERT_FILE` and
            the system's.
        proxy: URL of a proxy for every endpoint; empty: no proxy; None: follow `HTTPS_PROXY`,
            `ALL_PROXY` and `NO_PROXY`.
        access_key: AWS access key id. Without it, credentials come from every source that the AWS
            CLI supports.
        secret_key: AWS secret access key, required with `access_key`.
        session_token: AWS session token of temporary keys.
        engine: The HTTP client; `crt` needs the extra `crt`.
        event_path: The way of events: `fast`, or `sdk` for the SDK's signer and codec, which take
            more CPU time. The bytes are the same.
        connect_timeout_s: Maximum time to establish a connection, in seconds.
        credentials_timeout_s: Maximum time to look up credentials, in seconds.

    Raises:
        ConfigError: An argument or a setting of the proxy cannot be used.
        CredentialsError: Only one of access key and secret key is given.
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
        event_path: EventPath = "fast",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        credentials_timeout_s: float = CREDENTIALS_TIMEOUT_S,
    ) -> None:
        if engine not in get_args(EngineName):
            raise ConfigError(f"There is no engine {engine!r}.", hint="http2 or crt.")
        if event_path not in get_args(EventPath.__value__):
            raise ConfigError(f"There is no event path {event_path!r}.", hint="fast or sdk.")
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
        self._event_path: EventPath = event_path
        self._connect_timeout_s = connect_timeout_s
        self._credentials_timeout_s = credentials_timeout_s
        self._setting_up = asyncio.Lock()
        self._setup: SharedSetup | None = None
        self._closed = False
        self._abandoning = set[asyncio.Task[None]]()
        """The tasks that close streams whose opening was cancelled."""

    def __repr__(self) -> str:
        return f"BedrockTransport({self._settings}, engine={self._engine!r})"

    async def open(self, model: str) -> "BedrockStream":
        """Open a new stream to a model. The caller can send while it is still connecting.

        Errors of the network are raised by the stream. When this is cancelled, no stream is left.

        Args:
            model: Id of the model.

        Returns:
            The stream, which the caller must close.

        Raises:
            ConfigError: A setting cannot be used, or the region does not offer the model.
            CredentialsError: There are no valid credentials. Both are raised before any contact
                with the service.
        """
        setup = await self.shared_setup()
        check_offered(model, setup.account.config.region)
        identity = await setup.account.identity()
        client = StreamClient(setup.new_engine())
        invoking = asyncio.create_task(_invoke(setup.sdk_client, model, client, identity))
        try:
            await asyncio.wait({invoking, client.unsent_error}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The caller may be cancelled again, and the stream must be closed nevertheless.
            abandoning = asyncio.create_task(_abandon_begun(invoking, client))
            self._abandoning.add(abandoning)
            abandoning.add_done_callback(self._abandoning.discard)
            await asyncio.shield(abandoning)
            raise
        if not invoking.done():
            await _abandon(invoking, client)
            raise sonic_error(client.unsent_error.result())
        try:
            duplex = invoking.result()
        except Exception as error:
            await client.close()
            translated = sonic_error(error)
            raise translated from translated.__cause__
        return BedrockStream(duplex, client, identity.expiration)

    async def check_region(self, model: str) -> None:
        """Check that a region is set and that it offers a model.

        This reads the environment and the shared AWS files, and does not use the network. `open`
        checks the same. A server calls this at its start, before its first conversation.

        Args:
            model: Id of the model.

        Raises:
            ConfigError: No region is set, or the region does not offer the model.
        """
        check_offered(model, (await self.shared_setup()).account.config.region)

    async def authenticate(self) -> None:
        """Look up credentials before the first stream, which then uses them.

        This is useful where a person may have to type an MFA code, which takes longer than the
        deadline of a session's opening.

        Raises:
            ConfigError: A setting cannot be used.
            CredentialsError: There are no valid credentials.
        """
        await (await self.shared_setup()).account.identity()

    @property
    def ca_file(self) -> str | None:
        """PEM file with the CAs to trust; None: follow the environment."""
        return self._ca_file

    def forget_credentials(self) -> None:
        """See `Transport`."""
        if self._setup is not None:
            self._setup.account.forget_credentials()

    async def route(self) -> Route:
        """Return the endpoint and the proxy of the streams, without using the network.

        Raises:
            ConfigError: The settings of AWS or of the proxy cannot be used.
        """
        return (await self.shared_setup()).route

    async def aclose(self) -> None:
        """Release the resources that the streams share. The streams are closed by their owners."""
        self._closed = True
        if self._abandoning:
            await asyncio.wait(self._abandoning)
        if self._setup is not None:
            await self._setup.sdk_client.close()
            await self._setup.account.aclose()

    async def shared_setup(self) -> "SharedSetup":
        """Return what all requests share; other requests than streams use it too.

        Raises:
            ConfigError: A setting cannot be used, or the transport was closed.
        """
        if self._closed:
            raise ConfigError("This transport has been closed.", hint="Make a new one.")
        async with self._setting_up:
            if self._setup is None:
                account = await Account.resolve(
                    **self._settings,
                    keys=self._keys,
                    timeout_s=self._credentials_timeout_s,
                    event_path=self._event_path,
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
                self._setup = SharedSetup(account, client, new_engine, route)
            return self._setup


@dataclass(frozen=True, slots=True)
class SharedSetup:
    """The resources that the streams of one transport share."""

    account: Account
    """Configuration and credentials."""
    sdk_client: AsyncBedrockRuntimeClient
    new_engine: Callable[[], HttpEngine]
    """Makes the HTTP client of a request."""
    route: Route


def _engine_factory(
    name: EngineName, ca_file: str | None, timeout_s: float, proxy: Proxy | None
) -> Callable[[], HttpEngine]:
    """Return a function that creates the HTTP client of a stream, and create shared parts once."""
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
    """A stream to a model; see `transport.Stream` for the contract.

    Args:
        duplex: The SDK's stream.
        client: The HTTP client of this stream.
        credentials_expire_at: Time at which the credentials expire; None if they do not.
    """

    def __init__(
        self,
        duplex: DuplexStream,
        client: StreamClient,
        credentials_expire_at: datetime | None = None,
    ) -> None:
        self.credentials_expire_at = credentials_expire_at
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

    def offer(self, payload: bytes) -> bool:
        """See `Stream`."""
        return self._error is None and not self._input_ended and self._input.offer(payload)

    async def accepted(self) -> None:
        """See `Stream`."""
        try:
            # Shielded, because a caller's deadline ends the waiting but not the opening.
            _, self._output = await asyncio.shield(self._opening)
        except Exception as error:
            self._error = self._error or sonic_error(error)
            raise self._error from self._error.__cause__

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """See `Stream`."""
        if self._output is None:
            await self.accepted()
        assert self._output is not None
        try:
            if not self._ended and (payload := await self._output.receive(sink)) is not None:
                return payload
            self._ended = True
        except Exception as error:
            self._error = self._error or sonic_error(error)
            raise self._error from self._error.__cause__
        if self._error is not None:
            raise self._error
        return None

    async def end_input(self) -> None:
        """See `Stream`. Does nothing when the service has ended its side already."""
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
        # The SDK's tasks end with the client. Their errors have been raised already.
        await asyncio.wait({self._opening})
        if not self._opening.cancelled():
            self._opening.exception()

    async def _end_error(self, error: Exception) -> SonicError:
        """Return the error that ended the stream, for a sender that finds its body closed."""
        if self._error is None and not self._opening.done():
            # The request was refused or never connected, and its error is still being read.
            await asyncio.wait({self._opening}, timeout=REFUSAL_TIMEOUT_S)
        if self._error is None and self._opening.done() and not self._opening.cancelled():
            failed = self._opening.exception()
            if failed is not None:
                self._error = sonic_error(failed)
        if self._error is not None:
            return self._error
        if self._client.error is not None:
            return self._client.error
        return ConnectionLost("The service has ended the stream.", reason="ended")


async def _invoke(
    sdk: AsyncBedrockRuntimeClient,
    model: str,
    client: StreamClient,
    identity: AWSCredentialsIdentity,
) -> DuplexStream:
    def plugin(config: AsyncBedrockRuntimeConfig) -> None:
        config.transport = client
        config.aws_credentials_identity_resolver = StaticCredentialsResolver(identity)
        config.interceptors = [*config.interceptors, TransmitInterceptor(client)]

    asked = InvokeModelWithBidirectionalStreamOperationInput(model_id=model)
    duplex = await sdk.invoke_model_with_bidirectional_stream(asked, plugins=[plugin])
    return cast(DuplexStream, duplex)  # of `EventProtocol`


async def _abandon_begun(invoking: asyncio.Task[DuplexStream], client: StreamClient) -> None:
    # `_invoke` does not wait for the network here, and cannot be cleaned up half-way.
    await asyncio.wait({invoking, client.unsent_error}, return_when=asyncio.FIRST_COMPLETED)
    await _abandon(invoking, client)


async def _abandon(invoking: asyncio.Task[DuplexStream], client: StreamClient) -> None:
    """Release the resources of an opening that was cancelled or has failed."""
    if invoking.done() and not invoking.cancelled() and invoking.exception() is None:
        await BedrockStream(invoking.result(), client).aclose()
        return
    invoking.cancel()
    await asyncio.wait({invoking})
    if not invoking.cancelled():
        invoking.exception()
    await client.close()
