"""The loudspeaker: a callback that pulls from a playout buffer, and what is known of its sound.

From `flush` to silence there are at most one block that was just pulled, what the device holds, and
the fade: 10 + 20 + 5 ms with blocks of 10 ms and low latency, 35 in all. Blocks of 20 ms double the
first two.

What was pulled has not been heard: it lies in the device for its latency. The device tells with
every block when it will be at the loudspeaker (PortAudio's `outputBufferDacTime`), and by that
clock `played_ms` counts and `sounded` is dated.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from ..audio.pcm import Resampler
from ..audio.playout import PlayoutBuffer, PlayoutStats, Prebuffer
from ..audio.ports import OUTPUT_FORMAT
from ..config import BYTES_PER_SAMPLE, AudioFormat
from ..errors import OrderError
from .library import BackendName, DeviceRequest, sound_library
from .port import DeviceOpening, Latency
from .supervisor import NoticeHandler, Supervisor

PLAYED_QUEUE_S = 2.0
"""What may wait in `sounded`. Older sound has no echo left in the room."""

DUCK_RAMP_MS = 30.0
"""A ramp too slow to click and too fast to be missed."""

CLOSING_TIMEOUT_S = 0.2
"""Longest wait for the last fade at `aclose`."""


class PlayedBlock(NamedTuple):
    """A block as the loudspeaker played it, silence included."""

    pcm: bytes
    """s16le mono."""
    rate_hz: int
    at_s: float
    """When its first sample is at the loudspeaker, in seconds of `time.monotonic()`: some
    milliseconds after it was pulled."""
    gap: bool = False
    """The device had run dry before: by how much this sounds later, it may tell only seconds
    afterwards."""


@dataclass(frozen=True, slots=True)
class SpeakerStats:
    """How well the loudspeaker was kept fed."""

    playout: PlayoutStats
    underruns: int
    """Times the device had nothing to play, in the middle of a turn, because we were late."""
    losses: int
    """Times the device itself was lost."""

    @property
    def advice(self) -> str:
        """What to change, in a sentence; empty if nothing went wrong."""
        if self.underruns:
            return (
                f"The loudspeaker ran dry {self.underruns} times: take blocks of 20 ms or the "
                "latency high."
            )
        if self.playout.underruns:
            return (
                f"The service's sound came too late {self.playout.underruns} times: the network "
                "is too slow or too busy."
            )
        return ""


class Speaker:
    """A loudspeaker as the listener's side of a conversation, playing `format` on all channels.

    `device` is a number or a part of a name from `devices()`, None the default one. `rate_hz` and
    `channels` are the device's own unless given; what is played is resampled before it is queued.
    `block_ms` is what one callback takes, `latency` is asked of the device. `on_notice` is told,
    from any thread and in a sentence, when the device is lost and when it is back.

    It sounds, with silence, from construction on, which may take a second. A device that is lost
    is opened again, or the default one is; what was to be said waits for it.

    Raises `DeviceError` at construction if the device does not open, `ConfigError` for numbers
    that make no sense. All but construction belongs to one thread.
    """

    def __init__(
        self,
        device: int | str | None = None,
        format: AudioFormat = OUTPUT_FORMAT,
        *,
        backend: BackendName = "sounddevice",
        rate_hz: int | None = None,
        channels: int | None = None,
        block_ms: float = 10,
        latency: Latency = "low",
        on_notice: NoticeHandler | None = None,
    ) -> None:
        request = DeviceRequest("output", device, rate_hz, channels, block_ms, latency)
        self.format = format
        self._turn: int | None = None
        self._resampler = Resampler(format.rate_hz, format.rate_hz)
        self._played_blocks: deque[PlayedBlock] = deque(
            maxlen=round(PLAYED_QUEUE_S * 1000 / block_ms)
        )
        self._pulled_until_s = 0.0
        self._underruns = 0
        self._closed = False
        self._supervisor = Supervisor(
            sound_library(backend),
            request,
            self._on_audio,
            on_gap=_ignore_gap,
            on_notice=on_notice or _ignore_notice,
        )
        own = AudioFormat(self._supervisor.opening.rate_hz)
        self._buffer = PlayoutBuffer(own, prebuffer=Prebuffer())
        self._rate_adapter = _RateAdapter(self._buffer, own.rate_hz)
        self._supervisor.start()

    @property
    def opening(self) -> DeviceOpening:
        """The device in use, its rate, channels and block."""
        return self._supervisor.opening

    @property
    def stats(self) -> SpeakerStats:
        """The counts so far."""
        return SpeakerStats(self._buffer.stats, self._underruns, self._supervisor.losses)

    def play(self, turn: int, pcm: bytes) -> None:
        """Append `pcm` of `turn`. Never blocks.

        The last 3 ms of a turn, its resampler's, are not heard. Raises `AudioError` on half a
        sample, `OrderError` if closed.
        """
        if self._closed:
            raise OrderError("The sink is closed.", hint="Play before aclose().")
        if turn != self._turn:
            self._turn = turn
            self._resampler = Resampler(self.format.rate_hz, self._buffer.format.rate_hz)
        self._buffer.play(turn, self._resampler.feed(pcm))

    def flush(self) -> None:
        """Silence what is sounding, after a fade, and forget what waits. Ends a duck."""
        self._buffer.flush()
        self._turn = None

    def duck(self, gain: float = 0.25, ramp_ms: float = DUCK_RAMP_MS) -> None:
        """Go down to `gain` (1: full level) over `ramp_ms`, whatever sounds, now or later."""
        self._buffer.duck(gain, ramp_ms)

    def release(self, ramp_ms: float = 4 * DUCK_RAMP_MS) -> None:
        """Come back from a duck to full level over `ramp_ms`."""
        self._buffer.duck(1.0, ramp_ms)

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has left the loudspeaker, in milliseconds, by the device's clock.

        Right after a flush that many will have been heard, and what lay in the device and the
        fade: some 30 ms more.
        """
        return self._buffer.played_ms(turn, late=self._samples_in_device)

    @property
    def pending_s(self) -> float:
        """Seconds that have not left the loudspeaker yet."""
        return self._buffer.unheard_s(self._samples_in_device)

    def drain_played(self) -> list[PlayedBlock]:
        """What the device was given since the last call, oldest first, for an echo canceller.

        Without a gap but for the time a device was lost, or after more than `FAR_END_S` in which
        nobody asked: then the oldest is forgotten. The dates tell.
        """
        blocks: list[PlayedBlock] = []
        while self._played_blocks:
            blocks.append(self._played_blocks.popleft())
        return blocks

    async def aclose(self) -> None:
        """Fade out what sounds and give the device back. May be repeated.

        Cancelling it leaves out the fade.
        """
        if self._closed:
            return
        self._closed = True
        self._buffer.flush()
        try:
            await asyncio.sleep(min(self.pending_s, CLOSING_TIMEOUT_S))
        finally:
            self._supervisor.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def _samples_in_device(self) -> int:
        """Samples pulled that have not left the loudspeaker."""
        late_s = max(0.0, self._pulled_until_s - time.monotonic())
        return round(late_s * self._buffer.format.rate_hz)

    def _on_audio(
        self, opening: DeviceOpening, captured: bytes, frames: int, offset_s: float, xrun: bool
    ) -> bytes:
        """The device's thread."""
        if self._rate_adapter.rate_hz != opening.rate_hz:
            self._rate_adapter = _RateAdapter(self._buffer, opening.rate_hz)
        at_s = time.monotonic() + offset_s
        mono = self._rate_adapter.pull(frames)
        self._pulled_until_s = at_s + frames / opening.rate_hz
        self._underruns += xrun and self._buffer.pending_samples > 0
        self._played_blocks.append(PlayedBlock(mono, opening.rate_hz, at_s, gap=xrun))
        return _spread_over_channels(opening.channels, mono)


