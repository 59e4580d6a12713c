"""The microphone: a callback that copies, a bounded queue, a reader that converts.

The device delivers blocks and the reader gets chunks, because their costs differ. A short block
means a short wait in the device, and costs little. Every chunk wakes the event loop, and with it
everything that is done for a chunk up to the network. Therefore blocks are collected in the
device's thread, and one read returns exactly what was collected; nothing is left over to wait for
the next read. Otherwise a filter that holds back 3 ms of each chunk would delay every chunk by a
whole block.

Two blocks of 20 ms in a chunk, instead of two of 15 ms, reduce the processor time of a conversation
by a fifth. Speech is then sent 7 ms later, while the service takes 335 ms and more to notice that
somebody speaks. The service recommends about 32 ms, and accepts longer chunks
(protocol reference 4).
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
from numpy.typing import NDArray

from ..audio.pcm import Resampler, from_pcm, to_pcm
from ..audio.ports import INPUT_FORMAT
from ..config import BYTES_PER_SAMPLE, AudioFormat
from ..errors import ConfigError
from .library import BackendName, DeviceRequest, sound_library
from .port import DeviceOpening, Latency, times
from .server_notices import ServerNotices
from .supervisor import BUSY_AFTER_BLOCKS, NoticeHandler, Supervisor

QUEUE_LIMIT_S = 2.0
"""Maximum audio queued for the reader, in seconds. When it is exceeded the oldest chunk is dropped:
answering older speech is not useful."""

ROUNDING_TOLERANCE_S = 0.001
"""Time by which a chunk may be shorter than requested, in seconds, since blocks are whole
frames."""

ALL_ZEROS_S = 3.0
"""Length of a stretch of zeros that is reported to the user, in seconds. Even a silent room has
noise."""


@dataclass(frozen=True, slots=True)
class MicrophoneStats:
    """Counts of what a microphone has lost."""

    dropped_s: float
    """Seconds that were dropped because they were not read in time."""
    overruns: int
    """Number of times the device lost samples because its callback came too late."""
    losses: int
    """Number of times the device itself was lost."""
    late_blocks: int = 0
    """Number of blocks that came so late that the device may have lost samples."""

    @property
    def advice(self) -> str:
        """Sentence that says what to change; empty if nothing went wrong."""
        if self.overruns or self.late_blocks >= BUSY_AFTER_BLOCKS:
            return (
                f"The microphone lost samples {times(self.overruns + self.late_blocks)}, because "
                "this machine is busy: close other programs, or try --latency high."
            )
        if self.dropped_s:
            return (
                f"{self.dropped_s:.1f} s of the microphone were not read in time: the machine or "
                "the network is too slow for the conversation."
            )
        return ""


@dataclass(slots=True)
class _Capture:
    """Samples as the device delivers them: those of one callback, or of all that make a chunk."""

    opening: DeviceOpening
    pcm: bytes
    at_s: float
    """Time at which the first sample was at the microphone, in seconds of `time.monotonic()`."""
    gap: bool = False
    """True if there was no device, and the samples are silence in its place."""

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / (BYTES_PER_SAMPLE * self.opening.channels * self.opening.rate_hz)


class Microphone:
    """A microphone as the user's side of a conversation, resampled to `format` and mixed to mono.

    The device is open from construction on, which may take a second, and is captured from the first
    `read` on. Up to `QUEUE_LIMIT_S` may wait for the next read; beyond that the oldest chunk is
    dropped and counted in `stats`. A device that is lost is opened again, or the default device is,
    while silence flows.
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
        """Open the device.

        Args:
            device: A number or a part of a name from `devices()`; None for the default device.
            format: Format of the samples that `read` returns.
            backend: The sound library.
            rate_hz: Sample rate of the device, in Hz; its own if None.
            channels: Number of channels of the device; its own if None.
            block_ms: Length of one callback's block, in milliseconds, 1 to 100.
            chunk_ms: Length of what one `read` returns, in milliseconds, rounded to whole blocks.
            latency: Latency that is requested from the device.
            on_notice: Called with a sentence, from any thread, when the device is lost, is back, or
                delivers nothing but zeros, and when the sound server says that it is muted, almost
                turned off, or no microphone but the monitor of a loudspeaker.

        Raises:
            DeviceError: The device does not open.
            ConfigError: A number is out of its range.
        """
        if chunk_ms < 1:
            raise ConfigError(f"A chunk cannot last {chunk_ms:g} ms.", hint="Take at least 1 ms.")
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
        self._converter: Converter | None = None
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
            on_state=ServerNotices(self._on_notice).on_state,
        )
        self._supervisor.start()

    @property
    def opening(self) -> DeviceOpening:
        """The device in use, with its rate, channels and block."""
        return self._supervisor.opening

    @property
    def done(self) -> bool:
        """False: a microphone may always deliver more."""
        return False

    def now(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    @property
    def chunk_began_s(self) -> float:
        """Time at which the first sample of the chunk that was read last was at the microphone.

        In seconds of `time.monotonic()`, from the device's own clock (PortAudio's
        `inputBufferAdcTime`). `Speaker.drain_played` uses the same time line.
        """
        return self._chunk_began_s

    @property
    def stats(self) -> MicrophoneStats:
        """The counts so far."""
        return MicrophoneStats(
            self._dropped_s, self._overruns, self._supervisor.losses, self._supervisor.late_blocks
        )

    async def read(self) -> bytes:
        """Return the next chunk, after some `chunk_ms`, or `b""` after `aclose()`.

        Cancelling loses nothing. This belongs to one task and one event loop.
        """
        while (chunk := await self._next_chunk()) is not None:
            converter = self._converter_for(chunk)
            if pcm := converter.feed(chunk.pcm):
                self._note(chunk, converter, len(pcm) // BYTES_PER_SAMPLE)
                return pcm
        return b""

    async def read_samples(self) -> NDArray[np.float32]:
        """Return the next chunk like `read`, as floats of -1 to 1, for who calculates with them.

        They have not been rounded to integers since the device delivered them. They may exceed 1 a
        little where the resampler meets sound of full level.
        """
        while (chunk := await self._next_chunk()) is not None:
            converter = self._converter_for(chunk)
            if len(samples := converter.convert(chunk.pcm)):
                self._note(chunk, converter, len(samples))
                return samples
        return np.zeros(0, np.float32)

    async def aclose(self) -> None:
        """Close the device; `read` returns `b""` from then on.

        This never suspends, and may be repeated.
        """
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
        """Collect a block; called in the device's thread."""
        self._overruns += xrun
        self._collect(_Capture(opening, pcm, time.monotonic() + offset_s))
        return b""

    def _on_gap(self, gap_s: float) -> None:
        """Collect silence for a time without a device; called in the supervisor's thread."""
        opening = self._supervisor.opening
        silence = bytes(round(gap_s * opening.rate_hz) * opening.channels * BYTES_PER_SAMPLE)
        self._collect(_Capture(opening, silence, time.monotonic() - gap_s, gap=True))

    def _collect(self, capture: _Capture) -> None:
        """Append a block to the current chunk, and post the chunk when it is complete.

        Silence for a gap is posted at once, as a chunk of its own.
        """
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
        """Pass a chunk to the event loop, once there is a reader."""
        if self._loop is not None and not self._closed:
            with suppress(RuntimeError):  # the loop is closed, so nobody reads
                self._loop.call_soon_threadsafe(self._enqueue, chunk)

    # -- the event loop --------------------------------------------------------------------------

    def _enqueue(self, chunk: _Capture) -> None:
        """Queue a chunk for the reader, dropping the oldest if the queue is full."""
        if len(self._chunks) >= self._max_chunks:
            self._dropped_s += self._chunks.popleft().length_s
        self._chunks.append(chunk)
        self._arrived.set()

    async def _next_chunk(self) -> _Capture | None:
        """Wait for the next chunk, and return it, or None once the device is closed."""
        self._loop = asyncio.get_running_loop()
        while not self._closed:
            if self._chunks:
                return self._chunks.popleft()
            self._arrived.clear()
            await self._arrived.wait()
        return None

    def _converter_for(self, chunk: _Capture) -> "Converter":
        """Return the converter for the device that captured a chunk."""
        if self._converter is None or self._converter.opening != chunk.opening:
            self._converter = Converter(chunk.opening, self.format)
        return self._converter

    def _note(self, chunk: _Capture, converter: "Converter", samples: int) -> None:
        """Note when what is returned for a chunk began, and whether it is a signal at all."""
        end_s = chunk.at_s + chunk.length_s - converter.held_s
        self._chunk_began_s = end_s - samples / self.format.rate_hz
        if self._zeros_s < ALL_ZEROS_S and not chunk.gap:
            self._check_for_zeros(chunk)

    def _check_for_zeros(self, capture: _Capture) -> None:
        """Notify the user once if the device delivers nothing but zeros from the beginning."""
        if capture.pcm.count(0) < len(capture.pcm):
            self._zeros_s = ALL_ZEROS_S  # there is a signal: stop checking
            return
        self._zeros_s += capture.length_s
        if self._zeros_s >= ALL_ZEROS_S:
            self._on_notice(
                f"The microphone {capture.opening.device.name!r} gives nothing but zeros. Is it "
                "muted, or is this program not allowed to use it? Find out: sonic-voice doctor"
            )


class Converter:
    """A converter from a device's samples to mono at the rate of `format`."""

    def __init__(self, opening: DeviceOpening, format: AudioFormat) -> None:
        self.opening = opening
        self._rate_hz = format.rate_hz
        self._resampler = Resampler(opening.rate_hz, format.rate_hz)
        self._frames_in = self._samples_out = 0

    @property
    def held_s(self) -> float:
        """Seconds of sound that went in and have not come out yet."""
        return self._frames_in / self.opening.rate_hz - self._samples_out / self._rate_hz

    def feed(self, pcm: bytes) -> bytes:
        """Return the samples that are complete, as s16le mono pcm.

        Args:
            pcm: The next samples of the device, s16le, with its channels interleaved.
        """
        if self.opening.channels == 1 and self.opening.rate_hz == self._rate_hz:
            return pcm
        return to_pcm(self.convert(pcm))

    def convert(self, pcm: bytes) -> NDArray[np.float32]:
        """Return the samples that are complete, as floats of -1 to 1.

        Args:
            pcm: The next samples of the device, s16le, with its channels interleaved.
        """
        channels = self.opening.channels
        sound = from_pcm(pcm)
        if channels > 1:
            sound = sound.reshape(-1, channels) @ np.full(channels, 1 / channels, np.float32)
        converted = self._resampler.convert(sound)
        self._frames_in += len(sound)
        self._samples_out += len(converted)
        return converted


def _ignore_notice(_: str) -> None:
    """Do nothing: the owner did not ask for notices."""
