"""WAV files as the two ends of a conversation: a `WavSource` speaks, a `WavSink` has listened.

A source behaves like a microphone: chunks come in time (or `speed` times faster), and after the
file's end silence flows on, because the service finds the end of speech only in audio received.

A sink holds what a listener would have heard, in time: silences, interruptions and fades
included. It is a `VirtualSpeaker` whose samples go to a file.
"""

import asyncio
import contextlib
import os
import secrets
import shlex
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..config import AudioFormat
from ..errors import AudioError, ConfigError
from .pcm import Resampler
from .ports import INPUT_FORMAT, OUTPUT_FORMAT, VirtualSpeaker
from .riff import convert_hint, header, open_wav, read_layout, system_error

READ_BYTES = 65_536
"""Most that is read from disk at once: 32 ms of 48 kHz stereo in 32-bit floats are 12,288."""


class WavSource:
    """A WAV file as the user's side of a conversation, resampled to `format` and mixed to mono.

    `speed` is how many times faster than life it speaks, `inf` for no pacing; `chunk_ms` how much
    a chunk holds; `lead_ms` how much silence is delivered first. Chunk k comes no earlier than
    k x chunk_ms / speed after the first read was begun, by the event loop's clock; a reader that
    is late gets the next ones at once, so that lateness does not add up. The file is streamed.

    `note` says what is odd about a file that is used all the same, such as one cut short.

    Raises `AudioError`, at construction, for a file that cannot be used, and `ConfigError` for
    numbers that make no sense.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        format: AudioFormat = INPUT_FORMAT,
        *,
        speed: float = 1.0,
        chunk_ms: int = 32,
        lead_ms: int = 0,
    ) -> None:
        if not speed > 0 or chunk_ms < 1 or lead_ms < 0:
            raise ConfigError(
                f"speed {speed}, chunk_ms {chunk_ms}, lead_ms {lead_ms} cannot be.",
                hint="speed must be above 0, chunk_ms at least 1, lead_ms not negative.",
            )
        self.path = Path(path)
        self.format = format
        self._speed = speed
        self._chunk_bytes = format.size(chunk_ms / 1000)
        self._lead_s = lead_ms / 1000
        self._ready = bytearray(format.size(self._lead_s))
        self._file = open_wav(self.path)
        try:
            self._layout = read_layout(self._file, self.path)
            self._resampler = _resampler(self.path, self._layout.rate_hz, format.rate_hz)
        except OSError as error:
            self._file.close()
            raise system_error("Reading", self.path, error) from error
        except AudioError:
            self._file.close()
            raise
        self.note = self._layout.note
        self._frames_left: int = self._layout.frames
        self._chunks = 0
        self._began_s: float | None = None

    @property
    def duration_s(self) -> float:
        """How long the file lasts, in seconds, `lead_ms` not counted."""
        return self._layout.frames / self._layout.rate_hz

    @property
    def unspoken_s(self) -> float:
        """How much of the file has not been delivered yet, in seconds."""
        return 0.0 if self.done else max(0.0, self._lead_s + self.duration_s - self.now())

    @property
    def done(self) -> bool:
        """Whether the file's last sample has been delivered. Silence follows."""
        return not self._frames_left and not self._ready

    def now(self) -> float:
        """Seconds of audio delivered so far."""
        return self.format.seconds(self._chunks * self._chunk_bytes)

    async def read(self) -> bytes:
        """The next `chunk_ms` when it is due; `b""` after `aclose()`.

        Cancelling loses nothing: the chunk is taken after the wait. Always lets other tasks run.
        Raises `AudioError` if the disk fails.
        """
        if self._file.closed:
            return b""
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        due_s = self._began_s + self.now() / self._speed
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        if self._file.closed:
            return b""
        self._fill()
        chunk = bytes(self._ready[: self._chunk_bytes])
        del self._ready[: self._chunk_bytes]
        self._chunks += 1
        return chunk.ljust(self._chunk_bytes, b"\0")

    async def aclose(self) -> None:
        """Close the file. Never suspends. May be repeated."""
        self._file.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _fill(self) -> None:
        """Read on until a chunk is ready or the file has ended."""
        layout = self._layout
        most = max(1, READ_BYTES // layout.frame_bytes)
        while len(self._ready) < self._chunk_bytes and self._frames_left:
            asked = min(most, self._frames_left)
            try:
                raw = self._file.read(asked * layout.frame_bytes)
            except OSError as error:
                raise system_error("Reading", self.path, error) from error
            frames = len(raw) // layout.frame_bytes
            # Fewer than asked: the file was cut while it was being read. It ends here.
            self._frames_left = self._frames_left - asked if frames == asked else 0
            self._ready += self._resampler.feed(layout.pcm(raw[: frames * layout.frame_bytes]))
            if not self._frames_left:
                self._ready += self._resampler.finish()


class WavSink(VirtualSpeaker):
    """A listener who writes down what is heard, as a 16-bit mono WAV at `format.rate_hz`.

    Sample k of the file sounded k / rate_hz seconds after construction, by `now()`. The sound is
    written as it goes to a hidden file beside `path`, which takes its name at `aclose()`: nothing
    half-written ever has the name, and a file of that name is replaced only then. Without
    `aclose()` the hidden file is removed when the sink or the interpreter goes.

    Raises `AudioError` at construction when nothing can be written there; no folder is made. A
    disk that fails later is reported by one `AudioError`, of whichever call met it. What was
    written until then is put in place, and nothing more is written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        format: AudioFormat = OUTPUT_FORMAT,
        *,
        now: Callable[[], float],
    ) -> None:
        self.path = Path(path)
        self._draft = _Draft(self.path, format)
        # On the draft, not on a method of ours: dropping the last reference must be enough.
        weakref.finalize(self, self._draft.discard)
        super().__init__(format, now=now, sound=self._draft.write)

    async def aclose(self, *, drain: bool = True) -> None:
        """Let what waits be heard (with `drain` False: fade it out), then put the file in place.

        Never suspends. May be repeated. Raises `AudioError` if the file cannot be written.
        """
        await super().aclose(drain=drain)
        self._draft.publish()

    def discard(self) -> None:
        """Remove what was written, unless it is in place already. May be repeated."""
        self._draft.discard()


class _Draft:
    """A WAV file in the making, under a hidden name until it is published."""

    def __init__(self, path: Path, format: AudioFormat) -> None:
        self._path = path
        self._format = format
        self._bytes = 0
        self._target = _target(path)
        self._hidden = self._target.with_name(f".sonic-voice-{secrets.token_hex(6)}.part")
        try:
            self._file = self._hidden.open("xb", buffering=0)
            self._put(self._header())  # with no length yet
            self._bytes = 0
        except OSError as error:
            with contextlib.suppress(OSError):
                self._hidden.unlink(missing_ok=True)
            raise system_error("Writing", path, error) from error

    def write(self, pcm: bytes) -> None:
        if self._file.closed:
            return
        try:
            self._put(pcm)
        except OSError as error:
            kept_s = self._format.seconds(self._bytes // 2 * 2)
            self.publish()
            raise AudioError(
                f"Writing {self._path} failed: {error.strerror}. "
                f"The first {kept_s:.1f} s are kept.",
                hint="Make room on the disk, or name a file on another one.",
            ) from error

    def publish(self) -> None:
        if self._file.closed:
            return
        try:
            self._bytes -= self._bytes % 2  # the disk may have been full within a sample
            self._file.seek(0)
            self._file.write(self._header())
            self._file.close()
            self._hidden.replace(self._target)
        except OSError as error:
            self.discard()
            raise system_error("Writing", self._path, error) from error

    def _put(self, data: bytes) -> None:
        """Write `data`, after a failure as much of it as there is room for."""
        view = memoryview(data)
        while view:
            written = self._file.write(view) or 0
            view = view[written:]
            self._bytes += written

    def discard(self) -> None:
        """Remove the hidden file, if it has not been published. May be repeated."""
        with contextlib.suppress(OSError):  # what could not be flushed is thrown away anyway
            self._file.close()
        with contextlib.suppress(OSError):  # its folder may be gone, or read-only by now
            self._hidden.unlink(missing_ok=True)

    def _header(self) -> bytes:
        return header(self._format.rate_hz, self._bytes)


def _target(path: Path) -> Path:
    """Where to write for `path`, links followed. Raises `AudioError` if that cannot be."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise AudioError(f"{path} is a folder.", hint="Name a file in it.")
        if target.exists() and not target.is_file():  # renaming onto it would replace the device
            raise AudioError(f"{path} is a device or pipe.", hint="Name a file, or no output.")
        if not target.parent.is_dir():
            raise AudioError(
                f"There is no folder {path.parent}.",
                hint=f"mkdir -p {shlex.quote(str(path.parent))}",
            )
        return target
    except (OSError, ValueError, RuntimeError) as error:  # a null byte; links in a circle
        raise system_error("Writing", path, error) from error


def _resampler(path: Path, source_hz: int, target_hz: int) -> Resampler:
    try:
        return Resampler(source_hz, target_hz)
    except AudioError as error:
        raise AudioError(f"{path}: {error.message}", hint=convert_hint(path)) from error
