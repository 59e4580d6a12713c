"""Silence on the standard error for what sound libraries print there.

PortAudio, ALSA and JACK print to it when they look for devices, when a device does not open, and,
from threads of their own, when one vanishes. All of this is also reported by return codes, and
reaches the user as a `DeviceError`. They write through C's variable `stderr`. Python writes to the
file descriptor and does not use that variable, except for its last message in a crash. Therefore
the variable is redirected while there is sound, and the descriptor, which everybody shares, is left
alone.
"""

import ctypes
import functools
import platform
from threading import Lock


class StderrSilencer:
    """A context manager in which C's `stderr` is redirected to the null device.

    It may be entered several times, in any thread. Where the C library is not GNU's it does
    nothing: other libraries keep the variable constant, and the PortAudio that comes with the
    wheels for those systems does not print.
    """

    def __init__(self) -> None:
        self._entered = 0
        self._saved: int | None = None
        self._lock = Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._entered += 1
            if self._entered == 1 and (stderr := _stderr()) is not None:
                self._saved, stderr.value = stderr.value, _null_stream()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered -= 1
            if not self._entered and (stderr := _stderr()) is not None:
                stderr.value = self._saved


STDERR_SILENCER = StderrSilencer()
"""The only instance, because there is only one `stderr`."""


@functools.cache
def _stderr() -> ctypes.c_void_p | None:
    """Return C's variable `stderr`, or None where the C library is not GNU's."""
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")


@functools.cache
def _null_stream() -> int | None:
    """Return a C stream that writes to the null device."""
    fopen = ctypes.CDLL(None).fopen
    fopen.restype = ctypes.c_void_p
    return fopen(b"/dev/null", b"w")
