"""One stream of the service, with its writer and its reader.

    send_audio ──► UplinkWriter, with its task ──► SonicProtocol.audio ──► Stream.offer or send
    Stream.receive ──► reader task ──► SonicProtocol.receive ──► deliver(events)

Only the reader receives, and it is not cancelled while the stream can still end by itself. When it
ends, the stream is over: the writer is woken with the reason, and no caller waits any longer.

A goodbye is complete when `sessionEnd` is on the wire and no answer is owed. From then on a lost
connection counts as a good end, and so does a service that does not end the stream, because nothing
is missing.

Service streams are numbered and thrown away, never reset. Nothing of stream n touches stream n+1.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from .errors import ConnectionLost, ErrorKind, ServiceError, SonicError
from .events import Event, Ignored, NetworkSlow, ToolCall, Usage, UserText
from .history import Message
from .protocol import SonicProtocol
from .transport import Stream
from .turn_progress import AudioStart, TurnProgress
from .uplink_writer import UplinkWriter

SHUTDOWN_GRACE_S = 1.0
"""Time that a task of the stream gets to end by itself once the stream is over, in seconds."""

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
    """One stream of the service: its protocol and its two tasks.

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
        self.reacted = False
        """True once the service has sent more than counts of tokens, which it also sends for the
        prompt alone, and for input that it does not answer."""
        self.progressed = asyncio.Event()
        """Set at the end, and after each payload of the service once the stream is retired."""
        self.opened_at = (asyncio.get_running_loop().time(), clock())
        """Time at which it was opened, by the clock of the loop and that of the conversation, in
        monotonic seconds."""
        self.goodbye_timed_out = False
        """True if the service did not end the stream in time after a complete goodbye."""
        self._protocol = protocol
        self._wire_stream = stream
        self._deliver = deliver
        self._wait_for_event_room = wait_for_room
        self._events_full = False
        self._retired = False
        self._clock = clock
        self._uplink = UplinkWriter(
            stream,
            protocol,
            self.over,
            clock=clock,
            send_deadline_s=send_deadline_s,
            on_deadline=self.end,
            on_slow=on_slow,
            on_silence=on_silence,
        )
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
        self._uplink.queue_urgent(self._protocol.begin())

    def start_audio(self, history: Iterable[Message], start: AudioStart) -> None:
        """Queue the history and the start of the audio.

        Args:
            history: Earlier messages, normalised.
            start: Where the audio begins, and the turn with which the conversation goes on.
        """
        self._protocol.turns.carry_on(start)
        # In the urgent queue, because texts that follow at once must not overtake it.
        self._uplink.queue_urgent(self._protocol.go_live(history))

    def go_live(self, replay: bytes) -> None:
        """Queue audio that was said before, and send silence from now on when none comes.

        Args:
            replay: s16le mono PCM in the session's input format; may be empty.
        """
        for begin in range(0, len(replay), MAX_AUDIO_CHUNK_BYTES):
            chunk = replay[begin : begin + MAX_AUDIO_CHUNK_BYTES]
            self._uplink.queue([self._protocol.audio(chunk)])
        self._uplink.go_live()

    async def wait_for_room(self) -> None:
        """Wait until the outbox has room for audio, or the stream is over."""
        await self._uplink.wait_for_room()

    def send_audio(self, pcm: bytes) -> bytes:
        """Queue one chunk of audio. Never waits; see `wait_for_room`.

        Silence that was already sent in its place is not sent again.

        Args:
            pcm: s16le mono PCM in the session's input format.

        Returns:
            The part of the chunk that was queued.

        Raises:
            AudioError: `pcm` is not a whole number of samples.
            OrderError: The goodbye was said.
        """
        return self._uplink.send_audio(pcm)

    def offer_audio(self, pcm: bytes) -> bytes | None:
        """Queue one chunk of audio, as `send_audio`, if its source need not wait.

        Args:
            pcm: s16le mono PCM in the session's input format.

        Returns:
            The part of the chunk that was queued. None if nothing was done, because the stream is
            over, the outbox has no room, or the source is `rushed`.

        Raises:
            AudioError: `pcm` is not a whole number of samples.
            OrderError: The goodbye was said.
        """
        uplink = self._uplink
        if self.over.done() or not uplink.has_room or uplink.rushed:
            return None
        return uplink.send_audio(pcm)

    def prompt(self, text: str) -> None:
        """Queue a text that the service answers and that is no turn of the user. Never waits.

        Args:
            text: The text.
        """
        self._uplink.queue_urgent(self._protocol.prompt(text))

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
        self._uplink.queue_urgent(payloads)
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
        self._uplink.queue_urgent(payloads)
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
        self._uplink.queue_urgent(self._protocol.result_sentence(tool_use, sentence))

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
        self._uplink.queue_urgent(payloads)
        return call

    def finish(self) -> None:
        """Queue the goodbye. Never waits."""
        self._uplink.queue(self._protocol.finish())

    # -- state ---------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """True once the goodbye was queued."""
        return self._protocol.finished

    @property
    def has_room(self) -> bool:
        """True if the outbox has room for audio."""
        return self._uplink.has_room

    @property
    def rushed(self) -> bool:
        """True if audio was sent faster than any microphone delivers it: its source must let the
        loop run, because sending does not wait."""
        return self._uplink.rushed

    @property
    def surplus_s(self) -> float:
        """Time by which the service's clock is ahead of real time, in seconds: silence that was
        sent in addition to audio which came late."""
        return self._uplink.surplus_s

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
        self._retired = True
        self._protocol.turns.retire(finishing=finishing)
        self._uplink.retire()

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
        return self._uplink.goodbye_sent and not self._protocol.owes_answer

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
                if not self._take_payload(payload):  # the stream is over
                    return
            self._end(None if self._protocol.finished else _ended_without_goodbye())
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(None if self._is_harmless(error) else error)

    def _take_payload(self, payload: bytes) -> bool:
        """Act on a payload, unless the events of others wait, or the stream is over.

        What a stream sends after its end changes nothing. A payload that has just arrived is
        given to this without waking the reader, which saves a step of the event loop.
        """
        if self._events_full or self.over.done():
            return False
        try:
            events = self._protocol.receive(payload, self._clock())
            self.reacted = self.reacted or any(
                not isinstance(event, Usage | Ignored) for event in events
            )
            self._events_full = not self._deliver(events)
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(error)
        if self._retired:
            self.progressed.set()
        return True

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
        self._uplink.wake()
        self.progressed.set()

    # -- the writer ----------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            await self._uplink.run()
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


def _ended_without_goodbye() -> ConnectionLost:
    return ConnectionLost(
        "The service ended the stream without a goodbye.",
        reason="ended",
        hint="Open a new session to go on.",
    )


def _mark_retrieved(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
