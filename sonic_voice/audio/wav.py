"""Recordings as the two ends of a conversation: `WavSource` speaks, `WavSink` records.

A source behaves like a microphone: chunks come in time (or `speed` times faster), and after the
end of the recording silence flows on, because the service finds the end of speech only in audio
that it receives.

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
from typing import BinaryIO, Self

from ..config import BYTES_PER_SAMPLE, AudioFormat
from ..errors import AudioError, ConfigError
from .decoding import open_recording
from .file_errors import STREAM, convert_hint, system_error
from .pcm import Resampler
from .ports import INPUT_FORMAT, OUTPUT_FORMAT, VirtualSpeaker
from .riff import header

READ_BYTES = 65_536
"""Maximum size of one read from disk, in bytes. For comparison, 32 ms of 48 kHz stereo in 32-bit
floats are 12,288."""


class WavSource:
    """A recording as the user's side of a conversation, resampled to `format` and mixed to mono.

    It reads WAV files, and whatever `decoding` reads: FLAC, Ogg, MP3, AIFF and others. A file is
    streamed; a pipe is read to its end first.

    It is the clock of its conversation, which runs as fast as the recording is read. That is why it
    delivers silence itself after the last sample: silence of the service stream would come at the
    pace of real time.

    Chunk k comes no earlier than k x chunk_ms / speed after the first read was begun, by the event
    loop's clock. A late reader gets the next chunks at once, so that lateness does not add up.
    """

    note: str
    """A sentence about what is odd about a file that is used all the same, such as one that is cut
    short; empty if nothing is."""

    def __init__(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        format: AudioFormat = INPUT_FORMAT,
        *,
        speed: float = 1.0,
        chunk_ms: int = 32,
        lead_ms: int = 0,
    ) -> None:
        """Open the recording.

        Args:
            path: The file; or an open file or pipe, which is read to its end here and not closed.
            format: The format of the chunks.
            speed: How many times faster than real time the chunks come; `inf` for no pacing.
            chunk_ms: Length of a chunk in milliseconds, at least 1.
            lead_ms: Silence before the recording, in milliseconds.

        Raises:
            AudioError: The recording cannot be used.
            ConfigError: A number is out of its range.
        """
        if not speed > 0 or chunk_ms < 1 or lead_ms < 0:
            raise ConfigError(
                f"speed {speed}, chunk_ms {chunk_ms}, lead_ms {lead_ms} cannot be.",
                hint="speed must be above 0, chunk_ms at least 1, lead_ms not negative.",
            )
        named = isinstance(path, str | os.PathLike)
        self.path = Path(path) if named else STREAM
        self.format = format
        self._speed = speed
        self._chunk_bytes = format.size(chunk_ms / 1000)
        self._lead_s = lead_ms / 1000
        self._ready = bytearray(format.size(self._lead_s))
        self._recording = open_recording(self.path if named else path)
        try:
            self._resampler = _resampler(self.path, self._recording.rate_hz, format.rate_hz)
        except AudioError:
            self._recording.close()
            raise
        self.note = self._recording.note
        self._frames_left: int = self._recording.frames
        self._chunks = 0
        self._began_s: float | None = None

    @property
    def duration_s(self) -> float:
        """The length of the recording in seconds, without `lead_ms`."""
        return self._recording.frames / self._recording.rate_hz

    @property
    def unspoken_s(self) -> float:
        """The length of the part that has not been delivered yet, in seconds."""
        return 0.0 if self.done else max(0.0, self._lead_s + self.duration_s - self.now())

    @property
    def done(self) -> bool:
        """True if the last sample of the recording has been delivered. Silence follows."""
        return not self._frames_left and not self._ready

    def now(self) -> float:
        """Return the length of the audio delivered so far, in seconds."""
        return self.format.seconds(self._chunks * self._chunk_bytes)

    async def read(self) -> bytes:
        """Wait until the next chunk is due, and return it.

        Cancelling loses nothing: the chunk is taken after the wait. Other tasks always get a turn.

        Returns:
            `chunk_ms` of s16le mono samples; `b""` after `aclose()`.

        Raises:
            AudioError: Reading the file failed.
        """
        if self._recording.closed:
            return b""
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        due_s = self._began_s + self.now() / self._speed
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        if self._recording.closed:  # by another task, during the wait
            return b""
        self._fill()
        chunk = bytes(self._ready[: self._chunk_bytes])
        del self._ready[: self._chunk_bytes]
        self._chunks += 1
        return chunk.ljust(self._chunk_bytes, b"\0")

    async def aclose(self) -> None:
        """Close the file. Never suspends. May be called again."""
        self._recording.close()

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
        """Read until a chunk is ready or the recording has ended."""
        recording = self._recording
        most = max(1, READ_BYTES // recording.frame_bytes)
        while len(self._ready) < self._chunk_bytes and self._frames_left:
            asked = min(most, self._frames_left)
            pcm = recording.read(asked)
            # Fewer than asked: the file was cut while it was being read. It ends here.
            whole = len(pcm) == asked * BYTES_PER_SAMPLE
            self._frames_left = self._frames_left - asked if whole else 0
            self._ready += self._resampler.feed(pcm)
            if not self._frames_left:
                self._ready += self._resampler.finish()


class WavSink(VirtualSpeaker):
    """A virtual speaker that records what is heard, as a 16-bit mono WAV at `format.rate_hz`.

    Sample k of the file sounded k / rate_hz seconds after construction, by `now()`. The sound is
    written as it is played to a hidden file beside `path`, which takes its name at `aclose()`: a
    file of that name is replaced only then, and is never half-written. Without `aclose()` the
    hidden file is removed when the sink or the interpreter goes.

    A disk that fails later is reported by one `AudioError`, from the call that met it. What was
    written until then is put in place, and nothing more is written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        format: AudioFormat = OUTPUT_FORMAT,
        *,
        now: Callable[[], float],
    ) -> None:
        """Create the hidden file.

        Args:
            path: The file to write. Its folder must exist.
            format: The format of the samples that will be played.
            now: Returns the time in seconds, such as `WavSource.now`.

        Raises:
            AudioError: Nothing can be written there.
        """
        self.path = Path(path)
        self._hidden = _HiddenFile(self.path, format)
        # On the hidden file, not on a method of ours: dropping the last reference must be enough.
        weakref.finalize(self, self._hidden.discard)
        super().__init__(format, now=now, on_played=self._hidden.write)

    async def aclose(self, *, drain: bool = True) -> None:
        """Finish the recording and put the file in place.

        Never suspends. May be called again.

        Args:
            drain: Whether audio that waits is heard to its end; it is faded out otherwise.

        Raises:
            AudioError: The file cannot be written.
        """
        await super().aclose(drain=drain)
        self._hidden.publish()

    def discard(self) -> None:
        """Remove what was written, unless it is in place already. May be called again."""
        self._hidden.discard()


