"""The bytes of a tape: records become frames, and the sound of a second becomes one block.

    write(record) ──► payload with sound ──► open block of its direction ─┐ both at once, every
                                                                          ├─► frames
                  ──► anything else ──────────────────────────────────────┘ second

- Sound is stored once. What was played is stored as references to the received sound that it is,
  behind the block with that sound.
- The envelope of payloads with sound is stored once for all that share it, and repeated now and
  then, so that damage to one place does not concern the whole tape.
- Frames are in the order of their writing. The records in them have numbers, by which a reader
  restores the order in which they were made.

It has no thread and no file, so that both can be chosen by its owner. A record that must be in the
file before its block is complete is written by `plain_frame` meanwhile.
"""

from dataclasses import dataclass, field

from ..config import BYTES_PER_SAMPLE
from .bodies import (
    Piece,
    PlayedSound,
    Reference,
    SoundBlock,
    encode_block,
    encode_header,
    encode_json,
    encode_played,
    encode_template,
)
from .framing import MAGIC, Kind, encode_fields
from .payload_parts import Envelope, announced_rate, split_payload
from .records import (
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    TapeHeader,
    TapeRecord,
)
from .sound_codec import MAX_BLOCK_BYTES, Codec, encode_sound

BLOCK_S = 1.0
"""Time after which a block of sound is written, in seconds of the conversation. It is what damage
to one place costs. Starting the encoder takes as long as encoding 0.2 s: blocks of 0.08 s cost
three times the processor time, and make a tape 3 % larger."""

BLOCK_BYTES = MAX_BLOCK_BYTES // 2
"""Maximum size of the PCM of a block before it is written, in bytes. Answers come faster than they
play, but a second brings some ten seconds of them at most."""

BLOCK_PIECES = 1_000
"""Maximum number of payloads in a block."""

TEMPLATES = 256
"""Maximum number of envelopes that are remembered. An answer has one, and each stream has one for
the user's sound."""

TEMPLATE_REPEATED_BLOCKS = 5
"""Number of blocks after which the envelope of a block is written again: 5 s."""

RECEIVED_BYTES = 4 * 1024 * 1024
"""Maximum size of the received sound in which played sound is looked for, in bytes: 87 s at 24 kHz
that were received and not yet played."""

BEHIND_BYTES = 256 * 1024
"""Size of the received sound that is kept behind what was played last, in bytes."""


@dataclass(slots=True)
class _Track:
    """The sound of one direction."""

    kind: Kind
    rate_hz: int
    position: int = 0
    """Number of samples that were written."""
    pieces: list[tuple[int, int, int, int, int]] = field(
        default_factory=list[tuple[int, int, int, int, int]]
    )
    """The payloads of the open block: order, time at which it came in microseconds, number of the
    envelope, size of the PCM in bytes, stream."""
    pcm: bytearray = field(default_factory=bytearray)
    """The sound of the open block."""
    envelope: Envelope | None = None
    """The envelope of the payload before."""
    template: int = 0
    """Its number."""

    @property
    def is_full(self) -> bool:
        """True if the open block is to be written, however new it is."""
        return len(self.pcm) >= BLOCK_BYTES or len(self.pieces) >= BLOCK_PIECES


