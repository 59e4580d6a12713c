"""The signals that end a command: Ctrl-C (SIGINT), SIGTERM and SIGHUP.

The first signal ends the command gracefully: a conversation closes its session, saves the recording
and prints the summary. The second one ends the process at once. In both cases the exit code is 128
plus the number of the first signal: 130, 143 or 129.

    phase               first signal                              second signal
    importing           exit, nothing was begun                   -
    preparing           SystemExit, which runs the clean-up       exit
    the event loop runs the command's task is cancelled           exit callbacks, then exit
    finished            exit                                      -

"Exit" is `os._exit`: an exception that is raised while Python imports or shuts down would be
printed with a stack trace, and a thread that does not end would delay the exit. *Exit callbacks*
are functions that do at once what the cancelled task would have done: restore the terminal, save
the recording, write the last record. They run in the event loop, where no write is half-finished,
or in a thread of their own if the loop does not run them in time.

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
"""Time that the event loop has to run the exit callbacks after a second signal, in seconds. If it
is blocked for longer, for instance by a tool, a thread runs them."""

SIGNAL_EXIT = 128
"""Offset of the exit code: shells report a process that signal n ended with 128 + n."""

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""Names of the signals that end a command. SIGHUP means that the terminal was closed; Windows does
not have it."""

type ExitCallback = Callable[[], object]
"""Function that is called before a second signal ends the process."""


class EndingSignals:
    """The handler of the signals of this process. There is one instance, `ending_signals`."""

    def __init__(self) -> None:
        self.importing = True
        """True during the imports, when a signal may exit at once: there is nothing to clean up."""
        self.exit_code: int | None = None
        """The exit code of the first signal or of `stop`; None before."""
        self.signal_name: str | None = None
        """Name of the first signal: SIGINT, SIGTERM or SIGHUP; None if there was none."""
        self._deferrals = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._exit_callbacks: list[ExitCallback] = []

    def install(self) -> None:
        """Install the handlers, except for signals that the parent process ignores.

        `nohup` ignores SIGHUP, and a shell ignores SIGINT for commands in the background.
        """
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def finished(self) -> None:
        """Note that the command has finished, so that a signal ends the process at once."""
        self._exit_callbacks.clear()
        self.importing = True

    @contextmanager
    def while_importing(self) -> Generator[None]:
        """Exit at once if there is a signal during the block, which imports a command."""
        before, self.importing = self.importing, True
        try:
            yield
        finally:
            self.importing = before

    @contextmanager
    def deferred(self) -> Generator[None]:
        """Defer signals while a file is created that must not be left behind.

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
    def on_forced_exit(self, callback: ExitCallback) -> Generator[None]:
        """Call a function if a second signal ends the process during this block.

        Args:
            callback: The function. Functions of inner blocks are called first.
        """
        self._exit_callbacks.append(callback)
        try:
            yield
        finally:
            with suppress(ValueError):  # `finished` may have removed it
                self._exit_callbacks.remove(callback)

    @contextmanager
    def cancelling(self) -> Generator[Callable[["asyncio.Task[Any]"], bool]]:
        """Let the first signal cancel a task. It is used around `asyncio.run`.

        Yields:
            A function to call with the main task of the running loop. It returns False if the task
            must not begin, because there was a signal already.
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
        """End the command gracefully, as a first signal does.

        Args:
            code: The exit code.
        """
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
        callbacks, self._exit_callbacks = self._exit_callbacks, []
        for callback in reversed(callbacks):
            with suppress(Exception):  # the next one may succeed, and nothing can report the error
                callback()
        os._exit(self.exit_code or 1)


ending_signals = EndingSignals()
"""The signals of this process."""
