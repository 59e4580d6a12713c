"""The loudspeaker: a callback that pulls from a playout buffer, and the times of what it played.

After `flush`, at most three things still sound: one block that was just pulled, what the device
holds, and the fade. These are 10 + 20 + 5 ms with blocks of 10 ms and low latency, 35 ms in all.
Blocks of 20 ms double the first two.

What was pulled has not been heard yet: it stays in the device for its latency. The device reports
with every block when the block will be at the loudspeaker (PortAudio's `outputBufferDacTime`).
`played_ms` counts by that clock, and `drain_played` is dated by it.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from ..audio.pcm import Resampler, from_pcm, to_pcm
from ..audio.playout import PlayoutBuffer, PlayoutStats, Prebuffer
from ..audio.ports import OUTPUT_FORMAT
from ..config import BYTES_PER_SAMPLE, AudioFormat
from ..errors import OrderError
from .library import BackendName, DeviceRequest, sound_library
from .port import DeviceOpening, Latency, times
from .server_notices import ServerNotices
from .supervisor import BUSY_AFTER_BLOCKS, NoticeHandler, Supervisor

PLAYED_QUEUE_S = 2.0
"""Maximum length of the blocks that wait for `drain_played`, in seconds. Older sound has no echo
left in the room."""

DUCK_RAMP_MS = 30.0
"""Duration of the ramp of a duck, in milliseconds: too slow to click and too fast to be missed."""

CLOSING_TIMEOUT_S = 0.2
"""Maximum time that `aclose` waits for the last fade, in seconds."""


class PlayedBlock(NamedTuple):
    """A block as the loudspeaker played it, silence included."""

    pcm: bytes
    """s16le mono samples."""
    rate_hz: int
    """Sample rate, in Hz."""
    at_s: float
    """Time at which the first sample is at the loudspeaker, in seconds of `time.monotonic()`: some
    milliseconds after it was pulled."""
    gap: bool = False
    """True if the device had run dry before. It may take seconds until the times that it reports
    include the resulting delay."""


@dataclass(frozen=True, slots=True)
class SpeakerStats:
    """Counts of how well a loudspeaker was kept supplied."""

    playout: PlayoutStats
    """Counts of the playout buffer."""
    underruns: int
    """Number of times the device had nothing to play in the middle of a turn, because its callback
    came too late."""
    losses: int
    """Number of times the device itself was lost."""
    late_blocks: int = 0
    """Number of blocks that came so late that the device may have run dry."""

    @property
    def advice(self) -> str:
        """Sentence that says what to change; empty if nothing went wrong."""
        if self.underruns or self.late_blocks >= BUSY_AFTER_BLOCKS:
            return (
                f"The loudspeaker ran dry {times(self.underruns + self.late_blocks)}, because this "
                "machine is busy: close other programs, or try --latency high."
            )
        if self.playout.underruns:
            return (
                f"The service's sound came too late {times(self.playout.underruns)}: the network "
                "is too slow or too busy."
            )
        return ""


class Speaker:
    """A loudspeaker as the listener's side of a conversation, playing `format` on all channels.

    It plays, silence at first, from construction on, which may take a second. A device that is lost
    is opened again, or the default device is; the queued sound waits for it.

    Everything but construction belongs to one thread.

    Attributes:
        volume: Volume in percent of the full level, 0 to 100. A change is heard with the next
            block, also in what is queued already.
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
        """Open the device and start playing.

        Args:
            device: A number or a part of a name from `devices()`; None for the default device.
            format: Format of the samples that `play` takes. They are resampled before they are
                queued.
            backend: The sound library.
            rate_hz: Sample rate of the device, in Hz; its own if None.
            channels: Number of channels of the device; its own if None.
            block_ms: Length of one callback's block, in milliseconds, 1 to 100.
            latency: Latency that is requested from the device.
            on_notice: Called with a sentence, from any thread, when the device is lost and when it
                is back, and when the sound server says that it is muted or almost turned off.

        Raises:
            DeviceError: The device does not open.
            ConfigError: A number is out of its range.
        """
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
        self.volume = 100
        self._gain = 1.0  # of the last block
        self._supervisor = Supervisor(
            sound_library(backend),
            request,
            self._on_audio,
            on_gap=_ignore_gap,
            on_notice=on_notice or _ignore_notice,
            on_state=ServerNotices(on_notice or _ignore_notice).on_state,
        )
        own = AudioFormat(self._supervisor.opening.rate_hz)
        self._buffer = PlayoutBuffer(own, prebuffer=Prebuffer())
        self._rate_adapter = _RateAdapter(self._buffer, own.rate_hz)
        self._supervisor.start()

    @property
    def opening(self) -> DeviceOpening:
        """The device in use, with its rate, channels and block."""
        return self._supervisor.opening

    @property
    def stats(self) -> SpeakerStats:
        """The counts so far."""
        return SpeakerStats(
            self._buffer.stats,
            self._underruns,
            self._supervisor.losses,
            self._supervisor.late_blocks,
        )

    def play(self, turn: int, pcm: bytes) -> None:
        """Queue samples of a turn. This never blocks.

        The last 3 ms of a turn, which its resampler holds back, are not played.

        Args:
            turn: Number of the turn.
            pcm: s16le mono samples in `format`.

        Raises:
            AudioError: `pcm` ends inside a sample.
            OrderError: The speaker is closed.
        """
        if self._closed:
            raise OrderError("The sink is closed.", hint="Play before aclose().")
        if turn != self._turn:
            self._turn = turn
            self._resampler = Resampler(self.format.rate_hz, self._buffer.format.rate_hz)
        self._buffer.play(turn, self._resampler.feed(pcm))

    def flush(self) -> None:
        """Fade out what is playing and discard what is queued. This ends a duck."""
        self._buffer.flush()
        self._turn = None

    def duck(self, gain: float = 0.25, ramp_ms: float = DUCK_RAMP_MS) -> None:
        """Change to a lower level, for what is playing now and for what is played later.

        Args:
            gain: Factor of the full level, 0 to 1.
            ramp_ms: Duration of the transition, in milliseconds.
        """
        self._buffer.duck(gain, ramp_ms)

    def release(self, ramp_ms: float = 4 * DUCK_RAMP_MS) -> None:
        """Return from a duck to the full level.

        Args:
            ramp_ms: Duration of the transition, in milliseconds.
        """
        self._buffer.duck(1.0, ramp_ms)

    def played_ms(self, turn: int) -> int:
        """Return how much of a turn has left the loudspeaker, by the device's clock.

        Right after a flush, some 30 ms more than the result will have been heard in the end: what
        is still in the device, and the fade.

        Args:
            turn: Number of the turn.

        Returns:
            Milliseconds.
        """
        return self._buffer.played_ms(turn, late=self._samples_in_device)

    @property
    def pending_s(self) -> float:
        """Seconds of sound that have not left the loudspeaker yet."""
        return self._buffer.unheard_s(self._samples_in_device)

    def drain_played(self) -> list[PlayedBlock]:
        """Return the blocks that the device was given since the last call, for an echo canceller.

        They are in order of time, and without gaps except for the time in which a device was lost,
        or after more than `PLAYED_QUEUE_S` without a call: then the oldest blocks are dropped. The
        times of the blocks show such a gap.
        """
        blocks: list[PlayedBlock] = []
        while self._played_blocks:
            blocks.append(self._played_blocks.popleft())
        return blocks

    async def aclose(self) -> None:
        """Fade out and close the device. This may be repeated.

        Cancelling it skips the fade.
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
        """Number of pulled samples that have not left the loudspeaker."""
        late_s = max(0.0, self._pulled_until_s - time.monotonic())
        return round(late_s * self._buffer.format.rate_hz)

    def _on_audio(
        self, opening: DeviceOpening, captured: bytes, frames: int, offset_s: float, xrun: bool
    ) -> bytes:
        """Return the next block, and note when it is played; called in the device's thread."""
        if self._rate_adapter.rate_hz != opening.rate_hz:
            self._rate_adapter = _RateAdapter(self._buffer, opening.rate_hz)
        at_s = time.monotonic() + offset_s
        mono = self._at_volume(self._rate_adapter.pull(frames))
        self._pulled_until_s = at_s + frames / opening.rate_hz
        self._underruns += xrun and self._buffer.pending_samples > 0
        self._played_blocks.append(PlayedBlock(mono, opening.rate_hz, at_s, gap=xrun))
        return _spread_over_channels(opening.channels, mono)

    def _at_volume(self, mono: bytes) -> bytes:
        """Return a block at the present volume, which it reaches in a ramp: a jump would click."""
        gain, before = volume_gain(self.volume), self._gain
        if gain == before == 1.0:
            return mono
        self._gain = gain
        samples = from_pcm(mono)
        return to_pcm(samples * np.linspace(before, gain, len(samples), dtype=np.float32))


