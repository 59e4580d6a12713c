"""Admission of conversations: limits and used tokens, of this process and of all that share them.

    admit ── shared state ── reached ─────► its limits, over all processes
                  └───────── unavailable ─► the limits of this process alone

Conversations are always counted here, too, for the metrics and for the time in which the shared
state cannot be reached. Whatever happens to it, a conversation that was admitted goes on.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .limits import BridgeLimits, ConcurrencyLimit
from .shared_state import Claim, Renewal, SharedState, StateUnavailable
from .tokens import UsedTokens

_log = logging.getLogger(__name__)


class Admission:
    """The admission of the conversations of one bridge.

    Args:
        limits: The limits `sessions`, `of_subject` and `of_address`, of all processes together.
        shared: What the processes share; None if there is one process, or each is on its own.
        local_sessions: The limit `sessions` of this process while it is on its own; None for that
            of `limits`.
    """

    def __init__(
        self,
        limits: BridgeLimits,
        shared: SharedState | None = None,
        local_sessions: int | None = None,
    ) -> None:
        self._limits = limits
        self._shared = shared
        sessions = limits.sessions if local_sessions is None else local_sessions
        self._local = ConcurrencyLimit(replace(limits, sessions=sessions))
        self._used = UsedTokens()
        self._claims: dict[str, Claim] = {}
        self._holds: Counter[str] = Counter()
        """Number of admissions by conversation: two while a page resumes twice at once."""
        self._releases: set[asyncio.Task[None]] = set()

    @property
    def talking(self) -> int:
        """Number of conversations of this process."""
        return self._local.talking

    async def admit(self, claim: Claim) -> None:
        """Count a conversation. Cancelling it counts nothing.

        Args:
            claim: The conversation. Its token is used up for good, whatever becomes of it.

        Raises:
            BridgeRefusal: `FULL`, `TOO_MANY_OF_SUBJECT`, `TOO_MANY_OF_ADDRESS`, or `EXPIRED` if its
                token has opened another one.
        """
        now_s = time.monotonic()
        shared = self._shared
        if claim.token:
            self._used.check(claim.token, now_s)
        if shared is not None:
            try:
                await shared.admit(claim, self._limits)
            except StateUnavailable:
                shared = None
            except asyncio.CancelledError:
                self._release_later(self._shared, claim)
                raise
        if shared is None:
            self._local.check(claim.subject, claim.client)
            if claim.token:
                self._used.check(claim.token, now_s)  # another one may have come meanwhile
        if claim.token:
            self._used.add(claim.token, now_s + claim.token_s, now_s)
        self._local.count(claim.subject, claim.client)
        self._claims[claim.key] = claim
        self._holds[claim.key] += 1

    def release(self, claim: Claim) -> None:
        """Count a conversation no longer. The shared state is told in a task.

        Args:
            claim: The conversation, as it was admitted.
        """
        self._local.release(claim.subject, claim.client)
        self._holds[claim.key] -= 1
        if self._holds[claim.key]:
            return
        del self._claims[claim.key], self._holds[claim.key]
        self._release_later(self._shared, claim)

    async def renew(self) -> Renewal:
        """Count the conversations of this process for longer; see `SharedState.renew`."""
        if self._shared is None:
            return Renewal()
        try:
            return await self._shared.renew(tuple(self._claims.values()))
        except StateUnavailable:
            return Renewal()

    async def aclose(self) -> None:
        """Wait until the shared state has been told of all that has ended. May be called again."""
        await asyncio.gather(*self._releases)

    def _release_later(self, shared: SharedState | None, claim: Claim) -> None:
        if shared is not None:
            task = asyncio.create_task(_told(shared.release(claim)), name="bridge release")
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)


async def _told(call: Coroutine[Any, Any, None]) -> None:
    """Tell the shared state of a conversation that has ended; else its count expires."""
    with suppress(StateUnavailable):
        await call
