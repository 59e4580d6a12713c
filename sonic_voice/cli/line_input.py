"""Lines of standard input, read by the event loop.

Standard input may be a terminal in its usual line mode, a pipe, a socket, a file or the null
device. The loop waits for it where the system can tell that there is input; a file is read at once.
On Windows a thread waits, which may stay in its last read when the conversation ends.

A terminal delivers a pasted text line by line. Lines that follow each other within `PASTE_GAP_S`
are therefore one text: nobody types as fast. Lines of a pipe stay single.
"""

import asyncio
import codecs
import os
import stat
import sys
from collections import deque
from contextlib import suppress
from functools import partial

from ..daemon_thread import start_in_thread

READ_BYTES = 4096
"""Number of bytes of one read, in which a terminal delivers at most one line."""

MAX_LINE = 100_000
"""Maximum length of a line, in characters; a longer one is read as several."""

PASTE_GAP_S = 0.05
"""Maximum time between two lines of a pasted text, in seconds. A person needs longer for a line."""

BACKGROUND_RETRY_S = 1.0
"""Time after which input that belongs to another job of the terminal is looked at again, in
seconds. To read it would stop this process, and no signal tells when the terminal is ours again."""


class LineInput:
    """A reader of the lines of a file descriptor. It belongs to one task.

    Args:
        fd: The file descriptor. It is not closed.
        in_thread: Whether a thread waits for input, because the event loop cannot.
    """

    def __init__(self, fd: int, *, in_thread: bool = sys.platform == "win32") -> None:
        self.is_terminal = os.isatty(fd)
        self._fd = fd
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._in_thread = in_thread
        self._reading: asyncio.Future[bytes] | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._lines: deque[str] = deque()
        self._ended = False

    async def read(self) -> str | None:
        """Return the next line, or the lines of a pasted text, without the last line end.

        Cancelling loses nothing.

        Returns:
            The text; None at the end of the input.
        """
        while not self._lines:
            if self._ended:
                return None
            await self._fill()
        if self.is_terminal:
            with suppress(TimeoutError):
                while not self._ended and sum(map(len, self._lines)) < MAX_LINE:
                    async with asyncio.timeout(PASTE_GAP_S):
                        await self._fill()
            text = "\n".join(self._lines)
            self._lines.clear()
            return text
        return self._lines.popleft()

    async def _fill(self) -> None:
        """Wait for input, and take the lines that it completes."""
        try:
            read = await self._read_in_thread() if self._in_thread else await self._read_in_loop()
        except OSError:  # the terminal is gone
            read = b""
        self._ended = not read
        *lines, self._rest = (self._rest + self._utf8.decode(read, self._ended)).split("\n")
        if self._rest and (self._ended or len(self._rest) > MAX_LINE):
            lines.append(self._rest)
            self._rest = ""
        self._lines.extend(line.removesuffix("\r") for line in lines)

    async def _read_in_thread(self) -> bytes:
        if self._reading is None:
            read = partial(os.read, self._fd, READ_BYTES)
            self._reading = start_in_thread(read, "sonic typed lines")
        await asyncio.wait([self._reading])  # cancelling it leaves the read to the next call
        reading, self._reading = self._reading, None
        return reading.result()

    async def _read_in_loop(self) -> bytes:
        if not self._is_file:
            await self._readable()
        return os.read(self._fd, READ_BYTES)

    async def _readable(self) -> None:
        """Wait until a read would return at once, and would not stop this process."""
        while True:
            loop = asyncio.get_running_loop()
            readable = loop.create_future()
            try:
                loop.add_reader(self._fd, _resolve, readable)
            except PermissionError:  # a device such as /dev/null, which is always readable
                return
            try:
                await readable
            finally:
                loop.remove_reader(self._fd)
            if not self.is_terminal or not _in_background(self._fd):
                return
            await asyncio.sleep(BACKGROUND_RETRY_S)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _in_background(fd: int) -> bool:
    """Return whether another job has the terminal."""
    with suppress(OSError):  # it is not our controlling terminal, so no job has it
        return sys.platform != "win32" and os.tcgetpgrp(fd) != os.getpgrp()
    return False
