"""One side of a recording: pieces of sound with dates become samples on a time axis.

A device dates what it captures or plays by the computer's clock, and counts samples by its own. The
two differ by up to some hundred parts in a million. Dates are worse: they jitter by milliseconds,
and on PulseAudio those of a busy microphone were seen to move by 40 ms and back within ten seconds,
while the samples went on without a gap. Pieces are therefore joined as they come, and only their
dates in the long run decide where they lie:

    error of a piece = its date - the position after the piece before it
    error of a run   = median of the errors of its pieces

- The first pieces lie where their dates say.
- More than `JUMP_S` is a gap, in which the device was lost or sound was dropped, or an overlap. A
  gap is filled with silence, an overlap is removed from the later piece. A single piece with a
  wrong date is no gap: the median of three pieces decides.
- Less is drift. It is corrected by single samples, which are repeated or removed where two
  neighbours differ least, at most one in `EDIT_EVERY`. Nobody hears that. Silence is corrected
  faster, by `SILENCE_EDIT_S` in a run.
"""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import BYTES_PER_SAMPLE
from .pcm import Resampler, from_pcm, to_pcm

FIRST_PIECES = 10
"""Number of pieces whose dates decide where the track begins."""

JUMP_S = 0.05
"""Minimum error of a date that is a gap or an overlap, in seconds: the accuracy that is wanted of a
recording, and more than the dates of a device are wrong by."""

DEADBAND_S = 0.002
"""Maximum error of a run that is not corrected, in seconds."""

EDIT_EVERY = 1_200
"""Number of samples to one that is repeated or removed: 50 ms at 24 kHz. It is enough for a drift
of 833 parts in a million, and a date that is wrong by 40 ms for ten seconds moves the sound by
8 ms."""

SILENCE_EDIT_S = 0.01
"""Maximum correction of a run that is silent, in seconds."""

MAX_GAP_S = 60.0
"""Maximum length of the silence that one run inserts, in seconds, which bounds the memory: 3 MB at
24 kHz."""


class DatedSound(NamedTuple):
    """A piece of sound with its date."""

    pcm: bytes
    """s16le mono samples."""
    rate_hz: int
    """Sample rate, in Hz."""
    at_s: float
    """Time of the first sample, in seconds of a clock that all pieces share."""

    @property
    def length_s(self) -> float:
        """Length, in seconds."""
        return len(self.pcm) / BYTES_PER_SAMPLE / self.rate_hz


