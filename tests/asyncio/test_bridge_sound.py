"""The user's sound on its direct way, and timers that are moved by each piece of an answer."""

import asyncio
import random
from collections.abc import Iterable

import pytest

from sonic_voice.bridge.browser_audio import BrowserSource
from sonic_voice.bridge.closing import Close
from sonic_voice.bridge.service_watch import EndTimers
from sonic_voice.config import AudioFormat, SessionConfig
from sonic_voice.session import Session
from sonic_voice.transport import MemoryTransport
from sonic_voice.virtual_time import run_in_virtual_time

from .test_session import polite


@pytest.mark.parametrize("seed", range(20))
async def test_sound_that_is_taken_at_once_overtakes_none_that_waits(seed: int) -> None:
    chance, source = random.Random(seed), BrowserSource(AudioFormat(16_000))
    taken: list[bytes] = []
    frames = [number.to_bytes(2, "little") * 320 for number in range(60)]

    def offer(pcm: bytes) -> bool:
        if chance.random() < 0.3:
            return False
        taken.append(pcm)
        return True

    async def read() -> None:
        while pcm := await source.read():
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            taken.append(pcm)

    source.offer = offer
    reading = asyncio.create_task(read())
    for frame in frames:
        source.feed(frame)
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
    while b"".join(taken) != b"".join(frames):
        assert len(b"".join(taken)) < len(b"".join(frames))
        await asyncio.sleep(0)
    source.close()
    await reading


async def test_a_session_takes_sound_at_once_while_it_is_open() -> None:
    transport = MemoryTransport(direct=True)
    service = asyncio.create_task(polite(transport))
    async with Session.open(SessionConfig(), transport) as session:
        assert session.offer_audio(bytes(640))
        assert not session.offer_audio(bytes(3)), "half a sample"
        session.finish()
        assert not session.offer_audio(bytes(640))
        async for _ in session:
            pass
        assert not session.offer_audio(bytes(640))
    await service


def fired(arms: Iterable[tuple[float, float]], until_s: float = 100) -> list[float]:
    """When a timer fires that is armed at some times for some times; 0 disarms it."""

    async def run() -> list[float]:
        loop, times = asyncio.get_running_loop(), list[float]()
        began_s = loop.time()
        timers = EndTimers(lambda _: times.append(round(loop.time() - began_s, 6)))
        for at_s, after_s in arms:
            await asyncio.sleep(at_s - (loop.time() - began_s))
            if after_s:
                timers.arm(Close.SERVICE_FAILED, after_s)
            else:
                timers.disarm(Close.SERVICE_FAILED)
        await asyncio.sleep(until_s)
        timers.close()
        return times

    return run_in_virtual_time(run())


@pytest.mark.parametrize(
    ("arms", "times"),
    [
        ([(0, 10)], [10]),
        ([(0, 10), (4, 10), (8, 10)], [18]),
        ([(0, 120), (1, 30)], [31]),
        ([(0, 120), (1, 30), (2, 50)], [52]),
        ([(0, 10), (5, 0)], []),
        ([(0, 10), (5, 10), (12, 0)], []),
        ([(0, 10), (5, 0), (6, 10)], [16]),
        ([(0, 10), (20, 5)], [10, 25]),
    ],
)
def test_a_timer_fires_when_it_was_last_armed_for(
    arms: list[tuple[float, float]], times: list[float]
) -> None:
    assert fired(arms) == times
