"""One stream of the service, with its writer, its reader and its outbox.

    send_audio ──► [outbox] ──► writer task ──► Stream.send
    Stream.receive ──► reader task ──► SonicProtocol.receive ──► deliver(events)

The writer owns sending, so that cancelling the caller of `send_audio` does not break the chain of
signatures. Tool results and typed text overtake queued audio, because the model otherwise goes on
without them (reference 8.4). When no audio comes, the writer sends the silence that is due
(`uplink_silence`), because the service measures time only in samples (reference 4).

Only the reader receives, and it is not cancelled while the stream can still end by itself. When it
ends, the stream is over: the writer is woken with the reason, and no caller waits any longer.

A goodbye is complete when `sessionEnd` is on the wire and no answer is owed. From then on a lost
connection counts as a good end, and so does a service that does not end the stream, because nothing
is missing.

Service streams are numbered and thrown away, never reset. Nothing of stream n touches stream n+1.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .errors import (
    ConnectionLost,
    DeadlineError,
    ErrorKind,
    ServiceError,
    SonicError,
)
from .events import Event, Ignored, NetworkSlow, ToolCall, Usage, UserText
from .history import Message
from .order import InputState
from .protocol import SonicProtocol
from .transport import Stream
from .turn_progress import AudioStart, TurnProgress
from .uplink_lag import UplinkLag
from .uplink_silence import UplinkSilence
from .virtual_clock import VirtualClock

OUTBOX_CHUNKS = 16
"""Maximum number of audio payloads that wait for the wire: half a second of the usual 32 ms chunks.
When it is reached, `send_audio` waits. The network is then slower than the user speaks, and the
audio source decides what to drop."""

SILENCE_TIMER_MARGIN_S = 0.125
"""Time before the silence timer fires at which a chunk of audio moves it, in seconds. Moving it
with each chunk would cost more, and a timer that fires in vain would wake the process."""

RUSH_S = 0.001
"""Distance of two chunks, in seconds, below which their source is faster than any microphone."""

CLOCK_RESOLUTION_S = 1e-6
"""Time by which a timer may fire early, in seconds."""

SHUTDOWN_GRACE_S = 1.0
"""Time that a task of the stream gets to end by itself once the stream is over, in seconds."""


@dataclass(frozen=True, slots=True)
class _Queued:
    """A payload in the outbox."""

    payload: bytes
    at_s: float
    """Time at which it was queued, in seconds of the loop's clock."""
    speech_s: float
    """Length of the speech in it, in seconds; 0 for everything but audio."""


MAX_AUDIO_CHUNK_BYTES = 32_000
"""Maximum size of one audio payload, in bytes of PCM: one second at 16 kHz. Larger pieces are cut.
The size is well below the service's limit of 1,000,000 bytes a chunk (reference 0.4), so that a
tool result never waits behind a long chunk."""


class Deliver(Protocol):
    """The owner of a stream's events."""

    def __call__(self, events: Sequence[Event]) -> bool:
        """Take the events of one payload, without waiting.

        Args:
            events: The events, in order.

        Returns:
            Whether there is room for more.
        """
        ...


type WaitForRoom = Callable[[], Awaitable[None]]
"""A function that waits until there is room for events."""


