"""Samples as bytes and as numbers, and from one rate to another."""

from typing import Any

import numpy as np
import samplerate as _samplerate

from ...config import BYTES_PER_SAMPLE

samplerate: Any = _samplerate  # it has no types

FULL_SCALE = 32768.0
FLUSH_MS = 20
"""More than the filter of the resampler keeps back."""
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
    """The whole of `pcm` (s16le mono at `from_hz`) at `to_hz`.

    In pieces, between which other threads come in: libsamplerate holds the interpreter's lock.
    """
    if from_hz == to_hz or not pcm:
        return pcm
    sound = floats(pcm)
    length = len(sound) * to_hz // from_hz
    sound = np.pad(sound, (0, from_hz * FLUSH_MS // 1000))
    converter: Any = samplerate.Resampler("sinc_medium")
    # Each result is a view of the converter's own buffer.
    pieces: list[Any] = [
        np.array(converter.process(sound[at : at + from_hz // 5], to_hz / from_hz), np.float32)
        for at in range(0, len(sound), from_hz // 5)
    ]
    return s16(np.concatenate(pieces)[:length])


def trimmed(pcm: bytes, rate_hz: int) -> bytes:
    """`pcm` without most of the silence at its end; empty if there is nothing else."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > QUIET)
    if not len(loud):
        return b""
    return pcm[: (int(loud[-1]) + rate_hz * TAIL_MS // 1000) * BYTES_PER_SAMPLE]
