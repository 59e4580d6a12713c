"""Reference alignment: which samples of the loudspeaker belong to which of the microphone.

An echo canceller compares what was played (the reference) with what was captured, sample by sample
and without gaps. The two come from two streams, in blocks of different lengths, perhaps from two
devices whose crystals differ by 200 ppm, and now and then a stream loses a block or is opened
again. What the streams have in common is time: each block comes with the moment at which its first
sample was, or will be, at the transducer. That moment is known to within some milliseconds only,
but the samples of a stream are evenly spaced, so a `StreamClock` averages.

`ReferenceAlignment` returns for each chunk of the microphone what the loudspeaker plays `LEAD_S`
later, so that an echo never precedes its cause even if the times are somewhat wrong. The echo may
come late: the cancellers look back for hundreds of milliseconds (the docstring of the package has
the measurements). A device that tells its samples less than `LEAD_S` ahead gets a shorter lead.

Where the clocks drift apart, the reference is stretched accordingly, by interpolation between
samples, so that a filter that has learned the echo stays valid. Where a block was lost or doubled,
the reading position jumps, as the sound did.

Clock. The block at position p of a stream (seconds of samples before it, at the nominal rate) is
dated t. Its origin is t - p, and the stream's origin o is estimated from the origins of all blocks:

    o = o + (t - p - o) dp / (min(p, T) + dp)         dp: advance since the last block
    o = median of the last B origins                  if all of them lie on one side of o,
                                                      and the median is more than D away

The first line is a plain mean during the first T seconds, and an exponential average of that length
later.

Reading position. For the chunk that begins at microphone sample n, with R the sample rate:

    w = R (o_near + n / R + lead - o_far)             wanted position in the reference, in samples
    d = (w - r) / R                                   error of the reading position r, in seconds
    r = w, v = 1                                      if |d| > J
    v = 1 + (d - clamp(d, -s, s)) / C                 otherwise

The samples of the chunk are read at r, r + v, r + 2v ..., and r then advances by v times the length
of the chunk.

Interpolation. At position m + u, with m whole and 0 <= u < 1, the value is the Catmull-Rom cubic

    w_-1(u) x[m-1] + w_0(u) x[m] + w_1(u) x[m+1] + w_2(u) x[m+2]

    symbol   variable                symbol   variable
    t        `at_s`, `captured_s`    r        `_position`
    p        `position_s`            v        `step` (from `_reading_rate`)
    o        `origin_s`              d        `off_s`
    T        `AVERAGING_S`           J        `JUMP_THRESHOLD_S`
    B        `STEP_CONFIRM_BLOCKS`   s        `DEAD_BAND_S`
    D        `STEP_THRESHOLD_S`      C        `CATCH_UP_S`
    R        `RATE_HZ`               u        `part`
    lead     `LEAD_S`                w_i      `weights`
    n        `_near_samples`         x        `_history`

Pure: seconds and samples in, samples out. Belongs to one thread at a time.
"""

import math
from collections import deque
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ..audio.pcm import Resampler, from_pcm

RATE_HZ = 16_000
"""Sample rate of the microphone and of the aligned reference, in Hz."""

LEAD_S = 0.01
"""Lead of the reference over the microphone, in seconds. What is played that much later must
already have been handed to the device when the microphone is read: beyond 10 ms it might not be
there."""

SHORT_READS = 5
"""Consecutive chunks whose last samples the loudspeaker has not told yet, after which the lead is
made shorter: 100 to 200 ms, longer than a thread is late."""

SPARE_S = 0.001
"""Time by which the lead is then shorter than what was there, in seconds, against the jitter of the
times."""

AVERAGING_S = 6.0
"""Length of a clock's average (T), in seconds. With a drift of 200 ppm the clock is 1.2 ms late,
and constantly so; 10 ms blocks whose times are up to 8 ms off either way leave an error of
0.15 ms."""

STEP_THRESHOLD_S = 0.008
"""Minimum size of a step of a clock (D), in seconds: shorter than a block, and longer than the
error of the times that a sound server tells."""

STEP_CONFIRM_BLOCKS = 20
"""Number of blocks that must agree on a step (B): 200 to 400 ms. They agree by chance once in a
million times."""

STEP_SUSPECT_BLOCKS = 3
"""Number of blocks that must agree before a step is considered possible."""

CATCH_UP_S = 3.0
"""Time constant for following the clocks by stretching (C), in seconds: slow enough that the pitch
does not change."""

DEAD_BAND_S = 0.003
"""Error of the reading position that is left uncorrected (s), in seconds. Where a sound server
estimates the times, they wander by that much within some seconds, and a filter that has learned the
echo is disturbed by a position that moves, not by one that is late."""

JUMP_THRESHOLD_S = 0.006
"""Error of the reading position above which it jumps (J), in seconds: less than a step, and more
than the dead band and drift leave."""

