"""Debian's Redis server as a program of its own, which a test can stop, hold and start again."""

import asyncio
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_S = 20.0


def need_redis() -> None:
    """Skip the test where Redis is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("without Redis: apt-get install redis-server")


@dataclass
class RealRedis:
    """A server at a socket in a folder. It keeps nothing when it is stopped."""

    folder: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    async def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = {"unixsocket": f"{self.folder}/redis.sock", "dir": str(self.folder)}
        settings |= {"port": "0", "save": "", "appendonly": "no"}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        process = await asyncio.create_subprocess_exec(
            "redis-server", *words, stdout=asyncio.subprocess.PIPE
        )
        self.process = process
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            while b"accept connections" not in (line := await process.stdout.readline()):
                assert line, "Redis does not start"

    async def stop(self) -> None:
        """Kill it. Everything in it is lost."""
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.communicate()
            self.process = None

    def hold(self) -> None:
        """Let it take connections, and answer none."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def real_redis(folder: Path) -> AsyncGenerator[RealRedis]:
    """Run a Redis server whose socket is in `folder`."""
    need_redis()
    server = RealRedis(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
