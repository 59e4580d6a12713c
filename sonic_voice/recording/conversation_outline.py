"""The outline of a conversation on a tape: its turns, with words, tools, interruptions, latency.

It is what two conversations with the same user have in common, if their services do the same.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .lines import TapeLine, tape_lines
from .payload_events import payload_events
from .records import SessionEvent, StreamEnded, StreamOpened, Tape


@dataclass(frozen=True, slots=True)
class ToolUseOutline:
    """A tool that was called in a turn."""

    name: str
    arguments: Any
    """The arguments as JSON; a string if the model did not write JSON."""


@dataclass(slots=True)
class TurnOutline:
    """A turn: the user's words, and what answered them."""

    turn: int
    """Its number in its own conversation, from 1."""
    user: str = ""
    """The user's words."""
    assistant: str = ""
    """The words of the answer, as they were heard."""
    latency_ms: int | None = None
    """Time from the end of the user's speech, or from a typed text, to the first sound of the
    answer, in ms; None without either."""
    interrupted: bool = False
    tools: list[ToolUseOutline] = field(default_factory=list[ToolUseOutline])


@dataclass(frozen=True, slots=True)
class ConversationOutline:
    """A conversation."""

    turns: tuple[TurnOutline, ...]
    streams: int
    """Number of service streams."""
    error: str
    """Kind and message of the error that ended it; empty for a good end."""


def conversation_outline(tape: Tape) -> ConversationOutline:
    """Return the outline of the conversation on a tape.

    Args:
        tape: The tape.
    """
    turns: dict[int, TurnOutline] = {}
    lines = {(line.turn, line.role): line for line in tape_lines(tape)}
    for (number, role), line in lines.items():
        turn = turns.setdefault(number, TurnOutline(number))
        if role == "USER":
            turn.user = line.text
        else:
            turn.assistant, turn.interrupted = line.text, line.interrupted
            turn.latency_ms = _latency_ms(lines.get((number, "USER")), line)
    for event in _turn_events(tape):
        number = event.fields.get("turn")
        if not isinstance(number, int):
            continue
        turn = turns.setdefault(number, TurnOutline(number))
        if event.name == "ToolCall" and event.fields.get("by_reasoner"):
            continue  # the sentences of a reasoner are repeated in a replay, its tools are not run
        if event.name == "ToolCall":
            name = str(event.fields.get("name", ""))
            arguments = _parsed(str(event.fields.get("arguments_json", "")))
            turn.tools.append(ToolUseOutline(name, arguments))
        else:
            turn.interrupted = True
    return ConversationOutline(
        turns=tuple(turns[number] for number in sorted(turns)),
        streams=sum(isinstance(record, StreamOpened) for record in tape.records),
        error=_error(tape),
    )


def _latency_ms(user: TapeLine | None, answer: TapeLine) -> int | None:
    return None if user is None else max(0, round((answer.begins_s - user.ends_s) * 1000))


def _turn_events(tape: Tape) -> Iterator[SessionEvent]:
    """Yield tool calls and interruptions, from the session's events if it has any."""
    events = [record for record in tape.records if isinstance(record, SessionEvent)]
    known = any(event.name in ("UserText", "AssistantText") for event in events)
    for event in events if known else payload_events(tape):
        if event.name in ("ToolCall", "Interrupted"):
            yield event


def _error(tape: Tape) -> str:
    """Return the error that ended a conversation."""
    for record in reversed(tape.records):
        if isinstance(record, SessionEvent) and record.name == "Closed":
            return ""
        if isinstance(record, SessionEvent) and record.name == "Ended":
            return f"{record.fields.get('kind', 'other')}: {record.fields.get('error', '')}"
    ends = [record for record in tape.records if isinstance(record, StreamEnded)]
    return ends[-1].error if ends else ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
