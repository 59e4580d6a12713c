"""A program on a pseudo-terminal of its own, as a person uses it: typed to, and read."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

PATIENCE_S = 60.0

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class PtyProgram:
    """The command `sonic-voice` on a terminal."""

    def __init__(self, process: Process, person: int) -> None:
        self.process = process
        self.raw = b""
        """All that was written to the terminal."""
        self._person = person
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def text(self) -> str:
        """The written text, without escape sequences."""
        return ESCAPES.sub("", self.raw.decode(errors="replace"))

    def type(self, text: str) -> None:
        os.write(self._person, text.encode())

    async def until(self, words: str, times: int = 1) -> None:
        """Wait until `words` were written so many times."""
        async with asyncio.timeout(PATIENCE_S):
            while self.text.count(words) < times:
                assert self.process.returncode is None, self.text
                self._changed.clear()
                await self._changed.wait()

    async def ended(self) -> int:
        """Wait for the end; return the exit code."""
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
            await self._reading
            return code

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        os.close(self._person)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            readable = asyncio.Event()
            loop.add_reader(self._person, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._person)
            try:
                read = os.read(self._person, 65_536)
            except OSError:  # the program has closed the terminal
                read = b""
            self.raw += read
            self._changed.set()
            if not read:
                return


@asynccontextmanager
async def pty_program(
    *arguments: str, environment: Mapping[str, str], cwd: Path
) -> AsyncGenerator[PtyProgram]:
    """Run `sonic-voice` on a terminal of 80 columns and 24 rows until the end of the block."""
    person, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", *arguments),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=cwd,
        env={
            **environment,
            "TERM": "xterm",
            "PYTHONPATH": os.fspath(Path(__file__).parents[2]),
        },
    )
    os.close(terminal)
    program = PtyProgram(process, person)
    try:
        yield program
    finally:
        await program.close()
