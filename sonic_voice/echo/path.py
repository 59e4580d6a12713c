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

Pure arithmetic: no clock, no device, no threads.
"""

import numpy as np
from numpy.typing import NDArray

FRAME = 160
"""Samples of a frame: 10 ms at 16 kHz."""

PARTITIONS = 32
"""320 ms of echo: what delay the streams' own clocks did not tell of, and the room's beginning."""

FORGETTING = 0.9998
"""How much of the path is the same a frame later. 0.9998^100: 98 % after a second."""

NOISE_SMOOTHING = 0.7
"""Per frame, of the power of what was not explained: some 30 ms."""

DOUBT = 0.1
"""How far off the unlearned path may be, in power: 10 dB below the loudspeaker, per partition."""

TINY = 1e-9


class EchoPath:
    """The linear part of the echo, for one microphone and one loudspeaker at 16 kHz."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        shape = (partitions, FRAME + 1)
        self._path = np.zeros(shape, np.complex64)
        self._doubt = np.full(shape, DOUBT, np.float32)
        self._far = np.zeros(shape, np.complex64)
        self._last = np.zeros(FRAME, np.float32)
        self._noise = np.zeros(FRAME + 1, np.float32)
        self._next = 0

    def subtract(self, near: NDArray[np.float32], far: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frame `near` without its echo of `far`, the frame played at the same time."""
        self._far = np.roll(self._far, 1, axis=0)
        self._far[0] = np.fft.rfft(np.concatenate([self._last, far]))
        self._last = far
        echo = np.fft.irfft((self._path * self._far).sum(axis=0))[FRAME:]
        left = (near - echo).astype(np.float32)
        self._learn(left)
        return left

    def _learn(self, left: NDArray[np.float32]) -> None:
        error = np.fft.rfft(np.concatenate([np.zeros(FRAME, np.float32), left]))
        power = np.abs(self._far) ** 2
        self._noise *= NOISE_SMOOTHING
        self._noise += (1 - NOISE_SMOOTHING) * np.abs(error) ** 2
        expected = (self._doubt * power).sum(axis=0) / 2 + self._noise + TINY
        gain = self._doubt / expected
        self._path += gain * np.conj(self._far) * error
        self._doubt *= 1 - gain * power / 2
        self._doubt *= FORGETTING**2
        self._doubt += (1 - FORGETTING**2) * np.abs(self._path) ** 2
        self._unwrap()

    def _unwrap(self) -> None:
        """Make partitions causal again, a few each frame: a circular one would echo itself."""
        chosen = np.arange(self._next, self._next + 4) % len(self._path)
        self._next = int(chosen[-1] + 1) % len(self._path)
        taps = np.fft.irfft(self._path[chosen], axis=1)
        taps[:, FRAME:] = 0
        self._path[chosen] = np.fft.rfft(taps, axis=1)
