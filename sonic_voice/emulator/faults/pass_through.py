"""Base classes of the fault wrappers: they pass everything on, and keep the time or the turn.

`PassThrough` passes every effect on, one at a time. After an effect that ends the stream nothing
passes any more. `ClockedPassThrough` also measures the input audio, and `TurnPassThrough` counts
the turns of the assistant.
"""

from collections.abc import Iterable

from ...config import BYTES_PER_SAMPLE
from ...errors import WireError
from ...wire import (
    AudioInput,
    AudioStart,
    BlockEnd,
    Input,
    Output,
    TextBlock,
    decode_input,
    decode_output,
)
from ..service.effects import Break, Effect, Emit, Expiry, Fail, Finish, Service


class PassThrough:
    """A wrapper that passes everything on. Implements `Service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._over = False

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        return self._pass_on(self._service.receive(payload))

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """See `Service`."""
        return self._pass_on(self._service.speech(key, pcm))

    def words(self, key: int, text: str | None) -> list[Effect]:
        """See `Service`."""
        return self._pass_on(self._service.words(key, text))

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        """See `Service`."""
        return self._pass_on(self._service.chat_piece(key, piece))

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        return self._pass_on(self._service.end_of_input())

    def stalled(self) -> list[Effect]:
        """See `Service`."""
        return self._pass_on(self._service.stalled())

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service`."""
        return self._pass_on(self._service.expire(which))

    def _pass_on(self, effects: Iterable[Effect]) -> list[Effect]:
        passed: list[Effect] = []
        for effect in effects:
            for out in self._effect(effect):
                if not self._over:
                    passed.append(out)
                    self._over = isinstance(out, (Fail, Break, Finish))
        return passed

    def _effect(self, effect: Effect) -> Iterable[Effect]:
        """Return what is sent in place of `effect`."""
        if not isinstance(effect, Emit):
            return (effect,)
        return self._event(effect, decode_output(effect.payload))

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        """Return what is sent in place of `effect`, which sends `record`."""
        return (effect,)


class ClockedPassThrough(PassThrough):
    """A wrapper that measures the input audio, in milliseconds."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._now_ms = 0.0
        self._rate_hz = 0

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        effects = super().receive(payload)
        match read_input(payload):
            case AudioStart(rate_hz=rate_hz):
                self._rate_hz = rate_hz
            case AudioInput(pcm=pcm) if self._rate_hz > 0:
                self._now_ms += len(pcm) * 1000 / (self._rate_hz * BYTES_PER_SAMPLE)
            case _:
                return effects
        return effects + self._pass_on(self._due())

    def _due(self) -> Iterable[Effect]:
        """Return the effects that are due by now."""
        return ()


class TurnPassThrough(PassThrough):
    """A wrapper that counts the turns of the assistant."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._turn = 0
        self._answering = False

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        match record:
            case TextBlock(role="ASSISTANT", stage="SPECULATIVE") if not self._answering:
                self._answering = True
                self._turn += 1
            case TextBlock(role="USER") | BlockEnd(kind="AUDIO", stop="END_TURN" | "INTERRUPTED"):
                self._answering = False
            case _:
                pass
        return self._in_turn(effect, record)

    def _in_turn(self, effect: Emit, record: Output) -> Iterable[Effect]:
        """Return what is sent in place of `effect`, in the turn number `self._turn`."""
        return (effect,)


def read_input(payload: bytes) -> Input | None:
    """Return the record of an input event.

    Args:
        payload: The event's bytes.

    Returns:
        The record, or None for an event that the service will refuse.
    """
    try:
        return decode_input(payload)
    except WireError:
        return None
