"""The layout of a WAV file: where its samples are, and how they are encoded.

The standard library's `wave` reads no floats and little of WAVE_FORMAT_EXTENSIBLE, and libsndfile
does not read every damaged header that this module reads. So the chunks are walked here: RIFF, then
(name, length, body padded to even) repeatedly; `fmt ` must come before `data`. Lengths in a file
are claims: every read is bounded by the bytes that are really there.

RF64 and BW64, for files above 4 GB, are WAV files whose real lengths are in a chunk `ds64`.

Two faults of writers are corrected. A chunk of odd length that was written without its pad byte
shifts all that follows by one byte; it is recognised by the next name. A program that writes into
a pipe cannot go back to fill in the lengths; it leaves 0 or a very large number, and then all that
follows the header is sound.
"""

import os
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
from .file_errors import convert_hint, not_wav
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
"""Names of codecs by their format tag."""

_MAX_CHUNKS = 1_000
"""Maximum number of chunks before `data`; real files have fewer than ten."""

_PLACEHOLDERS = (range(0x7FFF_F000, 0x8000_0100), range(0xFFFF_F000, 0x1_0000_0000))
"""Lengths that programs write which cannot go back to fill in the real one: the largest signed and
unsigned 32-bit numbers, less or more the size of a header (sox: 0x7FFFF000, ffmpeg: 0xFFFFFFFF)."""

_LENGTH_IN_DS64 = 0xFFFF_FFFF
"""Length of `data` in a file of more than 4 GB, which has the real one in its chunk `ds64`."""

