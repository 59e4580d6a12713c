"""Single keys from a terminal, reported as they are pressed.

By default a terminal delivers its input line by line and shows what is typed. This module changes
its mode to deliver single keys and to mark pasted texts, and restores it in every case: at the end,
after an error, before the program is stopped by Ctrl-Z (and changes it again when the program
continues) or ended by SIGTERM or SIGHUP, unless the program handles these itself. Ctrl-C keeps its
meaning.

`key_decoder` says what a key is.

On POSIX systems the event loop reads the terminal. A loop cannot wait for a Windows console, so it
is polled.
"""

import asyncio
import os
import select
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TextIO

from .key_decoder import PASTE_OFF, PASTE_ON, Key, KeyDecoder
from .windows_console import waiting_keys

POLL_S = 0.05
"""Interval at which a Windows console is polled, in seconds; too short to be noticed."""


@contextmanager
def keyboard(
    press: Callable[[Key], None],
    *,
    stopping: Callable[[], None],
    continued: Callable[[], None],
    terminal: TextIO | None = None,
) -> Generator[bool]:
    """Let the running event loop report each key, until the end of the block.

    Args:
        press: Called with each key.
        stopping: Called before Ctrl-Z stops the program, or a signal ends it.
        continued: Called when the program continues.
        terminal: The terminal; stdin by default.

    Yields:
        Whether there is a keyboard. Without a terminal, or in the background, the mode is not
        changed and no key is reported.
    """
    file = terminal or sys.stdin
    if not file.isatty():
        yield False
    elif sys.platform == "win32":
        with _console(press):
            yield True
    else:
        with _posix(file.fileno(), press, stopping, continued) as reading:
            yield reading


if sys.platform == "win32":
    import msvcrt

    @contextmanager
    def _console(press: Callable[[Key], None]) -> Generator[None]:
        loop = asyncio.get_running_loop()

        def read() -> None:
            nonlocal timer
            timer = loop.call_later(POLL_S, read)
            for key in waiting_keys(msvcrt):
                press(key)

        timer = loop.call_later(POLL_S, read)
        try:
            yield
        finally:
            timer.cancel()

else:
    import signal
    import termios

    @contextmanager
    def _posix(
        fd: int,
        press: Callable[[Key], None],
        stopping: Callable[[], None],
        continued: Callable[[], None],
    ) -> Generator[bool]:
        if _in_background(fd):
            yield False
            return
        loop = asyncio.get_running_loop()
        before = termios.tcgetattr(fd)

        def restore() -> None:
            _write(fd, PASTE_OFF)
            with suppress(termios.error):  # the terminal is gone: nothing to restore
                termios.tcsetattr(fd, termios.TCSANOW, before)

        def stop() -> None:
            stopping()
            restore()
            # Our handler has replaced the default action of SIGTSTP, which would stop the process.
            os.kill(os.getpid(), signal.SIGSTOP)

        def go_on() -> None:
            _single_keys(fd)
            continued()

        def end(number: signal.Signals) -> None:
            stopping()
            restore()
            # Without our handler the signal ends the process as usual.
            loop.remove_signal_handler(number)
            os.kill(os.getpid(), number)

        actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTSTP: stop,
            signal.SIGCONT: go_on,
        }
        # A program that handles these signals itself leaves this block by its own handler.
        actions |= {number: partial(end, number) for number in _unhandled()}

        with ExitStack() as undo:
            undo.callback(restore)
            _single_keys(fd)
            undo.enter_context(_reported_keys(fd, press))
            for number, act in actions.items():
                with suppress(ValueError, RuntimeError):  # signals belong to the main thread
                    loop.add_signal_handler(number, act)
                    undo.callback(loop.remove_signal_handler, number)
            yield True

    @contextmanager
    def _reported_keys(fd: int, press: Callable[[Key], None]) -> Generator[None]:
        """Read the keys of a terminal, and have unfinished ones decided at their deadline."""
        loop = asyncio.get_running_loop()
        keys = KeyDecoder()
        timer: asyncio.TimerHandle | None = None

        def read() -> None:
            try:
                typed = os.read(fd, 1024)
            except OSError:  # the terminal is gone
                typed = b""
            if not typed:
                loop.remove_reader(fd)
            report(keys.feed(typed, loop.time()))

        def report(pressed: list[Key]) -> None:
            nonlocal timer
            if timer is not None:
                timer.cancel()
                timer = None
            if keys.deadline_s is not None:
                timer = loop.call_at(keys.deadline_s, expire)
            for key in pressed:
                press(key)

        def expire() -> None:
            report(keys.expire(loop.time()))

        loop.add_reader(fd, read)
        try:
            yield
        finally:
            loop.remove_reader(fd)
            if timer is not None:
                timer.cancel()

    def _unhandled() -> list[signal.Signals]:
        """Return the signals that would end the program without a clean-up."""
        ending = (signal.SIGTERM, signal.SIGHUP)
        return [number for number in ending if signal.getsignal(number) is signal.SIG_DFL]

    def _single_keys(fd: int) -> None:
        """Turn off line mode and echo, and have pasted texts marked.

        Ctrl-S becomes a key, because a stopped terminal would block our output.
        """
        mode = termios.tcgetattr(fd)
        mode[0] &= ~termios.IXON
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        _write(fd, PASTE_ON)

    def _write(fd: int, sequence: bytes) -> None:
        """Write an escape sequence to the terminal, unless it is gone, read-only, or not read.

        A terminal that nobody reads would block the program, also at its end.
        """
        with suppress(OSError):
            if select.select([], [fd], [], 0)[1]:
                os.write(fd, sequence)

    def _in_background(fd: int) -> bool:
        """Return whether another job has the terminal. Changing its mode would then stop this
        process."""
        with suppress(OSError):  # it is not our controlling terminal, so no job has it
            return os.tcgetpgrp(fd) != os.getpgrp()
        return False
