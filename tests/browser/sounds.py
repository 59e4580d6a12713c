"""What the microphone hears, what the loudspeaker played, and the one found in the other."""

import base64
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from sonic_voice.audio.pcm import Resampler

SPEECH = Path(__file__).parents[1] / "speech"
MICROPHONE_HZ = 16_000
ANSWER_HZ = 24_000

AROUND_S = 0.5
"""Of speech before it ends, to compare its end with."""

SILENT = 33
"""Of 32768: -60 dB. What is below it is no sound."""

type Samples = NDArray[np.int16]


class Chunk(TypedDict):
    """Of `tap.js`."""

    at: int
    pcm: str


def script(*said: float | str) -> bytes:
    """What one says: seconds of silence, and names of recordings."""
    parts = [
        _recording(part) if isinstance(part, str) else bytes(2 * round(part * MICROPHONE_HZ))
        for part in said
    ]
    return b"".join(parts)


def write_microphone(path: Path, pcm: bytes) -> None:
    """Chromium reads the file anew whenever its fake microphone is opened."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_HZ)
        file.writeframes(pcm)


def _recording(name: str) -> bytes:
    with wave.open(str(SPEECH / f"{name}.wav")) as file:
        assert file.getframerate() == MICROPHONE_HZ
        return file.readframes(file.getnframes())


@dataclass(frozen=True, slots=True)
class Played:
    """What went to the loudspeaker, from the beginning of its clock."""

    rate_hz: int
    samples: Samples

    @classmethod
    def of(cls, rate_hz: int, chunks: Sequence[Chunk]) -> "Played":
        """What `tap.js` kept."""
        pieces = [(one["at"], np.frombuffer(base64.b64decode(one["pcm"]), "<i2")) for one in chunks]
        samples = np.zeros(max(at + len(piece) for at, piece in pieces), np.int16)
        for at, piece in pieces:
            samples[at : at + len(piece)] = piece
        return cls(rate_hz, samples)

    def likeness(self, answer: bytes) -> tuple[float, int]:
        """How like the answer (24 kHz) the sound is where it is most like it, and where that is.

        1 where every sample came, in order and without a gap.
        """
        wanted = self._resampled(answer).astype(np.float64)
        heard = self.samples.astype(np.float64)
        size = 1 << (len(heard) + len(wanted)).bit_length()
        products = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(wanted, size).conj(), size)
        at = int(np.argmax(products[: len(heard)]))
        found = heard[at : at + len(wanted)]
        wanted = wanted[: len(found)]
        return float(found @ wanted / np.sqrt((found @ found) * (wanted @ wanted))), at

    def heard(self, begin: int, end: int) -> bytes:
        """What sounded between two positions, in 16 kHz for a recogniser."""
        resampler = Resampler(self.rate_hz, MICROPHONE_HZ)
        return resampler.feed(self.samples[begin:end].tobytes()) + resampler.finish()

    def silent_from(self, begin: int, end: int) -> int:
        """Where between two positions the last sound ended."""
        loud = np.abs(self.samples[begin:end].astype(np.int32)) > SILENT
        assert loud.any(), "nothing sounded"
        return begin + int(np.flatnonzero(loud)[-1]) + 1

    def click(self, end: int) -> float:
        """The largest step between samples of the last 10 ms before `end`, against the largest of
        the speech before."""
        steps = np.abs(np.diff(self.samples.astype(np.int32)))
        last = end - self.rate_hz // 100
        before = steps[last - round(AROUND_S * self.rate_hz) : last]
        return float(steps[last : end + self.rate_hz // 100].max() / max(1, before.max()))

    def _resampled(self, answer: bytes) -> Samples:
        resampler = Resampler(ANSWER_HZ, self.rate_hz)
        return np.frombuffer(resampler.feed(answer) + resampler.finish(), "<i2")
