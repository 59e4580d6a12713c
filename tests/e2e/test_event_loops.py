"""A conversation by the production transport on uvloop, and what frames cost the event loop."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any, cast

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from sonic_voice.bridge.frames import voice_frame
from sonic_voice.bridge.messages import SUBPROTOCOL
from sonic_voice.config import SessionConfig
from sonic_voice.events import Closed
from sonic_voice.local_service import LocalService
from sonic_voice.session import Session

from ..support.quiet_bridge import QuietService, hello, running

FRAMES = 40
FRAME = bytes(1024)
FRAME_S = 0.032


async def _talk() -> str:
    """Hold a short conversation, and return the name of the loop's module."""
    async with LocalService() as service, Session.open(SessionConfig(), service) as session:
        for _ in range(5):
            await session.send_audio(FRAME)
            await asyncio.sleep(FRAME_S)
        session.finish()
        events = [event async for event in session]
        assert isinstance(events[-1], Closed)
    return type(asyncio.get_running_loop()).__module__


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not exist for Windows")
def test_a_conversation_on_uvloop(caplog: pytest.LogCaptureFixture) -> None:
    uvloop = pytest.importorskip("uvloop")
    assert asyncio.run(_talk(), loop_factory=uvloop.new_event_loop) == "uvloop"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts its turns and the callbacks that are scheduled."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = self.callbacks = 0
        run_once = cast(Any, self)._run_once

        def counting() -> None:
            self.turns += 1
            run_once()

        cast(Any, self)._run_once = counting

    def call_soon(self, callback: Callable[..., Any], *args: Any, **more: Any) -> asyncio.Handle:
        self.callbacks += 1
        return super().call_soon(callback, *args, **more)


async def _cost_of_frames() -> tuple[int, int]:
    """Return the turns of the loop and the callbacks that it takes to send frames."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    turns = callbacks = 0
    async with LocalService() as service, Session.open(SessionConfig(), service) as session:
        for number in range(2 * FRAMES):
            await asyncio.sleep(0.002)
            if number == FRAMES:  # until then the stream is set up
                turns = callbacks = 0
            turns, callbacks = turns - loop.turns, callbacks - loop.callbacks
            await session.send_audio(FRAME)
            turns, callbacks = turns + loop.turns, callbacks + loop.callbacks
        session.finish()
        return turns, callbacks


def test_sending_a_frame_takes_no_turn_of_the_loop_and_schedules_nothing() -> None:
    turns, callbacks = asyncio.run(_cost_of_frames(), loop_factory=CountingLoop)
    # A few frames may find the socket or a window full.
    assert turns <= FRAMES // 10
    assert callbacks <= FRAMES // 10


def _listening(stack: ExitStack, url: str) -> ClientConnection:
    page = stack.enter_context(
        connect(
            url.replace("http", "ws", 1) + "talk",
            origin=Origin(url.removesuffix("/")),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            proxy=None,
        )
    )
    page.send(hello())
    while json.loads(page.recv())["type"] != "listening":
        pass
    return page


def _speak(page: ClientConnection) -> None:
    for _ in range(FRAMES):
        page.send(voice_frame(FRAME))
        time.sleep(0.005)


async def _cost_at_the_bridge() -> tuple[int, int]:
    """Return the callbacks that it takes to receive frames of a page, and to send it sound."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    service = QuietService()
    service.direct = True
    async with running(transport=service) as (url, bridge), AsyncExitStack() as closing:
        stack = ExitStack()
        closing.push_async_callback(asyncio.to_thread, stack.close)
        page = await asyncio.to_thread(_listening, stack, url)
        received = -loop.callbacks
        await asyncio.to_thread(_speak, page)
        received += loop.callbacks
        [(session, _)] = bridge._sessions.values()  # pyright: ignore[reportPrivateUsage]
        assert session._bridge_metrics.voice_s >= FRAMES * FRAME_S  # pyright: ignore[reportPrivateUsage]
        sent = -loop.callbacks
        for _ in range(FRAMES):
            session._sink.play(1, bytes(960))  # pyright: ignore[reportPrivateUsage]
        sent += loop.callbacks
        sounds = 0
        while sounds < FRAMES:
            sounds += isinstance(await asyncio.to_thread(page.recv), bytes)
    return received, sent


def test_a_page_wakes_no_task_with_a_frame_and_sound_to_it_schedules_nothing() -> None:
    received, sent = asyncio.run(_cost_at_the_bridge(), loop_factory=CountingLoop)
    assert received <= FRAMES // 2  # timers, and the end of the thread
    assert sent == 0
