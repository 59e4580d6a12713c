"""The bridge: admission of connections, and the sessions of all browsers.

    socket ──► handle ── origin ── hello ── token ── limits ──► BrowserSession.run (a task), .serve
                           └─ resume ──► the BrowserSession that was kept ──► BrowserSession.serve

The bridge does not depend on how WebSockets are served: `server` and `asgi` pass it a `Socket` for
each connection.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from ..config import SessionConfig
from ..errors import ConfigError
from ..extras import install_command
from ..metrics import SessionObserver
from ..recording import TapeFolder
from ..snapshot import resumed_config
from ..transport import Transport
from .access import Access
from .admission import Admission
from .browser_session import BrowserSession, Resumed
from .closing import REASONS, BridgeRefusal, Close
from .draining import drain_sessions
from .forwarding import client_key
from .hooks import OnEnd, OnVisit, Reporter, visit_offer
from .limits import BridgeLimits
from .messages import SUBPROTOCOL, VERSION, Hello, read_message
from .metrics import BridgeMetrics
from .offer import Offer
from .operator_log import log_draining, log_ended, log_rejected, log_started
from .rationing import PendingLimit
from .saving import Record, load_record, store_key
from .shared_state import RENEW_S, Claim, SharedState
from .socket import ConnectionGone, Socket
from .tokens import TokenClaims, token_key

if TYPE_CHECKING:
    from .exposition import Exposition

_log = logging.getLogger(__name__)

CLOSING_S = 2.0
"""Maximum time at the end of a drain for the pages to be told where to go, in seconds."""

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
        on_visit: Returns what one visitor is offered, instead of `offer`; see `hooks`. The store is
            always that of `offer`.
        on_end: Receives the report of each conversation: transcript, usage and latency.
        tapes: Where conversations are recorded; None records none.
        observe: Returns one more observer of each conversation, as `Tracing` is one.
        mask_pii: Whether personal data is masked in what is stored and reported. Tapes have an
            option of their own (`TapeFolder`).
        shared: What all processes behind this address share, with which the limits hold over all of
            them. It should be the store of `offer`, too. It is closed with the bridge.
        siblings: Whether other processes serve this address. A page whose conversation is not known
            here is then told to try again, because another one may know it.
        local_sessions: The limit `BridgeLimits.sessions` of this process while `shared` cannot be
            reached; None for the same.

    Attributes:
        metrics: The counters of this bridge.
        connected: The number of open connections.
        stopping: True after `stop`: new connections are refused.
        draining: True after `drain`: no new conversations are accepted.
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
        on_visit: OnVisit | None = None,
        on_end: OnEnd | None = None,
        tapes: TapeFolder | None = None,
        observe: SessionObserver | None = None,
        mask_pii: bool = False,
        shared: SharedState | None = None,
        siblings: bool = False,
        local_sessions: int | None = None,
    ) -> None:
        self.offer = offer
        self.access = access or Access()
        self.limits = limits or BridgeLimits()
        self.metrics = BridgeMetrics()
        self.connected = 0
        self.stopping = self.draining = False
        self._transport = transport
        self._on_visit = on_visit
        self._tapes = tapes
        self._observe = observe
        self._mask_pii = mask_pii
        self._reporter = Reporter(on_end)
        self._pending = PendingLimit(
            self.limits.unauthenticated, self.limits.unauthenticated_of_address
        )
        self._shared = shared
        self._siblings = siblings or shared is not None
        self._admission = Admission(self.limits, shared, local_sessions)
        self._handled: set[asyncio.Future[None]] = set()
        """One future for each open connection, which is done when it is closed."""
        self._leave: list[Callable[[], object]] = []
        self._upkeep: asyncio.Task[None] | None = None
        self._sessions: dict[bytes, tuple[BrowserSession, asyncio.Task[None]]] = {}
        self.exposition = _exposition(
            self.metrics, lambda: self._admission.talking, lambda: self.connected
        )

    async def __aenter__(self) -> Self:
        if self._siblings:
            self._upkeep = asyncio.create_task(self._keep_up(), name="bridge upkeep")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all conversations, and wait until their reports were sent. May be called again."""
        self.stop()
        if self.access.keys is not None:
            await self.access.keys.aclose()
        if tasks := [task for _, task in self._sessions.values()]:
            await asyncio.wait(tasks, timeout=self.limits.goodbye_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
        await self._admission.aclose()
        if self._shared is not None:
            await self._shared.aclose()
        await self._reporter.aclose(self.limits.goodbye_s)
        self.exposition.write()

    def on_leaving(self, leave: Callable[[], object]) -> None:
        """Call a function when a drain begins whose new visitors are for other processes.

        Args:
            leave: Stops listening, and keeps the connections.
        """
        self._leave.append(leave)

    async def drain(self, within_s: float, *, leaves: bool = False) -> None:
        """Accept no new conversations, and wait until the present ones have ended or were moved.

        Those that have not ended in time are stored, and their pages told to connect again, to
        another process with the same store: in the last `draining.SETTLE_S` at a pause, and then at
        once. Without a store they are ended. `aclose` is still needed.

        Args:
            within_s: The time until the last page is told so, in seconds.
            leaves: Whether to stop listening, because other processes listen on the same sockets
                and stay. Otherwise `/healthz` goes on to say that nobody is admitted.
        """
        self.draining = True
        if leaves:
            for leave in self._leave:
                leave()
        log_draining(len(self._sessions), within_s)
        await drain_sessions(
            list(self._sessions.values()), within_s, moves=self.offer.store is not None
        )
        if self._handled:  # each is closed with its own reason before the server closes the rest
            await asyncio.wait(list(self._handled), timeout=CLOSING_S)

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
        over = asyncio.get_running_loop().create_future()
        self._handled.add(over)
        try:
            with suppress(ConnectionGone):
                close = await self._handle(socket)
                if close is not None:
                    await socket.close(close, REASONS[close].text)
        finally:
            self.connected -= 1
            self._handled.discard(over)
            over.set_result(None)

    @property
    def talking(self) -> int:
        """Number of conversations, with those that wait for their page."""
        return self._admission.talking

    def metrics_page(self) -> str:
        """Return the content of `/metrics`, in the text format of Prometheus."""
        return self.exposition.page().decode()

    async def _handle(self, socket: Socket) -> Close | None:
        """Serve one connection, and return the code to close it with; None if it is gone."""
        try:
            hello, session = await self._admit(socket)
        except BridgeRefusal as refusal:
            self._reject(socket, refusal)
            return refusal.close
        try:
            return await session.serve(socket, hello)
        except BridgeRefusal as refusal:
            return refusal.close

    def _reject(self, socket: Socket, refusal: BridgeRefusal) -> None:
        self.metrics.rejected[refusal.close] += 1
        cause = refusal.__cause__
        log_rejected(
            refusal.close,
            address=socket.address,
            origin=socket.origin,
            error="" if cause is None else f"{type(cause).__name__}: {cause}",
        )

    async def _admit(self, socket: Socket) -> tuple[Hello, BrowserSession]:
        """Return the hello of a connection, and the conversation that it belongs to.

        Raises:
            BridgeRefusal: If it may not have one.
        """
        if self.stopping:
            raise BridgeRefusal(Close.STOPPING)
        self.access.check_origin(socket.origin)
        if socket.subprotocol != SUBPROTOCOL and not self.access.agentcore:
            raise BridgeRefusal(Close.BAD_VERSION)
        self._pending.admit(socket.address)
        try:
            hello = await self._read_hello(socket)
            # A resume token is proof enough. Verifying a session token may wait for its key, so
            # the connection counts as unauthenticated until then.
            if not hello.resume:
                if self.draining:
                    raise BridgeRefusal(self._elsewhere)
                claims = await self.access.authenticate(
                    hello.token,
                    now_s=time.time(),
                    remote=socket.remote,
                    subject=socket.subject,
                )
                offer = await self._offer_for(claims)
                return hello, await self._start_session(hello, offer, claims, socket)
            if _digest(hello.resume) not in self._sessions:
                await self._find_elsewhere(hello, socket)
        finally:
            self._pending.release(socket.address)
        session = self._find_kept(hello.resume)
        self.metrics.resumed += 1
        return hello, session

    @property
    def _elsewhere(self) -> Close:
        """Code for a visitor who has to turn to another process, if there is one."""
        return Close.RESTART if self._siblings else Close.STOPPING

    async def _find_elsewhere(self, hello: Hello, socket: Socket) -> None:
        """Continue a conversation that is not known here, if it is in the store.

        Raises:
            BridgeRefusal: `RESTART`, if another process may know it.
        """
        if self.draining and self._siblings:
            raise BridgeRefusal(Close.RESTART)
        store = self.offer.store
        record = None if store is None else await load_record(store, hello.resume)
        if record is not None:
            offer = await self._offer_for(TokenClaims(record.subject))
            if _digest(hello.resume) not in self._sessions:
                await self._continue_session(hello, offer, record, socket)
        elif store is None and self._siblings:
            raise BridgeRefusal(Close.RESTART)

    async def _offer_for(self, claims: TokenClaims) -> Offer:
        if self._on_visit is None:
            return self.offer
        offer = await visit_offer(self._on_visit, claims)
        return replace(offer, store=self.offer.store)

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

    async def _start_session(
        self, hello: Hello, offer: Offer, claims: TokenClaims, socket: Socket
    ) -> BrowserSession:
        config = offer.config_for(hello, claims)
        offer = offer.restricted_to(config, claims)
        resume = secrets.token_urlsafe(32)
        claim = Claim(store_key(resume), claims.subject, client_key(socket.address))
        if self.access.one_time_tokens and hello.token:
            token_s = max(0.0, claims.expires_s - time.time())
            claim = replace(claim, token=token_key(hello.token), token_s=token_s)
        return await self._run_session(config, offer, claim, socket, resume)

    async def _continue_session(
        self, hello: Hello, offer: Offer, record: Record, socket: Socket
    ) -> None:
        """Continue a conversation from the store, whose process is gone."""
        snapshot = record.snapshot
        if snapshot.turn < hello.received.turn <= snapshot.turn + TURNS_NOT_SAVED:
            record = replace(record, snapshot=replace(snapshot, turn=hello.received.turn))
        try:
            config = offer.config_resuming(snapshot.config.voice)
            resumed_config(config, record.snapshot)
        except ConfigError as error:  # the offer has changed, or the record is not one of ours
            _log.warning("a stored conversation does not fit: %s", error.message)
            raise BridgeRefusal(Close.FORGOTTEN) from error
        claim = Claim(store_key(hello.resume), record.subject, client_key(socket.address))
        resumed = Resumed(hello.seen, record)
        await self._run_session(config, offer, claim, socket, hello.resume, resumed)

    async def _run_session(
        self,
        config: SessionConfig,
        offer: Offer,
        claim: Claim,
        socket: Socket,
        resume: str,
        resumed: Resumed | None = None,
    ) -> BrowserSession:
        """Begin a conversation in a task of its own, if the limits allow it."""
        await self._admission.admit(claim)
        key, address, subject = _digest(resume), socket.address, claim.subject
        if self.stopping or self.draining or key in self._sessions:
            # This has come while the limits were asked; a page may also resume twice at once.
            self._admission.release(claim)
            if key in self._sessions:
                return self._sessions[key][0]
            raise BridgeRefusal(Close.STOPPING if self.stopping else self._elsewhere)
        session = BrowserSession(
            config,
            offer,
            self._transport,
            self.limits,
            self.metrics,
            show_tools=offer.show_tools and not (socket.remote and self.access.is_local),
            resume=resume,
            subject=subject,
            resumed=resumed,
            tapes=self._tapes,
            observe=self._observe,
            mask_pii=self._mask_pii,
        )
        task = asyncio.create_task(session.run(), name="bridge conversation")
        self._sessions[key] = session, task
        self.metrics.conversations += 1
        self.exposition.write()  # another process may answer for this one, if it is killed
        log_started(
            session.id,
            subject=subject,
            address=address,
            voice=str(config.voice),
            continued=resumed is not None,
        )

        def over(_: asyncio.Task[None]) -> None:
            session, _task = self._sessions.pop(key)
            self._admission.release(claim)
            session.end(Close.STOPPING)  # for a task that was cancelled before it began
            report = session.report()
            log_ended(report, address)
            self._reporter.send(report)

        task.add_done_callback(over)
        return session

    async def _keep_up(self) -> None:
        """Renew the counts in the shared state, and follow what it says of the conversations.

        The metrics are written at the same interval, for the pages of other processes.
        """
        while True:
            renewal = await self._admission.renew()
            for session, _ in list(self._sessions.values()):
                key = store_key(session.resume)
                if key in renewal.taken:
                    session.end(Close.REPLACED)
                elif key in renewal.lost:
                    session.save()
            self.exposition.write()
            await asyncio.sleep(RENEW_S)


def _exposition(
    metrics: BridgeMetrics, talking: Callable[[], int], connected: Callable[[], int]
) -> "Exposition":
    """Return the Prometheus registry of a bridge.

    `prometheus_client` is imported here, rather than with the package or when `/metrics` is
    requested.
    """
    try:
        from .exposition import exposition
    except ImportError as error:
        raise ConfigError(
            "The bridge needs the package prometheus_client.",
            hint=f"Install it: {install_command('bridge')}",
        ) from error
    return exposition(metrics, talking=talking, connected=connected)


def _digest(resume: str) -> bytes:
    """Return the key that a resume token is looked up by.

    The duration of a look-up then reveals nothing about other tokens.
    """
    return hashlib.sha256(resume.encode("utf-8", "replace")).digest()
