"""The compression of blocks of sound: FLAC by libsndfile, silence, or samples as they are.

Each block is a whole FLAC file in memory, so that any decoder reads it. A second of speech has 0.6
to 0.68 of its raw size and takes 0.4 ms to make, 0.08 ms of which start the encoder. The fastest
level is used: others make 2 to 4 % less of it, for several times the time.
"""

import io
from enum import IntEnum
from typing import Any

from ..config import BYTES_PER_SAMPLE

MAX_BLOCK_BYTES = 4 * 1024 * 1024
"""Maximum size of the PCM of one block, in bytes. A reader refuses a block that expands to more."""


class Codec(IntEnum):
    """A way of storing the samples of a block."""

    RAW = 0
    """s16le PCM."""
    FLAC = 1
    """A whole FLAC file of one channel with 16 bits."""
    SILENCE = 2
    """Nothing: all samples are 0. A muted user sends such blocks, and a redacted tape has others
    hardly at all."""


class BadBlock(ValueError):
    """A block of sound that does not contain what its head says."""


def load_codec() -> None:
    """Load libsndfile, which takes 20 ms, so that the first block of a tape is not late."""
    _soundfile()


def encode_sound(pcm: bytes, rate_hz: int) -> tuple[Codec, bytes]:
    """Compress PCM if that makes it smaller.

    Args:
        pcm: s16le mono PCM.
        rate_hz: Its sample rate, in Hz.

    Returns:
        The codec, and the stored bytes. They are raw, too, where libsndfile is missing.
    """
    if not pcm.strip(b"\0"):
        return Codec.SILENCE, b""
    soundfile = _soundfile()
    if soundfile is None:
        return Codec.RAW, pcm
    output = io.BytesIO()
    try:
        with soundfile.SoundFile(
            output, "w", rate_hz, 1, "PCM_16", format="FLAC", compression_level=0.0
        ) as file:
            file.buffer_write(pcm, dtype="int16")
    except RuntimeError:  # libsndfile refuses the rate
        return Codec.RAW, pcm
    stored = output.getvalue()
    return (Codec.FLAC, stored) if len(stored) < len(pcm) else (Codec.RAW, pcm)


def decode_sound(codec: int, stored: bytes, size: int) -> bytes:
    """Return the PCM of a block.

    Args:
        codec: A `Codec`.
        stored: The stored bytes.
        size: Size of the PCM, in bytes, as the head of the block says. No more is decoded.

    Raises:
        BadBlock: The block contains something else, or the codec is unknown.
    """
    if size > MAX_BLOCK_BYTES or size % BYTES_PER_SAMPLE:
        raise BadBlock(f"a block of sound has {size} bytes")
    if codec == Codec.RAW:
        pcm = stored
    elif codec == Codec.SILENCE and not stored:
        pcm = bytes(size)
    elif codec == Codec.FLAC:
        pcm = _decode_flac(stored, size // BYTES_PER_SAMPLE)
    else:
        raise BadBlock(f"the sound has the unknown codec {codec}")
    if len(pcm) != size:
        raise BadBlock(f"a block of sound has {len(pcm)} bytes instead of {size}")
    return pcm


def _decode_flac(stored: bytes, samples: int) -> bytes:
    soundfile = _soundfile()
    if soundfile is None:
        raise BadBlock("FLAC cannot be read: the library libsndfile is missing")
    try:
        with soundfile.SoundFile(io.BytesIO(stored)) as file:
            if (file.format, file.subtype, file.channels) != ("FLAC", "PCM_16", 1):
                raise BadBlock("the sound is no FLAC of one channel with 16 bits")
            return bytes(file.buffer_read(samples + 1, dtype="int16"))
    except RuntimeError as error:  # soundfile.LibsndfileError is one
        raise BadBlock("the FLAC in the block cannot be decoded") from error


def _soundfile() -> Any:
    """Return the module `soundfile`; None where it or its library is missing."""
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there, the library is not
        return None
    return soundfile
