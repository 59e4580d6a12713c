"""The queue of a session's events: its order, its bound, and its end."""

import asyncio

from sonic_voice.event_queue import EVENTS_WAITING, EventQueue
from sonic_voice.events import TurnEnded


def events(count: int) -> list[TurnEnded]:
    return [TurnEnded(number) for number in range(count)]


async def test_events_are_taken_in_their_order() -> None:
    queue = EventQueue()
    queue.push(events(2))
    assert [queue.take(), queue.take(), queue.take()] == [TurnEnded(0), TurnEnded(1), None]


async def test_a_full_queue_has_room_again_once_an_event_is_taken() -> None:
    queue = EventQueue()
    queue.push(events(EVENTS_WAITING - 1))
    assert queue.has_room
    queue.push(events(1))
    assert not queue.has_room
    waiting = asyncio.create_task(queue.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.take()
    await waiting
    assert queue.has_room
    assert len(queue) == EVENTS_WAITING - 1


async def test_a_reader_waits_until_an_event_comes_or_it_is_woken() -> None:
    queue = EventQueue()
    for wake in (lambda: queue.push(events(1)), queue.wake):
        waiting = asyncio.create_task(queue.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        wake()
        await waiting


async def test_a_closed_queue_keeps_what_it_has_drops_the_rest_and_holds_nobody_up() -> None:
    queue = EventQueue()
    queue.push(events(EVENTS_WAITING))
    waiting = asyncio.create_task(queue.wait_for_room())
    await asyncio.sleep(0)
    queue.close()
    await waiting
    queue.push(events(1))
    assert queue.has_room
    assert len(queue) == EVENTS_WAITING
