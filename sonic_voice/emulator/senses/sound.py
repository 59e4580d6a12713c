"""Samples as bytes and as numbers, and from one rate to another."""

from typing import Any

import numpy as np
import samplerate as _samplerate

from ...config import BYTES_PER_SAMPLE

samplerate: Any = _samplerate  # it has no types

FULL_SCALE = 32768.0
QUIET = 100
"""Samples up to this are silence, -50 dB of full scale."""
TAIL_MS = 160
"""Silence that is left after the last sound of a sentence."""


def floats(pcm: bytes) -> Any:
    """s16le samples as float32 between -1 and 1."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(FULL_SCALE)


def s16(sound: Any) -> bytes:
    """Floats between -1 and 1 as s16le samples; what is louder is clipped."""
    whole: Any = np.rint(sound * FULL_SCALE)
    return bytes(whole.clip(-32768, 32767).astype("<i2").tobytes())


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """The whole of `pcm` (s16le mono at `from_hz`) at `to_hz`."""
    if from_hz == to_hz or not pcm:
        return pcm
    return s16(samplerate.resample(floats(pcm), to_hz / from_hz, "sinc_medium"))


def trimmed(pcm: bytes, rate_hz: int) -> bytes:
    """`pcm` without most of the silence at its end; empty if there is nothing else."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > QUIET)
    if not len(loud):
        return b""
    return pcm[: (int(loud[-1]) + rate_hz * TAIL_MS // 1000) * BYTES_PER_SAMPLE]
