"""The queue of events between the reader of a session's streams and the owner of the session.

It holds `EVENTS_WAITING` events. When it is full, the reader waits, and HTTP/2 flow control makes
the service wait too. No event is lost when the owner reads slowly.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from .events import Event

EVENTS_WAITING = 1024
"""Maximum number of events in the queue: 20 s of sound, at 20 ms an event."""


class EventQueue:
    """A queue of events for one reader, bounded by `wait_for_room`."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """Return the number of events that wait."""
        return len(self._events)

    @property
    def has_room(self) -> bool:
        """True if there is room for more events."""
        return len(self._events) < EVENTS_WAITING or self._closed

    def push(self, events: Iterable[Event]) -> None:
        """Add events, also if there is no room. Once the queue is closed, they are dropped.

        Args:
            events: The events, in order.
        """
        if not self._closed:
            self._events.extend(events)
            self._arrived.set()

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
        if len(self._events) < EVENTS_WAITING:
            self._room.set()
        return event

    async def wait(self) -> None:
        """Wait until `push` or `wake` is called. Cancelling it loses no event."""
        self._arrived.clear()
        await self._arrived.wait()

    def wake(self) -> None:
        """Wake the reader without an event, because no more may come."""
        self._arrived.set()

    def close(self) -> None:
        """Drop later events, because nobody reads them; whoever waits for room goes on."""
        self._closed = True
        self._room.set()
