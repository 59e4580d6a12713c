"""Pauses in speech that is known as a whole: the silence at its end, and long pauses inside it."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

WINDOW_S = 0.01
"""Length of the windows in which sound is classified as loud or quiet, in seconds."""

QUIET_PEAK = 200
"""Magnitude of a 16-bit sample, of 32768, below which a window is quiet: -44 dBFS."""


def without_trailing_silence(pcm: bytes, rate_hz: int) -> bytes:
    """Return speech up to the end of its last loud window; unchanged if it has none.

    Args:
        pcm: s16le mono PCM.
        rate_hz: Its sample rate, in Hz.
    """
    loud = np.flatnonzero(_loud_windows(pcm, rate_hz))
    if not len(loud):
        return pcm
    return pcm[: 2 * _window_samples(rate_hz) * (int(loud[-1]) + 1)]


def with_short_pauses(pcm: bytes, rate_hz: int, longest_s: float) -> bytes:
    """Return speech whose pauses are cut to a length, in their middle.

    Args:
        pcm: s16le mono PCM.
        rate_hz: Its sample rate, in Hz.
        longest_s: Length of the longest pause that stays as it is, in seconds.
    """
    loud = np.flatnonzero(_loud_windows(pcm, rate_hz))
    window, longest = 2 * _window_samples(rate_hz), round(longest_s / WINDOW_S)
    kept, begin = bytearray(), 0
    for before, after in pairwise(loud.tolist()):
        surplus = after - before - 1 - longest
        if surplus > 0:
            cut = before + 1 + longest // 2
            kept += pcm[begin : cut * window]
            begin = (cut + surplus) * window
    return bytes(kept) + pcm[begin:]


def _window_samples(rate_hz: int) -> int:
    return max(1, round(rate_hz * WINDOW_S))


def _loud_windows(pcm: bytes, rate_hz: int) -> NDArray[np.bool_]:
    """Return for each window whether it is loud; the last one may be shorter."""
    samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
    window = _window_samples(rate_hz)
    padded = np.pad(samples, (0, -len(samples) % window))
    return padded.reshape(-1, window).max(axis=1, initial=0) >= QUIET_PEAK
