"""Restore the terminal at once, for a process that ends without its usual clean-up."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

_AS_IT_WAS = b"\r\x1b[J\x1b[?25h"
"""Escape sequences that erase everything from the cursor's line on and show the cursor."""


def restorer() -> Callable[[], None]:
    """Return a function that restores the terminal's current mode and shows its cursor.

    The function does nothing if neither standard input nor standard output is a terminal.
    """
    restore_mode = _mode_restorer()
    drawn_on = sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")

    def restore() -> None:
        restore_mode()
        if drawn_on:
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
