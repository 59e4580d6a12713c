"""The event loop on virtual time: what makes its clock jump, and what holds it."""

import asyncio
import threading
import time

from sonic_voice.virtual_time import VirtualTimeLoop, run_in_virtual_time


def virtual_loop() -> VirtualTimeLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def test_waiting_takes_no_time_and_timers_keep_their_order() -> None:
    async def work() -> tuple[list[str], float]:
        done: list[str] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            done.append(name)

        await asyncio.gather(sleeper("late", 3600), sleeper("early", 60), sleeper("now", 0))
        return done, virtual_loop().time()

    began_s = time.monotonic()
    assert run_in_virtual_time(work()) == (["now", "early", "late"], 3600)
    assert time.monotonic() - began_s < 5


def test_no_time_passes_while_a_thread_of_an_executor_works() -> None:
    async def work() -> float:
        timer = asyncio.create_task(asyncio.sleep(1000))
        await asyncio.to_thread(time.sleep, 0.02)
        now_s = virtual_loop().time()
        timer.cancel()
        return now_s

    assert run_in_virtual_time(work()) == 0


def test_no_time_passes_while_it_is_held() -> None:
    async def work() -> float:
        loop = virtual_loop()
        timer, woken = asyncio.create_task(asyncio.sleep(1000)), asyncio.Event()
        thread = threading.Timer(0.02, loop.call_soon_threadsafe, [woken.set])
        with loop.hold():
            thread.start()
            await woken.wait()
        now_s = loop.time()
        timer.cancel()
        return now_s

    assert run_in_virtual_time(work()) == 0


def test_a_check_holds_the_clock_until_it_is_answered_or_its_patience_is_over() -> None:
    async def work() -> tuple[float, float]:
        loop, waits = virtual_loop(), [True]
        woken = asyncio.Event()

        def wake() -> None:
            waits[0] = False
            woken.set()

        timer = asyncio.create_task(asyncio.sleep(1000))
        with loop.wait_while(lambda: waits[0], patience_s=5):
            threading.Timer(0.02, loop.call_soon_threadsafe, [wake]).start()
            await woken.wait()
            held_s = loop.time()
        with loop.wait_while(lambda: True, patience_s=0.01):
            await timer
        return held_s, loop.time()

    assert run_in_virtual_time(work()) == (0, 1000)
