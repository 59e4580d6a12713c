"""Phases of a conversation, as the events of a stream show them.

    opening ─► listening ─► user-speech ─► thinking ─► answer ─► listening ─► ...
                                             │  ▲                    goodbye (from any phase)
                                             ▼  │
                                           tool-call

| event | it comes |
|---|---|
| `opening` | with the first event of the client, before anything is answered |
| `user-speech` | after `userSpeechStart` (v1 does not send it, so it has no such event) |
| `thinking` | after the text of the user, before the answer |
| `tool-call` | after `toolUse`, before the result |
| `answer` | in the sound of an answer, after `SOUNDS_BEFORE_ANSWER` chunks of it |
| `goodbye` | with `sessionEnd` of the client, or the end of its input without one |
"""

from typing import Literal

from ...wire import (
    AudioOutput,
    BlockEnd,
    Input,
    Output,
    SessionEnd,
    TextBlock,
    ToolResult,
    UserSpeechStart,
)

type PhaseEvent = Literal["opening", "user-speech", "thinking", "tool-call", "answer", "goodbye"]
"""An event at which a fault may be triggered; see the module."""

type Phase = PhaseEvent | Literal["listening"]
"""A phase of a conversation. `listening`: the service waits for the user."""

PHASE_EVENTS: tuple[PhaseEvent, ...] = (
    "opening",
    "user-speech",
    "thinking",
    "tool-call",
    "answer",
    "goodbye",
)
"""All events, in the order of a conversation."""

SOUNDS_BEFORE_ANSWER = 2
"""Number of `audioOutput` events of an answer that are sent before its event `answer` comes, so
that the client is playing the answer by then."""


class PhaseTracker:
    """The phase of one stream, from its input and output events."""

    def __init__(self) -> None:
        self.phase: Phase = "opening"
        """The current phase."""
        self._begun = False
        self._user_blocks: set[str] = set()
        self._sounds = 0

    def input(self, record: Input | None) -> PhaseEvent | None:
        """Return the event that an input event of the client is, if it is one.

        Args:
            record: The input event before the service takes it; None for one that cannot be read.
        """
        if not self._begun:
            self._begun = True
            return "opening"
        match record:
            case SessionEnd():
                return self._reach("goodbye")
            case ToolResult() if self.phase == "tool-call":
                self.phase = "thinking"
            case _:
                pass
        return None

    def end_of_input(self) -> PhaseEvent | None:
        """Return `goodbye` for the end of the input, unless `sessionEnd` came before it."""
        return None if self.phase == "goodbye" else self._reach("goodbye")

    def output(self, record: Output) -> PhaseEvent | None:
        """Return the event that an output event of the service is, if it is one.

        Args:
            record: The output event.
        """
        if self.phase == "opening":
            self.phase = "listening"
        match record:
            case UserSpeechStart():
                return self._reach("user-speech")
            case TextBlock(content_id=content, role="USER"):
                self._user_blocks.add(content)
            case BlockEnd(content_id=content) if content in self._user_blocks:
                self._user_blocks.remove(content)
                return self._reach("thinking")
            case BlockEnd(kind="TOOL"):
                return self._reach("tool-call")
            case BlockEnd(kind="AUDIO", stop="END_TURN" | "INTERRUPTED"):
                self._sounds = 0
                if self.phase != "user-speech":  # a barge-in ends an answer, not the user's speech
                    self.phase = "listening"
            case AudioOutput():
                self._sounds += 1
                if self._sounds == SOUNDS_BEFORE_ANSWER:
                    return self._reach("answer")
            case _:
                pass
        return None

    def _reach(self, event: PhaseEvent) -> PhaseEvent:
        self.phase = event
        return event