HISTORY_S = 2.0
"""Maximum length of the reference that is kept while the microphone is not read, in seconds. With a
latency above it a conversation would not be possible."""

REWIND_S = 0.25
"""Length of the reference that is kept after it was read, in seconds, in case the reading position
jumps back."""


class StreamClock:
    """A clock that estimates when the samples of a stream are at the transducer."""

    def __init__(self) -> None:
        self.origin_s: float | None = None
        """Time of the stream's first sample if the rate were exact, in seconds. None before any
        block."""
        self._last_position_s = 0.0
        self._origins: deque[float] = deque(maxlen=STEP_CONFIRM_BLOCKS)

    def update(self, position_s: float, at_s: float) -> None:
        """Take the time of a block into account.

        Args:
            position_s: Position of the block's first sample in the stream, in seconds at the
                nominal rate.
            at_s: Time at which that sample was, or will be, at the transducer, in seconds.
        """
        if self.origin_s is None:
            self.origin_s = at_s - position_s
        self._origins.append(at_s - position_s)
        step_s = median(self._origins) - self.origin_s if self._blocks_agree(self.origin_s) else 0.0
        if abs(step_s) > STEP_THRESHOLD_S:
            self.origin_s += step_s
            self._origins.clear()
        else:
            known_s = min(position_s, AVERAGING_S)  # a plain mean at first
            new_s = position_s - self._last_position_s
            if new_s:
                self.origin_s += (at_s - position_s - self.origin_s) * new_s / (known_s + new_s)
        self._last_position_s = position_s

    @property
    def step_suspected(self) -> bool:
        """True if the last `STEP_SUSPECT_BLOCKS` blocks were all a step late or all early."""
        if self.origin_s is None or len(self._origins) < STEP_SUSPECT_BLOCKS:
            return False
        last = [self._origins[-1 - k] - self.origin_s for k in range(STEP_SUSPECT_BLOCKS)]
        return min(last) > STEP_THRESHOLD_S or max(last) < -STEP_THRESHOLD_S

    def _blocks_agree(self, origin_s: float) -> bool:
        """Return whether the last `STEP_CONFIRM_BLOCKS` blocks were all late, or all early."""
        if len(self._origins) < STEP_CONFIRM_BLOCKS or (self._origins[0] > origin_s) != (
            self._origins[-1] > origin_s
        ):
            return False
        return min(self._origins) > origin_s or max(self._origins) < origin_s


