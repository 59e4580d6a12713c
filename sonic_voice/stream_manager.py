"""The service streams of one session: which of them is live, and what replaces it.

    first ──► live ──► next one prepared ──► switch ──► live ──► ...     `renewal`
                └────► fault ──► attempts to open ────► live             `recovery`

One stream at a time is *live*: it receives the user's audio (`session_input`). The manager opens
another one before the life of the live one ends, or after a fault. What the next stream receives is
decided in `handover`. A stream that was replaced in good health is *retired*: it finishes the
answer that it has begun, and is read to its end. Nothing that an old stream sends can interrupt or
answer a turn of a newer one.

Every task of the session's streams is owned here: the supervisor, a preparation, and the closing of
each old stream. `aclose` ends them all.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from .config import SessionConfig
from .errors import ConnectionLost, SonicError, fault_kind
from .events import Ended, Event, Opened, Reconnecting, Renewed, ToolCall
from .first_words import greeting_config, with_greeting
from .handover import (
    Handover,
    can_finish,
    first_handover,
    hand_over,
    needed_from,
    unanswered_audio,
)
from .neighbour_streams import CHECK_S, PreparedStream, RetiredStreams
from .recovery import Recovery, has_expired_credentials, is_transient
from .renewal import LiveState, Renewal, Step
from .service_stream import Deliver, ServiceStream, WaitForRoom
from .session_input import SessionInput
from .snapshot import SessionSnapshot, resume_handover, take_snapshot
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

RENEW_WITHIN_S = 15.0
"""Time after which a requested renewal is forced, in seconds."""

VERIFY_S = 10.0
"""Maximum time until a new stream reacts to speech or text, in seconds; answers take 1 to 2 s."""

RELEASE_S = 1.0
"""Interval at which audio of the user that was answered is released, in seconds."""

WORKING_S = 5.0
"""Age from which a stream counts as one that worked, in seconds: a fault then begins an outage."""


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
        self._transcript = transcript
        self._deliver = deliver
        self._push = push
        self._clock = clock
        self._on_audio = on_audio
        self._announces_opening = announce_opening
        self._playback = Playback()
        self._recovery = Recovery(config.recovery, random.random)
        self._renewal: Renewal | None = None
        self._check_at_s = 0.0
        self._release_at_s = 0.0
        self._opened_at = (0.0, 0.0)
        self._verify_at_s: float | None = None
        self._changed = asyncio.Event()
        self._closing = ClosingTasks()
        self._prepared = PreparedStream(
            self._open_next, self._closing, self._changed.set, self._age_s
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
        self._live_last: ServiceStream | None = None
        self._resume = resume
        if resume is not None:
            self._playback.newest_turn = resume.turn
            self._opener.add_tokens(resume.tokens)
            self.input.restore(resume)
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
        if self._renewal is not None:
            self._renewal.request(reason, self._age_s(), within_s=RENEW_WITHIN_S)
            self._prepared.retry_now()
            self._changed.set()

    def snapshot(self, *, audio: bool) -> SessionSnapshot:
        """Return the conversation as a value.

        Args:
            audio: Whether it has the user's audio that was not answered.
        """
        progress = self._live_last.progress if self._live_last is not None else None
        resumed, turn = self._resume, self._playback.newest_turn
        return take_snapshot(
            self._config,
            self._transcript,
            turn=turn,
            tokens=self.tokens,
            calls=self.input.open_calls,
            results=self.input.results,
            progress=progress,
            still_owed=resumed is not None and resumed.owed and resumed.turn == turn,
            audio=unanswered_audio(progress, self.input.ring) if audio else b"",
        )

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
            self._supervisor.cancel()
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
        stream = self.input.stream
        return self._verify_at_s is not None and stream is not None and not stream.reacted

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

    def _age_s(self) -> float:
        """Return the age of the live stream, in seconds: by the clock, or by the conversation.

        A recorded conversation may run faster than the clock, and the service's time with it. In
        virtual time only that of the conversation counts.
        """
        clock_s, conversation_s = self._opened_at
        if isinstance(self._clock, VirtualClock):
            return self._clock() - conversation_s
        return max(self._loop.time() - clock_s, self._clock() - conversation_s)

    def _note_audio(self) -> None:
        self._check_renewal()
        self._on_audio()

    def _check_renewal(self) -> None:
        """Wake the supervisor if a renewal is due, and release audio that was answered.

        Called after each chunk of audio.
        """
        if self._renewal is not None and (age_s := self._age_s()) >= self._check_at_s:
            self._check_at_s = age_s + CHECK_S
            if self._renewal.is_due(age_s):
                self._changed.set()
            if age_s >= self._release_at_s and (live := self.input.live) is not None:
                self._release_at_s = age_s + RELEASE_S
                ring = self.input.ring
                ring.release(needed_from(self._config, live.progress, ring))

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
        handover = self._hand_over(None, planned=False)
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
            self._verify(stream)
            await self._wait_for_change()
        return await self._after(stream)

    def _verify(self, stream: ServiceStream) -> None:
        """End a new stream that does not react to what it must answer."""
        if self._verify_at_s is None:
            return
        if stream.reacted:
            self._verify_at_s = None
        elif self._loop.time() >= self._verify_at_s:
            stream.end(ConnectionLost("The service does not react to what is said.", reason="cut"))

    async def _wait_for_change(self) -> None:
        """Wait until something may have to be decided, at most until the next tick."""
        assert self._renewal is not None
        age_s = self._age_s()
        self._attentive = (
            self.input.finished or self._renewal.is_due(age_s) or self._verify_at_s is not None
        )
        wait_s = min(TICK_S, max(CHECK_S, self._renewal.next_check_s(age_s) - age_s))
        if self._prepared.since_s() is not None:
            wait_s = CHECK_S
        if self._verify_at_s is not None:
            wait_s = min(wait_s, max(0.0, self._verify_at_s - self._loop.time()))
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
        if self._age_s() >= WORKING_S and (self._verify_at_s is None or stream.reacted):
            self._recovery.worked()
        return await self._recover(error, stream)

    # -- renewal -------------------------------------------------------------------------------

    def _renew(self, stream: ServiceStream) -> ServiceStream | None:
        """Take the next step of the renewal, and return the next live stream after a switch."""
        assert self._renewal is not None
        age_s = self._age_s()
        if not self._renewal.is_due(age_s):
            return None
        state = LiveState(
            user_speaks=stream.progress.user_speaks,
            user_quiet_s=self.input.ring.quiet_s(),
            owes=self.owes_answer,
        )
        match self._renewal.decide(age_s, state, self._prepared.since_s()):
            case Step.WAIT:
                return None
            case Step.PREPARE:
                self._prepared.prepare(self._config.recovery.longest_wait_s)
                return None
            case Step.SWITCH:
                return self._switch(stream, self._renewal.reason)

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
        if self._age_s() >= WORKING_S and not self._awaits_reaction:
            self._recovery.worked()
        new = self._prepared.take()
        progress = old.progress
        handover = self._hand_over(old, planned=True)
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
                handover = self._hand_over(broken, planned=False)
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

    def _hand_over(self, old: ServiceStream | None, *, planned: bool) -> Handover:
        owes_greeting = self._owes_greeting
        handover = self._hand_over_conversation(old, planned=planned)
        if not owes_greeting or handover.prompt:
            return handover
        # A user who speaks needs no greeting. v1 does not report it, and hears both.
        if handover.expects_events and self._config.voice_model.text_input:
            return handover
        return with_greeting(handover, self._config)

    @property
    def _owes_greeting(self) -> bool:
        """True until the greeting sounds, or the user's words take its place."""
        return (
            bool(self._config.greeting)
            and (self._resume is None or not self._resume.turn)
            and not self._playback.sounding
            and not any(line.role == "USER" for line in self._transcript.lines)
        )

    def _hand_over_conversation(self, old: ServiceStream | None, *, planned: bool) -> Handover:
        ring = self.input.ring
        if old is None and self._resume is not None:
            return resume_handover(
                self._config, self._transcript, ring, self._resume, results=self.input.results
            )
        if old is None:
            return first_handover(self._config, ring)
        progress = old.progress
        lost = [c for c in self.input.lost_calls.values() if c.turn == progress.turn]
        calls = {call.tool_use: call for call in (*progress.calls, *lost)}
        return hand_over(
            self._config,
            self._transcript,
            replace(progress, calls=tuple(calls.values())),
            ring,
            results=self.input.results,
            planned=planned,
        )

    # -- opening and closing -------------------------------------------------------------------

    async def _open(self, deadline_s: float, handover: Handover | None) -> ServiceStream:
        """Return a stream that the service has taken, in the configuration that is due now."""
        self._updates_of_newest = self._updates
        config = greeting_config(self._config) if self._owes_greeting else self._config
        return await self._opener.open(config, deadline_s, handover)

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
        now_s = self._loop.time()
        self._recovery.opened()
        self._opened_at = stream.opened_at
        self._live_last = stream
        self._renewal = Renewal(
            self._config.renewal,
            life_s=self._config.stream_life_s,
            expires_s=_seconds_until(stream.credentials_expire_at),
        )
        if self._updates_of_newest != self._updates:  # while this stream was opened
            self.renew("update")
        self._check_at_s = self._release_at_s = 0.0
        self._verify_at_s = now_s + VERIFY_S if handover.expects_events else None
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
        self._supervisor.cancel()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        self._prepared.discard()
        if self.input.stream is not None:
            self._closing.start(self.input.stream.aclose())
        self._retired.end()
        await self._closing.wait()


def _seconds_until(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp() - time.time()


def _mark_retrieved(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
