"""The bounded queue of messages and sound to one page. Pure.

    queue_message ──► [messages: the last 1,024, numbered by `seq`] ──► take_next ──►
    queue_audio ──► [waiting sound: 120 s] ──► take_next, at most `LEAD_S` ahead of playback
                                               └─► [sound that was sent and not yet played]

Messages are sent before sound, so that a `flush` does not wait behind the sound that it cuts. Sound
is sent at most `LEAD_S` ahead of the playback that the page reports, so that the page can keep it
in a ring buffer of fixed size. The rest waits here, where a flush discards it at once.

When the waiting sound exceeds its limit, the newest is dropped and counted: an answer is not lost
for the sake of a later one. When messages are not taken, the oldest are dropped and the page is
`behind`. Its connection should then be closed, because it has missed messages.

After a lost connection the page says which message and which sound it received last, and `rewind`
sends the rest again.
"""

import json
from collections import deque
from typing import Any

from ..config import BYTES_PER_SAMPLE, AudioFormat
from .frames import ANSWER_BYTES, EPOCHS, AnswerFrame, answer_frame
from .messages import Position

LEAD_S = 5.0
"""Maximum sound that is sent ahead of playback, in seconds: more than a stall of the network, and
little enough for a page to keep (240 kB at 24 kHz)."""

WAITING_S = 120.0
"""Maximum sound that waits, in seconds (5.8 MB at 24 kHz). It is longer than an answer of 2,048
tokens at 40 ms each."""

MESSAGES_KEPT = 1024
"""Number of messages that are kept. An answer has about forty: a page that has not read this many
has not read for minutes."""

TURNS_REMEMBERED = 64
"""Number of turns whose length in samples is kept. The oldest is dropped for a new one."""


class PageOutbox:
    """The queue to the page of one conversation. It may outlive several connections.

    Args:
        format: The format of the sound.
        waiting_s: The maximum sound that waits, in seconds.
        lead_s: The maximum sound that is sent ahead of playback, in seconds.
    """

    def __init__(
        self, format: AudioFormat, *, waiting_s: float = WAITING_S, lead_s: float = LEAD_S
    ) -> None:
        self.epoch = 0
        """Number of flushes, modulo `EPOCHS`."""
        self.seq = 0
        """Number of the last message that was queued."""
        self.dropped = 0
        """Samples that were dropped because too many waited."""
        self._capacity_bytes = format.size(waiting_s)
        self._lead_bytes = format.size(lead_s)
        self._messages: deque[tuple[int, str]] = deque(maxlen=MESSAGES_KEPT)
        self._taken_seq = 0
        self._waiting: deque[AnswerFrame] = deque()
        self._sent: deque[AnswerFrame] = deque()
        self._ends: dict[int, int] = {}
        self._unsent_bytes = self._unplayed_bytes = 0

    def carry_on(self, seen: int, epoch: int) -> None:
        """Begin where the outbox of another process stopped. To be called before anything else.

        Args:
            seen: The `seq` of the last message that the page received.
            epoch: An epoch that is later than that of the page.
        """
        self.seq = self._taken_seq = seen
        self.epoch = epoch

    def queue_message(self, message: dict[str, Any]) -> None:
        """Append a message, with the next `seq`.

        Args:
            message: A JSON object without `seq`.
        """
        self.seq += 1
        text = json.dumps({**message, "seq": self.seq}, separators=(",", ":"))
        self._messages.append((self.seq, text))

    def queue_audio(self, turn: int, pcm: bytes) -> None:
        """Append sound, and drop from its end what exceeds the limit.

        Args:
            turn: The number of the turn.
            pcm: s16le mono bytes.
        """
        kept = min(len(pcm), max(0, self._capacity_bytes - self._unsent_bytes))
        self.dropped += (len(pcm) - kept) // BYTES_PER_SAMPLE
        if kept:
            start = self._ends.pop(turn, 0)
            for at in range(0, kept, ANSWER_BYTES):
                part = pcm[at : min(at + ANSWER_BYTES, kept)]
                first = start + at // BYTES_PER_SAMPLE
                self._waiting.append(AnswerFrame(self.epoch, turn, first, part))
            self._ends[turn] = start + kept // BYTES_PER_SAMPLE
            self._unsent_bytes += kept
            if len(self._ends) > TURNS_REMEMBERED:
                del self._ends[next(iter(self._ends))]

    def flush(self) -> set[int]:
        """Begin a new epoch: discard all sound that was not played, and queue a `flush` message.

        Returns:
            The turns whose sound was cut.
        """
        cut = {answer.turn for answer in (*self._sent, *self._waiting)}
        self._waiting.clear()
        self._sent.clear()
        self._unsent_bytes = self._unplayed_bytes = 0
        self.epoch = (self.epoch + 1) % EPOCHS
        self.queue_message({"type": "flush", "epoch": self.epoch})
        return cut

    def confirm_played(self, at: Position) -> None:
        """Forget the frames that the page has played, so that more may be sent.

        Args:
            at: The position that the page has played up to. Frames are played in order.
        """
        position = (at.turn, at.samples)
        while self._sent and (self._sent[0].turn, self._sent[0].end) <= position:
            self._unplayed_bytes -= len(self._sent.popleft().pcm)

    def take_next(self) -> str | bytes | None:
        """Return the next message or frame to send.

        Returns:
            A text frame, a binary frame, or None while nothing waits or the page has `lead_s` of
            sound that it has not played.
        """
        if self._taken_seq < self.seq:
            oldest = self._messages[0][0]
            self._taken_seq = max(self._taken_seq + 1, oldest)
            return self._messages[self._taken_seq - oldest][1]
        if self._waiting and self._unplayed_bytes < self._lead_bytes:
            answer = self._waiting.popleft()
            self._sent.append(answer)
            self._unsent_bytes -= len(answer.pcm)
            self._unplayed_bytes += len(answer.pcm)
            return answer_frame(answer)
        return None

    def rewind(self, seen: int, received: Position) -> None:
        """Queue again what a page that resumes has not received.

        Args:
            seen: The `seq` of the last message that it received.
            received: The position up to which it received sound.
        """
        oldest = self._messages[0][0] if self._messages else self.seq + 1
        self._taken_seq = min(self.seq, max(seen, oldest - 1))
        position = (received.turn, received.samples)
        while self._sent and (self._sent[-1].turn, self._sent[-1].end) > position:
            answer = self._sent.pop()
            self._waiting.appendleft(answer)
            self._unplayed_bytes -= len(answer.pcm)
            self._unsent_bytes += len(answer.pcm)

    @property
    def behind(self) -> bool:
        """True if messages were dropped before they were taken."""
        return bool(self._messages) and self._taken_seq < self._messages[0][0] - 1

    @property
    def pending(self) -> int:
        """Number of samples that have not been reported as played, in whole frames."""
        return (self._unsent_bytes + self._unplayed_bytes) // BYTES_PER_SAMPLE

    def end(self, turn: int) -> int:
        """Return the number of samples of a turn that were queued so far.

        Args:
            turn: The number of the turn; 0 samples are returned for one that is not known.
        """
        return self._ends.get(turn, 0)
