"""The record of a conversation under test, made from its events alone.

`ConversationRecord` is an observer. It keeps every event with its time, and for each turn of the
service what was said, called, heard and cut. Nothing here reads a clock: times come with the
events, from the clock of the conversation.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from ..answer_blocks import AnswerBlock, cut_answer
from ..events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    TurnEnded,
    UserSpeechEnded,
    UserText,
)


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event of the conversation with its time."""

    at_ms: int
    """Time since the conversation began, in ms of its clock."""
    event: Event


@dataclass(slots=True)
class CalledTool:
    """A tool call of the model."""

    tool_use: str
    """Id of the call."""
    name: str
    arguments: dict[str, Any]
    at_ms: int
    """Time of the call, in ms of the conversation's clock."""
    result: Any = None
    """The result that was sent, decoded from JSON; None until it is sent."""
    answered: bool = False
    """True once the result was sent."""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        result = json.dumps(self.result, ensure_ascii=False) if self.answered else "(no result)"
        return f"{self.name}({arguments}) -> {result}"


@dataclass(slots=True)
class ServiceTurn:
    """One turn as the service numbers them: words of the user, and the answer to them."""

    number: int
    at_ms: int
    """Time of its first event, in ms of the conversation's clock."""
    user: list[str] = field(default_factory=list[str])
    typed: bool = False
    """True if the user's words were sent as text."""
    user_at_ms: int | None = None
    """Time at which the user's words came."""
    speech_end_ms: int | None = None
    """Time at which the user stopped to speak, as the service reported it."""
    blocks: list[AnswerBlock] = field(default_factory=list[AnswerBlock])
    calls: list[CalledTool] = field(default_factory=list[CalledTool])
    sound_at_ms: int | None = None
    """Time at which the first sound of the answer came."""
    audible_at_ms: int | None = None
    """Time at which the first sound of the answer was audible."""
    sound_ms: float = 0.0
    """Length of the answer's sound so far, in ms."""
    ended: bool = False
    """True once all sound of the answer has come."""
    interrupted: bool = False
    heard_ms: int | None = None
    """Played length of an interrupted answer, in ms."""
    heard: str | None = None
    """The words that were heard of an interrupted answer."""

    @property
    def planned(self) -> str:
        """The whole answer as it was planned."""
        return "".join(block.planned or block.final or "" for block in self.blocks).strip()

    @property
    def user_text(self) -> str:
        """The words of the user."""
        return " ".join(text.strip() for text in self.user).strip()


class ConversationRecord:
    """An observer that keeps what happened in a conversation."""

    def __init__(self, played_ms: Callable[[int], int]) -> None:
        """Begin with nothing.

        Args:
            played_ms: Returns how many milliseconds of a turn have been played; see `AudioSink`.
        """
        self.events: list[TimedEvent] = []
        """All events but `Audio`, whose sound is counted in its turn, in their order."""
        self.turns: dict[int, ServiceTurn] = {}
        """The turns, by their numbers."""
        self.returned_calls: set[str] = set()
        """Ids of the tool calls whose tool has returned, also if the result waits for quiet."""
        self._played_ms = played_ms
        self._speech_end_ms: int | None = None
        self._on_new_turn: list[Callable[[ServiceTurn], None]] = []

    def on_new_turn(self, call: Callable[[ServiceTurn], None]) -> None:
        """Have a function called with each new turn.

        Args:
            call: The function.
        """
        self._on_new_turn.append(call)

    def __call__(self, event: Event, now: float) -> None:
        """Take the next event.

        Args:
            event: The event.
            now: Its time, in seconds of the conversation's clock.
        """
        at_ms = round(1000 * now)
        if not isinstance(event, Audio):
            self.events.append(TimedEvent(at_ms, event))
        match event:
            case UserSpeechEnded(offset_ms, _):
                self._speech_end_ms = offset_ms
            case UserText(number, text, typed):
                self._user_text(self._turn(number, at_ms), text, typed, at_ms)
            case AssistantText(number, block, text, stage):
                _add_text(self._turn(number, at_ms).blocks, block, text, stage == "FINAL")
            case Audio(number, pcm, rate_hz):
                self._sound(self._turn(number, at_ms), pcm, rate_hz, at_ms)
            case ToolCall(number, tool_use, name, arguments_json):
                call = CalledTool(tool_use, name, _object(arguments_json), at_ms)
                self._turn(number, at_ms).calls.append(call)
            case ToolHeld() | ToolAnswered():
                self._returned(event)
            case Interrupted(number):
                self._turn(number, at_ms).interrupted = True
            case Heard(number, heard_ms, heard, _):
                turn = self._turn(number, at_ms)
                turn.interrupted, turn.heard_ms, turn.heard = True, heard_ms, heard
            case TurnEnded(number):
                turn = self._turn(number, at_ms)
                turn.ended = True
                for block in turn.blocks:
                    block.whole = True
            case _:
                pass

    def heard_so_far(self, turn: ServiceTurn) -> str:
        """Return the words of an answer that have been heard until now.

        Args:
            turn: The turn.
        """
        if turn.heard is not None:
            return turn.heard
        played_ms = self._played_ms(turn.number)
        if turn.ended and played_ms + 20 >= turn.sound_ms:
            return "".join(b.planned if b.final is None else b.final for b in turn.blocks).strip()
        return cut_answer(turn.blocks, played_ms).strip()

    def note_playback(self, now: float) -> None:
        """Note which answers have become audible. To be called whenever time has passed.

        Args:
            now: The time, in seconds of the conversation's clock.
        """
        for turn in self.turns.values():
            if turn.audible_at_ms is None and turn.sound_at_ms is not None:
                played_ms = self._played_ms(turn.number)
                if played_ms > 0:
                    turn.audible_at_ms = max(turn.sound_at_ms, round(1000 * now) - played_ms)

    def _turn(self, number: int, at_ms: int) -> ServiceTurn:
        turn = self.turns.get(number)
        if turn is None:
            turn = self.turns[number] = ServiceTurn(number, at_ms)
            for call in self._on_new_turn:
                call(turn)
        return turn

    def _user_text(self, turn: ServiceTurn, text: str, typed: bool, at_ms: int) -> None:
        turn.user.append(text)
        turn.typed, turn.user_at_ms = typed, at_ms
        turn.speech_end_ms = None if typed else self._speech_end_ms

    def _sound(self, turn: ServiceTurn, pcm: bytes, rate_hz: int, at_ms: int) -> None:
        if not turn.blocks:
            turn.blocks.append(AnswerBlock(""))
        turn.blocks[-1].add_sound(pcm, rate_hz)
        turn.sound_ms += 1000 * len(pcm) / (2 * rate_hz)
        if turn.sound_at_ms is None:
            turn.sound_at_ms = at_ms

    def _returned(self, event: ToolHeld | ToolAnswered) -> None:
        tool_use = event.tool_use
        self.returned_calls.add(tool_use)
        if isinstance(event, ToolHeld):
            return
        for turn in self.turns.values():
            for call in turn.calls:
                if call.tool_use == tool_use:
                    call.result, call.answered = _value(event.result_json), True


def _add_text(blocks: list[AnswerBlock], number: int, text: str, final: bool) -> None:
    """Add a planned or a FINAL text to its block. A new block ends the sound of the last one."""
    while len(blocks) <= number:
        if blocks:
            blocks[-1].whole = True
        blocks.append(AnswerBlock(""))
    if final:
        blocks[number].final = text
    else:
        blocks[number].planned = text


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _object(text: str) -> dict[str, Any]:
    value = _value(text)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {"": value}