class DatedTrack:
    """The samples of one side, from a beginning on, at one rate.

    Args:
        rate_hz: Sample rate of the track, in Hz.
        began_s: Time of its first sample, on the clock of the pieces. Earlier sound is dropped.
    """

    def __init__(self, rate_hz: int, began_s: float) -> None:
        self._rate_hz = rate_hz
        self._began_s = began_s
        self._end = 0
        self._ready: list[NDArray[np.int16]] = []
        self._source_hz = rate_hz
        self._resampler = Resampler(rate_hz, rate_hz)
        self._samples_in = self._samples_out = 0
        self._placed = False
        """True once the first run decided where the track begins."""
        self._skipped = 0
        """Number of samples that are dropped from what comes next, because of an overlap."""

    @property
    def end(self) -> int:
        """Position after the last sample, counted from the beginning of the track."""
        return self._end

    def shift(self, seconds: float) -> None:
        """Leave out a time: what comes next lies earlier in the track.

        Args:
            seconds: The time that is left out.
        """
        self._began_s += seconds

    def add(self, pieces: Sequence[DatedSound]) -> None:
        """Append pieces, in order of time.

        Args:
            pieces: About a second of sound: the median of their dates decides where they lie.
        """
        if not pieces:
            return
        errors = self._errors(pieces)
        moved, first = 0.0, 0
        if not self._placed:
            self._placed = True
            moved = median(errors[:FIRST_PIECES])
            self._jump(moved)
        for index, piece in enumerate(pieces):
            jump = _jump_at(errors, index, moved)
            if jump or piece.rate_hz != pieces[first].rate_hz:
                self._append(pieces[first:index], [error - moved for error in errors[first:index]])
                first = index
            if jump:
                moved += jump
                self._jump(jump)
        self._append(pieces[first:], [error - moved for error in errors[first:]])

    def take(self, end: int) -> NDArray[np.int16]:
        """Remove and return the samples before a position, with silence for those that are missing.

        Args:
            end: The position, counted from the beginning of the track.
        """
        if end > self._end:
            self._finish_resampler()
            self._put(np.zeros(max(0, end - self._end), np.int16), skip=False)
        samples = np.concatenate([np.zeros(0, np.int16), *self._ready])
        kept = self._end - end
        self._ready = [samples[len(samples) - kept :]] if kept else []
        return samples[: len(samples) - kept]

    def finish(self) -> None:
        """Append what the resampler holds back."""
        self._finish_resampler()

    def _errors(self, pieces: Sequence[DatedSound]) -> list[float]:
        """Return for each piece its date minus the end of the piece before it, in seconds.

        All pieces before it count as joined without gaps.
        """
        held_s = self._samples_in / self._source_hz - self._samples_out / self._rate_hz
        end_s = self._began_s + (self._end - self._skipped) / self._rate_hz + held_s
        errors: list[float] = []
        for piece in pieces:
            errors.append(piece.at_s - end_s)
            end_s += piece.length_s
        return errors

    def _append(self, run: Sequence[DatedSound], errors: Sequence[float]) -> None:
        """Append pieces of one rate that belong together.

        Args:
            run: The pieces.
            errors: The error of each, in seconds.
        """
        if not run:
            return
        if run[0].rate_hz != self._source_hz:
            self._finish_resampler()
            self._source_hz = run[0].rate_hz
            self._resampler = Resampler(self._source_hz, self._rate_hz)
        sound = from_pcm(b"".join(piece.pcm for piece in run))
        converted = self._resampler.convert(sound)
        self._samples_in += len(sound)
        self._samples_out += len(converted)
        samples = np.frombuffer(to_pcm(converted), "<i2")
        error_s = median(errors)
        if abs(error_s) <= DEADBAND_S:
            self._put(samples)
            return
        most = len(samples) // EDIT_EVERY
        if not samples.any():
            most = min(len(samples), round(SILENCE_EDIT_S * self._rate_hz))
        self._put(edited(samples, max(-most, min(most, round(error_s * self._rate_hz)))))

    def _jump(self, error_s: float) -> None:
        """Insert silence, or drop the beginning of what comes next.

        Args:
            error_s: How much later than the end the next piece lies, in seconds; earlier if
                negative.
        """
        self._finish_resampler()
        shift = round(min(error_s, MAX_GAP_S) * self._rate_hz) - self._skipped
        self._skipped = max(0, -shift)
        self._put(np.zeros(max(0, shift), np.int16), skip=False)

    def _finish_resampler(self) -> None:
        rest = np.frombuffer(self._resampler.finish(), "<i2")
        self._samples_in = self._samples_out = 0
        self._put(rest)

    def _put(self, samples: NDArray[np.int16], *, skip: bool = True) -> None:
        if skip and self._skipped:
            dropped = min(self._skipped, len(samples))
            self._skipped -= dropped
            samples = samples[dropped:]
        self._ready.append(samples)
        self._end += len(samples)


def _jump_at(errors: Sequence[float], index: int, moved: float) -> float:
    """Return by how much a piece lies elsewhere than after the one before it, in seconds.

    Args:
        errors: The errors of all pieces, in seconds.
        index: Index of the piece.
        moved: Sum of the jumps before it, in seconds.

    Returns:
        The jump; 0 if there is none.
    """
    window = errors[max(0, min(index, len(errors) - 3)) :][:3]
    jump = median(window) - moved
    return jump if min(abs(jump), abs(errors[index] - moved)) > JUMP_S else 0.0


def edited(samples: NDArray[np.int16], count: int) -> NDArray[np.int16]:
    """Return samples of which single ones are repeated or removed, spread evenly.

    In each stretch it is the sample that differs least from the one before it.

    Args:
        samples: The samples.
        count: Number of samples to repeat; to remove if negative.
    """
    if not count:
        return samples
    steps = np.abs(np.diff(samples.astype(np.int32), prepend=samples[:1]))
    stretches = np.array_split(np.arange(len(samples)), abs(count))
    places = [int(stretch[np.argmin(steps[stretch])]) for stretch in stretches if len(stretch)]
    if count < 0:
        return np.delete(samples, places)
    return np.insert(samples, places, samples[places])
