"""The state of a live conversation for display: which text was heard, and the current activity.

The text of an answer arrives seconds before its sound has been played. The playout clock says how
much was played, so the answer of a live turn has two parts: the text that was heard and the text
that is still to come. FINAL texts are ignored: they repeat the plan, seconds late or never.

A turn is *live* until nothing of it can change: all its sound has arrived and was played, or was
cut off. Then it is taken, once and in order, to be printed permanently. If something arrives later
for such a turn, such as the result of a slow tool or more of its answer, it becomes a part of its
own with the same number, and has only what was not taken before. Of an answer that was cut off
nothing is shown any more: after an interruption by key, the service goes on sending it.

Pure: no clock, no terminal. The number of milliseconds played and the time are passed in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
    ToolHeld,
    ToolProgress,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from ...transcript import PLAYBACK_TAIL_MS, Transcript

type PlayedMs = Callable[[int], int]
"""Returns how much of a turn's sound was played, in milliseconds."""

SILENT_S = 3.0
"""Time without any reaction of the service, after speech or while an answer is owed, from which on
the screen says so, in seconds. Answers take 1 to 2 s."""

NOISE_S = 10.0
"""Time after local speech from which on it counts as a noise that needs no reaction, in seconds. A
dead connection is reported by then."""

TURNS_REMEMBERED = 64
"""Number of taken turns, the newest ones, of which parts may still arrive. The answers of older
turns are ignored. It is far more than a slow tool lasts, and bounds the memory."""


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A tool call of a turn."""

    name: str
    """Name of the tool."""
    arguments_json: str | None
    """Arguments; None if they belong to a turn that was taken already."""
    result_json: str | None
    """Result; None while the tool runs."""
    status: str = ""
    """The words that are reported of it until its result is sent; may be empty."""


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
    continued: bool = False
    """True if an earlier part of this turn was taken before."""


@dataclass(slots=True)
class _TakenTurn:
    """The facts about a turn that are needed after it was taken."""

    sound_ms: float = 0.0
    """Length of the sound of the parts that were taken, in milliseconds."""
    cut: bool = False
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
    # For the transcript every answer counts as cut off at the current position of playback.
    plans: Transcript = field(default_factory=Transcript)
    """Texts of the answer, with their sound."""

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
        self._taken: dict[int, _TakenTurn] = {}
        self._newest_taken = 0
        self._owes_answer = False
        self._speaks_here = False
        """True while local speech detection hears the user."""
        self._speaks_there = False
        """True while the service hears the user."""
        self._silent_since_s: float | None = None
        """Time since which the service owes a reaction; None if it owes none."""

    def observe(self, event: Event, now: float) -> None:
        """Process an event of the conversation.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        if isinstance(event, ToolCall | ToolAnswered) and event.reserved:
            return  # the model asks for its own words
        self._note_reaction(event, now)
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
            case ToolCall() | ToolProgress() | ToolHeld() | ToolAnswered():
                self._tool(event)
            case TurnEnded(number) | Interrupted(number):
                self._end(number)
            case Heard(number):
                self._cut(number, event)
            case _:
                pass

    def _tool(self, event: ToolCall | ToolProgress | ToolHeld | ToolAnswered) -> None:
        match event:
            case ToolCall(number, tool_use, name, arguments):
                self._turn(number).calls[tool_use] = ShownCall(name, arguments, None)
            case ToolProgress(number, tool_use, _, text):
                self._report(number, tool_use, text)
            case ToolHeld(number, tool_use):
                self._report(number, tool_use, event.notice)
            case ToolAnswered(number, tool_use, name, result):
                calls = self._turn(number).calls
                arguments = calls[tool_use].arguments_json if tool_use in calls else None
                calls[tool_use] = ShownCall(name, arguments, result)
                self._owes_answer = True

    def _report(self, number: int, tool_use: str, text: str) -> None:
        """Show the status of a call, unless its turn was taken."""
        turn = self._turns.get(number)
        if turn is not None and tool_use in turn.calls:
            turn.calls[tool_use] = replace(turn.calls[tool_use], status=text)

    def _note_reaction(self, event: Event, now: float) -> None:
        """Note whether the service hears the user, and since when it owes a reaction."""
        match event:
            case UserSpeechStarted():
                self._speaks_there, self._silent_since_s = True, None
            case UserSpeechEnded() | UserText() | ToolAnswered():
                self._speaks_there, self._silent_since_s = False, now
            case AssistantText() | Audio() | ToolCall() | TurnEnded() | Interrupted():
                self._silent_since_s = None
            case Reconnecting() | Renewed():  # the new stream reports speech anew
                self._speaks_there, self._silent_since_s = False, None
            case _:
                pass

    def hear(self, speaking: bool, now: float) -> None:
        """Take the local speech detection into account.

        Args:
            speaking: Whether it hears the user.
            now: The time on the session's clock, in seconds.
        """
        if self._speaks_here and not speaking and self._silent_since_s is None:
            self._silent_since_s = now
        self._speaks_here = speaking

    def take_finished(self, played_ms: PlayedMs) -> list[ShownTurn]:
        """Remove the oldest turns that are finished, and return them.

        Args:
            played_ms: Returns how much of a turn's sound was played.
        """
        taken: list[ShownTurn] = []
        for number, turn in sorted(self._turns.items()):
            # A turn is over when a later one has begun, even if a tool of it is still running.
            passed = number <= self._newest_taken or number < max(self._turns)
            over = passed or (turn.ended and not turn.call)
            if not over or self._sounds(number, turn, played_ms):
                break
            taken.append(self._shown(number, played_ms, whole=True))
            self._forget(number)
        return taken

    def _forget(self, number: int) -> None:
        """Remove a turn that is taken, and remember what later parts of it need."""
        turn = self._turns.pop(number)
        before = self._taken.setdefault(number, _TakenTurn())
        before.sound_ms += turn.sound_ms
        before.cut = before.cut or turn.heard is not None
        self._newest_taken = max(self._newest_taken, number)
        while len(self._taken) > TURNS_REMEMBERED:
            del self._taken[min(self._taken)]

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
        if self._speaks_here or self._speaks_there:
            return "hearing you"
        if sounding:
            return "speaking"
        for turn in self._turns.values():
            if turn.call:
                return f"tool {turn.call}"
        silent_s = 0.0 if self._silent_since_s is None else now - self._silent_since_s
        if silent_s >= SILENT_S and (self._owes_answer or silent_s < NOISE_S):
            return f"service silent for {int(silent_s)} s"
        return "thinking" if self._owes_answer else idle

    def _user(self, number: int, text: str, typed: bool) -> None:
        turn = self._turn(number)
        if not turn.sound_ms:  # the user continued to speak before the answer began
            turn.plans.drop_plans(number)
        turn.said.append(text.strip())
        turn.typed = typed
        self._owes_answer = True

    def _plan(self, number: int, text: str) -> None:
        if self._is_cut(number):
            return
        turn = self._turn(number)
        self._end_block(number, turn)
        turn.plans.interrupt(number)
        turn.plans.plan(number, text)

    def _sound(self, number: int, pcm: bytes, rate_hz: int) -> None:
        self._owes_answer = False
        ms = len(pcm) / 2 / rate_hz * 1000
        if turn := self._turns.get(number):
            turn.sound_ms += ms
            turn.block_ms += ms
            turn.plans.sound(number, pcm, rate_hz)
        elif number in self._taken:
            self._taken[number].sound_ms += ms

    def _end(self, number: int) -> None:
        self._owes_answer = False
        if turn := self._turns.get(number):
            turn.ended = True
            self._end_block(number, turn)

    def _cut(self, number: int, heard: Heard) -> None:
        """Cut off the answer of a turn, once, where its playback stopped."""
        if self._is_cut(number):
            return
        if turn := self._turns.get(number):
            self._end(number)
            turn.heard = heard
        if number in self._taken:
            self._taken[number].cut = True

    def _is_cut(self, number: int) -> bool:
        """Return whether the answer of a turn was cut off, or is too old to be shown."""
        turn, before = self._turns.get(number), self._taken.get(number)
        if (turn is not None and turn.heard is not None) or (before is not None and before.cut):
            return True
        return before is None and number <= self._newest_taken - TURNS_REMEMBERED

    def _end_block(self, number: int, turn: _TurnState) -> None:
        if turn.block_ms:
            turn.block_ms = 0.0
            turn.plans.sound_ended(number)

    def _turn(self, number: int) -> _TurnState:
        return self._turns.setdefault(number, _TurnState())

    def _sounds(self, number: int, turn: _TurnState, played_ms: PlayedMs) -> bool:
        unheard_ms = turn.sound_ms - self._played_of_part(number, played_ms(number))
        return turn.heard is None and unheard_ms > PLAYBACK_TAIL_MS

    def _played_of_part(self, number: int, played_ms: int) -> int:
        """Return how much of the live part of a turn was played, in milliseconds.

        Args:
            number: Number of the turn.
            played_ms: How much of the whole turn was played, in milliseconds.
        """
        before = self._taken.get(number)
        return max(0, round(played_ms - before.sound_ms)) if before else played_ms

    def _shown(self, number: int, played_ms: PlayedMs, whole: bool = False) -> ShownTurn:
        turn, continued = self._turns[number], number in self._taken
        planned = turn.plans.planned(number)
        if turn.heard is not None and not continued:
            planned, heard = turn.heard.planned, turn.heard.heard
        elif whole and turn.sound_ms and turn.heard is None:
            heard = planned
        else:
            total_ms = played_ms(number) if turn.heard is None else turn.heard.heard_ms
            turn.plans.hear(number, self._played_of_part(number, total_ms))
            heard = turn.plans.heard(number)
        return ShownTurn(
            number=number,
            said=" ".join(turn.said),
            typed=turn.typed,
            calls=tuple(turn.calls.values()),
            heard=heard,
            rest=planned[len(heard) :],
            interrupted=turn.heard is not None,
            continued=continued,
        )
