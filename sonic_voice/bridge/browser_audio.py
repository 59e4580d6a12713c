"""The audio source and the audio sink of a conversation with a browser.

Both outlive a lost connection. While no page is connected, the source returns nothing, and the
service stream sends silence; the sound of answers waits in the outbox.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from ..config import AudioFormat
from .messages import Position
from .outbox import TURNS_REMEMBERED, PageOutbox

WAITING_S = 2.0
"""Maximum sound of the user that waits for the service, in seconds. When it is exceeded the oldest
is dropped: present speech matters more than speech of two seconds ago."""

MERGED_S = 0.1
"""Maximum length of waiting sound that is merged into one event, in seconds. Signing and sending an
event costs the same whatever its length: a server that keeps up finds one frame waiting, and one
that is late catches up by merging."""

EXTRAPOLATED_S = 0.3
"""Maximum time for which a page's report of playback is extrapolated, in seconds. Pages report ten
times a second."""


class BrowserSource:
    """An audio source that returns the sound of a page as it arrives.

    It belongs to one event loop. Sound is not paced again: after a stall the delayed sound is
    returned at once, so that the rest of the conversation does not lag behind.

    Attributes:
        offer: Takes sound as it arrives, while `read` waits for some, and returns whether it did.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.dropped_s = 0.0
        """Sound that was dropped because too much waited, in seconds."""
        self.offer: Callable[[bytes], bool] = _refuse
        self._reading = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._arrived = asyncio.Event()

    def feed(self, pcm: bytes) -> None:
        """Append sound of the user, and drop the oldest if more than `WAITING_S` waits.

        Args:
            pcm: s16le mono bytes in the rate of `format`.
        """
        # What `read` has returned before may still be on its way: only a reader that waits is done.
        if self._reading and not self._waiting and self.offer(pcm):
            return
        self._waiting.append(pcm)
        self._waiting_bytes += len(pcm)
        while self._waiting_bytes > self.format.size(WAITING_S) and len(self._waiting) > 1:
            lost = len(self._waiting.popleft())
            self._waiting_bytes -= lost
            self.dropped_s += self.format.seconds(lost)
        self._arrived.set()

    async def read(self) -> bytes:
        """Wait for sound and return it, or `b""` when closed.

        Cancelling it loses no sound.
        """
        if not self._waiting and not self._closed:
            self._arrived.clear()
            self._reading = True
            try:
                await self._arrived.wait()
            finally:
                self._reading = False
        if self._closed:
            return b""
        pcm = self._waiting.popleft()
        while self._waiting and self.format.seconds(len(pcm) + len(self._waiting[0])) <= MERGED_S:
            pcm += self._waiting.popleft()
        self._waiting_bytes -= len(pcm)
        return pcm

    @property
    def done(self) -> bool:
        """Always False: a user may speak at any time."""
        return False

    def now(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    async def aclose(self) -> None:
        """End the conversation: `read` returns `b""` from now on. May be called again."""
        self.close()

    def close(self) -> None:
        """End the conversation, like `aclose`, for callers that cannot await."""
        self._closed = True
        self.offer = _refuse
        self._arrived.set()


def _refuse(pcm: bytes) -> bool:
    return False


class BrowserSink:
    """An audio sink that plays on a page and learns from the page's reports what has been heard.

    `played_ms` extrapolates the last report by the clock, for 0.3 s at most. Where a flush cut an
    answer is an estimate until the page has handled the flush and reported again: `report` then
    returns the turn whose value has been corrected.

    Args:
        format: The format of the sound.
        outbox: The queue to the page.
        now: Returns monotonic seconds.
        wake: Called after something was added to the outbox, or may be taken from it.
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
        """Samples played of each turn that has stopped playing."""
        self._cut: set[int] = set()

    def play(self, turn: int, pcm: bytes) -> None:
        """Queue sound for the page. This never blocks; `PageOutbox` says what a full queue drops.

        Args:
            turn: The number of the turn.
            pcm: s16le mono bytes.
        """
        self._outbox.queue_audio(turn, pcm)
        self._wake()

    def flush(self) -> None:
        """Discard all sound that has not been played, for a barge-in, and begin a new epoch.

        How much was played of the turns that this cuts is an estimate until the next `report`.
        """
        cut = self._outbox.flush()
        for turn in cut:
            self._remember(turn, self._reached() if turn == self._at.turn else 0)
        self._cut |= cut
        self._running = False
        self._wake()

    def report(self, epoch: int, at: Position) -> int | None:
        """Record a page's report of playback.

        A report is limited to the sound that the page was sent. One that goes back is ignored,
        except after a flush, where the position was an estimate.

        Args:
            epoch: The epoch that the page plays; reports of another than the current are ignored.
            at: The position that the page has played up to.

        Returns:
            The turn that a flush has cut, if this report is the first to say where; else None.
        """
        if epoch != self._outbox.epoch:
            return None
        if at.samples > (end := self._outbox.end(at.turn)):
            at = Position(at.turn, end)
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
        """Return how much of a turn has been played, in milliseconds, as far as is known.

        Args:
            turn: The number of the turn.
        """
        samples = self._settled.get(turn, self._reached() if turn == self._at.turn else 0)
        return samples * 1000 // self.format.rate_hz

    @property
    def pending_s(self) -> float:
        """Sound that has not been reported as played, in seconds."""
        return self._outbox.pending / self.format.rate_hz

    async def aclose(self) -> None:
        """Do nothing: a sink holds no resource."""

    def _remember(self, turn: int, samples: int) -> None:
        self._settled[turn] = samples
        if len(self._settled) > TURNS_REMEMBERED:
            del self._settled[next(iter(self._settled))]

    def _reached(self) -> int:
        end = self._outbox.end(self._at.turn)
        since_s = min(self._now() - self._at_s, EXTRAPOLATED_S) if self._running else 0.0
        return min(end, self._at.samples + round(since_s * self.format.rate_hz))
