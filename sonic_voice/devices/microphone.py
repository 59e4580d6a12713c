"""The microphone: a callback that copies, a bounded queue, a reader that converts.

The device gives blocks and the reader gets chunks, as different as what they cost. A short block is
a short wait in the device, and costs little; every chunk wakes the event loop, and with it all that
is done for a chunk up to the network. So blocks are gathered in the device's thread, and what one
read gives is what was gathered, with nothing left over to wait for the next: a filter that holds
back 3 ms of each chunk would else delay all by a whole block.

Two blocks of 20 ms in a chunk, and not two of 15, make a conversation cost a fifth less of the
processor, and what is said 7 ms later, where the service takes 335 ms and more to notice that
somebody speaks. It recommends about 32 ms, and takes longer ones (protocol reference 4).
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np

from ..audio.pcm import Resampler, from_pcm, to_pcm
from ..audio.ports import INPUT_FORMAT
from ..config import BYTES_PER_SAMPLE, AudioFormat
from ..errors import ConfigError
from .library import BackendName, DeviceRequest, sound_library
from .port import DeviceOpening, Latency
from .supervisor import NoticeHandler, Supervisor

QUEUE_LIMIT_S = 2.0
"""What a reader may be late by. Older speech than this no answer is wanted to."""

ROUNDING_TOLERANCE_S = 0.001
"""How much a chunk may be short of its length, since blocks are whole frames."""

ALL_ZEROS_S = 3.0
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
                f"The microphone lost samples {self.overruns} times: take longer blocks or the "
                "latency high."
            )
        if self.dropped_s:
            return (
                f"{self.dropped_s:.1f} s of the microphone were not read in time: the machine or "
                "the network is too slow for the conversation."
            )
        return ""


@dataclass(slots=True)
class _Capture:
    """Samples as the device gives them: of one callback, then of as many as make a chunk."""

    opening: DeviceOpening
    pcm: bytes
    at_s: float
    gap: bool = False
    """Whether there was no device."""

    @property
    def length_s(self) -> float:
        return len(self.pcm) / (BYTES_PER_SAMPLE * self.opening.channels * self.opening.rate_hz)


class Microphone:
    """A microphone as the user's side of a conversation, resampled to `format` and mixed to mono.

    `device` is a number or a part of a name from `devices()`, None the default one. `rate_hz` and
    `channels` are the device's own unless given. `block_ms` is what one callback brings, `chunk_ms`
    what one read gives, in whole blocks; `latency` is asked of the device. `on_notice` is told,
    from any thread and in a sentence, when the device is lost, is back, or gives nothing but zeros.

    The device is open from construction on, which may take a second, and heard from the first
    `read` on. `QUEUE_S` of it may wait for the next read; then the oldest is forgotten, and counted
    in `stats`. A device that is lost is opened again, or the default one is, while silence flows.

    Raises `DeviceError` at construction if the device does not open, `ConfigError` for numbers
    that make no sense.
    """

    def __init__(
        self,
        device: int | str | None = None,
        format: AudioFormat = INPUT_FORMAT,
        *,
        backend: BackendName = "sounddevice",
        rate_hz: int | None = None,
        channels: int | None = None,
        block_ms: float = 20,
        chunk_ms: float = 40,
        latency: Latency = "low",
        on_notice: NoticeHandler | None = None,
    ) -> None:
        if chunk_ms < 1:
            raise ConfigError(f"A chunk of {chunk_ms:g} ms cannot be.", hint="At least 1 ms.")
        request = DeviceRequest("input", device, rate_hz, channels, block_ms, latency)
        self.format = format
        self._chunk_s = chunk_ms / 1000
        # Callbacks come from the device's thread, gaps from the supervisor's.
        self._collect_lock = Lock()
        self._collected: _Capture | None = None
        self._chunks: deque[_Capture] = deque()
        self._max_chunks = max(1, round(QUEUE_LIMIT_S / max(chunk_ms, block_ms) * 1000))
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._converter: _Converter | None = None
        self._chunk_began_s = 0.0
        self._zeros_s = 0.0
        self._dropped_s = 0.0
        self._overruns = 0
        self._closed = False
        self._on_notice = on_notice or _ignore_notice
        self._supervisor = Supervisor(
            sound_library(backend),
            request,
            self._on_audio,
            on_gap=self._on_gap,
            on_notice=self._on_notice,
        )
        self._supervisor.start()

    @property
    def opening(self) -> DeviceOpening:
        """The device in use, its rate, channels and block."""
        return self._supervisor.opening

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
        return MicrophoneStats(self._dropped_s, self._overruns, self._supervisor.losses)

    async def read(self) -> bytes:
        """The next chunk when it has been heard, some `chunk_ms`; `b""` after `aclose()`.

        Cancelling loses nothing. Belongs to one task and one event loop.
        """
        self._loop = asyncio.get_running_loop()
        while not self._closed:
            if not self._chunks:
                self._arrived.clear()
                await self._arrived.wait()
            elif pcm := self._convert(self._chunks.popleft()):
                return pcm
        return b""

    async def aclose(self) -> None:
        """Give the device back; `read` returns `b""` from then on. Never suspends. Repeatable."""
        self._closed = True
        self._supervisor.close()
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

    def _on_audio(
        self, opening: DeviceOpening, pcm: bytes, frames: int, offset_s: float, xrun: bool
    ) -> bytes:
        self._overruns += xrun
        self._collect(_Capture(opening, pcm, time.monotonic() + offset_s))
        return b""

    def _on_gap(self, gap_s: float) -> None:
        opening = self._supervisor.opening
        silence = bytes(round(gap_s * opening.rate_hz) * opening.channels * BYTES_PER_SAMPLE)
        self._collect(_Capture(opening, silence, time.monotonic() - gap_s, gap=True))

    def _collect(self, capture: _Capture) -> None:
        with self._collect_lock:
            collected, self._collected = self._collected, None
            if collected is not None and capture.gap:
                self._post(collected)
            elif collected is not None:
                collected.pcm += capture.pcm
                capture = collected
            if capture.gap or capture.length_s >= self._chunk_s - ROUNDING_TOLERANCE_S:
                self._post(capture)
            else:
                self._collected = capture

    def _post(self, chunk: _Capture) -> None:
        if self._loop is not None and not self._closed:
            with suppress(RuntimeError):  # the loop is closed: nobody will read any more
                self._loop.call_soon_threadsafe(self._enqueue, chunk)

    # -- the event loop --------------------------------------------------------------------------

    def _enqueue(self, chunk: _Capture) -> None:
        if len(self._chunks) >= self._max_chunks:
            self._dropped_s += self._chunks.popleft().length_s
        self._chunks.append(chunk)
        self._arrived.set()

    def _convert(self, chunk: _Capture) -> bytes:
        if self._converter is None or self._converter.opening != chunk.opening:
            self._converter = _Converter(chunk.opening, self.format)
        pcm = self._converter.feed(chunk.pcm)
        end_s = chunk.at_s + chunk.length_s - self._converter.held_s
        self._chunk_began_s = end_s - self.format.seconds(len(pcm))
        if self._zeros_s < ALL_ZEROS_S and not chunk.gap:
            self._check_for_zeros(chunk)
        return pcm

    def _check_for_zeros(self, capture: _Capture) -> None:
        if capture.pcm.count(0) < len(capture.pcm):
            self._zeros_s = ALL_ZEROS_S  # it hears: never asked again
            return
        self._zeros_s += capture.length_s
        if self._zeros_s >= ALL_ZEROS_S:
            self._on_notice(
                f"The microphone {capture.opening.device.name!r} gives nothing but zeros. Is it "
                "muted, and may this program use it? (The system's privacy settings tell.)"
            )


class _Converter:
    """From a device's samples to mono at the rate of `format`."""

    def __init__(self, opening: DeviceOpening, format: AudioFormat) -> None:
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
        sound = from_pcm(pcm)
        if channels > 1:
            sound = sound.reshape(-1, channels) @ np.full(channels, 1 / channels, np.float32)
        converted = self._resampler.convert(sound)
        self._frames_in += len(sound)
        self._samples_out += len(converted)
        return to_pcm(converted)


def _ignore_notice(_: str) -> None:
    """Nobody wants to know."""
