"""A call gets exactly one result, a JSON object, whatever the tool does."""

import asyncio
import functools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from sonic_voice.tools import toolbox as tools
from sonic_voice.tools.results import RESULT_BYTES, cancelled_result, error_result
from sonic_voice.tools.toolbox import MAX_THREADS, Toolbox, tool

FOREVER_S = 60.0
"""Longer than any test: what waits for it waits in vain."""
AT_ONCE_S = 0.01


class Wind(Enum):
    WEST = "west"


@dataclass
class Weather:
    celsius: float
    wind: Wind
    day: date


WEATHER = Weather(21.5, Wind.WEST, date(2026, 3, 14))
WEATHER_JSON = {"celsius": 21.5, "wind": "west", "day": "2026-03-14"}


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What stuck threads wait for; set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def returning(value: object, *, in_loop: bool) -> Callable[[], Any]:
    """A tool `go` that returns `value`, sync or async."""

    def go() -> object:
        return value

    async def go_async() -> object:
        return value

    return tool(name="go")(go_async if in_loop else go)


def raising(error: BaseException, *, in_loop: bool) -> Callable[[], Any]:
    """A tool `go` that raises `error`, sync or async."""

    def go() -> None:
        raise error

    async def go_async() -> None:
        raise error

    return tool(name="go")(go_async if in_loop else go)


async def answer(tool: Callable[..., Any], arguments: str = "{}", **options: float) -> Any:
    """The one result of calling the tool `go`, decoded; an object, or the test fails."""
    text = await Toolbox([tool]).run("go", arguments, **options)
    result = json.loads(text)
    assert isinstance(result, dict)
    return result  # pyright: ignore[reportUnknownVariableType]


@pytest.mark.parametrize("in_loop", [False, True])
@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"celsius": 21}, {"celsius": 21}),
        ({}, {}),
        (None, {}),
        (21, {"result": 21}),
        (False, {"result": False}),
        ("Straße", {"result": "Straße"}),
        (["a", None], {"result": ["a", None]}),
        (WEATHER, WEATHER_JSON),
        ({"today": WEATHER}, {"today": WEATHER_JSON}),
        (Wind.WEST, {"result": "west"}),
        ({"price": Decimal("1.50"), "tags": {"x"}}, {"price": "1.50", "tags": ["x"]}),
        ([UUID(int=1), PurePosixPath("a/b")], {"result": [str(UUID(int=1)), "a/b"]}),
    ],
    ids=str,
)
async def test_a_result_is_always_a_json_object(
    value: object, result: object, in_loop: bool
) -> None:
    assert await answer(returning(value, in_loop=in_loop)) == result


@pytest.mark.parametrize("in_loop", [False, True])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "object, which is not JSON"),
        (b"RIFF", "bytes, which is not JSON"),
        ({(1, 2): 3}, "TypeError"),
        (float("nan"), "ValueError"),
        ("\ud800", "UnicodeEncodeError"),
        ("x" * RESULT_BYTES, f"{RESULT_BYTES} are the limit"),
    ],
    ids=["object", "bytes", "key", "nan", "surrogate", "long"],
)
async def test_what_is_no_json_becomes_an_error(value: object, said: str, in_loop: bool) -> None:
    result = await answer(returning(value, in_loop=in_loop))
    assert result.keys() == {"error"}
    assert said in result["error"]


async def test_a_result_of_the_limit_is_taken() -> None:
    text = "x" * (RESULT_BYTES - len('{"result": ""}'))
    assert await answer(returning(text, in_loop=True)) == {"result": text}


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


FAILURES = [
    (ValueError("no such city"), "ValueError: no such city"),
    (KeyError("city"), "KeyError: 'city'"),
    (RuntimeError(), "RuntimeError"),
    (TimeoutError("upstream"), "TimeoutError: upstream"),
    (SystemExit(1), "SystemExit: 1"),
    (Speechless(), "Speechless"),
]


@pytest.mark.parametrize("in_loop", [False, True])
@pytest.mark.parametrize(("error", "said"), FAILURES, ids=[type(e).__name__ for e, _ in FAILURES])
async def test_an_exception_becomes_an_error_and_its_trace_goes_to_the_log(
    error: BaseException, said: str, in_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert await answer(raising(error, in_loop=in_loop)) == {"error": said}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_what_of_a_message_is_no_text_becomes_a_replacement_character(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "sonic_voice")  # a report cannot be written with it
    result = await answer(raising(ValueError("\ud800"), in_loop=True))
    assert result == {"error": "ValueError: \N{REPLACEMENT CHARACTER}"}


async def test_a_sync_tool_that_raises_stop_iteration_or_is_cancelled_inside_fails_too() -> None:
    for error in (StopIteration(), asyncio.CancelledError(), KeyboardInterrupt()):
        result = await answer(raising(error, in_loop=False))
        assert result == {"error": type(error).__name__}


async def test_an_async_tool_that_cancels_itself_does_not_cancel_the_caller() -> None:
    result = await answer(raising(asyncio.CancelledError(), in_loop=True))
    assert result == json.loads(cancelled_result())


async def test_a_long_message_of_an_exception_is_cut() -> None:
    result = await answer(raising(ValueError("x" * 10_000), in_loop=True))
    assert len(result["error"]) == 1_000


async def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    box = Toolbox([returning(1, in_loop=True)])
    result = json.loads(await box.run("stop", "{}"))
    assert result == {"error": "There is no tool 'stop'. Tools: go."}


@pytest.mark.parametrize(
    "arguments", ["{", "[]", "1", "null", '"x"', "[" * 100_000, '{"x": NaN}', '{"x": 1e999}']
)
async def test_arguments_that_are_no_object_of_the_schema_are_an_error(arguments: str) -> None:
    @tool
    async def go(x: float) -> float:
        return x

    assert (await answer(go, arguments)).keys() == {"error"}


async def test_double_encoded_arguments_reach_the_tool() -> None:
    @tool
    def go(meters: int) -> int:
        return meters

    assert await answer(go, json.dumps(json.dumps({"meters": 10.0}))) == {"result": 10}


async def test_an_async_tool_out_of_time_is_cancelled_and_answered() -> None:
    ended = list[str]()

    @tool
    async def go() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    assert await answer(go, timeout_s=AT_ONCE_S) == {"error": "go gave no result within 0.01 s."}
    assert ended == ["cancelled"]


async def test_a_tool_that_does_not_end_when_cancelled_is_answered_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tools, "CANCEL_GRACE_S", AT_ONCE_S)
    let_go = asyncio.Event()
    ended = asyncio.Event()

    @tool
    async def go() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    assert await answer(go, timeout_s=AT_ONCE_S) == {"error": "go gave no result within 0.01 s."}
    assert "still running" in caplog.text
    let_go.set()
    await ended.wait()


