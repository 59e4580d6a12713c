"""A conversation by the production transport on uvloop, and what a frame costs the event loop."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast

import pytest

from sonic_voice.config import SessionConfig
from sonic_voice.events import Closed
from sonic_voice.local_service import LocalService
from sonic_voice.session import Session

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
