"""MCP servers in processes of their own: on standard input and output, and by HTTP on loopback."""

import asyncio
import json
import shlex
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.errors import ConfigError, ConnectError, DeadlineError
from sonic_voice.mcp_servers import mcp_tools
from sonic_voice.tools.context import ToolContext
from sonic_voice.tools.toolbox import Toolbox

SCRIPT = Path(__file__).parents[1] / "support" / "mcp_robot.py"
ROBOT = shlex.join([sys.executable, str(SCRIPT)])
GO = {"direction": "forward", "meters": 3}
PATIENCE_S = 30.0


async def call(tools: Toolbox, name: str, **arguments: Any) -> dict[str, Any]:
    return json.loads(await tools.run(name, json.dumps(arguments), timeout_s=PATIENCE_S))


class Notices(list[str]):
    """The sentences that the user was told, and an event at each."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def add(self, text: str) -> None:
        self.append(text)
        self._told.set()

    async def until(self, words: str) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := [text for text in self if words in text]):
                self._told.clear()
                await self._told.wait()
        return found[0]


async def test_a_program_that_dies_is_started_again_by_the_next_call() -> None:
    notices = Notices()
    async with mcp_tools(ROBOT, on_notice=notices.add, call_s=PATIENCE_S) as tools:
        assert await call(tools, "go", **GO) == GO
        died = await call(tools, "die")
        assert "ended during the call" in died["error"]
        assert await notices.until("has ended") == (
            "The MCP server mcp_robot.py has ended: out of battery. "
            "It is started again when a tool of it is called."
        )
        assert await call(tools, "go", **GO) == GO

        # Over pipes a server of 2025 does not say which call asks.
        first, second = (
            tools.for_conversation(ToolContext(conversation=name)) for name in ("first", "second")
        )
        assert "question" in await call(first, "explode")
        assert await call(second, "book") == {"result": "decline None"}
        assert await call(first, "answer_question", answer="no") == {"result": "sure: False"}


@asynccontextmanager
async def http_robot(port: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The robot behind a port of this machine."""
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, SCRIPT, str(port)), stdout=nowhere, stderr=nowhere
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


async def test_a_server_behind_a_url_may_go_and_come_back() -> None:
    port, notices = free_port(), Notices()
    url = f"http://127.0.0.1:{port}/mcp"
    async with (
        http_robot(port) as process,
        mcp_tools(url, on_notice=notices.add, call_s=PATIENCE_S) as tools,
    ):
        assert await call(tools, "go", **GO) == GO
        assert (await call(tools, "book"))["expected"] == "a whole number in digits"
        assert await call(tools, "answer_question", answer="4") == {"result": "accept people=4"}
        assert await call(tools, "learn") == {"result": "learned"}
        assert await notices.until("has changed its tools") == (
            f"The MCP server 127.0.0.1:{port}/mcp has changed its tools. New: dance. Gone: slowly."
        )
        assert "error" in await call(tools, "die")
        await notices.until("has ended")
        await process.wait()
        gone = await call(tools, "go", **GO)
        assert "go is not available" in gone["error"]
        async with http_robot(port):
            assert await call(tools, "go", **GO) == GO


async def test_a_server_that_cannot_be_started_is_named_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="no-such-program cannot be started: No such") as raised:
        async with mcp_tools("no-such-program --x", on_notice=print):
            pass
    assert raised.value.hint == "Check the command: is no-such-program installed?"
    dying = shlex.join([sys.executable, "-c", "raise SystemExit('no licence')"])
    with pytest.raises(ConnectError, match=r"cannot be reached.*It said: no licence"):
        async with mcp_tools(dying, on_notice=print):
            pass
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:9/mcp cannot be reached"):
        async with mcp_tools("http://127.0.0.1:9/mcp?key=secret", on_notice=print):
            pass


async def test_a_server_that_hangs_at_its_start_is_given_up() -> None:
    silent = shlex.join([sys.executable, "-c", "import sys; sys.stdin.read()"])
    with pytest.raises(DeadlineError, match=r"did not answer within 0\.5 s"):
        async with mcp_tools(silent, on_notice=print, open_s=0.5):
            pass


async def test_one_server_that_is_missing_does_not_wait_for_another_that_hangs() -> None:
    silent = shlex.join([sys.executable, "-c", "import sys; sys.stdin.read()"])
    with pytest.raises(ConfigError, match="no-such-program"):
        async with mcp_tools(silent, "no-such-program", on_notice=print, open_s=3600):
            pass
