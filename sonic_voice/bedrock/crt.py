"""The SDK's own duplex HTTP client, over the AWS CRT, with the error handling of `http2`.

It serves for comparison and as a fallback, and needs the extra `crt`. The CRT runs threads of its
own and returns results as `concurrent.futures`. Without the changes made here it reports a cut
connection as a clean end, leaves a pending write waiting forever after it, prints `CANCELLED` when
a read is cancelled, and accepts no private CA. The changes use private names of smithy-http and
awscrt:

- `AWSCRTHTTPClient._tls_ctx`, because there is no option for a CA;
- `AWSCRTHTTPClient._await_response`, because it waits forever for the status of a request whose
  connection broke before the response;
- `_completion_future`, `_remote_completion_future` and `_writer` of the CRT's stream, because
  only they distinguish a cut from a clean end, and because the writer's exception must be
  retrieved.

The CRT does not name the cause of a failed connection, and reports an untrusted certificate only
after 10 s or more. When it fails or exceeds the deadline, `dial` of `http2` makes the same attempt,
and the error that it raises is reported.

Some limits of the CRT remain:

- A connection attempt cannot be cancelled, and may outlive its stream by 10 s.
- A GOAWAY is reported as the cut that follows it.
- There are no pings, so that a dead network is noticed only by the operating system or by a
  deadline of the session.
- The amount of data that waits in the kernel cannot be set, so that a network that is too slow for
  speech is noticed late.
- It supports HTTP proxies (CONNECT, also over TLS, with basic authentication), but not SOCKS.

The versions are pinned by smithy-http's extra `awscrt`.
"""

# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import asyncio
from typing import Any, Literal

from awscrt import exceptions as crt_exceptions
from awscrt import http as crt_http
from awscrt import io as crt_io
from awscrt.aio.http import AIOHttpClientConnectionUnified
from smithy_core.aio.types import AsyncBytesProvider
from smithy_core.interfaces import URI
from smithy_http import Fields, tuples_to_fields
from smithy_http.aio.crt import AWSCRTHTTPClient, _AWSCRTEventLoop, _CRTTimeoutError
from smithy_http.aio.interfaces import HTTPRequest
from smithy_http.interfaces import HTTPRequestConfiguration

from ..errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    DeadlineError,
    NetworkError,
    SonicError,
)
from ..http2.connection import H2Connection
from ..http2.dialing import dial
from ..http2.proxies import Proxy
from ..http2.tls import TlsContext
from ..http2.tunnel import ProxyError, Tunnel

_CLOSE_S = 1.0
"""Maximum time for each of the two steps of closing a client, in seconds."""

_CAUSE_S = 1.5
"""Maximum time to find the cause of a failed connection, in seconds."""

_FIRST_ERROR_STATUS = 400
"""Lowest status code of an HTTP error."""

_GO_ON = "Open a new session to go on."
"""Hint for every connection that ended."""


class CrtShared:
    """The resources that the streams of one transport share: the CRT's thread, TLS and the proxy.

    Args:
        trust: TLS context for the service, whose CA file the CRT uses as well.
        proxy: The proxy of every connection; None for direct connections.
        proxy_trust: TLS context for an `https` proxy.

    Raises:
        ConfigError: The CRT does not support this kind of proxy.
    """

    def __init__(
        self,
        trust: TlsContext,
        proxy: Proxy | None = None,
        proxy_trust: TlsContext | None = None,
    ) -> None:
        if proxy is not None and proxy.is_socks:
            raise ConfigError(
                f"The engine crt takes no SOCKS proxy, and one is needed here: {proxy} "
                f"({proxy.source}).",
                hint="Use the engine http2 (--transport http2).",
            )
        self.proxy = proxy
        self.proxy_trust = proxy_trust
        options = crt_io.TlsContextOptions()
        self.trust = trust
        if trust.cas.file and not trust.cas.fault:
            options.override_default_trust_store_from_path(ca_filepath=trust.cas.file)
        self.tls = crt_io.ClientTlsContext(options)
        self.loop = _AWSCRTEventLoop()


