"""The drain of a server that is about to stop: present conversations end by themselves, or move.

    SIGTERM ──► no new conversations, /healthz 503 ──► conversations go on
                  after `within_s - SETTLE_S` ──► each moves at its next pause
                  after `within_s`            ──► the rest moves at once

A conversation that moves is stored, and its page is told to connect again (`Close.RESTART`); any
process with the same store continues it. Without a store it ends with `Close.STOPPING`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from .browser_session import BrowserSession
from .closing import Close

SETTLE_S = 20.0
"""Maximum time in which conversations move at a pause, in seconds: as long as the longest answers
last. It is the end of the time that a drain has, or all of it."""


async def drain_sessions(
    sessions: Sequence[tuple[BrowserSession, asyncio.Task[None]]], within_s: float, *, moves: bool
) -> None:
    """Wait until all conversations have ended, and move or end those that have not in time.

    Cancelling it leaves the rest of the conversations as they are.

    Args:
        sessions: The conversations and the tasks that hold them.
        within_s: The time until the last one is told to leave, in seconds.
        moves: Whether conversations can move, because they are stored.
    """
    if not sessions:
        return
    settle_s = min(SETTLE_S, within_s) if moves else 0.0
    await asyncio.wait([task for _, task in sessions], timeout=within_s - settle_s)
    staying = [session for session, task in sessions if not task.done()]
    if moves:
        await asyncio.gather(*(_move(session, settle_s) for session in staying))
    for session in staying:
        session.end(Close.STOPPING)


async def _move(session: BrowserSession, settle_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(settle_s):
            await session.wait_for_pause()
    await session.move()
