"""What a conversation writes to: standard output, and the file of `--events`.

Writing can fail in the middle of a conversation, and that must not end it with an exception: the
disk is full, the reader of a pipe has gone (`| head -1`), the terminal was closed. `LineOutput` and
`PrintOutput` write as long as it works, then call `on_failure` once and drop the rest.

With `--json` standard output holds JSON lines only. `json_lines_only` keeps it for them and points
file descriptor 1 to standard error, so that what tools print, C libraries and child processes
included, goes there.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO

READER_GONE = (errno.EPIPE, errno.EIO, errno.ECONNRESET)
"""Errors that say nobody reads any more: a closed pipe or socket, a closed terminal (EIO)."""

type OnFailure = Callable[[OSError], None]


class LineOutput:
    """Writes whole lines to a file descriptor, unbuffered.

    A line that could be written only in part is removed again where the file allows it, so that
    every line of a file can be parsed.

    Args:
        fd: An open file descriptor; `close` closes it.
        on_failure: Called with the first error.
    """

    def __init__(self, fd: int, on_failure: OnFailure) -> None:
        self._fd = fd
        self._on_failure = on_failure
        self._failed = False
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)

    def write(self, text: str, *, retry: bool = False) -> None:
        """Write one or more whole lines.

        Args:
            text: The lines. A lone surrogate is written as the escape that JSON has for it.
            retry: Try even after a failure: there may be room for a short last line.
        """
        if self._fd < 0 or (self._failed and not retry):
            return
        try:
            self._write(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._on_failure(error)

    def _write(self, data: bytes) -> None:
        view, written = memoryview(data), 0
        try:
            while written < len(view):
                written += os.write(self._fd, view[written:])
        except OSError:
            if self._regular and written:
                with contextlib.suppress(OSError):
                    end = os.lseek(self._fd, -written, os.SEEK_CUR)
                    os.ftruncate(self._fd, end)
            raise

    def flush(self) -> None:
        """Do nothing: every line was passed on."""

    def close(self) -> None:
        """Close the file descriptor. May be repeated."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # its failure was told, or nothing was lost
                os.close(self._fd)
            self._fd = -1


class PrintOutput:
    """Prints to standard output as `print` does, whatever `sys.stdout` is at that time."""

    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._failed = False

    def write(self, text: str) -> None:
        """See `story.Output`."""
        if self._failed:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            self._failed = True
            discard(sys.stdout)
            self._on_failure(error)

    def flush(self) -> None:
        """Do nothing: all was passed on."""


def discard(file: TextIO) -> None:
    """Point `file` to nowhere: else Python would try to write the rest of its buffer at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


@contextmanager
def json_lines_only(on_failure: OnFailure) -> Generator[LineOutput]:
    """Keep standard output for JSON lines; all else that is printed goes to standard error.

    Yields:
        The writer of the JSON lines.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    lines = LineOutput(kept, on_failure)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no standard error
        discard(sys.stdout)
    try:
        yield lines
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os.dup2(kept, 1, inheritable=True)
        lines.close()
