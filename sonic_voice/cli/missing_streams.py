"""The three standard streams of a process that was started without some of them.

A shell closes a stream with `<&-` or `>&-`, and some service managers start programs without any.
`sys.stdin`, `sys.stdout` or `sys.stderr` is then None. And the next file or socket that is opened
gets the free number 0, 1 or 2, so that output meant for the terminal is written into it.
"""

import os
import sys
from contextlib import suppress

_MODES = {"stdin": ("r", os.O_RDONLY), "stdout": ("w", os.O_WRONLY), "stderr": ("w", os.O_WRONLY)}
"""Mode of each standard stream by its name, in the order of the file descriptors."""


def open_missing_streams() -> None:
    """Open the null device in place of every standard stream that is closed.

    It must be called before anything else is opened.
    """
    for fd, (name, (mode, flags)) in enumerate(_MODES.items()):
        if _is_closed(fd):
            # The lowest free number is given, which is `fd`: all below it are open by now.
            os.open(os.devnull, flags)
            # An inheritable descriptor, as a standard stream is.
            with suppress(OSError):
                os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            stream = open(fd, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _is_closed(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False
