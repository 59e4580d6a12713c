"""The microphone: a callback that copies, a bounded queue, a reader that converts."""

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from ..audio import HEARD
from ..config import BYTES_PER_SAMPLE, AudioFormat
from ..errors import ConfigError
from ..pcm import Resampler, from_pcm, to_pcm
from .library import BackendName, Wish, sound_library
from .port import Latency, Opening
from .watch import Notice, Watch

QUEUE_S = 2.0
"""What a reader may be late by. Older speech than this no answer is wanted to."""

DEAF_S = 3.0
"""Even a silent room has noise: this much of nothing but zeros is told to the user."""


@dataclass(frozen=True, slots=True)
class MicrophoneStats:
    """How well the microphone was listened to."""

    dropped_s: float
    """Seconds that were forgotten because nobody read them in time."""
    overruns: int
    """Times the device lost samples because we did not take them in time."""
    losses: int
    """Times the device itself was lost."""

    @property
    def advice(self) -> str:
        """What to change, in a sentence; empty if nothing went wrong."""
        if self.overruns:
            return (
                f"The microphone lost samples {self.overruns} times: take blocks of 20 ms or the "
                "latency high."
            )
        if self.dropped_s:
            return (
                f"{self.dropped_s:.1f} s of the microphone were not read in time: the machine or "
                "the network is too slow for the conversation."
            )
        return ""


@dataclass(frozen=True, slots=True)
class _Block:
    """What one callback brought: samples as the device gives them."""

    opening: Opening
    pcm: bytes
    at_s: float
    gap: bool = False
    """Whether there was no device."""


