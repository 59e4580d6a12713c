"""An example application: the telephone of a restaurant, with two tools.

It is what an application of your own may look like. `answer_call` holds one call over a transport,
an audio source and a sink, which are Bedrock, a microphone and a loudspeaker in production, and a
line of the test kit in tests. See `test_restaurant.py` for its tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sonic_voice import (
    AudioSink,
    AudioSource,
    Observer,
    Session,
    SessionConfig,
    Toolbox,
    Transport,
    converse,
    tool,
)

SYSTEM = (
    "You answer the telephone of the restaurant Lighthouse. Offer free tables, and book one only "
    "after the caller has agreed."
)
TABLES = {2: 3, 4: 2, 8: 1}
"""Number of tables by their seats."""


@dataclass
class Bookings:
    """The bookings of one evening."""

    taken: dict[int, int] = field(default_factory=dict[int, int])
    """Number of booked tables by their seats."""
    names: list[str] = field(default_factory=list[str])
    """Names of the guests, in the order of their bookings."""

    def seats_for(self, people: int) -> int | None:
        """Return the seats of the smallest free table, or None if there is none.

        Args:
            people: Number of guests.
        """
        fitting = (seats for seats in sorted(TABLES) if seats >= people)
        return next((s for s in fitting if self.taken.get(s, 0) < TABLES[s]), None)


def restaurant_tools(bookings: Bookings) -> Toolbox:
    """Return the tools of the restaurant.

    Args:
        bookings: The bookings, which the tools read and change.
    """

    @tool
    def find_table(people: int) -> dict[str, object]:
        """Find a free table.

        Args:
            people: Number of guests.
        """
        seats = bookings.seats_for(people)
        return {"free": seats is not None, "seats": seats or 0}

    @tool
    def book_table(people: int, name: str) -> dict[str, object]:
        """Book a table.

        Args:
            people: Number of guests.
            name: Name of the guest.
        """
        seats = bookings.seats_for(people)
        if seats is None:
            return {"booked": False}
        bookings.taken[seats] = bookings.taken.get(seats, 0) + 1
        bookings.names.append(name)
        return {"booked": True, "number": len(bookings.names)}

    return Toolbox([find_table, book_table])


async def answer_call(
    transport: Transport,
    source: AudioSource,
    sink: AudioSink,
    bookings: Bookings,
    *,
    clock: Callable[[], float],
    observers: Sequence[Observer] = (),
) -> None:
    """Hold one call, until the caller hangs up.

    Args:
        transport: The way to the service.
        source: The caller's voice.
        sink: The caller's loudspeaker.
        bookings: The bookings of the evening.
        clock: The clock of the call, in seconds.
        observers: Functions that are called with each event.
    """
    tools = restaurant_tools(bookings)
    config = SessionConfig(system=SYSTEM, tools=tools.specs)
    async with Session.open(config, transport, clock=clock) as session:
        await converse(session, source, sink, tools, observers)
