"""The echo path: how the loudspeaker's sound reaches the microphone, identified while both sound.

The path through air, walls and furniture is nearly linear: a filter of some hundred milliseconds.
Once it is known, the echo can be subtracted from what the microphone captures, and a person who
talks at the same time stays intact. What remains are the distortions of a small loudspeaker and
the part of the path that has not been identified yet.

The filter is a partitioned-block frequency-domain Kalman filter (Enzner and Vary 2006; Kuech,
Mabande and Enzner 2014), with overlap-save frames of N samples, a DFT of 2N samples and L
partitions of one frame each. Its state-error covariance is diagonal: one value for each partition
and frequency. For frame k:

    X_p     DFT of the reference frames k-p-1 and k-p             p = 0 ... L-1
    e       = y - last N samples of IDFT(sum over p of X_p W_p)   a-priori error: the output
    E       = DFT of N zeros followed by e
    Psi     = beta Psi + (1 - beta) |E|^2                         observation noise
    S       = 1/2 sum over p of P_p |X_p|^2 + Psi                 power of the innovation
    K_p     = P_p conj(X_p) / S                                   Kalman gain
    W_p     = W_p + K_p E                                         correction
    P_p     = (1 - 1/2 K_p X_p) P_p

The factor 1/2 is N / 2N: only half of the samples that E is the transform of are errors. Every
eighth frame, for each partition:

    W_p     = DFT of the first N samples of IDFT(W_p)             gradient constraint
    P_p     = A^16 P_p + (1 - A^16) |W_p|^2                       prediction over eight frames

The prediction does not scale W_p by the transition factor A.

    symbol   variable                   symbol   variable
    y        `near`                     W_p      `_weights[p]`
    X_p      `_reference[_newest + p]`  P_p      `_covariance[p]`
    e        `error`                    Psi      `_noise_psd`
    E        `error_spectrum`           S        `innovation_psd`
    N        `FRAME_SAMPLES`            K_p E    `correction[p]`
    L        `PARTITIONS`               A        `TRANSITION_FACTOR`
    beta     `NOISE_SMOOTHING`          A^16     `SQUARED_TRANSITION`

P_p says how wrong the estimate may still be, so the filter adapts faster where the uncertainty is
larger. While a person talks it adapts little, because E, and with it Psi and S, contains the
person's voice. There is no other double-talk detection and no step size to tune.

The cost of a frame lies less in its arithmetic than in the number of NumPy calls and the memory
that they read. Therefore each power is stored twice, once for the real and once for the imaginary
part of the value that it belongs to, which turns everything but the transforms into plain products
of contiguous floats. The gradient constraint and the prediction are not urgent, and are done for
half of the partitions every fourth frame.

Pure arithmetic: no clock, no device, no threads.
"""

import numpy as np
from numpy.typing import NDArray

FRAME_SAMPLES = 160
"""Length of a frame, in samples (N): 10 ms at 16 kHz."""

BINS = FRAME_SAMPLES + 1
"""Number of frequencies of the DFT of two frames of real samples."""

PARTITIONS = 32
"""Number of partitions (L). They cover 320 ms of echo: the delay that the streams' clocks do not
account for, and the beginning of the room's response."""

TRANSITION_FACTOR = 0.9998
"""Transition factor of the path (A) from one frame to the next: 98 % of the path (0.9998^100) is
expected to be unchanged after a second."""

NOISE_SMOOTHING = 0.7
"""Smoothing factor (beta) of the observation noise, per frame: a time constant of some 30 ms."""

INITIAL_COVARIANCE = 0.1
"""Initial state-error covariance of each partition, as a power: the unknown path is expected to be
10 dB below the loudspeaker."""

REGULARIZATION = 1e-9
"""Power added to S, so that it is not zero in digital silence."""

CONSTRAINED_PARTITIONS = PARTITIONS // 2
"""Number of partitions that are constrained and predicted at a time."""

CONSTRAINT_INTERVAL = 4
"""Number of frames between two constraints. Each partition is constrained every second time, which
is every eighth frame."""

SQUARED_TRANSITION = TRANSITION_FACTOR ** (
    2 * CONSTRAINT_INTERVAL * PARTITIONS // CONSTRAINED_PARTITIONS
)
"""Squared transition factor over the eight frames between two predictions of a partition (A^16)."""

SHIFTED_COVARIANCE = 2.0
"""Factor of the state-error covariance when the path is shifted, because the room may have changed
with the delay."""

SHIFTED_DOUBT = 0.05
"""Power of the path's error after a shift, relative to the path: the shift is exact to a sample."""

type Spectra = NDArray[np.complexfloating]


