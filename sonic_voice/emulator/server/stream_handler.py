"""The handler of one stream of the emulator: frames in, the effects of a service out.

A stream is handled by one task. It reads a frame, verifies its place in the chain of signatures,
unwraps the payload, feeds it to the service and carries out the effects that the service returns,
before it reads the next frame. The client's data is therefore taken no faster than it is answered,
and flow control holds the client back; nothing is queued here. Only chat requests run beside this
task (`chat_requests`): a piece of their answer is fed when it comes, between two frames.

The wall clock is used for three things only, and each is an option: the client has paused
(`stall_s`), it has paused for too long (`idle_s`), and the stream is too old (`life_s`). A stream
that was broken without an end (`mute`, `stall`) ends by it, too.

Source: reference 1.2 to 1.9 and 11.2.
"""

import asyncio
import logging
import math
from concurrent.futures import Executor
from typing import Literal

from ...errors import SonicError
from ...http2.connection import H2Connection
from ...http2.stream import H2Stream
from ..behaviour import Behaviour
from ..observers import EmulatorObserver, StreamStatistics
from ..service.effects import (
    Break,
    Breakage,
    CancelChatRequest,
    Effect,
    Emit,
    Fail,
    Finish,
    Listen,
    Note,
    Recognize,
    Service,
    Speak,
    StartChatRequest,
    StreamRequest,
)
from .chat_requests import ChatRequests
from .engines import Engines
from .event_stream import FrameError
from .sigv4 import ChainError, SignatureChain
from .speech_requests import SpeechRequests
from .stream_frames import (
    UNREADABLE,
    ChunkError,
    InputEnd,
    PayloadReader,
    chunk_frame,
    error_frame,
    exception_frame,
    invalid_frame,
)

_log = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
"""Bytes that are read at a time where the client's data is not needed any more."""

BROKEN_S = 480.0
"""Maximum time for which a stream that a fault broke stays open, in seconds: the life of a stream,
where it is not measured by the wall clock."""


