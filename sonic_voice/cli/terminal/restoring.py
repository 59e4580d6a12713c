"""Restore the terminal at once, for a process that ends without its usual clean-up."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from ..standard_streams import RESTORED, BackgroundText
from .key_decoder import PASTE_OFF

_AS_IT_WAS = RESTORED.encode() + PASTE_OFF
"""Escape sequences that restore the terminal, and end the marking of pasted texts."""


def restorer() -> Callable[[], None]:
    """Return a function that restores the terminal's current mode and shows its cursor.

    The function does nothing if neither standard input nor standard output is a terminal.
    """
    restore_mode, out = _mode_restorer(), sys.stdout
    drawn_on = out.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")

    def restore() -> None:
        restore_mode()
        if drawn_on:
            if isinstance(out, BackgroundText):
                out.discard()
            with suppress(OSError):  # the terminal was closed
                os.write(1, _AS_IT_WAS)

    return restore


def _mode_restorer() -> Callable[[], None]:
    if sys.platform == "win32" or not sys.stdin.isatty():
        return lambda: None
    import termios

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def restore() -> None:
        with suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(fd, termios.TCSANOW, before)

    return restore
