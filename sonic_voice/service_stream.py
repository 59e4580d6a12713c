"""A leg: one service stream of a session, with its writer, its reader and its outbox.

    send_audio ──► [outbox] ──► writer task ──► Stream.send
    Stream.receive ──► reader task ──► SonicProtocol.receive ──► deliver(events)

The writer owns sending: whoever asks for something to be sent may be cancelled without breaking
the chain of signatures. Tool results and typed text overtake queued audio, since the model goes on
without them otherwise (reference 8.4). When nobody gives it audio for `SILENCE_AFTER_S`, the writer
sends silence at its natural pace, since the service hears time only in samples (reference 4).

The reader is the only one to receive, and is not cancelled while the stream can still end by
itself. When it ends, the leg is over: the writer is woken with the reason, and nobody waits.

A goodbye is complete when `sessionEnd` is on the wire and no answer is owed. From then on a lost
connection is a good end, and so is a service that does not end the stream: nothing is missing.

Legs are numbered and thrown away, never reset; nothing of leg n touches leg n+1.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .errors import (
    ConnectionLost,
    DeadlineError,
    ErrorKind,
    OrderError,
    ServiceError,
    SonicError,
)
from .events import Event, NetworkSlow
from .order import InputState
from .protocol import SonicProtocol
from .transport import Stream
from .uplink_lag import UplinkLag

OUTBOX_CHUNKS = 16
"""Audio frames that may wait for the wire: half a second of the usual 32 ms. When they do,
`send_audio` waits: the network is slower than the speaker, and the source decides what to drop."""

SILENCE_AFTER_S = 0.25
"""So long without audio, and the leg sends silence: well under the 55 s the service waits, and
well over the hiccups of a busy machine."""
SILENCE_CHUNK_S = 0.032
"""The frame the documentation recommends (reference 2.6)."""

SHUTDOWN_GRACE_S = 1.0
"""How long the other task may take to come to its end by itself once the stream is over."""


@dataclass(frozen=True, slots=True)
class _Queued:
    """A payload in the outbox, with the loop's time at which it came and its length of speech."""

    payload: bytes
    at_s: float
    speech_s: float


type Deliver = Callable[[Sequence[Event]], Awaitable[None]]


