"""A target behind a bridge: a caller that connects as a page does, through a WebSocket.

    caller's audio ──► voice frames ──► bridge
    bridge ──► messages ──► events, and the transcript
           ──► answer frames ──► the sink

Messages overtake sound: the text of a block and the end of a turn may come seconds before their
sound. Both wait here until the sound has reached them, so that the words that were heard can be
told, and a turn ends when its last sound has come. `web_client/README.md` has the protocol.
"""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Origin, Subprotocol

from ..audio.ports import INPUT_FORMAT, NullSink
from ..bridge.frames import read_answer, voice_frame
from ..bridge.messages import SUBPROTOCOL, VERSION
from ..config import AudioFormat
from ..errors import ConnectError, ConnectionLost, DeadlineError, SonicError
from ..events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from ..transcript import Transcript
from .runner import Caller

SEND_TIMEOUT_S = 10.0
"""Maximum time to open the connection, or to send a message, in seconds."""

SILENCE_TIMEOUT_S = 10.0
"""Maximum time without a message of the bridge, in seconds. It sends one at least every 2 s."""

REPORT_S = 0.1
"""Interval of the reports of playback, in seconds."""

QUIET_BEFORE_GOODBYE_S = 2.5
"""Time between the caller's end and the goodbye, in seconds, as in `converse`."""

BYE_CODE = 1000
"""Close code of a conversation that ended well."""


@dataclass(slots=True)
class _Turn:
    """The sound of one turn, and what waits for it."""

    samples: int = 0
    """Number of samples that came."""
    plans: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])
    """Blocks whose sound has not begun: the samples before it, the block's number, its text."""
    ends_at: int | None = None
    """Number of samples at which the turn is over; None if it is not known yet."""


class BridgeTarget:
    """A target behind a bridge. See `runner.Target`.

    Args:
        url: Address of the bridge's WebSocket, such as `ws://localhost:8080/talk`.
        token: Session token; empty if the bridge needs none.
    """

    input = INPUT_FORMAT

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._token = token

    async def converse(self, caller: Caller) -> None:
        """See `runner.Target`."""
        try:
            async with connect(
                self._url,
                origin=Origin(_own_origin(self._url)),
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                open_timeout=SEND_TIMEOUT_S,
            ) as connection:
                await _Call(caller, connection).run(self._token)
        except ConnectionClosed as closed:
            received = closed.rcvd
            if received is not None and received.code == BYE_CODE:
                return
            reason = received.reason if received is not None else ""
            raise ConnectionLost(
                f"The bridge closed the conversation: {reason or 'it gave no reason.'}",
                reason="ended",
            ) from closed
        except TimeoutError as error:
            raise DeadlineError(
                f"The bridge at {self._url} did not respond in time.", waited_s=SEND_TIMEOUT_S
            ) from error
        except (InvalidURI, InvalidHandshake, OSError) as error:
            raise ConnectError(
                f"Cannot connect to the bridge at {self._url}: {error}.",
                hint="Check the address, such as ws://localhost:8080/talk, and that `serve` runs.",
            ) from error


def _own_origin(url: str) -> str:
    """Return the origin of the page that a bridge serves itself, which it always allows."""
    parts = urlsplit(url)
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"


