"""WAV files as the two ends of a conversation: a `WavSource` speaks, a `WavSink` has listened.

A source behaves like a microphone: chunks come in time (or `speed` times faster), and after the
file's end silence flows on, because the service finds the end of speech only in audio received.

A sink holds what a listener would have heard, in time: silences, interruptions and fades
included. It is a `VirtualSpeaker` whose samples go to a file.

The standard library's `wave` reads no floats and little of WAVE_FORMAT_EXTENSIBLE, so the chunks
are walked here: RIFF, then (name, length, body padded to even) over and over; `fmt ` must come
before `data`. Lengths in a file are claims: every read is bounded by what is really there.
"""

import asyncio
import contextlib
import os
import secrets
import shlex
import stat
import struct
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from .audio import HEARD, SPOKEN, Resampler, VirtualSpeaker, to_pcm
from .config import BYTES_PER_SAMPLE, AudioFormat
from .errors import AudioError, ConfigError

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
        format: AudioFormat = HEARD,
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
        self._ready = bytearray(format.size(lead_ms / 1000))
        self._file = _open(self.path)
        try:
            self._layout = _read_layout(self._file, self.path)
            self._resampler = _resampler(self.path, self._layout.rate_hz, format.rate_hz)
        except OSError as error:
            self._file.close()
            raise _system_error("Reading", self.path, error) from error
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
                raise _system_error("Reading", self.path, error) from error
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
    disk that fails later is reported by one `AudioError`, of whichever call met it; then nothing
    more is written and the hidden file is gone.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        format: AudioFormat = SPOKEN,
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


class _Draft:
    """A WAV file in the making, under a hidden name until it is published."""

    def __init__(self, path: Path, format: AudioFormat) -> None:
        self._path = path
        self._format = format
        self._bytes = 0
        self._target = _target(path)
        self._hidden = self._target.with_name(f".sonic-voice-{secrets.token_hex(6)}.part")
        try:
            self._file = self._hidden.open("xb")
            self._file.write(self._header())  # with no length yet
        except OSError as error:
            raise _system_error("Writing", path, error) from error

    def write(self, pcm: bytes) -> None:
        if self._file.closed:
            return
        try:
            self._file.write(pcm)
        except OSError as error:
            self.discard()
            raise _system_error("Writing", self._path, error) from error
        self._bytes += len(pcm)

    def publish(self) -> None:
        if self._file.closed:
            return
        try:
            self._file.seek(0)
            self._file.write(self._header())
            self._file.close()
            self._hidden.replace(self._target)
        except OSError as error:
            self.discard()
            raise _system_error("Writing", self._path, error) from error

    def discard(self) -> None:
        """Remove the hidden file, if it has not been published. May be repeated."""
        with contextlib.suppress(OSError):  # what could not be flushed is thrown away anyway
            self._file.close()
        with contextlib.suppress(OSError):  # its folder may be gone, or read-only by now
            self._hidden.unlink(missing_ok=True)

    def _header(self) -> bytes:
        rate_hz, width = self._format.rate_hz, BYTES_PER_SAMPLE
        size = min(self._bytes, 0xFFFF_FFFF - 36)  # 24 hours at 24 kHz; what follows is still there
        fmt = struct.pack("<HHIIHH", _PCM, 1, rate_hz, rate_hz * width, width, 8 * width)
        riff = struct.pack("<4sI4s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", len(fmt))
        return riff + fmt + struct.pack("<4sI", b"data", size)


_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE

_CODECS: Mapping[int, str] = MappingProxyType(
    {
        0x0002: "Microsoft ADPCM",
        0x0006: "A-law",
        0x0007: "mu-law",
        0x0011: "IMA ADPCM",
        0x0031: "GSM 6.10",
        0x0040: "G.721 ADPCM",
        0x0050: "MPEG",
        0x0055: "MP3",
        0x00FF: "AAC",
        0x0161: "Windows Media Audio",
    }
)

_LOOKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"ID3", "MP3"),
    (0, b"\xff\xfb", "MP3"),
    (0, b"\xff\xf3", "MP3"),
    (0, b"\xff\xf2", "MP3"),
    (0, b"OggS", "Ogg"),
    (0, b"fLaC", "FLAC"),
    (4, b"ftyp", "MP4 or M4A"),
    (0, b"FORM", "AIFF"),
    (0, b"caff", "a Core Audio file"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b".snd", "a Sun .au file"),
    (0, b"RF64", "RF64, a WAV for more than 4 GB"),
    (0, b"RIFX", "RIFX, a WAV with its bytes in the other order"),
    (8, b"AVI ", "AVI"),
)
"""(offset, bytes found there, what such a file is)."""

_MOST_CHUNKS = 1_000  # before `data`; real files have fewer than ten
_UNKNOWN_SIZE = 0xFFFF_FFFF  # written by programs that could not seek back, such as into a pipe

_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the samples lie in a file."""

    rate_hz: int
    channels: int
    frame_bytes: int
    """One sample of every channel."""
    floats: Callable[[bytes], _Floats]
    """Samples of all channels, interleaved, as floats of -1 to 1."""
    frames: int = 0
    note: str = ""

    def pcm(self, raw: bytes) -> bytes:
        """Whole frames as they lie in the file -> s16le mono, channels averaged."""
        samples = self.floats(raw).reshape(-1, self.channels)
        return to_pcm(samples.mean(axis=1, dtype=np.float32))


def _u8(raw: bytes) -> _Floats:
    return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)


def _i16(raw: bytes) -> _Floats:
    return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(2**15)


def _i24(raw: bytes) -> _Floats:
    wide = np.zeros((len(raw) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
    return _i32(wide.tobytes())


def _i32(raw: bytes) -> _Floats:
    return np.frombuffer(raw, "<i4").astype(np.float32) / np.float32(2**31)


def _f32(raw: bytes) -> _Floats:
    found = np.nan_to_num(np.frombuffer(raw, "<f4"), nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(found, -1.0, 1.0).astype(np.float32)


_ENCODINGS: Mapping[tuple[int, int], Callable[[bytes], _Floats]] = MappingProxyType(
    {(_PCM, 8): _u8, (_PCM, 16): _i16, (_PCM, 24): _i24, (_PCM, 32): _i32, (_FLOAT, 32): _f32}
)
"""By format tag and bits of one sample."""


def _read_layout(file: BinaryIO, path: Path) -> _Layout:
    """Walk the chunks up to the samples, and leave `file` standing at the first of them."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(512)
    if not size:
        raise AudioError(f"{path} is empty: 0 bytes.", hint="Record or export it again.")
    if head[:4] != b"RIFF" or head[8:12] not in (b"WAVE", b""):
        raise _not_wav(path, head)
    file.seek(12)
    layout: _Layout | None = None
    for _ in range(_MOST_CHUNKS):
        name, length = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"data":
            if layout is None:
                break
            riff_end = 8 + int.from_bytes(head[4:8], "little")
            return _with_samples(layout, path, length, file.tell(), size, riff_end)
        if len(name) < 4:
            break
        here = file.tell()
        if name == b"fmt ":
            layout = _read_format(file.read(min(length, 40)), path)
        file.seek(here + length + length % 2)
    raise AudioError(
        f"{path} begins like a WAV file, but has no {'samples' if layout else 'format'}.",
        hint="It was cut off inside its header: record or export it again.",
    )


