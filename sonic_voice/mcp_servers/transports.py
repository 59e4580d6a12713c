"""The transport to an MCP server: a program of ours, or a server behind a URL.

The package `mcp` does not say when a server closes its end while nobody waits for an answer. The
messages are therefore watched on their way.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from .error_output import ErrorOutput
from .targets import McpServer

_HTTP_S = 30.0
"""Maximum time to connect, and to wait for a response that is no stream, in seconds."""

_STREAM_S = 300.0
"""Maximum time without a byte on a stream of responses, in seconds, as in the package."""


@asynccontextmanager
async def watched_transport(
    server: McpServer, errors: ErrorOutput, on_end: Callable[[], None]
) -> AsyncGenerator[tuple[Any, Any]]:
    """Open the transport to a server, and notice when the server closes it.

    Args:
        server: The server.
        errors: Receives what a program writes to its standard error.
        on_end: Called when the server has closed the transport.

    Returns:
        A context manager of the messages from the server and those to it.
    """
    async with AsyncExitStack() as stack:
        if server.url:
            timeout = httpx2.Timeout(_HTTP_S, read=_STREAM_S)
            http = httpx2.AsyncClient(headers=dict(server.headers), timeout=timeout)
            await stack.enter_async_context(http)
            transport = streamable_http_client(server.url, http_client=http)
        else:
            parameters = StdioServerParameters(
                command=server.command[0],
                args=list(server.command[1:]),
                env=dict(server.environment),
                cwd=server.folder,
            )
            file = stack.enter_context(errors.file())
            transport = stdio_client(parameters, errlog=file)
        reading, writing = await stack.enter_async_context(transport)
        yield _WatchedStream(reading, on_end), writing


class _WatchedStream:
    """The messages of a server, with a call when there are no more.

    Args:
        stream: The messages.
        on_end: Called when the stream ends.
    """

    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    def __aiter__(self) -> "_WatchedStream":
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._on_end()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> "_WatchedStream":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._stream.__aexit__(*error)
