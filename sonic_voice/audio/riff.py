"""The layout of a WAV file: which samples lie where, and what a file is that is no WAV.

The standard library's `wave` reads no floats and little of WAVE_FORMAT_EXTENSIBLE, so the chunks
are walked here: RIFF, then (name, length, body padded to even) over and over; `fmt ` must come
before `data`. Lengths in a file are claims: every read is bounded by what is really there.
"""

import os
import shlex
import stat
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..config import BYTES_PER_SAMPLE
from ..errors import AudioError
from .pcm import to_pcm

PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE

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
class Layout:
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
    {(PCM, 8): _u8, (PCM, 16): _i16, (PCM, 24): _i24, (PCM, 32): _i32, (_FLOAT, 32): _f32}
)
"""By format tag and bits of one sample."""


def read_layout(file: BinaryIO, path: Path) -> Layout:
    """Walk the chunks up to the samples, and leave `file` standing at the first of them."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(512)
    if not size:
        raise AudioError(f"{path} is empty: 0 bytes.", hint="Record or export it again.")
    if head[:4] != b"RIFF" or head[8:12] not in (b"WAVE", b""):
        raise _not_wav(path, head)
    file.seek(12)
    layout: Layout | None = None
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


def _read_format(fmt: bytes, path: Path) -> Layout:
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
        if tag in (PCM, _FLOAT):
            what = f"{bits}-bit {'floats' if tag == _FLOAT else 'integers'}"
        raise AudioError(
            f"{path} is a WAV file of {what}; integers of 8, 16, 24, 32 bits and floats of 32 "
            "bits are understood.",
            hint=convert_hint(path),
        )
    if not channels or not rate_hz or frame_bytes != channels * bits // 8:
        raise AudioError(
            f"{path} says it has {channels} channels, {rate_hz} Hz and {frame_bytes} bytes for "
            f"{bits}-bit samples of all channels, which cannot be.",
            hint="Its header is damaged: record or export it again.",
        )
    return Layout(rate_hz, channels, frame_bytes, floats)


def _with_samples(
    layout: Layout, path: Path, promised: int, body_at: int, size: int, riff_end: int
) -> Layout:
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
            f"{path} is not a WAV file; it looks like {look}.", hint=convert_hint(path)
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


def convert_hint(path: Path) -> str:
    return f"Convert it: {_convert(path)}"


def _convert(path: Path, reading: str = "") -> str:
    """The command that makes a WAV we read, under a name that is not the file's own."""
    made = path.with_suffix(".wav")
    if made == path:
        made = path.with_name(f"{path.stem}-pcm.wav")
    names = shlex.quote(str(path)), shlex.quote(str(made))
    return f"ffmpeg {reading}-i {names[0]} -ac 1 -ar 16000 -c:a pcm_s16le {names[1]}"


def header(rate_hz: int, size_bytes: int) -> bytes:
    """What stands before `size_bytes` of s16le mono samples."""
    size = min(size_bytes, 0xFFFF_FFFF - 36)  # 24 hours at 24 kHz; what follows is still there
    width = BYTES_PER_SAMPLE
    fmt = struct.pack("<HHIIHH", PCM, 1, rate_hz, rate_hz * width, width, 8 * width)
    riff = struct.pack("<4sI4s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", len(fmt))
    return riff + fmt + struct.pack("<4sI", b"data", size)


def open_wav(path: Path) -> BinaryIO:
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
        raise system_error("Reading", path, error) from error


def system_error(doing: str, path: Path, error: Exception) -> AudioError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return AudioError(
        f"{doing} {path} failed: {why}.", hint="Check the path, its rights, the disk."
    )
