"""The bridge: admission of connections, and the sessions of all browsers.

    socket ──► handle ── origin ── hello ── token ── limits ──► BrowserSession.run (a task), .serve
                           └─ resume ──► the BrowserSession that was kept ──► BrowserSession.serve

The bridge does not depend on how WebSockets are served: `server` and `asgi` pass it a `Socket` for
each connection.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from ..errors import ConfigError
from ..extras import install_command
from ..snapshot import resumed_config
from ..transport import Transport
from .access import Access
from .browser_session import BrowserSession, Resumed
from .closing import REASONS, BridgeRefusal, Close
from .limits import BridgeLimits, ConcurrencyLimit
from .messages import SUBPROTOCOL, VERSION, Hello, read_message
from .metrics import BridgeMetrics
from .offer import Offer
from .saving import Record, load_record
from .socket import ConnectionGone, Socket
from .tokens import TokenClaims

if TYPE_CHECKING:
    from .exposition import Exposition

_log = logging.getLogger(__name__)

TURNS_NOT_SAVED = 16
"""Maximum number of turns that a page can have seen since its conversation was stored. It is stored
several times in each turn; a page that claims more is not believed."""


class Bridge:
    """A host of conversations with browsers, and an async context manager.

    Leaving the context ends all conversations. Each one closes its session with the service first,
    for which they have `BridgeLimits.goodbye_s` in all.

    Args:
        offer: The configuration, the tools and the choices that a page has.
        transport: The connection to the service.
        access: The origins and tokens that are accepted.
        limits: The limits on connections and conversations.

    Attributes:
        metrics: The counters of this bridge.
        connected: The number of open connections.
        stopping: True after `stop`: new connections are refused.
        exposition: The registry of Prometheus with the metrics of this bridge.

    Raises:
        ConfigError: If a package of the extra `bridge` is missing.
    """

    def __init__(
        self,
        offer: Offer,
        transport: Transport,
        *,
        access: Access | None = None,
        limits: BridgeLimits | None = None,
    ) -> None:
        self.offer = offer
        self.access = access or Access()
        self.limits = limits or BridgeLimits()
        self.metrics = BridgeMetrics()
        self.connected = 0
        self.stopping = False
        self._transport = transport
        self._unauthenticated = 0
        self._concurrency = ConcurrencyLimit(self.limits)
        self._sessions: dict[bytes, tuple[BrowserSession, asyncio.Task[None]]] = {}
        self.exposition = _exposition(self.metrics, self._concurrency, lambda: self.connected)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        if self.access.keys is not None:
            await self.access.keys.aclose()
        tasks = [task for _, task in self._sessions.values()]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=self.limits.goodbye_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """End all conversations, and accept no new ones. May be called again."""
        self.stopping = True
        for session, _ in self._sessions.values():
            session.end(Close.STOPPING)

    async def handle(self, socket: Socket) -> None:
        """Serve one connection until it ends. Nothing that a client does makes this raise.

        Cancelling it keeps the conversation for `BridgeLimits.keep_s`, as a lost connection does.

        Args:
            socket: The open connection. It is closed with a reason, except when it is lost.
        """
        self.connected += 1
        close: Close | None
        try:
            close = await self._handle(socket)
        except BridgeRefusal as refusal:
            close = refusal.close
        except ConnectionGone:
            close = None
        finally:
            self.connected -= 1
        if close is not None:
            self.metrics.closed[close] += 1
            await socket.close(close, REASONS[close].text)

    def metrics_page(self) -> str:
        """Return the content of `/metrics`, in the text format of Prometheus."""
        return self.exposition.page().decode()

    async def _handle(self, socket: Socket) -> Close | None:
        if self.stopping:
            raise BridgeRefusal(Close.STOPPING)
        self.access.check_origin(socket.origin)
        if socket.subprotocol != SUBPROTOCOL:
            raise BridgeRefusal(Close.BAD_VERSION)
        if self._unauthenticated >= self.limits.unauthenticated:
            raise BridgeRefusal(Close.FULL)
        self._unauthenticated += 1
        try:
            hello = await self._read_hello(socket)
            claims = record = None
            # A resume token is proof enough. Verifying a session token may wait for its key, so
            # the connection counts as unauthenticated until then.
            if not hello.resume:
                claims = await self.access.authenticate(hello.token, now_s=time.time())
            elif self.offer.store is not None and _digest(hello.resume) not in self._sessions:
                record = await load_record(self.offer.store, hello.resume)
        finally:
            self._unauthenticated -= 1
        if claims is None:
            if record is not None and _digest(hello.resume) not in self._sessions:
                self._continue_session(hello, record, socket.address)
            session = self._find_kept(hello.resume)
            self.metrics.resumed += 1
        else:
            session = self._start_session(hello, claims, socket.address)
        return await session.serve(socket, hello)

    async def _read_hello(self, socket: Socket) -> Hello:
        try:
            async with asyncio.timeout(self.limits.hello_s):
                message = await socket.receive()
        except TimeoutError:
            raise BridgeRefusal(Close.NO_HELLO) from None
        hello = read_message(message) if isinstance(message, str) else None
        if not isinstance(hello, Hello):
            raise BridgeRefusal(Close.BAD_ORDER)
        if hello.version != VERSION:
            raise BridgeRefusal(Close.BAD_VERSION)
        return hello

    def _find_kept(self, resume: str) -> BrowserSession:
        kept = self._sessions.get(_digest(resume))
        if kept is None or kept[0].ending.done():
            raise BridgeRefusal(Close.FORGOTTEN)
        return kept[0]

    def _start_session(self, hello: Hello, claims: TokenClaims, address: str) -> BrowserSession:
        if self.stopping:
            raise BridgeRefusal(Close.STOPPING)
        config = self.offer.config_for(hello, claims)
        self._concurrency.admit(claims.subject, address)
        session = BrowserSession(
            config, self.offer, self._transport, self.limits, self.metrics, subject=claims.subject
        )
        self._run_session(session, claims.subject, address)
        return session

    def _continue_session(self, hello: Hello, record: Record, address: str) -> None:
        """Continue a conversation from the store, whose process is gone."""
        if self.stopping:
            raise BridgeRefusal(Close.STOPPING)
        snapshot = record.snapshot
        if snapshot.turn < hello.received.turn <= snapshot.turn + TURNS_NOT_SAVED:
            record = replace(record, snapshot=replace(snapshot, turn=hello.received.turn))
        try:
            config = self.offer.config_resuming(snapshot.config.voice)
            resumed_config(config, record.snapshot)
        except ConfigError as error:  # the offer has changed, or the record is not one of ours
            _log.warning("a stored conversation does not fit: %s", error.message)
            raise BridgeRefusal(Close.FORGOTTEN) from error
        self._concurrency.admit(record.subject, address)
        session = BrowserSession(
            config,
            self.offer,
            self._transport,
            self.limits,
            self.metrics,
            subject=record.subject,
            resumed=Resumed(hello.resume, hello.seen, record),
        )
        self._run_session(session, record.subject, address)

    def _run_session(self, session: BrowserSession, subject: str, address: str) -> None:
        key = _digest(session.resume)
        task = asyncio.create_task(session.run(), name="bridge conversation")
        self._sessions[key] = session, task
        self.metrics.conversations += 1

        def over(_: asyncio.Task[None]) -> None:
            del self._sessions[key]
            self._concurrency.release(subject, address)

        task.add_done_callback(over)


def _exposition(
    metrics: BridgeMetrics, concurrency: ConcurrencyLimit, connected: Callable[[], int]
) -> "Exposition":
    """Return the Prometheus registry of a bridge.

    `prometheus_client` is imported here, rather than with the package or when `/metrics` is
    requested.
    """
    try:
        from .exposition import Exposition
    except ImportError as error:
        raise ConfigError(
            "The bridge needs the package prometheus_client.",
            hint=f"Install it: {install_command('bridge')}",
        ) from error
    return Exposition(metrics, talking=lambda: concurrency.talking, connected=connected)


def _digest(resume: str) -> bytes:
    """Return the key that a resume token is looked up by.

    The duration of a look-up then reveals nothing about other tokens.
    """
    return hashlib.sha256(resume.encode("utf-8", "replace")).digest()
