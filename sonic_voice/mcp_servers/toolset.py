"""mcp_tools(): the tools of MCP servers in a toolbox, for as long as a block lasts."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..extras import install_command
from ..printable import printable
from ..text_files import read_text_file
from ..tools.context import ToolContext
from ..tools.json_tool import json_tool
from ..tools.toolbox import DEFAULT_TIMEOUT_S, Tool, Toolbox
from .calls import ANSWER_S, ANSWER_TOOL, GRACE_S, McpCall, McpCalls
from .definitions import DescribedTool, describe_tools, service_name
from .targets import McpServer, read_servers, read_target

if TYPE_CHECKING:
    from .connection import InMemoryServer, McpConnection

type Target = "str | McpServer | InMemoryServer"
"""A command line, a URL, a description, or a server of the package `mcp` in this process."""


@asynccontextmanager
async def mcp_tools(
    *targets: Target,
    tools: Toolbox | Iterable[Tool[..., Any] | Callable[..., Any]] = (),
    on_notice: Callable[[str], None] | None = None,
    call_s: float = DEFAULT_TIMEOUT_S,
    answer_s: float = ANSWER_S,
    open_s: float | None = None,
) -> AsyncGenerator[Toolbox]:
    """Connect to MCP servers, and offer their tools in a toolbox.

        async with mcp_tools("uvx mcp-server-time", tools=[go]) as toolbox:
            config = SessionConfig(tools=toolbox.specs)

    What a server does wrong is an error result for the model and a notice; a conversation goes on.
    A server that has ended is started again by the next call, and one that changes its tools
    changes the toolbox.

    Args:
        targets: Command lines, URLs (Streamable HTTP), `McpServer`s, or servers in this process.
        tools: Other tools of the conversation, or a toolbox, which then has the servers' tools
            within the block, and receives the notices.
        on_notice: Receiver of sentences for the person who runs the program, such as that a server
            has ended; by default that of the toolbox.
        call_s: Maximum duration of a call, in seconds, without the time for answers of the user.
        answer_s: Maximum time for the user's answer to a question of a server, in seconds.
        open_s: Maximum time for a server to start, in seconds; by default 30 s.

    Yields:
        The tools: those that were given, those of the servers, and `answer_question`.

    Raises:
        ConfigError: The package `mcp` is missing, or a program cannot be started.
        ConnectError: A server cannot be reached, or does not speak the protocol.
        DeadlineError: A server did not answer in time.
    """
    require_mcp()
    from .connection import OPEN_S

    given = tools if isinstance(tools, Toolbox) else Toolbox(tools)
    if on_notice is not None:
        given.on_notice = on_notice
    set_ = _ToolSet(given, call_s, McpCalls(answer_s))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(set_.aclose)
        await set_.open(targets, OPEN_S if open_s is None else open_s)
        yield set_.toolbox


async def listed_tools(*targets: Target) -> list[tuple[str, DescribedTool]]:
    """Return the tools of MCP servers, each with the name of its server.

    Args:
        targets: The servers, as for `mcp_tools`.

    Raises:
        ConfigError: The package `mcp` is missing, or a program cannot be started.
        ConnectError: A server cannot be reached, or does not speak the protocol.
        DeadlineError: A server did not answer in time.
    """
    require_mcp()
    from .connection import OPEN_S

    toolbox = Toolbox()
    toolbox.on_notice = _ignore
    set_ = _ToolSet(toolbox, DEFAULT_TIMEOUT_S, McpCalls())
    try:
        await set_.open(targets, OPEN_S)
        return set_.listed()
    finally:
        await set_.aclose()


def _ignore(text: str) -> None:
    del text  # the reader of a list sees what was changed in it


def require_mcp() -> None:
    """Check that the package `mcp` is installed.

    Raises:
        ConfigError: It is not, or it is of a version before 2; the hint has the command.
    """
    if find_spec("mcp_types") is None:  # a package that only version 2 brings along
        raise ConfigError(
            "Tools from MCP servers need the package mcp 2.",
            hint=f"Install it: {install_command('mcp')}",
        )


def load_servers(path: Path) -> list[McpServer]:
    """Return the servers of a standard configuration file, `mcp.json`.

    Args:
        path: The file.

    Raises:
        FileError: It cannot be read, or an entry names no server that can be reached.
        ConfigError: A variable that it refers to is not set.
    """
    return read_servers(read_text_file(path), path.name, os.environ)


class _ToolSet:
    """The servers of one toolbox.

    Args:
        given: The toolbox, with the other tools.
        call_s: Maximum duration of a call, in seconds.
        calls: The calls of all servers.
    """

    def __init__(self, given: Toolbox, call_s: float, calls: McpCalls) -> None:
        self.toolbox = given
        self._call_s = call_s
        self._calls = calls
        self._connections: list[McpConnection] = []
        self._names: dict[McpConnection, dict[str, DescribedTool]] = {}
        """The tools of each server by their names in the toolbox."""
        self._told: set[str] = set()
        """Sentences about tools, which are said once."""
        self._answer_name = ""
        """Name of the tool for answers; empty before there is one."""

    async def open(self, targets: Iterable[Target], open_s: float) -> None:
        """Connect to all servers at once, and add their tools."""
        from .connection import McpConnection

        for target in targets:
            server = read_target(target) if isinstance(target, str) else target
            connection = McpConnection(
                server,
                self._calls,
                on_notice=self._notice,
                on_tools=self._changed,
                call_s=self._call_s,
                open_s=open_s,
            )
            self._connections.append(connection)
        if not self._connections:
            return
        await asyncio.gather(*(connection.open() for connection in self._connections))
        for connection in self._connections:
            self._take(connection)
        self._answer_name = service_name(ANSWER_TOOL, "user", self._is_taken)
        self.toolbox.replace((), [self._calls.answer_tool(self._answer_name, self._call_s)])

    def listed(self) -> list[tuple[str, DescribedTool]]:
        """Return the tools of the servers, each with the name of its server."""
        return [
            (connection.name, tool)
            for connection, tools in self._names.items()
            for tool in tools.values()
        ]

    async def aclose(self) -> None:
        """Take the tools away, close the connections, and end what still waits for answers."""
        names = {name for tools in self._names.values() for name in tools}
        self.toolbox.replace({*names, self._answer_name}, ())
        await self._calls.aclose()
        await asyncio.gather(*(connection.aclose() for connection in self._connections))

    def _notice(self, text: str) -> None:
        self.toolbox.on_notice(printable(text))

    def _is_taken(self, name: str) -> bool:
        return any(tool.spec.name == name for tool in self.toolbox.tools)

    def _take(self, connection: "McpConnection") -> None:
        """Put the tools of a server into the toolbox, in place of those that it had before."""
        before = self._names.get(connection, {})
        taken = {tool.spec.name for tool in self.toolbox.tools} - set(before)
        described, notices = describe_tools(connection.tools, connection.name, taken)
        now = {tool.spec.name: tool for tool in described}
        self._names[connection] = now
        changed = [tool for name, tool in now.items() if before.get(name) != tool]
        removed = [name for name in before if name not in now]
        self.toolbox.replace(removed, [self._tool(connection, tool) for tool in changed])
        for text in notices:
            if text not in self._told:
                self._told.add(text)
                self._notice(text)

    def _changed(self, connection: "McpConnection") -> None:
        before = set(self._names[connection])
        self._take(connection)
        now = set(self._names[connection])
        sentences = [
            f" {what}: {', '.join(sorted(names))}."
            for what, names in (("New", now - before), ("Gone", before - now))
            if names
        ]
        if sentences:
            said = "".join(sentences)
            self._notice(f"The MCP server {connection.name} has changed its tools.{said}")

    def _tool(self, connection: "McpConnection", described: DescribedTool) -> Tool[..., Any]:
        listed, spec = described.listed, described.spec

        async def call_mcp_tool(arguments: dict[str, Any], context: ToolContext) -> object:
            call = McpCall(context.conversation, self._call_s)
            work = partial(connection.call, call, listed.name, arguments, context)
            return await self._calls.run(call, work)

        return json_tool(
            call_mcp_tool,
            name=spec.name,
            description=spec.description,
            schema=spec.schema,
            timeout_s=self._call_s + GRACE_S,
        )
