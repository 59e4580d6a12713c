"""The audio of one user, put together from what the client sent on several streams.

When a session moves to its next stream, the audio around the change is not simply continued:

    repeated    what the old stream had, and the next one receives again; it is left out here
    kept        what came while no stream was live, and is sent in one burst; it gets its own times
    lost        quiet audio that came then, and is sent on no stream; silence takes its place
    unsent      what was to be sent again on a stream that ended before; the next one receives it,
                and if there is none, silence takes its place
    retired     the silence that a replaced stream still receives; it is left out

What remains is on the time line that the service's clock follows, at any speed of the recording.
The session says how much it sends again (`Renewed.replayed_ms`): repeated and kept together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..config import BYTES_PER_SAMPLE

RING_S = 30.0
"""Maximum length of the audio that a session sends again, in seconds."""

PROBE_BYTES = 1_600
"""Size of the audio by which a repetition is found, in bytes."""

MAX_PROBES = 1_000
"""Maximum number of places that are tried for a repetition: silence is found nearly everywhere."""

CHUNK_S = 0.032
"""Length of the pieces into which audio is cut that was sent in one large payload, in seconds."""

MAX_CHUNKS = 4
"""Number of such pieces above which a payload is cut."""


LOST_S = 0.05
"""Length of lost audio from which on silence takes its place, in seconds: less is jitter."""

SEARCH_S = 0.1
"""Maximum distance of a repetition from the place at which the times of a tape have it, in seconds.
"""

MAX_LOST_S = 600.0
"""Maximum length of that silence, in seconds. Times on a tape may be wrong."""

REPORT_S = 1.0
"""Maximum time between the report of a change of streams and the first audio on the next one."""


@dataclass(frozen=True, slots=True)
class SentAudio:
    """Audio that was sent."""

    index: int
    """Index of its record on the tape."""
    at_s: float
    """Time at which it was sent, in seconds of the tape."""
    pcm: bytes
    """s16le mono PCM."""


@dataclass(frozen=True, slots=True)
class ReportedReplay:
    """The report of a session that it has moved to its next stream."""

    index: int
    """Index of its record on the tape."""
    at_s: float
    """Time of the report, in seconds of the tape."""
    replayed_s: float
    """Length of the audio that was sent again or was kept, in seconds."""


def merged_audio(
    streams: Iterable[Sequence[SentAudio]], replays: Sequence[ReportedReplay], rate_hz: int
) -> list[SentAudio]:
    """Return the audio of one user, in order.

    Args:
        streams: The audio of each stream, in the order of the streams.
        replays: What the session reported.
        rate_hz: Sample rate of the audio, in Hz.
    """
    speaking = [stream for stream in streams if stream]
    merged: list[SentAudio] = []
    unsent: list[SentAudio] = []
    ended_s = 0.0
    for number, stream in enumerate(speaking):
        until = speaking[number + 1][0].index if number + 1 < len(speaking) else None
        audio = [sent for sent in stream if until is None or sent.index < until]
        report = _report_of(audio[0], replays) if audio else None
        if not merged or not audio:
            merged += audio
        elif report is None:
            merged += unsent
            ring = _newest(merged, rate_hz)
            repeated = _repeated_by_sound(ring, _oldest(audio, len(ring)))
            merged, unsent = [*merged, *_without_beginning(audio, repeated)], []
        else:
            more = _continued(merged, ended_s, audio, report, rate_hz)
            merged, unsent, ended_s = [*merged, *more.sent], more.unsent, more.ended_s
            continue
        ended_s = merged[-1].at_s if merged else 0.0
    return merged + unsent


def in_usual_chunks(audio: Iterable[SentAudio], rate_hz: int) -> Iterator[SentAudio]:
    """Yield audio in chunks; those that are longer than any source delivers are cut.

    Args:
        audio: The audio.
        rate_hz: Sample rate, in Hz.
    """
    size = round(CHUNK_S * rate_hz) * BYTES_PER_SAMPLE
    for sent in audio:
        if len(sent.pcm) <= MAX_CHUNKS * size:
            yield sent
            continue
        for begin in range(0, len(sent.pcm), size):
            yield replace(sent, pcm=sent.pcm[begin : begin + size])


def with_silence_until(audio: list[SentAudio], at_s: float, rate_hz: int) -> list[SentAudio]:
    """Return audio with silence behind it, in the place of what no stream has received.

    Args:
        audio: The audio.
        at_s: Time at which the silence ends, in seconds of the tape.
        rate_hz: Sample rate, in Hz.
    """
    if not audio:
        return audio
    last = audio[-1]
    size = round(min(at_s - last.at_s, MAX_LOST_S) * rate_hz) * BYTES_PER_SAMPLE
    return audio + _placed(last.index, b"", max(0, size), last.at_s, at_s, rate_hz)[1]


def _report_of(first: SentAudio, replays: Sequence[ReportedReplay]) -> ReportedReplay | None:
    """Return the report that belongs to the first audio of a stream; None if there is none."""
    nearest = min(replays, key=lambda report: abs(report.index - first.index), default=None)
    if nearest is None or abs(nearest.at_s - first.at_s) > REPORT_S:
        return None
    return nearest


@dataclass(frozen=True, slots=True)
class _MoreAudio:
    """The part that the audio of a next stream adds to the audio of the streams before."""

    sent: list[SentAudio]
    unsent: list[SentAudio]
    """Silence in the place of what the stream should have been sent besides."""
    ended_s: float
    """Time at which the last of what was sent was spoken, in seconds of the tape."""


def _continued(
    earlier: Sequence[SentAudio],
    ended_s: float,
    audio: list[SentAudio],
    report: ReportedReplay,
    rate_hz: int,
) -> _MoreAudio:
    """Return what the audio of a next stream adds.

    Args:
        earlier: The audio of the streams before.
        ended_s: Time at which the last of it was spoken, in seconds of the tape.
        audio: The audio of the next stream.
        report: What the session reported of the change.
        rate_hz: Sample rate, in Hz.
    """
    ring = _newest(earlier, rate_hz)
    index, first_s = audio[0].index, audio[0].at_s
    bytes_per_s = rate_hz * BYTES_PER_SAMPLE
    told = round(report.replayed_s * rate_hz) * BYTES_PER_SAMPLE
    since = round((first_s - ended_s) * rate_hz) * BYTES_PER_SAMPLE
    repeated = _repeated_bytes(ring, _oldest(audio, len(ring)), told, since, rate_hz)
    audio = _without_beginning(audio, repeated)
    kept = max(0, told - repeated)
    # What was kept came up to the burst. Without it, the first chunk comes as it is spoken.
    until_s = first_s if kept else first_s - CHUNK_S
    lost_s = until_s - ended_s - kept / bytes_per_s
    lost = b""
    if lost_s > LOST_S:
        lost = bytes(round(min(lost_s, MAX_LOST_S) * rate_hz) * BYTES_PER_SAMPLE)
    burst = lost + _oldest(audio, kept)
    missing = len(lost) + kept - len(burst)
    sent, unsent = _placed(index, burst, missing, ended_s, until_s, rate_hz)
    rest = _without_beginning(audio, kept)
    if rest:
        ended_s = rest[-1].at_s
    elif burst:
        ended_s = max(ended_s, until_s - missing / bytes_per_s)
    return _MoreAudio(sent + rest, unsent, ended_s)


def _placed(
    index: int, pcm: bytes, missing: int, last_s: float, until_s: float, rate_hz: int
) -> tuple[list[SentAudio], list[SentAudio]]:
    """Return audio in chunks, each at the time at which it was spoken.

    Args:
        index: Index of the record in which it was sent.
        pcm: The audio.
        missing: Size of the silence behind it, in bytes.
        last_s: Time of the audio before, in seconds of the tape.
        until_s: Time of the end of both, in seconds of the tape.
        rate_hz: Sample rate, in Hz.

    Returns:
        The chunks of the audio, and those of the silence. Where one chunk has both, it comes in two
        parts at the same time.
    """
    chunk = round(CHUNK_S * rate_hz) * BYTES_PER_SAMPLE
    size, spoken = len(pcm) + missing, len(pcm)
    sent: list[SentAudio] = []
    unsent: list[SentAudio] = []
    # A shorter chunk is the first one: the source goes on in whole ones.
    for end in range(size % chunk or chunk, size + 1, chunk):
        begin = max(0, end - chunk)
        at_s = max(last_s, until_s - (size - end) / BYTES_PER_SAMPLE / rate_hz)
        if begin < spoken:
            sent.append(SentAudio(index, at_s, pcm[begin : min(end, spoken)]))
        if end > spoken:
            unsent.append(SentAudio(index, at_s, bytes(end - max(begin, spoken))))
    return sent, unsent


def _newest(audio: Sequence[SentAudio], rate_hz: int) -> bytes:
    size = round(RING_S * rate_hz) * BYTES_PER_SAMPLE
    chunks: list[bytes] = []
    while size > 0 and len(chunks) < len(audio):
        chunks.append(audio[-1 - len(chunks)].pcm)
        size -= len(chunks[-1])
    newest = b"".join(reversed(chunks))
    return newest[-size:] if size < 0 else newest


def _oldest(audio: Sequence[SentAudio], size: int) -> bytes:
    oldest = bytearray()
    for sent in audio:
        if len(oldest) >= size:
            break
        oldest += sent.pcm
    return bytes(oldest[:size])


def _repeated_bytes(ring: bytes, begin: bytes, told: int, since: int, rate_hz: int) -> int:
    """Return how much of what a session sent again repeats the newest audio before.

    The stream may have ended before all of it was sent: then `begin` is only a part of it, and the
    audio after that part comes again on the next stream, or never.

    Args:
        ring: The newest audio before.
        begin: The beginning of the stream's audio.
        told: Size of what the session sent again or had kept, in bytes. It was rounded to a
            millisecond.
        since: Size of the audio that came since the end of the ring, in bytes, by the times of the
            tape. They are exact to some chunks.
        rate_hz: Sample rate, in Hz.
    """
    if told == 0:
        return 0
    bytes_per_s = rate_hz * BYTES_PER_SAMPLE
    rounding, tolerance = bytes_per_s // 1000, round(SEARCH_S * rate_hz) * BYTES_PER_SAMPLE
    expected = told - since
    sizes: list[int] = []
    if since <= tolerance:
        sizes += _around(told, rounding, least=BYTES_PER_SAMPLE)
    sizes += _around(expected, tolerance, least=PROBE_BYTES)
    for size in sizes:
        if size <= len(ring) and _is_repeated(ring, begin, size):
            return size
    return _repeated_by_sound(ring, begin) or min(max(0, expected), len(ring))


def _around(size: int, tolerance: int, *, least: int) -> list[int]:
    """Return sizes near one, the nearest first: silence repeats itself at every distance.

    Args:
        size: The size, in bytes.
        tolerance: Maximum distance from it, in bytes.
        least: Minimum size, in bytes.
    """
    near = range(max(least, size - tolerance), size + tolerance + 1)
    return sorted((at for at in near if at % BYTES_PER_SAMPLE == 0), key=lambda at: abs(at - size))


def _repeated_by_sound(ring: bytes, begin: bytes) -> int:
    """Return how much of the beginning of a stream's audio is the end of the audio before."""
    probe = begin[:PROBE_BYTES]
    at = ring.find(probe)
    for _ in range(MAX_PROBES):
        if at < 0:
            break
        size = len(ring) - at
        if at % BYTES_PER_SAMPLE == 0 and ring[at:] == begin[:size]:
            return size
        at = ring.find(probe, at + 1)
    return 0


def _is_repeated(ring: bytes, begin: bytes, size: int) -> bool:
    """Return whether audio begins with the last `size` bytes of the ring, or with a part of them.

    Args:
        ring: The newest audio before.
        begin: The audio.
        size: The size, in bytes.
    """
    at, end = len(ring) - size, min(size, len(begin))
    return ring.startswith(begin[:PROBE_BYTES][:end], at) and ring[at : at + end] == begin[:end]


def _without_beginning(audio: Iterable[SentAudio], size: int) -> list[SentAudio]:
    rest: list[SentAudio] = []
    for sent in audio:
        dropped = min(size, len(sent.pcm))
        size -= dropped
        if dropped < len(sent.pcm):
            rest.append(replace(sent, pcm=sent.pcm[dropped:]))
    return rest
