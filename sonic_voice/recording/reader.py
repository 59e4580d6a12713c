"""The reading of a tape, which trusts nothing in it.

What can be read is read, and the rest is named with its offset. Nothing of a tape is executed, and
its size in memory is limited before anything is expanded.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..config import BYTES_PER_SAMPLE
from ..errors import TapeError
from .bodies import (
    BadBody,
    PlayedSound,
    SoundBlock,
    decode_block,
    decode_header,
    decode_json,
    decode_played,
    decode_template,
    members,
    text_member,
)
from .framing import MAGIC, Frame, Kind, scan
from .payload_parts import Envelope
from .records import (
    VERSION,
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
from .sound_codec import BadBlock, decode_sound


@dataclass(frozen=True, slots=True)
class TapeLimits:
    """The limits of what is read from a file that may come from anywhere."""

    file_bytes: int = 512 * 1024 * 1024
    """Maximum size of the file, in bytes: five hours of a conversation."""
    content_bytes: int = 2 * 1024 * 1024 * 1024
    """Maximum size of the payloads and of the played sound in memory, in bytes. A tape has 0.2 of
    that, as a rule."""
    records: int = 4_000_000
    """Maximum number of records."""


DEFAULT_LIMITS = TapeLimits()
"""The limits that apply unless others are given."""

_UNKNOWN_HEADER = TapeHeader(VERSION, "", {}, datetime.fromtimestamp(0, UTC), {})
"""The header of a tape whose header is damaged."""

_HINT = "Name a file that `--record` or `Recorder` has written."


def read_tape(path: Path, limits: TapeLimits = DEFAULT_LIMITS) -> Tape:
    """Read a tape, also one that is damaged, or is still being written. It blocks.

    Args:
        path: The file.
        limits: What is read at most.

    Returns:
        What could be read, with the damage that was found.

    Raises:
        TapeError: The file cannot be read, is no tape, or exceeds the limits.
    """
    try:
        if not path.is_file():
            missing = "is no file" if path.exists() else "does not exist"
            raise TapeError(f"{path} {missing}.", hint=_HINT)
        with path.open("rb") as file:
            data = file.read(limits.file_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TapeError(f"{path} cannot be read: {why}.") from error
    except MemoryError as error:
        raise TapeError(f"{path} is too large for the memory.") from error
    if len(data) > limits.file_bytes:
        raise TapeError(
            f"{path} is larger than {limits.file_bytes} bytes.",
            hint="Read it in a program, with larger `TapeLimits`.",
        )
    try:
        return decode_tape(data, limits)
    except TapeError as error:
        raise TapeError(f"{path}: {error.message}", hint=error.hint) from error


def decode_tape(data: bytes, limits: TapeLimits = DEFAULT_LIMITS) -> Tape:
    """Return the tape in the content of a file.

    Args:
        data: The whole content.
        limits: What is decoded at most.

    Raises:
        TapeError: It is no tape, or exceeds the limits.
    """
    if not data:
        raise TapeError("The file is empty.", hint=_HINT)
    decoder = _Decoder(limits)
    frames: list[Frame] = []
    for part in scan(data):
        if isinstance(part, Damage):
            decoder.damage.append(part)
        else:
            frames.append(part)
    if not frames and not data.startswith(MAGIC):
        raise TapeError("The file is no tape.", hint=_HINT)
    return decoder.decode(frames)


class _Decoder:
    """The state of one reading."""

    def __init__(self, limits: TapeLimits) -> None:
        self.damage: list[Damage] = []
        self._limits = limits
        self._header: TapeHeader | None = None
        self._records: dict[int, TapeRecord] = {}
        """The records by their order. One that is in the file twice is taken once."""
        self._templates: dict[int, Envelope] = {}
        self._sound = _TrackSound()
        self._content_bytes = 0

    def decode(self, frames: Iterable[Frame]) -> Tape:
        """Decode frames, and return the tape."""
        later: list[Frame] = []
        for frame in frames:  # an envelope may come after a block if its first copy is damaged
            if frame.kind == Kind.TEMPLATE:
                self._attempt(frame, self._read_template)
            else:
                later.append(frame)
        played = [frame for frame in later if frame.kind == Kind.PLAYED]
        for frame in later:
            if frame.kind != Kind.PLAYED:
                self._attempt(frame, self._read)
        for frame in played:  # they refer to sound
            self._attempt(frame, self._read_played)
        orders = sorted(self._records)
        self.damage.sort(key=lambda damage: damage.offset)
        return Tape(
            self._header or _UNKNOWN_HEADER,
            [self._records[order] for order in orders],
            tuple(self.damage),
            missing=orders[-1] + 1 - len(orders) if orders else 0,
        )

    def _attempt(self, frame: Frame, read: Callable[[Frame], None]) -> None:
        try:
            read(frame)
        except (BadBody, BadBlock) as error:
            self.damage.append(Damage(frame.offset, frame.length, str(error)))

    def _read_template(self, frame: Frame) -> None:
        number, envelope = decode_template(frame.body)
        self._templates.setdefault(number, envelope)

    def _read(self, frame: Frame) -> None:
        t_s = frame.time_us / 1e6
        match frame.kind:
            case Kind.HEADER if self._header is None:
                self._header = decode_header(frame.body)
            case Kind.SENT:
                self._add(frame.order, Sent(t_s, frame.stream, frame.body), len(frame.body))
            case Kind.RECEIVED:
                self._add(frame.order, Received(t_s, frame.stream, frame.body), len(frame.body))
            case Kind.STREAM_OPENED:
                model = text_member(decode_json(frame.body), "model")
                self._add(frame.order, StreamOpened(t_s, frame.stream, model))
            case Kind.STREAM_ENDED:
                error = text_member(decode_json(frame.body), "error")
                self._add(frame.order, StreamEnded(t_s, frame.stream, error))
            case Kind.EVENT:
                body = decode_json(frame.body)
                event = SessionEvent(t_s, text_member(body, "name"), members(body.get("fields")))
                self._add(frame.order, event, len(frame.body))
            case Kind.SENT_SOUND | Kind.RECEIVED_SOUND:
                self._read_block(frame)
            case _:
                raise BadBody(f"a record of the kind {frame.kind} is not known here")

    def _read_block(self, frame: Frame) -> None:
        block = decode_block(frame.body)
        self._expand(block.size)
        pcm = decode_sound(block.codec, block.stored, block.size)
        received = frame.kind == Kind.RECEIVED_SOUND
        if received:
            self._sound.add(block.position, pcm)
        make = Received if received else Sent
        without_envelope = 0
        for t_s, stream, order, envelope, part in self._pieces(frame, block, pcm):
            if envelope is None:
                without_envelope += 1
                continue
            self._expand(envelope.size + (len(part) + 2) // 3 * 4)
            self._add(order, make(t_s, stream, envelope.payload(part)))
        if without_envelope:
            raise BadBody(f"the envelope of {without_envelope} payloads is missing")

    def _pieces(
        self, frame: Frame, block: SoundBlock, pcm: bytes
    ) -> Iterator[tuple[float, int, int, Envelope | None, bytes]]:
        begin = 0
        for piece in block.pieces:
            t_s = max(0, frame.time_us - piece.before_us) / 1e6
            part = pcm[begin : begin + piece.size]
            begin += piece.size
            yield t_s, piece.stream, piece.order, self._templates.get(piece.template), part

    def _read_played(self, frame: Frame) -> None:
        played = decode_played(frame.body)
        pcm = self._played_pcm(played)
        self._add(frame.order, Played(played.time_us / 1e6, played.turn, pcm))

    def _played_pcm(self, played: PlayedSound) -> bytes:
        if not played.references:
            self._expand(played.size)
            return decode_sound(played.codec, played.stored, played.size)
        self._expand(sum(part.samples for part in played.references) * BYTES_PER_SAMPLE)
        return b"".join(self._sound.part(part.position, part.samples) for part in played.references)

    def _add(self, order: int, record: TapeRecord, size: int = 0) -> None:
        self._expand(size)
        if len(self._records) >= self._limits.records:
            raise TapeError(f"The tape has more than {self._limits.records} records.")
        self._records.setdefault(order, record)

    def _expand(self, size: int) -> None:
        """Count bytes before they are made.

        Raises:
            TapeError: There are too many.
        """
        self._content_bytes += size
        if self._content_bytes > self._limits.content_bytes:
            raise TapeError(
                f"The tape expands to more than {self._limits.content_bytes} bytes.",
                hint="Read it in a program, with larger `TapeLimits`.",
            )


class _TrackSound:
    """The received sound by its position. What is missing is silent."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, bytes]] = []

    def add(self, position: int, pcm: bytes) -> None:
        """Add a block. One that is there already is not added twice.

        Raises:
            BadBody: It lies before the one that was added last. A search would take for ever.
        """
        begin = position * BYTES_PER_SAMPLE
        if self._blocks and begin < self._blocks[-1][0] + len(self._blocks[-1][1]):
            if self._blocks[self._first_after(begin)] == (begin, pcm):
                return
            raise BadBody("the sound lies before that of the block before it")
        if pcm:
            self._blocks.append((begin, pcm))

    def part(self, position: int, samples: int) -> bytes:
        """Return a part of the sound.

        Raises:
            BadBody: None of it was read.
        """
        begin, size = position * BYTES_PER_SAMPLE, samples * BYTES_PER_SAMPLE
        end, found = begin + size, False
        part = bytearray(size)
        at = self._first_after(begin)
        while at < len(self._blocks) and self._blocks[at][0] < end:
            first, pcm = self._blocks[at]
            low, high = max(begin, first), min(end, first + len(pcm))
            if low < high:
                part[low - begin : high - begin] = pcm[low - first : high - first]
                found = True
            at += 1
        if not found and size:
            raise BadBody("the played sound refers to sound that is missing")
        return bytes(part)

    def _first_after(self, begin: int) -> int:
        """Return the index of the first block that can reach beyond a position."""
        low, high = 0, len(self._blocks)
        while low < high:
            middle = (low + high) // 2
            first, pcm = self._blocks[middle]
            if first + len(pcm) <= begin:
                low = middle + 1
            else:
                high = middle
        return low
