"""A conversation over the production transport, and what the emulator did on its side of it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from sonic_voice import wire
from sonic_voice.emulator.observers import StreamStatistics
from sonic_voice.emulator.service.effects import (
    Break,
    Effect,
    Emit,
    Fail,
    Finish,
    StreamRefusal,
)
from sonic_voice.errors import SonicError
from sonic_voice.transport import Stream, Transport

from .sdk_talk import GO, frames

MODEL = "amazon.nova-2-sonic-v1:0"


class EffectLog:
    """An `EmulatorObserver` that keeps the effects of each stream in their order."""

    def __init__(self) -> None:
        self.streams: list[StreamLog] = []
        self.refusals: list[StreamRefusal] = []

    def opened(self, statistics: StreamStatistics) -> "StreamLog":
        self.streams.append(StreamLog(statistics))
        return self.streams[-1]

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        self.refusals.append(refusal)


class StreamLog:
    """The effects of one stream."""

    def __init__(self, statistics: StreamStatistics) -> None:
        self.statistics = statistics
        self.payloads: list[bytes] = []
        self.end: Fail | Break | Finish | None = None
        self.is_over = asyncio.Event()

    def received(self, payload: bytes) -> None:
        """Nothing is kept of the input."""

    def input_ended(self) -> None:
        """Nothing is kept of the input."""

    def answered(self, effect: Effect) -> None:
        if isinstance(effect, Emit):
            self.payloads.append(effect.payload)
        elif isinstance(effect, (Fail, Break, Finish)):
            self.end = effect

    def over(self) -> None:
        self.is_over.set()

    @property
    def outputs(self) -> list[wire.Output]:
        return [wire.decode_output(payload) for payload in self.payloads]


@dataclass
class Received:
    """What the client received of one stream, and the error that ended it, if any."""

    payloads: list[bytes] = field(default_factory=list[bytes])
    error: SonicError | None = None


async def drive(transport: Transport) -> Received:
    """Ask one spoken question that needs a tool, give its result, say goodbye after the turn."""
    return await _Question(await transport.open(MODEL)).ask()


class _Question:
    """One conversation. The signatures of a stream form a chain, so one task sends at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._received = Received()
        self._turn_over = asyncio.Event()
        self._sending = asyncio.Lock()

    async def ask(self) -> Received:
        asking = asyncio.create_task(self._speak())
        try:
            while (payload := await self._stream.receive()) is not None:
                self._received.payloads.append(payload)
                match wire.decode_output(payload):
                    case wire.ToolUse() as call:
                        await self._answer(call)
                    case wire.BlockEnd(kind="AUDIO", stop="END_TURN"):
                        self._turn_over.set()
                    case _:
                        pass
        except SonicError as error:
            self._received.error = error
        asking.cancel()
        await asyncio.wait({asking})
        await self._stream.aclose()
        return self._received

    async def _speak(self) -> None:
        await self._send(
            wire.SessionStart(max_tokens=1024, top_p=0.9, temperature=0.7),
            wire.PromptStart("P", "matthew", 16_000, (GO,), "auto"),
            wire.AudioStart("P", "A", 16_000),
        )
        for frame in frames():
            await self._send(wire.AudioInput("P", "A", frame))
        await self._turn_over.wait()
        await self._send(wire.ContentEnd("P", "A"), wire.PromptEnd("P"), wire.SessionEnd())
        with suppress(SonicError):
            await self._stream.end_input()

    async def _answer(self, call: wire.ToolUse) -> None:
        content = f"result of {call.tool_use}"
        await self._send(
            wire.ToolResultStart("P", content, call.tool_use),
            wire.ToolResult("P", content, '{"meters":10}'),
            wire.ContentEnd("P", content),
        )

    async def _send(self, *records: wire.Input) -> None:
        """Send events. The reader has the reason of an end, so it is not reported here."""
        async with self._sending:
            with suppress(SonicError):
                for record in records:
                    await self._stream.send(wire.encode_input(record))
