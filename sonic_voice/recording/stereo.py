"""The sound of a tape as frames of two channels: the user left, what was heard right."""

from collections.abc import Iterator

import numpy as np

from ..audio.pcm import Resampler
from ..config import BYTES_PER_SAMPLE
from .records import Tape
from .tracks import heard_pcm, user_pcm

CHANNELS = 2
"""Number of channels."""

PART_S = 10.0
"""Length of the parts in which sound is converted, in seconds, which bounds the memory."""


def stereo_rate_hz(tape: Tape) -> int:
    """Return the sample rate of `stereo_frames`: the higher one of both sides, in Hz.

    Args:
        tape: The tape.
    """
    return max(tape.header.input_hz, tape.header.output_hz)


def stereo_frames(tape: Tape) -> Iterator[bytes]:
    """Yield the sound of a tape, from its beginning to its end.

    Args:
        tape: The tape.

    Yields:
        s16le frames, interleaved, at `stereo_rate_hz`.
    """
    rate_hz = stereo_rate_hz(tape)
    left = _resampled(*user_pcm(tape), rate_hz)
    right = _resampled(*heard_pcm(tape), rate_hz)
    samples = max(len(left), len(right)) // BYTES_PER_SAMPLE
    step = round(PART_S * rate_hz)
    for begin in range(0, samples, step):
        end = min(begin + step, samples)
        sides = np.zeros((end - begin, CHANNELS), "<i2")
        for channel, pcm in enumerate((left, right)):
            part = np.frombuffer(pcm[begin * BYTES_PER_SAMPLE : end * BYTES_PER_SAMPLE], "<i2")
            sides[: len(part), channel] = part
        yield sides.tobytes()


def mixed_down(frames: bytes) -> bytes:
    """Return frames of two channels as one, in which both are as loud as before.

    Args:
        frames: s16le frames, interleaved.
    """
    sides = np.frombuffer(frames, "<i2").reshape(-1, CHANNELS).astype(np.int32)
    limits = np.iinfo(np.int16)
    return sides.sum(axis=1).clip(limits.min, limits.max).astype("<i2").tobytes()


def _resampled(pcm: bytes, rate_hz: int, to_hz: int) -> bytes:
    if rate_hz == to_hz:
        return pcm
    resampler, step = Resampler(rate_hz, to_hz), round(PART_S * rate_hz) * BYTES_PER_SAMPLE
    parts = [resampler.feed(pcm[begin : begin + step]) for begin in range(0, len(pcm), step)]
    return b"".join([*parts, resampler.finish()])
