"""What is read off the sound that was captured: how soft it was, when it ended, whether it clicked.

The capture is compared with what the service sent for the same turn, resampled as the loudspeaker
does it. Pauses of the model's have no level; where it pauses, nothing is measured.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .device_sounds import at_capture_rate
from .virtual import CAPTURE_HZ, match

WINDOW = CAPTURE_HZ // 100
"""10 ms: the two are aligned to a sample, so the voice's period does not matter."""

HOP = CAPTURE_HZ // 200
"""5 ms, the resolution of `Gains`."""

AUDIBLE = 200.0
"""Root mean square, of 32768, below which there is no level to compare."""

SOFT = 10 ** (-8 / 20)
"""What is called ducked: 8 dB down."""

DUCK_S = 0.2
"""No duck is as short."""

SILENT = 2
"""Steps of 16 bits."""

FALL_S = 0.5
CLICK_S = 0.01
AROUND_S = 2.0

type Captured = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Gains:
    """How loud the capture was against what was sent, each `HOP`; NaN in pauses."""

    start: int
    """Position of the turn's first sample; it may lie before the capture's."""
    values: NDArray[np.float64]

    def sounded_s(self, end: int) -> float:
        """How much of the turn had sounded when the capture was at `end`."""
        return (end - self.start) / CAPTURE_HZ

    def softened_at(self, begin: int, end: int) -> int | None:
        """Where between two positions of the capture it was first ducked."""
        found = np.flatnonzero(self._between(begin, end) < SOFT)
        return int(begin + found[0] * HOP) if len(found) else None

    def typical(self, begin: int, end: int) -> float:
        """The median between two positions of the capture."""
        return float(np.nanmedian(self._between(begin, end)))

    def ducks(self) -> int:
        """How often it became soft and stayed so for `DUCK_S`. (A device that slips by some
        milliseconds is soft here and there.)"""
        heard = self.values[~np.isnan(self.values)]
        windows = round(DUCK_S * CAPTURE_HZ) // HOP
        if len(heard) < windows:
            return 0
        soft = np.median(sliding_window_view(heard, windows), axis=1) < SOFT
        return int(np.sum(soft[1:] & ~soft[:-1]) + soft[0])

    def _between(self, begin: int, end: int) -> NDArray[np.float64]:
        first = max(0, self.start) + WINDOW  # where the first window ends
        low, high = ((at - first) // HOP for at in (begin, end))
        return self.values[max(0, low) : max(0, high)]


def gains(sent: bytes, captured: Captured, near: int) -> Gains:
    """The turn `sent` (24 kHz) in `captured`, found by what was captured in the second before
    `near`, where it must have been sounding at full level."""
    reference = at_capture_rate(sent)
    began = max(0, near - CAPTURE_HZ)
    _, offset = match(captured[began:near], reference)
    start = began - offset
    reference = reference[max(0, -start) :]
    heard = captured[max(0, start) :][: len(reference)].astype(np.float64)
    loud = _levels(reference[: len(heard)].astype(np.float64))
    values = _levels(heard) / np.where(loud > AUDIBLE, loud, np.nan)
    return Gains(start, values)


def silent_from(captured: Captured, signal: int) -> int | None:
    """Where the sound ended that was there at position `signal`; None: it was silent anyway."""
    if last_sound(captured, signal) <= signal - WINDOW:
        return None
    return last_sound(captured, signal + round(FALL_S * CAPTURE_HZ))


def last_sound(captured: Captured, before: int) -> int:
    """Where the last sound before a position ended."""
    sounding = np.flatnonzero(np.abs(captured[:before].astype(np.int32)) > SILENT)
    return int(sounding[-1]) + 1 if len(sounding) else 0


def click(captured: Captured, end: int) -> float:
    """The largest step between two samples where the sound ends at `end`, against the largest of
    the speech before."""
    steps = np.abs(np.diff(captured.astype(np.int32)))
    last = end - round(CLICK_S * CAPTURE_HZ)
    before = steps[last - round(AROUND_S * CAPTURE_HZ) : last]
    return float(steps[last : end + WINDOW].max() / max(1, before.max()))


def onset_at(said: NDArray[np.int16], captured: Captured, begin: int, end: int) -> int:
    """Where between two positions of the microphone's capture `said` (48 kHz) begins."""
    return begin + match(said, captured[begin:end])[1]


def _levels(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.concatenate([[0.0], np.cumsum(np.square(sound))])
    ends = np.arange(WINDOW, len(sound) + 1, HOP)
    return np.sqrt((power[ends] - power[ends - WINDOW]) / WINDOW)
