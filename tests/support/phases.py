"""Faults at a chosen phase of a conversation, for the fault table and its test.

    service = AtPhase(service, "answer", act)    # `act()` gives the effects that replace the rest

A conversation of one spoken turn with a tool call passes through six phases, in this order:

    opening       the first event of the client has come; nothing was answered
    user-speech   the service has reported that the user began to speak
    thinking      the user's words have been transcribed; the answer has not begun
    tool-call     the model has called a tool, whose result has not come
    answer        sound of the answer has been sent
    goodbye       the client has sent `sessionEnd`
"""

from collections.abc import Callable, Iterable
from typing import Literal

from sonic_voice.emulator.faults.pass_through import PassThrough
from sonic_voice.emulator.service.effects import Effect, Emit, Service
from sonic_voice.wire import AudioOutput, BlockEnd, Output, TextBlock, UserSpeechStart

Phase = Literal["opening", "user-speech", "thinking", "tool-call", "answer", "goodbye"]

SOUNDS_BEFORE_FAULT = 3
"""Number of `audioOutput` events that are sent before a fault in the answer."""


class AtPhase(PassThrough):
    """A service that works until `phase` begins, and then does what `act` says.

    Args:
        service: The healthy service.
        phase: When the fault happens.
        act: Called once, when it happens. Returns the last effects of the stream, or nothing
            where the fault lies elsewhere, for example in the network.
    """

    def __init__(self, service: Service, phase: Phase, act: Callable[[], list[Effect]]) -> None:
        super().__init__(service)
        self._phase = phase
        self._act: Callable[[], list[Effect]] | None = act
        self._user_blocks: set[str] = set()
        self._sounds = 0

    def receive(self, payload: bytes) -> list[Effect]:
        """Pass on one input event. See `Service`."""
        if self._phase == "opening" or (self._phase == "goodbye" and b'"sessionEnd"' in payload):
            fault = self._take_fault()
            if fault:
                return self._pass_on(fault)
        return super().receive(payload)

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if self._begins(record):
            return (effect, *self._take_fault())
        return (effect,)

    def _begins(self, record: Output) -> bool:
        match record:
            case UserSpeechStart():
                return self._phase == "user-speech"
            case TextBlock(content_id=content, role="USER"):
                self._user_blocks.add(content)
            case BlockEnd(content_id=content) if content in self._user_blocks:
                return self._phase == "thinking"
            case BlockEnd(kind="TOOL"):
                return self._phase == "tool-call"
            case AudioOutput():
                self._sounds += 1
                return self._phase == "answer" and self._sounds == SOUNDS_BEFORE_FAULT
            case _:
                pass
        return False

    def _take_fault(self) -> list[Effect]:
        act, self._act = self._act, None
        return act() if act is not None else []
