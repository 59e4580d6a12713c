"""Session: a spoken conversation with the model, as its owner sees it.

    async with Session.open(config, transport) as session:
        await session.send_audio(pcm)          # from one task, all the time
        async for event in session: ...        # in another

A session is a thin asyncio shell. `protocol` decides what may be sent when, `turns` decides what
events mean, and `ServiceStream` owns the stream with its two tasks. This module adds the deadlines,
the event queue and the goodbye.

The event queue stands between the reader of the stream and the owner. It holds `EVENTS_WAITING`
events. When it is full, the reader waits, and HTTP/2 flow control makes the service wait too. No
event is lost when the owner reads slowly.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from .config import SessionConfig
from .errors import DeadlineError, OrderError, SonicError
from .events import Closed, Event, Heard, StreamExpiring, ToolAnswered, Usage
from .protocol import SonicProtocol
from .service_stream import ServiceStream
from .transcript import Transcript
from .transport import Transport
from .wire import Tokens

EVENTS_WAITING = 1024
"""Maximum number of events in the event queue: 20 s of sound, at 20 ms an event."""

MAX_AUDIO_CHUNK_BYTES = 32_000
"""Maximum size of one audio payload, in bytes of PCM: one second at 16 kHz. Larger pieces are cut.
The size is well below the service's limit of 1,000,000 bytes a chunk (reference 0.4), so that a
tool result never waits behind a long chunk."""


EXPIRY_NOTICE_AT = 7 / 8
"""Share of a stream's life after which its end is announced: 7 of 8 minutes."""


