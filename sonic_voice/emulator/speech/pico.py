"""SVOX Pico: six languages in 5 MB, a sentence in a few hundredths of a second.

It runs in a process of its own, for two reasons. It holds the interpreter's lock while it speaks,
up to 0.1 s, and the emulator's loop would stand still. And it does not give the same samples for
the same text by itself: it reads memory that it never wrote, and even a sentence's length depends
on what was left there. musl and Windows give blocks of its size as fresh pages; glibc does not,
but zeroes what it gives out if its environment asks for that.
"""

import functools
import json
import os
import sys
import threading
import weakref
from pathlib import Path
from subprocess import PIPE, Popen

from .sound import resample, trimmed
from .voices import pico_voice

PICO_HZ = 16_000
CACHED_SENTENCES = 256
"""A sentence of 5 s at 24 kHz has 240 KB."""

_SCRIPT = Path(__file__).with_name("pico_process.py")
_NOT_SPOKEN = {ord("<"): " ", ord(">"): " ", 0: " "}
"""Pico reads tags of its own, and stops at a zero byte."""
_ZEROED = {"MALLOC_PERTURB_": "255"}
"""glibc fills what it gives out with the complement of this byte."""


class PicoSynthesizer:
    """One sentence at a time, in a process that ends with this object."""

    def __init__(self) -> None:
        """Starts the process, and does not wait until it is ready."""
        self._pico = _Pico()
        weakref.finalize(self, self._pico.end)
        self._one_at_a_time = threading.Lock()
        self._cached = functools.lru_cache(CACHED_SENTENCES)(self._pico.speak)

    @property
    def process(self) -> Popen[bytes]:
        """Where it runs."""
        return self._pico.process

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        """`text` in the manner of the service's `voice`, s16le at `rate_hz`.

        Empty for a text without anything to pronounce.
        """
        with self._one_at_a_time:  # or many who want the same would each have it made
            return self._cached(text, voice, rate_hz)


class _Pico:
    """The process. One that died is replaced for the next sentence."""

    def __init__(self) -> None:
        self.process = _started()

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        plain = text.translate(_NOT_SPOKEN).encode(errors="ignore").decode()
        local = pico_voice(voice)
        pcm = self._ask(plain, local.language, local.pitch, local.speed)
        return resample(trimmed(pcm, PICO_HZ), PICO_HZ, rate_hz)

    def end(self) -> None:
        self.process.communicate()

    def _ask(self, *request: str | float) -> bytes:
        if self.process.poll() is not None:
            self.end()
            self.process = _started()
        into, out = self.process.stdin, self.process.stdout
        assert into is not None
        assert out is not None
        into.write(json.dumps(request).encode() + b"\n")
        into.flush()
        size = out.read(4)
        pcm = out.read(int.from_bytes(size, "little"))
        if len(size) < 4 or len(pcm) < int.from_bytes(size, "little"):
            raise RuntimeError(f"Pico's process ended at {request}.")
        return pcm


def _started() -> Popen[bytes]:
    return Popen(
        [sys.executable, "-P", _SCRIPT],
        stdin=PIPE,
        stdout=PIPE,
        env=os.environ | _ZEROED,
        start_new_session=True,  # Ctrl-C is not for it
    )
