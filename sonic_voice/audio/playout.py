"""What waits to be heard: samples queued by turn, pulled at the pace of a device.

The service sends an answer several times faster than it is spoken, so seconds of it wait at the
listener's side. The `PlayoutBuffer` gives out samples at the pace of whoever pulls, forgets the
rest at once when the user speaks over it, and is the one place that knows how much of each turn
was really heard: the transcript of an interrupted answer is cut by that clock.

Nothing here reads a clock: time is what was pulled.

Sound is cut with a ramp. A wave that stops between two samples is a step, and a step is a click;
over 5 ms of raised cosine it is neither heard nor felt as a delay.
"""

from collections import deque
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..config import BYTES_PER_SAMPLE, AudioFormat
from .pcm import from_pcm, samples_in, to_pcm

CAPACITY_S = 600.0
"""Ten minutes, more than an answer can last: 600 s x 48,000 Hz x 2 bytes = 57.6 MB when full."""

FADE_MS = 5.0
"""Long enough for no click, short enough to count as silence at once: 120 samples at 24 kHz."""

TURNS_REMEMBERED = 64
"""Turns whose played time is kept; a session of 8 minutes has fewer."""

RECENT_S = 2.0
"""How far back it is known what was pulled; a device that holds more is none to talk with."""

PREBUFFER_LEAST_MS = 40.0
"""One chunk of the service (reference 5: 40 to 200 ms, sent 3 to 10 times faster than it sounds):
the next is there before this one has sounded, so a turn on a good network begins at once."""

PREBUFFER_MOST_MS = 320.0
"""Three doublings. A network that needs more is not one to wait for at each turn's beginning."""


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
    prebuffer_ms: float
    """How much has to wait before a turn sounds, as the jitter met so far demands."""


