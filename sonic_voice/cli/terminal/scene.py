"""The state of a live conversation for display: which text was heard, and the current activity.

The text of an answer arrives seconds before its sound has been played. The playout clock says how
much was played, so the answer of a live turn has two parts: the text that was heard and the text
that is still to come. FINAL texts are ignored: they repeat the plan, seconds late or never.

A turn is *live* until nothing of it can change: all its sound has arrived and was played, or was
cut off. Then it is taken, once and in order, to be printed permanently. If something arrives later
for such a turn, such as the result of a slow tool, it becomes a turn of its own with the same
number.

Pure: no clock, no terminal. The number of milliseconds played and the time are passed in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ...events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    Opened,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ...transcript import PLAYBACK_TAIL_MS, Transcript

type PlayedMs = Callable[[int], int]
"""Returns how much of a turn's sound was played, in milliseconds."""


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A tool call of a turn."""

    name: str
    """Name of the tool."""
    arguments_json: str | None
    """Arguments; None if they belong to a turn that was taken already."""
    result_json: str | None
    """Result; None while the tool runs."""


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """The current state of a turn."""

    number: int
    """Number of the turn."""
    said: str
    """Text of the user."""
    typed: bool
    """True if the user typed the text."""
    calls: tuple[ShownCall, ...]
    """Tool calls, in order."""
    heard: str
    """Part of the answer that was played."""
    rest: str
    """Rest of the answer: still to come, or cut off if `interrupted`."""
    interrupted: bool
    """True if the answer was cut off."""


@dataclass(slots=True)
class _TurnState:
    """The events of a live turn so far."""

    said: list[str] = field(default_factory=list[str])
    typed: bool = False
    calls: dict[str, ShownCall] = field(default_factory=dict[str, ShownCall])
    sound_ms: float = 0.0
    """Length of the sound that has arrived, in milliseconds."""
    block_ms: float = 0.0
    """Length of the sound of the current block, in milliseconds."""
    ended: bool = False
    """True after the end of the answer or its interruption."""
    heard: Heard | None = None
    """Text that was heard of an answer that was cut off."""

    @property
    def call(self) -> str:
        """Name of a running tool; empty if there is none."""
        return next((call.name for call in self.calls.values() if call.result_json is None), "")


class Scene:
    """The live turns of a conversation: events extend them, and `take_finished` removes them.

    Args:
        opened: Whether the service has taken the conversation already. Otherwise `Opened` reports
            it.
    """

    def __init__(self, *, opened: bool = True) -> None:
        self._opened = opened
        self._retry_at_s: float | None = None
        """Time at which the next attempt to connect begins; None if there is a connection."""
        self._turns: dict[int, _TurnState] = {}
        self._taken = 0
        self._owes_answer = False
        # For the transcript every answer counts as cut off at the current position of playback.
        self._plans = Transcript()

    def observe(self, event: Event, now: float) -> None:
        """Process an event of the conversation.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        match event:
            case Reconnecting(_, _, retry_in_s):
                self._retry_at_s = now + retry_in_s
            case Opened() | Renewed():
                self._opened, self._retry_at_s = True, None
            case UserText(number, text, typed):
                self._user(number, text, typed)
            case AssistantText(number, _, text, "SPECULATIVE"):
                self._plan(number, text)
            case Audio(number, pcm, rate_hz):
                self._sound(number, pcm, rate_hz)
            case ToolCall(number, tool_use, name, arguments):
                self._turn(number).calls[tool_use] = ShownCall(name, arguments, None)
            case ToolAnswered(number, tool_use, name, result):
                calls = self._turn(number).calls
                arguments = calls[tool_use].arguments_json if tool_use in calls else None
                calls[tool_use] = ShownCall(name, arguments, result)
                self._owes_answer = True
            case TurnEnded(number) | Interrupted(number):
                self._end(number)
            case Heard(number) if number in self._turns:
                self._end(number)
                self._turns[number].heard = event
            case _:
                pass

    def take_finished(self, played_ms: PlayedMs) -> list[ShownTurn]:
        """Remove the oldest turns that are finished, and return them.

        Args:
            played_ms: Returns how much of a turn's sound was played.
        """
        taken: list[ShownTurn] = []
        for number, turn in sorted(self._turns.items()):
            # A turn is over when a later one has begun, even if a tool of it is still running.
            passed = number <= self._taken or number < max(self._turns)
            over = passed or (turn.ended and not turn.call)
            if not over or self._sounds(number, turn, played_ms):
                break
            taken.append(self._shown(number, played_ms, whole=True))
            del self._turns[number]
            self._taken = max(self._taken, number)
        return taken

    def live(self, played_ms: PlayedMs) -> tuple[ShownTurn, ...]:
        """Return the current state of the live turns, in order.

        Args:
            played_ms: Returns how much of a turn's sound was played.
        """
        return tuple(self._shown(number, played_ms) for number in sorted(self._turns))

    def activity(self, sounding: bool, idle: str, now: float) -> str:
        """Return the current activity in a few words.

        Args:
            sounding: Whether sound is being played.
            idle: The words to return if nothing happens.
            now: The time on the session's clock, in seconds.
        """
        if self._retry_at_s is not None:
            wait_s = math.ceil(self._retry_at_s - now)
            when = f" in {wait_s} s" if wait_s > 0 else ""
            if self._opened:
                return f"connection lost: reconnecting{when}"
            return f"connecting again{when}"
        if not self._opened:
            return "connecting"
        if sounding:
            return "speaking"
        for turn in self._turns.values():
            if turn.call:
                return f"tool {turn.call}"
        return "thinking" if self._owes_answer else idle

    def _user(self, number: int, text: str, typed: bool) -> None:
        turn = self._turn(number)
        if not turn.sound_ms:  # the user continued to speak before the answer began
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

    def _end_block(self, number: int, turn: _TurnState) -> None:
        if turn.block_ms:
            turn.block_ms = 0.0
            self._plans.sound_ended(number)

    def _turn(self, number: int) -> _TurnState:
        return self._turns.setdefault(number, _TurnState())

    def _sounds(self, number: int, turn: _TurnState, played_ms: PlayedMs) -> bool:
        return turn.heard is None and turn.sound_ms - played_ms(number) > PLAYBACK_TAIL_MS

    def _shown(self, number: int, played_ms: PlayedMs, whole: bool = False) -> ShownTurn:
        turn = self._turns[number]
        planned = self._plans.planned(number)
        if turn.heard is not None:
            planned, heard = turn.heard.planned, turn.heard.heard
        elif whole and turn.sound_ms:
            heard = planned
        else:
            self._plans.hear(number, played_ms(number))
            heard = self._plans.heard(number)
        return ShownTurn(
            number=number,
            said=" ".join(turn.said),
            typed=turn.typed,
            calls=tuple(turn.calls.values()),
            heard=heard,
            rest=planned[len(heard) :],
            interrupted=turn.heard is not None,
        )