class ServiceStream:
    """One stream of the service: its protocol, its two tasks and its outbox.

    Creating it starts both tasks. It must be closed with `aclose`.
    """

    def __init__(
        self,
        number: int,
        stream: Stream,
        protocol: SonicProtocol,
        deliver: Deliver,
        wait_for_room: WaitForRoom,
        *,
        clock: Callable[[], float],
        send_deadline_s: float,
        on_slow: Callable[[NetworkSlow], object],
        on_silence: Callable[[bytes], object],
    ) -> None:
        """Start the reader and the writer.

        Args:
            number: Number of the stream within its session, from 1.
            stream: The stream of the transport. It is closed with this one.
            protocol: A new protocol. It belongs to this stream.
            deliver: Called with the events of each payload, in order.
            wait_for_room: Awaited after `deliver` has had no more room.
            clock: Returns monotonic seconds on the time line of the conversation. While a
                `VirtualClock` stands still, no silence is due.
            send_deadline_s: How long one payload may take onto the wire, in seconds.
            on_slow: Called when the network takes speech more slowly than it is spoken.
            on_silence: Called with the silence that is sent because no audio came, as PCM.
        """
        self.number = number
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the stream has ended: well, or with the `SonicError` that ended it."""
        self.retired = False
        """True once another stream has taken the conversation over."""
        self.reacted = False
        """True once the service has sent more than counts of tokens, which it also sends for the
        prompt alone, and for input that it does not answer."""
        self.progressed = asyncio.Event()
        """Set after each payload of the service, and at the end."""
        self.opened_at = (asyncio.get_running_loop().time(), clock())
        """Time at which it was opened, by the clock of the loop and that of the conversation, in
        monotonic seconds."""
        self.goodbye_timed_out = False
        """True if the service did not end the stream in time after a complete goodbye."""
        self._protocol = protocol
        self._goodbye_sent = False
        self._wire_stream = stream
        self._deliver = deliver
        self._wait_for_event_room = wait_for_room
        self._events_full = False
        self._clock = clock
        self._send_deadline_s = send_deadline_s
        self._on_slow = on_slow
        self._on_silence = on_silence
        self._live = False
        self._lag = UplinkLag()
        self._urgent: deque[bytes] = deque()
        self._audio: deque[_Queued] = deque()
        self._sending: _Queued | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._send_timeout: asyncio.Timeout | None = None
        self._silence = UplinkSilence(protocol.input_format, self.opened_at[0])
        self._silence_timer: asyncio.TimerHandle | None = None  # while the writer waits for audio
        self._offered_at_s = -RUSH_S
        self.rushed = False
        """True if the last two chunks were sent within `RUSH_S`, as those of a file are. Their
        source must let the loop run, because sending does not wait."""
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for future in (self.over, self._accepted):  # an error that no caller awaits is no warning
            future.add_done_callback(_mark_retrieved)
        # The reader first: an error answer may come before the first event is written.
        self._reader = asyncio.create_task(self._read(), name=f"sonic stream {number} reader")
        self._writer = asyncio.create_task(self._write(), name=f"sonic stream {number} writer")

    async def accepted(self) -> None:
        """Wait until the service took the stream. Cancelling it loses nothing.

        Raises:
            SonicError: What the service or the network refused the stream with.
        """
        await asyncio.shield(self._accepted)

    # -- input ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Queue the session, the prompt and the system prompt. The stream is then prepared."""
        self._queue_urgent(self._protocol.begin())

    def start_audio(self, history: Iterable[Message], start: AudioStart) -> None:
        """Queue the history and the start of the audio.

        Args:
            history: Earlier messages, normalised.
            start: Where the audio begins, and the turn with which the conversation goes on.
        """
        self._protocol.turns.carry_on(start)
        # In the urgent queue, because texts that follow at once must not overtake it.
        self._queue_urgent(self._protocol.go_live(history))

    def go_live(self, replay: bytes) -> None:
        """Queue audio that was said before, and send silence from now on when none comes.

        Args:
            replay: s16le mono PCM in the session's input format; may be empty.
        """
        for begin in range(0, len(replay), MAX_AUDIO_CHUNK_BYTES):
            self._queue([self._protocol.audio(replay[begin : begin + MAX_AUDIO_CHUNK_BYTES])])
        self._live = True
        loop = asyncio.get_running_loop()
        self._silence = UplinkSilence(self._protocol.input_format, loop.time())
        self._filled.set()

    async def wait_for_room(self) -> None:
        """Wait until the outbox has room for audio, or the stream is over."""
        await self._room.wait()

    def send_audio(self, pcm: bytes, speech_s: float) -> bytes:
        """Queue one chunk of audio. Never waits; see `wait_for_room`.

        Silence that was already sent in its place is not sent again.

        Args:
            pcm: s16le mono PCM in the session's input format.
            speech_s: Length of the chunk, in seconds; how late it is sent is measured.

        Returns:
            The part of the chunk that was queued.

        Raises:
            AudioError: `pcm` is not a whole number of samples.
            OrderError: The goodbye was said.
        """
        admitted = self._silence.admit(pcm, asyncio.get_running_loop().time())
        if admitted:
            payload = self._protocol.audio(admitted)
            if not self._offer(payload):
                self._queue([payload], speech_s=speech_s)
        return admitted

    def _offer(self, payload: bytes) -> bool:
        """Send a payload at once if nothing waits before it, and return whether it was sent.

        The writer is not woken for it. This saves most of the cost of a chunk.
        """
        waiting = self._urgent or self._audio or self._send_timeout is not None
        if waiting or self.over.done() or not self._wire_stream.offer(payload):
            return False
        self._lag.nothing_waits()
        now = asyncio.get_running_loop().time()
        self.rushed = now - self._offered_at_s < RUSH_S
        self._offered_at_s = now
        timer = self._silence_timer
        if timer is not None and timer.when() - now < SILENCE_TIMER_MARGIN_S:
            self._set_silence_timer()
        return True

    def _set_silence_timer(self) -> None:
        if self._silence_timer is not None:
            self._silence_timer.cancel()
        loop = asyncio.get_running_loop()
        self._silence_timer = loop.call_at(self._silence.due_s, self._filled.set)

    def prompt(self, text: str) -> None:
        """Queue a text that the service answers and that is no turn of the user. Never waits.

        Args:
            text: The text.
        """
        self._queue_urgent(self._protocol.prompt(text))

    def expect_recording(self, user_spoke: Callable[[], bool]) -> None:
        """Expect that the service transcribes and answers a recording that the user has not said.

        Args:
            user_spoke: Returns whether the user has said something, too.
        """
        self._protocol.turns.recording_sent(user_spoke)

    def send_text(self, text: str) -> UserText:
        """Queue a typed turn of the user ahead of the audio. Never waits.

        Args:
            text: The words of the turn.

        Returns:
            The event that reports the turn.

        Raises:
            OrderError: The model takes no text, `text` is blank, or the goodbye was said.
            SonicError: The error that ended the stream.
        """
        payloads, event = self._protocol.text(text)
        self._queue_urgent(payloads)
        return event

    def send_tool_result(
        self, tool_use: str, result_json: str, *, is_spoken: bool = True
    ) -> ToolCall:
        """Queue the result of a tool call ahead of the audio. Never waits.

        Args:
            tool_use: The id of the call.
            result_json: A JSON object as a string.
            is_spoken: Whether the model is to speak about the result.

        Returns:
            The call that was answered.

        Raises:
            OrderError: No such call waits for a result, or `result_json` is not a JSON object.
            SonicError: The error that ended the stream.
        """
        payloads, call = self._protocol.tool_result(tool_use, result_json, is_spoken=is_spoken)
        self._queue_urgent(payloads)
        return call

    def send_result_sentence(self, tool_use: str, sentence: str) -> None:
        """Queue a sentence of the result of an `ExpertTool` call ahead of the audio. Never waits.

        Args:
            tool_use: The id of the call.
            sentence: The sentence, which the service speaks.

        Raises:
            OrderError: No such call waits for a result, `sentence` is blank, or the goodbye was
                said.
        """
        self._queue_urgent(self._protocol.result_sentence(tool_use, sentence))

    def end_result(self, tool_use: str) -> ToolCall:
        """Queue the end of a result in sentences; nothing is sent if it has none. Never waits.

        Args:
            tool_use: The id of the call.

        Returns:
            The call.

        Raises:
            OrderError: No such call waits for a result, or the goodbye was said.
        """
        payloads, call = self._protocol.end_result(tool_use)
        self._queue_urgent(payloads)
        return call

    def finish(self) -> None:
        """Queue the goodbye. Never waits."""
        self._queue(self._protocol.finish())

    def _queue(self, payloads: Sequence[bytes], *, speech_s: float = 0.0) -> None:
        now = asyncio.get_running_loop().time()
        self._audio.extend(_Queued(payload, now, speech_s) for payload in payloads)
        if len(self._audio) >= OUTBOX_CHUNKS:
            self._room.clear()
        self._filled.set()

    def _queue_urgent(self, payloads: Sequence[bytes]) -> None:
        self._urgent.extend(payloads)
        self._filled.set()

    # -- state ---------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """True once the goodbye was queued."""
        return self._protocol.finished

    @property
    def has_room(self) -> bool:
        """True if the outbox has room for audio."""
        return self._room.is_set()

    @property
    def surplus_s(self) -> float:
        """Time by which the service's clock is ahead of real time, in seconds: silence that was
        sent in addition to audio which came late."""
        return self._silence.surplus_s

    @property
    def credentials_expire_at(self) -> datetime | None:
        """Time at which the credentials of the stream expire; None if they do not."""
        return self._wire_stream.credentials_expire_at

    @property
    def owes_answer(self) -> bool:
        """True if an owed answer has not come to its end, or a tool result is owed."""
        return self._protocol.owes_answer

    def is_settled(self, now: float) -> bool:
        """Return whether nobody speaks, no tool runs, and no answer is owed.

        Args:
            now: Monotonic seconds on the time line of the conversation.
        """
        return self._protocol.is_settled(now)

    def nobody_speaks(self, now: float) -> bool:
        """Return whether neither side speaks, also while a tool runs.

        Args:
            now: Monotonic seconds on the time line of the conversation.
        """
        return self._protocol.nobody_speaks(now)

    def retire(self, *, finishing: bool) -> None:
        """Take no more part in the conversation, except for an answer that has begun.

        The service receives silence until the goodbye.

        Args:
            finishing: Whether the answer to the newest turn may come to its end.
        """
        self.retired = True
        self._protocol.turns.retire(finishing=finishing)
        self._room.set()  # a sender that waits for it goes on with the live stream

    @property
    def progress(self) -> TurnProgress:
        """The progress of the newest turn."""
        return self._protocol.progress

    def has_call(self, tool_use: str) -> bool:
        """Return whether a tool call of this stream waits for its result.

        Args:
            tool_use: The id of the call.
        """
        return any(call.tool_use == tool_use for call in self._protocol.turns.open_calls)

    # -- end -----------------------------------------------------------------------------------

    def end(self, error: SonicError) -> None:
        """End the stream with an error, unless it is over. Wakes every waiting caller and task.

        Args:
            error: The error that waiting calls then raise.
        """
        self._end(error)
        self._wire_stream.abort(error)

    def give_up(self, error: SonicError) -> None:
        """End the stream because the service did not end it in time after our goodbye.

        Args:
            error: The error that ends it if the goodbye is not complete.
        """
        if not self._goodbye_complete:
            self.end(error)
        elif not self.over.done():
            self.goodbye_timed_out = True
            self._end(None)
            self._wire_stream.abort(error)

    @property
    def _goodbye_complete(self) -> bool:
        return self._goodbye_sent and not self._protocol.owes_answer

    async def aclose(self) -> None:
        """Release the stream and both tasks.

        The end is a goodbye only if the goodbye was said and answered before. It takes at most
        `SHUTDOWN_GRACE_S` plus the closing of the transport's stream, and it is completed even
        when it is cancelled.
        """
        closing = asyncio.create_task(self._close(), name=f"sonic stream {self.number} closing")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    async def _close(self) -> None:
        self.end(ConnectionLost("The session was closed.", reason="ended"))
        await asyncio.wait([self._reader, self._writer], timeout=SHUTDOWN_GRACE_S)
        for task in (self._reader, self._writer):
            task.cancel()
        await asyncio.gather(self._reader, self._writer, return_exceptions=True)
        await self._wire_stream.aclose()

    # -- the reader ----------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            await self._wire_stream.accepted()
            self._accepted.set_result(None)
            while (payload := await self._wire_stream.receive(self._take_payload)) is not None:
                if self._events_full:
                    await self._wait_for_event_room()
                    self._events_full = False
                if self.over.done():  # what a stream sends after its end changes nothing
                    return
                self._receive(payload)
            self._end(None if self._protocol.finished else _ended_without_goodbye())
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(None if self._is_harmless(error) else error)

    def _take_payload(self, payload: bytes) -> bool:
        """Act on a payload that has just arrived, unless the events of others wait.

        The reader is not woken for it. This saves a step of the event loop for each payload.
        """
        if self._events_full or self.over.done():
            return False
        try:
            self._receive(payload)
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(error)
        return True

    def _receive(self, payload: bytes) -> None:
        events = self._protocol.receive(payload, self._clock())
        self.reacted = self.reacted or any(
            not isinstance(event, Usage | Ignored) for event in events
        )
        self._events_full = not self._deliver(events)
        self.progressed.set()

    def _is_harmless(self, error: Exception) -> bool:
        """Return whether nothing is missing although `error` ended the stream."""
        if isinstance(error, ServiceError):
            return self._protocol.finished and error.kind is ErrorKind.ENDED
        return self._goodbye_complete and isinstance(error, ConnectionLost)

    def _end(self, error: Exception | None) -> None:
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
        if not self._accepted.done():
            self._accepted.set_exception(error or _ended_without_goodbye())
        # Wake the writer and the callers of `send_audio`, and end a send in progress.
        self._filled.set()
        self._room.set()
        self.progressed.set()
        if self._send_timeout is not None and not self._send_timeout.expired():
            self._send_timeout.reschedule(asyncio.get_running_loop().time())

    # -- the writer ----------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while (payload := await self._next()) is not None:
                if not self._wire_stream.offer(payload):
                    await self._with_deadline(self._wire_stream.send(payload))
                self._measure()
                if self._urgent or self._audio:
                    # A send rarely suspends. Seconds of replayed audio must not keep the event loop
                    # from learning that the connection is lost, or from playing.
                    await asyncio.sleep(0)
            if not self.over.done():
                self._goodbye_sent = True
                await self._with_deadline(self._wire_stream.end_input())
        except SonicError as error:
            # The service's last message says more than the write that failed because of it.
            await asyncio.wait([self._reader], timeout=SHUTDOWN_GRACE_S)
            if self._is_harmless(error):
                self._end(None)
                self._wire_stream.abort(error)
            else:
                self.end(error)
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(error)

    def _measure(self) -> None:
        """Report the network as slow if the speech just sent was late for too long."""
        sent, self._sending = self._sending, None
        if sent is not None and sent.speech_s and not self.over.done():
            now = asyncio.get_running_loop().time()
            if slow := self._lag.sent(sent.at_s, sent.speech_s, now):
                self._on_slow(slow)

    async def _with_deadline(self, sending: Awaitable[None]) -> None:
        """Await `sending`, but no longer than the deadline, and no longer than the stream lasts."""
        try:
            async with asyncio.timeout(self._send_deadline_s) as self._send_timeout:
                await sending
        except TimeoutError:
            if not self.over.done():
                self.end(_send_timed_out(self._send_deadline_s))
        finally:
            self._send_timeout = None

    async def _next(self) -> bytes | None:
        """Return the next payload, or None when everything is sent.

        The payload is silence if none was queued until silence was due.
        """
        while not self.over.done():
            if self._urgent or self._audio:
                return self._take()
            if self._protocol.finished:
                return None
            self._filled.clear()
            if not self._live or self._protocol.state is not InputState.LIVE:
                await self._filled.wait()
            elif isinstance(self._clock, VirtualClock) and not self.retired:
                await self._filled.wait()  # no time passes for which silence would be due
            elif await self._silence_is_due():
                silence_s = self._silence.fill(asyncio.get_running_loop().time())
                silence = bytes(self._protocol.input_format.size(silence_s))
                payload = self._protocol.audio(silence)  # `_on_silence` may say goodbye
                if not self.retired:
                    self._on_silence(silence)
                return payload
        return None

    async def _silence_is_due(self) -> bool:
        """Wait until a payload is queued or silence is due, and return whether it is silence."""
        self._set_silence_timer()
        try:
            await self._filled.wait()
            if self._urgent or self._audio or self._protocol.finished or self.over.done():
                return False
            due_s = self._silence.due_s
            # After a stall of the loop, the source is as late as the timer was. It may go first.
            self._filled.clear()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            # Audio that was offered meanwhile, or while the timer fired, has moved the time.
            in_time = due_s - asyncio.get_running_loop().time() < CLOCK_RESOLUTION_S
            return in_time and not self._filled.is_set() and self._silence.due_s == due_s
        finally:
            if self._silence_timer is not None:
                self._silence_timer.cancel()
                self._silence_timer = None

    def _take(self) -> bytes:
        if self._urgent:
            return self._urgent.popleft()
        self._sending = self._audio.popleft()
        if len(self._audio) < OUTBOX_CHUNKS:
            self._room.set()
        return self._sending.payload


def _ended_without_goodbye() -> ConnectionLost:
    return ConnectionLost(
        "The service ended the stream without a goodbye.",
        reason="ended",
        hint="Open a new session to go on.",
    )


def _send_timed_out(waited_s: float) -> DeadlineError:
    return DeadlineError(
        f"The network took nothing for {waited_s:g} s.",
        waited_s=waited_s,
        hint="Check the connection; open a new session to go on.",
    )


def _mark_retrieved(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
