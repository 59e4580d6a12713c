"""The options --mcp and --mcp-config: MCP servers whose tools a command offers.

What they need is imported where one of them is given.
"""

from collections.abc import Awaitable, Callable, Sequence
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
    if not servers:
        await run(options)
        return
    from ..mcp_servers import mcp_tools

    options.tools.on_notice = print_notice  # until the display of the conversation is there
    async with mcp_tools(*servers, tools=options.tools):
        if options.reasoner is not None:  # which has the tools; the voice model has only its own
            await run(options)
            return
        declared: Any = options
        config = replace(options.config, tools=options.tools.specs)
        await run(replace(declared, config=config))
