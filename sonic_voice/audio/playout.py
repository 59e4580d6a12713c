"""The playout buffer: samples queued by turn, pulled at the pace of a device.

The service sends an answer several times faster than it is spoken, so seconds of it wait on the
listener's side. `PlayoutBuffer` gives out samples at the pace at which they are pulled, drops the
rest at once when the user speaks over it, and is the one place that knows how much of each turn
was really heard: the transcript of an interrupted answer is cut by that clock.

Nothing here reads a clock: time is what was pulled.

Sound is cut with a ramp. A wave that stops between two samples is a step, and a step is audible as
a click; a raised cosine of 5 ms is neither heard as a click nor noticed as a delay.
"""

from collections import deque
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..config import BYTES_PER_SAMPLE, AudioFormat
from .pcm import from_pcm, samples_in, to_pcm

CAPACITY_S = 600.0
"""Capacity of a buffer, in seconds: ten minutes, more than an answer can last. At 48 kHz a full
buffer has 600 s x 48,000 Hz x 2 bytes = 57.6 MB."""

FADE_MS = 5.0
"""Length of a fade in milliseconds: long enough to avoid a click, short enough to count as silence
at once. 120 samples at 24 kHz."""

TURNS_REMEMBERED = 64
"""Number of turns whose played time is kept. Older turns are over, and nobody asks for them."""

RECENT_S = 2.0
"""Period for which it is known to which turn a pulled sample belonged, in seconds. A device that
holds more is not usable for a conversation."""

PREBUFFER_MIN_MS = 40.0
"""Minimum length of audio to wait for, in milliseconds: one chunk of the service (reference 5: 40
to 200 ms, sent 3 to 10 times faster than it is played). The next chunk arrives before this one has
been played, so that a turn begins at once on a good network."""

PREBUFFER_MAX_MS = 320.0
"""Maximum length of audio to wait for, in milliseconds: three doublings of the minimum. If a
network needs more, waiting at the beginning of each turn is worse than a gap."""


@dataclass(frozen=True, slots=True)
class PlayoutStats:
    """Counts of what became of the audio given to a `PlayoutBuffer`, and of its gaps."""

    played_s: float
    """Seconds that were played, including the fades of interruptions."""
    flushed_s: float
    """Seconds that interruptions removed."""
    dropped_s: float
    """Seconds refused because the buffer was full."""
    underruns: int
    """Number of gaps that a listener heard inside a turn."""
    prebuffer_ms: float
    """Length of audio that a turn waits for, after the jitter observed so far, in milliseconds."""


class Prebuffer:
    """An adaptive threshold: the length of audio to wait for before a turn begins or goes on.

    Each gap inside a turn doubles it, up to `max_ms`; each turn without a gap reduces it by a
    quarter, down to `min_ms`. From the maximum it takes eight good turns to return to the minimum.
    `Prebuffer(0, 0)` never waits.
    """

    def __init__(self, min_ms: float = PREBUFFER_MIN_MS, max_ms: float = PREBUFFER_MAX_MS) -> None:
        """Begin with the minimum.

        Args:
            min_ms: Minimum of the threshold, in milliseconds.
            max_ms: Maximum of the threshold, in milliseconds.
        """
        self.ms = self._min_ms = min_ms
        self._max_ms = max_ms
        self._ran_dry = False

    def run_dry(self) -> None:
        """Note a gap inside a turn: double the threshold."""
        self.ms = min(self._max_ms, 2 * self.ms)
        self._ran_dry = True

    def new_turn(self) -> None:
        """Note the beginning of a turn: lower the threshold if the turn before it had no gap."""
        if not self._ran_dry:
            self.ms = max(self._min_ms, 0.75 * self.ms)
        self._ran_dry = False


@dataclass(slots=True)
class _QueuedAudio:
    """A queued piece of one turn's audio: `pcm` from byte `start` on is still to be pulled."""

    turn: int
    pcm: bytes
    start: int = 0
    fading: bool = False


