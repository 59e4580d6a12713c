"""Tapes: conversations as files, which can be replayed, inspected and published.

    Recorder ──► TapeWriter ──► NAME.tape ──► read_tape ──► Tape ──► user_pcm, heard_pcm, tape_lines

`FORMAT.md` describes the file.
"""

from ..errors import TapeError
from .folder import MAX_TAPE_BYTES, TapeFolder
from .lines import TapeLine, tape_lines
from .reader import DEFAULT_LIMITS, TapeLimits, decode_tape, read_tape
from .recorder import Recorder
from .records import (
    Damage,
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeHeader,
    TapeRecord,
)
from .redaction import redacted_tape
from .tracks import heard_pcm, user_pcm
from .writer import TapeWriter, write_tape

__all__ = [
    "DEFAULT_LIMITS",
    "MAX_TAPE_BYTES",
    "Damage",
    "Played",
    "Received",
    "Recorder",
    "Sent",
    "SessionEvent",
    "StreamEnded",
    "StreamOpened",
    "Tape",
    "TapeError",
    "TapeFolder",
    "TapeHeader",
    "TapeLimits",
    "TapeLine",
    "TapeRecord",
    "TapeWriter",
    "decode_tape",
    "heard_pcm",
    "read_tape",
    "redacted_tape",
    "tape_lines",
    "user_pcm",
    "write_tape",
]
