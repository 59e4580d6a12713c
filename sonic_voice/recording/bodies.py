"""The bodies of a tape's records: what is between the head of a record and the next record.

Little-endian structures for sound, UTF-8 JSON for the rest. The structures are described in
`FORMAT.md`; each has an encoder here beside its decoder.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from .payload_parts import MAX_ENVELOPE_BYTES, Envelope
from .records import MAX_RATE_HZ, TapeHeader

_TEMPLATE = struct.Struct("<II")
"""Number of the envelope, and size of its prefix in bytes."""

_BLOCK = struct.Struct("<BBHIQ")
"""Codec, reserved, number of pieces, rate in Hz, position of the first sample on its track."""

_PIECE = struct.Struct("<IIIIHH")
"""Order, time before that of the record in microseconds, number of the envelope, size of the PCM
in bytes, stream, reserved."""

_PLAYED = struct.Struct("<BBHIIQ")
"""Form, codec, number of references, turn, rate in Hz, time of the first sample in microseconds."""

_REFERENCE = struct.Struct("<QI")
"""Position of the first sample on the track of the received sound, and number of samples."""


class BadBody(ValueError):
    """A body that is not what its kind says."""


class Piece(NamedTuple):
    """A payload of a block of sound."""

    order: int
    before_us: int
    """Time from its coming to the writing of the record, in microseconds."""
    template: int
    """Number of its envelope."""
    size: int
    """Size of its PCM, in bytes."""
    stream: int


@dataclass(frozen=True, slots=True)
class SoundBlock:
    """Up to a second of payloads with sound, in one direction."""

    codec: int
    rate_hz: int
    position: int
    """Number of samples on the track before its first one."""
    pieces: Sequence[Piece]
    stored: bytes
    """The sound, as the codec stores it."""

    @property
    def size(self) -> int:
        """Size of its PCM, in bytes."""
        return sum(piece.size for piece in self.pieces)


class Reference(NamedTuple):
    """A part of the received sound."""

    position: int
    """Number of samples on the track before its first one."""
    samples: int

    @property
    def end(self) -> int:
        """Number of samples on the track up to its last one."""
        return self.position + self.samples


@dataclass(frozen=True, slots=True)
class PlayedSound:
    """Sound that was played: references to received sound, or samples of its own."""

    turn: int
    time_us: int
    rate_hz: int
    references: Sequence[Reference] = ()
    codec: int = 0
    size: int = 0
    """Size of its own samples, in bytes, if it has no references."""
    stored: bytes = b""


def encode_template(number: int, envelope: Envelope) -> bytes:
    """Return the body of a TEMPLATE record."""
    return _TEMPLATE.pack(number, len(envelope.prefix)) + envelope.prefix + envelope.suffix


def decode_template(body: bytes) -> tuple[int, Envelope]:
    """Return the number and the envelope of a TEMPLATE record.

    Raises:
        BadBody: The body is something else.
    """
    number, split = _unpack(_TEMPLATE, body, 0)
    both = body[_TEMPLATE.size :]
    if split > len(both) or len(both) > MAX_ENVELOPE_BYTES:
        raise BadBody("the envelope has a wrong size")
    return number, Envelope(both[:split], both[split:])


def encode_block(block: SoundBlock) -> bytes:
    """Return the body of a SENT_SOUND or RECEIVED_SOUND record."""
    head = _BLOCK.pack(block.codec, 0, len(block.pieces), block.rate_hz, block.position)
    pieces = b"".join(
        _PIECE.pack(p.order, p.before_us, p.template, p.size, p.stream, 0) for p in block.pieces
    )
    return head + pieces + block.stored


def decode_block(body: bytes) -> SoundBlock:
    """Return the block of a SENT_SOUND or RECEIVED_SOUND record.

    Raises:
        BadBody: The body is something else.
    """
    codec, _, count, rate_hz, position = _unpack(_BLOCK, body, 0)
    begin, end = _BLOCK.size, _BLOCK.size + count * _PIECE.size
    if end > len(body):
        raise BadBody("the block has fewer payloads than its head says")
    pieces = [Piece(*fields[:5]) for fields in _PIECE.iter_unpack(body[begin:end])]
    return SoundBlock(codec, _rate(rate_hz), position, pieces, body[end:])


def encode_played(played: PlayedSound) -> bytes:
    """Return the body of a PLAYED record."""
    references = b"".join(_REFERENCE.pack(*reference) for reference in played.references)
    own = struct.pack("<I", played.size) + played.stored
    head = _PLAYED.pack(
        1 if played.references else 0,
        played.codec,
        len(played.references),
        played.turn,
        played.rate_hz,
        played.time_us,
    )
    return head + (references if played.references else own)


def decode_played(body: bytes) -> PlayedSound:
    """Return what a PLAYED record says.

    Raises:
        BadBody: The body is something else.
    """
    form, codec, count, turn, rate_hz, time_us = _unpack(_PLAYED, body, 0)
    rest = body[_PLAYED.size :]
    if form == 1:
        if len(rest) != count * _REFERENCE.size:
            raise BadBody("the record of played sound has a wrong size")
        references = [Reference(*fields) for fields in _REFERENCE.iter_unpack(rest)]
        return PlayedSound(turn, time_us, _rate(rate_hz), references)
    if form != 0 or len(rest) < 4:
        raise BadBody("the record of played sound has an unknown form")
    (size,) = struct.unpack_from("<I", rest)
    return PlayedSound(turn, time_us, _rate(rate_hz), (), codec, size, rest[4:])


def encode_header(header: TapeHeader) -> bytes:
    """Return the body of the HEADER record."""
    return encode_json(
        {
            "version": header.version,
            "model": header.model,
            "began_at": header.began_at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "software": dict(header.software),
            "redacted": header.redacted,
            "config": header.config,
        }
    )


def decode_header(body: bytes) -> TapeHeader:
    """Return the header of a HEADER record.

    Raises:
        BadBody: The body is something else.
    """
    match decode_json(body):
        case {"version": int(version), "model": str(model), "began_at": str(began)} as facts:
            pass
        case _:
            raise BadBody("the header has another form")
    try:
        began_at = datetime.fromisoformat(began).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadBody("the header has no valid date") from error
    software = members(facts.get("software"))
    return TapeHeader(
        version,
        model,
        members(facts.get("config")),
        began_at,
        {name: str(value) for name, value in software.items()},
        facts.get("redacted") is True,
    )


def encode_json(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object as compact UTF-8.

    What JSON cannot express becomes a string, and so does each number that is none.

    Args:
        value: The object.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "replace")


def decode_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises:
        BadBody: The body is something else.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadBody("the record is not JSON") from error
    if not isinstance(value, dict):
        raise BadBody("the record is no JSON object")
    return cast(dict[str, Any], value)


def text_member(members: Mapping[str, Any], name: str) -> str:
    """Return a string of a JSON object.

    Raises:
        BadBody: It is missing, or no string.
    """
    value = members.get(name)
    if not isinstance(value, str):
        raise BadBody(f"the record has no {name}")
    return value


def members(value: Any) -> dict[str, Any]:
    """Return the members of a JSON object; none if it is something else."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _unpack(structure: struct.Struct, body: bytes, offset: int) -> tuple[Any, ...]:
    try:
        return structure.unpack_from(body, offset)
    except struct.error as error:
        raise BadBody("the record is too short") from error


def _rate(rate_hz: int) -> int:
    if not 0 < rate_hz <= MAX_RATE_HZ:
        raise BadBody(f"the sound has a rate of {rate_hz} Hz")
    return rate_hz
