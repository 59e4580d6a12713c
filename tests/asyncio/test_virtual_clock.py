"""A session whose clock is a `VirtualClock`: what does not come from the source does not happen."""

import asyncio
from collections.abc import Callable

from sonic_voice.config import SessionConfig
from sonic_voice.session import Session
from sonic_voice.transport import MemoryTransport
from sonic_voice.virtual_clock import VirtualClock
from sonic_voice.virtual_time import run_in_virtual_time

from ..support.memory_service import MemoryService


def audio_after_a_pause(clock: Callable[[], float]) -> int:
    """Return how many bytes of audio a service receives: 32 ms, then five seconds of nothing."""

    async def converse() -> int:
        transport = MemoryTransport()
        async with Session.open(SessionConfig(), transport, clock=clock) as session:
            service = await MemoryService.of(transport)
            await session.send_audio(bytes(1024))
            await asyncio.sleep(5)
            service.look()
            size = len(service.heard)
            session.finish()
            service.says_goodbye()
        return size

    return run_in_virtual_time(converse())


def test_no_silence_is_sent_while_a_virtual_clock_stands_still() -> None:
    assert audio_after_a_pause(VirtualClock()) == 1024
    assert audio_after_a_pause(lambda: 0.0) > 32_000


def test_a_virtual_clock_never_goes_back() -> None:
    clock = VirtualClock()
    clock.advance_to(2.0)
    clock.advance_to(1.0)
    assert clock() == 2.0
