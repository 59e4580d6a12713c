"""The queue of a session's events: its order, its bound, and its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from sonic_voice.event_queue import EVENTS_WAITING, EventQueue
from sonic_voice.events import Audio, Event, Interrupted, TurnEnded


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


def sound(number: int) -> Audio:
    return Audio(number, b"", 24_000)


@asynccontextmanager
async def waiting_owner(queue: EventQueue) -> AsyncGenerator[asyncio.Task[None]]:
    """Yield the task of an owner that waits, and end it."""
    task = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.wait([task])


async def test_sound_and_interruptions_pass_by_the_queue_while_the_owner_waits() -> None:
    queue, heard = EventQueue(), list[Event]()
    queue.on_playback = heard.append
    queue.push([sound(1)])
    assert queue.take() == sound(1), "nobody waits"
    async with waiting_owner(queue) as owner:
        assert queue.push([Interrupted(1, "marker"), sound(2)])
        await asyncio.sleep(0)
        assert not owner.done()
    assert heard == [Interrupted(1, "marker"), sound(2)]
    assert queue.take() is None
    queue.push([sound(3)])
    assert queue.take() == sound(3), "the wait was cancelled"


async def test_sound_overtakes_no_event() -> None:
    queue, heard = EventQueue(), list[Event]()
    queue.on_playback = heard.append
    async with waiting_owner(queue) as owner:
        queue.push([sound(1), TurnEnded(1), sound(2)])
        queue.push([sound(3)])
        await owner
    assert heard == [sound(1)]
    assert [queue.take(), queue.take(), queue.take()] == [TurnEnded(1), sound(2), sound(3)]


async def test_events_that_sound_causes_come_after_it() -> None:
    queue, heard = EventQueue(), list[Event]()

    def hear(event: Audio | Interrupted) -> None:
        queue.push([sound(event.turn + 1)])
        heard.append(event)

    queue.on_playback = hear
    async with waiting_owner(queue) as owner:
        queue.push([sound(1)])
        await owner
    assert heard == [sound(1)]
    assert queue.take() == sound(2)


async def test_the_owner_gets_the_exception_of_its_function_and_the_events_after_it() -> None:
    queue = EventQueue()

    def fail(event: Audio | Interrupted) -> None:
        raise ValueError(f"{event.turn}")

    queue.on_playback = fail
    async with waiting_owner(queue) as owner:
        queue.push([sound(1), sound(2)])
        with pytest.raises(ValueError, match="1"):
            await owner
    assert queue.take() == sound(2)


async def test_the_reader_of_a_stream_is_not_cancelled_by_the_function_of_the_owner() -> None:
    queue = EventQueue()

    def fail(_: Audio | Interrupted) -> None:
        raise asyncio.CancelledError

    queue.on_playback = fail
    async with waiting_owner(queue) as owner:
        assert queue.push([sound(1), sound(2)])
        with pytest.raises(asyncio.CancelledError):
            await owner
    assert queue.take() == sound(2)


async def test_an_owner_that_is_cancelled_at_once_gets_the_exception_when_it_waits_again() -> None:
    queue = EventQueue()

    def fail(_: Audio | Interrupted) -> None:
        raise ValueError("lost")

    queue.on_playback = fail
    async with waiting_owner(queue) as owner:
        queue.push([sound(1)])
        owner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await owner
    with pytest.raises(ValueError, match="lost"):
        await queue.wait()
    async with waiting_owner(queue) as owner:
        assert not owner.done(), "it is raised once"


async def test_the_function_of_an_owner_runs_in_its_context() -> None:
    name = ContextVar("name", default="nobody")
    queue, names = EventQueue(), list[str]()
    queue.on_playback = lambda _: names.append(name.get())
    token = name.set("owner")
    async with waiting_owner(queue):
        name.reset(token)
        queue.push([sound(1)])
    assert names == ["owner"]
