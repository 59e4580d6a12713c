"""Triggers: the moment of a stream at which a fault ends it.

The time of a trigger is the input audio of the stream, as everywhere in the service, so a
conversation at fifty times its speed meets the fault at the same word. Chance is drawn from a seed
(`draws`), so the same seed gives the same moments.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...wire import Output
from ..service.effects import Break, Effect, Emit, Fail, Service
from .draws import draw
from .pass_through import ClockedPassThrough, read_input
from .phases import Phase, PhaseEvent, PhaseTracker

DRAW_INTERVAL_MS = 1000
"""Interval of input audio for which a trigger that is chance alone is drawn once, in milliseconds:
its probability is one per second."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The moment at which a fault ends a stream: a time, an event, or chance alone."""

    time_s: float | None = None
    """Input audio of the stream, in seconds. None: not at a time."""
    event: PhaseEvent | None = None
    """Event of the conversation. None: not at an event."""
    occurrence: int | None = None
    """Number of the event, from 1. None: the first one, and with `probability` each of them."""
    after_s: float = 0.0
    """Input audio from the event to the fault, in seconds."""
    probability: float | None = None
    """Probability of the fault at the time or at the event; without both, in each second of input
    audio. None: it comes for certain."""


type OnEnd = Callable[[Phase, float], None]
"""A function `(phase, audio_ms)` that is called when a fault ends a stream, with the phase of the
conversation and the input audio so far, in milliseconds."""


class TriggeredEnd(ClockedPassThrough):
    """A wrapper that ends a stream when its trigger says so.

    Args:
        service: The service.
        end: The last effect of the stream.
        trigger: The moment.
        key: The values from which chance is drawn: the seed, the fault, the number of the stream.
        on_end: Called when the fault comes.
    """

    def __init__(
        self,
        service: Service,
        end: Fail | Break,
        trigger: Trigger,
        key: tuple[object, ...],
        on_end: OnEnd,
    ) -> None:
        super().__init__(service)
        self._end = end
        self._trigger = trigger
        self._key = key
        self._on_end = on_end
        self._phases = PhaseTracker()
        self._occurred = 0
        self._due_ms = float("inf")
        self._drawn_s = 0
        if trigger.time_s is not None and self._drawn(0):
            self._due_ms = trigger.time_s * 1000

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        # A payload without the name cannot be `sessionEnd`, so that audio is not decoded for this.
        named = b'"sessionEnd"' in payload or self._phases.phase in ("opening", "tool-call")
        event = self._phases.input(read_input(payload) if named else None)
        if early := self._at(event):
            return self._pass_on(early)
        return super().receive(payload)

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        if early := self._at(self._phases.end_of_input()):
            return self._pass_on(early)
        return super().end_of_input()

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        return (effect, *self._at(self._phases.output(record)))

    def _due(self) -> Iterable[Effect]:
        if self._now_ms >= self._due_ms or self._by_chance():
            return self._ends()
        return ()

    def _by_chance(self) -> bool:
        """Return whether chance alone ends the stream in a second that has passed since."""
        if self._trigger.time_s is not None or self._trigger.event is not None:
            return False
        while (self._drawn_s + 1) * DRAW_INTERVAL_MS <= self._now_ms:
            self._drawn_s += 1
            if self._drawn(self._drawn_s):
                return True
        return False

    def _at(self, event: PhaseEvent | None) -> list[Effect]:
        """Return the end of the stream if an event triggers it, else nothing."""
        if event is None or event != self._trigger.event:
            return []
        self._occurred += 1
        wanted = self._trigger.occurrence
        if wanted is None and self._trigger.probability is None:
            wanted = 1
        if (wanted is not None and self._occurred != wanted) or not self._drawn(self._occurred):
            return []
        if self._trigger.after_s:
            self._due_ms = min(self._due_ms, self._now_ms + self._trigger.after_s * 1000)
            return []
        return self._ends()

    def _ends(self) -> list[Effect]:
        if self._over:
            return []
        self._on_end(self._phases.phase, self._now_ms)
        return [self._end]

    def _drawn(self, number: int) -> bool:
        probability = self._trigger.probability
        return probability is None or draw(*self._key, number) < probability
