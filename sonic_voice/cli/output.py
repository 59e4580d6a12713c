"""The outputs of a conversation: standard output, and the file of `--events`.

Writing can fail in the middle of a conversation: the disk is full, the reader of a pipe has closed
it (`| head -1`), or the terminal was closed. This must not end the conversation with an exception.
`LineOutput` and `PrintOutput` write until an error occurs, then call `on_failure` once and drop
further output.

Writing can also wait for a slow reader. This must not hold up the conversation: `QueuedLines` lets
a thread write the lines, and `standard_streams` does so with all that is printed.

With `--json` standard output has JSON lines only. `json_lines_only` reserves it for them and points
file descriptor 1 to standard error, so that output of tools goes there, including that of C
libraries and child processes.
"""

import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from ..printable import encodable
from .output_thread import OutputThread

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
            text: The lines. A lone surrogate is written as U+FFFD.
            retry: Whether to try even after an error: a short last line may still fit on the disk.
        """
        if self._fd < 0 or (self._failed and not retry):
            return
        try:
            self._write(encodable(text).encode())
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
            self._failed = True  # a thread that is still writing has been abandoned
            fd, self._fd = self._fd, -1
            # The error was reported by `write`, or nothing was lost.
            with contextlib.suppress(OSError):
                os.close(fd)


class QueuedLines:
    """An output of JSON lines that a thread writes, so that `write` never waits.

    Lines that find its queue full are dropped, and one line says how many:
    `{"event": "Dropped", "lines": 12}`.

    Args:
        lines: The output.
        name: Name of the thread.
    """

    def __init__(self, lines: LineOutput, name: str) -> None:
        self._lines = lines
        self._thread = OutputThread(name)
        self._dropped = 0

    def write(self, text: str, *, retry: bool = False) -> None:
        """Queue one or more whole lines.

        Args:
            text: The lines.
            retry: Whether to write them even after an error, and even if the queue is full.
        """
        if self._dropped:
            gap = json.dumps({"event": "Dropped", "lines": self._dropped}) + "\n"
            if self._queue(gap, retry=retry):
                self._dropped = 0
        if (self._dropped and not retry) or not self._queue(text, retry=retry):
            self._dropped += text.count("\n")

    def _queue(self, text: str, *, retry: bool) -> bool:
        write = partial(self._lines.write, text, retry=retry)
        return self._thread.submit(write, len(text), required=retry)

    def flush(self) -> None:
        """Do nothing, because the thread writes each line at once."""

    def wait(self, timeout_s: float | None) -> None:
        """Wait until all lines are written.

        Args:
            timeout_s: Maximum time, in seconds; None is without limit.
        """
        self._thread.wait(timeout_s)

    def finish(self, timeout_s: float | None) -> None:
        """Write what waits, and end the thread. May be repeated.

        Args:
            timeout_s: Maximum time, in seconds; None is without limit. The rest is then dropped.
        """
        self._thread.stop(timeout_s)

    def close(self, timeout_s: float | None) -> None:
        """Write what waits, end the thread and close the output. May be repeated.

        Args:
            timeout_s: See `finish`.
        """
        self.finish(timeout_s)
        self._lines.close()


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
