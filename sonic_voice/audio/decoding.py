"""Recordings as a stream of pcm, whatever file they are in.

    file or pipe -> riff.read_layout -> plain WAV: read here
                                     -> all else:  decoded by libsndfile, through `soundfile`

The chunk walker of `riff` comes first, because libsndfile does not read every damaged WAV header
that it reads. libsndfile decodes FLAC, Ogg, MP3, AIFF, AU, CAF and Wave64, and WAV files of 64-bit
floats, mu-law, A-law and ADPCM. What neither reads is refused with the walker's error.

Properties of libsndfile 1.2.2 that this module works around:

- A FLAC file that was written into a pipe, or by a killed process, has no total. Reading beyond
  its end, like that of a truncated one, is an error and not a short read. The samples that were
  decoded before the error are in the buffer, which is filled with NaN first to tell how many.
- Its MP3 decoder prints to C's `stderr`, which is redirected meanwhile where it can be.
- It needs to seek, so that a pipe is read to its end first.
- `soundfile` takes a file object's name for a format: one that ends in .raw would need a rate.
  So the object that it is given has no name.
"""

import io
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from .file_errors import STREAM, system_error
from .pcm import to_pcm
from .riff import Layout, NotPlainWav, cut_short, read_layout
from .stderr_silencer import STDERR_SILENCER

MAX_STREAM_BYTES = 1 << 30
"""Maximum size of a recording from a pipe, which is kept in memory: 1 GiB, 9 hours of 16-bit
samples at 16 kHz."""

_COUNTING_FRAMES = 65_536
"""Number of frames that are decoded at a time to count them."""

_MIN_CUT_S = 0.1
"""Minimum length that a compressed file must lack for a note, in seconds: encoders count their
delay and padding differently, some 1,000 samples."""

_UNKNOWN_FRAMES = 1 << 62
"""Totals from here on mean that the file has none; libsndfile reports 2**63 - 1."""


class SampleReader(Protocol):
    """A reader of the samples of one sound file."""

    rate_hz: int
    frame_bytes: int
    """Size of one sample of every channel as it is read, in bytes."""
    frames: int
    """Number of samples of each channel."""
    note: str
    """A sentence about what is odd about the file; empty if nothing is."""

    @property
    def closed(self) -> bool:
        """True if `close` was called."""
        ...

    def read(self, frames: int) -> bytes:
        """Return the next samples.

        Args:
            frames: Number of samples of each channel, at least 1.

        Returns:
            s16le mono samples at `rate_hz`, the average of the channels; fewer than `frames` at
            the end.

        Raises:
            AudioError: Reading the file failed.
        """
        ...

    def close(self) -> None:
        """Close the file. May be called again."""
        ...


def open_recording(origin: Path | BinaryIO) -> SampleReader:
    """Open a file, or take a pipe, and find out how to decode it.

    Args:
        origin: A regular file; or an open file or pipe, which is read to its end and not closed.

    Raises:
        AudioError: It cannot be read, or is nothing that can be decoded.
    """
    if isinstance(origin, Path):
        path, file = origin, _open(origin)
    else:
        path, file = STREAM, _read_stream(origin)
    try:
        found = read_layout(file, path)
        if isinstance(found, Layout):
            return _PlainReader(file, path, found)
        return _DecodingReader(file, path, found)
    except OSError as error:
        file.close()
        raise system_error("Reading", path, error) from error
    except AudioError:
        file.close()
        raise