class StreamHandler:
    """The handler of one stream; `run` returns at its end.

    Args:
        stream: The HTTP/2 stream.
        connection: Its connection.
        request: The request, whose signature was verified.
        service: The service's side of the stream.
        chain: Verifies the signatures of the frames.
        engines: Speech synthesis, speech recognition and chat requests.
        threads: The threads for the speech engines.
        behaviour: The settings of the emulator: the limits of the stream, and whether mistakes are
            refused that are otherwise only noted.
        observer: Observes the stream.
    """

    def __init__(
        self,
        stream: H2Stream,
        connection: H2Connection,
        request: StreamRequest,
        service: Service,
        chain: SignatureChain,
        *,
        engines: Engines,
        threads: Executor,
        behaviour: Behaviour,
        observer: EmulatorObserver,
    ) -> None:
        self.statistics = StreamStatistics(request)
        self._observer = observer.opened(self.statistics)
        self._stream = stream
        self._connection = connection
        self._request = request
        self._service = service
        self._input = PayloadReader(stream, chain)
        self._speech = SpeechRequests(engines, threads)
        self._chat_requests = ChatRequests(engines.consult)
        self._timeouts = behaviour.timeouts
        self._strict = behaviour.strict
        self._loop = asyncio.get_running_loop()
        self._headers_sent = False
        self._stalled = False
        # A life by the input audio is kept by the service (`faults.audio_life`).
        wall_life_s = math.inf if behaviour.life_clock == "audio" else self._timeouts.life_s
        self._life_ends_at_s = self._loop.time() + wall_life_s
        self._last_input_at_s = self._loop.time()

    async def run(self, prepared: asyncio.Future[None] | None = None) -> None:
        """Serve the stream until the service, the client or the network ends it.

        None of these ends raises an exception. When cancelled, the stream counts as lost.

        Args:
            prepared: Done when the engines are ready. The stream is answered before it is, and
                needs them from its second event on.
        """
        try:
            over = await self._step_or_fail()
            if prepared is not None and not over:
                await prepared
            while not over:
                # A stream with a backlog reads without waiting. Between two of its events all other
                # streams and the connection's PINGs have their turn.
                await asyncio.sleep(0)
                over = await self._step_or_fail()
        except SonicError as error:
            self._ended("lost", str(error))
        finally:
            self._ended("lost", "The emulator was closed.")
            self._observer.over()
            self._speech.cancel()
            await self._chat_requests.aclose()

    async def _step_or_fail(self) -> bool:
        try:
            return await self._step()
        except SonicError:
            raise
        except Exception:
            _log.exception("the emulated service broke, stream %s", self._request.request_id)
            broke = Fail("internalServerException", "The emulator broke; its log says where.")
            return await self._perform([broke])

    # --- in

    async def _step(self) -> bool:
        """Feed one input to the service and carry out the effects.

        Returns:
            Whether the stream is over.
        """
        if self._chat_requests:
            return await self._perform(self._service.chat_piece(*self._chat_requests.take()))
        when_s, expired = self._next_deadline()
        try:
            async with asyncio.timeout_at(when_s) as pause:
                with self._chat_requests.ending(pause):
                    payload = await self._input.read()
            if payload is InputEnd.BARE:
                self._accept_bare_end()
        except TimeoutError:
            if self._chat_requests:  # a piece of a chat endpoint's answer ended the pause
                return False
            return await self._perform(self._expire(expired))
        except (ChunkError, FrameError, ChainError) as error:
            _log.debug("stream %s: %s", self._request.request_id, error)
            return await self._perform([self._refusal(error)])
        self._last_input_at_s = self._loop.time()
        self._stalled = False
        if isinstance(payload, InputEnd):
            return await self._end_of_input()
        self.statistics.received_events += 1
        self._observer.received(payload)
        over = await self._perform(self._service.receive(payload))
        if not over:
            self._send_response_headers()
        self.statistics.answered_events += 1
        return over

    def _accept_bare_end(self) -> None:
        """Accept END_STREAM without the signed empty frame, as old clients send it.

        See reference 1.5.
        """
        if self._strict:
            raise ChunkError("The event stream ended without its signed empty frame.")
        self._note(Note("END_STREAM came without the signed empty frame.", "no-empty-frame"))

    def _next_deadline(self) -> tuple[float, Literal["stall", "idle", "life"]]:
        """Return the next deadline, in seconds of the loop's clock, and its name."""
        idle_at_s = self._last_input_at_s + self._timeouts.idle_s
        stall_at_s = self._last_input_at_s + self._timeouts.stall_s
        if not self._stalled and stall_at_s < min(idle_at_s, self._life_ends_at_s):
            return stall_at_s, "stall"
        if idle_at_s < self._life_ends_at_s:
            return idle_at_s, "idle"
        return self._life_ends_at_s, "life"

    def _expire(self, what: Literal["stall", "idle", "life"]) -> list[Effect]:
        match what:
            case "stall":
                self._stalled = True
                return self._service.stalled()
            case "idle":
                self._last_input_at_s = self._loop.time()
            case "life":
                self._life_ends_at_s = float("inf")
        return self._service.expire(what)

    async def _end_of_input(self) -> bool:
        self._observer.input_ended()
        over = await self._perform(self._service.end_of_input())
        # No more input will move the clock, so the rest of the answer is sent without it.
        over = over or await self._perform(self._service.stalled())
        return over or await self._perform([Finish()])

    def _refusal(self, error: ChunkError | FrameError | ChainError) -> Fail:
        match error:
            case ChunkError():
                text = str(error)
            case ChainError():
                text = f"The event stream cannot be accepted: {error}."
            case FrameError():
                text = UNREADABLE
        return Fail("validationException", f"RequestId={self._request.request_id} : {text}")

    # --- out

    async def _perform(self, effects: list[Effect]) -> bool:
        """Carry out effects in their order, and return whether one of them ended the stream.

        Frames are collected and written together, before anything that takes time.
        """
        out = bytearray()
        for effect in effects:
            if not isinstance(effect, Note):
                self._observer.answered(effect)
            match effect:
                case Emit(payload):
                    self.statistics.sent_events += 1
                    out += chunk_frame(payload)
                case Note():
                    self._note(effect)
                case Speak():
                    await self._write(out)
                    out = bytearray()
                    pcm = await self._speech.synthesize(effect)
                    if await self._perform(self._service.speech(effect.key, pcm)):
                        return True
                case Listen():
                    self._speech.listen(effect)
                case Recognize(key):
                    await self._write(out)
                    out = bytearray()
                    words = await self._speech.recognize(key)
                    if await self._perform(self._service.words(key, words)):
                        return True
                case StartChatRequest() | CancelChatRequest():
                    self._chat_requests.carry_out(effect)
                case Fail() | Break() | Finish():
                    await self._write(out)
                    await self._finish(effect)
                    return True
        await self._write(out)
        return False

    async def _finish(self, effect: Fail | Break | Finish) -> None:
        match effect:
            case Finish():
                self._ended("finished")
            case Fail(code, message, modelled, _):
                self._ended("failed", f"{code}: {message}")
                frame = exception_frame if modelled else error_frame
                await self._write(frame(code, message))
            case Break(how):
                self._ended("broken", how)
                await self._break(how)
                return
        self._end_response()

    def _end_response(self) -> None:
        self._send_response_headers()
        self._stream.end()
        # Clients go on sending for a moment. Their data is dropped, so that they are not held back.
        self._stream.discard_input()

    async def _break(self, how: Breakage) -> None:
        match how:
            case "reset":
                self._send_response_headers()
                self._stream.reset(0)
            case "goaway":
                self._connection.close()
            case "cut":
                self._connection.cut()
            case "cut-mid-frame":
                whole = chunk_frame(b'{"event":{"usageEvent":{}}}')
                await self._write(whole[: len(whole) // 2])
                self._connection.cut()
            case "mute":
                await self._ignore_input()
            case "eof":
                self._end_response()
            case "invalid-bytes":
                await self._write(invalid_frame())
                self._end_response()
            case "stall":
                self._connection.stall()
                limit_s = self._broken_until_s() - self._loop.time()
                await asyncio.wait({self._connection.closed}, timeout=limit_s)
                self._connection.cut()

    def _broken_until_s(self) -> float:
        """Return when a broken stream ends, in seconds of the loop's clock."""
        return min(self._life_ends_at_s, self._loop.time() + BROKEN_S)

    async def _ignore_input(self) -> None:
        """Read without an answer, until the client leaves or the stream is too old."""
        try:
            async with asyncio.timeout_at(self._broken_until_s()):
                while await self._stream.read(_READ_BYTES):
                    pass
        except TimeoutError:
            self._stream.reset()

    def _send_response_headers(self) -> None:
        """Send the headers of the response, once, after the first valid event (reference 1.2)."""
        if not self._headers_sent:
            self._headers_sent = True
            self._connection.send_headers(
                self._stream,
                [
                    (":status", "200"),
                    ("content-type", "application/vnd.amazon.eventstream"),
                    ("x-amzn-requestid", self._request.request_id),
                ],
            )

    async def _write(self, data: bytes | bytearray) -> None:
        if data:
            self._send_response_headers()
            await self._stream.write(bytes(data))

    def _note(self, note: Note) -> None:
        self.statistics.notes += 1
        _log.debug("stream %s, %s: %s", self._request.request_id, note.rule, note.text)
        self._observer.answered(note)

    def _ended(self, end: Literal["finished", "failed", "broken", "lost"], error: str = "") -> None:
        if not self.statistics.end:
            self.statistics.end = end
            self.statistics.error = error
