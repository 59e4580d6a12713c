"""Two sides of a conversation as the channels of one recording, on one time axis.

    user's pieces ─► DatedTrack ─► left  ─┐
                                          ├─ interleaved frames
    heard pieces  ─► DatedTrack ─► right ─┘

Frames are complete when both sides have come. A side that has delivered nothing for `MAX_LAG_S`
does not hold up the other one: it is silent there, and what it delivers later for that time is
dropped.

A gap of both sides that is longer than `MAX_GAP_S`, as when the program was suspended for hours, is
shortened to that length.
"""

import math
from collections.abc import Sequence

import numpy as np

from .dated_track import MAX_GAP_S, DatedSound, DatedTrack

CHANNELS = 2
"""Number of channels: left and right."""

MAX_LAG_S = 3.0
"""Maximum time by which one side may be behind the other, in seconds. Devices deliver within 0.3 s;
a device that was lost takes seconds to return."""


class StereoMix:
    """The two sides from a beginning on.

    Args:
        rate_hz: Sample rate of the recording, in Hz.
        began_s: Time of its first frame, on the clock of the pieces.
    """

    def __init__(self, rate_hz: int, began_s: float) -> None:
        self._rate_hz = rate_hz
        self._began_s = began_s
        self._left = DatedTrack(rate_hz, began_s)
        self._right = DatedTrack(rate_hz, began_s)
        self._max_lag = round(MAX_LAG_S * rate_hz)

    def add(self, left: Sequence[DatedSound], right: Sequence[DatedSound]) -> bytes:
        """Add pieces of both sides, each in order of time.

        Args:
            left: Pieces of the left channel.
            right: Pieces of the right channel.

        Returns:
            The frames that are complete: s16le, interleaved.
        """
        self._shorten_gap(left, right)
        self._left.add(left)
        self._right.add(right)
        first, last = sorted((self._left.end, self._right.end))
        return self._take(max(first, last - self._max_lag))

    def finish(self) -> bytes:
        """Return the rest of the frames, up to the end of the longer side."""
        self._left.finish()
        self._right.finish()
        return self._take(max(self._left.end, self._right.end))

    def _shorten_gap(self, left: Sequence[DatedSound], right: Sequence[DatedSound]) -> None:
        next_s = min((side[0].at_s for side in (left, right) if side), default=-math.inf)
        end_s = self._began_s + max(self._left.end, self._right.end) / self._rate_hz
        if (too_long_s := next_s - end_s - MAX_GAP_S) > 0:
            self._began_s += too_long_s
            self._left.shift(too_long_s)
            self._right.shift(too_long_s)

    def _take(self, end: int) -> bytes:
        sides = self._left.take(end), self._right.take(end)
        return np.stack(sides, axis=1).astype("<i2").tobytes()
