"""Rules for the sums of usage events, as a checker: the reverse of `usage` (reference 9.1).

Totals are the sums of all deltas. A delta is of the input or of the output. The input is counted
in a fixed order, `COUNTED`. The output of a turn is the text of its first sentence, then steps of
exactly 20 tokens, then the rest.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sonic_voice.catalog import MS_PER_SPEECH_TOKEN
from sonic_voice.wire import Tokens, UsageEvent

type Fits = Callable[[Tokens], bool]
"""Returns whether a delta is the expected one."""


def _text(*counts: int) -> Fits:
    """Return a test for a delta of text tokens only.

    Args:
        counts: The numbers that are allowed; none for any number.
    """
    return lambda t: t == Tokens(text_in=t.text_in) and (t.text_in in counts or not counts)


def _speech(*counts: int) -> Fits:
    return lambda t: t == Tokens(speech_in=t.speech_in) and (t.speech_in in counts or not counts)


def _prompt(delta: Tokens) -> bool:
    """Return whether a delta may be the system prompt with what the service adds: 286 or more."""
    return delta == Tokens(text_in=delta.text_in) and delta.text_in >= LEAST_PROMPT


LEAST_PROMPT = 250
"""Number of text tokens that a system prompt has at least, with what the service adds to it."""

SESSION_SPEECH = (150, 157)
"""Numbers of speech tokens that are counted for a session, although nobody spoke them: 157 in one
recording."""

COUNTED: tuple[tuple[str, Fits, str], ...] = (
    ("nothing", _text(22), "22"),
    ("22", _speech(*SESSION_SPEECH), "150"),
    ("150", _text(1), "session"),
    ("session", _text(43), "first turn"),
    ("first turn", _speech(), "its words"),
    ("first turn", _text(), "its words"),  # typed
    ("its words", _text(3, 4), "first answer"),
    ("first answer", _text(1), "prompt"),
    ("first answer", _text(1), "turn"),  # nothing was in the prompt
    ("prompt", _text(), "turn"),
    ("first answer", _prompt, "turn"),  # what belongs to the answer follows later
    ("turn", _speech(), "words"),
    ("turn", _text(), "words"),
    ("words", _text(3, 4), "answer"),
    ("answer", _text(1), "turn"),
    # A user who goes on speaking has answers prepared that are not given.
    ("turn", _text(1, 2), "turn"),
    ("answer", _text(2), "turn"),
    # Speech without words, and a text that is not answered, are counted and have no answer.
    ("first answer", _speech(), "its words"),
    ("first answer", _text(), "its words"),
    ("answer", _speech(), "words"),
    ("answer", _text(), "words"),
)
"""Transitions of the input count: state, delta, next state. A delta that fits two rows continues in
both."""

AT_ONCE = frozenset({"22", "150", "its words", "words"})
"""States in which the next delta comes before anything else."""

STEP = 20
"""Number of output tokens in a step, speech and text together."""


def check_sums(record: UsageEvent, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Check the three sums beside the totals (3.2).

    Args:
        record: The usage event.
        body: Its body.

    Yields:
        The name of a broken rule and how it is broken.
    """
    total = record.total
    come, go = total.speech_in + total.text_in, total.speech_out + total.text_out
    told = (body["totalInputTokens"], body["totalOutputTokens"], body["totalTokens"])
    if told != (come, go, come + go):
        yield "totals", f"{told} beside {total}"


class UsageCountChecker:
    """A checker of the usage events of one stream.

    Methods yield the name of a rule and what broke it.
    """

    def __init__(self) -> None:
        self._total = Tokens()
        self._states = {"nothing"}
        self._session_speech = 0

    def check_usage(self, record: UsageEvent, *, between_turns: bool) -> Iterator[tuple[str, str]]:
        """Check the next usage event.

        Args:
            record: The event.
            between_turns: Whether no answer is being given.

        Yields:
            The name of a broken rule and how it is broken.
        """
        delta = record.delta
        self._total += delta
        if record.total != self._total:
            yield "totals", f"{record.total}, but all deltas are {self._total}"
            self._total = record.total
        if min(delta.speech_in, delta.text_in, delta.speech_out, delta.text_out) < 0:
            yield "totals", f"{delta} takes something back"
        if delta.speech_in or delta.text_in:
            if "22" in self._states:
                self._session_speech = delta.speech_in
            known, self._states = self._states, self._after(delta)
            if not self._states:
                yield "counted", f"{delta} after {_or(known)}"
        else:
            yield from self._step(delta, between_turns)

    def check_other_event(self) -> Iterator[tuple[str, str]]:
        """Check that another event may come now.

        A stream that counts nothing before its first other event is not expected to count later.
        """
        late = self.unfinished
        if late:
            yield "counted", f"something else after {_or(self._states)}"
        self._states -= AT_ONCE | {"nothing"}

    def check_received_speech(self, until_ms: int) -> Iterator[tuple[str, str]]:
        """Check that no more speech was counted than was received when speech was detected.

        Args:
            until_ms: Position in the input at which speech was detected, in milliseconds.

        Yields:
            The name of a broken rule and how it is broken.
        """
        most = until_ms // MS_PER_SPEECH_TOKEN
        counted = self._total.speech_in - self._session_speech
        if counted > most:
            yield "counted", f"{counted} tokens of speech, of {most} received"

    @property
    def unfinished(self) -> bool:
        """True if a delta must come next."""
        return bool(self._states) and self._states <= AT_ONCE

    def _after(self, delta: Tokens) -> set[str]:
        return {to for at, fits, to in COUNTED if at in self._states and fits(delta)}

    def _step(self, delta: Tokens, between_turns: bool) -> Iterator[tuple[str, str]]:
        tokens = delta.speech_out + delta.text_out
        rest = 0 < tokens < STEP
        first = tokens > 0 and not delta.speech_out
        if tokens != STEP and not (between_turns and (rest or first)):
            yield "steps", f"{delta} {'between turns' if between_turns else 'in a turn'}"


def _or(states: set[str]) -> str:
    return " or ".join(sorted(states)) or "no others from the beginning"
