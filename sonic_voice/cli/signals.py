"""The signals that end a command: Ctrl-C (SIGINT), SIGTERM and SIGHUP.

The first one ends the command gracefully: in a conversation it says goodbye, keeps the recording
and prints the summary. The second one ends the process at once. Either way the exit code is 128
plus the number of the first signal: 130, 143 or 129.

    phase               first signal                              second signal
    importing           exit, nothing was begun                   -
    preparing           SystemExit, which runs the clean-up       exit
    the event loop runs the command's task is cancelled           last words, then exit
    finished            exit                                      -

"Exit" is `os._exit`: an exception that is raised while Python imports or shuts down would be
printed with a stack trace, and a thread that does not end would hold up the exit. *Last words* are
functions that do at once what the cancelled task would have done: restore the terminal, put the
recording in place, write the last record. They run in the event loop, where they cannot meet a
half-finished write, or in a thread of their own if the loop does not run them in time.

This module is imported before all others of the command line, so it imports little.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

EXIT_CALLBACKS_S = 0.3
"""Seconds that the event loop has to run the last words after a second signal. A loop that is
blocked for longer, for instance by a tool, is not waited for."""

SIGNAL_EXIT = 128
"""Shells report a process that was ended by signal n with exit code 128 + n; so do we."""

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""SIGHUP says that the terminal was closed. Windows has no such signal."""

type ExitCallback = Callable[[], object]


class EndingSignals:
    """What the signals of this process do. There is one instance, `ending_signals`."""

    def __init__(self) -> None:
        self.importing = True
        """Whether nothing has been begun that a signal would have to end gracefully."""
        self.exit_code: int | None = None
        """The exit code that the first signal, or `stop`, asked for; None before."""
        self.signal_name: str | None = None
        """The first signal: SIGINT, SIGTERM or SIGHUP; None if there was none."""
        self._deferrals = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._exit_callbacks: list[ExitCallback] = []

    def install(self) -> None:
        """Handle the signals from here on, but for those that the parent process had ignored.

        `nohup` ignores SIGHUP, and a shell SIGINT for what it runs in the background.
        """
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def finished(self) -> None:
        """Say that the command is over: a signal may end the process at once."""
        self._exit_callbacks.clear()
        self.importing = True

    @contextmanager
    def deferred(self) -> Generator[None]:
        """Hold signals back while a file is created that must not be left behind.

        Raises:
            SystemExit: At the end of the block, if there was a signal.
        """
        self._deferrals += 1
        try:
            yield
        finally:
            self._deferrals -= 1
        if self.exit_code is not None:
            raise SystemExit(self.exit_code)

    @contextmanager
    def on_forced_exit(self, word: ExitCallback) -> Generator[None]:
        """Call `word` if the process is ended at once during this block."""
        self._exit_callbacks.append(word)
        try:
            yield
        finally:
            with suppress(ValueError):  # `finished` may have removed it
                self._exit_callbacks.remove(word)

    @contextmanager
    def cancelling(self) -> Generator[Callable[["asyncio.Task[Any]"], bool]]:
        """Have the first signal cancel a task: for the code around `asyncio.run`.

        Yields:
            A function to be called with the running loop's main task. It returns False if the
            task must not begin, because there was a signal already.
        """
        self._deferrals += 1  # until there is a task to cancel

        def begin(task: "asyncio.Task[Any]") -> bool:
            self._task, self._loop = task, task.get_loop()
            return self.exit_code is None

        try:
            yield begin
        finally:
            self._deferrals -= 1
            self._loop = self._task = None

    def stop(self, code: int) -> None:
        """End the command gracefully with exit code `code`, as a first signal does."""
        if self.exit_code is None:
            self.exit_code = code
            if self._task is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _handle(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.importing:
            os._exit(SIGNAL_EXIT + number)
        first = self.signal_name is None
        self.signal_name = self.signal_name or name
        running = self._task is not None and not self._task.done()
        if self._deferrals and first and (running or self._task is None):
            self.stop(SIGNAL_EXIT + number)
        elif first and not self._deferrals:
            self.exit_code = SIGNAL_EXIT + number
            raise SystemExit(self.exit_code)
        else:
            self.exit_code = self.exit_code or SIGNAL_EXIT + number
            self._exit_soon()

    def _exit_soon(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(self._exit)
                threading.Timer(EXIT_CALLBACKS_S, self._exit).start()
                return
        self._exit()

    def _exit(self) -> None:
        words, self._exit_callbacks = self._exit_callbacks, []
        for word in reversed(words):
            with suppress(Exception):  # the next one may succeed, and nobody is left to be told
                word()
        os._exit(self.exit_code or 1)


ending_signals = EndingSignals()
"""The signals of this process."""
