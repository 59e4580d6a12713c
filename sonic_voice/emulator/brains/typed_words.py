"""A brain for an emulator without a recogniser: typed words are understood, speech is not.

Speech moves the built-in scenario on, whose steps need no words. Typed words are answered by small
talk. The two know nothing of each other's turns; what a turn calls is answered by the brain that
made the call.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..scenario import Recording
from ..service.brain import Brain, BrainSession, ConversationSetup, Reply
from .resumption import stage_direction


class TypedWordsSession:
    """A session of two brains. Implements `BrainSession`.

    Args:
        speech: Answers speech.
        typed: Answers typed words.
    """

    def __init__(self, speech: BrainSession, typed: BrainSession) -> None:
        self._sessions = (speech, typed)
        self._latest = 0

    def told(self, role: str, text: str) -> None:
        """See `BrainSession`. Both take note of it."""
        for session in self._sessions:
            session.told(role, text)

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """See `BrainSession`. A text that continues the last answer goes to its brain."""
        if not (typed and stage_direction(words or "") is not None):
            self._latest = int(typed)
        return self._numbered(self._latest, self._sessions[self._latest].hear(words, typed=typed))

    def played(self, sentence: str) -> None:
        """See `BrainSession`. The brain of the last reply takes note of it."""
        self._sessions[self._latest].played(sentence)

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """See `BrainSession`."""
        number, which = divmod(number, 2)
        return self._numbered(which, self._sessions[which].result(number, result))

    def thought(self, piece: str | None) -> Reply:
        """See `BrainSession`. Neither brain asks an endpoint."""
        return Reply()

    @staticmethod
    def _numbered(which: int, reply: Reply) -> Reply:
        """Return a reply whose calls have numbers that tell the brains apart."""
        calls = tuple(replace(call, number=2 * call.number + which) for call in reply.calls)
        return replace(reply, calls=calls)


class TypedWordsBrain:
    """One brain for speech and another for typed words. Implements `Brain`.

    Args:
        speech: Answers speech, whose words are not known. It decides voice and endpointing.
        typed: Answers typed words.
    """

    def __init__(self, speech: Brain, typed: Brain) -> None:
        self._speech = speech
        self._typed = typed

    @property
    def endpoint_ms(self) -> int | None:
        """See `Brain`."""
        return self._speech.endpoint_ms

    @property
    def voice(self) -> str | None:
        """See `Brain`."""
        return self._speech.voice

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """See `Brain`."""
        return TypedWordsSession(self._speech.begin(opening), self._typed.begin(opening))

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """See `Brain`. Only the brain of speech has recordings."""
        return self._speech.sound(recording, rate_hz)
