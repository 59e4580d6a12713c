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
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from ...errors import SonicError
from ...http2.connection import H2Connection
from ...http2.stream import H2Stream
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
    UtteranceRecognizer,
)
from .chat_requests import ChatRequests
from .engines import Engines
from .event_stream import PRELUDE_BYTES, EventStreamFrame, FrameError, decode, encode, frame_size
from .sigv4 import ChainError, SignatureChain

_log = logging.getLogger(__name__)

CHUNK_BYTES = 1_000_000
"""Maximum payload of a chunk, in bytes (reference 0.4)."""

_FRAME_BYTES = 2 * CHUNK_BYTES
"""Maximum length of a frame, in bytes. Base64 makes 4/3 of a chunk; the envelopes and headers
around it need far less than the rest."""

_READ_BYTES = 64 * 1024
"""Bytes that are read at a time where the client's data is not needed any more."""

BROKEN_S = 480.0
"""Maximum time for which a stream that a fault broke stays open, in seconds: the life of a stream,
where it is not measured by the wall clock."""

_UNREADABLE = "Unable to parse input chunk. Please check input format contains correct format."
_CHUNK_HEADERS = {
    ":event-type": "chunk",
    ":content-type": "application/json",
    ":message-type": "event",
}


class ChunkError(ValueError):
    """An error: a frame does not hold a valid chunk. The client is sent the message."""


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """The wall-clock limits of a stream, in seconds."""

    stall_s: float = 0.25
    """Pause of the client after which `Service.stalled` is called."""
    idle_s: float = 55.0
    """Pause of the client that ends the stream (reference 1.9)."""
    life_s: float = 480.0
    """Age that ends the stream (reference 1.9)."""


type OnNote = Callable[[StreamRequest, Note], None]
"""A function that is called with each tolerated mistake of a client."""


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
        timeouts: The limits of the stream.
        strict: Whether to refuse mistakes that are otherwise only noted.
        on_note: Called with each tolerated mistake of the client.
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
        timeouts: StreamTimeouts,
        strict: bool,
        on_note: OnNote,
        observer: EmulatorObserver,
    ) -> None:
        self.statistics = StreamStatistics(request)
        self._observer = observer.opened(self.statistics)
        self._stream = stream
        self._connection = connection
        self._request = request
        self._service = service
        self._chain = chain
        self._engines = engines
        self._utterances: dict[int, UtteranceRecognizer] = {}
        self._chat_requests = ChatRequests(engines.consult)
        self._threads = threads
        self._timeouts = timeouts
        self._strict = strict
        self._on_note = on_note
        self._loop = asyncio.get_running_loop()
        self._prelude = b""
        self._headers_sent = False
        self._stalled = False
        self._life_ends_at_s = self._loop.time() + timeouts.life_s
        self._last_input_at_s = self._loop.time()

    async def run(self) -> None:
        """Serve the stream until the service, the client or the network ends it.

        None of these ends raises an exception. When cancelled, the stream counts as lost.
        """
        try:
            while not await self._step_or_fail():
                pass
        except SonicError as error:
            self._ended("lost", str(error))
        finally:
            self._ended("lost", "The emulator was closed.")
            self._observer.over()
            for utterance in self._utterances.values():
                utterance.cancel()
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
                    payload = await self._next_payload()
        except TimeoutError:
            if self._chat_requests:  # a piece of a chat endpoint's answer ended the pause
                return False
            return await self._perform(self._expire(expired))
        except (ChunkError, FrameError, ChainError) as error:
            _log.debug("stream %s: %s", self._request.request_id, error)
            return await self._perform([self._refusal(error)])
        self._last_input_at_s = self._loop.time()
        self._stalled = False
        if payload is None:
            return await self._end_of_input()
        self.statistics.received_events += 1
        self._observer.received(payload)
        over = await self._perform(self._service.receive(payload))
        if not over:
            self._send_response_headers()
        return over

    async def _next_payload(self) -> bytes | None:
        """Return the payload of the next frame, or None for the empty one that ends the input.

        Cancelling this loses nothing: a prelude that was read is kept for the next call.
        """
        if not self._prelude:
            self._prelude = await self._stream.read(PRELUDE_BYTES)
        if not self._prelude:
            return self._no_empty_frame()
        size = frame_size(self._prelude)
        if size > _FRAME_BYTES:
            raise ChunkError(f"A chunk is at most {CHUNK_BYTES} bytes.")
        rest = await self._stream.read(size - PRELUDE_BYTES)
        frame = decode(self._prelude + rest)
        self._prelude = b""
        inner = self._chain.unwrap(frame)
        return _chunk(decode(inner)) if inner else None

    def _no_empty_frame(self) -> None:
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
                text = _UNREADABLE
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
                    if await self._perform(await self._speak(effect)):
                        return True
                case Listen():
                    self._listen(effect)
                case Recognize(key):
                    await self._write(out)
                    out = bytearray()
                    if await self._perform(await self._recognize(key)):
                        return True
                case StartChatRequest() | CancelChatRequest():
                    self._chat_requests.carry_out(effect)
                case Fail() | Break() | Finish():
                    await self._write(out)
                    await self._finish(effect)
                    return True
        await self._write(out)
        return False

    async def _speak(self, effect: Speak) -> list[Effect]:
        pcm = await self._loop.run_in_executor(
            self._threads, self._engines.synthesize, effect.text, effect.voice, effect.rate_hz
        )
        return self._service.speech(effect.key, pcm)

    def _listen(self, effect: Listen) -> None:
        begin = self._engines.recognizer_factory
        if begin is None:
            return
        if effect.key not in self._utterances:
            self._utterances[effect.key] = begin(effect.rate_hz)
        self._utterances[effect.key].feed(effect.pcm)

    async def _recognize(self, key: int) -> list[Effect]:
        heard = self._utterances.pop(key, None)
        words = ""
        if heard is not None:
            words = await self._loop.run_in_executor(self._threads, heard.finish)
        return self._service.words(key, words)

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
        self._observer.answered(note)
        self._on_note(self._request, note)

    def _ended(self, end: Literal["finished", "failed", "broken", "lost"], error: str = "") -> None:
        if not self.statistics.end:
            self.statistics.end = end
            self.statistics.error = error


