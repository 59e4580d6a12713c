"""Session: a spoken conversation with the model, as its owner sees it.

    async with Session.open(config, transport) as session:
        await session.send_audio(pcm)          # from one task, all the time
        async for event in session: ...        # in another

A session is a thin asyncio shell. `protocol` decides what may be sent when, `turns` decides what
events mean, `ServiceStream` owns a stream with its two tasks, and `StreamManager` owns the streams,
which follow each other for as long as the conversation lasts. `EventQueue` stands between the
reader of the stream and the owner. This module adds the goodbye and the idle prompts.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from .config import Endpointing, SessionConfig, ToolSpec
from .errors import DeadlineError, OrderError, SonicError
from .event_queue import EventQueue
from .events import (
    Audio,
    Closed,
    Event,
    Heard,
    Interrupted,
    StreamExpiring,
    ToolCall,
    Usage,
    UserSpeechStarted,
    UserText,
)
from .idle import IdleTimer
from .protocol import check_text
from .snapshot import SessionSnapshot, resumed_config
from .stream_manager import StreamManager
from .transcript import Transcript
from .transport import Transport
from .wire import Tokens

EXPIRY_NOTICE_AT = 7 / 8
"""Share of a stream's life after which its end is announced: 7 of 8 minutes."""


IDLE_CHECK_S = 0.25
"""Interval at which idle prompts are looked for, in seconds."""

IDLE_QUIET_S = 1.0
"""Time without loud audio after which the user counts as silent, in seconds, where the model does
not report speech."""


SPEECH_PAUSE_S = 0.3
"""Time without loud audio after which the user is not speaking, in seconds. The service reports the
beginning of speech 0.3 to 0.9 s late (reference 3.4)."""


