"""What waits to be sent to a page: messages before sound, and both within bounds. Pure.

    tell ──► [messages: the last 1,024, numbered by `seq`] ──► take ──►
    play ──► [sound that waits: 120 s]  ──►  take, at most `LEAD_S` ahead of what has sounded
                                             └─► [sound sent and not yet played]

Messages go first, so that a `flush` never stands behind the sound it is to silence. Sound goes
only so far ahead of the page's own clock that the page can keep it in a ring of fixed size; the
rest waits here, where a flush takes it away at once.

When more sound waits than fits, the newest is dropped and counted: what was said earlier is never
lost for what was said later. When messages are not taken, the oldest are forgotten, and the reader
is `behind`, which is a reason to cut it off: it would miss what it is owed.

After a lost connection the page says what came last, and `rewind` sends the rest again.
"""

import json
from collections import deque
from typing import Any

from ..config import BYTES_PER_SAMPLE, AudioFormat
from .frames import EPOCHS, AnswerFrame, answer_frame
from .messages import Position

LEAD_S = 5.0
"""More than a network stalls for and less than a page cares to keep: 240 kB at 24 kHz."""

WAITING_S = 120.0
"""Longer than an answer of 2,048 tokens at 40 ms each: 5.8 MB at 24 kHz when full."""

MESSAGES_KEPT = 1024
"""An answer is some forty messages; so many unread are minutes of not reading."""

TURNS_REMEMBERED = 64


class PageOutbox:
    """The sending side of one conversation, which may outlive several connections."""

    def __init__(
        self, format: AudioFormat, *, waiting_s: float = WAITING_S, lead_s: float = LEAD_S
    ) -> None:
        self.epoch = 0
        self.seq = 0
        self.dropped = 0
        """Samples refused because too many waited."""
        self._capacity = round(waiting_s * format.rate_hz)
        self._lead = round(lead_s * format.rate_hz)
        self._messages: deque[tuple[int, str]] = deque(maxlen=MESSAGES_KEPT)
        self._taken_seq = 0
        self._waiting: deque[AnswerFrame] = deque()
        self._sent: deque[AnswerFrame] = deque()
        self._ends: dict[int, int] = {}
        self._unsent = self._unplayed = 0

    def queue_message(self, message: dict[str, Any]) -> None:
        """Append a message; it is numbered."""
        self.seq += 1
        text = json.dumps({**message, "seq": self.seq}, separators=(",", ":"))
        self._messages.append((self.seq, text))

    def queue_audio(self, turn: int, pcm: bytes) -> None:
        """Append sound of `turn`."""
        samples = len(pcm) // BYTES_PER_SAMPLE
        kept = min(samples, max(0, self._capacity - self._unsent))
        self.dropped += samples - kept
        if kept:
            start = self._ends.pop(turn, 0)
            pcm = pcm[: kept * BYTES_PER_SAMPLE]
            self._waiting.append(AnswerFrame(self.epoch, turn, start, pcm))
            self._ends[turn] = start + kept
            self._unsent += kept
            if len(self._ends) > TURNS_REMEMBERED:
                del self._ends[next(iter(self._ends))]

    def flush(self) -> set[int]:
        """Begin a new epoch, in which nothing of the older ones sounds. Returns the turns cut."""
        cut = {answer.turn for answer in (*self._sent, *self._waiting)}
        self._waiting.clear()
        self._sent.clear()
        self._unsent = self._unplayed = 0
        self.epoch = (self.epoch + 1) % EPOCHS
        self.queue_message({"type": "flush", "epoch": self.epoch})
        return cut

    def confirm_played(self, at: Position) -> None:
        """The page has played up to `at`; what it plays in order makes room for more."""
        while self._sent and _before(self._sent[0], at):
            self._unplayed -= self._sent.popleft().samples

    def take_next(self) -> str | bytes | None:
        """The next to be sent; None while there is nothing, or the page has enough to play."""
        if self._taken_seq < self.seq:
            oldest = self._messages[0][0]
            self._taken_seq = max(self._taken_seq + 1, oldest)
            return self._messages[self._taken_seq - oldest][1]
        if self._waiting and self._unplayed < self._lead:
            answer = self._waiting.popleft()
            self._sent.append(answer)
            self._unsent -= answer.samples
            self._unplayed += answer.samples
            return answer_frame(answer)
        return None

    def rewind(self, seen: int, received: Position) -> None:
        """Send again what came after message `seen` and sound `received`."""
        oldest = self._messages[0][0] if self._messages else self.seq + 1
        self._taken_seq = min(self.seq, max(seen, oldest - 1))
        while self._sent and not _before(self._sent[-1], received):
            answer = self._sent.pop()
            self._waiting.appendleft(answer)
            self._unplayed -= answer.samples
            self._unsent += answer.samples

    @property
    def behind(self) -> bool:
        """Whether messages were forgotten before they were taken."""
        return bool(self._messages) and self._taken_seq < self._messages[0][0] - 1

    @property
    def pending(self) -> int:
        """Samples that have not been reported as played, to the frame."""
        return self._unsent + self._unplayed

    def end(self, turn: int) -> int:
        """Samples of `turn` so far."""
        return self._ends.get(turn, 0)


def _before(answer: AnswerFrame, at: Position) -> bool:
    return (answer.turn, answer.end) <= (at.turn, at.samples)
