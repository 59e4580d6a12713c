"""Ports of the observers: the report, the recorder and the status page see every stream as it
happens.

An observer changes nothing. It is called by the stream's own task, in order, between two awaits,
and must return quickly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..service.effects import Effect, Note, StreamRefusal, StreamRequest


@dataclass(slots=True)
class StreamStatistics:
    """The counts and the end of one stream, so far."""

    request: StreamRequest
    received_events: int = 0
    answered_events: int = 0
    """Number of received events whose effects have all been carried out. What the service answers
    to an event is sent before this counts it."""
    sent_events: int = 0
    notes: int = 0
    """Number of mistakes that were tolerated."""
    end: Literal["", "finished", "failed", "broken", "lost"] = ""
    """How the stream ended; empty while it is open."""
    error: str = ""
    """Error that was sent to the client, or that the connection had."""


class StreamObserver(Protocol):
    """An observer of one stream."""

    def received(self, payload: bytes) -> None:
        """Observe an input event before the service receives it.

        Args:
            payload: The event's bytes.
        """
        ...

    def input_ended(self) -> None:
        """Observe the end of the input: the client sent its empty frame or END_STREAM."""
        ...

    def answered(self, effect: Effect) -> None:
        """Observe an effect before it is carried out.

        Args:
            effect: An effect of the service or of the checks of frames.
        """
        ...

    def over(self) -> None:
        """Observe the end of the stream; its statistics say how it ended."""
        ...


class EmulatorObserver(Protocol):
    """An observer of an emulator."""

    def opened(self, statistics: StreamStatistics) -> StreamObserver:
        """Observe that a stream was admitted.

        Args:
            statistics: The statistics of the stream, which change until it is over.

        Returns:
            The observer of the stream.
        """
        ...

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """Observe that a request was answered with an HTTP error.

        Args:
            request_id: Id of the request.
            model_id: Id of the model; empty where it could not be read.
            refusal: The error.
        """
        ...


class EmulatorObservers:
    """Several observers as one."""

    def __init__(self, observers: Sequence[EmulatorObserver]) -> None:
        self._observers = tuple(observers)

    def opened(self, statistics: StreamStatistics) -> StreamObserver:
        """See `EmulatorObserver`."""
        return _StreamObservers([observer.opened(statistics) for observer in self._observers])

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `EmulatorObserver`."""
        for observer in self._observers:
            observer.refused(request_id, model_id, refusal)


type OnNote = Callable[[StreamRequest, Note], None]
"""A function that is called with each tolerated mistake of a client."""


class NoteObserver:
    """An observer that calls a function with each tolerated mistake of a client.

    Args:
        on_note: The function. It must return quickly.
    """

    def __init__(self, on_note: OnNote) -> None:
        self._on_note = on_note

    def opened(self, statistics: StreamStatistics) -> StreamObserver:
        """See `EmulatorObserver`."""
        return _StreamNotes(statistics.request, self._on_note)

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `EmulatorObserver`. A refused request has no notes."""


class _StreamNotes:
    def __init__(self, request: StreamRequest, on_note: OnNote) -> None:
        self._request = request
        self._on_note = on_note

    def received(self, payload: bytes) -> None:
        pass

    def input_ended(self) -> None:
        pass

    def answered(self, effect: Effect) -> None:
        if isinstance(effect, Note):
            self._on_note(self._request, effect)

    def over(self) -> None:
        pass


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
