"""The hooks of an application: what each visitor is offered, and who learns how it went.

    async def on_visit(claims: TokenClaims) -> Offer: ...       before a conversation
    async def on_end(report: ConversationReport) -> None: ...   after it

Either may be a plain function; it then runs in a thread, so that a database may be asked. A hook
that fails or takes too long is logged, and costs its own conversation or report only.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from ..daemon_thread import in_thread
from .closing import BridgeRefusal, Close
from .conversation_report import ConversationReport
from .offer import Offer
from .tokens import TokenClaims

type OnVisit = Callable[[TokenClaims], Offer | Awaitable[Offer]]
"""A function that returns what one visitor is offered. It may raise `BridgeRefusal`."""

type OnEnd = Callable[[ConversationReport], Awaitable[None] | None]
"""A function that receives the report of each conversation."""

VISIT_S = 5.0
"""Maximum time for `on_visit`, in seconds. A page waits 8 s for the answer to its hello."""

REPORT_S = 30.0
"""Maximum time for `on_end`, in seconds. A webhook is tried three times in it."""

MOST_REPORTS = 256
"""Maximum number of reports that are under way. A report that exceeds it is dropped, and logged."""

_log = logging.getLogger(__name__)


async def visit_offer(on_visit: OnVisit, claims: TokenClaims) -> Offer:
    """Return what a visitor is offered.

    Args:
        on_visit: The hook.
        claims: The claims of the visitor's token.

    Raises:
        BridgeRefusal: `INTERNAL`, if the hook fails or takes too long; or what it raises itself.
    """
    try:
        async with asyncio.timeout(VISIT_S):
            offer = await _call(on_visit, claims)
        if not isinstance(offer, Offer):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"on_visit returned {type(offer).__name__} instead of an Offer")  # noqa: TRY301
        return offer
    except BridgeRefusal:
        raise
    except Exception as error:
        _log.exception("on_visit failed")
        raise BridgeRefusal(Close.INTERNAL) from error


class Reporter:
    """A sender of reports to the application, which waits for none of them until it is closed.

    Args:
        on_end: The hook; None drops every report.
    """

    def __init__(self, on_end: OnEnd | None) -> None:
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, report: ConversationReport) -> None:
        """Begin to send a report.

        Args:
            report: The report.
        """
        if self._on_end is None:
            return
        if len(self._tasks) >= MOST_REPORTS:
            _log.warning("the report of conversation %s was dropped", report.conversation)
            return
        task = asyncio.create_task(self._send(self._on_end, report), name="bridge report")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self, within_s: float) -> None:
        """Wait for the reports that are under way, and cancel those that take too long.

        Args:
            within_s: Maximum time to wait, in seconds.
        """
        tasks = set(self._tasks)
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=within_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, on_end: OnEnd, report: ConversationReport) -> None:
        try:
            async with asyncio.timeout(REPORT_S):
                await _call(on_end, report)
        except Exception:
            _log.exception("the report of conversation %s was lost", report.conversation)


async def _call[A, R](hook: Callable[[A], R | Awaitable[R]], argument: A) -> R:
    """Return the result of a hook: awaited, or from a thread if it is a plain function."""
    of_object = getattr(type(hook), "__call__", None)  # noqa: B004 - an object may be a hook
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(of_object):
        result = hook(argument)
    else:
        result = await in_thread(lambda: hook(argument), "bridge hook")
    return cast(R, await result if inspect.isawaitable(result) else result)
