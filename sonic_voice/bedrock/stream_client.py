"""The HTTP client that the SDK gets for one stream, and the hook that connects the two.

`HttpEngine` is the port to the client that does the work, `http2.Http2Client` or `crt.CrtClient`.
`StreamClient` stands between it and the SDK, and reports two errors that the SDK loses: the body of
a refusal, and the failure of a request before it was sent.
"""

import asyncio
from typing import Any, Literal, Protocol

from smithy_core.interceptors import Interceptor, OutputContext, RequestContext
from smithy_http.aio.interfaces import HTTPRequest, HTTPResponse
from smithy_http.interfaces import HTTPRequestConfiguration

from ..errors import DeadlineError, SonicError
from .events import ByteWriter
from .sdk_errors import refusal

REFUSAL_TIMEOUT_S = 5.0
"""Maximum time to receive the body of an HTTP error, in seconds. It arrives with its headers or not
at all."""

_FIRST_ERROR_STATUS = 400
"""Lowest status code of an HTTP error."""


class HttpEngine(Protocol):
    """The port to an HTTP client for one stream: `http2.Http2Client` or `crt.CrtClient`."""

    @property
    def error(self) -> SonicError | None:
        """The error that ended the stream; None while it is open or when it ended cleanly."""
        ...

    async def send(
        self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None
    ) -> HTTPResponse:
        """Send a request and return when the response's headers arrive (the SDK's interface).

        Args:
            request: The request, with its body.
            request_config: Options of the SDK.

        Raises:
            SonicError: The request failed.
        """
        ...

    def new_body(self) -> ByteWriter | None:
        """Return a body to use in place of the SDK's; None to use the SDK's."""
        ...

    def abort(self, error: SonicError) -> None:
        """End the stream at once.

        Args:
            error: The error that pending and later calls raise.
        """
        ...

    async def close(self) -> None:
        """Close the connection and release all resources."""
        ...


class StreamClient:
    """The HTTP client that the SDK gets for one stream: an engine with better error reports.

    It reads the body of a refusal, which the SDK understands in a few cases only, and keeps the
    failure of a request that was never sent, which the SDK does not report.
    """

    SUPPORTS_DUPLEX_STREAMING: Literal[True] = True
    TIMEOUT_EXCEPTIONS: tuple[type[Exception], ...] = (DeadlineError,)

    def __init__(self, engine: HttpEngine) -> None:
        self._engine = engine
        self.unsent_error: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """Future with the error of a request that failed before it was sent."""

    @property
    def error(self) -> SonicError | None:
        """See `HttpEngine`."""
        return self._engine.error

    def new_body(self) -> ByteWriter | None:
        """See `HttpEngine`."""
        return self._engine.new_body()

    async def send(
        self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None
    ) -> HTTPResponse:
        """See `HttpEngine`. Raises `ServiceError` for a response with a status of 400 or more."""
        response = await self._engine.send(request, request_config=request_config)
        if response.status < _FIRST_ERROR_STATUS:
            return response
        try:
            async with asyncio.timeout(REFUSAL_TIMEOUT_S):
                body = await response.consume_body_async()
        except (TimeoutError, SonicError):
            body = b""  # the error is then made from the headers alone
        raise refusal(response.status, response.fields, body)

    def abort(self, error: SonicError) -> None:
        """See `HttpEngine`."""
        self._engine.abort(error)

    async def close(self) -> None:
        """See `HttpEngine`."""
        await self._engine.close()


class TransmitInterceptor(Interceptor[Any, Any, Any, Any]):
    """An interceptor of the SDK that sets the request's body and reports an unsent request.

    When a request fails before it is sent, the SDK's `duplex_stream` waits forever for a future
    that is never set, and the error stays in a task that is never awaited. The error is therefore
    given to the `StreamClient`, and replaced by None.
    """

    def __init__(self, client: StreamClient) -> None:
        self._client = client
        self._sent = False

    def modify_before_transmit(self, context: RequestContext[Any, Any]) -> Any:
        """Replace the body of the signed request, which the signature of a stream does not cover.

        Args:
            context: The SDK's state of the call, with the request.
        """
        request = context.transport_request
        request.body = self._client.new_body() or request.body
        return request

    def read_before_transmit(self, context: RequestContext[Any, Any]) -> None:
        """Note that the request is being sent: the SDK reports all errors after this.

        Args:
            context: The SDK's state of the call.
        """
        self._sent = True

    def modify_before_completion(self, context: OutputContext[Any, Any, Any, Any]) -> Any:
        """Report the error of an unsent request, and replace it by None.

        Args:
            context: The SDK's state of the call, with its result or error.
        """
        if self._sent or not isinstance(context.response, Exception):
            return context.response
        if not self._client.unsent_error.done():
            self._client.unsent_error.set_result(context.response)
        return None

    # smithy-core 0.9 calls this hook in place of the other at the end of an execution.
    modify_before_attempt_completion = modify_before_completion
