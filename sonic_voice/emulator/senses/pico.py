"""SVOX Pico: six languages in 5 MB, a sentence in a few hundredths of a second.

Pico does not give the same samples for the same text by itself: it reads memory that it never
wrote, and even a sentence's length depends on what was left there. musl and Windows give blocks
of its size as fresh pages, glibc does not; see `_zeroed_memory`.
"""

import ctypes
import functools
import platform
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from .sound import resample, trimmed
from .voices import pico_voice

PICO_HZ = 16_000
CACHED_SENTENCES = 256
"""A sentence of 5 s at 24 kHz has 240 KB."""


class PicoSynthesizer:
    """One sentence at a time: it is not made for several threads."""

    def __init__(self) -> None:
        from py_nanotts import NanoTTS

        self._pico: Any = NanoTTS()
        self._one_at_a_time = threading.Lock()
        self._cached = functools.lru_cache(CACHED_SENTENCES)(self._speak)

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        """`text` in the manner of the service's `voice`, s16le at `rate_hz`.

        Empty for a text without anything to pronounce.
        """
        with self._one_at_a_time:
            return self._cached(text, voice, rate_hz)

    def _speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        # Pico reads tags of its own, and stops at a zero byte.
        plain = text.translate({ord("<"): " ", ord(">"): " ", 0: " "})
        local = pico_voice(voice)
        with _zeroed_memory():
            pcm = cast(
                bytes,
                self._pico.speak(
                    plain,
                    voice=local.language,
                    pitch=local.pitch if local.pitch != 1.0 else None,
                    speed=local.speed if local.speed != 1.0 else None,
                ),
            )
        return resample(trimmed(pcm, PICO_HZ), PICO_HZ, rate_hz)


M_PERTURB = -6
"""glibc's `mallopt` parameter: fill what is allocated with the complement of a byte."""


@contextmanager
def _zeroed_memory() -> Generator[None]:
    """glibc's `malloc` gives zeroed memory meanwhile, as `calloc` does.

    For all threads; it does them no harm. Pico and these calls hold the interpreter's lock.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.PyDLL(None)
    libc.mallopt(M_PERTURB, 0xFF)
    try:
        yield
    finally:
        libc.mallopt(M_PERTURB, 0)
