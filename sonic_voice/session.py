"""Session: a spoken conversation with the model, as its owner sees it.

    async with Session.open(config, transport) as session:
        await session.send_audio(pcm)          # from one task, all the time
        async for event in session: ...        # in another

A thin asyncio shell: what may be said when is `protocol`'s business, what events mean is `turns`',
the stream with its two tasks is a `ServiceStream`. Here are the deadlines, the event queue and the
goodbye.

The event queue stands between the stream's reader and the owner. It holds `EVENTS_WAITING` events
when it is full the reader waits, and with it, by HTTP/2's flow control, the service. An owner who
does not read events loses none.
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
"""Twenty seconds of the service's sound, at 20 ms an event."""

MAX_AUDIO_CHUNK_BYTES = 32_000
"""One second of 16 kHz audio. Larger pieces are cut, well below the service's 1,000,000 bytes a
chunk (reference 0.4), so that a tool result never waits behind a long one."""


EXPIRY_NOTICE_AT = 7 / 8
"""Share of a stream's life after which its end is announced: 7 of 8 minutes."""


class Session:
    """One conversation. Build it with `open`, enter it once, send audio, read events.

    `clock` gives monotonic seconds on the time line of the conversation: a live one's is
    `time.monotonic`, a recording's is its own position, so that both can run at any speed.
    """

    @classmethod
    def open(
        cls,
        config: SessionConfig,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """A session to be entered with `async with`, which connects and raises as it must.

        Entering raises `CredentialsError`, `NetworkError` or `ServiceError` if the service does
        not take the session within `config.deadlines.open_s`. Leaving says goodbye in the
        documented order and reads to the end of the stream, `config.deadlines.close_s` at most.
        Cancelling either leaves nothing behind.
        """
        return cls(config, transport, clock)

    def __init__(
        self, config: SessionConfig, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self.config = config
        self.transcript = Transcript()
        self.tokens = Tokens()
        self.now = clock
        self._transport = transport
        self._stream: ServiceStream | None = None
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._goodbye: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._audio_began_s: float | None = None

    async def __aenter__(self) -> Self:
        if self._stream is not None:
            raise OrderError("A session is entered once.", hint="Open another one.")
        deadline_s = self.config.deadlines.open_s
        loop = asyncio.get_running_loop()
        opened_s = loop.time()  # wall-clock time, as the stream's life, whatever our own clock is
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
        if not self._live_stream.protocol.finished:
            life_s = self.config.stream_life_s
            self._push([StreamExpiring((1 - EXPIRY_NOTICE_AT) * life_s, life_s)])

    async def _open_stream(self, number: int) -> ServiceStream:
        protocol = SonicProtocol(self.config, self.transcript)
        stream = ServiceStream(
            number,
            await self._transport.open(self.config.model),
            protocol,
            self._deliver,
            clock=self.now,
            send_deadline_s=self.config.deadlines.send_s,
            on_slow=lambda slow: self._push([slow]),
        )
        stream.over.add_done_callback(lambda _: self._arrived.set())
        stream.send(protocol.begin() + protocol.go_live(self.config.history))
        return stream

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stream = self._live_stream
        self._closed = True  # nobody reads on: the reader must not wait for room
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
        """Send the user's audio: s16le mono in `config.input`'s rate, any length.

        Waits while the network is slower than the audio. Cancelling it loses at most the part
        of `pcm` not yet taken, and breaks nothing. Raises `OrderError` after `finish`, and what
        ended the session, if it ended.
        """
        stream = self._live_stream
        for start in range(0, len(pcm), MAX_AUDIO_CHUNK_BYTES):
            chunk = pcm[start : start + MAX_AUDIO_CHUNK_BYTES]
            await stream.wait_for_room()
            speech_s = self.config.input.seconds(len(chunk))
            stream.send([stream.protocol.audio(chunk)], speech_s=speech_s)
            if self._audio_began_s is None:
                self._audio_began_s = self.now() - speech_s

    def send_text(self, text: str) -> None:
        """Type a turn of the user's; the model answers by voice. Nova 2 Sonic and later.

        While the model speaks, this interrupts it (reference 2.10).
        """
        stream = self._live_stream
        stream.raise_if_over()
        payloads, event = stream.protocol.text(text)
        stream.send_urgent(payloads)
        self._push([event])

    def send_tool_result(self, tool_use: str, result_json: str) -> None:
        """Answer the tool call `tool_use`, once, with a JSON object as a string."""
        stream = self._live_stream
        stream.raise_if_over()
        payloads, call = stream.protocol.tool_result(tool_use, result_json)
        stream.send_urgent(payloads)
        self._push([ToolAnswered(call.turn, tool_use, call.name, result_json)])

    def finish(self) -> None:
        """Say goodbye: no more input; the service's last events follow, then `Closed`.

        Does nothing if it was said before. Once the goodbye is sent and every owed answer has come,
        a lost connection is a good end; and so is, after `config.deadlines.close_s`, a service that
        does not end the stream (see `goodbye_timed_out`).
        """
        stream = self._live_stream
        if stream.protocol.finished:
            return
        stream.send(stream.protocol.finish())
        self._goodbye = asyncio.get_running_loop().call_later(
            self.config.deadlines.close_s,
            stream.give_up,
            _no_goodbye(self.config.deadlines.close_s),
        )

    # -- output --------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event; one task at a time. Cancelling it loses nothing.

        Raises what ended the session, unless it was our goodbye.
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
        """Tell what was heard of an interrupted turn; the transcript is cut there."""
        self.transcript.hear(turn, heard_ms)
        return Heard(
            turn, heard_ms, self.transcript.heard(turn), planned=self.transcript.planned(turn)
        )

    def stop_playback(self, played_ms: Callable[[int], int]) -> list[Heard]:
        """Cut each answer that was not heard to its end: nothing more of it will sound.

        To be called by whoever plays the sound, when playback ends before the answers do. What the
        service tells afterwards is in no transcript. Repeating it changes nothing.

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
        """Nobody speaks, no tool runs, and no answer is owed."""
        return self._live_stream.protocol.settled(self.now())

    @property
    def owes_answer(self) -> bool:
        """Whether an answer is owed that has not come to its end, or a tool result."""
        return self._live_stream.protocol.owes_answer

    @property
    def finished(self) -> bool:
        """Whether the goodbye was said."""
        return self._stream is not None and self._stream.protocol.finished

    @property
    def goodbye_timed_out(self) -> bool:
        """Whether the service did not end the stream in time after our goodbye, although it owed
        no answer. That is no error: nothing is missing."""
        return self._live_stream.goodbye_timed_out

    @property
    def audio_began_s(self) -> float:
        """Where the audio sent began, on the session's clock: offsets of events count from it."""
        return self.now() if self._audio_began_s is None else self._audio_began_s

    # ------------------------------------------------------------------------------------------

    @property
    def _live_stream(self) -> ServiceStream:
        if self._stream is None:
            raise OrderError("The session is not open.", hint="Enter it with `async with`.")
        return self._stream

    async def _deliver(self, events: Sequence[Event]) -> None:
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
        """What comes after the last event: the error that ended the stream, or once `Closed`."""
        already_told = stream.outcome_raised
        stream.raise_outcome()
        if already_told:
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
