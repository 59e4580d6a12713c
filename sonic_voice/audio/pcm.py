"""Samples: as bytes on the wire, as floats to reckon with, and at another rate.

Rates travel with samples (`config.AudioFormat`). Where they differ the `Resampler` converts, with
a streaming filter whose delay is small and known; nothing is ever relabelled.

Between rates that are L : M in lowest terms, output n lies at n * M / L input samples. Its value is
the input through a low-pass, a sinc under a Kaiser window, read at that place. Only L places
between two input samples occur, so the filter is a table, made once for each pair of rates: a row
for each of the L outputs that M input samples make, as wide as all that these L look at. L outputs
are then L products of a row with the same stretch of the input.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..config import BYTES_PER_SAMPLE
from ..errors import AudioError

FULL_SCALE = 32_768.0

HALF_WINDOW = 47
"""Samples of the lower rate on either side of the middle of the window."""

STOP_DB = 100.0
"""What the lower rate cannot carry is so much softer: below a step of 16 bits."""

BETA = 0.1102 * (STOP_DB - 8.7)
"""Kaiser's shape for that stop band."""

CUTOFF = 0.5 - (STOP_DB - 8) / (2.285 * 2 * math.pi * 4 * HALF_WINDOW)
"""The middle of the transition, in parts of the lower rate; it ends at half that rate."""

MOST_TAPS = 400_000
"""Of a table: 1.6 MB. From 11,025 to 16,000 Hz it has 343,040. Odder rates have none: their taps
are reckoned as they are needed, which takes a third of a core where the others take a
thousandth."""

MOST_RATIO = 256


class Resampler:
    """A streaming converter of s16le samples from `source_hz` to `target_hz`.

    It is a polyphase filter: a low-pass, a sinc under a Kaiser window, evaluated at the place of
    each output between the input samples. With the rates in lowest terms, target : source = L : M,
    output n is

        y[n] = sum over k of x[k] h(n M/L - k)
        h(d) = sinc(2 c a d) I0(beta sqrt(1 - (a d / H)^2)) / g      for |a d| < H, else 0
        a    = min(1, L/M)

    where sinc(z) = sin(pi z) / (pi z), a makes H and c count in samples of the lower rate, and g
    makes the taps of each output sum up to 1. Only L places between two input samples occur, so the
    taps are a table: one row for each of the L outputs that M input samples make. Where it would
    be too large, the taps of each output are computed when they are needed.

        symbol   variable                          symbol   variable
        L        `_up`                             H        `HALF_WINDOW`
        M        `_down`                           c        `CUTOFF`
        x        `_line`, `line`                   beta     `BETA`
        d        `away` (of `_taps`)               n        `_given` (outputs so far)

    The response is flat to 0.86 of the lower Nyquist frequency, 0.6 dB down at 0.9 of it and 14 dB
    at 0.95; what lies above the lower Nyquist frequency is 100 dB down. The output is in time with
    the input: sample k stands for the instant k / target_hz. It only comes out later, by half the
    window, 47 samples of the lower rate: 2.94 ms from 48 to 16 kHz and from 16 to 24 kHz.

    The output does not depend on how the input is cut into chunks. Equal rates pass through
    unchanged.

    Raises:
        AudioError: The rates are more than a factor of 256 apart, or not above 0.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        low, high = sorted((source_hz, target_hz))
        if low < 1 or high > low * MOST_RATIO:
            raise AudioError(
                f"Sound of {source_hz} Hz cannot be converted to {target_hz} Hz.",
                hint=f"Both must be above 0 and within a factor of {MOST_RATIO}.",
            )
        self._source_hz = source_hz
        common = math.gcd(source_hz, target_hz)
        self._up, self._down = target_hz // common, source_hz // common
        self._half = _half_window(self._up, self._down)
        taps = self._up * (2 * self._half + self._down + 1)
        self._table = _table(self._up, self._down) if taps <= MOST_TAPS else None
        self._begin()

    @property
    def delay_s(self) -> float:
        """The longest that sound given to `feed` is held back, in seconds."""
        return 0.0 if self._passes else self._half / self._source_hz

    def feed(self, pcm: bytes) -> bytes:
        """What `pcm` completes. Raises `AudioError` if it ends inside a sample."""
        if not samples_in(pcm) or self._passes:
            return pcm
        return to_pcm(self.convert(from_pcm(pcm)))

    def finish(self) -> bytes:
        """The rest; in all ceil(samples in x target_hz / source_hz) came out.

        A `feed` after it begins a new stream.
        """
        if self._passes:
            return b""
        missing = -(-self._taken * self._up // self._down) - self._given
        rest = self.convert(np.zeros(self._half + 1, np.float32))[:missing]
        self._begin()
        return to_pcm(rest)

    @property
    def _passes(self) -> bool:
        return self._up == self._down

    def _begin(self) -> None:
        self._taken = self._given = 0
        self._line = np.zeros(self._half, np.float32)  # from the next row's stretch on

    def convert(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """`feed`, for who has floats and wants floats."""
        if self._passes:
            return samples
        self._taken += len(samples)
        ready = -(-(self._taken - self._half) * self._up // self._down) - self._given
        line = np.concatenate([self._line, samples])
        row, skipped = divmod(self._given, self._up)
        self._given += max(0, ready)
        self._line = line[(self._given // self._up - row) * self._down :]
        if ready <= 0:
            return np.zeros(0, np.float32)
        if self._table is None:
            return self._read_each(line, skipped + np.arange(ready))
        return self._read(line, self._table, skipped + ready)[skipped:]

    def _read(
        self, line: NDArray[np.float32], table: NDArray[np.float32], outputs: int
    ) -> NDArray[np.float32]:
        """The first `outputs` of `line`, whole rows at a time."""
        rows, width = -(-outputs // self._up), table.shape[1]
        missing = (rows - 1) * self._down + width - len(line)  # no output asked for looks at it
        if missing > 0:
            line = np.concatenate([line, np.zeros(missing, np.float32)])
        stretches = np.ndarray((rows, 1, width), np.float32, line, 0, (4 * self._down, 0, 4))
        return np.vecdot(stretches, table).reshape(-1)[:outputs]

    def _read_each(
        self, line: NDArray[np.float32], outputs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Those `outputs` of `line`, each with taps of its own."""
        first, part = np.divmod(outputs * self._down, self._up)
        near = np.arange(2 * self._half + 1)
        away = near - self._half - (part / self._up)[:, None]
        return np.vecdot(line[first[:, None] + near], _taps(away, self._up, self._down))