async def test_a_sync_tool_out_of_time_is_answered_and_its_late_result_dropped(
    release: threading.Event,
) -> None:
    finished = threading.Event()

    @tool(timeout_s=AT_ONCE_S)
    def go() -> str:
        release.wait(FOREVER_S)
        finished.set()
        return "late"

    assert await answer(go) == {"error": "go gave no result within 0.01 s."}
    release.set()
    assert await asyncio.to_thread(finished.wait, FOREVER_S)


async def test_the_timeout_of_a_tool_counts_more_than_that_of_the_call() -> None:
    @tool(timeout_s=AT_ONCE_S)
    async def go() -> None:
        await asyncio.Event().wait()

    result = await answer(go, timeout_s=FOREVER_S)
    assert "within 0.01 s" in result["error"]


async def test_two_sync_tools_that_wait_for_each_other_both_finish() -> None:
    barrier = threading.Barrier(2, timeout=FOREVER_S)

    def meet() -> str:
        return f"met {barrier.wait() < 2}"

    box = Toolbox([meet])
    results = await asyncio.gather(box.run("meet", "{}"), box.run("meet", "{}"))
    assert results == ['{"result": "met True"}'] * 2


async def test_two_async_tools_that_wait_for_each_other_both_finish() -> None:
    barrier = asyncio.Barrier(2)

    async def meet() -> None:
        await barrier.wait()

    box = Toolbox([meet])
    assert await asyncio.gather(box.run("meet", "{}"), box.run("meet", "{}")) == ["{}", "{}"]


async def test_a_sync_tool_does_not_hold_up_the_loop(release: threading.Event) -> None:
    def go() -> bool:
        return release.wait(FOREVER_S)

    call = asyncio.create_task(Toolbox([go]).run("go", "{}"))
    await asyncio.sleep(0)  # the thread runs, and so do we
    release.set()
    assert await call == '{"result": true}'


async def test_no_more_threads_than_the_bound_and_each_is_given_back(
    release: threading.Event,
) -> None:
    started = threading.Semaphore(0)

    def go() -> None:
        started.release()
        release.wait(FOREVER_S)

    box = Toolbox([go])
    calls = [asyncio.create_task(box.run("go", "{}")) for _ in range(MAX_THREADS)]
    for _ in calls:
        await asyncio.to_thread(started.acquire)
    assert "still running" in json.loads(await box.run("go", "{}"))["error"]
    release.set()
    assert await asyncio.gather(*calls) == ["{}"] * MAX_THREADS
    assert await box.run("go", "{}") == "{}"


async def test_a_cancelled_call_cancels_its_async_tool_and_waits_for_its_end() -> None:
    started, ended = asyncio.Event(), list[str]()

    async def go() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("cancelled")

    call = asyncio.create_task(Toolbox([go]).run("go", "{}"))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == ["cancelled"]


async def test_a_cancelled_call_leaves_its_sync_tool_to_the_thread(
    release: threading.Event,
) -> None:
    started = threading.Event()

    def go() -> None:
        started.set()
        release.wait(FOREVER_S)

    call = asyncio.create_task(Toolbox([go]).run("go", "{}"))
    await asyncio.to_thread(started.wait, FOREVER_S)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_context_variables_reach_the_tool() -> None:
    caller: ContextVar[str] = ContextVar("caller")
    caller.set("Ada")

    def here() -> str:
        return caller.get()

    async def there() -> str:
        return caller.get()

    box = Toolbox([here, there])
    assert await box.run("here", "{}") == await box.run("there", "{}") == '{"result": "Ada"}'


async def test_an_async_function_under_a_plain_decorator_is_awaited() -> None:
    def logged(fn: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[int]]:
        @functools.wraps(fn)
        def wrapper() -> Awaitable[int]:
            return fn()

        return wrapper

    async def go() -> int:
        return 7

    assert await answer(tool(logged(go))) == {"result": 7}


async def test_an_error_result_is_an_object_that_can_be_sent() -> None:
    assert json.loads(error_result('a "b"\n')) == {"error": 'a "b"\n'}
    assert json.loads(cancelled_result()).keys() == {"error"}


def test_a_stuck_sync_tool_does_not_hold_up_the_end_of_the_program() -> None:
    program = """
import asyncio, threading
from sonic_voice.tools.toolbox import Toolbox
def go() -> None:
    threading.Event().wait()
print(asyncio.run(Toolbox([go]).run("go", "{}", timeout_s=0.01)))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == '{"error": "go gave no result within 0.01 s."}\n'
