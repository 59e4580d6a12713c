"""The outputs of a conversation: standard output, and the file of `--events`.

Writing can fail in the middle of a conversation: the disk is full, the reader of a pipe has closed
it (`| head -1`), or the terminal was closed. This must not end the conversation with an exception.
`LineOutput` and `PrintOutput` write until an error occurs, then call `on_failure` once and drop
further output.

With `--json` standard output has JSON lines only. `json_lines_only` reserves it for them and points
file descriptor 1 to standard error, so that output of tools goes there, including that of C
libraries and child processes.
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
"""Errors that mean that the reader is gone: a closed pipe or socket, a closed terminal (EIO)."""

type OnFailure = Callable[[OSError], None]
"""Function that is called with the first error of an output."""


class LineOutput:
    """An output that writes whole lines to a file descriptor, unbuffered.

    A line that was written only in part is removed again if the file allows it, so that every line
    of the file can be parsed.

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
            text: The lines. A lone surrogate is written as its JSON escape.
            retry: Whether to try even after an error: a short last line may still fit on the disk.
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
        """Do nothing, because lines are not buffered."""

    def close(self) -> None:
        """Close the file descriptor. May be repeated."""
        if self._fd >= 0:
            # The error was reported by `write`, or nothing was lost.
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1


class PrintOutput:
    """An output that writes to the current `sys.stdout`, as `print` does.

    Args:
        on_failure: Called with the first error.
    """

    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._failed = False

    def write(self, text: str) -> None:
        """See `TextOutput`."""
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
        """Do nothing, because `write` flushes."""


def discard(file: TextIO) -> None:
    """Point a file at the null device, so that flushing it at exit cannot fail.

    Args:
        file: A file with a descriptor; others are left unchanged.
    """
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


@contextmanager
def json_lines_only(on_failure: OnFailure) -> Generator[LineOutput]:
    """Reserve standard output for JSON lines, and redirect all other output to standard error.

    Args:
        on_failure: Called with the first error of writing JSON lines.

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