def _half_window(up: int, down: int) -> int:
    return math.ceil(HALF_WINDOW * max(1.0, down / up))


@lru_cache(maxsize=16)
def _table(up: int, down: int) -> NDArray[np.float32]:
    """The taps of all places, each counted from the beginning of the stretch they share."""
    half = _half_window(up, down)
    places = half + np.arange(up) * down / up
    return _taps(np.arange(2 * half + down + 1) - places[:, None], up, down)


def _taps(away: NDArray[np.float64], up: int, down: int) -> NDArray[np.float32]:
    """How much an input sample counts that is so far `away` from the output, in input samples.

    Each row is of one output, and sums up to 1.
    """
    away = away * min(1.0, up / down)
    inside = np.clip(1 - np.square(away / HALF_WINDOW), 0, None)
    taps = np.sinc(2 * CUTOFF * away) * np.i0(BETA * np.sqrt(inside)) * (inside > 0)
    return (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)


def from_pcm(pcm: bytes | bytearray | memoryview) -> NDArray[np.float32]:
    """s16le samples as floats of -1 to 1."""
    return np.frombuffer(pcm, "<i2") * np.float32(1 / FULL_SCALE)


def to_pcm(samples: NDArray[np.float32]) -> bytes:
    """Floats of -1 to 1 as s16le. What is louder is clipped, never wrapped."""
    scaled = samples * np.float32(FULL_SCALE)
    np.rint(scaled, out=scaled)
    np.maximum(scaled, -FULL_SCALE, out=scaled)
    np.minimum(scaled, FULL_SCALE - 1, out=scaled)
    return scaled.astype("<i2").tobytes()


def samples_in(pcm: bytes) -> int:
    samples, rest = divmod(len(pcm), BYTES_PER_SAMPLE)
    if rest:
        raise AudioError(
            f"{len(pcm)} bytes end inside a sample.",
            hint="Samples are 16-bit: cut audio at even byte positions.",
        )
    return samples