class _HiddenFile:
    """A WAV file that is being written, under a hidden name until it is published."""

    def __init__(self, path: Path, format: AudioFormat) -> None:
        self._path = path
        self._format = format
        self._bytes = 0
        self._target = _target(path)
        self._hidden_path = self._target.with_name(f".sonic-voice-{secrets.token_hex(6)}.part")
        try:
            self._file = self._hidden_path.open("xb", buffering=0)
            self._put(self._header())  # with no length yet
            self._bytes = 0
        except OSError as error:
            with contextlib.suppress(OSError):
                self._hidden_path.unlink(missing_ok=True)
            raise system_error("Writing", path, error) from error

    def write(self, pcm: bytes) -> None:
        """Append `pcm`. After a failure publish what was written, and ignore what follows.

        Raises:
            AudioError: The disk failed.
        """
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
        """Write the final header and give the file its name. May be called again.

        Raises:
            AudioError: The disk failed. The hidden file is removed.
        """
        if self._file.closed:
            return
        try:
            self._bytes -= self._bytes % 2  # the disk may have been full within a sample
            self._file.seek(0)
            self._file.write(self._header())
            self._file.close()
            self._hidden_path.replace(self._target)
        except OSError as error:
            self.discard()
            raise system_error("Writing", self._path, error) from error

    def _put(self, data: bytes) -> None:
        """Write `data` and count its bytes; if that fails, those that there was room for."""
        view = memoryview(data)
        while view:
            written = self._file.write(view) or 0
            view = view[written:]
            self._bytes += written

    def discard(self) -> None:
        """Remove the hidden file, if it has not been published. May be called again."""
        with contextlib.suppress(OSError):  # what could not be flushed is thrown away anyway
            self._file.close()
        with contextlib.suppress(OSError):  # its folder may be gone, or read-only by now
            self._hidden_path.unlink(missing_ok=True)

    def _header(self) -> bytes:
        return header(self._format.rate_hz, self._bytes)


def _target(path: Path) -> Path:
    """Return the file to write for `path`, with links followed.

    Raises:
        AudioError: There is no such folder, or `path` is not a file.
    """
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
    """Return the resampler for a file; its error names the file."""
    try:
        return Resampler(source_hz, target_hz)
    except AudioError as error:
        raise AudioError(f"{path}: {error.message}", hint=convert_hint(path)) from error
