"""Ports for who looks on: the report and the status page, told of every stream as it happens.

A watch only looks. It is called by the stream's own task, in order, between two awaits, and must
not take long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..service.effects import Effect, StreamRefusal, StreamRequest


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


class StreamWatch(Protocol):
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


class Watch(Protocol):
    """Looks at an emulator."""

    def opened(self, statistics: StreamStatistics) -> StreamWatch:
        """A stream was admitted. `statistics` go on changing until it is over."""
        ...

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """A request got an HTTP error. `model_id` is empty where it could not be read."""
        ...


class Watches:
    """Several watches as one."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = tuple(watches)

    def opened(self, statistics: StreamStatistics) -> StreamWatch:
        """See `Watch`."""
        return _StreamWatches([watch.opened(statistics) for watch in self._watches])

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `Watch`."""
        for watch in self._watches:
            watch.refused(request_id, model_id, refusal)


class _StreamWatches:
    def __init__(self, watches: Sequence[StreamWatch]) -> None:
        self._watches = watches

    def received(self, payload: bytes) -> None:
        for watch in self._watches:
            watch.received(payload)

    def input_ended(self) -> None:
        for watch in self._watches:
            watch.input_ended()

    def answered(self, effect: Effect) -> None:
        for watch in self._watches:
            watch.answered(effect)

    def over(self) -> None:
        for watch in self._watches:
            watch.over()
