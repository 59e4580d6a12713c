"""The service streams of one session: which of them is live, and what replaces it.

    first ──► live ──► next one prepared ──► switch ──► live ──► ...     `renewal`
                └────► fault ──► attempts to open ────► live             `recovery`

One stream at a time is *live*: it receives the user's audio (`session_input`). The manager opens
another one before the life of the live one ends (`live_watch`), or after a fault. What the next
stream receives is decided in `continuation`. A stream that was replaced in good health is
*retired*: it finishes the answer that it has begun, and is read to its end. Nothing that an old
stream sends can interrupt or answer a turn of a newer one.

Every task of the session's streams is owned here: the supervisor, a preparation, and the closing of
each old stream. `aclose` ends them all.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from .config import SessionConfig
from .continuation import Continuation
from .errors import ConnectionLost, SonicError, fault_kind
from .events import Ended, Event, Opened, Reconnecting, Renewed, ToolCall
from .handover import Handover, can_finish, unanswered_audio
from .live_watch import LiveWatch
from .neighbour_streams import CHECK_S, PreparedStream, RetiredStreams
from .recovery import Recovery, has_expired_credentials, is_transient
from .renewal import Step
from .service_stream import Deliver, ServiceStream, WaitForRoom
from .session_input import SessionInput
from .snapshot import SessionSnapshot
from .stream_opener import ClosingTasks, StreamOpener
from .transcript import Transcript
from .transport import Transport
from .turn_progress import Playback
from .virtual_clock import VirtualClock
from .wire import Tokens

TICK_S = 5.0
"""Interval at which the clock is compared with the calendar, in seconds."""

SUSPENDED_S = 10.0
"""Time that must be missing at a tick for the process to count as suspended, in seconds."""


class StreamManager:
    """The service streams of one session. Creating it starts the opening of the first one.

    It must be closed with `aclose`.

    Args:
        config: The configuration of the session.
        transport: Opens the streams.
        transcript: The transcript of the session.
        deliver: Called with the events of each payload, in order.
        wait_for_room: Awaited after `deliver` has had no more room.
        push: Called with events that do not come from the service.
        clock: Returns monotonic seconds on the time line of the conversation.
        on_audio: Called after each chunk of the user's audio, also of silence in its place.
        announce_opening: Whether to report `Opened` also without any attempt before.
        resume: The snapshot from which the conversation continues; None for a new one.
    """

    def __init__(
        self,
        config: SessionConfig,
        transport: Transport,
        transcript: Transcript,
        *,
        deliver: Deliver,
        wait_for_room: WaitForRoom,
        push: Callable[[Event], object],
        clock: Callable[[], float],
        on_audio: Callable[[], object],
        announce_opening: bool,
        resume: SessionSnapshot | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done when the conversation has ended: well, or with the error that ended it."""
        self.opened: asyncio.Future[None] = self._loop.create_future()
        """Done when the service took the first stream, or with the error that prevented it."""
        for future in (self.over, self.opened):  # an error that no caller awaits is no warning
            future.add_done_callback(_mark_retrieved)
        self.input = SessionInput(
            config, self.over, push=push, clock=clock, on_audio=self._note_audio
        )
        """The input of the session."""
        self.goodbye_timed_out = False
        """True if the service did not end the stream in time after a complete goodbye."""
        self._config = config
        self._transport = transport
        self._deliver = deliver
        self._push = push
        self._clock = clock
        self._on_audio = on_audio
        self._announces_opening = announce_opening
        self._playback = Playback()
        self._recovery = Recovery(config.recovery, random.random)
        self._watch: LiveWatch | None = None
        """The watch over the stream that went live last; None before the first one."""
        self._check_at_s = 0.0
        """Time from which the watch is to check, in seconds of the conversation's clock."""
        self._changed = asyncio.Event()
        self._closing = ClosingTasks()
        self._prepared = PreparedStream(
            self._open_next,
            self._closing,
            self._changed.set,
            lambda: self._live_watch.age_s(),
        )
        self._retired = RetiredStreams(self._closing, self._is_playing, self._changed.set)
        self._opener = StreamOpener(
            transport,
            transcript,
            self._playback,
            deliver=self._deliver_events,
            wait_for_room=wait_for_room,
            clock=clock,
            on_slow=push,
            on_silence=self.input.add_silence,
            on_over=self._changed.set,
        )
        self._owed = False
        """True if the stream that is over, and was not replaced yet, owed an answer."""
        self._attentive = False
        self._gave_up = False
        self._updates = 0
        self._updates_of_newest = 0
        """Number of updates that the newest stream was configured with."""
        self._continuation = Continuation(self.input, transcript, self._playback, resume)
        if resume is not None:
            self._opener.add_tokens(resume.tokens)
        self._entered_s = self._loop.time()
        self._supervisor = asyncio.create_task(self._supervise(), name="sonic streams")

    # -- requests of the session ---------------------------------------------------------------

    def update(self, config: SessionConfig) -> None:
        """Move the conversation to a stream with another configuration.

        Args:
            config: The new configuration.
        """
        self._config = self.input.config = config
        self._updates += 1
        self._prepared.discard()
        self.renew("update")

    def renew(self, reason: str) -> None:
        """Move the conversation to a new stream at the next good moment, or after 15 s.

        Args:
            reason: The reason that is reported.
        """
        if self._watch is not None:
            self._watch.request_renewal(reason)
            self._prepared.retry_now()
            self._changed.set()

    def snapshot(self, *, audio: bool) -> SessionSnapshot:
        """Return the conversation as a value.

        Args:
            audio: Whether it has the user's audio that was not answered.
        """
        newest = self._watch.stream if self._watch is not None else None
        return self._continuation.snapshot(newest, self.tokens, audio=audio)

    def finish(self) -> None:
        """Say goodbye. Does nothing if it was said before."""
        if self.input.finished:
            return
        self.input.finished = True
        self._attentive = True
        stream = self.input.live
        if stream is not None:
            if not self._owes_beside_live:  # otherwise the supervisor says goodbye later
                stream.finish()
        elif self.input.stream is None and not self.over.done():
            self._end(None)  # there is no connection, and a goodbye is no reason to make one
            self._stop_supervising()
        self._changed.set()

    def give_up(self, error: SonicError) -> None:
        """End the conversation, because the service did not answer the goodbye in time.

        Args:
            error: The error that ends it if something is missing.
        """
        self._gave_up = True
        stream = self.input.live
        if stream is not None:
            stream.give_up(error)
        elif not self.over.done():
            self._end(error)
            self._stop_supervising()

    def _stop_supervising(self) -> None:
        # Once: a second time would interrupt the release of a stream that is being opened.
        if not self._supervisor.cancelling():
            self._supervisor.cancel()

    # -- state ---------------------------------------------------------------------------------

    @property
    def owes_answer(self) -> bool:
        """True if an owed answer has not come to its end, or a tool result is owed."""
        stream = self.input.stream
        owed = self._owed if stream is None else stream.owes_answer
        return owed or self._owes_beside_live

    @property
    def _owes_beside_live(self) -> bool:
        """True if something is owed of which the live stream does not know yet.

        This is the result of a call of an earlier stream, the rest of an answer of a retired one,
        or a reaction to replayed speech.
        """
        return bool(self.input.lost_calls) or self._awaits_reaction or self._retired.owes_answer

    @property
    def _awaits_reaction(self) -> bool:
        """True until the live stream reacts to what it must answer."""
        return self.input.stream is not None and self._live_watch.awaits_reaction

    def is_settled(self, now: float) -> bool:
        """Return whether a stream is live, nobody speaks, and no answer is owed or playing.

        Args:
            now: Monotonic seconds on the time line of the conversation.
        """
        live = self.input.live
        return live is not None and live.is_settled(now) and not self.owes_answer

    def set_playback_end(self, when_s: float) -> None:
        """Correct the time until which the answer is playing.

        Args:
            when_s: The time, in monotonic seconds on the time line of the conversation.
        """
        self._playback.until_s = when_s

    def nobody_speaks(self, now: float) -> bool:
        """Return whether a stream is live, and neither side speaks; a tool may run.

        Args:
            now: Monotonic seconds on the time line of the conversation.
        """
        live = self.input.live
        if live is None or not live.nobody_speaks(now):
            return False
        return not self._awaits_reaction and not self._retired.owes_answer

    @property
    def tokens(self) -> Tokens:
        """Tokens used so far by all streams."""
        return self._opener.tokens

    @property
    def _live_watch(self) -> LiveWatch:
        """The watch over the live stream."""
        assert self._watch is not None
        return self._watch

    def _note_audio(self) -> None:
        now = self._clock()
        if self._watch is not None and now >= self._check_at_s:
            self._check_at_s = now + CHECK_S
            self._watch.check()
        self._on_audio()

    # -- the supervisor ------------------------------------------------------------------------

    async def _supervise(self) -> None:
        try:
            stream = await self._open_first()
            while stream is not None:
                stream = await self._follow(stream)
            self._end(None)
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.over.done():
            return
        if isinstance(error, SonicError):
            self._push(Ended(error))
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
        if not self.opened.done():
            closed = ConnectionLost("The session was closed while it opened.", reason="ended")
            self.opened.set_exception(error or closed)
        self.input.wake()

    async def _open_first(self) -> ServiceStream:
        handover = self._continuation.hand_over(None, planned=False)
        try:
            stream = await self._open(self._config.deadlines.open_s, handover)
        except SonicError as error:
            return await self._recover(error, None)
        self._report_opening(self._go_live(stream, handover))
        return stream

    def _report_opening(self, replayed_ms: int) -> None:
        if self._announces_opening or self._recovery.attempt:
            self._push(Opened(round(1000 * (self._loop.time() - self._entered_s)), replayed_ms))
        self.opened.set_result(None)

    async def _follow(self, stream: ServiceStream) -> ServiceStream | None:
        """Follow the live stream until another one replaces it.

        Returns:
            The next live stream; None if the conversation has come to a good end.

        Raises:
            SonicError: A fault that could not be recovered from.
        """
        while not stream.over.done():
            self._changed.clear()
            if self.input.finished:
                if not stream.finished and not self.owes_answer:
                    stream.finish()
            elif (next_live := self._renew(stream)) is not None:
                return next_live
            self._live_watch.verify()
            await self._wait_for_change()
        return await self._after(stream)

    async def _wait_for_change(self) -> None:
        """Wait until something may have to be decided, at most until the next tick."""
        watch = self._live_watch
        self._attentive = self.input.finished or watch.renewal_is_due or watch.awaits_reaction
        is_prepared = self._prepared.since_s() is not None
        wait_s = min(TICK_S, watch.next_look_s(is_prepared=is_prepared))
        calendar_s = time.time()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        suspended = time.time() - calendar_s > wait_s + SUSPENDED_S
        if suspended and self._config.renewal.enabled and not isinstance(self._clock, VirtualClock):
            self.renew("suspended")

    async def _after(self, stream: ServiceStream) -> ServiceStream | None:
        """Return what follows a live stream that is over."""
        owes = stream.owes_answer or self._owes_beside_live
        self.input.detach(len(unanswered_audio(stream.progress, self.input.ring)))
        self._closing.start(stream.aclose())
        self.goodbye_timed_out = stream.goodbye_timed_out
        self._owed = stream.owes_answer
        error = stream.over.exception()
        if error is None:
            return None
        if not isinstance(error, SonicError) or self._gave_up:
            raise error
        if self.input.finished and not owes:
            if self._config.recovery.enabled and is_transient(error, connected_before=True):
                return None  # nothing is missing, and a goodbye needs no new stream
            raise error
        # A stream that never reacted to what it had to answer belongs to the same outage.
        if self._live_watch.worked:
            self._recovery.worked()
        return await self._recover(error, stream)

    # -- renewal -------------------------------------------------------------------------------

    def _renew(self, stream: ServiceStream) -> ServiceStream | None:
        """Take the next step of the renewal, and return the next live stream after a switch."""
        watch = self._live_watch
        if not watch.renewal_is_due:
            return None
        match watch.next_step(owes=self.owes_answer, prepared_since_s=self._prepared.since_s()):
            case Step.WAIT:
                return None
            case Step.PREPARE:
                self._prepared.prepare(self._config.recovery.longest_wait_s)
                return None
            case Step.SWITCH:
                return self._switch(stream, watch.renewal_reason)

    async def _open_next(self) -> ServiceStream:
        """Open a stream with everything but history and audio."""
        try:
            return await self._open(self._config.deadlines.open_s, None)
        except SonicError as error:
            if has_expired_credentials(error):  # the next attempt looks them up again
                self._transport.forget_credentials()
            raise

    def _switch(self, old: ServiceStream, reason: str) -> ServiceStream:
        """Make the prepared stream the live one, and retire the old one."""
        if self._live_watch.worked:
            self._recovery.worked()
        new = self._prepared.take()
        progress = old.progress
        handover = self._continuation.hand_over(old, planned=True)
        old.retire(finishing=can_finish(progress))
        self.input.lost_calls |= {call.tool_use: call for call in progress.calls}
        new.start_audio(handover.history, handover.start)
        replayed_ms = self._go_live(new, handover)
        self._retired.add(old, self._config.deadlines.close_s)
        self._push(Renewed(0, replayed_ms, reason))
        return new

    def _is_playing(self, after_s: float) -> bool:
        """Return whether an answer is playing, or ended less than `after_s` ago."""
        return self._clock() < self._playback.until_s + after_s

    # -- recovery ------------------------------------------------------------------------------

    async def _recover(self, error: SonicError, broken: ServiceStream | None) -> ServiceStream:
        """Open a stream after a fault, in as many attempts as the policy allows.

        Args:
            error: The fault.
            broken: The stream that it ended; None if no stream was ever live.

        Raises:
            SonicError: The fault, or that of the last attempt.
        """
        began_s = self._loop.time()
        reason = error.message
        self._prepared.discard()
        if broken is not None:
            self.input.lost_calls |= {call.tool_use: call for call in broken.progress.calls}
        while True:
            wait_s = self._recovery.fault(error, self._loop.time())
            if wait_s is None:
                raise error
            if has_expired_credentials(error):
                self._transport.forget_credentials()
            attempt = self._recovery.attempt
            self._push(Reconnecting(error.message, attempt, wait_s, fault_kind(error)))
            await asyncio.sleep(wait_s)
            deadline_s = self._config.deadlines.open_s
            if broken is not None:
                patience_s = self._recovery.remaining_s(self._loop.time())
                deadline_s = min(deadline_s, max(1.0, patience_s))
            try:
                handover = self._continuation.hand_over(broken, planned=False)
                stream = await self._open(deadline_s, handover)
                break
            except SonicError as failed:
                error = failed
        replayed_ms = self._go_live(stream, handover)
        if broken is None:
            self._report_opening(replayed_ms)
        else:
            gap_ms = round(1000 * (self._loop.time() - began_s))
            self._push(Renewed(gap_ms, replayed_ms, reason))
        return stream

    # -- opening and closing -------------------------------------------------------------------

    async def _open(self, deadline_s: float, handover: Handover | None) -> ServiceStream:
        """Return a stream that the service has taken, in the configuration that is due now."""
        self._updates_of_newest = self._updates
        return await self._opener.open(self._continuation.next_config, deadline_s, handover)

    def _deliver_events(self, events: Sequence[Event]) -> bool:
        for event in events:
            if isinstance(event, ToolCall) and not self._knows_call(event):
                self.input.lost_calls[event.tool_use] = event  # the call of a retired stream
        has_room = self._deliver(events)
        if self._attentive:
            self._changed.set()
        return has_room

    def _knows_call(self, call: ToolCall) -> bool:
        """Return whether the live stream waits for the result of a call."""
        stream = self.input.stream
        return stream is not None and stream.has_call(call.tool_use)

    def _go_live(self, stream: ServiceStream, handover: Handover) -> int:
        """Make a stream the live one, and return the length of the replayed audio, in ms."""
        self._recovery.opened()
        self._watch = LiveWatch(
            stream,
            self._config,
            self.input.ring,
            clock=self._clock,
            expects_reaction=handover.expects_events,
            on_due=self._changed.set,
        )
        self._check_at_s = self._clock()
        if self._updates_of_newest != self._updates:  # while this stream was opened
            self.renew("update")
        return self.input.attach(stream, handover)

    async def aclose(self) -> None:
        """End the conversation if it is not over, and release every stream and task.

        It is completed even when it is cancelled.
        """
        closing = asyncio.create_task(self._close(), name="sonic session closing")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    async def _close(self) -> None:
        self._end(ConnectionLost("The session was closed.", reason="ended"))
        self._stop_supervising()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        self._prepared.discard()
        if self.input.stream is not None:
            self._closing.start(self.input.stream.aclose())
        self._retired.end()
        await self._closing.wait()


def _mark_retrieved(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
