"""What a live conversation looks like at a moment: which words have sounded, who is at work.

The text of an answer comes seconds before its sound has been heard. The playout clock says how
much of it was, so each live turn is told in two parts: what has been heard and what is to come.
FINAL texts are left aside: they repeat the plan, seconds late or never.

A turn is *live* until nothing of it can change: its sound has come and was heard, or was cut. Then
it is taken, once and in order, to be written where it stays. What comes later for such a turn, as
the result of a slow tool, makes a turn of its own with the same number.

Pure: no clock, no terminal. What has sounded is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ...events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ...transcript import PLAYBACK_TAIL_MS, Transcript

type PlayedMs = Callable[[int], int]
"""How many milliseconds of a turn have sounded."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a turn. `arguments_json` or `result_json` is None where it is not known."""

    name: str
    arguments_json: str | None
    result_json: str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn at a moment."""

    number: int
    said: str
    typed: bool
    calls: tuple[Call, ...]
    heard: str
    """Of the answer, what has sounded."""
    rest: str
    """The rest of it: to come, or if `interrupted` never to come."""
    interrupted: bool


@dataclass(slots=True)
class _Turn:
    said: list[str] = field(default_factory=list[str])
    typed: bool = False
    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    sound_ms: float = 0.0
    block_ms: float = 0.0
    """Of it, the newest block's."""
    ended: bool = False
    heard: Heard | None = None

    @property
    def call(self) -> str:
        """A tool that runs; empty if none does."""
        return next((call.name for call in self.calls.values() if call.result_json is None), "")


class Scene:
    """Grows with the conversation's events, shrinks by the turns that are taken."""

    def __init__(self) -> None:
        self._turns: dict[int, _Turn] = {}
        self._taken = 0
        self._owes_answer = False
        self._plans = Transcript()  # every answer in it counts as cut where playback is

    def tell(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case UserText(number, text, typed):
                self._user(number, text, typed)
            case AssistantText(number, _, text, "SPECULATIVE"):
                self._plan(number, text)
            case Audio(number, pcm, rate_hz):
                self._sound(number, pcm, rate_hz)
            case ToolCall(number, tool_use, name, arguments):
                self._turn(number).calls[tool_use] = Call(name, arguments, None)
            case ToolAnswered(number, tool_use, name, result):
                calls = self._turn(number).calls
                arguments = calls[tool_use].arguments_json if tool_use in calls else None
                calls[tool_use] = Call(name, arguments, result)
                self._owes_answer = True
            case TurnEnded(number) | Interrupted(number):
                self._end(number)
            case Heard(number) if number in self._turns:
                self._end(number)
                self._turns[number].heard = event
            case _:
                pass

    def take(self, played_ms: PlayedMs) -> list[Turn]:
        """The oldest turns that are live no longer; the scene forgets them."""
        taken: list[Turn] = []
        for number, turn in sorted(self._turns.items()):
            passed = number <= self._taken or number < max(self._turns)
            over = passed or (turn.ended and not turn.call)
            if not over or self._sounds(number, turn, played_ms):
                break
            taken.append(self._shown(number, played_ms, whole=True))
            del self._turns[number]
            self._taken = max(self._taken, number)
        return taken

    def live(self, played_ms: PlayedMs) -> tuple[Turn, ...]:
        """The other turns, as they are now."""
        return tuple(self._shown(number, played_ms) for number in sorted(self._turns))

    def activity(self, sounding: bool, idle: str) -> str:
        """What is going on, in a word or two; `idle` if nothing is."""
        if sounding:
            return "speaking"
        for turn in self._turns.values():
            if turn.call:
                return f"tool {turn.call}"
        return "thinking" if self._owes_answer else idle

    def _user(self, number: int, text: str, typed: bool) -> None:
        turn = self._turn(number)
        if not turn.sound_ms:  # the user only went on talking
            self._plans.drop_plans(number)
        turn.said.append(text.strip())
        turn.typed = typed
        self._owes_answer = True

    def _plan(self, number: int, text: str) -> None:
        turn = self._turn(number)
        self._end_block(number, turn)
        self._plans.interrupt(number)
        self._plans.plan(number, text)

    def _sound(self, number: int, pcm: bytes, rate_hz: int) -> None:
        self._owes_answer = False
        if turn := self._turns.get(number):
            ms = len(pcm) / 2 / rate_hz * 1000
            turn.sound_ms += ms
            turn.block_ms += ms
            self._plans.sound(number, pcm, rate_hz)

    def _end(self, number: int) -> None:
        self._owes_answer = False
        if turn := self._turns.get(number):
            turn.ended = True
            self._end_block(number, turn)

    def _end_block(self, number: int, turn: _Turn) -> None:
        if turn.block_ms:
            turn.block_ms = 0.0
            self._plans.sound_ended(number)

    def _turn(self, number: int) -> _Turn:
        return self._turns.setdefault(number, _Turn())

    def _sounds(self, number: int, turn: _Turn, played_ms: PlayedMs) -> bool:
        return turn.heard is None and turn.sound_ms - played_ms(number) > PLAYBACK_TAIL_MS

    def _shown(self, number: int, played_ms: PlayedMs, whole: bool = False) -> Turn:
        turn = self._turns[number]
        planned = self._plans.planned(number)
        if turn.heard is not None:
            planned, heard = turn.heard.planned, turn.heard.heard
        elif whole and turn.sound_ms:
            heard = planned
        else:
            self._plans.hear(number, played_ms(number))
            heard = self._plans.heard(number)
        return Turn(
            number=number,
            said=" ".join(turn.said),
            typed=turn.typed,
            calls=tuple(turn.calls.values()),
            heard=heard,
            rest=planned[len(heard) :],
            interrupted=turn.heard is not None,
        )