def chunk_frame(payload: bytes) -> bytes:
    """Encode an output event as a frame, which is not signed and has one layer (reference 1.4).

    Args:
        payload: The UTF-8 JSON of the event.
    """
    return encode(EventStreamFrame(_CHUNK_HEADERS, b'{"bytes":"' + b64encode(payload) + b'"}'))


def invalid_frame() -> bytes:
    """Return a frame whose checksum is wrong, as damaged bytes have it."""
    frame = chunk_frame(b'{"event":{"usageEvent":{}}}')
    return frame[:-1] + bytes((frame[-1] ^ 0xFF,))


def exception_frame(code: str, message: str) -> bytes:
    """Encode a modelled exception as a frame (reference 1.7).

    Args:
        code: A member of the output union, such as `validationException`.
        message: The text of the exception.
    """
    headers = {
        ":exception-type": code,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode(EventStreamFrame(headers, json.dumps({"message": message}).encode()))


def error_frame(code: str, message: str) -> bytes:
    """Encode an error that is not modelled as a frame (reference 1.7).

    Args:
        code: Any name.
        message: The text of the error.
    """
    headers = {":message-type": "error", ":error-code": code, ":error-message": message}
    return encode(EventStreamFrame(headers))


def _chunk(frame: EventStreamFrame) -> bytes:
    """Return the decoded `bytes` member of the JSON in an inner frame."""
    if frame.headers.get(":message-type") != "event" or frame.headers.get(":event-type") != "chunk":
        raise ChunkError(_UNREADABLE)
    try:
        payload = b64decode(json.loads(frame.payload)["bytes"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChunkError(_UNREADABLE) from error
    if len(payload) > CHUNK_BYTES:
        raise ChunkError(f"A chunk is at most {CHUNK_BYTES} bytes.")
    return payload
