"""One page's conversation, which outlives the connections of the page.

    page ──► feed ──► BrowserSource ──► converse ──► BrowserSink ──► PageOutbox ──► page
                                            └──► PageEvents ───► PageOutbox

`run` holds the conversation, in a task of the bridge. `serve` serves one connection, in the task of
its socket. There is one connection at a time; a newer one replaces an older one. When a connection
is lost the conversation continues, with silence as the user's sound, until a page resumes it or
`BridgeLimits.keep_s` have passed.

`ending` is set once, to the close code of whichever comes first: the page's goodbye, a limit or the
end of the session. The page's connection is then closed at once, and the session with the service
is closed in the background.
"""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..audio.mute import SHUT, HushableSink, MutableSource
from ..config import SessionConfig
from ..controls import Controls
from ..conversation import Observer, converse, stop_playback
from ..daemon_thread import in_thread
from ..errors import OrderError, ServiceError, SonicError
from ..events import (
    AssistantText,
    Audio,
    Event,
    GuardFailed,
    Heard,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ..metrics import Metrics, SessionObserver
from ..recording import Recorder, TapeFolder
from ..session import EXPIRY_NOTICE_AT, Session
from ..tools.context import ToolContext
from ..transport import Transport
from .browser_audio import BrowserSink, BrowserSource
from .closing import BridgeRefusal, Close, close_for
from .conversation_report import ConversationReport, SpokenLine, TurnLatency
from .exchange import ExchangeState
from .frames import read_voice
from .limits import BridgeLimits, TokenBucket
from .messages import (
    VERSION,
    Bye,
    Hello,
    Interrupt,
    PageMessage,
    PictureReceived,
    Played,
    Say,
    ToolResult,
    read_message,
)
from .metrics import BridgeMetrics
from .offer import Offer
from .outbox import PageOutbox
from .page_events import PageEvents
from .page_tools import PAGE_CALLS, PageCalls, page_tool_specs
from .page_writer import PageWriter
from .picture_queue import PictureQueue
from .saving import Record, Saver, first_snapshot, store_key
from .service_watch import EndTimers, ServiceWatch
from .socket import ConnectionGone, Socket

_log = logging.getLogger(__name__)

OVERDUE_S = 30.0
"""Time by which a conversation that is not renewed may exceed a stream's life, in seconds, before
the bridge ends it itself. Opening the stream, which its life does not include, can take 20 s."""

TAPE_CLOSING_S = 5.0
"""Maximum time to wait for the disk when a tape is given up because its conversation ended while it
was created, in seconds. A thread of its own waits."""

LIMIT_NOTICE_S = 60.0
"""Maximum time before `BridgeLimits.session_s` at which the page is sent a notice, in seconds. For
shorter limits it is an eighth of the limit."""


ID_DIGITS = 12
"""Length of the id of a conversation, in hexadecimal digits: short enough to read out."""

_CONTINUABLE = (Close.STOPPING, Close.FORGOTTEN, Close.RESTART, Close.REPLACED)
"""Ends after which a page may continue the conversation from the store, if there is one."""


_SAVED_AFTER = (UserText, ToolCall, ToolAnswered, TurnEnded, Interrupted, Heard)
"""Events after which the conversation is stored: those that a later process must know of."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A conversation of another process that a page resumes."""

    seen: int
    """The `seq` of the last message that the page received."""
    record: Record
    """The conversation in the store."""


class BrowserSession:
    """One conversation with a browser, over any number of consecutive connections.

    It must be created in a running event loop. Run `run` as a task, and await `serve` for each
    connection.

    Args:
        config: The configuration of the session with the service.
        offer: The tools and the store.
        transport: The connection to the service.
        limits: The limits on its messages and durations.
        bridge_metrics: The counters of the bridge, which this adds to.
        show_tools: Whether the page sees arguments and results of tools.
        resume: Its resume token; empty makes one.
        subject: The subject of the token with which it began; empty if none was needed.
        resumed: The conversation of another process that it continues; None for a new one.
        tapes: Where it is recorded; None for nowhere.
        observe: Returns one more observer of each session; None for none.
        mask_pii: Whether personal data is masked in what is stored and reported.

    Attributes:
        resume: The resume token, which a page sends to continue this conversation.
        id: The id of the conversation in logs and reports, from which `resume` cannot be found.
        ending: Set to the close code when the conversation has ended.
    """

    def __init__(
        self,
        config: SessionConfig,
        offer: Offer,
        transport: Transport,
        limits: BridgeLimits,
        bridge_metrics: BridgeMetrics,
        *,
        show_tools: bool = False,
        resume: str = "",
        subject: str = "",
        resumed: Resumed | None = None,
        tapes: TapeFolder | None = None,
        observe: SessionObserver | None = None,
        mask_pii: bool = False,
    ) -> None:
        self.resume = resume or secrets.token_urlsafe(32)
        secret = f"sonic-voice id {self.resume}".encode("utf-8", "replace")
        self.id = hashlib.sha256(secret).hexdigest()[:ID_DIGITS]
        self.ending: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._config = config
        self._offer = offer
        self._tools = offer.tools.for_conversation(ToolContext(subject, self.id, on_page=True))
        self._transport = transport
        self._tapes = tapes
        self._extra_observer = observe
        self._mask_pii = mask_pii
        self._tape_observers: list[Observer] = []
        """The recorder's observer, if there is one."""
        self._limits = limits
        self._bridge_metrics = bridge_metrics
        self._subject = subject
        self._resumed = None if resumed is None else resumed.record
        self._saver: Saver | None = None
        self._output_bytes_per_s = config.output.size(1)
        self._outbox = PageOutbox(config.output)
        if resumed is not None:
            self._outbox.carry_on(resumed.seen, resumed.record.next_epoch)
        self._pictures = PictureQueue()
        self._writer = PageWriter(self._outbox, self._pictures, limits)
        self._page = PageEvents(
            self._outbox, self._pictures, self._writer, bridge_metrics, show_tools=show_tools
        )
        # It refers to the writer and not to this object, which a reference cycle would keep.
        self._page_calls = PageCalls(self._writer.queue)
        self._source = BrowserSource(config.input)
        self._browser_sink = BrowserSink(
            config.output, self._outbox, now=time.monotonic, wake=self._writer.wake
        )
        self._sink = HushableSink(self._browser_sink)
        self._controls: Controls | None = None
        self._error = self._request_id = ""
        self._began_s, self._began_monotonic_s = time.time(), time.monotonic()
        self._connection: asyncio.Future[Close] | None = None
        self._outgoing = asyncio.Lock()
        self._timers = EndTimers(self.end)
        self._exchange = ExchangeState()
        self._exchange_changed = asyncio.Event()
        self._watch = ServiceWatch(self._timers, limits, bridge_metrics)
        self._message_bucket = TokenBucket(
            limits.messages_per_s, limits.burst_s, now_s=time.monotonic()
        )
        self._input_bytes_per_s = config.input.size(1)
        self._sound_bucket = TokenBucket(limits.sound_per_s, limits.burst_s, now_s=time.monotonic())
        self._typed_bucket = TokenBucket(
            limits.typed_per_s, limits.typed_burst_s, now_s=time.monotonic()
        )

    # -- the conversation ----------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation until it ends. This raises only when it is cancelled.

        Cancelling it ends the conversation with `STOPPING`.
        """
        began_s, life_s = time.monotonic(), self._config.stream_life_s
        session_s = self._limits.session_s
        notice_s = min(LIMIT_NOTICE_S, session_s / 8)
        if self._config.renewal.enabled or session_s < life_s:
            self._timers.arm(Close.TOO_LONG, session_s)
            loop = asyncio.get_running_loop()
            limit = loop.call_later(
                session_s - notice_s, self._page.announce_limit, session_s, notice_s
            )
        else:
            # The service ends the stream and says so. The timer is for the case that it does not.
            self._timers.arm(Close.SERVICE_LIFETIME, life_s + OVERDUE_S)
            limit = None
        self._timers.arm(Close.IDLE, self._limits.idle_s)
        self._start_saving()
        try:
            await self._converse()
            self.end(Close.BYE)
        except SonicError as error:
            self._note_error(error)
            old = time.monotonic() - began_s > EXPIRY_NOTICE_AT * life_s
            self.end(close_for(error, old=old and not self._config.renewal.enabled))
        except Exception as error:
            _log.exception("a conversation failed")
            self._note_error(error)
            self.end(Close.INTERNAL)
        finally:
            if limit is not None:
                limit.cancel()
            self.end(Close.STOPPING)
            dropped_s = self._config.output.seconds(2 * self._outbox.dropped)
            self._bridge_metrics.answer_dropped_s += dropped_s
            self._bridge_metrics.voice_dropped_s += self._source.dropped_s
            saver, self._saver = self._saver, None
            if saver is not None:
                await saver.finish(ended=self.ending.result() not in _CONTINUABLE)
            # The controls refer to this object. Breaking the cycle frees minutes of sound.
            self._controls = None
            self._tape_observers.clear()

    async def _converse(self) -> None:
        PAGE_CALLS.set(self._page_calls)  # tools run in tasks that are begun here
        source = MutableSource(self._source)
        snapshot = None if self._resumed is None else self._resumed.snapshot
        async with AsyncExitStack() as stack:
            transport = self._transport
            if (recorder := await self._recorder()) is not None:
                transport = await stack.enter_async_context(recorder)
                self._tape_observers.append(recorder.observer)
                self._sink = HushableSink(recorder.sink(self._browser_sink))
            session = await stack.enter_async_context(
                # What the user says while a cold model opens is kept by the session, and answered.
                Session.open(self._config, transport, resume=snapshot, early_audio=True)
            )
            self._page.metrics = metrics = Metrics(session, self._sink)
            observers: list[Observer] = [metrics, self._observe, *self._tape_observers]
            if self._extra_observer is not None:
                observers.append(self._extra_observer(session, metrics, self.id))
            self._controls = Controls(session, source, self._sink, observers)
            self.save()
            self._exchange_changed.set()
            guard = self._offer.guard
            if guard is None:  # it is asked with each chunk that `converse` sends
                self._source.offer = partial(_offer_audio, session, source)
            think = self._offer.reasoner
            reasoner = None if think is None else think(self._tools)
            await converse(
                session, source, self._sink, self._tools, observers, guard=guard, reasoner=reasoner
            )

    async def _recorder(self) -> Recorder | None:
        """Return the recorder of this conversation; None if it is not recorded."""
        tapes = self._tapes
        if tapes is None:
            return None
        return await in_thread(
            lambda: tapes.recorder(self._transport, self._config, self.id),
            "bridge tape",
            discard=lambda recorder: recorder and recorder.close(TAPE_CLOSING_S),
        )

    def _start_saving(self) -> None:
        """Store the conversation from now on, if the application has a store.

        It begins before the session is open: a page that was told its resume token can use it.
        """
        resumed = self._resumed
        first = first_snapshot(self._config) if resumed is None else resumed.snapshot

        def take(ended: bool) -> Record:
            controls = self._controls
            snapshot = first if controls is None else controls.session.snapshot()
            return Record(snapshot, self._subject, self._outbox.epoch, ended, self._mask_pii)

        if self._offer.store is not None:
            self._saver = Saver(self._offer.store, store_key(self.resume), take)

    def _observe(self, event: Event, now: float) -> None:
        """Count an event, restart the timers that it concerns, and send it to the page."""
        self._watch.observe(event)
        self._exchange.observe(event)
        if isinstance(event, Audio):  # most events are, and with none of them a pause begins
            self._bridge_metrics.answer_s += len(event.pcm) / self._output_bytes_per_s
            return
        self._exchange_changed.set()
        if isinstance(event, (UserText, AssistantText, ToolCall)):
            self._timers.arm(Close.IDLE, self._limits.idle_s)
        elif isinstance(event, GuardFailed):
            _log.warning("conversation %s: %s", self.id, event.notice)
        if self._saver is not None and isinstance(event, _SAVED_AFTER):
            self._saver.changed()
        self._page.send(event)

    def _note_error(self, error: Exception) -> None:
        """Keep the error for the report, unless the conversation had ended before it came."""
        if not self.ending.done():
            self._error = f"{type(error).__name__}: {error}"
            self._request_id = error.request_id if isinstance(error, ServiceError) else ""

    def report(self) -> ConversationReport:
        """Return the report of this conversation, which has ended."""
        facts: dict[str, Any] = {}
        if (metrics := self._page.metrics) is not None:
            measured = metrics.snapshot
            facts = {
                "transcript": tuple(
                    SpokenLine(line.turn, line.role, line.text, line.planned, line.interrupted)
                    for line in metrics.session.transcript.lines
                ),
                "tokens": measured.tokens,
                "cost_usd": measured.cost_usd,
                "latencies": tuple(
                    TurnLatency(turn.turn, turn.response_latency_s)
                    for turn in measured.turns
                    if turn.response_latency_s is not None
                ),
            }
        report = ConversationReport(
            conversation=self.id,
            subject=self._subject,
            voice=str(self._config.voice),
            began_s=self._began_s,
            duration_s=time.monotonic() - self._began_monotonic_s,
            close=self.ending.result(),
            error=self._error,
            request_id=self._request_id,
            **facts,
        )
        return report.masked() if self._mask_pii else report

    def end(self, close: Close) -> None:
        """End the conversation, unless it has ended.

        If an answer is playing, the page is first sent what was heard of it.

        Args:
            close: The close code for the page.
        """
        if self.ending.done():
            return
        if self._controls is not None:
            observers = [self._observe, *self._tape_observers]
            stop_playback(self._controls.session, self._sink, observers)
        self.ending.set_result(close)
        self._bridge_metrics.closed[close] += 1
        self._exchange_changed.set()
        self._timers.close()
        self._source.close()

    # -- another process -----------------------------------------------------------------------

    def save(self) -> None:
        """Store the present state soon, if the application has a store. Never waits."""
        if self._saver is not None:
            self._saver.changed()

    async def wait_for_pause(self) -> None:
        """Wait for a moment at which nothing is cut if the conversation moves to another process.

        This is when nobody speaks, no answer is owed, and the page has played what it was sent; or
        while no page is connected. It returns at once if the conversation has ended.
        """
        while not self.ending.done() and not self._pauses:
            self._exchange_changed.clear()
            await self._exchange_changed.wait()

    @property
    def _pauses(self) -> bool:
        if self._connection is None:
            return True
        opened = self._controls is not None
        return opened and self._exchange.at_rest and self._browser_sink.pending_s == 0.0

    async def move(self) -> None:
        """Store the conversation, and tell the page to connect again, to another process.

        The store has `saving.LAST_WRITE_S`. If it fails, the page is told all the same, and finds
        the state that was stored before.
        """
        if self._saver is not None and not self.ending.done():
            await self._saver.save_last()
        self.end(Close.RESTART)

    # -- one connection ------------------------------------------------------------------------

    async def serve(self, socket: Socket, hello: Hello) -> Close | None:
        """Serve one connection until it is lost or the conversation ends.

        An older connection of this conversation is replaced. Cancelling this is the same as losing
        the connection: the conversation waits `BridgeLimits.keep_s` for the page.

        Args:
            socket: The open connection, whose hello has been read.
            hello: That hello, which tells whether the page resumes and what it has received.

        Returns:
            The code to close the connection with; None if it was lost, which may be resumed, or
            if the page has closed it.

        Raises:
            BridgeRefusal: If the page breaks a rule. The conversation is then over, too.
        """
        if self._connection is not None and not self._connection.done():
            self._connection.set_result(Close.REPLACED)
        mine = self._connection = asyncio.get_running_loop().create_future()
        try:
            async with self._outgoing:  # wait until the older connection has released the outbox
                if mine.done():
                    return Close.REPLACED
                self._timers.disarm(Close.FORGOTTEN)
                if hello.resume:
                    self._outbox.rewind(hello.seen, hello.received)
                    self._pictures.rewind()
                return await self._run_connection(socket, self._ready(hello), mine)
        except BridgeRefusal as refusal:
            self.end(refusal.close)
            raise
        except ConnectionGone as gone:
            if gone.goodbye:
                self.end(Close.BYE)
            return None
        finally:  # not `except ConnectionGone`: some servers cancel the task of a lost connection
            if self._connection is mine:
                self._connection = None
                self._exchange_changed.set()
                self._timers.arm(Close.FORGOTTEN, self._limits.keep_s)

    async def _run_connection(
        self, socket: Socket, ready: str, replaced: asyncio.Future[Close]
    ) -> Close:
        tasks = [
            asyncio.create_task(socket.receive_each(self._receive), name="bridge reader"),
            asyncio.create_task(self._writer.send(socket, ready), name="bridge writer"),
        ]
        try:
            await asyncio.wait([*tasks, replaced, self.ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            faults = await _cancel(tasks)
        if replaced.done():
            return replaced.result()
        try:
            if faults:
                raise faults[0]
        finally:
            # The traceback of an exception refers to this frame, and this frame to the exception
            # and to the tasks: a reference cycle that would keep this session alive.
            del faults, tasks
        # Send the last messages, such as what was heard, before the connection is closed.
        with suppress(ConnectionGone):
            await self._writer.send_last(socket)
        return self.ending.result()

    def _ready(self, hello: Hello) -> str:
        """Return the first message of a connection."""
        config = self._config
        facts: dict[str, Any] = {
            "type": "ready",
            "version": VERSION,
            "resume": self.resume,
            "resumed": bool(hello.resume),
            "keep_s": self._limits.keep_s,
            "alive_s": self._limits.alive_s,
            "stored": self._offer.store is not None,
            "epoch": self._outbox.epoch,
            "voice": config.voice,
            "voices": self._offer.voice_choices(),
            "page_tools": page_tool_specs(self._offer.tools),
            "history": self._offer.history_length(hello),
            "typing": config.voice_model.text_input,
            "input": {"rate_hz": config.input.rate_hz},
            "output": {"rate_hz": config.output.rate_hz},
        }
        return json.dumps(facts, separators=(",", ":"))

    def _receive(self, message: str | bytes) -> None:
        """Act on a message of the page, unless the conversation has ended."""
        if self.ending.done():
            return
        now_s = time.monotonic()
        self._message_bucket.consume(1, now_s)
        if isinstance(message, bytes):
            pcm = read_voice(message)
            seconds = len(pcm) / self._input_bytes_per_s
            self._sound_bucket.consume(seconds, now_s)
            self._bridge_metrics.voice_s += seconds
            self._source.feed(pcm)
        else:
            self._handle_message(read_message(message))

    def _handle_message(self, message: PageMessage) -> None:
        match message:
            case Hello():
                raise BridgeRefusal(Close.BAD_ORDER)
            case Played(epoch, at):
                self._correct_heard(self._browser_sink.report(epoch, at))
                self._exchange_changed.set()
            case Say(text):
                self._typed_bucket.consume(1, time.monotonic())
                if self._with_controls(lambda controls: controls.say(text)):
                    self._exchange.typed()
            case Interrupt():
                self._with_controls(lambda controls: controls.interrupt())
            case ToolResult(id, result_json, error):
                self._page_calls.answer(id, result_json, error)
            case PictureReceived(picture, received):
                self._pictures.confirm(picture, received)
                self._writer.wake()
            case Bye():
                self.end(Close.BYE)

    def _with_controls(self, act: Callable[[Controls], None]) -> bool:
        """Call `act` with the controls, or send the page a notice if it cannot be done now.

        Returns:
            Whether it was done.
        """
        try:
            if self._controls is None:
                raise OrderError("The session is not open yet.")
            act(self._controls)
        except SonicError:
            self._page.send_notice("This cannot be done just now.")
            return False
        return True

    def _correct_heard(self, turn: int | None) -> None:
        """Replace the estimate of what was heard of `turn` by what the page has reported.

        None means that the report is not about a turn that a flush has cut.
        """
        if turn is not None and self._controls is not None:
            session = self._controls.session
            self._observe(session.heard(turn, self._browser_sink.played_ms(turn)), session.now())


def _offer_audio(session: Session, source: MutableSource, pcm: bytes) -> bool:
    return source.gate not in SHUT and session.offer_audio(pcm)


async def _cancel(tasks: list[asyncio.Task[None]]) -> list[Exception]:
    """Cancel tasks, and return the exceptions that they ended with.

    `ConnectionGone` is sorted last: a rule that the page broke is the more precise reason.
    """
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    faults = [fault for fault in outcomes if isinstance(fault, Exception)]
    return sorted(faults, key=lambda fault: isinstance(fault, ConnectionGone))
