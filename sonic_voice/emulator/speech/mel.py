"""The log-mel spectrogram that Whisper was trained on.

Windows are 25 ms long (Hann), one every 10 ms, at 16 kHz. Each gives 80 mel bands with the scale
and the area normalisation of Slaney. With P the power in a band and L = log10(P), limited to at
most 8 (80 dB) below the loudest L of the sound, the result is (L + 4) / 4: about -1 to 1.
"""

import functools
import math
from typing import Any

import numpy as np

MEL_HZ = 16_000
"""Sample rate of the input, in Hz."""
BANDS = 80
"""Number of mel bands."""
WINDOW = MEL_HZ * 25 // 1000
"""Length of a window: 25 ms in samples."""
HOP = MEL_HZ * 10 // 1000
"""Distance between two windows: 10 ms in samples."""

_LINEAR_HZ = 200 / 3
"""Width of a mel up to 1 kHz, in Hz. Above, the ratio of two neighbours is 6.4 to the power
1/27."""
_BEND_HZ = 1_000
"""Frequency at which the scale changes from linear to logarithmic, in Hz."""
_BEND_MEL = _BEND_HZ / _LINEAR_HZ
_LOG_STEP = math.log(6.4) / 27


def log_mel(sound: Any) -> Any:
    """Return the log-mel spectrogram of a sound.

    Args:
        sound: Samples at 16 kHz, float32; longer than 12.5 ms.

    Returns:
        Float32 of shape (80, number of 10 ms frames).
    """
    padded = np.pad(sound, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:-1]
    transform: Any = np.fft.rfft
    power: Any = np.abs(transform(frames * _hann(), axis=1).astype(np.complex64)) ** 2
    level: Any = np.log10(np.maximum(_bands() @ power.T, 1e-10))
    level = np.maximum(level, level.max() - 8.0)
    return np.ascontiguousarray((level + 4.0) / 4.0, dtype=np.float32)


@functools.cache
def _hann() -> Any:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def _hz(mel: float) -> float:
    if mel < _BEND_MEL:
        return _LINEAR_HZ * mel
    return _BEND_HZ * math.exp(_LOG_STEP * (mel - _BEND_MEL))


@functools.cache
def _bands() -> Any:
    """Return the triangular filters over the bins of the spectrum, shape (80, 201)."""
    bins_hz: Any = np.fft.rfftfreq(WINDOW, 1 / MEL_HZ)
    top_mel = _BEND_MEL + math.log(MEL_HZ / 2 / _BEND_HZ) / _LOG_STEP
    edges_hz: Any = np.array([_hz(top_mel * n / (BANDS + 1)) for n in range(BANDS + 2)])
    low, peak, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (peak - low), (high - bins_hz) / (high - peak)
    triangles: Any = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (high - low)).astype(np.float32)