class _RateAdapter:
    """Pulls from `buffer` at a device's rate: the buffer's own, but for one that came later."""

    def __init__(self, buffer: PlayoutBuffer, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._buffer = buffer
        self._resampler = Resampler(buffer.format.rate_hz, rate_hz)
        self._ready = bytearray()

    def pull(self, frames: int) -> bytes:
        if self.rate_hz == self._buffer.format.rate_hz:
            return self._buffer.pull(frames)
        step = max(1, frames * self._buffer.format.rate_hz // self.rate_hz)
        wanted = frames * BYTES_PER_SAMPLE
        while len(self._ready) < wanted:
            self._ready += self._resampler.feed(self._buffer.pull(step))
        pcm = bytes(self._ready[:wanted])
        del self._ready[:wanted]
        return pcm


def _spread_over_channels(channels: int, mono: bytes) -> bytes:
    """The same samples on every channel, by slices: a thread that has just woken up pays three
    times as much for a call of NumPy."""
    if channels == 1:
        return mono
    pcm = bytearray(channels * len(mono))
    low, high = mono[::2], mono[1::2]
    for at in range(0, 2 * channels, 2):
        pcm[at :: 2 * channels] = low
        pcm[at + 1 :: 2 * channels] = high
    return bytes(pcm)


def _ignore_gap(_: float) -> None:
    """What is to be heard waits for the device."""


def _ignore_notice(_: str) -> None:
    """Nobody wants to know."""