_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layout:
    """The position and encoding of the samples of a plain WAV file."""

    rate_hz: int
    channels: int
    frame_bytes: int
    """Size of one sample of every channel, in bytes."""
    floats: Callable[[bytes], _Floats]
    """Converts samples of all channels, interleaved, to floats of -1 to 1."""
    frames: int = 0
    """Number of samples of each channel that are really in the file."""
    note: str = ""
    """A sentence about what is odd about the file; empty if nothing is."""

    def pcm(self, raw: bytes) -> bytes:
        """Convert samples from the file's encoding.

        Args:
            raw: Whole frames as they are in the file.

        Returns:
            s16le mono samples, the average of the channels.
        """
        samples = self.floats(raw).reshape(-1, self.channels)
        return to_pcm(samples.mean(axis=1, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class NotPlainWav:
    """The result for a file whose samples this module does not read; another decoder may."""

    error: AudioError
    """The error to raise if no other decoder reads it."""
    byte_s: int = 0
    """Bytes of encoded sound per second, if it is a WAV file that says so."""
    note: str = ""
    """A sentence about what is odd about the file; empty if nothing is."""


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
"""Conversions to floats by format tag and bits per sample."""


def read_layout(file: BinaryIO, path: Path) -> Layout | NotPlainWav:
    """Walk the chunks up to the samples.

    Args:
        file: A seekable file.
        path: Its name, for messages.

    Returns:
        The layout, with `file` positioned at the first sample; or `NotPlainWav`, with `file`
        positioned anywhere.

    Raises:
        AudioError: The file is empty, or its format contradicts itself.
        OSError: Reading failed.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(512)
    if not size:
        raise AudioError(f"{path} is empty: 0 bytes.", hint="Record or export it again.")
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] not in (b"WAVE", b""):
        return NotPlainWav(not_wav(path, head))
    file.seek(12)
    found: Layout | NotPlainWav | None = None
    long_data = 0
    for _ in range(_MAX_CHUNKS):
        name, length = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"data":
            if found is None:
                break
            if length == _LENGTH_IN_DS64 and long_data:
                length = long_data
            riff_bytes = int.from_bytes(head[4:8], "little")
            return _with_samples(found, path, length, file.tell(), size, riff_bytes)
        if len(name) < 4:
            break
        here = file.tell()
        if name == b"fmt ":
            found = _read_format(file.read(min(length, 40)), path)
        elif name == b"ds64":  # 64-bit lengths: of all, of the samples
            long_data = int.from_bytes(file.read(min(length, 16))[8:], "little")
        file.seek(_next_chunk(file, here + length) if length % 2 else here + length)
    if isinstance(found, NotPlainWav):
        return found
    error = AudioError(
        f"{path} begins like a WAV file, but has no {'samples' if found else 'format'}.",
        hint="It was cut off inside its header: record or export it again.",
    )
    return NotPlainWav(error)


def _next_chunk(file: BinaryIO, end: int) -> int:
    """Return where the chunk begins that follows a chunk of odd length.

    That is one byte after `end`, where the odd chunk ends, unless its pad byte is missing: then
    no name begins there, and one does at `end`.
    """
    file.seek(end)
    names = file.read(5)
    padded, unpadded = names[1:], names[:4]
    if unpadded in (b"data", b"fmt ") or (_is_name(unpadded) and not _is_name(padded)):
        return end
    return end + 1


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _read_format(fmt: bytes, path: Path) -> Layout | NotPlainWav:
    """Return what the body of the chunk `fmt ` says, without the number of samples.

    Raises:
        AudioError: A frame is too small for its samples.
    """
    if len(fmt) < 16:
        return NotPlainWav(
            AudioError(
                f"{path} has a format of {len(fmt)} bytes; 16 are the least.",
                hint="It is damaged: record or export it again.",
            )
        )
    tag, channels, rate_hz, byte_s, frame_bytes, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        (tag,) = struct.unpack("<H", fmt[24:26])  # the first two bytes of the sub-format's GUID
    floats = _ENCODINGS.get((tag, bits))
    if floats is None:
        what = _CODECS.get(tag) or f"codec 0x{tag:04x}"
        if tag in (PCM, _FLOAT):
            what = f"{bits}-bit {'floats' if tag == _FLOAT else 'integers'}"
        error = AudioError(
            f"{path} is a WAV file of {what}, which cannot be decoded here.",
            hint=convert_hint(path),
        )
        if tag in (PCM, _FLOAT) and frame_bytes * 8 < channels * bits:
            raise error  # libsndfile would take samples of fewer bits, and give noise
        return NotPlainWav(error, byte_s)
    if not channels or not rate_hz or frame_bytes != channels * bits // 8:
        return NotPlainWav(
            AudioError(
                f"{path} says it has {channels} channels, {rate_hz} Hz and {frame_bytes} bytes for "
                f"{bits}-bit samples of all channels, which cannot be.",
                hint="Its header is damaged: record or export it again.",
            )
        )
    return Layout(rate_hz, channels, frame_bytes, floats)


def _with_samples(
    found: Layout | NotPlainWav, path: Path, claimed: int, start: int, size: int, riff_bytes: int
) -> Layout | NotPlainWav:
    """Return `found` with the frames that are really there.

    Args:
        found: What the format chunk says.
        path: The file's name.
        claimed: Length of the samples by the header, in bytes.
        start: Position of the first sample in the file, in bytes.
        size: Size of the file, in bytes.
        riff_bytes: Length of all that follows the first eight bytes, by the header.
    """
    there = size - start
    note = ""
    if _is_placeholder(claimed):
        claimed = min(claimed, there)
    elif not claimed and there and _is_placeholder(riff_bytes):
        claimed = there
    elif not claimed and there and 8 + riff_bytes <= start:
        claimed = there
        note = f"{path} has a header that was never finished; all that follows it is used."
    if isinstance(found, NotPlainWav):
        return replace(found, note=note or _cut_short(path, claimed, there, found.byte_s))
    frames = min(claimed, there) // found.frame_bytes
    if not frames:
        error = AudioError(
            f"{path} has a WAV header and no samples.", hint="Record or export it again."
        )
        return NotPlainWav(error)
    byte_s = found.frame_bytes * found.rate_hz
    return replace(found, frames=frames, note=note or _cut_short(path, claimed, there, byte_s))


def _is_placeholder(length: int) -> bool:
    return any(length in lengths for lengths in _PLACEHOLDERS)


def _cut_short(path: Path, claimed: int, there: int, byte_s: int) -> str:
    """Return the note for a file that has fewer bytes of sound than its header claims, or ""."""
    if claimed <= there or not byte_s:
        return ""
    return cut_short(path, claimed / byte_s, there / byte_s)


def cut_short(path: Path, claimed_s: float, there_s: float) -> str:
    """Return the note for a file that holds less sound than its header claims, in seconds."""
    return f"{path} is cut short: its header promises {claimed_s:.2f} s, {there_s:.2f} s are there."


def header(rate_hz: int, size_bytes: int) -> bytes:
    """Return the header of a WAV file of s16le mono samples.

    Args:
        rate_hz: Sampling rate.
        size_bytes: Size of the samples that follow, in bytes. The header cannot claim more than
            4 GiB (24 hours at 24 kHz); what is beyond is still in the file.
    """
    size = min(size_bytes, 0xFFFF_FFFF - 36)
    width = BYTES_PER_SAMPLE
    fmt = struct.pack("<HHIIHH", PCM, 1, rate_hz, rate_hz * width, width, 8 * width)
    riff = struct.pack("<4sI4s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", len(fmt))
    return riff + fmt + struct.pack("<4sI", b"data", size)


LONG_HEADER_BYTES = 80
"""Size of the header that `long_header` returns, in bytes."""


def long_header(rate_hz: int, channels: int, size_bytes: int) -> bytes:
    """Return the header of a WAV file of s16le samples that may grow beyond 4 GiB.

    Its size is always the same, so that it can be written again as the file grows. A chunk `JUNK`,
    which readers skip, becomes the chunk `ds64` of an RF64 file when the lengths need it.

    Source: EBU Tech 3306, RF64.

    Args:
        rate_hz: Sampling rate, in Hz.
        channels: Number of channels.
        size_bytes: Size of the samples that follow, in bytes.
    """
    frame_bytes = channels * BYTES_PER_SAMPLE
    riff_bytes = LONG_HEADER_BYTES - 8 + size_bytes
    is_long = riff_bytes > 0xFFFF_FFFF
    lengths = struct.pack("<QQQI", riff_bytes, size_bytes, size_bytes // frame_bytes, 0)
    size, riff_size = (_LENGTH_IN_DS64,) * 2 if is_long else (size_bytes, riff_bytes)
    fmt = struct.pack(
        "<HHIIHH", PCM, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, 8 * BYTES_PER_SAMPLE
    )
    return b"".join(
        (
            struct.pack("<4sI4s", b"RF64" if is_long else b"RIFF", riff_size, b"WAVE"),
            struct.pack("<4sI", b"ds64" if is_long else b"JUNK", len(lengths)),
            lengths if is_long else bytes(len(lengths)),
            struct.pack("<4sI", b"fmt ", len(fmt)) + fmt,
            struct.pack("<4sI", b"data", size),
        )
    )
