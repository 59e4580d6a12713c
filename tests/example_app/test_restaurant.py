"""Tests of the example application: offline, in virtual time, through the production transport."""

import pytest

from sonic_voice.testing import Conversation, ConversationFixture, Line, SonicEmulator

from .restaurant import Bookings, answer_call


@pytest.fixture
def bookings() -> Bookings:
    """Return the bookings of an evening that has just begun."""
    return Bookings()


@pytest.fixture
def caller(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture, bookings: Bookings
) -> Conversation:
    """Return a call to the restaurant."""
    sonic_emulator.play("evening.yaml")

    async def restaurant(line: Line) -> None:
        await answer_call(
            line.transport,
            line.source,
            line.sink,
            bookings,
            clock=line.clock,
            observers=[line.observer],
        )

    return conversation.running(restaurant)


async def test_a_table_is_offered(caller: Conversation) -> None:
    async with caller:
        turn = await caller.say("Do you have a table for three?")
    turn.user_said("table for three")
    turn.called("find_table", people=3)
    turn.assistant_said("a table with 4 seats", "what is your name")
    turn.was_not_interrupted()
    assert turn.response_latency_ms < 2000


async def test_a_full_house_is_a_polite_refusal(caller: Conversation, bookings: Bookings) -> None:
    bookings.taken = {4: 2, 8: 1}
    async with caller:
        turn = await caller.say("Do you have a table for three?")
    assert turn.called("find_table").result == {"free": False, "seats": 0}
    turn.assistant_said("sorry")


async def test_a_booking_is_kept_although_the_directions_are_interrupted(
    caller: Conversation, bookings: Bookings
) -> None:
    async with caller:
        await caller.say("Do you have a table for three?")
        booking = await caller.ask("My name is Ada.")
        await caller.heard_until("along the sea")
        goodbye = await caller.say("Thank you, goodbye.")
    booking.called("book_table", people=3, name="Ada")
    booking.assistant_said("your booking has the number 1", "along the sea")
    booking.assistant_did_not_say("lighthouse")
    booking.was_interrupted(after_ms=(4000, 9000))
    goodbye.assistant_said("goodbye")
    assert bookings.names == ["Ada"]
