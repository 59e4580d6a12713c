"""Samples: as bytes on the wire, as floats to reckon with, and at another rate.

Rates travel with samples (`config.AudioFormat`). Where they differ the `Resampler` converts, with
a streaming filter whose delay is small and known; nothing is ever relabelled.
"""

import math
from collections import deque
from typing import Any, Protocol, cast

import numpy as np
import samplerate
from numpy.typing import NDArray

from .config import BYTES_PER_SAMPLE
from .errors import AudioError

FULL_SCALE = 32_768.0


class Resampler:
    """A stream of pcm at `source_hz` in, the same sound at `target_hz` out.

    libsamplerate's `sinc_medium`: aliases 117 dB down; 2.1 dB lost at 0.9 of the lower Nyquist
    frequency. The output is in time with the input: sample k stands for the instant
    k / target_hz. It is only given later, by the filter's half length of 47 samples of the lower
    rate and 2 of the input: 2.98 ms from 48 to 16 kHz, 3.06 ms from 16 to 24 kHz.

    How the input is cut into chunks makes no difference to the output. Equal rates pass through.
    Raises `AudioError` when built for rates more than a factor of 256 apart.
    """

    # Not samplerate.Resampler: its process() ignores how much of the chunk the library has taken,
    # and now and then drops the last samples of one where the library's ring buffer wraps. With
    # the callback the library asks for input itself. It must never ask in vain, for an empty
    # answer ends the stream: hence read() is asked only for what the input given surely makes.

    def __init__(self, source_hz: int, target_hz: int) -> None:
        low, high = sorted((source_hz, target_hz))
        if low < 1 or high > low * _MAX_RATIO:
            raise AudioError(
                f"Sound of {source_hz} Hz cannot be converted to {target_hz} Hz.",
                hint=f"Both must be above 0 and within a factor of {_MAX_RATIO}.",
            )
        self._source_hz, self._target_hz = source_hz, target_hz
        self._behind = math.ceil(_HALF_FILTER * max(1.0, source_hz / target_hz)) + 2
        self._begin()

    @property
    def delay_s(self) -> float:
        """The longest that sound given to `feed` is held back, in seconds."""
        return 0.0 if self._source_hz == self._target_hz else self._behind / self._source_hz

    def feed(self, pcm: bytes) -> bytes:
        """What `pcm` completes. Raises `AudioError` if it ends inside a sample."""
        if not samples_in(pcm) or self._source_hz == self._target_hz:
            return pcm
        return to_pcm(self._convert(from_pcm(pcm)))

    def finish(self) -> bytes:
        """The rest; in all ceil(samples in x target_hz / source_hz) came out.

        A `feed` after it begins a new stream.
        """
        if self._source_hz == self._target_hz:
            return b""
        missing = -(-self._taken * self._target_hz // self._source_hz) - self._given
        step = math.ceil(self._source_hz / self._target_hz)
        rest = self._convert(np.zeros(self._behind + step, np.float32))[:missing]
        self._begin()
        return to_pcm(rest)

    def _begin(self) -> None:
        self._taken = self._given = 0
        self._inbox = _Inbox()
        # The inbox, not a method of ours: a cycle through C++ would never be collected.
        ratio = self._target_hz / self._source_hz
        self._library = cast(
            _Converter,
            cast(Any, samplerate).CallbackResampler(self._inbox, ratio, "sinc_medium", 1),
        )

    def _convert(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        self._inbox.waiting.append(samples)
        self._taken += len(samples)
        ready = (self._taken - self._behind) * self._target_hz // self._source_hz - self._given
        if ready <= 0:
            return np.zeros(0, np.float32)
        self._given += ready
        return self._library.read(ready)


_MAX_RATIO = 256  # libsamplerate's own limit
_HALF_FILTER = 47  # samples of the lower rate to either side that sinc_medium looks at, rounded up


class _Converter(Protocol):
    def read(self, num_frames: int) -> NDArray[np.float32]: ...


class _Inbox:
    """What the library calls for input. Holds the last chunk while the library points into it."""

    def __init__(self) -> None:
        self.waiting: deque[NDArray[np.float32]] = deque()
        self._current = np.zeros(0, np.float32)

    def __call__(self) -> NDArray[np.float32]:
        self._current = self.waiting.popleft()
        return self._current


def from_pcm(pcm: bytes | memoryview) -> NDArray[np.float32]:
    """s16le samples as floats of -1 to 1."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(FULL_SCALE)


def to_pcm(samples: NDArray[np.float32]) -> bytes:
    """Floats of -1 to 1 as s16le. What is louder is clipped, never wrapped."""
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()


def samples_in(pcm: bytes) -> int:
    samples, rest = divmod(len(pcm), BYTES_PER_SAMPLE)
    if rest:
        raise AudioError(
            f"{len(pcm)} bytes end inside a sample.",
            hint="Samples are 16-bit: cut audio at even byte positions.",
        )
    return samples
