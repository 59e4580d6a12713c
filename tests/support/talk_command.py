"""The command as a person starts it, and what it tells while it runs."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

PATIENCE_S = 25.0

BUSY = ("This machine is too busy", "because this machine is busy")
"""Notices about a machine that the tests keep busy themselves."""


class Talk:
    """The command while it runs: its events, as they come."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.notices: list[str] = []
        """Lines of its standard error."""
        self._changed = asyncio.Event()
        self._reading = asyncio.gather(self._read(), self._read_notices())

    async def until(self, name: str, **fields: Any) -> float:
        """When the event came, in seconds of `time.monotonic()`; waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for at_s, event in self.events:
                    if event["event"] == name and fields.items() <= event.items():
                        return at_s
                self._changed.clear()
                await self._changed.wait()

    async def until_noticed(self, words: str, times: int) -> None:
        """Wait until so many of `notices` have had these `words`."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(words in notice for notice in self.notices) < times:
                self._changed.clear()
                await self._changed.wait()

    def all(self, name: str) -> list[dict[str, Any]]:
        return [event for _, event in self.events if event["event"] == name]

    async def leave(self) -> tuple[int, str, float]:
        """Ctrl-C: the exit code, stderr but for `BUSY`, and the seconds that it took."""
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        code = await self.process.wait()
        took_s = time.monotonic() - began_s
        await self._reading
        others = [line for line in self.notices if not any(words in line for words in BUSY)]
        return code, "".join(others), took_s

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append((time.monotonic(), json.loads(line)))
            self._changed.set()

    async def _read_notices(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.notices.append(line.decode())
            self._changed.set()


@asynccontextmanager
async def talking(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Talk]:
    """`sonic-voice talk --json`, with `environment` on top of this process's."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", "talk", "--json", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        limit=1 << 22,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield Talk(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
