"""The sound of a conversation for a page: compressed to be played, and as two outlines.

The user is on the left channel and what was heard on the right, at 16 kHz. It is MP3 with a
constant bit rate, which every browser plays and in which it finds a position exactly. A constant
rate also makes the size known before: ten minutes must fit into a page of 3 MB, of which base64
takes a third.

| bit rate | compression level | ten minutes, as base64 |
|---|---|---|
| 40 kbit/s | 0.8 | 4.0 MB |
| 24 kbit/s | 0.9 | 2.4 MB |
| 16 kbit/s | 0.95 | 1.6 MB |

(Measured with libsndfile 1.2.2; Ogg Opus of the same library needs 39 kbit/s for two channels at
its level 0.9, and takes twice as long.)
"""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..audio.pcm import Resampler, from_pcm
from ..recording.records import Tape
from ..recording.tracks import heard_pcm, user_pcm

RATE_HZ = 16_000
"""Sample rate of the sound in a page, in Hz: that of the user's speech."""

LEVELS = ((300.0, 0.8), (480.0, 0.9))
"""Maximum length of a conversation, in seconds, and the compression level for it."""

LONG_LEVEL = 0.95
"""Compression level for longer conversations."""

BLOCK_FRAMES = 1 << 16
"""Number of frames that are given to the encoder at once."""

COLUMNS_PER_S = 20
"""Columns of an outline for a second of sound."""

MIN_COLUMNS, MAX_COLUMNS = 400, 4_000
"""Limits of the number of columns of an outline."""

QUIET = 0.02
"""Level below which an outline is not scaled up, as a share of full scale."""


@dataclass(frozen=True, slots=True)
class ReportSound:
    """The sound of a conversation, as a page has it."""

    mp3: bytes
    """Both sides; empty if the tape has no sound."""
    user: tuple[float, ...] = ()
    """Outline of the user's side: the level of each column, from 0 to 1."""
    heard: tuple[float, ...] = ()
    """Outline of what was heard."""


NO_SOUND = ReportSound(b"")


def report_sound(tape: Tape) -> ReportSound:
    """Return the sound of a tape for its report. Ten minutes take about 5 s of one core.

    Args:
        tape: The tape.
    """
    length = round(tape.duration_s * RATE_HZ)
    sides = [
        _resampled(*user_pcm(tape), length),
        _resampled(*heard_pcm(tape), length),
    ]
    if not length or not any(side.any() for side in sides):
        return NO_SOUND
    columns = round(min(max(tape.duration_s * COLUMNS_PER_S, MIN_COLUMNS), MAX_COLUMNS))
    user, heard = (_outline(side, columns) for side in sides)
    return ReportSound(_mp3(np.stack(sides, axis=1), tape.duration_s), user, heard)


def _resampled(pcm: bytes, rate_hz: int, length: int) -> NDArray[np.float32]:
    """Return samples at `RATE_HZ`, cut or filled with silence to a length."""
    if rate_hz != RATE_HZ:
        resampler = Resampler(rate_hz, RATE_HZ)
        pcm = resampler.feed(pcm) + resampler.finish()
    samples = np.zeros(length, np.float32)
    found = from_pcm(pcm)[:length]
    samples[: len(found)] = found
    return samples


def _outline(samples: NDArray[np.float32], columns: int) -> tuple[float, ...]:
    """Return the loudest sample of each column, scaled so that the loudest of all is 1."""
    columns = max(1, min(columns, len(samples)))
    begins = np.linspace(0, len(samples), columns, endpoint=False).astype(np.int64)
    peaks = np.maximum.reduceat(np.abs(samples), begins)
    peaks = peaks / max(QUIET, float(peaks.max()))
    return tuple(float(peak) for peak in peaks)


def _mp3(frames: NDArray[np.float32], duration_s: float) -> bytes:
    level = next((level for length_s, level in LEVELS if duration_s <= length_s), LONG_LEVEL)
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        RATE_HZ,
        channels=2,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=level,
        bitrate_mode="CONSTANT",
    ) as encoder:
        for begin in range(0, len(frames), BLOCK_FRAMES):
            encoder.write(frames[begin : begin + BLOCK_FRAMES])
    return file.getvalue()
