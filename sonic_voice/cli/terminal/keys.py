"""Single keys from a terminal, reported as they are pressed.

By default a terminal delivers its input line by line and shows what is typed. This module changes
its mode to deliver single keys, and restores it in every case: at the end, after an error, before
the program is stopped by Ctrl-Z (and changes it again when the program continues) or ended by
SIGTERM or SIGHUP, unless the program handles these itself. Ctrl-C keeps its meaning.

A key is a string: the character itself, or one of the names Enter, Escape, Backspace, Delete, Left,
Right, Up, Down, Home, End, Ctrl-A to Ctrl-Z. Keys with other escape sequences are ignored.

On POSIX systems the event loop reads the terminal. A loop cannot wait for a Windows console, so it
is polled.
"""

import asyncio
import codecs
import os
import re
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TextIO

POLL_S = 0.05
"""Interval at which a Windows console is polled, in seconds; too short to be noticed."""

_NAMED = {"\r": "Enter", "\n": "Enter", "\x1b": "Escape", "\x7f": "Backspace", "\b": "Backspace"}
"""Names of keys that are a control character."""

_SEQUENCES = {
    "A": "Up", "B": "Down", "C": "Right", "D": "Left", "H": "Home", "F": "End",
    "1~": "Home", "7~": "Home", "3~": "Delete", "4~": "End", "8~": "End",
}  # fmt: skip
"""Names of keys by the end of their escape sequence."""

_ESCAPED = re.compile(r"\x1b(?:\[|O)([0-?]*[ -/]*[@-~])|\x1b[ -~]?")
"""A sequence that begins with CSI or SS3; or Alt with a key; or Escape alone."""

_WINDOWS = {
    "H": "Up", "P": "Down", "M": "Right", "K": "Left", "G": "Home", "O": "End", "S": "Delete",
}  # fmt: skip
"""Names of keys by the character that follows NUL or 0xE0 from a Windows console."""


class KeyDecoder:
    """A decoder of the bytes of a terminal.

    A character may be split between two calls of `feed`, but an escape sequence may not.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def feed(self, typed: bytes) -> list[str]:
        """Return the keys in the bytes.

        Args:
            typed: The next bytes of the terminal.
        """
        text = self._decoder.decode(typed)
        keys: list[str] = []
        at = 0
        while at < len(text):
            escaped = _ESCAPED.match(text, at)
            at = escaped.end() if escaped else at + 1
            if escaped is None:
                keys.append(key_of(text[at - 1]))
            elif escaped[0] == "\x1b":
                keys.append("Escape")
            elif name := _SEQUENCES.get(escaped[1] or ""):
                keys.append(name)
        return [key for key in keys if key]


def key_of(character: str) -> str:
    """Return the key of a character; empty if there is none.

    Args:
        character: One character that is not part of an escape sequence.
    """
    if name := _NAMED.get(character):
        return name
    if "\x01" <= character <= "\x1a":
        return f"Ctrl-{chr(ord(character) + 64)}"
    return character if character.isprintable() else ""


@contextmanager
def keyboard(
    press: Callable[[str], None],
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
    def _console(press: Callable[[str], None]) -> Generator[None]:
        loop = asyncio.get_running_loop()

        def read() -> None:
            nonlocal timer
            timer = loop.call_later(POLL_S, read)
            while msvcrt.kbhit():
                character = msvcrt.getwch()
                special = character in "\0\xe0"
                key = _WINDOWS.get(msvcrt.getwch(), "") if special else key_of(character)
                if key:
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
        press: Callable[[str], None],
        stopping: Callable[[], None],
        continued: Callable[[], None],
    ) -> Generator[bool]:
        if _in_background(fd):
            yield False
            return
        loop = asyncio.get_running_loop()
        keys = KeyDecoder()
        before = termios.tcgetattr(fd)

        def read() -> None:
            try:
                typed = os.read(fd, 1024)
            except OSError:  # the terminal is gone
                typed = b""
            if not typed:
                loop.remove_reader(fd)
            for key in keys.feed(typed):
                press(key)

        def restore() -> None:
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
            loop.add_reader(fd, read)
            undo.callback(loop.remove_reader, fd)
            for number, act in actions.items():
                with suppress(ValueError, RuntimeError):  # signals belong to the main thread
                    loop.add_signal_handler(number, act)
                    undo.callback(loop.remove_signal_handler, number)
            yield True

    def _unhandled() -> list[signal.Signals]:
        """Return the signals that would end the program without a clean-up."""
        ending = (signal.SIGTERM, signal.SIGHUP)
        return [number for number in ending if signal.getsignal(number) is signal.SIG_DFL]

    def _single_keys(fd: int) -> None:
        """Turn off line mode and echo. Ctrl-S becomes a key, because a stopped terminal would block
        our output."""
        mode = termios.tcgetattr(fd)
        mode[0] &= ~termios.IXON
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, mode)

    def _in_background(fd: int) -> bool:
        """Return whether another job has the terminal. Changing its mode would then stop this
        process."""
        with suppress(OSError):  # it is not our controlling terminal, so no job has it
            return os.tcgetpgrp(fd) != os.getpgrp()
        return False