def _read_format(fmt: bytes, path: Path) -> _Layout:
    if len(fmt) < 16:
        raise AudioError(
            f"{path} has a format of {len(fmt)} bytes; 16 are the least.",
            hint="It is damaged: record or export it again.",
        )
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        (tag,) = struct.unpack("<H", fmt[24:26])  # the first two bytes of the sub-format's GUID
    floats = _ENCODINGS.get((tag, bits))
    if floats is None:
        what = _CODECS.get(tag) or f"codec 0x{tag:04x}"
        if tag in (_PCM, _FLOAT):
            what = f"{bits}-bit {'floats' if tag == _FLOAT else 'integers'}"
        raise AudioError(
            f"{path} is a WAV file of {what}; integers of 8, 16, 24, 32 bits and floats of 32 "
            "bits are understood.",
            hint=_convert_hint(path),
        )
    if not channels or not rate_hz or frame_bytes != channels * bits // 8:
        raise AudioError(
            f"{path} says it has {channels} channels, {rate_hz} Hz and {frame_bytes} bytes for "
            f"{bits}-bit samples of all channels, which cannot be.",
            hint="Its header is damaged: record or export it again.",
        )
    return _Layout(rate_hz, channels, frame_bytes, floats)


def _with_samples(
    layout: _Layout, path: Path, promised: int, body_at: int, size: int, riff_end: int
) -> _Layout:
    """`layout` with the frames that are really there, `promised` and present, both in bytes."""
    there = size - body_at
    note = ""
    if promised == _UNKNOWN_SIZE:
        promised = there
    elif not promised and there and riff_end <= body_at:
        promised = there
        note = f"{path} has a header that was never finished; all that follows it is used."
    frames = min(promised, there) // layout.frame_bytes
    if not frames:
        raise AudioError(
            f"{path} has a WAV header and no samples.", hint="Record or export it again."
        )
    if promised > there:
        byte_s = layout.frame_bytes * layout.rate_hz
        note = (
            f"{path} is cut short: its header promises {promised / byte_s:.2f} s, "
            f"{there / byte_s:.2f} s are there."
        )
    return replace(layout, frames=frames, note=note)


def _not_wav(path: Path, head: bytes) -> AudioError:
    look = next((what for at, mark, what in _LOOKS if head[at:].startswith(mark)), None)
    if look is not None:
        return AudioError(
            f"{path} is not a WAV file; it looks like {look}.", hint=_convert_hint(path)
        )
    if _is_text(head):
        return AudioError(
            f"{path} is not a WAV file; it looks like text.", hint="Name a recording."
        )
    return AudioError(
        f"{path} is not a WAV file, nor of a kind known here.",
        hint=f"If it holds bare 16-bit samples: {_convert(path, '-f s16le -ar 16000 -ac 1 ')}",
    )


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "ignore")
    return len(text.encode()) >= len(head) - 3 and all(
        c.isprintable() or c in "\t\r\n" for c in text
    )


def _convert_hint(path: Path) -> str:
    return f"Convert it: {_convert(path)}"


def _convert(path: Path, reading: str = "") -> str:
    """The command that makes a WAV we read, under a name that is not the file's own."""
    made = path.with_suffix(".wav")
    if made == path:
        made = path.with_name(f"{path.stem}-pcm.wav")
    names = shlex.quote(str(path)), shlex.quote(str(made))
    return f"ffmpeg {reading}-i {names[0]} -ac 1 -ar 16000 -c:a pcm_s16le {names[1]}"


def _open(path: Path) -> BinaryIO:
    """Opened for reading; anything but a regular file is refused (a pipe would block here)."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path} is a folder.", hint="Name a WAV file in it.")
        if not stat.S_ISREG(mode):
            raise AudioError(f"{path} is a device or pipe.", hint="Save the sound as a WAV file.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioError(f"There is no file {path}.", hint="Check name and folder.") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _system_error("Reading", path, error) from error


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
        raise _system_error("Writing", path, error) from error


def _resampler(path: Path, source_hz: int, target_hz: int) -> Resampler:
    try:
        return Resampler(source_hz, target_hz)
    except AudioError as error:
        raise AudioError(f"{path}: {error.message}", hint=_convert_hint(path)) from error


def _system_error(doing: str, path: Path, error: Exception) -> AudioError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return AudioError(
        f"{doing} {path} failed: {why}.", hint="Check the path, its rights, the disk."
    )
