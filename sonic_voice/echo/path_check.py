"""The check of the echo path: whether what the path expects is still what the microphone captures.

A device that loses a block without notice changes the delay of the echo at once, and a hand at its
volume changes the gain. The learned path is then wrong, and adapts within seconds; meanwhile the
model's own words would be taken for a person. A person adds to the captured signal what is unlike
the expected echo, while a wrong path expects an echo that is not there. The *fit* tells them apart.
It is the regression coefficient of the captured signal n on the expected echo x, both differenced
so that low frequencies do not dominate, and averaged over some 65 ms:

    N = a N + (1 - a) <Dn, Dx>        D = a - first difference: Dx[t] = x[t] - x[t-1]
    X = a X + (1 - a) <Dx, Dx>
    fit = N / X

The fit is 1 for a right path, with a person or without, and 0 for an echo that is not where it is
expected. It is judged where the echo is a part of the captured signal: X > s <Dn, Dn>, averaged
alike, and x is over `AUDIBLE_DBFS`. (The letter a is the smoothing factor.)

If the fit of a known path is low, the new delay is looked for by the generalized cross-correlation
of n and x, whose cross spectrum is weighted by the root of its magnitude (Knapp and Carter 1976,
with half of the whitening of their PHAT):

    R[L] = IDFT( DFT(Dn) conj(DFT(Dx)) / sqrt |DFT(Dn) conj(DFT(Dx))| )

The lag L of its highest peak is the change of the delay, if that peak is clearly higher than every
other. A peak at 0 means that only the gain has changed, if anything.

    KNOWN ─── fit < 0.4 ───► SEARCHING ─── a clear lag ──► the path is shifted ──► UNKNOWN
     ▲ │                         └──────── 8 times none ──► the path is forgotten ──► UNKNOWN
     │ ├─ fit > 1.6, or < 0.4 and coherent ─────────────► the path is scaled ──► UNKNOWN
     │ └─ a lost block, if an echo was known ───────────────────────────────────► UNKNOWN
     └─── fit > 0.7 for 0.2 s of echo ────────────────────────────────────────────┘

The fit of an echo that only became louder or softer is the factor of the change, and the echo stays
coherent: N N > c X <Dn, Dn>, averaged alike. While the path is unknown the microphone is shut, for
a limited time of the model's voice. Where no echo was ever known a lost block shuts nothing.

    symbol   variable                     symbol   variable
    a        `FIT_SMOOTHING`              N        `_product`
    s        `LEAST_ECHO`                 X        `_expected_power`
    c        `LEAST_COHERENCE`

Pure arithmetic: no clock, no device, no threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .echo_path import FRAME_SAMPLES
from .local_speech import frame_powers, power_dbfs

FIT_SMOOTHING = 0.85
"""Smoothing factor of the fit, per frame: a time constant of 65 ms."""

LEAST_ECHO = 0.2
"""Minimum power of the expected echo relative to the captured signal in a frame that is judged.
Under a person 7 dB louder than the echo the fit is too noisy."""

LEAST_COHERENCE = 0.25
"""Minimum squared correlation coefficient of the captured signal and the expected echo at which a
frame is judged as well: the echo is most of the signal, though much louder than expected."""

AUDIBLE_DBFS = -50.0
"""Minimum level of the expected echo in a frame that is judged, in dBFS."""

QUICK_SMOOTHING = 0.7
"""Smoothing factor of the quick fit, per frame: a time constant of 30 ms."""

QUICK_DOUBTFUL_FIT = 0.5
"""Quick fit below which the microphone is shut at once."""

QUICK_DOUBTFUL_FRAMES = 5
"""Frames for which it then stays shut: 50 ms."""

GOOD_FIT = 0.7
"""Fit above which a frame speaks for the path. With a person 0.1 % of all frames are below it."""

KNOWN_FRAMES = 20
"""Frames with a good fit after which the path is known: 200 ms."""

DOUBTFUL_FIT = 0.6
"""Fit below which the microphone is shut at once."""

DOUBTFUL_FRAMES = 10
"""Frames for which it stays shut after a doubtful one: 100 ms."""

WRONG_FIT = 0.4
"""Fit below which a known path is taken for wrong, and the delay is looked for."""

LOUD_FIT = 1.6
"""Fit above which the echo is so much louder than expected that the microphone is shut at once, and
the path is scaled: somebody turned up the volume by 4 dB or more."""

WRONG_FRAMES = 2
"""Consecutive frames with a wrong fit before the delay is looked for."""

SEARCHED_SAMPLES = 1920
"""Length of the captured sound that is searched for, in samples: 120 ms."""

HISTORY_SAMPLES = 4800
"""Length of the expected echo in which it is searched for, in samples: 300 ms."""

LARGEST_LAG = 1600
"""Largest change of the delay that is looked for, in samples: 100 ms."""

SAME_LAG = 8
"""Largest lag that is no change of the delay, in samples: half a millisecond."""

SAME_PEAK_RATIO = 1.1
"""Height of a peak up to `SAME_LAG` relative to the second highest, above which the delay is the
same."""

CLEAR_PEAK_RATIO = 1.25
"""Height of another peak relative to the second highest, above which the delay has changed."""

LOUD_FRAMES = 4
"""Consecutive frames with such a fit before the path is scaled: the fit has begun anew by then."""

SOFT_FRAMES = 15
"""Consecutive frames with a wrong fit of a coherent echo before the path is scaled: it takes longer
for an echo that has moved to be incoherent."""

MOST_GAIN = 5.0
"""Largest factor by which a path is scaled at a time, up or down: 14 dB."""

PEAK_SAMPLES = 24
"""Distance from a peak up to which values belong to it, in samples: a period of a voice's strongest
frequencies."""

SEARCH_INTERVAL_FRAMES = 8
"""Frames between two searches: 80 ms, in which the microphone is shut."""

SEARCHES = 8
"""Searches without a result after which the path is forgotten."""

CHANGED_SHUT_FRAMES = 60
"""Maximum number of frames of the model's voice for which the microphone stays shut after the path
was shifted or scaled: 0.6 s. Mostly the path fits before."""

LOST_BLOCK_SHUT_FRAMES = 100
"""The same after a lost block, which may have changed the delay: one second, in which the delay is
found."""

FORGOTTEN_SHUT_FRAMES = 200
"""Maximum number of frames of the model's voice for which it stays shut after the path was
forgotten: two seconds. Of 36 changes by up to 25 ms, each with a lost block, 16 were taken for a
person at once, 7 after learning for a second, none after two."""

type Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PathChange:
    """A change of the echo path that the check has found."""

    lag: int | None
    """Samples by which the echo is later; None if the path is to be forgotten."""
    gain: float = 1.0
    """Factor by which the echo is louder."""


class PathCheck:
    """A check of the learned echo path against the captured signal."""

    def __init__(self) -> None:
        self.known = False
        """True if the path fits the captured signal."""
        self._echo_seen = False  # the path has been known since it was forgotten
        self._searchable = False  # the path has been known since it was forgotten or shifted
        self._product = self._expected_power = self._captured_power = 0.0
        self._quick_fit = 1.0
        self._good_frames = 0
        self._wrong_frames = 0
        self._loud_frames = 0
        self._soft_frames = 0
        self._shut_frames = 0
        self._searches = 0
        self._unknown_frames = 0
        self._near = np.zeros(HISTORY_SAMPLES, np.float32)
        self._expected = np.zeros(HISTORY_SAMPLES, np.float32)

    @property
    def doubted(self) -> bool:
        """True if the microphone is shut until the path fits again."""
        return self._unknown_frames > 0

    def doubt(self) -> None:
        """Shut the microphone until the path fits again, because a device has lost a block.

        Nothing is shut if no echo was there before.
        """
        if self._echo_seen:
            self._begin_anew(LOST_BLOCK_SHUT_FRAMES)

    def _begin_anew(self, frames: int) -> None:
        """Forget the fits, and shut the microphone for at most so many frames of the model."""
        self.known, self._unknown_frames = False, frames
        self._good_frames = self._wrong_frames = self._loud_frames = self._soft_frames = 0
        self._product = self._expected_power = self._captured_power = 0.0

    def update(
        self,
        near: Samples,
        expected: Samples,
        far_powers: Sequence[float],
        clipping: Sequence[bool],
    ) -> tuple[list[bool], PathChange | None]:
        """Take the next frames into account.

        Args:
            near: The captured signal; whole frames.
            expected: The echo that the path expects, of the same length.
            far_powers: Power of each frame of the reference.
            clipping: For each frame whether the microphone clips. Such frames are not judged: the
                echo is smaller there when a person speaks.

        Returns:
            For each frame whether the microphone is to be shut, and the change of the path, if one
            was found. The path is to be changed before the next call.
        """
        length = len(near)
        self._near = np.concatenate([self._near, near])[-HISTORY_SAMPLES:]
        self._expected = np.concatenate([self._expected, expected])[-HISTORY_SAMPLES:]
        near_steps = np.diff(self._near[-length - 1 :]).reshape(-1, FRAME_SAMPLES)
        expected_steps = np.diff(self._expected[-length - 1 :]).reshape(-1, FRAME_SAMPLES)
        products = np.vecdot(near_steps, expected_steps).tolist()
        expected_powers = np.vecdot(expected_steps, expected_steps).tolist()
        captured_powers = np.vecdot(near_steps, near_steps).tolist()
        shut: list[bool] = []
        change: PathChange | None = None
        for k, power in enumerate(frame_powers(expected)):
            a = FIT_SMOOTHING
            self._product = a * self._product + (1 - a) * products[k]
            self._expected_power = a * self._expected_power + (1 - a) * expected_powers[k]
            self._captured_power = a * self._captured_power + (1 - a) * captured_powers[k]
            audible = power_dbfs(power) > AUDIBLE_DBFS and not clipping[k]
            if audible and expected_powers[k] > LEAST_ECHO * captured_powers[k]:
                self._judge_quickly(products[k] / expected_powers[k])
            coherent = (
                self._product**2 > LEAST_COHERENCE * self._expected_power * self._captured_power
            )
            judged = coherent or self._expected_power > LEAST_ECHO * self._captured_power
            if audible and judged and change is None:
                change = self._judge(self._product / self._expected_power, coherent)
            if self._unknown_frames and power_dbfs(far_powers[k]) > AUDIBLE_DBFS:
                self._unknown_frames -= 1
            shut.append(self._shut_frames > 0 or self._unknown_frames > 0)
            self._shut_frames = max(0, self._shut_frames - 1)
        return shut, change

    def _judge_quickly(self, frame_fit: float) -> None:
        """Shut the microphone for a moment if the fits of the last frames are low."""
        frame_fit = max(-1.0, min(2.0, frame_fit))
        self._quick_fit += (1 - QUICK_SMOOTHING) * (frame_fit - self._quick_fit)
        if self._echo_seen and self._quick_fit < QUICK_DOUBTFUL_FIT:
            self._shut_frames = max(self._shut_frames, QUICK_DOUBTFUL_FRAMES)

    def _judge(self, fit: float, coherent: bool) -> PathChange | None:
        """Take a frame's fit into account, and return the change of the path if it is found."""
        if GOOD_FIT < fit < LOUD_FIT:
            self._searches = 0
            self._good_frames += 1
            if self._good_frames >= KNOWN_FRAMES:
                self.known = self._echo_seen = self._searchable = True
                self._unknown_frames = 0
        elif not self.known:
            self._good_frames = 0
        if self._echo_seen and not DOUBTFUL_FIT < fit < LOUD_FIT:
            self._shut_frames = max(self._shut_frames, DOUBTFUL_FRAMES)
        self._wrong_frames = self._wrong_frames + 1 if fit < WRONG_FIT else 0
        self._loud_frames = self._loud_frames + 1 if fit > LOUD_FIT else 0
        self._soft_frames = self._soft_frames + 1 if fit < WRONG_FIT and coherent else 0
        if self._loud_frames >= LOUD_FRAMES or self._soft_frames >= SOFT_FRAMES:
            self._begin_anew(CHANGED_SHUT_FRAMES)
            return PathChange(0, min(MOST_GAIN, max(1 / MOST_GAIN, fit)))
        if not self._searchable or self._wrong_frames < WRONG_FRAMES:
            return None
        return self._search()

    def _search(self) -> PathChange | None:
        """Look for the lag of the echo, and return the change of the path if it is found."""
        lag, ratio = find_lag(self._near[-SEARCHED_SAMPLES:], self._expected)
        if abs(lag) <= SAME_LAG and ratio > SAME_PEAK_RATIO:
            self._wrong_frames = self._searches = 0
            return None
        if abs(lag) > SAME_LAG and ratio > CLEAR_PEAK_RATIO:
            self._searches = self._shut_frames = 0
            self._searchable = False
            self._begin_anew(CHANGED_SHUT_FRAMES)
            return PathChange(lag)
        self._searches += 1
        self._wrong_frames = WRONG_FRAMES - SEARCH_INTERVAL_FRAMES
        self._shut_frames = max(self._shut_frames, SEARCH_INTERVAL_FRAMES)
        if self._searches < SEARCHES:
            return None
        self._searches = 0
        self._echo_seen = self._searchable = False
        self._begin_anew(FORGOTTEN_SHUT_FRAMES)
        return PathChange(None)


def find_lag(near: Samples, expected: Samples) -> tuple[int, float]:
    """Return by how much an echo is later than expected, and how clear that is.

    Args:
        near: The last captured samples.
        expected: The expected echo up to the same moment; at least as long.

    Returns:
        The lag in samples, negative if the echo is earlier, and the height of its peak in the
        cross-correlation relative to the highest elsewhere.
    """
    size = 8192
    cross = np.fft.rfft(np.diff(near), size)
    cross *= np.conj(np.fft.rfft(np.diff(expected), size))
    cross /= np.sqrt(np.abs(cross)) + 1e-12
    correlation = np.fft.irfft(cross, size)
    # near begins `offset` samples after expected: without a change the peak is at -offset.
    offset = len(expected) - len(near)
    around = np.roll(correlation, offset + LARGEST_LAG)[: 2 * LARGEST_LAG + 1]
    best = int(np.argmax(around))
    elsewhere = around.copy()
    elsewhere[max(0, best - PEAK_SAMPLES) : best + PEAK_SAMPLES + 1] = 0
    second = float(elsewhere.max())
    return best - LARGEST_LAG, float(around[best]) / second if second > 0 else np.inf