class PlayoutBuffer:
    """A jitter buffer between the reader, which plays, and the device thread, which pulls.

    It holds `capacity_s` seconds. When it is full, new audio is dropped and counted in
    `stats.dropped_s`: earlier speech is never lost in favour of later speech.

    After silence a turn starts when as much of it is queued as `prebuffer` asks for, or when as
    much silence was pulled since it arrived: a short "Yes." is not held back for more. Without a
    `prebuffer` it starts at once.

    `flush` leaves only silence, except that the next `fade_ms` of the turn that is being played
    are ramped down. They count as played, all other queued audio as flushed.

    An under-run is a gap inside a turn: the last sample pulled was of turn n, then silence had to
    be pulled, then more of turn n was there, and neither a flush nor another turn came between.
    Running empty at the end of a turn is therefore no under-run. A turn that goes on after silence
    is ramped up over `fade_ms`. (The start of the gap clicks, because it cannot be foreseen.)

    Any one thread may play, flush and duck while any other pulls. There is a lock, not a bare
    deque, because flush must take the queue, build the fade and update the counts in one step as
    seen from the puller. It is held for a few microseconds, during which nothing is allocated
    but one chunk.
    """

    def __init__(
        self,
        format: AudioFormat,
        *,
        capacity_s: float = CAPACITY_S,
        fade_ms: float = FADE_MS,
        prebuffer: Prebuffer | None = None,
    ) -> None:
        """Create an empty buffer.

        Args:
            format: Format of the samples.
            capacity_s: Maximum length of queued audio, in seconds.
            fade_ms: Length of the fades, in milliseconds.
            prebuffer: Decides how much audio a turn waits for; None to start at once.
        """
        self.format = format
        self._capacity = round(capacity_s * format.rate_hz)
        self._fade = round(fade_ms / 1000 * format.rate_hz)
        self._ramp_gains = 1 - _fall(self._fade)
        self._ramp_position = self._fade  # of the next sample; at the end: full level
        self._queue: deque[_QueuedAudio] = deque()
        self._playing: int | None = None  # turn of the last sample pulled; None: silence
        self._dry: int | None = None  # turn that was being played when the samples ran out
        self._prebuffer = prebuffer or Prebuffer(0, 0)
        self._held = 0  # samples of silence pulled while a turn waited for its prebuffer
        self._gain = self._gain_wanted = 1.0
        self._gain_step = 1.0  # change of the gain from one sample to the next
        self._recent: deque[tuple[int | None, int]] = deque()  # turn (None: silence), samples
        self._recent_samples = 0
        self._played_by_turn: dict[int, int] = {}
        self._pending = self._played = self._flushed = self._dropped = self._underruns = 0
        self._lock = Lock()

    def play(self, turn: int, pcm: bytes) -> None:
        """Queue audio; what exceeds the capacity is dropped.

        Args:
            turn: Number of the turn that the audio belongs to.
            pcm: Samples of it.

        Raises:
            AudioError: `pcm` ends inside a sample.
        """
        samples = samples_in(pcm)
        with self._lock:
            kept = min(samples, self._capacity - self._pending)
            self._dropped += samples - kept
            if kept:
                self._queue.append(_QueuedAudio(turn, pcm[: kept * BYTES_PER_SAMPLE]))
                self._pending += kept

    def flush(self) -> None:
        """Drop what is queued, and fade out what is being played, from its present level.

        It ends a duck: what comes next is played at full level. Flushing again changes nothing.
        """
        with self._lock:
            tail = self._tail()
            self._queue.clear()
            kept = 0
            if tail:
                self._queue.append(tail)
                kept = (len(tail.pcm) - tail.start) // BYTES_PER_SAMPLE
            else:
                self._playing = None
            self._flushed += self._pending - kept
            self._pending = kept
            self._dry = None
            self._held = 0
            self._gain = self._gain_wanted = 1.0

    def duck(self, gain: float, ramp_ms: float) -> None:
        """Change the level linearly.

        Args:
            gain: The level to reach; 1 is full level.
            ramp_ms: Length of the change, in milliseconds of pulled audio.
        """
        with self._lock:
            steps = max(1, round(ramp_ms / 1000 * self.format.rate_hz))
            self._gain_wanted = gain
            self._gain_step = (gain - self._gain) / steps

    def pull(self, samples: int) -> bytes:
        """Return the next samples. Called by the device's thread.

        Args:
            samples: Number of samples.

        Returns:
            Exactly that many, with silence where nothing is queued.
        """
        pieces: list[bytes | memoryview] = []
        with self._lock:
            wanted = samples
            while samples and self._queue and not self._holds(samples):
                piece = self._next_piece(samples)
                pieces.append(piece)
                samples -= len(piece) // BYTES_PER_SAMPLE
            if samples:
                if self._playing is not None:
                    self._dry, self._playing = self._playing, None
                self._remember(None, samples)
                pieces.append(bytes(samples * BYTES_PER_SAMPLE))
            pcm = b"".join(pieces)
            return pcm if self._gain == self._gain_wanted == 1.0 else self._ducked(pcm, wanted)

    def played_ms(self, turn: int, *, late: int = 0) -> int:
        """Return how much of a turn has been played. It is right after a flush, too.

        Args:
            turn: Number of the turn.
            late: Number of the samples pulled last that do not count, because the device still
                holds them.

        Returns:
            Whole milliseconds, gaps not counted; 0 for a turn that was not played, or is older
            than the last 64 that were.
        """
        with self._lock:
            played = self._played_by_turn.get(turn, 0)
            played -= sum(samples for whose, samples in self._last(late) if whose == turn)
            return max(0, played) * 1000 // self.format.rate_hz

    @property
    def pending_samples(self) -> int:
        """Number of samples not pulled yet, including those of a fade."""
        with self._lock:
            return self._pending

    @property
    def pending_s(self) -> float:
        """Length of the audio not pulled yet, including a fade, in seconds."""
        return self.pending_samples / self.format.rate_hz

    def unheard_s(self, late: int) -> float:
        """Return the length of the audio that was queued and has not been heard yet.

        Args:
            late: Number of the samples pulled last that the device still holds. Silence among
                them does not count.

        Returns:
            Seconds.
        """
        with self._lock:
            on_the_way = sum(samples for whose, samples in self._last(late) if whose is not None)
            return (self._pending + on_the_way) / self.format.rate_hz

    @property
    def stats(self) -> PlayoutStats:
        """The counts so far. Played + flushed + dropped + pending is all that was queued."""
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
        """Return whether queued audio has to wait while `samples` of silence are pulled."""
        if self._playing is not None:
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
        if self._playing is None:
            self._start(first.turn)
        piece = memoryview(first.pcm)[first.start : first.start + most * BYTES_PER_SAMPLE]
        first.start += len(piece)
        samples = len(piece) // BYTES_PER_SAMPLE
        self._playing = first.turn
        if first.start == len(first.pcm):
            self._queue.popleft()
            if first.fading:
                self._playing = None
        self._count(first.turn, samples)
        # A turn that goes on after a gap is faded in.
        return self._ramped_up(piece, samples) if self._ramp_position < self._fade else piece

    def _start(self, turn: int) -> None:
        """Prepare to play `turn` after silence."""
        self._dry = None
        self._held = 0
        self._ramp_position = 0 if turn in self._played_by_turn else self._fade

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
        """Return the turns and counts of the last `samples` pulled, as far back as is known."""
        found: list[tuple[int | None, int]] = []
        for turn, count in reversed(self._recent):
            if samples <= 0:
                break
            found.append((turn, min(count, samples)))
            samples -= count
        return found

    def _ramped_up(self, piece: memoryview, samples: int) -> bytes:
        gains = np.ones(samples, np.float32)
        ramp = self._ramp_gains[self._ramp_position : self._ramp_position + samples]
        gains[: len(ramp)] = ramp
        self._ramp_position += len(ramp)
        return to_pcm(from_pcm(piece) * gains)

    def _ducked(self, pcm: bytes, samples: int) -> bytes:
        if self._gain == self._gain_wanted:
            return to_pcm(from_pcm(pcm) * np.float32(self._gain))
        # A straight line to the wanted gain, which holds from there on.
        ramp = self._gain + self._gain_step * np.arange(1, samples + 1, dtype=np.float32)
        low, high = sorted((self._gain, self._gain_wanted))
        gains = np.clip(ramp, low, high, dtype=np.float32)
        if abs(self._gain_wanted - self._gain) <= abs(self._gain_step) * (samples + 0.5):
            self._gain = self._gain_wanted
        else:
            self._gain += self._gain_step * samples
        return to_pcm(from_pcm(pcm) * gains)

    def _tail(self) -> _QueuedAudio | None:
        """Return what is still played after a flush: the next few ms of the present turn."""
        if self._queue and self._queue[0].fading:  # a fade under way goes on
            first = self._queue[0]
            return _QueuedAudio(first.turn, self._at_gain(first.pcm[first.start :]), fading=True)
        pcm = b""
        for queued in self._queue:
            missing = self._fade * BYTES_PER_SAMPLE - len(pcm)
            if not missing or queued.turn != self._playing:
                break
            pcm += queued.pcm[queued.start : queued.start + missing]
        if not pcm or self._playing is None:
            return None
        faded = to_pcm(from_pcm(pcm) * _fall(len(pcm) // BYTES_PER_SAMPLE))
        return _QueuedAudio(self._playing, self._at_gain(faded), fading=True)

    def _at_gain(self, pcm: bytes) -> bytes:
        return pcm if self._gain == 1.0 else to_pcm(from_pcm(pcm) * np.float32(self._gain))


def _fall(samples: int) -> NDArray[np.float32]:
    """Return gains from just below 1 to 0: half a period of a raised cosine."""
    steps = np.arange(1, samples + 1, dtype=np.float32)
    return (0.5 + 0.5 * np.cos(np.pi * steps / max(samples, 1))).astype(np.float32)