class Microphone:
    """A microphone as the user's side of a conversation, resampled to `format` and mixed to mono.

    `device` is a number or a part of a name from `devices()`, None the default one. `rate_hz` and
    `channels` are the device's own unless given. `block_ms` is what one callback brings, `chunk_ms`
    what one read gives; `latency` is asked of the device. `on_notice` is told, from any thread and
    in a sentence, when the device is lost, is back, or gives nothing but zeros.

    The device is open from construction on, which may take a second, and heard from the first
    `read` on. `QUEUE_S` of it may wait for the next read; then the oldest is forgotten, and counted
    in `stats`. A device that is lost is opened again, or the default one is, while silence flows.

    Raises `DeviceError` at construction if the device does not open, `ConfigError` for numbers
    that make no sense.
    """

    def __init__(
        self,
        device: int | str | None = None,
        format: AudioFormat = HEARD,
        *,
        backend: BackendName = "sounddevice",
        rate_hz: int | None = None,
        channels: int | None = None,
        block_ms: float = 20,
        chunk_ms: float = 20,
        latency: Latency = "low",
        on_notice: Notice | None = None,
    ) -> None:
        if chunk_ms < 1:
            raise ConfigError(f"A chunk of {chunk_ms:g} ms cannot be.", hint="At least 1 ms.")
        wish = Wish("input", device, rate_hz, channels, block_ms, latency)
        self.format = format
        self._chunk_bytes = format.size(chunk_ms / 1000)
        self._blocks: deque[_Block] = deque()
        self._most_blocks = max(1, round(QUEUE_S * 1000 / block_ms))
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._converter: _Converter | None = None
        self._ready = bytearray()
        self._ready_until_s = 0.0
        self._chunk_began_s = 0.0
        self._zeros_s = 0.0
        self._dropped_s = 0.0
        self._overruns = 0
        self._closed = False
        self._notice = on_notice or _keep_quiet
        self._watch = Watch(
            sound_library(backend),
            wish,
            self._hear,
            on_gap=self._hear_nothing,
            on_notice=self._notice,
        )
        self._watch.begin()

    @property
    def opening(self) -> Opening:
        """The device in use, its rate, channels and block."""
        return self._watch.opening

    @property
    def done(self) -> bool:
        """Never: a microphone may always say more."""
        return False

    def now(self) -> float:
        """`time.monotonic()`."""
        return time.monotonic()

    @property
    def chunk_began_s(self) -> float:
        """When the first sample of the chunk read last was at the microphone.

        In seconds of `time.monotonic()`, from the device's own clock (PortAudio's
        `inputBufferAdcTime`): the time line of `Speaker.sounded`.
        """
        return self._chunk_began_s

    @property
    def stats(self) -> MicrophoneStats:
        """The counts so far."""
        return MicrophoneStats(self._dropped_s, self._overruns, self._watch.losses)

    async def read(self) -> bytes:
        """The next `chunk_ms`, when they have been heard; `b""` after `aclose()`.

        Cancelling loses nothing. Belongs to one task and one event loop.
        """
        self._loop = asyncio.get_running_loop()
        while len(self._ready) < self._chunk_bytes:
            if self._closed:
                return b""
            if self._blocks:
                self._take(self._blocks.popleft())
            else:
                self._arrived.clear()
                await self._arrived.wait()
        self._chunk_began_s = self._ready_until_s - self.format.seconds(len(self._ready))
        chunk = bytes(self._ready[: self._chunk_bytes])
        del self._ready[: self._chunk_bytes]
        return b"" if self._closed else chunk

    async def aclose(self) -> None:
        """Give the device back; `read` returns `b""` from then on. Never suspends. Repeatable."""
        self._closed = True
        self._watch.close()
        self._arrived.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    # -- the device's thread ---------------------------------------------------------------------

    def _hear(
        self, opening: Opening, pcm: bytes, frames: int, offset_s: float, lapse: bool
    ) -> bytes:
        self._overruns += lapse
        self._hand_over(_Block(opening, pcm, time.monotonic() + offset_s))
        return b""

    def _hear_nothing(self, gap_s: float) -> None:
        opening = self._watch.opening
        silence = bytes(round(gap_s * opening.rate_hz) * opening.channels * BYTES_PER_SAMPLE)
        self._hand_over(_Block(opening, silence, time.monotonic() - gap_s, gap=True))

    def _hand_over(self, block: _Block) -> None:
        if self._loop is not None and not self._closed:
            with suppress(RuntimeError):  # the loop is closed: nobody will read any more
                self._loop.call_soon_threadsafe(self._queue, block)

    # -- the event loop --------------------------------------------------------------------------

    def _queue(self, block: _Block) -> None:
        if len(self._blocks) >= self._most_blocks:
            oldest = self._blocks.popleft()
            self._dropped_s += _seconds(oldest)
        self._blocks.append(block)
        self._arrived.set()

    def _take(self, block: _Block) -> None:
        opening = block.opening
        if self._converter is None or self._converter.opening != opening:
            self._converter = _Converter(opening, self.format)
        self._ready += self._converter.feed(block.pcm)
        self._ready_until_s = block.at_s + _seconds(block) - self._converter.held_s
        if self._zeros_s < DEAF_S and not block.gap:
            self._listen_for_zeros(block)

    def _listen_for_zeros(self, block: _Block) -> None:
        if block.pcm.count(0) < len(block.pcm):
            self._zeros_s = DEAF_S  # it hears: never asked again
            return
        self._zeros_s += _seconds(block)
        if self._zeros_s >= DEAF_S:
            self._notice(
                f"The microphone {block.opening.device.name!r} gives nothing but zeros. Is it "
                "muted, and may this program use it? (The system's privacy settings tell.)"
            )


class _Converter:
    """From a device's samples to mono at the rate of `format`."""

    def __init__(self, opening: Opening, format: AudioFormat) -> None:
        self.opening = opening
        self._rate_hz = format.rate_hz
        self._resampler = Resampler(opening.rate_hz, format.rate_hz)
        self._frames_in = self._samples_out = 0

    @property
    def held_s(self) -> float:
        """Seconds that went in and have not come out yet."""
        return self._frames_in / self.opening.rate_hz - self._samples_out / self._rate_hz

    def feed(self, pcm: bytes) -> bytes:
        channels = self.opening.channels
        if channels > 1:
            pcm = to_pcm(from_pcm(pcm).reshape(-1, channels).mean(axis=1, dtype=np.float32))
        converted = self._resampler.feed(pcm)
        self._frames_in += len(pcm) // BYTES_PER_SAMPLE
        self._samples_out += len(converted) // BYTES_PER_SAMPLE
        return converted


def _seconds(block: _Block) -> float:
    opening = block.opening
    return len(block.pcm) / (BYTES_PER_SAMPLE * opening.channels * opening.rate_hz)


def _keep_quiet(_: str) -> None:
    """Nobody wants to know."""
