"""Standard output and standard error during a conversation: a thread writes what is printed.

`background_streams` replaces `sys.stdout` and `sys.stderr`, so that `print` never waits, whoever
calls it: the transcript, the screen, a notice, the log, a tool. Both have one thread if they are
the same file, so that the order is kept. What C libraries and child processes write is not
affected.

At the end, the rest is written. A terminal has `TERMINAL_S` for that, because a person wants to
quit; a pipe or a file has as long as it takes, unless a signal asked for the end. A stream that is
then still blocked is pointed to the null device, so that nothing that is printed later waits, and
the flush at exit does not either.
"""

import io
import logging
import os
import select
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from typing import Any, TextIO, cast, override

from .output import OnFailure, discard
from .output_thread import OutputThread
from .signals import ending_signals

TERMINAL_S = 3.0
"""Maximum time at the end for output that waits for a terminal, in seconds. A terminal that takes
2 KB/s needs about one second for the last lines and the summary."""

RESTORE_S = 1.0
"""Maximum time after `TERMINAL_S` for the text that restores a slow terminal, in seconds."""

WRITE_BYTES = 4096
"""Maximum size of one write, in bytes. Output that is discarded ends after the current one."""


class BackgroundText(io.TextIOBase):
    """A text file whose output a thread writes, so that `write` never waits and never fails.

    Output that finds the queue full is dropped, and a line says how many characters are missing.

    Args:
        file: The file. What it has buffered is written now.
        thread: The thread that writes.
        on_failure: Called in the thread with the first error; later output is dropped.
    """

    def __init__(self, file: TextIO, thread: OutputThread, on_failure: OnFailure) -> None:
        with suppress(OSError, ValueError):  # the thread will meet the same error
            file.flush()
        self._file = file
        # Below the buffer, which has a lock: a write that is blocked would hold it at exit.
        self._raw = cast(io.RawIOBase, getattr(file.buffer, "raw", file.buffer))
        self.thread = thread
        """The thread that writes."""
        self._on_failure = on_failure
        self._failed = False
        self._dropped = 0

    @property
    @override
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Encoding of the file."""
        return self._file.encoding

    @property
    @override
    def errors(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Treatment of characters that the encoding does not have; never an exception."""
        errors = self._file.errors or "strict"
        return "replace" if errors == "strict" else errors

    @property
    def behind(self) -> bool:
        """True while the file has not taken all output."""
        return self.thread.behind

    @override
    def writable(self) -> bool:
        """Return True."""
        return True

    @override
    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    @override
    def isatty(self) -> bool:
        """Return whether the file is a terminal."""
        return self._file.isatty()

    @override
    def write(self, text: str, /) -> int:
        """Queue a text.

        Args:
            text: The text.

        Returns:
            The length of the text.
        """
        if self._dropped and self._queue(f"\n[{self._dropped} characters are missing here.]\n"):
            self._dropped = 0
        if self._dropped or not self._queue(text):
            self._dropped += len(text)
        return len(text)

    def _queue(self, text: str) -> bool:
        encoded = text.replace("\n", os.linesep).encode(self.encoding, self.errors)
        return not encoded or self.thread.submit(partial(self._write, encoded), len(encoded))

    @override
    def flush(self) -> None:
        """Do nothing, because the thread writes each text at once."""

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until the file has taken all output, and return whether it has.

        Args:
            timeout_s: Maximum time, in seconds; None is without limit.
        """
        return self.thread.wait(timeout_s)

    def discard(self) -> None:
        """Drop the output that waits."""
        self.thread.discard()

    def stop(self, timeout_s: float | None) -> None:
        """Write what waits, and end the thread.

        Args:
            timeout_s: Maximum time, in seconds; None is without limit. When it is over, the rest is
                dropped, the cursor of a terminal is shown, and a file that is still blocked is
                pointed to the null device.
        """
        if not self.thread.stopped and not self.thread.wait(timeout_s):
            self.thread.discard()
            if self.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown"):
                self._queue(RESTORED)
        if not self.thread.stop(RESTORE_S):
            discard(self._file)

    def _write(self, encoded: bytes) -> None:
        if self._failed:
            return
        rest = memoryview(encoded)
        try:
            while rest and not self.thread.stopped:
                written = self._raw.write(rest[:WRITE_BYTES])
                if written is None:  # another program has made the file non-blocking
                    select.select([], [self._raw], [])
                rest = rest[written or 0 :]
        except OSError as error:
            self._failed = True
            self._on_failure(error)


RESTORED = "\r\x1b[J\x1b[0m\x1b[?25h"
"""Escape sequences that erase everything from the cursor's line on, and show the cursor."""


@contextmanager
def background_streams(on_failure: OnFailure) -> Generator[Callable[[float], None]]:
    """Let threads write what is printed during the block.

    Streams that are closed, or are no files, stay as they are.

    Args:
        on_failure: Called with the first error of standard output, in a thread.

    Yields:
        A function that waits until all output is written, for at most a number of seconds.
    """
    streams: list[BackgroundText] = []
    with ExitStack() as stack:
        if _is_file(sys.stdout):
            streams.append(BackgroundText(sys.stdout, OutputThread("sonic stdout"), on_failure))
            stack.enter_context(redirect_stdout(streams[0]))
        if _is_file(sys.stderr):
            thread = OutputThread("sonic stderr")
            if streams and os.path.sameopenfile(streams[0].fileno(), sys.stderr.fileno()):
                thread = streams[0].thread
            before = sys.stderr
            streams.append(BackgroundText(sys.stderr, thread, lambda _: None))
            stack.enter_context(redirect_stderr(streams[-1]))
            stack.enter_context(_log_to(before, streams[-1]))

        def wait(timeout_s: float) -> None:
            for stream in streams:
                stream.wait(timeout_s)

        try:
            yield wait
        finally:
            for stream in streams:
                hurried = stream.isatty() or ending_signals.exit_code is not None
                stream.stop(TERMINAL_S if hurried else None)


def _is_file(stream: TextIO | None) -> bool:
    """Return whether a stream is open and has a descriptor."""
    try:
        return stream is not None and hasattr(stream, "buffer") and stream.fileno() >= 0
    except (OSError, ValueError):
        return False


@contextmanager
def _log_to(before: TextIO, after: BackgroundText) -> Generator[None]:
    """Let the handlers of the log that write to one stream write to another during the block."""
    handlers: list[logging.StreamHandler[Any]] = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and cast(logging.StreamHandler[Any], handler).stream is before
    ]
    for handler in handlers:
        handler.setStream(after)
    try:
        yield
    finally:
        for handler in handlers:
            handler.setStream(before)
