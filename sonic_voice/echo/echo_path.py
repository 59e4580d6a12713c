"""What the loudspeaker sounds like at the microphone, learned while both are heard.

The way from one to the other, through air, walls and furniture, is nearly linear: a filter of some
hundred milliseconds. Learned, it can be taken off what the microphone hears, and the person, who
talks at the same time, stays whole. What remains are the distortions of a small loudspeaker and
whatever has not been learned yet.

The filter is a Kalman filter in the frequency domain, in partitions of one frame each (Enzner and
Vary 2006; Kuech, Mabande and Enzner 2014). For each frequency of each partition it keeps how far
off its estimate may still be, and learns the faster the further; it learns little while a person
talks, because then what it got wrong stands beside what was never an echo. There is no other
detection of double talk and no step size to tune.

What a frame costs is less its arithmetic than the calls of NumPy and the memory that they run
through. So powers stand twice, once for the real part and once for the imaginary one of what they
belong to, which makes all but the transforms plain products of floats in a row; and what has time,
keeping partitions causal and forgetting, is done for half of them each fourth frame.

Pure arithmetic: no clock, no device, no threads.
"""

import numpy as np
from numpy.typing import NDArray

FRAME = 160
"""Samples of a frame: 10 ms at 16 kHz."""

BINS = FRAME + 1

PARTITIONS = 32
"""320 ms of echo: what delay the streams' own clocks did not tell of, and the room's beginning."""

KEPT_PER_FRAME = 0.9998
"""How much of the path is the same a frame later. 0.9998^100: 98 % after a second."""

NOISE_SMOOTHING = 0.7
"""Per frame, of the power of what was not explained: some 30 ms."""

DOUBT = 0.1
"""How far off the unlearned path may be, in power: 10 dB below the loudspeaker, per partition."""

TINY = 1e-9

TIDIED = PARTITIONS // 2
TIDY_EVERY = 4
"""Frames between two times; each partition has its turn every second time."""

KEPT = KEPT_PER_FRAME ** (2 * TIDY_EVERY * PARTITIONS // TIDIED)


type Spectra = NDArray[np.complexfloating]


class EchoPath:
    """The linear part of the echo, for one microphone and one loudspeaker at 16 kHz."""

    def __init__(self) -> None:
        self._path = np.zeros((PARTITIONS, BINS), np.complex64)
        self._doubt: NDArray[np.float32] = np.full((PARTITIONS, 2 * BINS), DOUBT, np.float32)
        self._noise = np.zeros(BINS, np.float32)
        # Rings written twice, so that the last frames, newest first, always lie in a row.
        self._far = np.zeros((2 * PARTITIONS, BINS), np.complex64)
        self._power = np.zeros((2 * PARTITIONS, 2 * BINS), np.float32)
        self._newest = 0
        self._last = np.zeros(FRAME, np.float32)
        self._left = np.zeros(2 * FRAME, np.float32)
        self._product = np.zeros_like(self._path)
        self._share = np.zeros_like(self._doubt)
        self._frames = 0

    def subtract(self, near: NDArray[np.float32], far: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames `near` without their echo of `far`, the frames played at the same time."""
        played = np.concatenate([self._last, far])
        self._last = played[-FRAME:]
        frames = len(near) // FRAME
        pairs = np.ndarray((frames, 2 * FRAME), np.float32, played, 0, (4 * FRAME, 4))
        spectra = np.fft.rfft(pairs)
        powers = _twice(_power(spectra))
        left = np.empty_like(near)
        for k in range(frames):
            self._newest = (self._newest - 1) % PARTITIONS
            for at in (self._newest, self._newest + PARTITIONS):
                self._far[at], self._power[at] = spectra[k], powers[k]
            left[k * FRAME : (k + 1) * FRAME] = self._frame(near[k * FRAME : (k + 1) * FRAME])
        return left

    def _frame(self, near: NDArray[np.float32]) -> NDArray[np.float32]:
        far = self._far[self._newest : self._newest + PARTITIONS]
        np.multiply(self._path, far, out=self._product)
        echo = np.fft.irfft(np.add.reduce(self._product, axis=0))
        left = np.subtract(near, echo[FRAME:], out=self._left[FRAME:])
        self._learn(far, np.fft.rfft(self._left))
        self._frames += 1
        if self._frames % TIDY_EVERY == 0:
            self._tidy(self._frames // TIDY_EVERY * TIDIED % PARTITIONS)
        return left

    def _learn(self, far: Spectra, error: Spectra) -> None:
        """Kalman's step: the path by its gain, which is its share of what is not explained."""
        share, step = self._share, self._product
        self._noise *= NOISE_SMOOTHING
        self._noise += (1 - NOISE_SMOOTHING) * _power(error)
        power = self._power[self._newest : self._newest + PARTITIONS]
        np.multiply(self._doubt, power, out=share)
        expected = np.add.reduce(share, axis=0)[::2] / 2 + self._noise + TINY
        np.conjugate(far, out=step)
        step *= error / expected
        step.view(np.float32)[:] *= self._doubt
        self._path += step
        share *= _twice(-0.5 / expected)
        share += 1
        self._doubt *= share

    def _tidy(self, first: int) -> None:
        """Make partitions causal again, since a circular one would echo itself, and forget."""
        path, doubt = self._path[first : first + TIDIED], self._doubt[first : first + TIDIED]
        taps = np.fft.irfft(path, axis=1)
        taps[:, FRAME:] = 0
        path[:] = np.fft.rfft(taps, axis=1)
        doubt *= KEPT
        doubt += (1 - KEPT) * _twice(_power(path))


def _power(spectrum: Spectra) -> NDArray[np.float32]:
    return np.square(spectrum.real) + np.square(spectrum.imag)


def _twice(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each value of a row once for a real and once for an imaginary part."""
    return np.repeat(values, 2, axis=-1)
