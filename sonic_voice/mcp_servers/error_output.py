"""The standard error of a server that is a program, kept off the terminal and quoted if it ends."""

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from ..printable import printable

_LINES = 20
"""Maximum number of lines that are kept."""

_LINE_CHARACTERS = 300
"""Maximum length of a line that is kept, in characters."""

_READ_BYTES = 65_536
"""Maximum size of one read, in bytes: that of a pipe on Linux."""

_log = logging.getLogger("mcp_server")
"""Log of what servers write. It is none of this package's, so that it is shown with --debug and not
kept by --log-file: it may contain what was said."""


class ErrorOutput:
    """The last lines that a program has written to its standard error.

    Args:
        name: Name of the program, for the log.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._rest = b""

    @property
    def last_line(self) -> str:
        """The last line that is not blank; empty if there is none."""
        return next(filter(None, reversed([*self._lines, _line(self._rest)])), "")

    @contextmanager
    def file(self) -> Generator[TextIO]:
        """Open the file that a program writes to. What it writes is logged for --debug."""
        self._lines.clear()
        self._rest = b""
        if sys.platform == "win32":  # its event loop reads no pipe of this kind
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123
                yield nowhere
            return
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(reading, self._read, reading)
        try:
            with os.fdopen(writing, "w") as file:
                yield file
            self._read(reading)
        finally:
            loop.remove_reader(reading)
            os.close(reading)

    def _read(self, reading: int) -> None:
        try:
            data = os.read(reading, _READ_BYTES)
        except BlockingIOError:
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_READ_BYTES:]
        for line in lines:
            text = _line(line)
            self._lines.append(text)
            _log.debug("%s: %s", self._name, text)


def _line(data: bytes) -> str:
    return printable(data.decode(errors="replace")).strip()[:_LINE_CHARACTERS]
