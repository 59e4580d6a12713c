"""A bridge that drains: who is admitted, when a conversation moves, and what the next one knows."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from sonic_voice.bridge import Access, Bridge, Close, MemoryStore, issue_token
from sonic_voice.bridge.saving import load_record
from sonic_voice.transport import MemoryTransport

from ..support.memory_service import MemoryService
from ..support.memory_socket import ORIGIN, MemorySocket
from ..support.quiet_bridge import OFFER

ACCESS = Access(origins=frozenset({ORIGIN}))
LONG_S = 15.0
"""Time of a drain, in seconds, in which each conversation moves at its next pause."""


@asynccontextmanager
async def bridge(
    store: MemoryStore | None, transport: MemoryTransport | None = None, *, siblings: bool = False
) -> AsyncGenerator[Bridge]:
    """A bridge whose service the test is, if it has the transport."""
    offer = replace(OFFER, store=store)
    async with Bridge(
        offer, transport or MemoryTransport(), access=ACCESS, siblings=siblings
    ) as opened:
        yield opened


@asynccontextmanager
async def connected(to: Bridge, **hello: Any) -> AsyncGenerator[MemorySocket]:
    """A page that has said hello. Its connection is lost at the end, if it is not closed before."""
    socket = MemorySocket()
    socket.say("hello", version=1, **hello)
    task = asyncio.create_task(to.handle(socket))
    yield socket
    socket.lose()
    await task


async def closed(socket: MemorySocket) -> int | None:
    async with asyncio.timeout(5):
        await socket.over.wait()
    return socket.closed


async def talking(
    to: Bridge, transport: MemoryTransport, socket: MemorySocket
) -> tuple[str, MemoryService]:
    """Wait until the conversation is open; return its resume token and its service."""
    resume = (await socket.until("ready"))["resume"]
    service = await MemoryService.of(transport)
    await socket.until("listening")
    return resume, service


async def over(task: asyncio.Task[None], service: MemoryService) -> None:
    """Wait for the end of a drain, and let the service say goodbye."""
    await task
    await service.receives("session end")
    service.says_goodbye()


async def test_a_conversation_at_rest_moves_at_once_and_is_stored() -> None:
    store, transport = MemoryStore(), MemoryTransport()
    async with bridge(store, transport) as here, connected(here) as page:
        resume, service = await talking(here, transport, page)
        await over(asyncio.create_task(here.drain(LONG_S)), service)
        assert await closed(page) == Close.RESTART
        assert here.metrics.closed == {Close.RESTART: 1}
    assert await load_record(store, resume) is not None, "it may be resumed"


def speech(service: MemoryService) -> None:
    service.speech_begins(100)


def words(service: MemoryService) -> None:
    service.hears("hello.")


def answer(service: MemoryService) -> None:
    service.answers("Hi.", ends=False)


@pytest.mark.parametrize(
    ("begins", "told"),
    [(speech, "user_speech_started"), (words, "user_text"), (answer, "assistant_text")],
)
async def test_a_conversation_moves_only_when_the_answer_was_played(
    begins: Callable[[MemoryService], None], told: str
) -> None:
    transport = MemoryTransport()
    async with bridge(MemoryStore(), transport) as here, connected(here) as page:
        _, service = await talking(here, transport, page)
        begins(service)
        await page.until(told)
        draining = asyncio.create_task(here.drain(LONG_S))
        service.hears("are you there?")
        service.answers("I am.", payloads=2)
        ended = await page.until("turn_ended")
        await asyncio.sleep(0)
        assert not draining.done()
        assert page.closed is None, "the answer is not played"
        page.say("played", epoch=0, turn=ended["turn"], samples=ended["samples"])
        await over(draining, service)
        assert await closed(page) == Close.RESTART


async def test_a_conversation_that_waits_for_its_page_moves_at_once() -> None:
    store, transport = MemoryStore(), MemoryTransport()
    async with bridge(store, transport) as here:
        async with connected(here) as page:
            resume, service = await talking(here, transport, page)
            service.answers("I was", ends=False)
            await page.until("assistant_text")
        await over(asyncio.create_task(here.drain(LONG_S)), service)
    assert await load_record(store, resume) is not None


async def test_at_the_end_of_the_time_a_conversation_moves_whatever_it_does() -> None:
    store, transport = MemoryStore(), MemoryTransport()
    async with bridge(store, transport) as here, connected(here) as page:
        resume, service = await talking(here, transport, page)
        service.hears("hello.")
        await page.until("user_text")
        await over(asyncio.create_task(here.drain(0.05)), service)
        assert await closed(page) == Close.RESTART
    record = await load_record(store, resume)
    assert record is not None
    assert record.snapshot.owed, "the next process answers"


async def test_without_a_store_a_conversation_has_its_time_and_ends() -> None:
    transport = MemoryTransport()
    async with bridge(None, transport) as here, connected(here) as page:
        _, service = await talking(here, transport, page)
        await over(asyncio.create_task(here.drain(0.05)), service)
        assert await closed(page) == Close.STOPPING


async def test_a_page_says_goodbye_during_a_drain_and_nobody_waits_any_longer() -> None:
    transport = MemoryTransport()
    async with bridge(None, transport) as here, connected(here) as page:
        _, service = await talking(here, transport, page)
        draining = asyncio.create_task(here.drain(3600))
        page.say("bye")
        await service.receives("session end")
        service.says_goodbye()
        async with asyncio.timeout(5):
            await draining
        assert await closed(page) == Close.BYE


@pytest.mark.parametrize(("siblings", "close"), [(False, Close.STOPPING), (True, Close.RESTART)])
async def test_new_conversations_are_not_accepted_and_present_ones_are(
    siblings: bool, close: Close
) -> None:
    transport = MemoryTransport()
    async with bridge(None, transport, siblings=siblings) as here:
        async with connected(here) as page:
            resume, service = await talking(here, transport, page)
        draining = asyncio.create_task(here.drain(3600))
        async with connected(here) as visitor:
            assert await closed(visitor) == close
        async with connected(here, resume="of elsewhere") as visitor:
            assert await closed(visitor) == (Close.RESTART if siblings else Close.FORGOTTEN)
        async with connected(here, resume=resume) as page:
            assert (await page.until("ready"))["resumed"], "its connection was only lost"
            page.say("bye")
            await service.receives("session end")
            service.says_goodbye()
            await closed(page)
        await draining


async def test_a_page_of_a_sibling_is_told_to_look_for_it() -> None:
    async with bridge(None, siblings=True) as here, connected(here, resume="other") as page:
        assert await closed(page) == Close.RESTART
    async with bridge(None) as here, connected(here, resume="other") as page:
        assert await closed(page) == Close.FORGOTTEN


async def test_a_drain_stops_listening_only_if_others_go_on_at_the_same_port() -> None:
    left: list[str] = []
    async with bridge(None) as here:
        here.on_leaving(lambda: left.append("port"))
        await here.drain(1)
        assert left == []
        await here.drain(1, leaves=True)
        assert left == ["port"]


async def test_a_conversation_is_stored_before_its_session_is_open() -> None:
    """A page that has its resume token may need it at any time."""
    store, transport = MemoryStore(), MemoryTransport()
    async with bridge(store, transport) as first, connected(first) as page:
        resume = (await page.until("ready"))["resume"]
        async with asyncio.timeout(5):
            while await load_record(store, resume) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        service = await MemoryService.of(transport)
        first.stop()
        await service.receives("session end")
        service.says_goodbye()


async def test_a_one_time_token_opens_one_conversation() -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    access = Access(origins=frozenset({ORIGIN}), secret=secret, one_time_tokens=True)
    token = issue_token(secret, "alice", now_s=time.time())
    transport = MemoryTransport()
    async with Bridge(OFFER, transport, access=access) as here, connected(here, token=token) as one:
        _, service = await talking(here, transport, one)
        async with connected(here, token=token) as two:
            assert await closed(two) == Close.EXPIRED
        one.say("bye")
        await service.receives("session end")
        service.says_goodbye()
        assert await closed(one) == Close.BYE
