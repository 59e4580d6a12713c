"""An MCP server for tests: a robot, with a tool for each thing that can go wrong.

Run as a program it serves on standard input and output, or with a port by Streamable HTTP.
"""

import asyncio
import os
import sys
from typing import Annotated, Any, Literal

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import UNSUPPORTED_PROTOCOL_VERSION
from pydantic import BaseModel, Field

HUGE = 500_000
"""Length of the result of the tool `huge`, in characters."""


class Table(BaseModel):
    """The form of a question to the user."""

    people: int = Field(description="How many people?")


class Sure(BaseModel):
    """The form of a confirmation."""

    sure: bool


async def confirm() -> Elicit[Sure]:
    """Ask the user by the protocol of 2026."""
    return Elicit("Shall I really do it?", Sure)


async def refuse_handshake(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Refuse the handshake of 2025, as a server does that only has the protocol of 2026."""
    if ctx.method == "initialize":
        raise MCPError(code=UNSUPPORTED_PROTOCOL_VERSION, message="2026-07-28 is needed")
    return await call_next(ctx)


def robot_server(*, modern: bool = False) -> MCPServer:
    """Return a new server.

    Args:
        modern: Whether it has the protocol of 2026 only.
    """
    server = MCPServer("robot", log_level="CRITICAL")
    if modern:
        server.middleware.append(refuse_handshake)

    @server.tool()
    async def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
        """Move the robot."""
        return {"direction": direction, "meters": meters}

    @server.tool(name="turn/left")
    async def turn(degrees: int | str | None = None) -> str:
        """Turn the robot to the left."""
        return f"turned {degrees!r}"

    @server.tool()
    async def die() -> str:
        """End the server."""
        print("out of battery", file=sys.stderr, flush=True)
        os._exit(3)

    @server.tool()
    async def hang() -> str:
        """Never answer."""
        await asyncio.Event().wait()
        return ""

    @server.tool()
    async def huge() -> str:
        """Describe everything."""
        return "word " * (HUGE // 5)

    @server.tool()
    async def fail() -> str:
        """Fail."""
        raise ToolError("The motor is hot.")

    _add_talking_tools(server)
    return server


def _add_talking_tools(server: MCPServer) -> None:
    """Add the tools that send something to the client before they have a result."""

    @server.tool()
    async def slowly(ctx: Context) -> str:
        """Report progress."""
        await ctx.report_progress(1, 2, "I am half way.")
        return "there"

    @server.tool()
    async def learn(ctx: Context) -> str:
        """Get a new tool, and lose another."""

        @server.tool()
        async def dance() -> str:
            """Dance."""
            return "danced"

        server.remove_tool("slowly")
        await ctx.session.send_tool_list_changed()
        await ctx.notify_tools_changed()
        return "learned"

    @server.tool()
    async def book(ctx: Context) -> str:
        """Book a table, for which the user is asked by the protocol of 2025."""
        answer = await ctx.elicit("I book a table.", Table)
        return f"{answer.action} {getattr(answer, 'data', None)}"

    @server.tool()
    async def explode(sure: Annotated[Sure, Resolve(confirm)]) -> str:
        """Explode, if the user is sure."""
        return f"sure: {sure.sure}"


if __name__ == "__main__":
    robot = robot_server()
    if sys.argv[1:]:
        robot.run("streamable-http", port=int(sys.argv[1]))
    else:
        robot.run()