class EchoPath:
    """An adaptive model of the linear echo from one loudspeaker to one microphone, at 16 kHz."""

    def __init__(self) -> None:
        self._weights = np.zeros((PARTITIONS, BINS), np.complex64)
        self._covariance: NDArray[np.float32] = np.full(
            (PARTITIONS, 2 * BINS), INITIAL_COVARIANCE, np.float32
        )
        self._noise_psd = np.zeros(BINS, np.float32)
        # Ring buffers that hold each entry twice, `PARTITIONS` rows apart, so that the last frames
        # are always contiguous, newest first.
        self._reference = np.zeros((2 * PARTITIONS, BINS), np.complex64)
        self._reference_power = np.zeros((2 * PARTITIONS, 2 * BINS), np.float32)
        self._newest = 0
        self._last_reference = np.zeros(FRAME_SAMPLES, np.float32)
        self._padded_error = np.zeros(2 * FRAME_SAMPLES, np.float32)
        self._scratch = np.zeros_like(self._weights)
        self._echo_power = np.zeros_like(self._covariance)
        self._frames = 0

    def subtract(self, near: NDArray[np.float32], far: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `near` without the linear echo of `far`, and adapt the model to both.

        Args:
            near: Captured samples in the range -1 to 1; whole frames of `FRAME_SAMPLES`.
            far: Reference samples that were played at the same time, as many as `near` has.

        Returns:
            A new array of the same length.
        """
        samples = np.concatenate([self._last_reference, far])
        self._last_reference = samples[-FRAME_SAMPLES:]
        frames = len(near) // FRAME_SAMPLES
        # Overlapping windows, as a view: each frame of `far` after the frame before it.
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

    def change(self, lag: int, gain: float = 1.0) -> None:
        """Move the path in time and scale it, because the echo has changed at once.

        Args:
            lag: Samples by which the echo is later; negative if it is earlier.
            gain: Factor by which it is louder.
        """
        taps = np.fft.irfft(self._weights, axis=1)[:, :FRAME_SAMPLES].reshape(-1)
        moved = np.zeros_like(taps)
        kept = len(taps) - abs(lag)
        if kept > 0:
            moved[max(0, lag) :][:kept] = taps[max(0, -lag) :][:kept]
        padded = np.zeros((PARTITIONS, 2 * FRAME_SAMPLES), np.float32)
        padded[:, :FRAME_SAMPLES] = moved.reshape(PARTITIONS, FRAME_SAMPLES)
        self._weights[:] = gain * np.fft.rfft(padded, axis=1)
        self._covariance *= SHIFTED_COVARIANCE
        self._covariance += SHIFTED_DOUBT * _twice(_power_spectrum(self._weights))

    def _process_frame(self, near: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the a-priori error of a frame, and update the filter with it."""
        far = self._reference[self._newest : self._newest + PARTITIONS]
        np.multiply(self._weights, far, out=self._scratch)
        echo_estimate = np.fft.irfft(np.add.reduce(self._scratch, axis=0))
        # Overlap-save: the first half of the estimate is wrapped around, and the first half of the
        # padded error stays zero.
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

    def _update(self, far: Spectra, error_spectrum: Spectra) -> None:
        """Correct the weights by the Kalman gain, and reduce the covariance by what was learned."""
        echo_power, correction = self._echo_power, self._scratch
        self._noise_psd *= NOISE_SMOOTHING
        self._noise_psd += (1 - NOISE_SMOOTHING) * _power_spectrum(error_spectrum)
        power = self._reference_power[self._newest : self._newest + PARTITIONS]
        np.multiply(self._covariance, power, out=echo_power)
        # Each power stands twice in its row: [::2] takes it once.
        innovation_psd = (
            np.add.reduce(echo_power, axis=0)[::2] / 2 + self._noise_psd + REGULARIZATION
        )
        np.conjugate(far, out=correction)
        correction *= error_spectrum / innovation_psd
        # The covariance is real, so it scales real and imaginary parts alike.
        correction.view(np.float32)[:] *= self._covariance
        self._weights += correction
        # From here on `echo_power` holds the factor 1 - 1/2 K_p X_p.
        echo_power *= _twice(-0.5 / innovation_psd)
        echo_power += 1
        self._covariance *= echo_power

    def _constrain_and_predict(self, first: int) -> None:
        """Apply the gradient constraint and the prediction to half of the partitions.

        Without the constraint the partitions would become circular filters, which produce an echo
        of their own.

        Args:
            first: Index of the first of these `CONSTRAINED_PARTITIONS` partitions.
        """
        weights, covariance = (
            self._weights[first : first + CONSTRAINED_PARTITIONS],
            self._covariance[first : first + CONSTRAINED_PARTITIONS],
        )
        impulse_responses = np.fft.irfft(weights, axis=1)
        impulse_responses[:, FRAME_SAMPLES:] = 0
        weights[:] = np.fft.rfft(impulse_responses, axis=1)
        covariance *= SQUARED_TRANSITION
        covariance += (1 - SQUARED_TRANSITION) * _twice(_power_spectrum(weights))


def _power_spectrum(spectrum: Spectra) -> NDArray[np.float32]:
    """Return the squared magnitude at each frequency."""
    return np.square(spectrum.real) + np.square(spectrum.imag)


def _twice(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each value of a row twice in a row: for the real and for the imaginary part."""
    return np.repeat(values, 2, axis=-1)
