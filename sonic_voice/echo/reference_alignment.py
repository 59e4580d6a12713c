"""Which samples of the loudspeaker belong to which of the microphone.

An echo canceller compares what was played with what was heard, sample by sample and without gaps.
The two come from two streams, in blocks of their own lengths, perhaps from two devices whose
crystals differ by 200 ppm, and now and then one loses a block or is opened anew. What they have in
common is the time: each block comes with the moment at which its first sample was, or will be, at
the transducer. That moment is known to some milliseconds only, but the samples between are evenly
spaced; so a `StreamClock` averages.

`Pairing` answers each stretch of the microphone with what the loudspeaker sounded `LEAD_S` later:
an echo can then never come before its cause, though the times be somewhat wrong. It may come late:
the cancellers look back for hundreds of milliseconds (echo.py has the measurements).

Where the clocks drift apart, the reading is stretched as much, between samples, so that a filter
that learned the echo stays right; where a block was lost or doubled, it jumps, as the sound did.

Pure: seconds and samples in, samples out. One thread at a time.
"""

import math
from collections import deque
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ..audio.pcm import Resampler, from_pcm

RATE_HZ = 16_000

LEAD_S = 0.01
"""How far the loudspeaker runs ahead of the microphone. What sounds so much later must have been
handed to the device by the time that the microphone is read: more than 10 ms might not be there."""

AVERAGING_S = 6.0
"""How long a clock remembers. At 200 ppm it is 1.2 ms late, and stays so; 10 ms blocks whose
times are 8 ms off either way leave 0.15 ms."""

STEP_THRESHOLD_S = 0.008
"""Nearer than a block is long, and further than the times of a sound server are off."""

STEP_CONFIRM_BLOCKS = 20
"""Blocks that must agree on a step, 200 to 400 ms: by chance they do once in a million."""

STEP_SUSPECT_BLOCKS = 3
"""Blocks that must agree for a step to be possible."""

CATCH_UP_S = 3.0
"""How long it takes to follow the clocks by stretching: slow enough to be no change of pitch."""

DEAD_BAND_S = 0.003
"""How far off the reading may be and stay so. Times wander by that much over some seconds where a
sound server estimates them, and a filter that learned the echo minds a reading that moves, not one
that is late."""

JUMP_THRESHOLD_S = 0.006
"""How far off the reading may be before it jumps: less than a step, more than slack and drift
leave."""

HISTORY_S = 2.0
"""Of what was played, when nobody reads the microphone. More would be no latency to talk with."""

REWIND_S = 0.25
"""Of what was read, should the reading jump back."""


class StreamClock:
    """When a stream's samples are at the transducer."""

    def __init__(self) -> None:
        self.origin_s: float | None = None
        """The time of the stream's first sample, were its rate exact. None before any block."""
        self._last_position_s = 0.0
        self._origins: deque[float] = deque(maxlen=STEP_CONFIRM_BLOCKS)

    def update(self, position_s: float, at_s: float) -> None:
        """The sample at `position_s` of the stream was, or will be, sounding at `at_s`."""
        if self.origin_s is None:
            self.origin_s = at_s - position_s
        self._origins.append(at_s - position_s)
        step_s = median(self._origins) - self.origin_s if self._blocks_agree(self.origin_s) else 0.0
        if abs(step_s) > STEP_THRESHOLD_S:
            self.origin_s += step_s
            self._origins.clear()
        else:
            known_s = min(position_s, AVERAGING_S)  # at first the plain mean
            new_s = position_s - self._last_position_s
            if new_s:
                self.origin_s += (at_s - position_s - self.origin_s) * new_s / (known_s + new_s)
        self._last_position_s = position_s

    @property
    def step_suspected(self) -> bool:
        """Whether the last blocks were all a step late, or all a step early."""
        if self.origin_s is None or len(self._origins) < STEP_SUSPECT_BLOCKS:
            return False
        last = [self._origins[-1 - k] - self.origin_s for k in range(STEP_SUSPECT_BLOCKS)]
        return min(last) > STEP_THRESHOLD_S or max(last) < -STEP_THRESHOLD_S

    def _blocks_agree(self, origin_s: float) -> bool:
        """Whether the last blocks were all late, or all early."""
        if len(self._origins) < STEP_CONFIRM_BLOCKS or (self._origins[0] > origin_s) != (
            self._origins[-1] > origin_s
        ):
            return False
        return min(self._origins) > origin_s or max(self._origins) < origin_s


class ReferenceAlignment:
    """The loudspeaker's samples, to be had in step with the microphone's."""

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
        self._history_start = 0  # position of _sound[0] in the far stream
        self._position = 0.0  # position in the far stream of what is to be given next
        self._gap = False
        self.delay_changed = False
        """Whether what `partner` gave last may echo with another delay than what it gave before: a
        block was lost somewhere, or seems to be, or the reading has jumped after one."""

    def add_played(self, pcm: bytes, rate_hz: int, at_s: float, *, gap: bool = False) -> None:
        """The loudspeaker's next block, silence included; it sounds from `at_s` on.

        `gap`: the device has run dry before. The rate may change when it is opened anew.
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
        """As many samples of the loudspeaker as the microphone's next chunk has.

        `captured_s`: when the chunk's first sample was at the microphone. Zeros stand where
        nothing was played.
        """
        self._resample_pending()
        self._near.update(self._near_samples / RATE_HZ, captured_s)
        self.delay_changed = self._gap or self._near.step_suspected or self._far.step_suspected
        self._gap = False
        taken = samples * self._reading_rate()
        sound = self._interpolate(self._position, taken / samples, samples)
        self._near_samples += samples
        self._position += taken
        return sound

    def _reading_rate(self) -> float:
        """How many samples to take for one, to be in time `CAUGHT_UP_S` from now."""
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
        """`samples` of what was played, from position `start` on, `step` apart: cubic."""
        drift = step - 1
        pieces: list[NDArray[np.float32]] = []
        while samples:
            whole = math.floor(start)
            part = start - whole
            count = samples  # of which each is followed by the next sample played
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
        """Of `_sound`, with zeros for what is not there."""
        start, end = max(0, first), min(len(self._history), first + samples)
        if end - start == samples:
            return self._history[start:end]
        padded = np.zeros(samples, np.float32)
        if start < end:
            padded[start - first : end - first] = self._history[start:end]
        return padded

    def _resample_pending(self) -> None:
        """Once a chunk, not once a block: a call costs more than what it does."""
        self._append(self._resampler.convert(from_pcm(self._pending)))
        self._pending.clear()

    def _append(self, sound: NDArray[np.float32]) -> None:
        self._history = np.concatenate([self._history, sound])
        spare_read = min(
            len(self._history), int(self._position - REWIND_S * RATE_HZ) - self._history_start
        )
        spare = max(spare_read, len(self._history) - int(HISTORY_S * RATE_HZ))
        if spare > 0:
            self._history = self._history[spare:]
            self._history_start += spare


def _catmull_rom_weights(
    part: float | NDArray[np.float32],
) -> tuple[float | NDArray[np.float32], ...]:
    """What four samples in a row count in the cubic between the middle two, at `part` of the way.

    Catmull and Rom's: through the samples, and as steep at each as from its neighbours.
    """
    square = part * part
    return (
        (1 - 0.5 * part) * square - 0.5 * part,
        (1.5 * part - 2.5) * square + 1,
        (2 - 1.5 * part) * square + 0.5 * part,
        (0.5 * part - 0.5) * square,
    )
