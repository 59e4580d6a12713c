"""Sound libraries print to the standard error whatever they stumble over; nobody asked.

PortAudio, ALSA and JACK write there when they look for devices, when one does not open, and, from
threads of their own, when one vanishes. All of it comes back as return codes, too, and reaches the
user as a `DeviceError`. What they write with is C's variable `stderr`; Python writes to the file
descriptor and never looks at that variable, but for the last words of a crash. So the variable is
pointed elsewhere while there is sound, and the descriptor, which everybody shares, left alone.
"""

import ctypes
import functools
import platform
from threading import Lock


class Quiet:
    """A context in which C's `stderr` goes nowhere. May be entered by many, in any thread.

    Where the C library is not GNU's it does nothing: others keep the variable constant, and the
    PortAudio that comes with the wheels for them does not print.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._before: int | None = None
        self._lock = Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1 and (stderr := _stderr()) is not None:
                self._before, stderr.value = stderr.value, _nowhere()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and (stderr := _stderr()) is not None:
                stderr.value = self._before


QUIET = Quiet()
"""The one there is, as there is one `stderr`."""


@functools.cache
def _stderr() -> ctypes.c_void_p | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")


@functools.cache
def _nowhere() -> int | None:
    fopen = ctypes.CDLL(None).fopen
    fopen.restype = ctypes.c_void_p
    return fopen(b"/dev/null", b"w")
