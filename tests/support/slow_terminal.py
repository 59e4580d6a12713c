"""A terminal whose reader is slow, stopped, or resized all the time, with a program in it."""

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

IN_A_SESSION = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal control the program, as a shell does."""

TICK_S = 0.05


class SlowTerminal:
    """The other side of a pseudo-terminal, read by a thread as `pace` says."""

    def __init__(self, controller: int) -> None:
        self.seen = b""
        """The bytes that were read so far."""
        self.first_s: float | None = None
        """When the first output was read, in seconds of `time.monotonic()`."""
        self.bytes_per_s: float = float("inf")
        """The rate at which it is read."""
        self.resizing = False
        """True if its size changes at every tick."""
        self._controller = controller
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    async def until(self, words: bytes, timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while words not in self.seen:
            assert time.monotonic() < deadline_s, self.seen[-2000:]
            assert self._reader.is_alive(), self.seen[-2000:]
            await asyncio.sleep(TICK_S)

    def close(self) -> None:
        self._ended.set()
        self._reader.join()

    def _read(self) -> None:
        allowed, columns = 0.0, 80
        last_s = time.monotonic()
        while not self._ended.is_set():
            if self.resizing:
                columns = 50 + (columns + 7) % 60
                self.resize(columns, 20 + columns % 9)
            now = time.monotonic()
            unlimited = self.bytes_per_s == float("inf")
            allowed = min(4096.0, allowed + self.bytes_per_s * (now - last_s))
            last_s = now
            readable = select.select([self._controller], [], [], 0.0 if allowed < 1 else TICK_S)[0]
            if allowed >= 1 and readable:
                try:
                    self.seen += os.read(self._controller, int(allowed))
                except OSError:  # the program has closed its side
                    return
                self.first_s = self.first_s or time.monotonic()
                allowed = 4096.0 if unlimited else 0.0
            elif not unlimited:
                time.sleep(TICK_S)


@asynccontextmanager
async def in_terminal(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> AsyncGenerator[tuple[SlowTerminal, asyncio.subprocess.Process]]:
    """Run `sonic-voice` with a terminal of 80 x 24 cells."""
    controller, terminal = pty.openpty()
    shown = SlowTerminal(controller)
    shown.resize(80, 24)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IN_A_SESSION, sys.executable, "-m", "sonic_voice"),
        *arguments,
        cwd=cwd,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | (environment or {}),
    )
    os.close(terminal)
    try:
        yield shown, process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        shown.close()
        os.close(controller)
