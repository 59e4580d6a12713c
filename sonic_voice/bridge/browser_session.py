"""One claims's conversation, which outlives the connections of the page.

    page ──► feed ──► BrowserSource ──► converse ──► BrowserSink ──► PageOutbox ──► page
                                            └──► observe ──► PageOutbox

`run` holds the conversation, in a task of the bridge. `serve` serves one connection, in the task of
its socket. There is one connection at a time; a newer one replaces an older one. When a connection
is lost the conversation continues, with silence as the user's sound, until a page resumes it or
`BridgeLimits.keep_s` have passed.

`ending` is set once, to the close code of whichever comes first: the page's goodbye, a limit or the
end of the session. The page's connection is then closed at once, and the session with the service
is closed in the background.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..audio.mute import HushableSink, MutableSource
from ..config import SessionConfig
from ..controls import Controls
from ..conversation import converse, stop_playback
from ..errors import OrderError, SonicError
from ..events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    Opened,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
    duration,
)
from ..metrics import Metrics
from ..session import EXPIRY_NOTICE_AT, Session
from ..transport import Transport
from .browser_audio import BrowserSink, BrowserSource
from .closing import BridgeRefusal, Close, close_for
from .frames import read_voice
from .limits import BridgeLimits, TokenBucket
from .messages import (
    ALIVE,
    VERSION,
    Bye,
    Hello,
    Interrupt,
    PageMessage,
    Played,
    Say,
    encode_event,
    read_message,
)
from .metrics import BridgeMetrics
from .offer import Offer
from .outbox import PageOutbox
from .saving import Record, Saver, store_key
from .socket import ConnectionGone, Socket

_log = logging.getLogger(__name__)

OVERDUE_S = 30.0
"""Time by which a conversation that is not renewed may exceed a stream's life, in seconds, before
the bridge ends it itself. Opening the stream, which its life does not include, can take 20 s."""

LIMIT_NOTICE_S = 60.0
"""Maximum time before `BridgeLimits.session_s` at which the page is sent a notice, in seconds. For
shorter limits it is an eighth of the limit."""


_CONTINUABLE = (Close.STOPPING, Close.FORGOTTEN)
"""Ends after which a page may continue the conversation from the store, if there is one."""


_SAVED_AFTER = (UserText, ToolCall, ToolAnswered, TurnEnded, Interrupted, Heard)
"""Events after which the conversation is stored: those that a later process must know of."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A conversation of another process that a page resumes."""

    token: str
    """The resume token."""
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
        offer: The tools, and whether the page sees their arguments and results.
        transport: The connection to the service.
        limits: The limits on its messages and durations.
        bridge_metrics: The counters of the bridge, which this adds to.
        subject: The subject of the token with which it began; empty if none was needed.
        resumed: The conversation of another process that it continues; None for a new one.

    Attributes:
        resume: The resume token, which a page sends to continue this conversation.
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
        subject: str = "",
        resumed: Resumed | None = None,
    ) -> None:
        self.resume = secrets.token_urlsafe(32) if resumed is None else resumed.token
        self.ending: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._config = config
        self._offer = offer
        self._transport = transport
        self._limits = limits
        self._bridge_metrics = bridge_metrics
        self._subject = subject
        self._resumed = None if resumed is None else resumed.record
        self._saver: Saver | None = None
        self._outbox = PageOutbox(config.output)
        if resumed is not None:
            self._outbox.carry_on(resumed.seen, resumed.record.next_epoch)
        self._sendable = asyncio.Event()
        self._source = BrowserSource(config.input)
        self._browser_sink = BrowserSink(
            config.output, self._outbox, now=time.monotonic, wake=self._sendable.set
        )
        self._sink = HushableSink(self._browser_sink)
        self._controls: Controls | None = None
        self._metrics: Metrics | None = None
        self._last_timed_turn = 0
        """The last turn whose latency was reported."""
        self._fault = ""
        """Kind of the fault that interrupted the conversation; empty if it is not interrupted."""
        self._answer_awaited = False
        """True if an answer was awaited when the fault came."""
        self._connection: asyncio.Future[Close] | None = None
        self._outgoing = asyncio.Lock()
        self._timers: dict[Close, asyncio.TimerHandle] = {}
        self._message_bucket = TokenBucket(
            limits.messages_per_s, limits.burst_s, now_s=time.monotonic()
        )
        self._sound_bucket = TokenBucket(limits.sound_per_s, limits.burst_s, now_s=time.monotonic())

    # -- the conversation ----------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation until it ends. This raises only when it is cancelled.

        Cancelling it ends the conversation with `STOPPING`.
        """
        began_s, life_s = time.monotonic(), self._config.stream_life_s
        session_s = self._limits.session_s
        notice_s = min(LIMIT_NOTICE_S, session_s / 8)
        if self._config.renewal.enabled or session_s < life_s:
            self._arm(Close.TOO_LONG, session_s)
            loop = asyncio.get_running_loop()
            limit = loop.call_later(session_s - notice_s, self._announce_limit, notice_s)
        else:
            # The service ends the stream and says so. The timer is for the case that it does not.
            self._arm(Close.SERVICE_LIFETIME, life_s + OVERDUE_S)
            limit = None
        self._arm(Close.IDLE, self._limits.idle_s)
        try:
            await self._converse()
            self.end(Close.BYE)
        except SonicError as error:
            _log.info("a conversation ended: %s", type(error).__name__)
            old = time.monotonic() - began_s > EXPIRY_NOTICE_AT * life_s
            self.end(close_for(error, old=old and not self._config.renewal.enabled))
        except Exception:
            _log.exception("a conversation failed")
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

    async def _converse(self) -> None:
        source = MutableSource(self._source)
        snapshot = None if self._resumed is None else self._resumed.snapshot
        # What the user says while a cold model opens is kept by the session, and answered.
        session = Session.open(self._config, self._transport, resume=snapshot, early_audio=True)
        async with session:
            self._start_saving(session)
            self._metrics = metrics = Metrics(session, self._sink)
            observers = [metrics, self._observe]
            self._controls = Controls(session, source, self._sink, observers)
            await converse(session, source, self._sink, self._offer.tools, observers)

    def _start_saving(self, session: Session) -> None:
        """Store the conversation from now on, if the application has a store."""

        def take(ended: bool) -> Record:
            return Record(session.snapshot(), self._subject, self._outbox.epoch, ended)

        if self._offer.store is not None:
            self._saver = Saver(self._offer.store, store_key(self.resume), take)

    def _observe(self, event: Event, now: float) -> None:
        """Count an event, restart the timers that it concerns, and send it to the page."""
        message = encode_event(event, show_tools=self._offer.show_tools)
        match event:
            case Audio(_, pcm):
                self._bridge_metrics.answer_s += self._config.output.seconds(len(pcm))
            case TurnEnded(turn) if message:
                message["samples"] = self._outbox.end(turn)
            case AssistantText(turn, _, _, "SPECULATIVE") if message:
                self._arm(Close.IDLE, self._limits.idle_s)
                message["starts_at"] = self._outbox.end(turn)
            case UserText() | AssistantText() | ToolCall():
                self._arm(Close.IDLE, self._limits.idle_s)
            case _:
                pass
        self._expect_answer(event)
        self._follow_streams(event)
        if self._saver is not None and isinstance(event, _SAVED_AFTER):
            self._saver.changed()
        if message:
            self._queue_message(message)
        if isinstance(event, (TurnEnded, Interrupted)):
            self._report_latency(event.turn)

    def _expect_answer(self, event: Event) -> None:
        """End the conversation if a service that stays connected does not answer in time."""
        match event:
            case UserText() | ToolAnswered() | AssistantText(stage="SPECULATIVE") | Audio():
                self._arm(Close.SERVICE_FAILED, self._limits.answer_s)
            case UserSpeechStarted():
                self._arm(Close.SERVICE_FAILED, self._limits.utterance_s)
            case UserSpeechEnded() | Interrupted() | ToolCall() | TurnEnded():
                self._disarm(Close.SERVICE_FAILED)
            case _:
                pass

    def _follow_streams(self, event: Event) -> None:
        """Count the renewals of the stream, and wait for no answer while there is none."""
        counters = self._bridge_metrics
        match event:
            case Reconnecting(attempt=attempt, kind=kind):
                counters.reconnect_attempts[kind] += 1
                if attempt == 1:
                    self._fault = kind
                if Close.SERVICE_FAILED in self._timers:
                    self._answer_awaited = True
                    self._disarm(Close.SERVICE_FAILED)
            case Renewed() if event.planned:
                counters.renewals[event.reason] += 1
            case Opened() | Renewed() if self._fault:
                counters.reconnects[self._fault] += 1
                self._fault = ""
                if self._answer_awaited:
                    self._answer_awaited = False
                    self._arm(Close.SERVICE_FAILED, self._limits.answer_s)
            case _:
                pass

    def _announce_limit(self, left_s: float) -> None:
        whole, left = duration(self._limits.session_s), duration(left_s)
        text = f"This conversation ends in {left}: the limit of this server is {whole}."
        self._queue_message({"type": "notice", "text": text})

    def _report_latency(self, turn: int) -> None:
        """Send and count the response latency of a turn, once it is known."""
        measured = self._metrics.turn(turn) if self._metrics else None
        # A turn may end, because all its sound was received, and still be interrupted while it
        # plays: its latency is then reported once.
        if (
            turn > self._last_timed_turn
            and measured is not None
            and measured.response_latency_s is not None
        ):
            self._last_timed_turn = turn
            self._bridge_metrics.add_response_latency(measured.response_latency_s)
            latency_ms = round(measured.response_latency_s * 1000)
            self._queue_message({"type": "latency", "turn": turn, "response_ms": latency_ms})

    def _queue_message(self, message: dict[str, Any]) -> None:
        self._outbox.queue_message(message)
        self._sendable.set()

    def end(self, close: Close) -> None:
        """End the conversation, unless it has ended.

        If an answer is playing, the page is first sent what was heard of it.

        Args:
            close: The close code for the page.
        """
        if self.ending.done():
            return
        if self._controls is not None:
            stop_playback(self._controls.session, self._sink, [self._observe])
        self.ending.set_result(close)
        for timer in self._timers.values():
            timer.cancel()
        self._source.close()

    def _arm(self, close: Close, after_s: float) -> None:
        """Start or restart the timer that ends the conversation with `close` after `after_s`."""
        self._disarm(close)
        if not self.ending.done():
            loop = asyncio.get_running_loop()
            self._timers[close] = loop.call_later(after_s, self.end, close)

    def _disarm(self, close: Close) -> None:
        if timer := self._timers.pop(close, None):
            timer.cancel()

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
                self._disarm(Close.FORGOTTEN)
                if hello.resume:
                    self._outbox.rewind(hello.seen, hello.received)
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
                self._arm(Close.FORGOTTEN, self._limits.keep_s)

    async def _run_connection(
        self, socket: Socket, ready: str, replaced: asyncio.Future[Close]
    ) -> Close:
        tasks = [
            asyncio.create_task(self._receive_messages(socket), name="bridge reader"),
            asyncio.create_task(self._send_messages(socket, ready), name="bridge writer"),
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
            while isinstance(message := self._outbox.take_next(), str):
                await self._send(socket, message)
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
            "typing": config.voice_model.text_input,
            "input": {"rate_hz": config.input.rate_hz},
            "output": {"rate_hz": config.output.rate_hz},
        }
        return json.dumps(facts, separators=(",", ":"))

    async def _send_messages(self, socket: Socket, ready: str) -> None:
        await self._send(socket, ready)
        while True:
            await self._send(socket, await self._next_item())
            if self._outbox.behind:
                raise BridgeRefusal(Close.TOO_SLOW)

    async def _next_item(self) -> str | bytes:
        """Wait for the next message or frame, and return `ALIVE` after `alive_s` without one."""
        try:
            async with asyncio.timeout(self._limits.alive_s):
                while (message := self._outbox.take_next()) is None:
                    self._sendable.clear()
                    await self._sendable.wait()
                return message
        except TimeoutError:
            return ALIVE

    async def _send(self, socket: Socket, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.stuck_s):
                await socket.send(message)
        except TimeoutError:
            raise BridgeRefusal(Close.TOO_SLOW) from None

    async def _receive_messages(self, socket: Socket) -> None:
        while True:
            message = await socket.receive()
            now_s = time.monotonic()
            self._message_bucket.consume(1, now_s)
            if isinstance(message, bytes):
                pcm = read_voice(message)
                seconds = self._config.input.seconds(len(pcm))
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
            case Say(text):
                self._with_controls(lambda controls: controls.say(text))
            case Interrupt():
                self._with_controls(lambda controls: controls.interrupt())
            case Bye():
                self.end(Close.BYE)

    def _with_controls(self, act: Callable[[Controls], None]) -> None:
        """Call `act` with the controls, or send the page a notice if it cannot be done now."""
        try:
            if self._controls is None:
                raise OrderError("The session is not open yet.")
            act(self._controls)
        except SonicError:
            self._queue_message({"type": "notice", "text": "This cannot be done just now."})

    def _correct_heard(self, turn: int | None) -> None:
        """Replace the estimate of what was heard of `turn` by what the page has reported.

        None means that the report is not about a turn that a flush has cut.
        """
        if turn is not None and self._controls is not None:
            session = self._controls.session
            self._observe(session.heard(turn, self._browser_sink.played_ms(turn)), session.now())


async def _cancel(tasks: list[asyncio.Task[None]]) -> list[Exception]:
    """Cancel tasks, and return the exceptions that they ended with.

    `ConnectionGone` is sorted last: a rule that the page broke is the more precise reason.
    """
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    faults = [fault for fault in outcomes if isinstance(fault, Exception)]
    return sorted(faults, key=lambda fault: isinstance(fault, ConnectionGone))
