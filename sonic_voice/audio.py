"""The two ends of a conversation's sound, and what stands between them and the samples.

`AudioSource` is where the user is heard, `AudioSink` where the answer is. Microphones, files and
browsers are implementations of these two; the conversation knows nothing else of them.

The service sends an answer several times faster than it is spoken, so seconds of it wait at the
listener's side. That is the `PlayoutBuffer`'s work: it gives out samples at the pace of whoever
pulls, forgets the rest at once when the user speaks over it, and is the one place that knows how
much of each turn was really heard: the transcript of an interrupted answer is cut by that clock.

Sound is cut with a ramp. A wave that stops between two samples is a step, and a step is a click;
over 5 ms of raised cosine it is neither heard nor felt as a delay.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from .config import BYTES_PER_SAMPLE, AudioFormat
from .errors import OrderError
from .pcm import from_pcm, samples_in, to_pcm

HEARD = AudioFormat(16_000)
"""What the service listens to, unless asked otherwise."""

SPOKEN = AudioFormat(24_000)
"""What the service speaks, unless asked otherwise."""

CAPACITY_S = 600.0
"""Ten minutes, more than an answer can last: 600 s x 24,000 Hz x 2 bytes = 28.8 MB when full."""

FADE_MS = 5.0
"""Long enough for no click, short enough to count as silence at once: 120 samples at 24 kHz."""

TURNS_REMEMBERED = 64
"""Turns whose played time is kept; a session of 8 minutes has fewer."""


class AudioSource(Protocol):
    """The user's side. One owner reads it; pcm is s16le mono at `format.rate_hz`."""

    format: AudioFormat

    async def read(self) -> bytes:
        """The next chunk, of any length above 0, at the source's pace.

        `b""`: the source is closed and nothing more will ever come. Cancelling loses nothing.
        """
        ...

    @property
    def done(self) -> bool:
        """Whether all that was to be said has been said, as at a file's end.

        Silence may go on flowing afterwards. A microphone is never done.
        """
        ...

    def now(self) -> float:
        """The source's clock in seconds.

        A file's is the audio delivered so far, so that a conversation run at any speed lives on
        the same time line; a microphone's is `time.monotonic()`.
        """
        ...

    async def aclose(self) -> None:
        """Give back the device or file; `read` returns `b""` from then on. May be repeated."""
        ...


