"""The contents of a tape: its header, its records in order, and the damage that was found in it.

All times are seconds since the beginning of the conversation, on its own clock. Service streams
are numbered from 1, in the order in which they were opened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..config import BYTES_PER_SAMPLE

VERSION = 1
"""Version of the format that is written. `FORMAT.md` says which changes raise it."""

INPUT_HZ = 16_000
"""Sample rate of the user's audio where a tape does not tell it, in Hz."""

OUTPUT_HZ = 24_000
"""Sample rate of the model's audio where a tape does not tell it, in Hz."""


@dataclass(frozen=True, slots=True)
class TapeHeader:
    """The first record of a tape: what the conversation was. It never has credentials."""

    version: int
    """Version of the format."""
    model: str
    """Id of the model."""
    config: Mapping[str, Any]
    """The `SessionConfig` as a JSON object; empty if it was not known."""
    began_at: datetime
    """Time at which the recording began, in UTC."""
    software: Mapping[str, str]
    """Versions of the packages that took part, by name."""
    redacted: bool = False
    """True if sound, words and ids were replaced by `redacted_tape`."""

    @property
    def input_hz(self) -> int:
        """Sample rate of the user's audio, in Hz."""
        return _rate(self.config, "input", INPUT_HZ)

    @property
    def output_hz(self) -> int:
        """Sample rate of the model's audio, in Hz."""
        return _rate(self.config, "output", OUTPUT_HZ)


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The beginning of an attempt to open a service stream."""

    t_s: float
    stream: int
    model: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A payload that the client sent."""

    t_s: float
    stream: int
    payload: bytes
    """The UTF-8 JSON of one input event, as it was given to `Stream.send`."""


@dataclass(frozen=True, slots=True)
class Received:
    """A payload that the service sent."""

    t_s: float
    stream: int
    payload: bytes
    """The UTF-8 JSON of one output event."""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The end of a service stream."""

    t_s: float
    stream: int
    error: str
    """Kind and message of the error, as `kind: message`; empty for a clean end."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """An event of the session, without its sound."""

    t_s: float
    name: str
    """Name of the class in `events`."""
    fields: Mapping[str, Any]
    """Its fields, as JSON values."""


@dataclass(frozen=True, slots=True)
class Played:
    """Sound that the sink really played."""

    t_s: float
    """Time at which its first sample was played."""
    turn: int
    pcm: bytes
    """s16le mono PCM at the rate of the model's audio."""


type TapeRecord = StreamOpened | Sent | Received | StreamEnded | SessionEvent | Played


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a file that could not be read."""

    offset: int
    """Position of its first byte in the file."""
    length: int
    """Its length, in bytes."""
    reason: str
    """The damage, in a sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class Tape:
    """A tape that was read, as far as it could be read."""

    header: TapeHeader
    records: Sequence[TapeRecord]
    """The records in the order in which they were made."""
    damage: tuple[Damage, ...] = ()
    """The parts of the file that could not be read, by offset."""
    missing: int = 0
    """Number of records that are missing between others, because of damage or a slow disk."""
    duration_s: float = field(init=False)
    """Time from the beginning to the end of the last record, in seconds."""

    def __post_init__(self) -> None:
        ends = (_end_s(record, self.header.output_hz) for record in self.records)
        object.__setattr__(self, "duration_s", max(ends, default=0.0))


def _end_s(record: TapeRecord, output_hz: int) -> float:
    if isinstance(record, Played):
        return record.t_s + len(record.pcm) / BYTES_PER_SAMPLE / output_hz
    return record.t_s


def _rate(config: Mapping[str, Any], name: str, default: int) -> int:
    match config.get(name):
        case {"rate_hz": int(rate_hz)} if 0 < rate_hz <= MAX_RATE_HZ:
            return rate_hz
        case _:
            return default


MAX_RATE_HZ = 192_000
"""Maximum sample rate that a tape may have, in Hz."""