class ServiceStream:
    """One stream. `deliver` is awaited with the events of each payload, in order."""

    def __init__(
        self,
        number: int,
        stream: Stream,
        protocol: SonicProtocol,
        deliver: Deliver,
        *,
        clock: Callable[[], float],
        send_deadline_s: float,
        on_slow: Callable[[NetworkSlow], object],
    ) -> None:
        self.number = number
        self.protocol = protocol
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the stream has ended: well, or with the `SonicError` that ended it."""
        self.outcome_raised = False
        self.goodbye_timed_out = False
        """Whether the service did not end the stream in time after a complete goodbye."""
        self._goodbye_sent = False
        self._wire_stream = stream
        self._deliver = deliver
        self._clock = clock
        self._send_deadline_s = send_deadline_s
        self._on_slow = on_slow
        self._lag = UplinkLag()
        self._urgent: deque[bytes] = deque()
        self._audio: deque[_Queued] = deque()
        self._sending: _Queued | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._send_timeout: asyncio.Timeout | None = None
        self._silence_after_s = SILENCE_AFTER_S
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for future in (self.over, self._accepted):  # an error nobody asked for is no warning
            future.add_done_callback(_mark_retrieved)
        # The reader first: an error answer may come before the first event is written.
        self._reader = asyncio.create_task(self._read(), name=f"sonic stream {number} reader")
        self._writer = asyncio.create_task(self._write(), name=f"sonic stream {number} writer")

    async def accepted(self) -> None:
        """Wait until the service took the stream; raises what it refused it with."""
        await asyncio.shield(self._accepted)

    def send(self, payloads: Sequence[bytes], *, speech_s: float = 0.0) -> None:
        """Queue payloads in order: initialization, audio, goodbye. Never waits; see `room`.

        `speech_s` is the length of speech in each; how late it is sent is then measured.
        """
        now = asyncio.get_running_loop().time()
        self._audio.extend(_Queued(payload, now, speech_s) for payload in payloads)
        if len(self._audio) >= OUTBOX_CHUNKS:
            self._room.clear()
        self._filled.set()

    def send_urgent(self, payloads: Sequence[bytes]) -> None:
        """Queue payloads ahead of the audio: tool results and typed text. Never waits."""
        self._urgent.extend(payloads)
        self._filled.set()

    async def wait_for_room(self) -> None:
        """Wait until a frame of audio may be queued. Cancelling it loses nothing.

        Raises what ended the leg, if it ended.
        """
        await self._room.wait()
        self.raise_if_over()

    def raise_if_over(self) -> None:
        """Raise what ended the leg, if it ended."""
        if self.over.done():
            self.raise_outcome()
            raise OrderError("The session is over.", hint="Open a new one.")

    def raise_outcome(self) -> None:
        """Raise the error that ended the leg, if it was one; `told` says that somebody asked."""
        self.outcome_raised = True
        self.over.result()

    def end(self, error: SonicError) -> None:
        """End the leg with `error`, unless it is over. What waits for it is woken."""
        self._end(error)
        self._wire_stream.abort(error)

    def give_up(self, error: SonicError) -> None:
        """End the leg because the service did not end it in time after our goodbye.

        Args:
            error: What ends it if the goodbye is not complete.
        """
        if not self._goodbye_complete:
            self.end(error)
        elif not self.over.done():
            self.goodbye_timed_out = True
            self._end(None)
            self._wire_stream.abort(error)

    @property
    def _goodbye_complete(self) -> bool:
        return self._goodbye_sent and not self.protocol.owes_answer

    async def aclose(self) -> None:
        """Release the stream and both tasks; a goodbye only if it was said and answered before.

        Takes `SHUTDOWN_GRACE_S` and the stream's own closing at most, and is completed even when it
        is cancelled.
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
            while (payload := await self._wire_stream.receive()) is not None:
                await self._deliver(self.protocol.receive(payload, self._clock()))
            self._end(None if self.protocol.finished else _ended_without_goodbye())
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(None if self._is_harmless(error) else error)

    def _is_harmless(self, error: Exception) -> bool:
        """Whether nothing is missing although `error` ended the stream."""
        if isinstance(error, ServiceError):
            return self.protocol.finished and error.kind is ErrorKind.ENDED
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
        self._filled.set()
        self._room.set()
        if self._send_timeout is not None and not self._send_timeout.expired():
            self._send_timeout.reschedule(asyncio.get_running_loop().time())

    # -- the writer ----------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while (payload := await self._next()) is not None:
                await self._send(payload)
                self._measure()
            if not self.over.done():
                self._goodbye_sent = True
                await self._with_deadline(self._wire_stream.end_input())
        except SonicError as error:
            # What the service said last tells more than the write that failed because of it.
            await asyncio.wait([self._reader], timeout=SHUTDOWN_GRACE_S)
            if self._is_harmless(error):
                self._end(None)
                self._wire_stream.abort(error)
            else:
                self.end(error)
        except Exception as error:  # a bug of ours must reach the owner like any other end
            self._end(error)

    async def _send(self, payload: bytes) -> None:
        await self._with_deadline(self._wire_stream.send(payload))

    def _measure(self) -> None:
        """Tell the owner if the speech just sent was late, as on a network that is too slow."""
        sent, self._sending = self._sending, None
        if sent is not None and sent.speech_s and not self.over.done():
            now = asyncio.get_running_loop().time()
            if slow := self._lag.sent(sent.at_s, sent.speech_s, now):
                self._on_slow(slow)

    async def _with_deadline(self, sending: Awaitable[None]) -> None:
        """Await `sending`, but no longer than the deadline, nor than the leg lasts."""
        try:
            async with asyncio.timeout(self._send_deadline_s) as self._send_timeout:
                await sending
        except TimeoutError:
            if not self.over.done():
                self.end(_send_timed_out(self._send_deadline_s))
        finally:
            self._send_timeout = None

    async def _next(self) -> bytes | None:
        """The next payload, silence if nobody has any for too long, None when all is sent."""
        while not self.over.done():
            if self._urgent or self._audio:
                return self._take()
            if self.protocol.finished:
                return None
            self._filled.clear()
            if self.protocol.state is not InputState.LIVE:
                await self._filled.wait()
            elif await self._nothing_came():
                self._silence_after_s = SILENCE_CHUNK_S
                return self.protocol.silence(SILENCE_CHUNK_S)
        return None

    async def _nothing_came(self) -> bool:
        try:
            async with asyncio.timeout(self._silence_after_s):
                await self._filled.wait()
        except TimeoutError:
            # After a stall of the loop the source is as late as this timer was: it goes first.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return not self._filled.is_set()

    def _take(self) -> bytes:
        if self._urgent:
            return self._urgent.popleft()
        self._sending = self._audio.popleft()
        self._silence_after_s = SILENCE_AFTER_S
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
