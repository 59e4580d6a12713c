"""A session that is left while its first stream is being opened leaves no stream at the service."""

import asyncio
import gc
from typing import Any

from sonic_voice.config import SessionConfig
from sonic_voice.local_service import LocalService
from sonic_voice.session import Session


async def test_a_session_that_is_left_at_any_step_of_its_opening_leaves_nothing() -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with LocalService() as transport:
        async with Session.open(SessionConfig(), transport):
            pass  # the first one takes longer
        before = asyncio.all_tasks()
        for steps in [*range(30), 60, 90]:
            async with Session.open(SessionConfig(), transport, early_audio=True):
                for _ in range(steps):
                    await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while asyncio.all_tasks() - before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    gc.collect()
    # In debug mode asyncio tells of every handshake that a server refuses.
    assert not [context for context in said if "incoming connection" not in context["message"]]
