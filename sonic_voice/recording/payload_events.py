"""The session's events that can be told from payloads alone.

A tape that was made without an observer has none. Turns are then counted by the user's texts: the
first one after an answer begins a turn.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import WireError
from ..wire import (
    BlockEnd,
    Output,
    TextBlock,
    TextOutput,
    ToolUse,
    UserSpeechEnd,
    UserSpeechStart,
    decode_output,
)
from .records import Received, SessionEvent, Tape

type NamedFields = tuple[str, Mapping[str, Any]]
"""Name and fields of an event."""


def payload_events(tape: Tape) -> Iterator[SessionEvent]:
    """Yield the events of speech, texts, tool calls and interruptions.

    Args:
        tape: The tape.
    """
    reader = _PayloadReader()
    for record in tape.records:
        if isinstance(record, Received):
            try:
                found = reader.event(decode_output(record.payload))
            except WireError:
                continue
            if found is not None:
                yield SessionEvent(record.t_s, *found)


class _PayloadReader:
    """The state between the payloads of a tape."""

    def __init__(self) -> None:
        self._turn = 0
        self._answered = True
        self._stages: dict[str, str | None] = {}
        self._planned: list[str] = []
        """The planned texts of the turn, one for each block."""

    def event(self, output: Output) -> NamedFields | None:
        """Return the event that an output event stands for; None if it stands for none."""
        match output:
            case UserSpeechStart(_, offset_ms):
                return "UserSpeechStarted", {"offset_ms": offset_ms}
            case UserSpeechEnd(_, offset_ms, detected_ms):
                fields = {"offset_ms": offset_ms, "detected_ms": detected_ms}
                return "UserSpeechEnded", fields
            case TextBlock(_, content_id, _, stage):
                self._stages[content_id] = stage
            case TextOutput() if not output.is_interruption:
                return self._text(output)
            case ToolUse(_, _, tool_use, name, arguments_json):
                call = {"tool_use": tool_use, "name": name, "arguments_json": arguments_json}
                return "ToolCall", {"turn": self._turn, **call}
            case BlockEnd(_, _, _, "INTERRUPTED"):
                return "Interrupted", {"turn": self._turn, "sign": "contentEnd"}
            case _:
                pass
        return None

    def _text(self, output: TextOutput) -> NamedFields:
        if output.role == "USER":
            if self._answered:
                self._turn += 1
                self._answered, self._planned = False, []
            return "UserText", {"turn": self._turn, "text": output.text, "typed": False}
        self._answered = True
        stage, text = self._stages.get(output.content_id), output.text.strip()
        if stage == "FINAL" and text in self._planned:
            block = self._planned.index(text)
        else:
            block = len(self._planned)
            self._planned.append(text)
        fields = {"turn": self._turn, "block": block, "text": output.text, "stage": stage}
        return "AssistantText", fields
