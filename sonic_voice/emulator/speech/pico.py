"""SVOX Pico: six languages in 5 MB, a sentence in a few hundredths of a second.

It runs in a process of its own, for two reasons. It holds the interpreter's lock while it speaks,
up to 0.1 s, during which the emulator's event loop would stand still. And by itself it does not
give the same samples for the same text: it reads memory that it never wrote, and even the length of
a sentence depends on the content of that memory. musl and Windows return blocks of this size as
fresh pages; glibc does not, but zeroes what it returns if an environment variable asks for that.
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
"""Sample rate of Pico's output, in Hz."""
CACHED_SENTENCES = 256
"""Number of sentences that are kept. A sentence of 5 s at 24 kHz has 240 KB."""

_SCRIPT = Path(__file__).with_name("pico_process.py")
_NOT_SPOKEN = {ord("<"): " ", ord(">"): " ", 0: " "}
"""Characters that are replaced: Pico reads tags of its own, and stops at a zero byte."""
_ZEROED = {"MALLOC_PERTURB_": "255"}
"""Environment that makes glibc fill the memory it returns with the complement of this byte."""


class PicoSynthesizer:
    """A synthesiser that speaks one sentence at a time, in a process that ends with this object."""

    def __init__(self) -> None:
        """Start the process, without waiting until it is ready."""
        self._pico = _Pico()
        weakref.finalize(self, self._pico.end)
        self._one_at_a_time = threading.Lock()
        self._cached = functools.lru_cache(CACHED_SENTENCES)(self._pico.speak)

    @property
    def process(self) -> Popen[bytes]:
        """The process in which Pico runs."""
        return self._pico.process

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        """Return the speech of a text. Blocks until it is spoken.

        Args:
            text: The text.
            voice: A voice of the service, which is imitated.
            rate_hz: Sample rate of the result, in Hz.

        Returns:
            s16le mono PCM; empty for a text without anything to pronounce.
        """
        with self._one_at_a_time:  # so that no sentence is made twice
            return self._cached(text, voice, rate_hz)


class _Pico:
    """A running Pico process. A process that died is replaced for the next sentence."""

    def __init__(self) -> None:
        self.process = _start_process()

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
            self.process = _start_process()
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


def _start_process() -> Popen[bytes]:
    return Popen(
        [sys.executable, "-P", _SCRIPT],
        stdin=PIPE,
        stdout=PIPE,
        env=os.environ | _ZEROED,
        start_new_session=True,  # Ctrl-C must not end it
    )
