"""The entries of a transcript file: each turn once, when nothing of it can change any more.

    events ─► observe ─► turns that may have changed ─► take ─► entries, in order
                              ▲
    Transcript.turn_lines ────┘  what was said and heard

The words are those of the session's transcript, which knows what was heard. This module decides
when they are final:

- The words of the user are, when the answer is or a later turn has begun.
- An answer is, when it was cut off (`Heard`), or when all its sound has come and was played. An
  answer that never comes to its end is taken at the end of the conversation.

What comes later for a turn that was taken, such as the result of a slow tool or a FINAL text with
further words, becomes an entry of its own. Nothing is taken twice.

Pure: no clock, no file. The time and the number of milliseconds played are passed in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..events import (
    AssistantText,
    Audio,
    Ended,
    Event,
    Guarded,
    GuardFailed,
    Heard,
    Interrupted,
    NetworkSlow,
    PictureShown,
    Reconnecting,
    Renewed,
    StreamExpiring,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ..transcript import PLAYBACK_TAIL_MS, TURNS_CONFIRMED, Line

SLOW_EVERY_S = 60.0
"""Minimum time between two notes about a slow network, which is reported as long as it lasts, in
seconds."""

type PlayedMs = Callable[[int], int]
"""Returns how much of a turn's sound was played, in milliseconds."""

type LinesOf = Callable[[int], Sequence[Line]]
"""Returns the lines of a turn so far, such as `Transcript.turn_lines`."""


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the user."""

    at_s: float
    """Time at which they came, in seconds of the session's clock."""
    text: str
    typed: bool
    """True if they were typed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The part of an answer that was heard."""

    at_s: float
    """Time at which the answer began, in seconds of the session's clock."""
    text: str
    """The words that were heard; empty if the answer was cut off before a word of it was."""
    interrupted: bool
    """True if the answer was cut off."""
    heard_ms: int | None = None
    """Sound that was heard of an answer that was cut off, in ms; None if it is not known."""


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call."""

    at_s: float
    """Time of the call, or of a result that came after its turn was taken, in seconds of the
    session's clock."""
    name: str
    arguments_json: str | None
    """Arguments; None if the call was taken before."""
    result_json: str | None
    """Result; None if there is none yet."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A sentence about the connection."""

    at_s: float
    """Its time, in seconds of the session's clock."""
    text: str


type Entry = Said | Answered | Called | Noted


@dataclass(slots=True)
class _Call:
    """A tool call, and what was taken of it."""

    tool_use: str
    called: Called
    taken: bool = False
    """True if the call was taken."""
    result_taken: bool = False
    """True if its result was taken."""


@dataclass(slots=True)
class _Turn:
    """A turn, and what was taken of it."""

    changed: bool = True
    """True if something may have to be taken."""
    changed_at_s: float = 0.0
    said_at_s: float | None = None
    typed: bool = False
    answered_at_s: float | None = None
    sound_ms: float = 0.0
    """Length of the sound that has come, in milliseconds."""
    complete: bool = False
    """True once all sound has come."""
    interrupted: bool = False
    heard: Heard | None = None
    calls: list[_Call] = field(default_factory=list[_Call])
    notes: list[Noted] = field(default_factory=list[Noted])
    user_taken: str = ""
    """Words of the user that were taken."""
    answer_taken: str = ""
    """Words of the answer that were taken."""
    settled: bool = False
    """True once the answer was taken, or the report that nothing of it was heard."""

    @property
    def tool_runs(self) -> bool:
        """True if a call has no result yet."""
        return any(call.called.result_json is None for call in self.calls)

    def unplayed(self, played_ms: int) -> bool:
        """Return whether sound that has come was not played, and not cut off.

        Args:
            played_ms: How much of the turn was played, in milliseconds.
        """
        return self.heard is None and self.sound_ms - played_ms > PLAYBACK_TAIL_MS