class BlockWriter:
    """The state of a tape that is written.

    Args:
        header: The header.
    """

    def __init__(self, header: TapeHeader) -> None:
        self._header = header
        self._order = 0
        self._time_us = 0
        self._opened_us = 0
        """Time at which the open blocks were opened, in microseconds."""
        self._sent = _Track(Kind.SENT_SOUND, header.input_hz)
        self._received = _Track(Kind.RECEIVED_SOUND, header.output_hz)
        self._played = _ReceivedSound()
        self._waiting: list[tuple[int, bytes]] = []
        """Order and body of what was played of the open block, which is written behind it."""
        self._templates: dict[Envelope, list[int]] = {}
        """Number of each envelope, and the number of blocks that are left until it is repeated."""
        self._template_count = 0

    def begin(self) -> bytes:
        """Return the beginning of the file. Called once, first."""
        body = encode_header(self._header)
        return MAGIC + encode_fields(Kind.HEADER, 0, 0, 0, body)

    def write(self, record: TapeRecord, order: int) -> bytes:
        """Return what a record adds to the file; nothing while its block is open.

        Args:
            record: The record.
            order: Its number among all records, from 0.
        """
        self._order = order
        self._time_us = max(self._time_us, microseconds(record))
        due = self.flush() if self._is_due() else b""
        return due + self._frames(record)

    def flush(self) -> bytes:
        """Return the open blocks as frames."""
        return self._close(self._sent) + self._close(self._received)

    def _is_due(self) -> bool:
        sent, received = self._sent, self._received
        if not sent.pieces and not received.pieces:
            return False
        is_old = self._time_us - self._opened_us >= BLOCK_S * 1e6
        return is_old or sent.is_full or received.is_full

    def _frames(self, record: TapeRecord) -> bytes:
        match record:
            case Sent(_, stream, payload):
                return self._payload(self._sent, Kind.SENT, stream, payload)
            case Received(_, stream, payload):
                return self._payload(self._received, Kind.RECEIVED, stream, payload)
            case Played():
                played = self._played_sound(record)
                body = encode_played(played)
                if any(part.end > self._received.position for part in played.references):
                    self._waiting.append((self._order, body))
                    return b""
                return self._frame(Kind.PLAYED, 0, body)
            case _:
                return plain_frame(record, self._order, self._time_us, self._received.rate_hz)

    def _frame(self, kind: Kind, stream: int, body: bytes) -> bytes:
        return encode_fields(kind, stream, self._order, self._time_us, body)

    def _payload(self, track: _Track, kind: Kind, stream: int, payload: bytes) -> bytes:
        parts = split_payload(payload, track.envelope)
        if parts is None:
            rate_hz, closed = announced_rate(payload), b""
            if rate_hz is not None and rate_hz != track.rate_hz:
                closed = self._close(track)
                track.rate_hz = rate_hz
            return closed + self._frame(kind, stream, payload)
        envelope, pcm = parts
        if not self._sent.pieces and not self._received.pieces:
            self._opened_us = self._time_us
        template = b""
        if envelope is not track.envelope or not track.pieces:
            track.envelope = envelope
            track.template, is_due = self._template(envelope)
            if is_due:
                template = self._frame(Kind.TEMPLATE, 0, encode_template(track.template, envelope))
        track.pieces.append(
            (self._order & 0xFFFFFFFF, self._time_us, track.template, len(pcm), min(stream, 0xFFFF))
        )
        track.pcm += pcm
        if track is self._received:
            self._played.add(pcm)
        return template

    def _template(self, envelope: Envelope) -> tuple[int, bool]:
        """Return the number of an envelope, and whether it is to be written now."""
        entry = self._templates.pop(envelope, None)
        if entry is None:
            if len(self._templates) >= TEMPLATES:
                del self._templates[next(iter(self._templates))]  # the one not used for longest
            self._template_count += 1
            entry = [self._template_count, 0]
        self._templates[envelope] = entry
        is_due = entry[1] <= 0
        if is_due:
            entry[1] = TEMPLATE_REPEATED_BLOCKS
        return entry[0], is_due

    def _close(self, track: _Track) -> bytes:
        """Return the open block of a track as frames; nothing if there is none."""
        if not track.pieces:
            return b""
        pcm = bytes(track.pcm)
        now_us = self._time_us
        pieces = [
            Piece(order, min(now_us - came_us, 0xFFFFFFFF), template, size, stream)
            for order, came_us, template, size, stream in track.pieces
        ]
        codec, stored = encode_sound(pcm, track.rate_hz)
        block = SoundBlock(codec, track.rate_hz, track.position, pieces, stored)
        first = pieces[0]
        frames = [encode_fields(track.kind, first.stream, first.order, now_us, encode_block(block))]
        track.position += len(pcm) // BYTES_PER_SAMPLE
        track.pieces, track.pcm = [], bytearray()
        used = {piece.template for piece in pieces}
        for entry in self._templates.values():
            entry[1] -= entry[0] in used
        if track is self._received:
            frames += [
                encode_fields(Kind.PLAYED, 0, order, now_us, body) for order, body in self._waiting
            ]
            self._waiting.clear()
        return b"".join(frames)

    def _played_sound(self, record: Played) -> PlayedSound:
        time_us, rate_hz = microseconds(record), self._received.rate_hz
        found = self._played.find(record.pcm)
        if found is not None:
            return PlayedSound(record.turn, time_us, rate_hz, [found])
        codec, stored = encode_sound(record.pcm, rate_hz)
        return PlayedSound(record.turn, time_us, rate_hz, (), codec, len(record.pcm), stored)


