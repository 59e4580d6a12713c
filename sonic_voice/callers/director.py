"""The director of a caller: decides before each chunk of audio whether the caller begins to speak.

    lead ──► turn 1 speaks ──► answer ──► pause ──► turn 2 speaks ──► ... ──► done
                                 └── at its n-th word ──►┘

All times are positions in the caller's audio. The director asks no clock, so that on virtual time
each run of a file is the same.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from ..audio.ports import AudioSink
from .caller_source import CallerSource
from .conversation_log import ConversationLog
from .expectations import needs_answer
from .records import Moment, ScriptedTurn

LEAD_MS = 500
"""Silence before the first turn, in milliseconds."""

PAUSE_MS = 500
"""Silence between an answer and the next turn, if the file does not say, in milliseconds. People
take 200 to 700 ms."""

ANSWER_TIMEOUT_S = 30.0
"""Maximum time without any event while an answer is owed, in seconds."""

NO_ANSWER_AFTER_S = 5.0
"""The same for a turn that need not be answered, in seconds. The service notices the end of speech
within 2 s (reference 2.2), and answers 1 to 2 s later."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A turn of the caller, ready to be spoken."""

    pcm: bytes
    """s16le mono PCM at the rate of the session's input."""
    turn: ScriptedTurn
    """The turn in the file, or one that was made up."""


type NextUtterance = Callable[[int], Awaitable[Utterance | Literal["later"] | None]]
"""A function that is awaited with the number of a turn, from 1, and returns it; None after the
last, and `later` to be asked again at the next chunk."""


class Director:
    """The decisions of one caller. `before_chunk` is called before each chunk of its audio.

    Args:
        log: The log of the conversation.
        sink: The sink in which the answers sound.
        next_utterance: Returns the turns.
        reads_ahead: Whether a turn is asked for while the answer before it sounds, at one of whose
            words it may begin; otherwise once that answer is over.
    """

    def __init__(
        self,
        log: ConversationLog,
        sink: AudioSink,
        next_utterance: NextUtterance,
        *,
        reads_ahead: bool,
    ) -> None:
        self._log = log
        self._sink = sink
        self._next_utterance = next_utterance
        self._reads_ahead = reads_ahead
        self._upcoming: Utterance | None = None
        self._number = 0
        self._ended = False
        self._quiet_since_s: float | None = None
        self._speaks = False
        self._optional = False

    async def before_chunk(self, source: CallerSource) -> None:
        """Decide what the caller does now.

        Args:
            source: The caller's audio, which is told to speak, or that it is done.
        """
        now = source.now()
        if self._speaks:
            if source.speaking:
                return
            self._speaks = False
            self._log.end_speech(now)
        self._watch(now)
        if source.done:
            return
        if self._upcoming is None and not self._ended and (self._reads_ahead or self._quiet(now)):
            asked = await self._next_utterance(self._number + 1)
            if asked == "later":
                return
            self._upcoming, self._ended = asked, asked is None
        if self._ended:
            source.done = self._quiet_since_s is not None
        elif self._upcoming is not None and self._is_due(self._upcoming.turn.moment, now):
            self._begin(source, self._upcoming, now)

    def _watch(self, now: float) -> None:
        """Note since when it is quiet: nothing sounds and no answer is owed."""
        log = self._log
        limit_s = NO_ANSWER_AFTER_S if self._optional else ANSWER_TIMEOUT_S
        if now - log.last_event_s > limit_s and self._sink.pending_s <= 0:
            log.give_up()
        if log.owed or log.calls_open or self._sink.pending_s > 0:
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = now

    def _quiet(self, now: float) -> bool:
        return self._quiet_since_s is not None and now >= self._quiet_since_s

    def _is_due(self, moment: Moment, now: float) -> bool:
        """Return whether a turn begins now."""
        if moment.word is not None and self._heard(moment.word):
            return True
        if self._quiet_since_s is None:
            return False
        default_ms = PAUSE_MS if self._number else LEAD_MS
        pause_ms = default_ms if moment.silence_ms is None else moment.silence_ms
        return now - self._quiet_since_s >= pause_ms / 1000

    def _heard(self, word: int) -> bool:
        """Return whether a word of the answer to the current turn was heard."""
        log = self._log
        if log.answering is None or log.current.response_latency_ms is None:
            return False  # the newest sound belongs to an earlier turn
        return log.words_heard(self._sink.played_ms(log.answering)) >= word

    def _begin(self, source: CallerSource, utterance: Utterance, now: float) -> None:
        moment = utterance.turn.moment
        missed = moment.word is not None and not self._heard(moment.word)
        observed = self._log.begin_turn(utterance.turn.say, now)
        observed.missed_word = moment.word if missed else None
        self._optional = not needs_answer(utterance.turn.expect)
        self._number += 1
        self._upcoming = None
        self._quiet_since_s = None
        self._speaks = True
        source.speak(utterance.pcm)