class HeardTurns:
    """The turns of a conversation: events extend them, `take` returns each when it is final.

    Args:
        lines_of: Returns the lines of a turn. It may know more than the events that were observed.
    """

    def __init__(self, lines_of: LinesOf) -> None:
        self._lines_of = lines_of
        self._turns: dict[int, _Turn] = {}
        self._newest = 0
        self._slow_at_s = -math.inf
        """Time of the last note about a slow network, in seconds."""

    def observe(self, event: Event, now: float) -> list[Noted]:
        """Process an event of the conversation.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.

        Returns:
            A note that belongs to no turn, because none is going on.
        """
        match event:
            case UserText(number, _, typed):
                turn = self._turn(number, now)
                turn.typed = typed
                turn.said_at_s = now if turn.said_at_s is None else turn.said_at_s
            case AssistantText(number, _, _, stage):
                turn = self._turn(number, now)
                turn.complete = turn.complete and stage == "FINAL"
            case Audio(number, pcm, rate_hz):
                turn = self._turn(number, now)
                turn.complete = False
                turn.answered_at_s = now if turn.answered_at_s is None else turn.answered_at_s
                turn.sound_ms += len(pcm) / 2 / rate_hz * 1000
            case ToolCall() | ToolAnswered() if event.reserved:
                pass
            case ToolCall(number, tool_use, name, arguments):
                call = _Call(tool_use, Called(now, name, arguments, None))
                self._turn(number, now).calls.append(call)
            case ToolAnswered(number, tool_use, name, result):
                self._turn_answered(self._turn(number, now), tool_use, name, result)
            case TurnEnded(number):
                self._turn(number, now).complete = True
            case Interrupted(number):
                self._turn(number, now).interrupted = True
            case Heard(number):
                turn = self._turn(number, now)
                turn.heard = event
            case _:
                return self._note(event, now)
        return []

    def take(self, played_ms: PlayedMs, *, sounding: bool) -> list[Entry]:
        """Return the entries that have become final, in order.

        Args:
            played_ms: Returns how much of a turn's sound was played.
            sounding: Whether anything is still to be played.
        """
        entries: list[Entry] = []
        for number, turn in sorted(self._turns.items()):
            if not turn.changed:
                continue
            unplayed = turn.unplayed(played_ms(number))
            played = turn.complete and not turn.interrupted and not unplayed
            final, passed = turn.heard is not None or played, number < self._newest
            # What was queued and will not sound, because it was flushed, is cut at the end.
            if (unplayed and sounding) or not (passed or (final and not turn.tool_runs)):
                break
            entries += self._entries(number, turn, answer=final)
            # Of a turn that a later one has passed, the end of the answer is the next change.
            turn.changed = False
        self._forget()
        return entries

    def take_all(self) -> list[Entry]:
        """Return all entries that are left, once the transcript is cut where playback stopped."""
        entries: list[Entry] = []
        for number, turn in sorted(self._turns.items()):
            entries += self._entries(number, turn, answer=True)
            turn.changed = False
        return entries

    def awaits_playback(self) -> bool:
        """Return whether an answer has come to its end and is not final: it is still played."""
        return any(
            turn.changed and turn.complete and turn.heard is None for turn in self._turns.values()
        )

    def _note(self, event: Event, now: float) -> list[Noted]:
        match event:
            case NetworkSlow() if now - self._slow_at_s < SLOW_EVERY_S:
                return []
            case NetworkSlow():
                self._slow_at_s, text = now, event.notice
            case Reconnecting(attempt=1) | StreamExpiring() | Guarded() | GuardFailed():
                text = event.notice
            case PictureShown():
                text = event.notice
            case Renewed() if not event.planned:
                text = event.notice
            case Ended(error):
                text = error.message
            case _:
                return []
        note, turn = Noted(now, text), self._turns.get(self._newest)
        if turn is None or not turn.changed:
            return [note]
        turn.notes.append(note)
        return []

    def _turn(self, number: int, now: float) -> _Turn:
        turn = self._turns.setdefault(number, _Turn())
        turn.changed, turn.changed_at_s = True, now
        self._newest = max(self._newest, number)
        return turn

    def _turn_answered(self, turn: _Turn, tool_use: str, name: str, result_json: str) -> None:
        """Note the result of the newest call with an id, also if the call itself is not known."""
        now = turn.changed_at_s
        for call in reversed(turn.calls):
            if call.tool_use == tool_use and call.called.result_json is None:
                break
        else:
            turn.calls.append(call := _Call(tool_use, Called(now, name, None, None)))
        call.called = replace(call.called, result_json=result_json)
        if call.taken:
            call.called = Called(now, name, None, result_json)

    def _entries(self, number: int, turn: _Turn, *, answer: bool) -> list[Entry]:
        """Return what was not taken of a turn, in order of time, and mark it as taken.

        Args:
            number: Number of the turn.
            turn: Its state.
            answer: Whether to take the answer, too.
        """
        lines = {line.role: line for line in self._lines_of(number)}
        entries: list[Entry] = []
        said = lines.get("USER")
        if said is not None and (text := _rest(turn.user_taken, said.text)):
            turn.user_taken = said.text
            at_s = turn.changed_at_s if turn.said_at_s is None else turn.said_at_s
            entries.append(Said(at_s, text, turn.typed))
            turn.said_at_s = None
        entries += [*_take_calls(turn), *turn.notes]
        turn.notes.clear()
        if answer:
            entries += _take_answer(turn, lines.get("ASSISTANT"))
        return sorted(entries, key=lambda entry: entry.at_s)

    def _forget(self) -> None:
        """Drop old turns to which nothing can be added any more."""
        for number in sorted(self._turns)[:-TURNS_CONFIRMED]:
            turn = self._turns[number]
            if not turn.changed and (turn.settled or not turn.sound_ms):
                del self._turns[number]


def _take_calls(turn: _Turn) -> list[Called]:
    """Return the calls and results that were not taken, and mark them as taken."""
    new: list[Called] = []
    for call in turn.calls:
        answered = call.called.result_json is not None
        if not call.taken or (answered and not call.result_taken):
            new.append(call.called)
        call.taken, call.result_taken = True, answered
    return new


def _take_answer(turn: _Turn, line: Line | None) -> list[Answered]:
    """Return what was heard of an answer and not taken, and mark it as taken.

    Args:
        turn: The state of the turn.
        line: The answer's line of the transcript; None if nothing was heard.
    """
    heard_ms = None if turn.heard is None else turn.heard.heard_ms
    cut = turn.heard is not None or (line is not None and line.interrupted)
    text = "" if line is None else _rest(turn.answer_taken, line.text)
    first, turn.settled = not turn.settled, turn.settled or line is not None or cut
    if not text and not (cut and first):
        return []
    turn.answer_taken = turn.answer_taken if line is None else line.text
    at_s = turn.changed_at_s if turn.answered_at_s is None else turn.answered_at_s
    turn.answered_at_s = None
    return [Answered(at_s, text, cut, heard_ms)]


def _rest(taken: str, text: str) -> str:
    """Return the words that a text has beyond those that were taken.

    Words that were changed later are not taken again.
    """
    return text[len(taken) :].strip() if text.startswith(taken) else ""
