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

FRAME_SAMPLES = 160
"""Samples of a frame: 10 ms at 16 kHz."""

BINS = FRAME_SAMPLES + 1

PARTITIONS = 32
"""320 ms of echo: what delay the streams' own clocks did not tell of, and the room's beginning."""

TRANSITION_FACTOR = 0.9998
"""How much of the path is the same a frame later. 0.9998^100: 98 % after a second."""

NOISE_SMOOTHING = 0.7
"""Per frame, of the power of what was not explained: some 30 ms."""

INITIAL_STATE_ERROR = 0.1
"""How far off the unlearned path may be, in power: 10 dB below the loudspeaker, per partition."""

REGULARIZATION = 1e-9

CONSTRAINED_PARTITIONS = PARTITIONS // 2
CONSTRAINT_INTERVAL = 4
"""Frames between two times; each partition has its turn every second time."""

SQUARED_TRANSITION = TRANSITION_FACTOR ** (
    2 * CONSTRAINT_INTERVAL * PARTITIONS // CONSTRAINED_PARTITIONS
)


type Spectra = NDArray[np.complexfloating]


class EchoPath:
    """The linear part of the echo, for one microphone and one loudspeaker at 16 kHz."""

    def __init__(self) -> None:
        self._weights = np.zeros((PARTITIONS, BINS), np.complex64)
        self._state_error: NDArray[np.float32] = np.full(
            (PARTITIONS, 2 * BINS), INITIAL_STATE_ERROR, np.float32
        )
        self._noise_psd = np.zeros(BINS, np.float32)
        # Rings written twice, so that the last frames, newest first, always lie in a row.
        self._reference = np.zeros((2 * PARTITIONS, BINS), np.complex64)
        self._reference_power = np.zeros((2 * PARTITIONS, 2 * BINS), np.float32)
        self._newest = 0
        self._last_reference = np.zeros(FRAME_SAMPLES, np.float32)
        self._padded_error = np.zeros(2 * FRAME_SAMPLES, np.float32)
        self._scratch = np.zeros_like(self._weights)
        self._explained = np.zeros_like(self._state_error)
        self._frames = 0

    def subtract(self, near: NDArray[np.float32], far: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames `near` without their echo of `far`, the frames played at the same time."""
        samples = np.concatenate([self._last_reference, far])
        self._last_reference = samples[-FRAME_SAMPLES:]
        frames = len(near) // FRAME_SAMPLES
        windows = np.ndarray(
            (frames, 2 * FRAME_SAMPLES), np.float32, samples, 0, (4 * FRAME_SAMPLES, 4)
        )
        spectra = np.fft.rfft(windows)
        powers = _twice(_power_spectrum(spectra))
        cleaned = np.empty_like(near)
        for k in range(frames):
            self._newest = (self._newest - 1) % PARTITIONS
            for at in (self._newest, self._newest + PARTITIONS):
                self._reference[at], self._reference_power[at] = spectra[k], powers[k]
            cleaned[k * FRAME_SAMPLES : (k + 1) * FRAME_SAMPLES] = self._process_frame(
                near[k * FRAME_SAMPLES : (k + 1) * FRAME_SAMPLES]
            )
        return cleaned

    def _process_frame(self, near: NDArray[np.float32]) -> NDArray[np.float32]:
        far = self._reference[self._newest : self._newest + PARTITIONS]
        np.multiply(self._weights, far, out=self._scratch)
        echo_estimate = np.fft.irfft(np.add.reduce(self._scratch, axis=0))
        error = np.subtract(
            near, echo_estimate[FRAME_SAMPLES:], out=self._padded_error[FRAME_SAMPLES:]
        )
        self._update(far, np.fft.rfft(self._padded_error))
        self._frames += 1
        if self._frames % CONSTRAINT_INTERVAL == 0:
            self._constrain_and_predict(
                self._frames // CONSTRAINT_INTERVAL * CONSTRAINED_PARTITIONS % PARTITIONS
            )
        return error

    def _update(self, far: Spectra, error: Spectra) -> None:
        """Kalman's step: the path by its gain, which is its share of what is not explained."""
        explained, step = self._explained, self._scratch
        self._noise_psd *= NOISE_SMOOTHING
        self._noise_psd += (1 - NOISE_SMOOTHING) * _power_spectrum(error)
        power = self._reference_power[self._newest : self._newest + PARTITIONS]
        np.multiply(self._state_error, power, out=explained)
        innovation_psd = (
            np.add.reduce(explained, axis=0)[::2] / 2 + self._noise_psd + REGULARIZATION
        )
        np.conjugate(far, out=step)
        step *= error / innovation_psd
        step.view(np.float32)[:] *= self._state_error
        self._weights += step
        explained *= _twice(-0.5 / innovation_psd)
        explained += 1
        self._state_error *= explained

    def _constrain_and_predict(self, first: int) -> None:
        """Make partitions causal again, since a circular one would echo itself, and forget."""
        weights, state_error = (
            self._weights[first : first + CONSTRAINED_PARTITIONS],
            self._state_error[first : first + CONSTRAINED_PARTITIONS],
        )
        impulse_responses = np.fft.irfft(weights, axis=1)
        impulse_responses[:, FRAME_SAMPLES:] = 0
        weights[:] = np.fft.rfft(impulse_responses, axis=1)
        state_error *= SQUARED_TRANSITION
        state_error += (1 - SQUARED_TRANSITION) * _twice(_power_spectrum(weights))


def _power_spectrum(spectrum: Spectra) -> NDArray[np.float32]:
    return np.square(spectrum.real) + np.square(spectrum.imag)


def _twice(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each value of a row once for a real and once for an imaginary part."""
    return np.repeat(values, 2, axis=-1)
