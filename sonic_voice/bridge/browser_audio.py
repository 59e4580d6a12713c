"""A browser as the two ends of a conversation's sound: `BrowserSource` and `BrowserSink`.

Both outlive a lost connection. While no page is there the user is silent, and what is answered
waits in the outbox.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from ..config import AudioFormat
from .messages import Position
from .outbox import TURNS_REMEMBERED, PageOutbox

WAITING_S = 2.0
"""Sound of the user that may wait for the service. More is dropped, the oldest first: who talks
now matters more than who talked two seconds ago."""

LATE_S = 0.3
"""Sound that is later than this is replaced by silence: a page that is muted may send nothing, and
the service must not hear nothing (it ends a session after 55 s). Wireless stalls are shorter."""

SILENCE_S = 0.1
"""The pace of silence, once it has begun."""

MERGED_S = 0.1
"""Of the sound that waits so much goes out in one event: to sign and send one costs the same,
whatever its length. A server in time has one frame waiting, one that is late makes up for it."""

EXTRAPOLATED_S = 0.3
"""How far a page's report is carried on by the clock. Pages report ten times a second."""


class BrowserSource:
    """What a page sends, as it comes; silence where it sends nothing.

    Belongs to one event loop. Real sound is not paced again: what a stall delayed goes out at once,
    so that nothing lags behind for the rest of the conversation.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.dropped_s = 0.0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._patience_s = LATE_S
        self._closed = False
        self._arrived = asyncio.Event()

    def feed(self, pcm: bytes) -> None:
        """Append the user's sound."""
        self._waiting.append(pcm)
        self._waiting_bytes += len(pcm)
        while self._waiting_bytes > self.format.size(WAITING_S) and len(self._waiting) > 1:
            lost = len(self._waiting.popleft())
            self._waiting_bytes -= lost
            self.dropped_s += self.format.seconds(lost)
        self._arrived.set()

    async def read(self) -> bytes:
        """What waits, or silence; `b""` when closed. Cancelling loses nothing."""
        if not self._waiting and not self._closed:
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._arrived.wait()
            except TimeoutError:
                silence = bytes(self.format.size(self._patience_s))
                self._patience_s = SILENCE_S
                return silence
        if self._closed:
            return b""
        self._patience_s = LATE_S
        pcm = self._waiting.popleft()
        while self._waiting and self.format.seconds(len(pcm) + len(self._waiting[0])) <= MERGED_S:
            pcm += self._waiting.popleft()
        self._waiting_bytes -= len(pcm)
        return pcm

    @property
    def done(self) -> bool:
        """Never: somebody may always say something."""
        return False

    def now(self) -> float:
        """`time.monotonic()`."""
        return time.monotonic()

    async def aclose(self) -> None:
        """End the conversation: `read` gives `b""`. May be repeated."""
        self.close()

    def close(self) -> None:
        """The same, from where nothing can be awaited."""
        self._closed = True
        self._arrived.set()


class BrowserSink:
    """The page's loudspeaker, by what the page reports of it.

    `played_ms` is the last report, carried on by the clock for 0.3 s at most. What a flush cut is
    known exactly only when the page has taken the flush and reported again: `corrected` says which
    turn that report is about.
    """

    def __init__(
        self,
        format: AudioFormat,
        outbox: PageOutbox,
        *,
        now: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.format = format
        self._outbox = outbox
        self._now = now
        self._wake = wake
        self._at = Position()
        self._at_s = 0.0
        self._running = False
        self._settled: dict[int, int] = {}
        """Samples that sounded of turns that sound no more."""
        self._cut: set[int] = set()

    def play(self, turn: int, pcm: bytes) -> None:
        """Queue `pcm` of `turn` for the page. Never blocks; see `PageOutbox` for when it is full."""
        self._outbox.queue_audio(turn, pcm)
        self._wake()

    def flush(self) -> None:
        """Barge-in: a new epoch. What was played of the turns it cuts is a guess until `report`."""
        cut = self._outbox.flush()
        for turn in cut:
            self._remember(turn, self._reached() if turn == self._at.turn else 0)
        self._cut |= cut
        self._running = False
        self._wake()

    def report(self, epoch: int, at: Position) -> int | None:
        """The page has played up to `at`. Returns the turn that a flush cut there, if this tells.

        A page cannot have played what it was not sent, nor less than before, unless a flush made
        us guess.
        """
        if epoch != self._outbox.epoch:
            return None
        at = Position(at.turn, min(at.samples, self._outbox.end(at.turn)))
        corrected = at.turn if at.turn in self._cut else None
        self._cut.clear()
        if corrected is not None:
            self._remember(at.turn, at.samples)
        elif (at.turn, at.samples) < (self._at.turn, self._at.samples):
            return None
        elif at.turn != self._at.turn and self._at.turn not in self._settled:
            self._remember(self._at.turn, self._outbox.end(self._at.turn))
        self._running = corrected is None and at != self._at
        self._at, self._at_s = at, self._now()
        self._outbox.confirm_played(at)
        self._wake()
        return corrected

    def played_ms(self, turn: int) -> int:
        """How much of `turn` has sounded, in milliseconds, as far as the page has told."""
        samples = self._settled.get(turn, self._reached() if turn == self._at.turn else 0)
        return samples * 1000 // self.format.rate_hz

    @property
    def pending_s(self) -> float:
        """Seconds that have not sounded yet, or not been reported."""
        return self._outbox.pending / self.format.rate_hz

    async def aclose(self) -> None:
        """Nothing is held here."""

    def _remember(self, turn: int, samples: int) -> None:
        self._settled[turn] = samples
        if len(self._settled) > TURNS_REMEMBERED:
            del self._settled[next(iter(self._settled))]

    def _reached(self) -> int:
        end = self._outbox.end(self._at.turn)
        since_s = min(self._now() - self._at_s, EXTRAPOLATED_S) if self._running else 0.0
        return min(end, self._at.samples + round(since_s * self.format.rate_hz))
