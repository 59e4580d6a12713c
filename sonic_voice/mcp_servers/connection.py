"""The connection to one MCP server, which lives in a task of its own.

    opening ──► open ──► (its end is noticed) ──► closed ──► (a call needs it) ──► opening ──► ...

The package `mcp` cancels the task that has opened a connection when the connection fails, so no
other task may open it. A connection that ends is opened again by the next call. What a server does
wrong becomes an `McpCallError`, whose message is for the model, and a notice for the person who
runs the program; a conversation never ends by it.

Connections begin with the handshake of 2025, because servers ask the user for input in the middle
of a call only there. Servers that refuse it get the protocol of 2026.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Literal, cast

import mcp_types
from mcp.client import Client
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ..errors import ConfigError, ConnectError, DeadlineError, SonicError
from ..printable import printable
from ..tools.context import ToolContext
from .calls import CLOSE_S, McpCall, McpCallError, McpCalls
from .definitions import ListedTool
from .elicitation import Elicitation
from .error_output import ErrorOutput
from .results import ERROR_CHARACTERS, result_value
from .targets import McpServer
from .transports import watched_transport

OPEN_S = 30.0
"""Maximum time for a server to start and to list its tools, in seconds. The first start with `uvx`
or `npx` downloads packages."""

MAX_PAGES = 20
"""Maximum number of pages of a list of tools."""

type InMemoryServer = Server[Any] | MCPServer
"""A server in this process."""

type ProtocolMode = Literal["legacy", "auto"]
"""The handshake of 2025, or the protocol of 2026 where the server has it."""

_log = logging.getLogger(__name__)

for _name in ("mcp", "client"):  # where nobody logs, the package would write to the terminal
    logging.getLogger(_name).addHandler(logging.NullHandler())


class McpConnection:
    """The connection to one server. Close it with `aclose`.

    Args:
        server: The server.
        calls: The calls of all servers, by which questions reach the user.
        on_notice: Receives sentences for the person who runs the program.
        on_tools: Called with the connection when the server has listed its tools again.
        call_s: Maximum duration of a call, in seconds.
        open_s: Maximum time for a server to start, in seconds.
        modes: The protocols to begin with, one after the other.
    """

    def __init__(
        self,
        server: McpServer | InMemoryServer,
        calls: McpCalls,
        *,
        on_notice: Callable[[str], None],
        on_tools: Callable[["McpConnection"], None],
        call_s: float,
        open_s: float = OPEN_S,
        modes: tuple[ProtocolMode, ...] = ("legacy", "auto"),
    ) -> None:
        self.name = server.name if isinstance(server, McpServer) else printable(server.name)
        self.tools: list[ListedTool] = []
        """The tools that the server has listed last."""
        self._server = server
        self._notice = on_notice
        self._on_tools = on_tools
        self._call_s = call_s
        self._open_s = open_s
        self._modes = modes
        self._errors = ErrorOutput(self.name)
        self._elicitation = Elicitation(self.name, calls, on_notice)
        self._client: Client | None = None
        self._opening: asyncio.Future[Client] | None = None
        self._wake = asyncio.Event()
        self._ended = self._changed = self._closing = self._was_open = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the connection, and list the tools.

        Raises:
            ConfigError: The program cannot be started.
            ConnectError: The server cannot be reached, or does not speak the protocol.
            DeadlineError: It did not answer in time.
        """
        await self._ready()

    async def aclose(self) -> None:
        """Close the connection, and end the server if it is a program of ours."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            if self._opening is not None and not self._opening.done():
                self._task.cancel()  # nobody waits for a server that does not start
            await asyncio.wait({self._task}, timeout=CLOSE_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- calls ---------------------------------------------------------------------------------

    async def call(
        self, call: McpCall, name: str, arguments: dict[str, Any], context: ToolContext
    ) -> dict[str, Any]:
        """Call a tool, and return the value of its result for the model.

        Args:
            call: The call, by which the server may ask the user.
            name: The name of the tool on the server.
            arguments: The arguments.
            context: The conversation.

        Raises:
            McpCallError: There is no result.
        """

        async def report(progress: float, total: float | None, message: str | None) -> None:
            del progress, total  # numbers are of no use to a listener
            if message:
                context.progress(printable(message))

        client: Client | None = None
        self._elicitation.running.append(call)
        try:
            async with asyncio.timeout(call.limit_s) as call.deadline:
                client = await self._ready()
                result = await client.call_tool(name, arguments, progress_callback=report)
        except TimeoutError as error:
            self._notice(
                f"The MCP server {self.name} gave no result of {name} within {call.limit_s:g} s."
            )
            raise McpCallError(f"{name} gave no result within {call.limit_s:g} s.") from error
        except MCPError as error:
            raise self._failed(client, name, error) from error
        except SonicError as error:  # the server could not be started again
            self._notice(str(error))
            raise McpCallError(f"{name} is not available: {error.message}") from error
        except Exception as error:
            # A result that is not as the protocol or the tool's own schema demands.
            # Its text may contain what was said, so that it is no matter for the log.
            _log.warning("MCP server %s: %s: %s", self.name, name, type(error).__name__)
            raise McpCallError(f"{name} gave a result that cannot be read.") from error
        finally:
            call.deadline = None
            self._elicitation.running.remove(call)
        return result_value(result.model_dump(mode="json", by_alias=True, exclude_none=True))

    def _failed(self, client: Client | None, name: str, error: MCPError) -> McpCallError:
        """Return the error for the model, and note that the connection has ended if it has."""
        lost = error.code == mcp_types.CONNECTION_CLOSED or error.message == "Session terminated"
        if not lost:
            return McpCallError(f"{name} failed: {error.message[:ERROR_CHARACTERS]}")
        if client is self._client:
            self._end()
        return McpCallError(
            f"The server of {name} ended during the call. It is not known whether it did its work."
        )

    async def _ready(self) -> Client:
        """Return the open connection, and open it if it is closed."""
        if self._client is not None and not self._ended:
            return self._client
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_future()
            self._opening.add_done_callback(_retrieve)
            self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._own(), name=f"mcp {self.name}")
        return await asyncio.shield(self._opening)

    # -- the task that owns the connection -----------------------------------------------------

    async def _own(self) -> None:
        """Open the connection each time that it is wanted, until it is closed."""
        try:
            while not self._closing:
                self._wake.clear()
                if self._opening is not None and not self._opening.done():
                    await self._open_once(self._opening)
                else:
                    await self._wake.wait()
        finally:
            if self._opening is not None:
                self._opening.cancel()

    async def _open_once(self, opening: asyncio.Future[Client]) -> None:
        """Open the connection, and hold it until it ends. Nothing but a cancellation is raised."""
        failed: BaseException | None = None
        for mode in self._modes:
            try:
                await self._hold(mode, opening)
                failed = None
            except Exception as error:  # an `ExceptionGroup` around what the package raises
                failed = error
                _log.debug("MCP server %s: %s", self.name, type(_cause(error)).__name__)
            if opening.done() or not _is_refusal(_cause(failed)):
                break
        self._client = None
        if not opening.done():
            opening.set_exception(self._opening_error(failed))
        elif not self._closing:
            said = self._errors.last_line
            self._notice(
                f"The MCP server {self.name} has ended"
                + (f": {said.rstrip('.')}." if said else ".")
                + " It is started again when a tool of it is called."
            )

    async def _hold(self, mode: ProtocolMode, opening: asyncio.Future[Client]) -> None:
        self._ended = self._changed = False
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._open_s):
                client = await stack.enter_async_context(self._new_client(mode))
                listed = await _list_tools(client)
            listening = asyncio.create_task(self._listen(client), name=f"mcp list {self.name}")
            stack.push_async_callback(_cancel, listening)
            self._client = client
            before, self.tools = self.tools, listed
            opening.set_result(client)
            if self._was_open and listed != before:  # it came back as another version
                self._on_tools(self)
            self._was_open = True
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._ended or self._closing:
                    return
                if self._changed:
                    self._changed = False
                    await self._list_again(client)

    def _new_client(self, mode: ProtocolMode) -> Client:
        target = self._server
        return Client(
            watched_transport(target, self._errors, self._end)
            if isinstance(target, McpServer)
            else target,
            mode=mode,
            message_handler=self._on_message,
            elicitation_callback=self._elicitation.answer,
            client_info=mcp_types.Implementation(name="sonic-voice", version="1"),
            cache=None,
        )

    def _opening_error(self, error: BaseException | None) -> SonicError:
        """Return the error for a connection that could not be opened."""
        cause, said = _cause(error), self._errors.last_line
        if (
            isinstance(cause, OSError)
            and isinstance(self._server, McpServer)
            and not (self._server.url or isinstance(cause, TimeoutError))
        ):
            return ConfigError(
                f"The MCP server {self.name} cannot be started: {cause.strerror or cause}.",
                hint=f"Check the command: is {self._server.command[0]} installed?",
            )
        if isinstance(cause, TimeoutError):
            return DeadlineError(
                f"The MCP server {self.name} did not answer within {self._open_s:g} s.",
                waited_s=self._open_s,
                hint=said and f"It said: {said}",
            )
        why = printable(str(cause)).rstrip(".") or type(cause).__name__
        return ConnectError(
            f"The MCP server {self.name} cannot be reached: {why}.",
            hint=f"It said: {said}" if said else "Check its command or URL.",
        )

    def _end(self) -> None:
        self._ended = True
        self._wake.set()

    # -- the list of tools ---------------------------------------------------------------------

    async def _on_message(self, message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._changed = True
            self._wake.set()

    async def _listen(self, client: Client) -> None:
        """Subscribe to changes of the list, which servers of 2026 report only if they are asked."""
        tools = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return
        if tools is None or not tools.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._changed = True
                    self._wake.set()
        except Exception as error:
            _log.info("MCP server %s: no more changes of its list: %s", self.name, error)
            if error.__class__.__name__ == "SubscriptionLost":
                self._end()

    async def _list_again(self, client: Client) -> None:
        try:
            async with asyncio.timeout(self._open_s):
                self.tools = await _list_tools(client, again=True)
        except (TimeoutError, MCPError) as error:
            self._notice(
                f"The MCP server {self.name} has changed its tools, and does not list them: "
                f"{printable(str(error)) or 'no answer'}. The old ones are kept."
            )
            return
        self._on_tools(self)


async def _list_tools(client: Client, *, again: bool = False) -> list[ListedTool]:
    tools: list[ListedTool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="refresh" if again else "use")
        tools += [
            ListedTool(tool.name, tool.description or tool.title or "", tool.input_schema)
            for tool in page.tools
        ]
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the first error inside groups of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = cast(BaseExceptionGroup[BaseException], error).exceptions[0]
    return error


def _is_refusal(error: BaseException | None) -> bool:
    """Return whether a server has answered an opening, and may take another protocol."""
    return isinstance(error, MCPError) and error.code != mcp_types.CONNECTION_CLOSED


def _retrieve(opening: asyncio.Future[Client]) -> None:
    """Mark the error of an opening as seen: who waited for it may have been cancelled."""
    if not opening.cancelled():
        opening.exception()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
