"""The options --mcp and --mcp-config: MCP servers whose tools a command offers.

What they need is imported where one of them is given.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..config import SessionConfig
from ..tools.toolbox import Toolbox
from .ending import print_notice

if TYPE_CHECKING:
    from ..mcp_servers import McpServer


class Options(Protocol):
    """The options of a conversation or a server, a dataclass."""

    @property
    def config(self) -> SessionConfig:
        """Configuration of the session, or of each."""
        ...

    @property
    def tools(self) -> Toolbox:
        """Tools that the model may call."""
        ...

    @property
    def reasoner(self) -> object | None:
        """Return the reasoner of the voice model, with the tools; None without one."""
        ...


def mcp_servers(targets: Sequence[str] | None, config: Path | None) -> "list[McpServer]":
    """Return the MCP servers that the options name.

    Args:
        targets: Values of --mcp: command lines and URLs.
        config: Value of --mcp-config, a standard `mcp.json`.

    Raises:
        ConfigError: A server cannot be read, or the package `mcp` is missing.
    """
    if not targets and config is None:
        return []
    from ..mcp_servers import load_servers, read_target, require_mcp

    servers = [read_target(target) for target in targets or ()]
    if config is not None:
        servers += load_servers(config)
    require_mcp()
    return servers


async def run_with_tools[T: Options](
    servers: "Sequence[McpServer]", options: T, run: Callable[[T], Awaitable[None]]
) -> None:
    """Run a command while the tools of MCP servers are in its toolbox.

    Args:
        servers: The servers; without one the command is run as it is.
        options: The options, whose toolbox is changed.
        run: The command. It gets the options with the tools declared in their configuration.

    Raises:
        ConfigError: A program cannot be started.
        ConnectError: A server cannot be reached.
        DeadlineError: A server did not answer in time.
    """
    has_reasoner = options.reasoner is not None
    async with offered_tools(
        servers, options.config, options.tools, has_reasoner=has_reasoner
    ) as config:
        declared: Any = options
        await run(options if config is options.config else replace(declared, config=config))


@asynccontextmanager
async def offered_tools(
    servers: "Sequence[McpServer]", config: SessionConfig, tools: Toolbox, *, has_reasoner: bool
) -> AsyncGenerator[SessionConfig]:
    """Add the tools of MCP servers to a toolbox while the block runs.

    Args:
        servers: The servers; without one nothing changes.
        config: The configuration of the conversation.
        tools: The toolbox.
        has_reasoner: Whether a reasoner has the tools. The voice model then has only its own.

    Yields:
        The configuration, in which the tools are declared if the voice model has them.

    Raises:
        ConfigError: A program cannot be started.
        ConnectError: A server cannot be reached.
        DeadlineError: A server did not answer in time.
    """
    if not servers:
        yield config
        return
    from ..mcp_servers import mcp_tools

    tools.on_notice = print_notice  # until the display of the conversation is there
    async with mcp_tools(*servers, tools=tools):
        yield config if has_reasoner else replace(config, tools=tools.specs)