class _Call:
    """One conversation over an open connection."""

    def __init__(self, caller: Caller, connection: ClientConnection) -> None:
        self._caller = caller
        self._connection = connection
        self._source = caller.source
        self._transcript = Transcript()
        self._format = AudioFormat(24_000)
        self._sink = NullSink(self._format, now=self._source.now)
        self._turns: dict[int, _Turn] = {}
        self._sounding = 0
        self._epoch = 0
        self._listening = asyncio.Event()

    async def run(self, token: str) -> None:
        """Hold the conversation, until the bridge closes the connection.

        Raises:
            ConnectionClosed: The connection was closed, also after a goodbye.
            TimeoutError: The bridge did not respond in time.
        """
        await self._send(
            {"type": "hello", "version": VERSION} | ({"token": token} if token else {})
        )
        ready = json.loads(await self._receive())
        if ready.get("type") != "ready" or ready["input"]["rate_hz"] != INPUT_FORMAT.rate_hz:
            raise SonicError("The bridge does not speak the protocol of this version.")
        self._format = AudioFormat(ready["output"]["rate_hz"])
        self._sink = NullSink(self._format, now=self._source.now)
        self._epoch = ready["epoch"]
        self._caller.begin(self._transcript, self._sink)
        reading = asyncio.create_task(self._read(), name="bridge reader")
        speaking = asyncio.create_task(self._speak(), name="bridge uplink")
        try:
            await asyncio.wait({reading, speaking}, return_when=asyncio.FIRST_EXCEPTION)
            await (reading if reading.done() else speaking)
        finally:
            for task in (reading, speaking):
                task.cancel()
            await asyncio.gather(reading, speaking, return_exceptions=True)

    async def _speak(self) -> None:
        """Send the caller's audio and the reports of playback, then say goodbye."""
        await asyncio.wait_for(self._listening.wait(), 3 * SILENCE_TIMEOUT_S)
        reported_s, done_s = 0.0, None
        while pcm := await self._source.read():
            await self._in_time(self._connection.send(voice_frame(pcm)))
            now = self._source.now()
            if now - reported_s >= REPORT_S:
                reported_s = now
                await self._report_played()
            if self._source.done:
                done_s = now if done_s is None else done_s
                if now - done_s >= QUIET_BEFORE_GOODBYE_S and self._sink.pending_s <= 0:
                    break
        await self._send({"type": "bye"})
        await asyncio.Event().wait()  # the reader ends when the bridge closes the connection

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if isinstance(message, bytes):
                self._hear(message)
            else:
                await self._take(cast("dict[str, Any]", json.loads(message)))

    async def _take(self, message: dict[str, Any]) -> None:
        """Turn a message into events."""
        match message:
            case {"type": "listening"}:
                self._listening.set()
            case {"type": "user_text", "turn": int(turn), "text": str(text)}:
                self._transcript.user(turn, text)
                self._notify(UserText(turn, text, bool(message.get("typed"))))
            case {"type": "assistant_text", "turn": int(turn), "text": str(text)}:
                self._take_text(turn, message["block"], text, message)
            case {"type": "tool_call", "turn": int(turn), "tool_use": str(id), "name": str(name)}:
                self._notify(ToolCall(turn, id, name, message.get("arguments_json", "{}")))
            case {"type": "tool_answered", "turn": int(turn), "tool_use": str(id)}:
                result_json = message.get("result_json", "")
                self._notify(ToolAnswered(turn, id, str(message.get("name")), result_json))
            case {"type": "interrupted", "turn": int(turn)}:
                self._transcript.interrupt(turn)
                self._notify(Interrupted(turn, "bridge"))
            case {"type": "flush", "epoch": int(epoch)}:
                self._sink.flush()
                self._epoch = epoch
                await self._report_played()
            case {"type": "heard", "turn": int(turn), "heard_ms": int(heard_ms)}:
                self._transcript.hear(turn, heard_ms)
            case {"type": "turn_ended", "turn": int(turn), "samples": int(samples)}:
                self._turn(turn).ends_at = samples
                self._check_end(turn)
            case {"type": "page_tool", "id": str(id)}:
                error = "This caller has no page."
                await self._send({"type": "tool_result", "id": id, "error": error})
            case _:
                pass

    def _take_text(self, turn: int, block: int, text: str, message: dict[str, Any]) -> None:
        if message.get("stage") == "SPECULATIVE":
            starts_at = int(message.get("starts_at", 0))
            self._turn(turn).plans.append((starts_at, block, text))
            self._begin_blocks(turn)
            self._notify(AssistantText(turn, block, text, "SPECULATIVE"))
            return
        self._begin_blocks(turn, through=block)
        self._transcript.final(text, turn)
        self._notify(AssistantText(turn, block, text, "FINAL"))

    def _hear(self, message: bytes) -> None:
        """Play a frame of an answer."""
        frame = read_answer(message)
        if frame.epoch != self._epoch:
            return
        turn = self._turn(frame.turn)
        self._begin_blocks(frame.turn)
        turn.samples = frame.end
        self._sounding = frame.turn
        self._transcript.sound(frame.turn, frame.pcm, self._format.rate_hz)
        self._sink.play(frame.turn, frame.pcm)
        self._notify(Audio(frame.turn, frame.pcm, self._format.rate_hz))
        self._check_end(frame.turn)

    def _begin_blocks(self, number: int, through: int = -1) -> None:
        """Add the planned texts of a turn that its sound has reached, or up to a block."""
        turn = self._turn(number)
        waiting: list[tuple[int, int, str]] = []
        for starts_at, block, text in turn.plans:
            if starts_at <= turn.samples or block <= through:
                self._transcript.sound_ended(number)
                self._transcript.plan(number, text)
            else:
                waiting.append((starts_at, block, text))
        turn.plans = waiting

    def _check_end(self, number: int) -> None:
        """End a turn whose sound has come."""
        turn = self._turn(number)
        if turn.ends_at is not None and turn.samples >= turn.ends_at:
            turn.ends_at = None
            self._begin_blocks(number)
            self._transcript.sound_ended(number)
            self._transcript.answer_ended(number)
            self._notify(TurnEnded(number))

    def _turn(self, number: int) -> _Turn:
        return self._turns.setdefault(number, _Turn())

    def _notify(self, event: Event) -> None:
        self._caller.observe(event, self._source.now())

    async def _report_played(self) -> None:
        played = self._format.rate_hz * self._sink.played_ms(self._sounding) // 1000
        await self._send(
            {"type": "played", "epoch": self._epoch, "turn": self._sounding, "samples": played}
        )

    async def _send(self, message: dict[str, Any]) -> None:
        await self._in_time(self._connection.send(json.dumps(message)))

    async def _receive(self) -> str | bytes:
        return await asyncio.wait_for(self._connection.recv(), SILENCE_TIMEOUT_S)

    async def _in_time(self, sending: Awaitable[None]) -> None:
        await asyncio.wait_for(sending, SEND_TIMEOUT_S)