def volume_gain(percent: int) -> float:
    """Return the factor for a volume: its square, because loudness is felt as about a logarithm.

    Args:
        percent: The volume, 0 to 100; 50 is -12 dB.
    """
    return (percent / 100) ** 2


class _RateAdapter:
    """A reader of a playout buffer at the rate of a device that replaced the first one.

    The first device has the buffer's own rate.
    """

    def __init__(self, buffer: PlayoutBuffer, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._buffer = buffer
        self._resampler = Resampler(buffer.format.rate_hz, rate_hz)
        self._ready = bytearray()

    def pull(self, frames: int) -> bytes:
        """Return the next samples.

        Args:
            frames: Number of samples, at `rate_hz`.
        """
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
    """Return the samples repeated on every channel, interleaved.

    Slices are used because a call of NumPy is three times as slow in a thread that has just woken
    up.

    Args:
        channels: Number of channels.
        mono: s16le mono samples.
    """
    if channels == 1:
        return mono
    pcm = bytearray(channels * len(mono))
    low, high = mono[::2], mono[1::2]
    for at in range(0, 2 * channels, 2):
        pcm[at :: 2 * channels] = low
        pcm[at + 1 :: 2 * channels] = high
    return bytes(pcm)


def _ignore_gap(_: float) -> None:
    """Do nothing: the queued sound waits for the device."""


def _ignore_notice(_: str) -> None:
    """Do nothing: the owner did not ask for notices."""
