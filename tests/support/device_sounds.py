"""What is said, played and heard in these tests, and how one waits for it."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sonic_voice.audio.pcm import Resampler
from sonic_voice.audio.wav import WavSource
from sonic_voice.config import AudioFormat
from sonic_voice.devices import BackendName, Microphone, Speaker

from .virtual import CAPTURE_HZ

SPEECH = Path(__file__).parents[1] / "speech"
SPOKEN_HZ = 24_000
TONE_HZ = 500
LEVEL = 8_000


async def speech(name: str, rate_hz: int = 16_000) -> bytes:
    """A recording, to its last sample."""
    pcm = b""
    async with WavSource(
        SPEECH / f"{name}.wav", AudioFormat(rate_hz), speed=float("inf")
    ) as source:
        while not source.done:
            pcm += await source.read()
    return pcm


def tone(seconds: float, hz: int = TONE_HZ) -> bytes:
    """A tone of `LEVEL`, at `SPOKEN_HZ`."""
    time_s = np.arange(round(seconds * SPOKEN_HZ)) / SPOKEN_HZ
    return (LEVEL * np.sin(2 * np.pi * hz * time_s)).astype("<i2").tobytes()


def tone_amplitude(sound: NDArray[np.int16], rate_hz: int, hz: int) -> float:
    """The greatest amplitude that the tone `hz` has within a tenth of a second of `sound`."""
    length = rate_hz // 10
    windows = sound[: len(sound) // length * length].reshape(-1, length)
    if not len(windows):
        return 0.0
    turning = np.exp(-2j * np.pi * hz / rate_hz * np.arange(length))
    return float(2 / length * np.abs(windows @ turning).max())


def samples(pcm: bytes) -> NDArray[np.int16]:
    return np.frombuffer(pcm, "<i2")


def at_capture_rate(pcm: bytes, rate_hz: int = SPOKEN_HZ) -> NDArray[np.int16]:
    resampler = Resampler(rate_hz, CAPTURE_HZ)
    return samples(resampler.feed(pcm) + resampler.finish())


def speaker(backend: BackendName) -> Speaker:
    return Speaker(backend=backend, rate_hz=48_000)


@asynccontextmanager
async def listening(microphone: Microphone) -> AsyncGenerator[bytearray]:
    """What `microphone` gives meanwhile."""
    heard = bytearray()

    async def listen() -> None:
        while chunk := await microphone.read():
            heard.extend(chunk)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Dated:
    """Samples in chunks of any length that came with the date of their first."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.pcm = b""
        self.dates_s: list[float] = []
        self._starts: list[int] = []

    def add(self, pcm: bytes, at_s: float) -> None:
        self._starts.append(len(self.pcm) // 2)
        self.pcm += pcm
        self.dates_s.append(at_s)

    @property
    def samples(self) -> NDArray[np.int16]:
        return samples(self.pcm)

    def date_s(self, position: int) -> float:
        """When the sample of that number was at its transducer."""
        chunk = bisect_right(self._starts, position) - 1
        return self.dates_s[chunk] + (position - self._starts[chunk]) / self.rate_hz


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not happened():  # noqa: ASYNC110 - told from another thread
            await asyncio.sleep(0.02)


async def quiet(speaker: Speaker) -> None:
    """Wait until all has sounded, and a moment for the capture to have it."""
    await until(lambda: not speaker.pending_s)
    await asyncio.sleep(0.15)
