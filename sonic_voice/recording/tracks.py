"""The two sides of a tape as sound, on the time axis of the conversation.

Payloads have the time at which they were sent, which is later than the sound in them: it lay in
queues, and after a fault half a minute of it is sent again at once. But within a stream the sound
has no gaps, because the client sends silence where it has none. So the end of payload i is

    e[i] = min(t[i], e[i+1] - d[i+1])        from the last one back

with its time t and its length d: no later than it was sent, and no later than what follows begins.
Gaps of less than `JOINED_S` are closed, because they are jitter of the times.

What is silent in one stream never replaces sound of another: a stream that finishes its answer
after a renewal receives silence, while the next one receives the user's voice.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from ..config import BYTES_PER_SAMPLE
from .payload_parts import split_payload
from .records import Played, Sent, Tape

JOINED_S = 0.1
"""Maximum distance between two pieces of sound that are joined without a gap, in seconds."""

MAX_TRACK_S = 12 * 3600.0
"""Maximum length of a track, in seconds. What lies later is left out: times in a tape may be wrong,
and 12 hours are 2 GB."""


class PlacedSound(NamedTuple):
    """A piece of sound on the time axis."""

    first: int
    """Position of its first sample. It is negative for sound from before the first stream."""
    pcm: bytes


def user_pcm(tape: Tape) -> tuple[bytes, int]:
    """Return what the user said, as it was sent to the service, from the beginning of the tape.

    Args:
        tape: The tape.

    Returns:
        s16le mono PCM, and its sample rate in Hz.
    """
    rate_hz = tape.header.input_hz
    return _mixed(placed_user_sound(tape), rate_hz), rate_hz


def heard_pcm(tape: Tape) -> tuple[bytes, int]:
    """Return what the user heard, with silence between, from the beginning of the tape.

    Args:
        tape: The tape. It has no such sound if the sink was not recorded.

    Returns:
        s16le mono PCM, and its sample rate in Hz.
    """
    rate_hz = tape.header.output_hz
    pieces = [
        PlacedSound(round(record.t_s * rate_hz), record.pcm)
        for record in tape.records
        if isinstance(record, Played)
    ]
    return _mixed(_joined(pieces, rate_hz), rate_hz), rate_hz


def placed_user_sound(tape: Tape) -> Iterator[PlacedSound]:
    """Yield the sound of all streams with its places, one stream after the other.

    Args:
        tape: The tape.
    """
    rate_hz = tape.header.input_hz
    sent = [record for record in tape.records if isinstance(record, Sent)]
    sent.sort(key=lambda record: record.stream)
    for _, records in groupby(sent, key=lambda record: record.stream):
        pieces = [
            (record.t_s, parts[1])
            for record in records
            if (parts := split_payload(record.payload)) is not None
        ]
        placed: list[PlacedSound] = []
        next_first: float = float("inf")
        for t_s, pcm in reversed(pieces):
            end = min(round(t_s * rate_hz), next_first)
            next_first = end - len(pcm) // BYTES_PER_SAMPLE
            placed.append(PlacedSound(int(next_first), pcm))
        yield from _joined(reversed(placed), rate_hz)


def audio_began_s(tape: Tape) -> float:
    """Return the time at which the user's sound began, from which the service counts offsets.

    Args:
        tape: The tape.

    Returns:
        Seconds since the beginning of the tape; negative if it began earlier.
    """
    first = next(placed_user_sound(tape), None)
    return 0.0 if first is None else first.first / tape.header.input_hz


def _joined(pieces: Iterable[PlacedSound], rate_hz: int) -> Iterator[PlacedSound]:
    """Yield pieces, those that nearly touch without a gap between them."""
    cursor: int | None = None
    for first, pcm in pieces:
        begin = first
        if cursor is not None and abs(first - cursor) <= JOINED_S * rate_hz:
            begin = cursor
        yield PlacedSound(begin, pcm)
        cursor = begin + len(pcm) // BYTES_PER_SAMPLE


def _mixed(pieces: Iterable[PlacedSound], rate_hz: int) -> bytes:
    """Return pieces on one track, which is silent elsewhere."""
    track, limit = bytearray(), round(MAX_TRACK_S * rate_hz)
    for first, pcm in pieces:
        if first < 0:
            pcm = pcm[-first * BYTES_PER_SAMPLE :]
            first = 0
        if first > limit or not pcm:
            continue
        begin, end = first * BYTES_PER_SAMPLE, first * BYTES_PER_SAMPLE + len(pcm)
        if end > len(track):
            track += bytes(end - len(track))
        if pcm.strip(b"\0"):
            track[begin:end] = pcm
    return bytes(track)
