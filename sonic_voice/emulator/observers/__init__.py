"""Ports for who looks on: the report and the status page, told of every stream as it happens.

A watch only looks. It is called by the stream's own task, in order, between two awaits, and must
not take long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..service.effects import Effect, Refusal, StreamRequest


@dataclass(slots=True)
class StreamStatistics:
    """What one stream did, so far."""

    request: StreamRequest
    received_events: int = 0
    sent_events: int = 0
    notes: int = 0
    end: Literal["", "finished", "failed", "broken", "lost"] = ""
    """How it ended; empty while it lasts."""
    error: str = ""
    """What the client was told, or what happened to the connection."""


class StreamObserver(Protocol):
    """Looks at one stream."""

    def received(self, payload: bytes) -> None:
        """One input event, before the service gets it."""
        ...

    def input_ended(self) -> None:
        """The client sent its empty frame or END_STREAM."""
        ...

    def answered(self, effect: Effect) -> None:
        """One effect, before it is carried out; of the service or of the frames' checks."""
        ...

    def over(self) -> None:
        """The stream has ended; its statistics say how."""
        ...


class EmulatorObserver(Protocol):
    """Looks at an emulator."""

    def opened(self, statistics: StreamStatistics) -> StreamObserver:
        """A stream was admitted. `statistics` go on changing until it is over."""
        ...

    def refused(self, request_id: str, model_id: str, refusal: Refusal) -> None:
        """A request got an HTTP error. `model_id` is empty where it could not be read."""
        ...


class EmulatorObservers:
    """Several watches as one."""

    def __init__(self, observers: Sequence[EmulatorObserver]) -> None:
        self._observers = tuple(observers)

    def opened(self, statistics: StreamStatistics) -> StreamObserver:
        """See `EmulatorObserver`."""
        return _StreamObservers([observer.opened(statistics) for observer in self._observers])

    def refused(self, request_id: str, model_id: str, refusal: Refusal) -> None:
        """See `EmulatorObserver`."""
        for observer in self._observers:
            observer.refused(request_id, model_id, refusal)


class _StreamObservers:
    def __init__(self, observers: Sequence[StreamObserver]) -> None:
        self._observers = observers

    def received(self, payload: bytes) -> None:
        for observer in self._observers:
            observer.received(payload)

    def input_ended(self) -> None:
        for observer in self._observers:
            observer.input_ended()

    def answered(self, effect: Effect) -> None:
        for observer in self._observers:
            observer.answered(effect)

    def over(self) -> None:
        for observer in self._observers:
            observer.over()