class AudioSink(Protocol):
    """The listener's side. One owner plays; pcm is s16le mono at `format.rate_hz`."""

    format: AudioFormat

    def play(self, turn: int, pcm: bytes) -> None:
        """Append `pcm` of `turn`. Never blocks."""
        ...

    def flush(self) -> None:
        """Barge-in: only silence remains, after a fade of a few milliseconds."""
        ...

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has really sounded so far, in milliseconds."""
        ...

    @property
    def pending_s(self) -> float:
        """Seconds that have not sounded yet."""
        ...

    async def aclose(self) -> None:
        """Write what must be written, give back the device. May be repeated."""
        ...


@dataclass(frozen=True, slots=True)
class PlayoutStats:
    """What became of everything given to a `PlayoutBuffer`, and how often it fell behind."""

    played_s: float
    """Seconds that sounded, the fade of an interruption included."""
    flushed_s: float
    """Seconds that interruptions took away."""
    dropped_s: float
    """Seconds refused because the buffer was full."""
    underruns: int
    """Gaps that a listener heard inside a turn."""


@dataclass(slots=True)
class _Stretch:
    """Samples of one turn still to be pulled: `pcm` from byte `start` on."""

    turn: int
    pcm: bytes
    start: int = 0
    fading: bool = False


class PlayoutBuffer:
    """Between the reader that plays and the device thread that pulls.

    Holds `capacity_s` seconds. What comes when it is full is dropped, the newest first, and
    counted in `stats.dropped_s`: what was said earlier is never lost for what was said later.

    `flush` leaves only silence, but for the next `fade_ms` of a turn that is just sounding, which
    are ramped down. They count as played, all else that waited as flushed.

    An under-run is a gap inside a turn: the last sample pulled was of turn n, then silence had to
    be pulled, then turn n went on, and neither a flush nor another turn came between. It is
    counted when the turn goes on; running dry at a turn's end is therefore none. A turn that goes
    on after silence is ramped up over `fade_ms`. (The start of the gap clicks: nobody knew.)

    Any one thread may play and flush while any other pulls. A lock, not a bare deque: flush must
    take the queue, build the fade and keep the counts in one step as seen from the puller. It is
    held for a few microseconds, during which nothing is allocated but one chunk.
    """

    def __init__(
        self, format: AudioFormat, *, capacity_s: float = CAPACITY_S, fade_ms: float = FADE_MS
    ) -> None:
        self.format = format
        self._capacity = round(capacity_s * format.rate_hz)
        self._fade = round(fade_ms / 1000 * format.rate_hz)
        self._rise = 1 - _fall(self._fade)
        self._risen = self._fade  # position in _rise of the next sample; at its end: full level
        self._queue: deque[_Stretch] = deque()
        self._sounding: int | None = None  # turn of the last sample pulled; None: silence
        self._dry: int | None = None  # turn after which the silence began for want of samples
        self._played_by_turn: dict[int, int] = {}
        self._pending = self._played = self._flushed = self._dropped = self._underruns = 0
        self._lock = Lock()

    def play(self, turn: int, pcm: bytes) -> None:
        """Append `pcm` of `turn`. Raises `AudioError` if it ends inside a sample."""
        samples = samples_in(pcm)
        with self._lock:
            kept = min(samples, self._capacity - self._pending)
            self._dropped += samples - kept
            if kept:
                self._queue.append(_Stretch(turn, pcm[: kept * BYTES_PER_SAMPLE]))
                self._pending += kept

    def flush(self) -> None:
        """Forget what waits; what is sounding fades out. Flushing again changes nothing."""
        with self._lock:
            tail = self._tail()
            self._queue.clear()
            kept = 0
            if tail:
                self._queue.append(tail)
                kept = (len(tail.pcm) - tail.start) // BYTES_PER_SAMPLE
            else:
                self._sounding = None
            self._flushed += self._pending - kept
            self._pending = kept
            self._dry = None

    def pull(self, samples: int) -> bytes:
        """Exactly `samples` samples, silence where there is nothing. For the device's thread."""
        pieces: list[bytes | memoryview] = []
        with self._lock:
            while samples and self._queue:
                piece = self._next_piece(samples)
                pieces.append(piece)
                samples -= len(piece) // BYTES_PER_SAMPLE
            if samples and self._sounding is not None:
                self._dry, self._sounding = self._sounding, None
        pieces.append(bytes(samples * BYTES_PER_SAMPLE))
        return b"".join(pieces)

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has been pulled, in whole milliseconds, gaps not counted.

        Right after a flush too. 0 for a turn unheard, or older than the last 64 heard.
        """
        with self._lock:
            return self._played_by_turn.get(turn, 0) * 1000 // self.format.rate_hz

    @property
    def pending_samples(self) -> int:
        """Samples not pulled yet, those of a fade included."""
        with self._lock:
            return self._pending

    @property
    def pending_s(self) -> float:
        """Seconds not pulled yet, those of a fade included."""
        return self.pending_samples / self.format.rate_hz

    @property
    def stats(self) -> PlayoutStats:
        """The counts so far. Played + flushed + dropped + pending is all that was given."""
        rate_hz = self.format.rate_hz
        with self._lock:
            return PlayoutStats(
                played_s=self._played / rate_hz,
                flushed_s=self._flushed / rate_hz,
                dropped_s=self._dropped / rate_hz,
                underruns=self._underruns,
            )

    def _next_piece(self, most: int) -> bytes | memoryview:
        first = self._queue[0]
        if self._sounding is None:
            self._start(first.turn)
        piece = memoryview(first.pcm)[first.start : first.start + most * BYTES_PER_SAMPLE]
        first.start += len(piece)
        samples = len(piece) // BYTES_PER_SAMPLE
        self._sounding = first.turn
        if first.start == len(first.pcm):
            self._queue.popleft()
            if first.fading:
                self._sounding = None
        self._count(first.turn, samples)
        return self._ramped_up(piece, samples) if self._risen < self._fade else piece

    def _start(self, turn: int) -> None:
        """`turn` is about to sound after silence."""
        if turn == self._dry:
            self._underruns += 1
        self._dry = None
        self._risen = 0 if turn in self._played_by_turn else self._fade

    def _count(self, turn: int, samples: int) -> None:
        self._pending -= samples
        self._played += samples
        played = self._played_by_turn
        if turn not in played and len(played) >= TURNS_REMEMBERED:
            del played[next(iter(played))]
        played[turn] = played.get(turn, 0) + samples

    def _ramped_up(self, piece: memoryview, samples: int) -> bytes:
        gains = np.ones(samples, np.float32)
        ramp = self._rise[self._risen : self._risen + samples]
        gains[: len(ramp)] = ramp
        self._risen += len(ramp)
        return to_pcm(from_pcm(piece) * gains)

    def _tail(self) -> _Stretch | None:
        """What may still sound after a flush: the next few ms of a turn that is sounding."""
        if not self._queue or self._queue[0].fading:
            return self._queue[0] if self._queue else None  # a fade under way goes on
        pcm = b""
        for stretch in self._queue:
            missing = self._fade * BYTES_PER_SAMPLE - len(pcm)
            if not missing or stretch.turn != self._sounding:
                break
            pcm += stretch.pcm[stretch.start : stretch.start + missing]
        if not pcm or self._sounding is None:
            return None
        faded = to_pcm(from_pcm(pcm) * _fall(len(pcm) // BYTES_PER_SAMPLE))
        return _Stretch(self._sounding, faded, fading=True)


class VirtualSpeaker:
    """A loudspeaker that exists only in time: it has sounded as far as `now()` says.

    There is no thread and no timer: each call first pulls what has become due since the last
    one, so the outcome depends on `now` alone and is the same at any speed. Time zero is `now()`
    at construction. `sound` is given every sample in order, silences included.
    """

    def __init__(
        self, format: AudioFormat, *, now: Callable[[], float], sound: Callable[[bytes], None]
    ) -> None:
        self.format = format
        self._buffer = PlayoutBuffer(format)
        self._now = now
        self._sound = sound
        self._zero_s = now()
        self._sounded = 0
        self._closed = False

    def play(self, turn: int, pcm: bytes) -> None:
        """Append `pcm` of `turn`. Raises `AudioError` on half a sample, `OrderError` if closed."""
        if self._closed:
            raise OrderError("The sink is closed.", hint="Play before aclose().")
        self._catch_up()
        self._buffer.play(turn, pcm)

    def flush(self) -> None:
        """Silence what is sounding, after a fade, and forget what waits."""
        self._catch_up()
        self._buffer.flush()

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has sounded, in milliseconds. See `PlayoutBuffer.played_ms`."""
        self._catch_up()
        return self._buffer.played_ms(turn)

    @property
    def pending_s(self) -> float:
        """Seconds that have not sounded yet."""
        self._catch_up()
        return self._buffer.pending_s

    @property
    def stats(self) -> PlayoutStats:
        """The counts so far."""
        self._catch_up()
        return self._buffer.stats

    async def aclose(self, *, drain: bool = True) -> None:
        """Stop the clock. What waits is first heard to its end, or with `drain` False flushed.

        Never suspends. May be repeated.
        """
        if self._closed:
            return
        self._catch_up()
        self._closed = True
        if not drain:
            self._buffer.flush()
        self._sound_until(self._sounded + self._buffer.pending_samples)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose(drain=kind is None)

    def _catch_up(self) -> None:
        if not self._closed:
            self._sound_until(round((self._now() - self._zero_s) * self.format.rate_hz))

    def _sound_until(self, position: int) -> None:
        while self._sounded < position:
            step = min(position - self._sounded, self.format.rate_hz)  # long pauses: by the second
            self._sounded += step
            self._sound(self._buffer.pull(step))


class NullSink(VirtualSpeaker):
    """A listener who keeps nothing but time: where no output is wanted, and in tests."""

    def __init__(self, format: AudioFormat = SPOKEN, *, now: Callable[[], float]) -> None:
        super().__init__(format, now=now, sound=_discard)


def _fall(samples: int) -> NDArray[np.float32]:
    """Gains from just below 1 to 0: half a period of a raised cosine."""
    steps = np.arange(1, samples + 1, dtype=np.float32)
    return (0.5 + 0.5 * np.cos(np.pi * steps / max(samples, 1))).astype(np.float32)


def _discard(pcm: bytes) -> None:
    """Nobody listens."""
