"""Conversion between sample rates, and trimming."""

import numpy as np

from ...audio.pcm import Resampler
from ...config import BYTES_PER_SAMPLE

QUIET = 100
"""Largest amplitude of a sample that counts as silence: -50 dB of full scale."""
TAIL_MS = 160
"""Silence that is kept after the last sound of a sentence, in milliseconds."""


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """Return a whole sound at another rate.

    Args:
        pcm: s16le mono samples.
        from_hz: Their rate, in Hz.
        to_hz: The rate of the result, in Hz.
    """
    resampler = Resampler(from_hz, to_hz)
    return resampler.feed(pcm) + resampler.finish()


def trimmed(pcm: bytes, rate_hz: int) -> bytes:
    """Return a sound without most of the silence at its end.

    Args:
        pcm: s16le mono samples.
        rate_hz: Their rate, in Hz.

    Returns:
        The sound and `TAIL_MS` of silence; empty if it is all silence.
    """
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > QUIET)
    if not len(loud):
        return b""
    return pcm[: (int(loud[-1]) + rate_hz * TAIL_MS // 1000) * BYTES_PER_SAMPLE]
