"""Error messages for sound files that cannot be read: kind, reason and next step.

A file's kind is told by its first bytes, not by its name: an MP3 that is named .wav is called an
MP3, and is not taken for raw samples.
"""

import shlex
from pathlib import Path

from ..errors import AudioError

STREAM = Path("the input")
"""Name, in messages, of a recording that comes from a pipe or a file object."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"ID3", "MP3"),
    (0, b"OggS", "Ogg"),
    (0, b"fLaC", "FLAC"),
    (4, b"ftyp", "MP4 or M4A"),
    (0, b"FORM", "AIFF"),
    (0, b"caff", "a Core Audio file"),
    (0, b"#!AMR", "AMR"),
    (0, b"ADIF", "AAC"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b".snd", "a Sun .au file"),
    (0, b"RF64", "RF64, a WAV for more than 4 GB"),
    (0, b"BW64", "BW64, a WAV for more than 4 GB"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (0, b"RIFX", "RIFX, a WAV with its bytes in the other order"),
    (8, b"AVI ", "AVI"),
)
"""Offset of a signature, the signature, and the kind of file that has it."""


def kind_of(head: bytes) -> str | None:
    """Return what kind of file begins with `head`, or None if its kind is unknown.

    Args:
        head: The first bytes of the file; 512 are enough.
    """
    kind = next((kind for at, mark, kind in _SIGNATURES if head[at:].startswith(mark)), None)
    return kind or _mpeg_kind(head)


def not_wav(path: Path, head: bytes) -> AudioError:
    """Return the error for a file that does not begin like a WAV file, and that nothing decodes.

    Args:
        path: The file's name.
        head: Its first bytes.
    """
    kind = kind_of(head)
    if kind is not None:
        return AudioError(
            f"{path} cannot be decoded here; it looks like {kind}.", hint=convert_hint(path)
        )
    if _is_text(head):
        return AudioError(
            f"{path} is not a WAV file; it looks like text.", hint="Name a recording."
        )
    return AudioError(
        f"{path} is not a WAV file, nor of a kind known here.",
        hint=f"If it holds bare 16-bit samples: {_convert(path, '-f s16le -ar 16000 -ac 1 ')}",
    )


def convert_hint(path: Path) -> str:
    """Return the hint with the command that converts the file at `path` to a plain WAV file."""
    return f"Convert it: {_convert(path)}"


def system_error(doing: str, path: Path, error: Exception) -> AudioError:
    """Return the `AudioError` for a failed call of the operating system.

    Args:
        doing: "Reading" or "Writing".
        path: The file.
        error: What the call raised.
    """
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return AudioError(
        f"{doing} {path} failed: {why}.", hint="Check the path, its rights, the disk."
    )


def _mpeg_kind(head: bytes) -> str | None:
    """Return "MP3" or "AAC" if `head` begins with a valid frame header of that kind.

    Both begin with 11 set bits, then two bits of version and two of layer: 01 is layer III, and
    layer 00 is the ADTS header of AAC, which has a twelfth set bit. Raw samples may begin with
    these bits by chance, so the fields that follow must have valid values, too.
    """
    if len(head) < 4 or head[0] != 0xFF:
        return None
    if head[1] & 0xE6 == 0xE2:
        version, bit_rate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
        return "MP3" if version != 1 and bit_rate != 15 and rate != 3 else None
    if head[1] & 0xF6 == 0xF0:
        return "AAC" if head[2] >> 2 & 15 <= 12 else None
    return None


def _is_text(head: bytes) -> bool:
    # The head may end inside a character of up to four bytes.
    text = head.decode("utf-8", "ignore")
    return len(text.encode()) >= len(head) - 3 and all(
        c.isprintable() or c in "\t\r\n" for c in text
    )


def _convert(path: Path, reading: str = "") -> str:
    """Return the command that makes a WAV file we read, under a name other than the file's own."""
    encoding = "-ac 1 -ar 16000 -c:a pcm_s16le"
    if path == STREAM:
        return f"ffmpeg {reading}-i - {encoding} -f wav -"
    made = path.with_suffix(".wav")
    if made == path:
        made = path.with_name(f"{path.stem}-pcm.wav")
    return f"ffmpeg {reading}-i {shlex.quote(str(path))} {encoding} {shlex.quote(str(made))}"