class CrtClient(AWSCRTHTTPClient):
    """An HTTP client over the CRT for one stream, with the errors of `http2.Http2Client`.

    Args:
        shared: The resources shared with the transport's other streams.
        connect_timeout_s: Maximum time to establish the connection, in seconds.
    """

    SUPPORTS_DUPLEX_STREAMING: Literal[True] = True

    def __init__(self, shared: CrtShared, *, connect_timeout_s: float) -> None:
        super().__init__(eventloop=shared.loop)
        self._tls_ctx = shared.tls
        self._trust = shared.trust
        self._proxy = shared.proxy
        self._proxy_trust = shared.proxy_trust
        self.error: SonicError | None = None
        self._connect_timeout_s = connect_timeout_s
        self._body: AsyncBytesProvider | None = None
        self._stream: Any = None
        self._over = asyncio.Event()
        self._aborted = False
        self._sending: asyncio.Task[Any] | None = None
        self._monitoring: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def send(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None
    ) -> "CrtResponse":
        """See `Http2Client.send`."""
        body = request.body
        self._body = body if isinstance(body, AsyncBytesProvider) else None
        try:
            response = await self._send(request)
        except SonicError:
            await self._close_body()
            raise
        except (crt_exceptions.AwsCrtError, _CRTTimeoutError) as error:
            await self._close_body()
            crt = error if isinstance(error, crt_exceptions.AwsCrtError) else error.__cause__
            cause = await self._cause(request.destination) if self._stream is None else None
            raise self._fail(cause or crt_error(crt, request.destination)) from error
        if response.status >= _FIRST_ERROR_STATUS:
            await self._close_body()
        return response

    def new_body(self) -> None:
        """Return None, because the CRT only sends a body of the SDK."""

    async def _send(self, request: HTTPRequest) -> "CrtResponse":
        # In a separate task, because the CRT's futures must not be cancelled.
        self._sending = asyncio.create_task(super().send(request), name="crt send")
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({self._sending, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            self._sending.add_done_callback(_take_exception)
        if self._sending.done():
            return self._sending.result()
        raise self.error or ConnectionLost("The stream was closed.", reason="ended")

    async def _build_new_connection(self, url: URI) -> Any:
        connecting = asyncio.ensure_future(self._connect(url))
        done, _ = await asyncio.wait({connecting}, timeout=self._connect_timeout_s)
        if not done:
            connecting.add_done_callback(_take_exception)
            raise await self._cause(url) or DeadlineError(
                f"No connection to {url.netloc} after {self._connect_timeout_s:g} s.",
                waited_s=self._connect_timeout_s,
                hint="Check the network, the endpoint and the region.",
            )
        connection = connecting.result()
        if self._over.is_set():
            await connection.close()
            raise self.error or ConnectionLost("The stream was closed.", reason="ended")
        return connection

    async def _cause(self, url: URI) -> NetworkError | None:
        """Return the cause of a failed connection, as `http2` finds it; None if it connects."""
        secure = url.scheme == "https"
        host = url.host.strip("[]")
        port = url.port or (self._HTTPS_PORT if secure else self._HTTP_PORT)
        proxy = self._proxy
        try:
            connection = await dial(
                host,
                port,
                H2Connection,
                tls=self._trust if secure else None,
                timeout_s=_CAUSE_S,
                tunnel=Tunnel(proxy, host, port, self._proxy_trust) if proxy else None,
            )
        except NetworkError as error:
            return error if isinstance(error, ConnectError) else None
        connection.cut()
        await connection.closed
        return None

    async def _connect(self, url: URI) -> Any:
        """Connect, and use the proxy if there is one: the SDK's client has no option for it."""
        if self._proxy is None:
            return await super()._build_new_connection(url)
        tls = None
        if url.scheme == "https":
            tls = self._tls_ctx.new_connection_options()
            tls.set_server_name(url.host)
            tls.set_alpn_list(["h2"])
        try:
            return await AIOHttpClientConnectionUnified.new(
                bootstrap=self._client_bootstrap,
                host_name=url.host,
                port=url.port or (443 if url.scheme == "https" else 80),
                socket_options=self._socket_options,
                tls_connection_options=tls,
                proxy_options=self._proxy_options(self._proxy),
            )
        except crt_exceptions.AwsCrtError as error:
            cause = await self._cause(url)
            raise cause or self._proxy_error(self._proxy, url, error) from error

    def _proxy_options(self, proxy: Proxy) -> crt_http.HttpProxyOptions:
        tls = None
        if proxy.scheme == "https":
            tls = self._tls_ctx.new_connection_options()
            tls.set_server_name(proxy.host)
        basic = crt_http.HttpProxyAuthenticationType.Basic
        return crt_http.HttpProxyOptions(
            proxy.host,
            proxy.port,
            tls_connection_options=tls,
            auth_type=basic if proxy.user else crt_http.HttpProxyAuthenticationType.Nothing,
            auth_username=proxy.user or None,
            auth_password=proxy.password if proxy.user else None,
            connection_type=crt_http.HttpProxyConnectionType.Tunneling,
        )

    def _proxy_error(
        self, proxy: Proxy, url: URI, error: crt_exceptions.AwsCrtError
    ) -> ConnectError:
        """Return the error for a failed connection through a proxy, whose status is not known."""
        name, where = str(error.name), f"the proxy {proxy} ({proxy.source})"
        if "PROXY" in name:
            return ProxyError(
                f"T{where[1:]} did not open a tunnel to {url.netloc} ({name}).",
                hint="Check user and password in its URL, and that it allows this host. The "
                "engine http2 (--transport http2) tells what it answered.",
            )
        if "TLS" in name:
            return ConnectError(
                f"TLS with {url.netloc} or with {where} failed: {error.message}",
                hint="For a private CA name its file by `ca_file` (--ca) or SSL_CERT_FILE.",
            )
        return ProxyError(
            f"No connection to {where}: {error.message} ({name}).",
            hint="Check the proxy's URL. The service itself was not tried.",
        )

    async def _await_response(self, stream: Any) -> "CrtResponse":  # pyright: ignore[reportIncompatibleMethodOverride]
        self._stream = stream
        self._monitoring = asyncio.create_task(self._monitor(), name="crt monitor")
        status = asyncio.wrap_future(stream._response_status_future)
        await asyncio.wait({status, self._monitoring}, return_when=asyncio.FIRST_COMPLETED)
        if not status.done():
            raise self.error or ConnectionLost("No answer came.", reason="cut", hint=_GO_ON)
        headers = await asyncio.wrap_future(stream._response_headers_future)
        return CrtResponse(status.result(), headers, CrtBody(self))

    async def _monitor(self) -> None:
        """Wait for the end of the exchange, record its error, and close the request's body."""
        try:
            await asyncio.shield(asyncio.wrap_future(self._stream._completion_future))
        except crt_exceptions.AwsCrtError as error:
            if not self._stream._remote_completion_future.done():
                self._fail(crt_error(error, None))
        finally:
            await self._close_body()

    def _fail(self, error: SonicError) -> SonicError:
        if self.error is None:
            self.error = error
        self._over.set()
        return self.error

    async def next_chunk(self) -> bytes:
        """Wait for the next bytes of the response; return no bytes at its clean end.

        Raises:
            SonicError: The stream did not end cleanly.
        """
        if self._aborted and self.error is not None:
            raise self.error
        chunk = await asyncio.shield(asyncio.ensure_future(self._stream.get_next_response_chunk()))
        if chunk:
            return chunk
        if not self._stream._remote_completion_future.done():
            if self._monitoring is not None:
                await asyncio.wait({self._monitoring})
            raise self.error or ConnectionLost("The connection ended.", reason="cut", hint=_GO_ON)
        await self._close_body()
        return b""

    def abort(self, error: SonicError) -> None:
        """See `Http2Client.abort`."""
        self.error = error
        self._aborted = True
        self._over.set()
        if self._closing is None:
            self._closing = asyncio.create_task(self._shut(), name="crt close")

    async def close(self) -> None:
        """See `Http2Client.close`."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._shut(), name="crt close")
        await asyncio.shield(self._closing)

    async def _shut(self) -> None:
        self._over.set()
        await self._close_body()
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=_CLOSE_S)
        closing = asyncio.create_task(super().close())
        writer: asyncio.Task[None] | None = getattr(self._stream, "_writer", None)
        tasks = {task for task in (closing, writer, self._monitoring) if task is not None}
        await asyncio.wait(tasks, timeout=_CLOSE_S)
        for task in tasks:
            task.add_done_callback(_take_exception)

    async def _close_body(self) -> None:
        if self._body is not None:
            await self._body.close(flush=False)


class CrtBody:
    """A reader of the response's body."""

    def __init__(self, client: CrtClient) -> None:
        self._client = client
        self._inbox = bytearray()
        self._ended = False

    async def read(self, size: int = -1) -> bytes:
        """Wait for `size` bytes and return them.

        Args:
            size: Number of bytes; negative: everything until the end of the body.

        Returns:
            Exactly `size` bytes, or fewer at the end of the body.

        Raises:
            SonicError: The stream did not end cleanly.
        """
        while not self._ended and (size < 0 or len(self._inbox) < size):
            chunk = await self._client.next_chunk()
            self._ended = not chunk
            self._inbox += chunk
        if size < 0:
            size = len(self._inbox)
        taken = bytes(self._inbox[:size])
        del self._inbox[:size]
        return taken


class CrtResponse:
    """A response whose headers have arrived; `body` reads the rest as it arrives."""

    reason: str | None = None

    def __init__(self, status: int, headers: list[tuple[str, str]], body: CrtBody) -> None:
        self.status = status
        self.fields: Fields = tuples_to_fields(headers)
        self.body = body

    async def consume_body_async(self) -> bytes:
        """Wait for the end of the body and return all of it."""
        return await self.body.read()

    def consume_body(self) -> bytes:
        """Raise `TypeError`: the body can only be read asynchronously."""
        raise TypeError("the body of this response is asynchronous")


def crt_error(error: BaseException | None, uri: URI | None) -> NetworkError:
    """Return the `NetworkError` for an error of the CRT, by its name.

    Args:
        error: The error, if there is one.
        uri: Address of the peer, for the message; None if it is not known.
    """
    name, text = str(getattr(error, "name", "")), str(getattr(error, "message", error))
    place = uri.netloc if uri is not None else "the service"
    if "RST_STREAM" in name:
        return ConnectionLost("The peer reset the stream.", reason="reset", hint=_GO_ON)
    if "GOAWAY" in name:
        return ConnectionLost("The peer ended the connection.", reason="goaway", hint=_GO_ON)
    if "DNS" in name:
        return ConnectError(f"There is no host {place}.", hint="Check the region and endpoint.")
    if "REFUSED" in name:
        return ConnectError(f"Nobody listens at {place}.", hint="Check the endpoint.")
    if "TLS" in name:
        return ConnectError(
            f"TLS with {place} failed: {text}",
            hint="For a private CA name its file by `ca_file` (--ca) or SSL_CERT_FILE.",
        )
    return ConnectionLost(f"The connection ended: {text} ({name}).", reason="cut", hint=_GO_ON)


def _take_exception(task: "asyncio.Task[Any]") -> None:
    """Mark a task's exception as retrieved, because it is reported elsewhere."""
    if not task.cancelled():
        task.exception()
