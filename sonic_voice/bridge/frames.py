"""The binary frames: sound, both ways, with nothing encoded.

    to the server   0x01 00 | pcm
    to the page     0x02 00 | epoch u16 | turn u32 | start u32 | pcm

Numbers are little-endian, pcm is s16le mono in the rate that `ready` names. Headers are a multiple
of two bytes long, so that a page can lay an `Int16Array` over the samples without copying them.

`epoch` counts flushes: nothing of an older epoch than the last `flush` may sound. `start` says how
many samples of the turn came before this frame.
"""

import struct
from dataclasses import dataclass

from ..config import BYTES_PER_SAMPLE
from .closing import BridgeRefusal, Close

VOICE = 1
"""Kind of a frame with the user's sound."""

ANSWER = 2
"""Kind of a frame with the answer's."""

FRAME_BYTES = 32 * 1024
"""The largest message either way: one second of 16 kHz sound, and a little."""

EPOCHS = 1 << 16
"""Epochs are counted modulo this; no two that close together are alive at once."""

_VOICE = struct.Struct("<BB")
_ANSWER = struct.Struct("<BBHII")


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """Sound for the page."""

    epoch: int
    turn: int
    start: int
    """Samples of `turn` before this frame."""
    pcm: bytes

    @property
    def samples(self) -> int:
        """How many samples the frame has."""
        return len(self.pcm) // BYTES_PER_SAMPLE

    @property
    def end(self) -> int:
        """Samples of `turn` up to the end of this frame."""
        return self.start + self.samples


def voice_frame(pcm: bytes) -> bytes:
    """The frame a page sends."""
    return _VOICE.pack(VOICE, 0) + pcm


def read_voice(frame: bytes) -> bytes:
    """The pcm of a page's frame. Raises `BridgeRefusal` for anything else."""
    if len(frame) > FRAME_BYTES:
        raise BridgeRefusal(Close.TOO_BIG)
    pcm = frame[_VOICE.size :]
    if frame[: _VOICE.size] != _VOICE.pack(VOICE, 0) or not pcm or len(pcm) % BYTES_PER_SAMPLE:
        raise BridgeRefusal(Close.BAD_FRAME)
    return pcm


def answer_frame(answer: AnswerFrame) -> bytes:
    """The frame the server sends."""
    header = _ANSWER.pack(ANSWER, 0, answer.epoch % EPOCHS, answer.turn, answer.start)
    return header + answer.pcm


def read_answer(frame: bytes) -> AnswerFrame:
    """What the server sent: for clients in Python. Raises `BridgeRefusal` for anything else."""
    pcm = frame[_ANSWER.size :]
    if len(frame) < _ANSWER.size or len(pcm) % BYTES_PER_SAMPLE or frame[:2] != b"\x02\x00":
        raise BridgeRefusal(Close.BAD_FRAME)
    _, _, epoch, turn, start = _ANSWER.unpack_from(frame)
    return AnswerFrame(epoch, turn, start, pcm)
