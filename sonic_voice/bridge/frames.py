"""The binary frames: uncompressed sound in both directions.

    to the server   0x01 00 | pcm
    to the page     0x02 00 | epoch u16 | turn u32 | start u32 | pcm

Numbers are little-endian; pcm is s16le mono in the rate that `ready` names. The length of a header
is a multiple of two bytes, so that a page can create an `Int16Array` over the samples without
copying them.

`epoch` counts flushes: sound of an older epoch than that of the last `flush` must not be played.
`start` is the number of samples of the turn before this frame.
"""

import struct
from dataclasses import dataclass

from ..config import BYTES_PER_SAMPLE
from .closing import BridgeRefusal, Close

VOICE = 1
"""First byte of a frame with the user's sound."""

ANSWER = 2
"""First byte of a frame with sound of an answer."""

FRAME_BYTES = 32 * 1024
"""Maximum size of a message in either direction, in bytes: a little more than one second of 16 kHz
sound."""

ANSWER_BYTES = 24_000
"""Maximum size of the sound of one frame to the page, in bytes: half a second at 24 kHz. With its
header a frame then stays below the 32 KB at which AgentCore Runtime closes a connection, whatever
the size of the service's chunks."""

FRAGMENT_BYTES = 24_000
"""Maximum size of a WebSocket frame to the page, in bytes, for the same reason. A longer message,
such as one with the result of a tool, is sent in several frames."""

EPOCHS = 1 << 16
"""Modulus of epochs. Epochs in use at the same time never differ by that much."""

_VOICE_HEADER = bytes((VOICE, 0))
_ANSWER = struct.Struct("<BBHII")


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """A frame with sound of an answer, for the page."""

    epoch: int
    """Number of flushes before this frame, modulo `EPOCHS`."""
    turn: int
    """Number of the turn."""
    start: int
    """Samples of `turn` before this frame."""
    pcm: bytes
    """Sound, s16le mono."""

    @property
    def samples(self) -> int:
        """Number of samples in this frame."""
        return len(self.pcm) // BYTES_PER_SAMPLE

    @property
    def end(self) -> int:
        """Samples of `turn` up to the end of this frame."""
        return self.start + self.samples


def voice_frame(pcm: bytes) -> bytes:
    """Encode a frame as a page sends it.

    Args:
        pcm: The user's sound, s16le mono.
    """
    return _VOICE_HEADER + pcm


def read_voice(frame: bytes) -> bytes:
    """Decode a frame of a page.

    Args:
        frame: The binary message.

    Returns:
        The user's sound, s16le mono; at least one sample.

    Raises:
        BridgeRefusal: `TOO_BIG` or `BAD_FRAME`.
    """
    if len(frame) > FRAME_BYTES:
        raise BridgeRefusal(Close.TOO_BIG)
    pcm = frame[len(_VOICE_HEADER) :]
    if not frame.startswith(_VOICE_HEADER) or not pcm or len(pcm) % BYTES_PER_SAMPLE:
        raise BridgeRefusal(Close.BAD_FRAME)
    return pcm


def answer_frame(answer: AnswerFrame) -> bytes:
    """Encode a frame as the server sends it.

    Args:
        answer: The frame; its epoch is taken modulo `EPOCHS`.
    """
    header = _ANSWER.pack(ANSWER, 0, answer.epoch % EPOCHS, answer.turn, answer.start)
    return header + answer.pcm


def fragments(text: str) -> str | list[str]:
    """Split a message into the texts of its WebSocket frames.

    Args:
        text: A text message.

    Returns:
        The message itself, or texts of at most `FRAGMENT_BYTES` each that are parts of it.
    """
    if len(text) <= FRAGMENT_BYTES and text.isascii():
        return text
    step = FRAGMENT_BYTES if text.isascii() else FRAGMENT_BYTES // 4
    parts = [text[start : start + step] for start in range(0, len(text), step)]
    return parts if len(parts) > 1 else text


def read_answer(frame: bytes) -> AnswerFrame:
    """Decode a frame of the server. This is for clients in Python.

    Args:
        frame: The binary message.

    Raises:
        BridgeRefusal: `BAD_FRAME`.
    """
    pcm = frame[_ANSWER.size :]
    if len(frame) < _ANSWER.size or len(pcm) % BYTES_PER_SAMPLE or frame[:2] != b"\x02\x00":
        raise BridgeRefusal(Close.BAD_FRAME)
    _, _, epoch, turn, start = _ANSWER.unpack_from(frame)
    return AnswerFrame(epoch, turn, start, pcm)
