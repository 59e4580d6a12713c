"""An async tool that blocks the event loop is named, once; one that waits is not."""

import asyncio
import json
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sonic_voice.tools.toolbox import BLOCKING_S, Toolbox

TOO_LONG_S = BLOCKING_S * 1.5


class Room:
    """A place outside the event loop where the test can see what a tool does."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    async def run(self, *fns: Callable[..., Awaitable[Any]], times: int = 1) -> list[str]:
        box = Toolbox(fns)
        box.on_notice = self.notices.append
        return [await box.run(fn.__name__, "{}") for _ in range(times) for fn in fns]


def block() -> None:
    """Hold the event loop, as a call of a library without asyncio does."""
    time.sleep(TOO_LONG_S)


async def sleeps_at_once() -> str:
    block()
    return "done"


async def sleeps_after_waiting() -> str:
    await asyncio.sleep(0)
    block()
    return "done"


async def sleeps_and_fails() -> str:
    block()
    raise ValueError("no luck")


async def computes() -> str:
    end = time.perf_counter() + TOO_LONG_S
    while time.perf_counter() < end:
        sum(range(1_000))
    return "done"


async def sleeps_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        block()


@pytest.mark.parametrize("fn", [sleeps_at_once, sleeps_after_waiting, sleeps_and_fails, computes])
async def test_a_tool_that_blocks_is_named_once_with_the_time(
    fn: Callable[[], Awaitable[str]],
) -> None:
    room = Room()
    results = await room.run(fn, times=2)
    assert len(room.notices) == 1
    assert fn.__name__ in room.notices[0]
    assert "def" in room.notices[0]
    assert results[0] == results[1]
    assert json.loads(results[0]) in ({"result": "done"}, {"error": "ValueError: no luck"})


async def test_each_tool_that_blocks_is_named() -> None:
    room = Room()
    await room.run(sleeps_at_once, computes)
    assert [words.split()[2] for words in room.notices] == ["sleeps_at_once", "computes"]


async def test_blocking_while_it_is_cancelled_counts() -> None:
    notices: list[str] = []
    box = Toolbox([sleeps_when_cancelled])
    box.on_notice = notices.append
    result = json.loads(await box.run("sleeps_when_cancelled", "{}", timeout_s=0.01))
    assert "no result" in result["error"]
    assert len(notices) == 1


async def waits() -> str:
    await asyncio.sleep(TOO_LONG_S)
    return "done"


async def waits_for_a_thread() -> str:
    await asyncio.to_thread(time.sleep, TOO_LONG_S)
    return "done"


async def waits_for_others() -> str:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(TOO_LONG_S))
        await asyncio.sleep(TOO_LONG_S)
    return "done"


async def meets_a_timeout() -> str:
    try:
        async with asyncio.timeout(TOO_LONG_S):
            await asyncio.Event().wait()
    except TimeoutError:
        return "done"
    return "never"


@pytest.mark.parametrize("fn", [waits, waits_for_a_thread, waits_for_others, meets_a_timeout])
async def test_a_tool_that_waits_is_not_blamed(fn: Callable[[], Awaitable[str]]) -> None:
    room = Room()
    assert await room.run(fn) == ['{"result": "done"}']
    assert room.notices == []


async def test_a_tool_is_not_blamed_for_another_that_blocks_meanwhile() -> None:
    notices: list[str] = []
    box = Toolbox([waits, sleeps_after_waiting])
    box.on_notice = notices.append
    await asyncio.gather(box.run("waits", "{}"), box.run("sleeps_after_waiting", "{}"))
    assert [words.split()[2] for words in notices] == ["sleeps_after_waiting"]


async def test_a_sync_tool_may_take_its_time() -> None:
    notices: list[str] = []

    def sleeps() -> None:
        time.sleep(TOO_LONG_S)

    box = Toolbox([sleeps])
    box.on_notice = notices.append
    await box.run("sleeps", "{}")
    assert notices == []


async def test_without_a_listener_it_is_a_warning_of_python() -> None:
    with pytest.warns(RuntimeWarning, match="sleeps_at_once blocked the event loop for"):
        await Toolbox([sleeps_at_once]).run("sleeps_at_once", "{}")


async def test_where_warnings_are_errors_the_call_is_answered_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = await Toolbox([sleeps_at_once]).run("sleeps_at_once", "{}")
    assert result == '{"result": "done"}'
    assert "sleeps_at_once blocked" in caplog.text