class Prebuffer:
    """How much sound must wait before a turn begins or goes on, in milliseconds.

    It follows what happens, not what might: doubled by each gap inside a turn, up to `most_ms`, a
    quarter less, down to `least_ms`, with each turn that had none. After the worst it takes eight
    good turns to come back. `Prebuffer(0, 0)` never waits.
    """

    def __init__(
        self, least_ms: float = PREBUFFER_LEAST_MS, most_ms: float = PREBUFFER_MOST_MS
    ) -> None:
        self.ms = self._least_ms = least_ms
        self._most_ms = most_ms
        self._ran_dry = False

    def run_dry(self) -> None:
        """A gap was heard inside a turn."""
        self.ms = min(self._most_ms, 2 * self.ms)
        self._ran_dry = True

    def new_turn(self) -> None:
        """A turn begins; the one before it had its chance to run dry."""
        if not self._ran_dry:
            self.ms = max(self._least_ms, 0.75 * self.ms)
        self._ran_dry = False


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

    After silence a turn sounds when `prebuffer` says that enough of it waits, or when as much
    silence was pulled since it came: a short "Yes." is not held back for more. Without a
    `prebuffer` it sounds at once.

    `flush` leaves only silence, but for the next `fade_ms` of a turn that is just sounding, which
    are ramped down. They count as played, all else that waited as flushed.

    An under-run is a gap inside a turn: the last sample pulled was of turn n, then silence had to
    be pulled, then more of turn n was there, and neither a flush nor another turn came between.
    Running dry at a turn's end is therefore none. A turn that goes on after silence is ramped up
    over `fade_ms`. (The start of the gap clicks: nobody knew.)

    Any one thread may play, flush and duck while any other pulls. A lock, not a bare deque: flush
    must take the queue, build the fade and keep the counts in one step as seen from the puller. It
    is held for a few microseconds, during which nothing is allocated but one chunk.
    """

    def __init__(
        self,
        format: AudioFormat,
        *,
        capacity_s: float = CAPACITY_S,
        fade_ms: float = FADE_MS,
        prebuffer: Prebuffer | None = None,
    ) -> None:
        self.format = format
        self._capacity = round(capacity_s * format.rate_hz)
        self._fade = round(fade_ms / 1000 * format.rate_hz)
        self._rise = 1 - _fall(self._fade)
        self._risen = self._fade  # position in _rise of the next sample; at its end: full level
        self._queue: deque[_Stretch] = deque()
        self._sounding: int | None = None  # turn of the last sample pulled; None: silence
        self._dry: int | None = None  # turn after which the silence began for want of samples
        self._prebuffer = prebuffer or Prebuffer(0, 0)
        self._held = 0  # samples of silence pulled while a turn had to wait
        self._gain = self._gain_wanted = 1.0
        self._gain_step = 1.0  # change of the gain from one sample to the next
        self._recent: deque[tuple[int | None, int]] = deque()  # turn (None: silence), samples
        self._recent_samples = 0
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
        """Forget what waits; what is sounding fades out, from the level it has.

        It ends a duck: what comes next sounds at full level. Flushing again changes nothing.
        """
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
            self._held = 0
            self._gain = self._gain_wanted = 1.0

    def duck(self, gain: float, ramp_ms: float) -> None:
        """Go to `gain` (1: full level) in a straight line over the next `ramp_ms` pulled."""
        with self._lock:
            steps = max(1, round(ramp_ms / 1000 * self.format.rate_hz))
            self._gain_wanted = gain
            self._gain_step = (gain - self._gain) / steps

    def pull(self, samples: int) -> bytes:
        """Exactly `samples` samples, silence where there is nothing. For the device's thread."""
        pieces: list[bytes | memoryview] = []
        with self._lock:
            wanted = samples
            while samples and self._queue and not self._holds(samples):
                piece = self._next_piece(samples)
                pieces.append(piece)
                samples -= len(piece) // BYTES_PER_SAMPLE
            if samples:
                if self._sounding is not None:
                    self._dry, self._sounding = self._sounding, None
                self._remember(None, samples)
                pieces.append(bytes(samples * BYTES_PER_SAMPLE))
            pcm = b"".join(pieces)
            return pcm if self._gain == self._gain_wanted == 1.0 else self._ducked(pcm, wanted)

    def played_ms(self, turn: int, *, late: int = 0) -> int:
        """How much of `turn` has been pulled, in whole milliseconds, gaps not counted.

        `late`: how many of the samples pulled last do not count, because the device still has
        them. Right after a flush too. 0 for a turn unheard, or older than the last 64 heard.
        """
        with self._lock:
            played = self._played_by_turn.get(turn, 0)
            played -= sum(samples for whose, samples in self._last(late) if whose == turn)
            return max(0, played) * 1000 // self.format.rate_hz

    @property
    def pending_samples(self) -> int:
        """Samples not pulled yet, those of a fade included."""
        with self._lock:
            return self._pending

    @property
    def pending_s(self) -> float:
        """Seconds not pulled yet, those of a fade included."""
        return self.pending_samples / self.format.rate_hz

    def unheard_s(self, late: int) -> float:
        """Seconds that wait here, or are of a turn and among the `late` samples pulled last."""
        with self._lock:
            on_the_way = sum(samples for whose, samples in self._last(late) if whose is not None)
            return (self._pending + on_the_way) / self.format.rate_hz

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
                prebuffer_ms=self._prebuffer.ms,
            )

    def _holds(self, samples: int) -> bool:
        """Whether what waits has to wait for these `samples`, too."""
        if self._sounding is not None:
            return False
        if self._queue[0].turn == self._dry:
            self._underruns += 1
            self._prebuffer.run_dry()
            self._dry = None
        enough = round(self._prebuffer.ms / 1000 * self.format.rate_hz)
        if self._pending >= enough or self._held >= enough:
            return False
        self._held += samples
        return True

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
        self._dry = None
        self._held = 0
        self._risen = 0 if turn in self._played_by_turn else self._fade

    def _count(self, turn: int, samples: int) -> None:
        self._pending -= samples
        self._played += samples
        self._remember(turn, samples)
        played = self._played_by_turn
        if turn not in played:
            self._prebuffer.new_turn()
            if len(played) >= TURNS_REMEMBERED:
                del played[next(iter(played))]
        played[turn] = played.get(turn, 0) + samples

    def _remember(self, turn: int | None, samples: int) -> None:
        recent = self._recent
        recent.append((turn, samples))
        self._recent_samples += samples
        while self._recent_samples - recent[0][1] >= RECENT_S * self.format.rate_hz:
            self._recent_samples -= recent.popleft()[1]

    def _last(self, samples: int) -> list[tuple[int | None, int]]:
        """Whose the last `samples` pulled were, as far back as is known."""
        found: list[tuple[int | None, int]] = []
        for turn, count in reversed(self._recent):
            if samples <= 0:
                break
            found.append((turn, min(count, samples)))
            samples -= count
        return found

    def _ramped_up(self, piece: memoryview, samples: int) -> bytes:
        gains = np.ones(samples, np.float32)
        ramp = self._rise[self._risen : self._risen + samples]
        gains[: len(ramp)] = ramp
        self._risen += len(ramp)
        return to_pcm(from_pcm(piece) * gains)

    def _ducked(self, pcm: bytes, samples: int) -> bytes:
        if self._gain == self._gain_wanted:
            return to_pcm(from_pcm(pcm) * np.float32(self._gain))
        ramp = self._gain + self._gain_step * np.arange(1, samples + 1, dtype=np.float32)
        low, high = sorted((self._gain, self._gain_wanted))
        gains = np.clip(ramp, low, high, dtype=np.float32)
        if abs(self._gain_wanted - self._gain) <= abs(self._gain_step) * (samples + 0.5):
            self._gain = self._gain_wanted
        else:
            self._gain += self._gain_step * samples
        return to_pcm(from_pcm(pcm) * gains)

    def _tail(self) -> _Stretch | None:
        """What may still sound after a flush: the next few ms of a turn that is sounding."""
        if self._queue and self._queue[0].fading:  # a fade under way goes on
            first = self._queue[0]
            return _Stretch(first.turn, self._at_gain(first.pcm[first.start :]), fading=True)
        pcm = b""
        for stretch in self._queue:
            missing = self._fade * BYTES_PER_SAMPLE - len(pcm)
            if not missing or stretch.turn != self._sounding:
                break
            pcm += stretch.pcm[stretch.start : stretch.start + missing]
        if not pcm or self._sounding is None:
            return None
        faded = to_pcm(from_pcm(pcm) * _fall(len(pcm) // BYTES_PER_SAMPLE))
        return _Stretch(self._sounding, self._at_gain(faded), fading=True)

    def _at_gain(self, pcm: bytes) -> bytes:
        return pcm if self._gain == 1.0 else to_pcm(from_pcm(pcm) * np.float32(self._gain))


def _fall(samples: int) -> NDArray[np.float32]:
    """Gains from just below 1 to 0: half a period of a raised cosine."""
    steps = np.arange(1, samples + 1, dtype=np.float32)
    return (0.5 + 0.5 * np.cos(np.pi * steps / max(samples, 1))).astype(np.float32)
