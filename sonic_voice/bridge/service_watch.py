"""The timers that end a conversation, and the watch over a service that owes an answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ..events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    Opened,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from .closing import Close
from .limits import BridgeLimits
from .metrics import BridgeMetrics


@dataclass(slots=True)
class _Timer:
    """A timer that runs."""

    handle: asyncio.TimerHandle
    fires_s: float
    """When the loop calls `EndTimers`, in seconds of its clock."""
    due_s: float
    """When the timer is over, in seconds of the loop's clock: later if it was restarted."""


class EndTimers:
    """The timers of one conversation, one for each close code.

    Args:
        end: Called with the close code when a timer is over.
    """

    def __init__(self, end: Callable[[Close], None]) -> None:
        self._end: Callable[[Close], None] | None = end
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Close, _Timer] = {}

    def arm(self, close: Close, after_s: float) -> None:
        """Start or restart a timer.

        Args:
            close: The code to end the conversation with.
            after_s: The time until then, in seconds.
        """
        if self._end is None:
            return
        due_s = self._loop.time() + after_s
        timer = self._timers.get(close)
        if timer is None or timer.fires_s > due_s:
            self.disarm(close)
            self._start(close, due_s)
        else:
            timer.due_s = due_s  # it is moved when it fires, which costs less

    def _start(self, close: Close, due_s: float) -> None:
        self._timers[close] = _Timer(self._loop.call_at(due_s, self._fire, close), due_s, due_s)

    def _fire(self, close: Close) -> None:
        timer = self._timers.pop(close)
        if timer.due_s > self._loop.time():
            self._start(close, timer.due_s)
        elif self._end is not None:
            self._end(close)

    def disarm(self, close: Close) -> bool:
        """Stop a timer, and return whether it was running.

        Args:
            close: The code of the timer.
        """
        timer = self._timers.pop(close, None)
        if timer is not None:
            timer.handle.cancel()
        return timer is not None

    def close(self) -> None:
        """Stop all timers, and start none any more."""
        self._end = None  # it refers to the conversation, which refers to these timers
        for close in list(self._timers):
            self.disarm(close)


class ServiceWatch:
    """An observer that ends a conversation if a connected service does not answer in time.

    It also counts the renewals of the stream, and the faults that were survived.

    Args:
        timers: The timers of the conversation.
        limits: The limits `answer_s` and `utterance_s`.
        metrics: The counters of the bridge.
    """

    def __init__(self, timers: EndTimers, limits: BridgeLimits, metrics: BridgeMetrics) -> None:
        self._timers = timers
        self._limits = limits
        self._metrics = metrics
        self._fault = ""
        """Kind of the fault that interrupted the conversation; empty if it is not interrupted."""
        self._answer_awaited = False
        """True if an answer was awaited when the fault came."""

    def observe(self, event: Event) -> None:
        """Note an event.

        Args:
            event: The event of the conversation.
        """
        if isinstance(event, Audio):  # most events are
            self._timers.arm(Close.SERVICE_FAILED, self._limits.answer_s)
            return
        self._expect_answer(event)
        self._follow_streams(event)

    def _expect_answer(self, event: Event) -> None:
        match event:
            case UserText() | ToolAnswered() | AssistantText(stage="SPECULATIVE"):
                self._timers.arm(Close.SERVICE_FAILED, self._limits.answer_s)
            case UserSpeechStarted():
                self._timers.arm(Close.SERVICE_FAILED, self._limits.utterance_s)
            case UserSpeechEnded() | Interrupted() | ToolCall() | TurnEnded():
                self._timers.disarm(Close.SERVICE_FAILED)
            case _:
                pass

    def _follow_streams(self, event: Event) -> None:
        """Count the renewals of the stream, and wait for no answer while there is none."""
        match event:
            case Reconnecting(attempt=attempt, kind=kind):
                self._metrics.reconnect_attempts[kind] += 1
                if attempt == 1:
                    self._fault = kind
                if self._timers.disarm(Close.SERVICE_FAILED):
                    self._answer_awaited = True
            case Renewed() if event.planned:
                self._metrics.renewals[event.reason] += 1
            case Opened() | Renewed() if self._fault:
                self._metrics.reconnects[self._fault] += 1
                self._fault = ""
                if self._answer_awaited:
                    self._answer_awaited = False
                    self._timers.arm(Close.SERVICE_FAILED, self._limits.answer_s)
            case _:
                pass