def plain_frame(record: TapeRecord, order: int, time_us: int, rate_hz: int) -> bytes:
    """Return a record as one frame of its own, which needs no block and no envelope.

    Args:
        record: The record.
        order: Its number among all records, from 0.
        time_us: The time at which it is written, in microseconds.
        rate_hz: Sample rate of played sound, in Hz.

    Raises:
        ValueError: Its time is no number.
        struct.error: A number in it is out of range.
    """
    match record:
        case Sent(_, stream, payload):
            return encode_fields(Kind.SENT, stream, order, time_us, payload)
        case Received(_, stream, payload):
            return encode_fields(Kind.RECEIVED, stream, order, time_us, payload)
        case StreamOpened(_, stream, model):
            body = encode_json({"model": model})
            return encode_fields(Kind.STREAM_OPENED, stream, order, time_us, body)
        case StreamEnded(_, stream, error):
            body = encode_json({"error": error})
            return encode_fields(Kind.STREAM_ENDED, stream, order, time_us, body)
        case SessionEvent(_, name, fields):
            body = encode_json({"name": name, "fields": fields})
            return encode_fields(Kind.EVENT, 0, order, time_us, body)
        case Played(_, turn, pcm):
            played = PlayedSound(turn, microseconds(record), rate_hz, (), Codec.RAW, len(pcm), pcm)
            return encode_fields(Kind.PLAYED, 0, order, time_us, encode_played(played))


def microseconds(record: TapeRecord) -> int:
    """Return the time of a record in microseconds, at least 0.

    Args:
        record: The record.
    """
    return max(0, round(record.t_s * 1e6))


class _ReceivedSound:
    """The newest received sound, in which played sound is looked for by its content.

    What is played is nearly always what follows in it, so that the search compares once.
    """

    def __init__(self) -> None:
        self._sound = bytearray()
        self._first = 0
        """Position of its first byte on the track."""
        self._next = 0
        """Position after what was found last, on the track, in bytes."""

    def add(self, pcm: bytes) -> None:
        """Append received sound, and forget what is too old."""
        self._sound += pcm
        excess = max(len(self._sound) - RECEIVED_BYTES, self._next - BEHIND_BYTES - self._first, 0)
        if excess >= BEHIND_BYTES:  # in large steps: each moves what is kept
            excess -= excess % BYTES_PER_SAMPLE
            del self._sound[:excess]
            self._first += excess

    def find(self, pcm: bytes) -> Reference | None:
        """Return where sound lies on the track; None if it is not there, or too long ago."""
        expected = max(0, self._next - self._first)
        at = self._find(pcm, expected)
        if at is None:
            at = self._find(pcm, 0)
        if at is None or not pcm:
            return None
        self._next = self._first + at + len(pcm)
        return Reference((self._first + at) // BYTES_PER_SAMPLE, len(pcm) // BYTES_PER_SAMPLE)

    def _find(self, pcm: bytes, begin: int) -> int | None:
        while (at := self._sound.find(pcm, begin)) >= 0:
            if at % BYTES_PER_SAMPLE == 0:
                return at
            begin = at + 1
        return None