class Session:
    """One conversation. Build it with `open`, enter it once, send audio, read events."""

    @classmethod
    def open(
        cls,
        config: SessionConfig,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.monotonic,
        early_audio: bool = False,
        resume: SessionSnapshot | None = None,
    ) -> Self:
        """Return a session, which connects when it is entered with `async with`.

        Entering raises `CredentialsError`, `NetworkError` or `ServiceError` if the service does
        not take the session within `config.deadlines.open_s`. Leaving says goodbye in the
        documented order and reads to the end of the stream, for at most
        `config.deadlines.close_s`. Cancelling either of them leaves no task and no connection.

        Args:
            config: What the session is asked to be.
            transport: Where its stream is opened. It must outlive the session.
            clock: Returns monotonic seconds on the time line of the conversation: `time.monotonic`
                for a live one, the position in the recording for a recorded one, so that both can
                run at any speed; a `VirtualClock` for one in virtual time.
            early_audio: Whether entering returns at once, while the first stream is still being
                opened. What is sent meanwhile is kept, up to 30 s of audio, and sent in order, so
                that the first words are not lost. `Opened` reports the stream. An opening that
                fails is raised like a later fault, by the iteration.
            resume: The snapshot of a conversation that this one continues, from `snapshot`; None
                for a new one. Its history replaces that of `config`. Turns and tokens count on, the
                transcript has its lines, and tool calls without a result (`resumed_calls`) can be
                answered.

        Raises:
            ConfigError: The snapshot does not fit `config`, or the limits of its model.
        """
        return cls(config, transport, clock, early_audio, resume)

    def __init__(
        self,
        config: SessionConfig,
        transport: Transport,
        clock: Callable[[], float],
        early_audio: bool,
        resume: SessionSnapshot | None = None,
    ) -> None:
        self.config = config if resume is None else resumed_config(config, resume)
        self.transcript = Transcript()
        if resume is not None:
            self.transcript.restore(resume.lines)
        self.tokens = Tokens() if resume is None else resume.tokens
        """Tokens used so far by all streams, as the service last reported them."""
        self.now = clock
        self.goodbye_waited_s = config.deadlines.close_s
        """Maximum time that the service has for ending the stream after the goodbye, in seconds."""
        self.hung_up = False
        """True once `hang_up` has ended the wait for the service."""
        self._transport = transport
        self._early_audio = early_audio
        self._resume = resume
        self._idle = IdleTimer(config.idle_prompts) if config.idle_prompts else None
        self._idle_check_s = 0.0
        self._manager: StreamManager | None = None
        self._outcome_raised = False
        self.on_audio: Callable[[], object] = _nothing
        """Called after each chunk of audio, the user's or silence in its place: the time of the
        conversation has gone on. It must return at once, and raise nothing."""
        self._events = EventQueue()
        self._goodbye: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        if self._manager is not None:
            raise OrderError("A session is entered once.", hint="Open another one.")
        from .start_advice import warn_of_faults  # its rules are not needed to parse a command

        warn_of_faults(self.config)
        loop = asyncio.get_running_loop()
        # The life of a stream is measured in wall-clock time, whatever the conversation's clock is.
        entered_s = loop.time()
        manager = self._manager = StreamManager(
            self.config,
            self._transport,
            self.transcript,
            deliver=self._push,
            wait_for_room=self._events.wait_for_room,
            push=lambda event: self._push([event]),
            clock=self.now,
            on_audio=self._note_audio,
            announce_opening=self._early_audio,
            resume=self._resume,
        )
        manager.over.add_done_callback(lambda _: self._events.wake())
        if not self._early_audio:
            try:
                await asyncio.shield(manager.opened)
            except BaseException:
                await manager.aclose()
                raise
        if not self.config.renewal.enabled:
            expiring_s = entered_s + EXPIRY_NOTICE_AT * self.config.stream_life_s
            self._expiry = loop.call_at(expiring_s, self._announce_expiry)
        return self

    def _note_audio(self) -> None:
        if self._idle is not None:
            self._check_idle(self._idle)
        self.on_audio()

    def _check_idle(self, idle: IdleTimer) -> None:
        """Address a silent user if it is time, or end the conversation."""
        now = self.now()
        if self.finished or now < self._idle_check_s:
            return
        self._idle_check_s = now + IDLE_CHECK_S
        manager = self._open_manager
        busy = not manager.is_settled(now)
        if not self.config.voice_model.speech_events:  # the level says whether the user speaks
            busy = busy or manager.input.ring.quiet_s() < IDLE_QUIET_S
        if idle.is_over(now, busy=busy):
            self.finish()
        elif (prompt := idle.prompt(now, busy=busy)) is not None and prompt.text:
            manager.input.send_prompt(prompt.text)

    def _announce_expiry(self) -> None:
        if not self.finished:
            life_s = self.config.stream_life_s
            self._push([StreamExpiring((1 - EXPIRY_NOTICE_AT) * life_s, life_s)])

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        manager = self._open_manager
        # The owner reads no more events, so the reader must not wait for room in the queue.
        self._events.close()
        try:
            if not manager.over.done():
                self.finish()
                await asyncio.wait([manager.over])
            if error is None and not self._outcome_raised:
                self._raise_outcome(manager)
        finally:
            for timer in (self._goodbye, self._expiry):
                if timer is not None:
                    timer.cancel()
            await manager.aclose()

    # -- input ---------------------------------------------------------------------------------

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio of the user.

        Waits while the network is slower than the audio. Cancelling it loses at most the part of
        `pcm` that was not yet queued, and the session can go on.

        Args:
            pcm: s16le mono PCM at `config.input.rate_hz`, of any length.

        Raises:
            AudioError: `pcm` is not a whole number of samples.
            OrderError: The goodbye was said, or the session is over.
            SonicError: The error that ended the session.
        """
        if not self.offer_audio(pcm):
            await self._open_manager.input.send_audio(pcm)

    def offer_audio(self, pcm: bytes) -> bool:
        """Send audio of the user if that can be done at once. It saves a step of the event loop.

        Not to be called while `send_audio` runs.

        Args:
            pcm: As for `send_audio`.

        Returns:
            Whether it was sent. Otherwise nothing was done, and `send_audio` waits or says why.
        """
        return self._manager is not None and self._manager.input.offer_audio(pcm)

    def send_text(self, text: str) -> None:
        """Send a typed turn of the user, which the model answers by voice.

        While the model speaks, the text interrupts it (reference 2.10).

        Args:
            text: The words of the turn.

        Raises:
            OrderError: The model takes no text (Nova 2 Sonic and later do), `text` is blank, or
                the goodbye was said.
            SonicError: The error that ended the session.
        """
        self._open_manager.input.send_text(text)

    def prompt(self, text: str) -> None:
        """Send a text that the model answers and that is no turn of the user.

        It is best an instruction, such as "Tell the caller that the order has shipped.": Nova 2.5
        does not reliably answer a description. While the model speaks, it interrupts it
        (reference 2.10); see `nobody_speaks`.

        Args:
            text: The text.

        Raises:
            OrderError: The model takes no text, `text` is blank, or the goodbye was said.
            SonicError: The error that ended the session.
        """
        check_text(self.config, text)
        self._open_manager.input.send_prompt(text)

    def set_playback_end(self, when_s: float) -> None:
        """Correct the time until which an answer is playing.

        The session assumes that sound is played as soon as it comes. An owner that holds sound
        back, or does not play all of it, calls this, so that a barge-in is recognised rightly.

        Args:
            when_s: The time, in seconds of the session's clock.
        """
        self._open_manager.set_playback_end(when_s)

    def send_tool_result(self, tool_use: str, result_json: str, *, is_spoken: bool = True) -> None:
        """Answer a tool call. Each call is answered exactly once.

        Args:
            tool_use: The id of the call, from `ToolCall.tool_use`.
            result_json: A JSON object as a string.
            is_spoken: Whether the model is to speak about the result. False for a result that asks
                it to say nothing: the session then waits for no answer.

        Raises:
            OrderError: No such call waits for a result, or `result_json` is not a JSON object.
            SonicError: The error that ended the session.
        """
        self._open_manager.input.send_tool_result(tool_use, result_json, is_spoken=is_spoken)

    def send_result_sentence(self, tool_use: str, sentence: str) -> None:
        """Send a sentence of the answer to a call of `ExpertTool`, which the model speaks at once.

        Such a call is answered sentence by sentence, then by `end_result` (reference 8.6). It ends
        with its stream: the next stream asks again for the answer, in a new call.

        Args:
            tool_use: The id of the call, from `ToolCall.tool_use`.
            sentence: The sentence.

        Raises:
            OrderError: No such call waits for a result, or `sentence` is blank.
            SonicError: The error that ended the session.
        """
        self._open_manager.input.send_result_sentence(tool_use, sentence)

    def end_result(self, tool_use: str) -> None:
        """End the answer to a call of `ExpertTool`, once.

        A call that got no sentence stays without an answer, because the service refuses an empty
        one. This is right only where the user has interrupted it, or has said nothing.

        Args:
            tool_use: The id of the call.

        Raises:
            OrderError: No such call waits for a result.
            SonicError: The error that ended the session.
        """
        self._open_manager.input.end_result(tool_use)

    def finish(self) -> None:
        """Say goodbye: no more input is sent. The service's last events follow, then `Closed`.

        Does nothing if the goodbye was said before. Once the goodbye is sent and every owed answer
        has come, a lost connection counts as a good end. So does a service that does not end the
        stream within `config.deadlines.close_s` (see `goodbye_timed_out`).
        """
        manager = self._open_manager
        if self.finished:
            return
        manager.finish()
        close_s = self.config.deadlines.close_s
        self._goodbye = asyncio.get_running_loop().call_later(
            close_s, manager.give_up, _no_goodbye(close_s)
        )

    def hang_up(self, waited_s: float) -> None:
        """End the conversation now if the goodbye was said, without waiting for the service.

        Repeating it does nothing. It is a good end if the goodbye is sent and no answer is owed
        (see `goodbye_timed_out`). Otherwise the session ends with a `DeadlineError`.

        Args:
            waited_s: How long the service was waited for, in seconds, for messages.
        """
        if self._goodbye is None or self._goodbye.cancelled():
            return
        self._goodbye.cancel()  # its time has come
        self.hung_up = True
        self.goodbye_waited_s = waited_s
        self._open_manager.give_up(_no_goodbye(waited_s))

    def update(
        self,
        *,
        voice: str | None = None,
        system: str | None = None,
        tools: Sequence[ToolSpec] | None = None,
        endpointing: Endpointing | None = None,
    ) -> None:
        """Change the configuration while the conversation goes on.

        The service has no event for this. The conversation moves to a new stream at the next good
        moment, within 15 s, and `Renewed` with the reason `update` reports it.

        Args:
            voice: Id of the new voice; None leaves it.
            system: The new system prompt; None leaves it.
            tools: The new tools; None leaves them.
            endpointing: The new sensitivity of endpointing; None leaves it.

        Raises:
            ConfigError: The service would refuse the new configuration.
            OrderError: The session is not open.
        """
        asked = {"voice": voice, "system": system, "tools": tools, "endpointing": endpointing}
        changes: dict[str, Any] = {
            name: value for name, value in asked.items() if value is not None
        }
        manager = self._open_manager
        self.config = replace(self.config, **changes)
        manager.update(self.config)

    # -- output --------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event. Cancelling it loses no event; only one task may wait for it.

        Raises:
            SonicError: The error that ended the session, unless our goodbye ended it.
            StopAsyncIteration: The last event, `Closed`, was returned before.
        """
        manager = self._open_manager
        while (event := self._events.take()) is None:
            if manager.over.done():
                return self._end_of(manager)
            await self._events.wait()
        return event

    @property
    def on_playback(self) -> Callable[[Audio | Interrupted], object] | None:
        """A function that is called with sound and interruptions, which are not iterated over then.

        It is called while the iteration waits and no other event is before them, within the call
        that has received them. It must return at once; the iteration raises what it raises.
        """
        return self._events.on_playback

    @on_playback.setter
    def on_playback(self, take: Callable[[Audio | Interrupted], object] | None) -> None:
        self._events.on_playback = take

    def heard(self, turn: int, heard_ms: int) -> Heard:
        """Cut the transcript of an interrupted turn where its playback stopped.

        Args:
            turn: Number of the turn.
            heard_ms: How much of its sound was played, in milliseconds.

        Returns:
            The event that reports what was heard of the answer.
        """
        self.transcript.hear(turn, heard_ms)
        return Heard(
            turn, heard_ms, self.transcript.heard(turn), planned=self.transcript.planned(turn)
        )

    def stop_playback(self, played_ms: Callable[[int], int]) -> list[Heard]:
        """Cut each answer that was not heard to its end, because nothing more of it will sound.

        The owner of the sink calls this when playback ends before the answers do. Texts that the
        service sends afterwards are not added to the transcript. Repeating it changes nothing.

        Args:
            played_ms: Returns how many milliseconds of a turn have sounded.

        Returns:
            What was heard of each answer that was cut.
        """
        return [
            Heard(turn, ms, self.transcript.heard(turn), self.transcript.planned(turn))
            for turn, ms in self.transcript.stop_playback(played_ms).items()
        ]

    def snapshot(self, *, audio: bool = False) -> SessionSnapshot:
        """Return the conversation as a value, from which another session can continue.

        It may be called at any time, also after the end. It contains what was said, and no secrets.

        Args:
            audio: Whether it has the user's audio that was not answered, at most 30 s.

        Raises:
            OrderError: The session was not entered.
        """
        return self._open_manager.snapshot(audio=audio)

    @property
    def resumed_calls(self) -> tuple[ToolCall, ...]:
        """Tool calls of the snapshot that this session continues whose result is still owed.

        No event reports them. `converse` answers them with an error, because it cannot know what
        became of them; an application that knows better answers them first.
        """
        calls = () if self._resume is None else self._resume.calls
        owed = self._open_manager.input.lost_calls
        return tuple(call for call in calls if call.tool_use in owed)

    @property
    def settled(self) -> bool:
        """True if a stream is open, nobody speaks, no tool runs, and no answer is owed."""
        return self._open_manager.is_settled(self.now())

    @property
    def nobody_speaks(self) -> bool:
        """True if a stream is open, neither side speaks, and no answer is about to begin.

        Unlike `settled` it may be true while a tool runs. What was received counts as heard once it
        has had the time to play; a sink that plays later must be asked, too.
        """
        manager = self._open_manager
        return manager.nobody_speaks(self.now()) and manager.input.ring.quiet_s() >= SPEECH_PAUSE_S

    @property
    def lost_calls(self) -> Collection[str]:
        """Ids of the tool calls of earlier streams whose result is owed, and is sent as a text."""
        return self._open_manager.input.lost_calls.keys()

    @property
    def owes_answer(self) -> bool:
        """True if an owed answer has not come to its end, or a tool result is owed."""
        return self._open_manager.owes_answer

    @property
    def finished(self) -> bool:
        """True once the goodbye was said."""
        return self._manager is not None and self._manager.input.finished

    @property
    def goodbye_timed_out(self) -> bool:
        """True if the service did not end the stream in time after our goodbye.

        It is set only when the service owed no answer. This is not an error: nothing is missing.
        """
        return self._open_manager.goodbye_timed_out

    @property
    def audio_began_s(self) -> float:
        """Time at which the audio sent began, in seconds of the session's clock.

        Offsets of events count from it.
        """
        began_s = self._manager.input.audio_began_s if self._manager is not None else None
        return self.now() if began_s is None else began_s

    # ------------------------------------------------------------------------------------------

    @property
    def _open_manager(self) -> StreamManager:
        if self._manager is None:
            raise OrderError("The session is not open.", hint="Enter it with `async with`.")
        return self._manager

    def _push(self, events: Sequence[Event]) -> bool:
        """Queue `events`, and return whether the queue has room for more."""
        for event in events:
            if isinstance(event, Usage):
                self.tokens = event.total
            elif self._idle is not None and isinstance(event, UserSpeechStarted | UserText):
                self._idle.user_spoke()
        return self._events.push(events)

    def _end_of(self, manager: StreamManager) -> Closed:
        """Return `Closed` once after the last event, or raise the error that ended the session."""
        already_raised = self._outcome_raised
        self._raise_outcome(manager)
        if already_raised:
            raise StopAsyncIteration
        return Closed()

    def _raise_outcome(self, manager: StreamManager) -> None:
        self._outcome_raised = True
        manager.over.result()


def _nothing() -> None:
    """Do nothing."""


def _no_goodbye(waited_s: float) -> SonicError:
    return DeadlineError(
        f"The service did not end the stream within {waited_s:g} s of our goodbye.",
        waited_s=waited_s,
        hint="The last answer may be missing: check the connection, and ask again.",
    )
