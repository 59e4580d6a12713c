"""Faults on demand: `--fault NAME[:ARGUMENT][@CONDITIONS]`, pure wrappers around a `Service`.

A fault changes one aspect of what a healthy service sends, and nothing else. Faults of the opening
are HTTP refusals; all others stand between the service and its host, read what passes, and change,
drop, add or cut it. They may be combined: the last one named is the outermost.

- `kinds`: what there is (`FAULTS`), and what may follow the colon.
- `grammar`: the conditions after the `@`: which streams, at which moment, with what probability.
- `triggers`, `phases`: the moment at which a fault ends a stream.
- `chaos`: a mixture of faults under one seed.

`@2` after a fault limits it to the first two streams; later streams are healthy, so that a client
that tries again can be seen to succeed.

Time is the input audio, as in the service, but for `for=`, which is wall time and comes from a
clock that the host passes in. A random choice is derived from a seed or from the request id of the
stream, so that it is the same each time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..behaviour import ChaosProfile
from ..service.effects import Service, ServiceFactory, StreamRefusal, StreamRequest
from .chaos import chaos_fault
from .draws import draw
from .grammar import Fault, parse_fault
from .kinds import (
    FAULTS,
    FILTERED,
    HTTP_ERRORS,
    INSTABLE,
    RESET_531,
    STREAM_TEXTS,
    FaultKind,
)
from .phases import Phase
from .triggers import TriggeredEnd

__all__ = [
    "FAULTS",
    "FILTERED",
    "HTTP_ERRORS",
    "INSTABLE",
    "RESET_531",
    "STREAM_TEXTS",
    "ChaosProfile",
    "Fault",
    "FaultKind",
    "FaultOccurrence",
    "OnFault",
    "parse_fault",
    "with_faults",
]


@dataclass(frozen=True, slots=True)
class FaultOccurrence:
    """A fault that came: a refusal, or the end of a stream at its trigger."""

    fault: Fault
    stream: int
    """Number of the stream, from 1."""
    request_id: str
    """Id of the stream's request."""
    phase: Phase
    """Phase of the conversation in which it came."""
    audio_ms: float
    """Input audio of the stream at that moment, in milliseconds."""

    def __str__(self) -> str:
        when = f"{self.phase} after {self.audio_ms / 1000:.2f} s of audio"
        return f"fault {self.fault} in stream {self.stream} ({self.request_id[:8]}), {when}"


type OnFault = Callable[[FaultOccurrence], None]
"""A function that is called with each refusal and each triggered end, before it is carried out."""


class _StreamSelection:
    """The streams that one fault is limited to, as they are opened."""

    def __init__(self, fault: Fault, number: int) -> None:
        self._fault = fault
        self._number = number
        self._met = 0
        self._ends_at_s: float | None = None

    def selects(self, stream: int, now_s: float) -> bool:
        """Count a stream, and return whether it has the fault.

        Args:
            stream: Number of the stream among all streams, from 1.
            now_s: The time, in seconds of the host's clock.
        """
        fault = self._fault
        self._met += 1
        if self._met < fault.first_stream:
            return False
        if fault.streams is not None and self._met > fault.streams:
            return False
        if fault.for_s is not None:
            if self._ends_at_s is None:
                self._ends_at_s = now_s + fault.for_s
            if now_s >= self._ends_at_s:
                return False
        if fault.probability is None:
            return True
        key = (fault.seed, self._number, fault.name, fault.argument, stream)
        return draw(*key) < fault.probability


def with_faults(
    factory: ServiceFactory,
    faults: Sequence[Fault],
    *,
    chaos: ChaosProfile | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    on_fault: OnFault = lambda occurrence: None,
) -> ServiceFactory:
    """Return a factory whose services have faults.

    The factory counts its streams for conditions and for `chaos`, so make it once.

    Args:
        factory: Makes healthy services.
        faults: The faults, the outermost last.
        chaos: A mixture of faults that comes on top. None: no such mixture.
        clock: Returns the wall time in seconds, for `for=`. With the default such a fault never
            ends.
        on_fault: Called with each refusal and each triggered end.
    """
    limited = [(fault, _StreamSelection(fault, n)) for n, fault in enumerate(faults)]
    opened = 0

    def new_service(request: StreamRequest) -> Service | StreamRefusal:
        nonlocal opened
        opened += 1
        stream = opened
        made = factory(request)
        for number, (fault, selection) in enumerate(limited):
            if isinstance(made, StreamRefusal):
                return made
            if selection.selects(stream, clock()):
                made = _apply(fault, number, made, request, stream, on_fault)
        mixed = chaos_fault(chaos, stream) if chaos is not None else None
        if mixed is None or isinstance(made, StreamRefusal):
            return made
        return _apply(mixed, len(limited), made, request, stream, on_fault)

    return new_service if faults or chaos is not None else factory


def _apply(
    fault: Fault,
    number: int,
    service: Service,
    request: StreamRequest,
    stream: int,
    on_fault: OnFault,
) -> Service | StreamRefusal:
    """Return a service with a fault, or the refusal that the fault is."""

    def occurred(phase: Phase, audio_ms: float) -> None:
        on_fault(FaultOccurrence(fault, stream, request.request_id, phase, audio_ms))

    kind = FAULTS[fault.name]
    if kind.refuse is not None:
        occurred("opening", 0.0)
        return kind.refuse(fault.argument)
    if fault.trigger is not None and kind.end is not None:
        key = (fault.seed, number, fault.name, fault.argument, stream)
        return TriggeredEnd(
            service, kind.end(request, fault.argument), fault.trigger, key, occurred
        )
    assert kind.wrap is not None
    return kind.wrap(service, request, fault.argument)
