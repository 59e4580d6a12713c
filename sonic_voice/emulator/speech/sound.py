"""Samples as bytes and as numbers, and from one rate to another."""

import numpy as np

from ...audio.pcm import Resampler
from ...config import BYTES_PER_SAMPLE

QUIET = 100
"""Samples up to this are silence, -50 dB of full scale."""
TAIL_MS = 160
"""Silence that is left after the last sound of a sentence."""


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """The whole of `pcm` (s16le mono at `from_hz`) at `to_hz`."""
    resampler = Resampler(from_hz, to_hz)
    return resampler.feed(pcm) + resampler.finish()


def trimmed(pcm: bytes, rate_hz: int) -> bytes:
    """`pcm` without most of the silence at its end; empty if there is nothing else."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > QUIET)
    if not len(loud):
        return b""
    return pcm[: (int(loud[-1]) + rate_hz * TAIL_MS // 1000) * BYTES_PER_SAMPLE]