class ReferenceAlignment:
    """The loudspeaker's samples, read in step with the microphone's."""

    def __init__(self, lead_s: float = LEAD_S) -> None:
        self._lead_s = lead_s
        self._near = StreamClock()
        self._near_samples = 0
        self._far = StreamClock()
        self._far_written_s = 0.0
        self._resampler = Resampler(RATE_HZ, RATE_HZ)
        self._resampled_hz = RATE_HZ
        self._pending = bytearray()
        self._history = np.zeros(0, np.float32)
        self._history_start = 0  # position of _history[0] in the reference stream
        self._position = 0.0  # position of the next sample to read
        self._gap = False
        self._missing: list[float] = []  # samples that were missing in each of the last reads
        self.delay_changed = False
        """True if the delay of the echo may differ between the last result of `read` and the one
        before it: a block was lost or seems to have been, or the reading position has jumped after
        a loss."""

    def add_played(self, pcm: bytes, rate_hz: int, at_s: float, *, gap: bool = False) -> None:
        """Append the next block of the loudspeaker, silence included.

        Args:
            pcm: s16le mono samples.
            rate_hz: Their rate. It may change when the device is opened again.
            at_s: Time at which the first sample is at the loudspeaker, in seconds.
            gap: Whether the device had run dry before this block.
        """
        self._gap |= gap
        if rate_hz != self._resampled_hz:
            self._resample_pending()
            self._append(from_pcm(self._resampler.finish()))
            self._resampler, self._resampled_hz = Resampler(rate_hz, RATE_HZ), rate_hz
        self._far.update(self._far_written_s, at_s)
        self._far_written_s += len(pcm) / 2 / rate_hz
        self._pending += pcm

    def read(self, samples: int, captured_s: float) -> NDArray[np.float32]:
        """Return the reference for the next chunk of the microphone.

        Args:
            samples: Length of the chunk, in samples at `RATE_HZ`.
            captured_s: Time at which its first sample was at the microphone, in seconds.

        Returns:
            An array of that many samples in the range -1 to 1; zeros where nothing was played.
        """
        self._resample_pending()
        self._near.update(self._near_samples / RATE_HZ, captured_s)
        self.delay_changed = self._gap or self._near.step_suspected or self._far.step_suspected
        self._gap = False
        taken = samples * self._reading_rate()
        self._shorten_lead(self._position + taken)
        sound = self._interpolate(self._position, taken / samples, samples)
        self._near_samples += samples
        self._position += taken
        return sound

    @property
    def lead_s(self) -> float:
        """Lead of the reference over the microphone, in seconds."""
        return self._lead_s

    def _shorten_lead(self, end: float) -> None:
        """Read the reference later if the last samples of each chunk are not there in time.

        A device with a latency of less than the lead tells them too late. Without them the echo of
        these samples would stay.

        Args:
            end: Position after the last sample of the chunk in the reference stream.
        """
        missing = end + 2 - self._history_start - len(self._history)  # 2: of the cubic
        # If more is missing than the lead, nothing is played, or its thread is late.
        if not 0 < missing <= (self._lead_s + SPARE_S) * RATE_HZ:
            self._missing.clear()
            return
        self._missing.append(missing)
        if len(self._missing) < SHORT_READS:
            return
        less_s = min(self._lead_s, max(self._missing) / RATE_HZ + SPARE_S)
        self._missing.clear()
        self._lead_s -= less_s
        self._position -= less_s * RATE_HZ
        self.delay_changed = True

    def _reading_rate(self) -> float:
        """Return the reference samples to read for each microphone sample, or jump and return 1.

        At the returned rate the reading position is correct again after about `CATCH_UP_S`.
        """
        if self._near.origin_s is None or self._far.origin_s is None:
            return 1.0
        heard_s = self._near.origin_s + self._near_samples / RATE_HZ
        wanted = (heard_s + self._lead_s - self._far.origin_s) * RATE_HZ
        off_s = (wanted - self._position) / RATE_HZ
        if abs(off_s) > JUMP_THRESHOLD_S:
            self._position = wanted
            self.delay_changed = True
            return 1.0
        return 1 + (off_s - min(DEAD_BAND_S, max(-DEAD_BAND_S, off_s))) / CATCH_UP_S

    def _interpolate(self, start: float, step: float, samples: int) -> NDArray[np.float32]:
        """Return samples of the reference, interpolated by a cubic.

        Args:
            start: Position of the first sample in the reference stream.
            step: Distance of two samples.
            samples: Number of samples.
        """
        drift = step - 1
        pieces: list[NDArray[np.float32]] = []
        while samples:
            whole = math.floor(start)
            part = start - whole
            # The samples up to the next change of `floor(position) - index` share one slice.
            count = samples
            if drift:
                count = min(samples, 1 + int(((drift > 0) - part) / drift))
            played = self._history_slice(whole - 1 - self._history_start, count + 3)
            weights = _catmull_rom_weights(
                part + drift * np.arange(count, dtype=np.float32) if drift else part
            )
            sound = weights[0] * played[:count]
            for k in range(1, 4):
                sound += weights[k] * played[k : k + count]
            pieces.append(sound)
            start += count * step
            samples -= count
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _history_slice(self, first: int, samples: int) -> NDArray[np.float32]:
        """Return a part of `_history`, with zeros for samples that are not there."""
        start, end = max(0, first), min(len(self._history), first + samples)
        if end - start == samples:
            return self._history[start:end]
        padded = np.zeros(samples, np.float32)
        if start < end:
            padded[start - first : end - first] = self._history[start:end]
        return padded

    def _resample_pending(self) -> None:
        """Resample the blocks that have arrived since the last chunk.

        This is done once for each chunk and not for each block: a call costs more than its
        arithmetic.
        """
        self._append(self._resampler.convert(from_pcm(self._pending)))
        self._pending.clear()

    def _append(self, sound: NDArray[np.float32]) -> None:
        """Append resampled samples to the history, and drop what is no longer needed."""
        self._history = np.concatenate([self._history, sound])
        already_read = min(
            len(self._history), int(self._position - REWIND_S * RATE_HZ) - self._history_start
        )
        spare = max(already_read, len(self._history) - int(HISTORY_S * RATE_HZ))
        if spare > 0:
            self._history = self._history[spare:]
            self._history_start += spare


def _catmull_rom_weights(
    part: float | NDArray[np.float32],
) -> tuple[float | NDArray[np.float32], ...]:
    """Return the weights of four adjacent samples in the cubic between the middle two.

    The Catmull-Rom cubic passes through the samples; its slope at a sample is that of the line
    between the neighbours of the sample.

    Args:
        part: Position between the middle two samples, 0 to 1 (u).

    Returns:
        The weights w_-1, w_0, w_1 and w_2.
    """
    square = part * part
    return (
        (1 - 0.5 * part) * square - 0.5 * part,
        (1.5 * part - 2.5) * square + 1,
        (2 - 1.5 * part) * square + 0.5 * part,
        (0.5 * part - 0.5) * square,
    )
