"""Single keys from a terminal, told as they are pressed.

A terminal gives its input by lines and shows what is typed. Here neither is wanted, so its mode is
changed, and changed back in every case: at the end, after an error, before the program is stopped
by Ctrl-Z (and changed anew when it goes on) or ended by SIGTERM or SIGHUP, unless the program
handles these itself. Ctrl-C stays what it is.

A key is a string: the character itself, or a name: Enter, Escape, Backspace, Delete, Left, Right,
Up, Down, Home, End, Ctrl-A to Ctrl-Z. Keys with other sequences are none.

POSIX has the event loop read the terminal. A Windows console cannot be waited for in a loop, so it
is asked `POLL_S` apart.
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
"""Sooner than a finger expects an effect."""

_NAMED = {"\r": "Enter", "\n": "Enter", "\x1b": "Escape", "\x7f": "Backspace", "\b": "Backspace"}
_SEQUENCES = {
    "A": "Up", "B": "Down", "C": "Right", "D": "Left", "H": "Home", "F": "End",
    "1~": "Home", "7~": "Home", "3~": "Delete", "4~": "End", "8~": "End",
}  # fmt: skip
_ESCAPED = re.compile(r"\x1b(?:\[|O)([0-?]*[ -/]*[@-~])|\x1b[ -~]?")
"""CSI and SS3 with what they end in; or Alt with a key; or Escape alone."""

_WINDOWS = {
    "H": "Up", "P": "Down", "M": "Right", "K": "Left", "G": "Home", "O": "End", "S": "Delete",
}  # fmt: skip
"""What follows NUL or 0xE0 from a Windows console."""


class KeyDecoder:
    """Makes keys of a terminal's bytes. A character may come in pieces; a sequence may not."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def feed(self, typed: bytes) -> list[str]:
        """The keys that `typed` completes."""
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
    """The key of one character; empty if it is of no key."""
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
    """Have the running event loop call `press` with each key, until the end of the block.

    `stopping` is called before Ctrl-Z stops the program, `continued` when it goes on. `terminal`
    is stdin unless given. Gives whether there is a keyboard: without a terminal, or in the
    background, nothing is changed and nothing is ever pressed.
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
            os.kill(os.getpid(), signal.SIGSTOP)

        def go_on() -> None:
            _single_keys(fd)
            continued()

        def end(number: signal.Signals) -> None:
            stopping()
            restore()
            loop.remove_signal_handler(number)
            os.kill(os.getpid(), number)

        actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTSTP: stop,
            signal.SIGCONT: go_on,
        }
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
        """Neither lines nor echo; and Ctrl-S is a key, lest a stopped terminal stop us."""
        mode = termios.tcgetattr(fd)
        mode[0] &= ~termios.IXON
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, mode)

    def _in_background(fd: int) -> bool:
        """Whether another job has the terminal: touching it would stop this one."""
        with suppress(OSError):  # not the terminal that controls us: nobody else's either
            return os.tcgetpgrp(fd) != os.getpgrp()
        return False