class Session:
    """One conversation. Build it with `open`, enter it once, send audio, read events."""

    @classmethod
    def open(
        cls,
        config: SessionConfig,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.monotonic,
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
                run at any speed.
        """
        return cls(config, transport, clock)

    def __init__(
        self, config: SessionConfig, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self.config = config
        self.transcript = Transcript()
        self.tokens = Tokens()
        """Tokens used so far, as the service last reported them."""
        self.now = clock
        self._transport = transport
        self._stream: ServiceStream | None = None
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._goodbye: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        if self._stream is not None:
            raise OrderError("A session is entered once.", hint="Open another one.")
        deadline_s = self.config.deadlines.open_s
        loop = asyncio.get_running_loop()
        # The life of a stream is measured in wall-clock time, whatever the conversation's clock is.
        opened_s = loop.time()
        try:
            async with asyncio.timeout(deadline_s):
                self._stream = await self._open_stream(1)
                await self._stream.accepted()
        except BaseException as error:
            if self._stream is not None:
                await self._stream.aclose()
            if isinstance(error, TimeoutError):
                raise _no_answer(deadline_s) from error
            raise
        expiring_s = opened_s + EXPIRY_NOTICE_AT * self.config.stream_life_s
        self._expiry = loop.call_at(expiring_s, self._announce_expiry)
        return self

    def _announce_expiry(self) -> None:
        if not self._live_stream.finished:
            life_s = self.config.stream_life_s
            self._push([StreamExpiring((1 - EXPIRY_NOTICE_AT) * life_s, life_s)])

    async def _open_stream(self, number: int) -> ServiceStream:
        stream = ServiceStream(
            number,
            await self._transport.open(self.config.model),
            SonicProtocol(self.config, self.transcript),
            self._deliver,
            clock=self.now,
            send_deadline_s=self.config.deadlines.send_s,
            on_slow=lambda slow: self._push([slow]),
        )
        stream.over.add_done_callback(lambda _: self._arrived.set())
        stream.start(self.config.history)
        return stream

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stream = self._live_stream
        # The owner reads no more events, so the reader must not wait for room in the queue.
        self._closed = True
        self._room.set()
        try:
            if not stream.over.done():
                self.finish()
                await asyncio.wait([stream.over])
            if error is None and not stream.outcome_raised:
                stream.raise_outcome()
        finally:
            for timer in (self._goodbye, self._expiry):
                if timer is not None:
                    timer.cancel()
            await stream.aclose()

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
        stream = self._live_stream
        for start in range(0, len(pcm), MAX_AUDIO_CHUNK_BYTES):
            chunk = pcm[start : start + MAX_AUDIO_CHUNK_BYTES]
            speech_s = self.config.input.seconds(len(chunk))
            await stream.send_audio(chunk, speech_s)

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
        self._push([self._live_stream.send_text(text)])

    def send_tool_result(self, tool_use: str, result_json: str) -> None:
        """Answer a tool call. Each call is answered exactly once.

        Args:
            tool_use: The id of the call, from `ToolCall.tool_use`.
            result_json: A JSON object as a string.

        Raises:
            OrderError: No such call waits for a result, or `result_json` is not a JSON object.
            SonicError: The error that ended the session.
        """
        call = self._live_stream.send_tool_result(tool_use, result_json)
        self._push([ToolAnswered(call.turn, tool_use, call.name, result_json)])

    def finish(self) -> None:
        """Say goodbye: no more input is sent. The service's last events follow, then `Closed`.

        Does nothing if the goodbye was said before. Once the goodbye is sent and every owed answer
        has come, a lost connection counts as a good end. So does a service that does not end the
        stream within `config.deadlines.close_s` (see `goodbye_timed_out`).
        """
        stream = self._live_stream
        if stream.finished:
            return
        stream.finish()
        close_s = self.config.deadlines.close_s
        self._goodbye = asyncio.get_running_loop().call_later(
            close_s, stream.give_up, _no_goodbye(close_s)
        )

    # -- output --------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event. Cancelling it loses no event; only one task may wait for it.

        Raises:
            SonicError: The error that ended the session, unless our goodbye ended it.
            StopAsyncIteration: The last event, `Closed`, was returned before.
        """
        stream = self._live_stream
        while not self._events:
            if stream.over.done():
                return self._end_of(stream)
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        if len(self._events) < EVENTS_WAITING:
            self._room.set()
        return event

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

    @property
    def settled(self) -> bool:
        """True if nobody speaks, no tool runs, and no answer is owed."""
        return self._live_stream.is_settled(self.now())

    @property
    def owes_answer(self) -> bool:
        """True if an owed answer has not come to its end, or a tool result is owed."""
        return self._live_stream.owes_answer

    @property
    def finished(self) -> bool:
        """True once the goodbye was said."""
        return self._stream is not None and self._stream.finished

    @property
    def goodbye_timed_out(self) -> bool:
        """True if the service did not end the stream in time after our goodbye.

        It is set only when the service owed no answer. This is not an error: nothing is missing.
        """
        return self._live_stream.goodbye_timed_out

    @property
    def audio_began_s(self) -> float:
        """Time at which the audio sent began, in seconds of the session's clock.

        Offsets of events count from it.
        """
        began_s = self._stream.audio_began_s if self._stream is not None else None
        return self.now() if began_s is None else began_s

    # ------------------------------------------------------------------------------------------

    @property
    def _live_stream(self) -> ServiceStream:
        if self._stream is None:
            raise OrderError("The session is not open.", hint="Enter it with `async with`.")
        return self._stream

    async def _deliver(self, events: Sequence[Event]) -> None:
        """Queue `events`, then wait until the queue has room again."""
        self._push(events)
        while len(self._events) >= EVENTS_WAITING and not self._closed:
            self._room.clear()
            await self._room.wait()

    def _push(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Usage):
                self.tokens = event.total
        if not self._closed:
            self._events.extend(events)
            self._arrived.set()

    def _end_of(self, stream: ServiceStream) -> Closed:
        """Return `Closed` once after the last event, or raise the error that ended the stream."""
        already_raised = stream.outcome_raised
        stream.raise_outcome()
        if already_raised:
            raise StopAsyncIteration
        return Closed()


def _no_answer(waited_s: float) -> DeadlineError:
    return DeadlineError(
        f"The service did not answer within {waited_s:g} s.",
        waited_s=waited_s,
        hint="Try again: a cold model can need 10 s. Or check region and network.",
    )


def _no_goodbye(waited_s: float) -> SonicError:
    return DeadlineError(
        f"The service did not end the stream within {waited_s:g} s of our goodbye.",
        waited_s=waited_s,
        hint="The last answer may be missing: check the connection, and ask again.",
    )
