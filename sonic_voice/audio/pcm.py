"""Samples: as bytes on the wire, as floats for calculations, and at another rate.

The rate travels with the samples (`config.AudioFormat`). Where two rates differ, `Resampler`
converts, with a streaming filter whose delay is small and known; samples are never relabelled.

The filter is a polyphase windowed sinc. With rates in the ratio L : M in lowest terms, output n
lies at position n M / L of the input, in input samples, and is the input through a low-pass that
is evaluated there:

    y[n] = sum over k of  x[k] h(k - n M / L)

    h(t) = sinc(2 f s t) I0(b sqrt(1 - (s t / W)^2))   for |s t| <= W, else 0,
           divided by its sum over k, so that the gain at 0 Hz is 1

    s = min(1, L / M)            converts input samples to samples of the lower rate
    f = CUTOFF                   middle of the transition, in cycles per sample of the lower rate
    W = HALF_WINDOW              half width of the window, in samples of the lower rate
    b = BETA                     shape of the Kaiser window
    H = ceil(W max(1, M / L))    half width of the window, in input samples

Source: A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, the Kaiser window design
for BETA and for the transition width. In the code `up` is L, `down` is M, `half` is H.

Only L positions between two input samples occur, so h is precomputed once for each pair of rates:
a table with a row for each of the L outputs that M input samples make. All rows begin at the same
input sample and are as wide as all L outputs together need (2 H + M + 1 taps). A group of L outputs
is then L dot products of a row with the same stretch of the input.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..config import BYTES_PER_SAMPLE
from ..errors import AudioError

FULL_SCALE = 32_768.0
"""Magnitude of a 16-bit sample that is 1.0 as a float."""

HALF_WINDOW = 47
"""Half width of the window, in samples of the lower rate (W)."""

STOP_BAND_DB = 100.0
"""Attenuation of what the lower rate cannot carry, in decibels: below a step of 16 bits."""

BETA = 0.1102 * (STOP_BAND_DB - 8.7)
"""Shape of the Kaiser window that has this stop-band attenuation (b)."""

CUTOFF = 0.5 - (STOP_BAND_DB - 8) / (2.285 * 2 * math.pi * 4 * HALF_WINDOW)
"""Middle of the transition band, as a fraction of the lower rate (f); it ends at half that rate."""

MAX_TAPS = 400_000
"""Maximum size of a precomputed filter table, in taps (1.6 MB). From 11,025 to 16,000 Hz it has
343,040. Odder pairs of rates have no table: their taps are calculated as they are needed, which
takes a third of a core where the others take a thousandth."""

MAX_RATIO = 256
"""Maximum ratio of two rates."""


class Resampler:
    """A streaming converter of pcm at `source_hz` to pcm at `target_hz`.

    Flat to 0.86 of the lower Nyquist frequency, 0.6 dB down at 0.9 and 14 dB at 0.95 of it; what
    lies above is 100 dB down. The output is in time with the input: sample k stands for the instant
    k / target_hz. It is only available later, by half the window, 47 samples of the lower rate:
    2.94 ms from 48 to 16 kHz and from 16 to 24 kHz.

    How the input is cut into chunks makes no difference to the output. Equal rates pass through.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        """Choose the filter.

        Args:
            source_hz: Rate of the input.
            target_hz: Rate of the output.

        Raises:
            AudioError: The rates are more than a factor of 256 apart.
        """
        low, high = sorted((source_hz, target_hz))
        if low < 1 or high > low * MAX_RATIO:
            raise AudioError(
                f"Sound of {source_hz} Hz cannot be converted to {target_hz} Hz.",
                hint=f"Both must be above 0 and within a factor of {MAX_RATIO}.",
            )
        self._source_hz = source_hz
        common = math.gcd(source_hz, target_hz)
        self._up, self._down = target_hz // common, source_hz // common
        self._half = _half_window(self._up, self._down)
        taps = self._up * (2 * self._half + self._down + 1)
        self._table = _filter_table(self._up, self._down) if taps <= MAX_TAPS else None
        self._reset()

    @property
    def delay_s(self) -> float:
        """Maximum time that sound given to `feed` is held back, in seconds."""
        return 0.0 if self._passes else self._half / self._source_hz

    def feed(self, pcm: bytes) -> bytes:
        """Convert the next chunk.

        Args:
            pcm: s16le mono samples at the source rate.

        Returns:
            The samples at the target rate that `pcm` completes, which may be none.

        Raises:
            AudioError: `pcm` ends inside a sample.
        """
        if not samples_in(pcm) or self._passes:
            return pcm
        return to_pcm(self.convert(from_pcm(pcm)))

    def finish(self) -> bytes:
        """Return the rest of the output, and begin a new stream.

        Returns:
            The last samples. The stream has ceil(samples in x target_hz / source_hz) in all.
        """
        if self._passes:
            return b""
        missing = -(-self._samples_in * self._up // self._down) - self._samples_out
        rest = self.convert(np.zeros(self._half + 1, np.float32))[:missing]
        self._reset()
        return to_pcm(rest)

    @property
    def _passes(self) -> bool:
        return self._up == self._down

    def _reset(self) -> None:
        self._samples_in = self._samples_out = 0
        # The input from the first tap of the next group of outputs on; silence before the start.
        self._history = np.zeros(self._half, np.float32)

    def convert(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert the next chunk, like `feed`, from floats to floats.

        Args:
            samples: Mono samples at the source rate, -1 to 1.

        Returns:
            The samples at the target rate that `samples` completes.
        """
        if self._passes:
            return samples
        self._samples_in += len(samples)
        # Output n needs the input up to n M / L + H.
        ready = -(-(self._samples_in - self._half) * self._up // self._down) - self._samples_out
        history = np.concatenate([self._history, samples])
        # `history` begins at the group of the next output; its first `skipped` outputs were given.
        group, skipped = divmod(self._samples_out, self._up)
        self._samples_out += max(0, ready)
        self._history = history[(self._samples_out // self._up - group) * self._down :]
        if ready <= 0:
            return np.zeros(0, np.float32)
        if self._table is None:
            return self._filter_singly(history, skipped + np.arange(ready))
        return self._filter_groups(history, self._table, skipped + ready)[skipped:]

    def _filter_groups(
        self, history: NDArray[np.float32], table: NDArray[np.float32], outputs: int
    ) -> NDArray[np.float32]:
        """Return the first `outputs` of `history`, calculated in groups of L."""
        groups, width = -(-outputs // self._up), table.shape[1]
        # The last group may reach beyond the input, but not with the outputs that are asked for.
        missing = (groups - 1) * self._down + width - len(history)
        if missing > 0:
            history = np.concatenate([history, np.zeros(missing, np.float32)])
        # Overlapping views without a copy: group g begins at sample g M; a float32 has 4 bytes.
        stretches = np.ndarray((groups, 1, width), np.float32, history, 0, (4 * self._down, 0, 4))
        return np.vecdot(stretches, table).reshape(-1)[:outputs]

    def _filter_singly(
        self, history: NDArray[np.float32], outputs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the outputs of `history` with these numbers, each with taps of its own."""
        first, phase = np.divmod(outputs * self._down, self._up)
        window = np.arange(2 * self._half + 1)
        offsets = window - self._half - (phase / self._up)[:, None]
        return np.vecdot(history[first[:, None] + window], _taps(offsets, self._up, self._down))


def _half_window(up: int, down: int) -> int:
    """Return half the width of the window, in input samples (H)."""
    return math.ceil(HALF_WINDOW * max(1.0, down / up))


@lru_cache(maxsize=16)
def _filter_table(up: int, down: int) -> NDArray[np.float32]:
    """Return the taps of the L outputs of a group, a row for each, on the stretch they share."""
    half = _half_window(up, down)
    positions = half + np.arange(up) * down / up
    return _taps(np.arange(2 * half + down + 1) - positions[:, None], up, down)


def _taps(offsets: NDArray[np.float64], up: int, down: int) -> NDArray[np.float32]:
    """Return h at `offsets`.

    Args:
        offsets: Distances of input samples from an output, in input samples (t); a row for each
            output.
        up: L.
        down: M.

    Returns:
        The weight of each input sample; each row sums up to 1.
    """
    offsets = offsets * min(1.0, up / down)
    inside = np.clip(1 - np.square(offsets / HALF_WINDOW), 0, None)
    taps = np.sinc(2 * CUTOFF * offsets) * np.i0(BETA * np.sqrt(inside)) * (inside > 0)
    return (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)


def from_pcm(pcm: bytes | bytearray | memoryview) -> NDArray[np.float32]:
    """Convert s16le samples to floats of -1 to 1."""
    return np.frombuffer(pcm, "<i2") * np.float32(1 / FULL_SCALE)


def to_pcm(samples: NDArray[np.float32]) -> bytes:
    """Convert floats of -1 to 1 to s16le samples.

    Args:
        samples: Mono samples. Louder ones are clipped, never wrapped.

    Returns:
        The samples as bytes.
    """
    scaled = samples * np.float32(FULL_SCALE)
    np.rint(scaled, out=scaled)
    np.maximum(scaled, -FULL_SCALE, out=scaled)
    np.minimum(scaled, FULL_SCALE - 1, out=scaled)
    return scaled.astype("<i2").tobytes()


def samples_in(pcm: bytes) -> int:
    """Return the number of samples in `pcm`.

    Raises:
        AudioError: It ends inside a sample.
    """
    samples, rest = divmod(len(pcm), BYTES_PER_SAMPLE)
    if rest:
        raise AudioError(
            f"{len(pcm)} bytes end inside a sample.",
            hint="Samples are 16-bit: cut audio at even byte positions.",
        )
    return samples
