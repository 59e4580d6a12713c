"""Sound files that are written as the sound comes: WAV and FLAC.

A file can be read at any moment, also after `kill -9`. The header of a WAV is written again after
each write, when the samples that it counts are in the file. A FLAC needs no total; the decoder
counts it. Beyond 4 GiB a WAV becomes an RF64.

A file that exists is never overwritten.
"""

import contextlib
import io
import os
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..config import BYTES_PER_SAMPLE
from ..errors import AudioError
from .file_errors import system_error
from .riff import long_header

WAV_SUFFIXES = frozenset({"", ".wav", ".wave"})
"""Ends of names, in lower case, of files that are written as WAV."""

FLAC_SUFFIX = ".flac"
"""End of names, in lower case, of files that are written as FLAC."""


class SoundWriter(Protocol):
    """A sound file that is being written."""

    def write(self, frames: bytes) -> None:
        """Append frames.

        Args:
            frames: Whole frames of s16le samples, interleaved.

        Raises:
            OSError: The disk failed. The frames before are in the file.
        """
        ...

    def close(self) -> None:
        """Complete the file. May be called again.

        Raises:
            OSError: The disk failed.
        """
        ...


def check_name(path: Path) -> None:
    """Check that a file of this name is written as WAV or FLAC.

    Args:
        path: The file.

    Raises:
        AudioError: Its name stands for another kind of file.
    """
    if path.suffix.lower() not in WAV_SUFFIXES | {FLAC_SUFFIX}:
        raise AudioError(
            f"{path} cannot be written: a recording is a WAV or a FLAC file.",
            hint=f"Name it {path.with_suffix('.wav')} or {path.with_suffix('.flac')}.",
        )


def create(path: Path, rate_hz: int, channels: int) -> SoundWriter:
    """Create a sound file, FLAC if its name ends in `.flac`, else WAV.

    Args:
        path: The file, which must not exist. Its folder must.
        rate_hz: Sample rate, in Hz.
        channels: Number of channels.

    Raises:
        AudioError: It exists, its name stands for another kind of file, or it cannot be written.
    """
    check_name(path)
    try:
        file = path.open("xb", buffering=0)
    except FileExistsError as error:
        raise AudioError(
            f"{path} exists, and a recording is never overwritten.",
            hint=f"Name another file, such as {free_name(path)}.",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise system_error("Writing", path, error) from error
    try:
        if path.suffix.lower() == FLAC_SUFFIX:
            return _FlacWriter(file, path, rate_hz, channels)
        return _WavWriter(file, rate_hz, channels)
    except (OSError, AudioError) as error:
        file.close()
        path.unlink(missing_ok=True)
        if isinstance(error, AudioError):
            raise
        raise system_error("Writing", path, error) from error


def free_name(path: Path) -> Path:
    """Return a name like that of an existing file under which there is none: talk-2.wav.

    Args:
        path: The file that exists.
    """
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(name for name in names if not name.exists())


class _WavWriter:
    """A WAV file that is being written."""

    def __init__(self, file: io.FileIO, rate_hz: int, channels: int) -> None:
        self._file = file
        self._rate_hz = rate_hz
        self._channels = channels
        self._size_bytes = 0
        _write_all(file, self._header())

    def write(self, frames: bytes) -> None:
        """See `SoundWriter`."""
        before = self._file.tell()
        try:
            _write_all(self._file, frames)
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to report
                frame_bytes = self._channels * BYTES_PER_SAMPLE
                written = (self._file.tell() - before) // frame_bytes * frame_bytes
                self._file.truncate(before + written)
                self._count(written)
            raise
        self._count(len(frames))

    def close(self) -> None:
        """See `SoundWriter`."""
        self._file.close()

    def _count(self, written_bytes: int) -> None:
        self._size_bytes += written_bytes
        self._file.seek(0)
        _write_all(self._file, self._header())
        self._file.seek(0, os.SEEK_END)

    def _header(self) -> bytes:
        return long_header(self._rate_hz, self._channels, self._size_bytes)


class _FlacWriter:
    """A FLAC file that is being written by libsndfile."""

    def __init__(self, file: io.FileIO, path: Path, rate_hz: int, channels: int) -> None:
        try:
            import soundfile
        except (ImportError, OSError) as error:  # OSError: the package is there, the library is not
            raise AudioError(
                "FLAC cannot be written: the library libsndfile is missing.",
                hint=f"Install it, or name a WAV file: {path.with_suffix('.wav')}",
            ) from error
        self._output = _Output(file)
        self._channels = channels
        output: Any = self._output  # the library's types know only files with a name
        self._sound: Any = soundfile.SoundFile(
            output, "w", rate_hz, channels, "PCM_16", format="FLAC"
        )

    def write(self, frames: bytes) -> None:
        """See `SoundWriter`."""
        import numpy as np  # only this kind of file needs it

        self._attempt(
            lambda: self._sound.write(np.frombuffer(frames, "<i2").reshape(-1, self._channels))
        )

    def close(self) -> None:
        """See `SoundWriter`."""
        try:
            self._attempt(self._sound.close)
        finally:
            self._output.file.close()

    def _attempt(self, call: Any) -> None:
        """Call libsndfile, and raise the error of the file instead of the library's own."""
        try:
            call()
        except (RuntimeError, AssertionError) as error:  # fewer samples were written than given
            raise self._output.error or OSError(None, str(error)) from error
        if self._output.error is not None:
            raise self._output.error


class _Output:
    """The file as libsndfile sees it: without a name, and without exceptions.

    An exception inside a callback from C would be printed and forgotten.
    """

    def __init__(self, file: BinaryIO | io.FileIO) -> None:
        self.file = file
        self.error: OSError | None = None
        """The first failure to write."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, and return it."""
        try:
            return self.file.seek(offset, whence)
        except OSError as error:
            self.error = self.error or error
            return 0

    def tell(self) -> int:
        """Return the position."""
        return self.file.tell()

    def write(self, data: bytes) -> int:
        """Write data, and return its length; 0 after a failure."""
        if self.error is None:
            try:
                _write_all(self.file, bytes(data))
            except OSError as error:
                self.error = error
        return 0 if self.error else len(data)


def _write_all(file: BinaryIO | io.FileIO, data: bytes) -> None:
    """Write data to an unbuffered file, however often the system takes only a part of it."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
