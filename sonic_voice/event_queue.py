"""The queue of events between the reader of a session's streams and the owner of the session.

    push ──► [events] ──► take         in the task of the owner, which waits with `wait`
       └───────────────► on_playback  sound and interruptions, while the owner waits and no event
                                      is before them

The queue holds `EVENTS_WAITING` events. When it is full, the reader waits, and HTTP/2 flow control
makes the service wait too. No event is lost when the owner reads slowly.

Most events are sound. An owner that sets `on_playback` is not woken for it, which saves a turn of
the event loop for each packet. An interruption is acted on before the events that came with it in
the same packet are read.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context

from .events import Audio, Event, Interrupted

EVENTS_WAITING = 1024
"""Maximum number of events in the queue: 20 s of sound, at 20 ms an event."""


class EventQueue:
    """A queue of events for one owner, bounded by `wait_for_room`."""

    def __init__(self) -> None:
        self.on_playback: Callable[[Audio | Interrupted], object] | None = None
        """Called with sound and interruptions in place of queuing them, while the owner waits and
        no event is before them. It runs in the context of the owner, and `wait` raises what it
        raises. None queues all."""
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._context: Context | None = None
        """The context of the owner while it waits; None while it does not."""
        self._fault: BaseException | None = None
        """The exception that `on_playback` has raised and `wait` has not; None for none."""

    def __len__(self) -> int:
        """Return the number of events that wait."""
        return len(self._events)

    @property
    def has_room(self) -> bool:
        """True if there is room for more events."""
        return len(self._events) < EVENTS_WAITING or self._closed

    def push(self, events: Iterable[Event]) -> bool:
        """Add events, also if there is no room. Once the queue is closed, they are dropped.

        Args:
            events: The events, in order.

        Returns:
            Whether there is room for more.
        """
        if self._closed:
            return True
        for event in events:
            if (
                self._events
                or not isinstance(event, Audio | Interrupted)
                or not self._deliver(event)
            ):
                self._events.append(event)
                self._arrived.set()
        return len(self._events) < EVENTS_WAITING

    def _deliver(self, event: Audio | Interrupted) -> bool:
        """Call `on_playback` if the owner waits, and return whether it was called."""
        context = self._context
        if context is None or self.on_playback is None:
            return False
        self._context = None  # what comes meanwhile is queued
        try:
            context.run(self.on_playback, event)
            self._context = context
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # it is raised by `wait`
            self._fault = error
            self._arrived.set()
        return True

    async def wait_for_room(self) -> None:
        """Wait until there is room for events, or the queue is closed."""
        while not self.has_room:
            self._room.clear()
            await self._room.wait()

    def take(self) -> Event | None:
        """Return the next event, which then waits no longer; None if there is none."""
        if not self._events:
            return None
        event = self._events.popleft()
        if len(self._events) == EVENTS_WAITING - 1:
            self._room.set()
        return event

    async def wait(self) -> None:
        """Wait until an event is queued, or `wake` is called.

        Cancelling it loses no event, and no exception of `on_playback`.

        Raises:
            BaseException: What `on_playback` has raised.
        """
        self._arrived.clear()
        if self._fault is None:
            self._context = copy_context()
            try:
                await self._arrived.wait()
            finally:
                self._context = None
        fault, self._fault = self._fault, None
        try:
            if fault is not None:
                raise fault
        finally:
            del fault  # its traceback refers to this frame

    def wake(self) -> None:
        """Wake the owner without an event, because no more may come."""
        self._arrived.set()

    def close(self) -> None:
        """Drop later events, because nobody reads them; whoever waits for room goes on."""
        self._closed = True
        self._room.set()