class _PlainReader:
    """A plain WAV file, its samples read as they are."""

    def __init__(self, file: BinaryIO, path: Path, layout: Layout) -> None:
        self.rate_hz = layout.rate_hz
        self.frame_bytes = layout.frame_bytes
        self.frames = layout.frames
        self.note = layout.note
        self._file = file
        self._path = path
        self._layout = layout

    @property
    def closed(self) -> bool:
        """See `SampleReader`."""
        return self._file.closed

    def read(self, frames: int) -> bytes:
        """See `SampleReader`."""
        try:
            raw = self._file.read(frames * self.frame_bytes)
        except OSError as error:
            raise system_error("Reading", self._path, error) from error
        return self._layout.pcm(raw[: len(raw) // self.frame_bytes * self.frame_bytes])

    def close(self) -> None:
        """See `SampleReader`."""
        self._file.close()


class _DecodingReader:
    """A file that libsndfile decodes."""

    def __init__(self, file: BinaryIO, path: Path, found: NotPlainWav) -> None:
        self._file = file
        self._path = path
        self._input = _Input(file)
        self._error, self._sound = _sndfile(self._input, found)
        self.rate_hz: int = self._sound.samplerate
        self.frame_bytes = 4 * self._channels
        self.frames, self.note = self._sound.frames, found.note
        # The headers of these may claim more than is there; of others libsndfile looks at the size.
        if self._sound.format in ("FLAC", "MP3") and not self._has_last_frame():
            self._count_frames(found)
        if not self.frames:
            self.close()
            raise found.error

    @property
    def _channels(self) -> int:
        return self._sound.channels

    @property
    def closed(self) -> bool:
        """See `SampleReader`."""
        return self._file.closed

    def read(self, frames: int) -> bytes:
        """See `SampleReader`."""
        samples = np.nan_to_num(self._decode(frames), nan=0.0, posinf=1.0, neginf=-1.0)
        return to_pcm(samples.mean(axis=1, dtype=np.float32))

    def close(self) -> None:
        """See `SampleReader`."""
        with STDERR_SILENCER:
            self._sound.close()
        self._file.close()

    def _decode(self, frames: int) -> NDArray[np.float32]:
        """Return the next samples as floats: a row for each frame, a column for each channel."""
        out = np.full((frames, self._channels), np.nan, np.float32)
        with STDERR_SILENCER:
            try:
                read = len(self._sound.read(out=out))
            except self._error:
                ends = np.flatnonzero(np.isnan(out[:, 0]))
                read = int(ends[0]) if len(ends) else frames
        if self._input.error is not None:
            raise system_error("Reading", self._path, self._input.error)
        return out[:read]

    def _has_last_frame(self) -> bool:
        """Return whether the file has as many frames as it claims; then rewind it."""
        if self.frames >= _UNKNOWN_FRAMES:
            return False
        try:
            with STDERR_SILENCER:
                self._sound.seek(max(0, self.frames - 1))
                whole = len(self._decode(1)) == 1
                self._sound.seek(0)
        except self._error:
            return False
        return whole

    def _count_frames(self, found: NotPlainWav) -> None:
        """Decode the file once to count its frames, then open it again."""
        claimed = self.frames
        # After an error the decoder is in an unknown state, so the file is opened again each time.
        _, self._sound = _sndfile(self._input, found)
        self.frames = 0
        while frames := len(self._decode(_COUNTING_FRAMES)):
            self.frames += frames
        _, self._sound = _sndfile(self._input, found)
        rate_hz = self.rate_hz
        if self.frames + _MIN_CUT_S * rate_hz < claimed < _UNKNOWN_FRAMES:
            self.note = cut_short(self._path, claimed / rate_hz, self.frames / rate_hz)


class _Input:
    """The file as libsndfile sees it: without a name, and without exceptions.

    An exception inside a callback from C would be printed and forgotten.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None
        """The first failure to read."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, which is never before the start, and return it."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError) as error:  # a damaged header names a place before the start
            if isinstance(error, OSError) and self.error is None and offset >= 0:
                self.error = error
            return self._file.tell()

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none after a failure."""
        try:
            return self._file.read(size)
        except OSError as error:
            self.error = self.error or error
            return b""


def _sndfile(file: _Input, found: NotPlainWav) -> tuple[type[Exception], Any]:
    """Open `file` with libsndfile, from its start.

    Returns:
        The class of the errors that the library raises, and the open file.

    Raises:
        AudioError: `found.error`: libsndfile does not read it either, or is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there, the library is not
        raise found.error from None
    file.seek(0)
    try:
        with STDERR_SILENCER:
            return soundfile.SoundFileError, soundfile.SoundFile(file)  # pyright: ignore
    except soundfile.SoundFileError:
        raise found.error from None


def _open(path: Path) -> BinaryIO:
    """Open a regular file. Anything else is refused, because opening a pipe would block here."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path} is a folder.", hint="Name a WAV file in it.")
        if not stat.S_ISREG(mode):
            raise AudioError(
                f"{path} is a device or pipe.",
                hint="Save the sound as a file, or pipe it to the standard input: --input -",
            )
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioError(f"There is no file {path}.", hint="Check name and folder.") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise system_error("Reading", path, error) from error


def _read_stream(stream: BinaryIO) -> BinaryIO:
    """Read `stream` to its end into memory."""
    try:
        content = stream.read(MAX_STREAM_BYTES + 1)
    except OSError as error:
        raise system_error("Reading", STREAM, error) from error
    if len(content) > MAX_STREAM_BYTES:
        raise AudioError(
            f"{STREAM} is larger than {MAX_STREAM_BYTES >> 30} GiB.",
            hint="Save the sound as a file and name that.",
        )
    return io.BytesIO(content)
