"""The bridge: who may come in, and all the conversations that are held.

    socket ──► meet ── origin ── hello ── token ── limits ──► BrowserSession.run (a task), .serve
                         └─ resume ──► the BrowserSession that was kept ──► BrowserSession.serve

It knows nothing of how WebSockets are served: `server` and `asgi` bring them.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from ..errors import ConfigError
from ..extras import install_command
from ..transport import Transport
from .access import Access
from .browser_session import BrowserSession, Offer
from .closing import REASONS, Close, Refusal
from .limits import ConcurrencyLimit, Limits
from .messages import SUBPROTOCOL, VERSION, Hello, read_message
from .metrics import BridgeMetrics
from .socket import Gone, Socket
from .tokens import Visitor

if TYPE_CHECKING:
    from .exposition import Exposition

_log = logging.getLogger(__name__)


class Bridge:
    """Holds conversations for browsers. An async context manager; leaving it ends them all.

    `transport` is who speaks, `offer` what a page may have of it, `access` who may come. Leaving
    says goodbye to the service for each conversation, for `Limits.goodbye_s` at most.

    Raises:
        ConfigError: If a package of the extra `bridge` is missing.
    """

    def __init__(
        self,
        offer: Offer,
        transport: Transport,
        *,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.offer = offer
        self.access = access or Access()
        self.limits = limits or Limits()
        self.counts = BridgeMetrics()
        self.connected = 0
        self.stopping = False
        self._transport = transport
        self._strangers = 0
        self._concurrency = ConcurrencyLimit(self.limits)
        self._visits: dict[bytes, tuple[BrowserSession, asyncio.Task[None]]] = {}
        self.exposition = _exposition(self.counts, self._concurrency, lambda: self.connected)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        if self.access.keys is not None:
            await self.access.keys.aclose()
        tasks = [task for _, task in self._visits.values()]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=self.limits.goodbye_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """End all conversations, and take no more. May be repeated."""
        self.stopping = True
        for visit, _ in self._visits.values():
            visit.end(Close.STOPPING)

    async def meet(self, socket: Socket) -> None:
        """Serve one connection to its end. Raises nothing that a client can bring about."""
        self.connected += 1
        close: Close | None
        try:
            close = await self._meet(socket)
        except Refusal as refusal:
            close = refusal.close
        except Gone:
            close = None
        finally:
            self.connected -= 1
        if close is not None:
            self.counts.closed[close] += 1
            await socket.close(close, REASONS[close].text)

    def metrics(self) -> str:
        """Return the page of `/metrics`, in the text format of Prometheus."""
        return self.exposition.page().decode()

    async def _meet(self, socket: Socket) -> Close | None:
        if self.stopping:
            raise Refusal(Close.STOPPING)
        self.access.check_origin(socket.origin)
        if socket.subprotocol != SUBPROTOCOL:
            raise Refusal(Close.BAD_VERSION)
        if self._strangers >= self.limits.unauthenticated:
            raise Refusal(Close.FULL)
        self._strangers += 1
        try:
            hello = await self._hello(socket)
            visitor = None
            if not hello.resume:  # its key may have to be fetched first
                visitor = await self.access.visitor(hello.token, now_s=time.time())
        finally:
            self._strangers -= 1
        if visitor is None:
            visit = self._kept(hello.resume)
            self.counts.resumed += 1
        else:
            visit = self._begin(hello, visitor, socket.address)
        return await visit.serve(socket, hello)

    async def _hello(self, socket: Socket) -> Hello:
        try:
            async with asyncio.timeout(self.limits.hello_s):
                message = await socket.receive()
        except TimeoutError:
            raise Refusal(Close.NO_HELLO) from None
        hello = read_message(message) if isinstance(message, str) else None
        if not isinstance(hello, Hello):
            raise Refusal(Close.BAD_ORDER)
        if hello.version != VERSION:
            raise Refusal(Close.BAD_VERSION)
        return hello

    def _kept(self, resume: str) -> BrowserSession:
        kept = self._visits.get(_digest(resume))
        if kept is None or kept[0].ending.done():
            raise Refusal(Close.FORGOTTEN)
        return kept[0]

    def _begin(self, hello: Hello, visitor: Visitor, address: str) -> BrowserSession:
        if self.stopping:
            raise Refusal(Close.STOPPING)
        config = self.offer.chosen(hello, visitor)
        self._concurrency.admit(visitor.subject, address)
        visit = BrowserSession(config, self.offer, self._transport, self.limits, self.counts)
        key = _digest(visit.resume)
        task = asyncio.create_task(visit.run(), name="bridge conversation")
        self._visits[key] = visit, task
        self.counts.conversations += 1

        def over(_: asyncio.Task[None]) -> None:
            del self._visits[key]
            self._concurrency.leave(visitor.subject, address)

        task.add_done_callback(over)
        return visit


def _exposition(
    counts: BridgeMetrics, census: ConcurrencyLimit, connected: Callable[[], int]
) -> "Exposition":
    """Import `prometheus_client` now rather than with the package, or when a page is asked for."""
    try:
        from .exposition import Exposition
    except ImportError as error:
        raise ConfigError(
            "The bridge needs the package prometheus_client.",
            hint=f"Install it: {install_command('bridge')}",
        ) from error
    return Exposition(counts, talking=lambda: census.talking, connected=connected)


def _digest(resume: str) -> bytes:
    """What a resume token is found by: looking one up tells nothing of the others by its time."""
    return hashlib.sha256(resume.encode("utf-8", "replace")).digest()
