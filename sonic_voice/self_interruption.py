"""Detection of a model that interrupts itself: its own echo is taken for a user who speaks.

An interruption by the service belongs to words of the user, which are reported before or after it.
It counts as a self-interruption

- if these words repeat the answer that was cut off, because the microphone has heard it; or
- if no words come within `WORDS_TIMEOUT_S` after the interruption, and after the last moment at
  which local speech detection heard somebody: the service has reacted to a sound without words.

Other words are the user's. A typed turn interrupts on purpose. A user may repeat a word of the
answer, so that fewer than `MIN_REPEATED_WORDS` prove nothing.

`SelfInterruptionMonitor` counts them. When there are `MANY` within `WITHIN_S`, it is time to close
the microphone while the model speaks (half duplex).

Pure: time is an argument, in seconds.
"""

import re
from collections import deque
from difflib import SequenceMatcher

from .events import AssistantText, Event, Interrupted, UserText

WORDS_TIMEOUT_S = 4.0
"""Time for the words of an interruption, in seconds: the service sends them 0.3 to 2 s after the
user has stopped (protocol reference 2.2)."""

MIN_REPEATED_WORDS = 2
"""Number of words in a row that must be repeated from the answer. One word, such as `yes` or
`stop`, may be the user's own."""

REPEATED_SHARE = 0.7
"""Minimum share of the words that must be repeated from the answer. Some words of an echo are
recognized wrongly, and a user who quotes the answer adds words of their own."""

MANY = 2
"""Number of self-interruptions within `WITHIN_S` that are reported."""

WITHIN_S = 60.0
"""Time within which self-interruptions are counted, in seconds: an echo that is not removed returns
with nearly every answer, a cough does not."""


class SelfInterruptionMonitor:
    """A counter of self-interruptions in one conversation."""

    def __init__(self) -> None:
        self._answers: dict[int, str] = {}
        self._interrupted: int | None = None
        """Turn whose interruption is not judged yet."""
        self._words: UserText | None = None
        """The last words of the user."""
        self._words_due_s = 0.0
        self._times_s: deque[float] = deque(maxlen=MANY)

    def observe(self, event: Event, now: float) -> bool:
        """Process an event of the conversation.

        Args:
            event: The event.
            now: Its time, in seconds.

        Returns:
            Whether there were `MANY` self-interruptions within `WITHIN_S`. Counting then begins
            again.
        """
        due = self.check(now)
        match event:
            case AssistantText(turn, _, text, "SPECULATIVE"):
                self._add_answer(turn, text)
            case Interrupted(turn):
                self._interrupted, self._words_due_s = turn, now + WORDS_TIMEOUT_S
                due |= self._judge(now)
            case UserText():
                self._words = event
                due |= self._judge(now)
            case _:
                pass
        return due

    def check(self, now: float, *, speaking: bool = False) -> bool:
        """Process the passing of time. To be called several times a second.

        Args:
            now: The time, in seconds.
            speaking: Whether local speech detection hears somebody, whose words are still to come.

        Returns:
            See `observe`.
        """
        if self._interrupted is None:
            return False
        if speaking:
            self._words_due_s = max(self._words_due_s, now + WORDS_TIMEOUT_S)
        if now < self._words_due_s:
            return False
        self._interrupted = None
        return self._count(now)

    def _judge(self, now: float) -> bool:
        """Count the interruption if its words have come, and repeat the answer."""
        turn, words = self._interrupted, self._words
        if turn is None or words is None or words.turn <= turn:
            return False
        self._interrupted = None
        echo = not words.typed and repeats(words.text, self._answers.get(turn, ""))
        return echo and self._count(now)

    def _add_answer(self, turn: int, text: str) -> None:
        # Only the answer that sounds can be interrupted: two turns are enough.
        self._answers = {t: said for t, said in self._answers.items() if t >= turn - 1}
        self._answers[turn] = f"{self._answers.get(turn, '')} {text}"

    def _count(self, now: float) -> bool:
        self._times_s.append(now)
        if len(self._times_s) < MANY or now - self._times_s[0] > WITHIN_S:
            return False
        self._times_s.clear()
        return True


def repeats(text: str, answer: str) -> bool:
    """Return whether words repeat an answer, apart from wrongly recognized ones.

    Args:
        text: The words.
        answer: The whole text of the answer.
    """
    words, answered = _words(text), _words(answer)
    if not words:
        return True
    matcher = SequenceMatcher(None, words, answered, autojunk=False)
    in_a_row = [block.size for block in matcher.get_matching_blocks()]
    return max(in_a_row) >= MIN_REPEATED_WORDS and sum(in_a_row) / len(words) >= REPEATED_SHARE


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())
