"""A conversation over the bare AWS SDK, from a recording; what it heard, and how it ended."""

import asyncio
import wave
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws_sdk_bedrock_runtime import models
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig

from sonic_voice import wire
from sonic_voice.http2.client import Http2Client

PATIENCE_S = 15.0
SPEECH = Path(__file__).parent.parent / "speech"
FRAME_BYTES = 1024
SILENCE_S = 12
GO = wire.ToolDefinition("go", "Drives.", '{"type":"object"}')


@dataclass
class Heard:
    """What one stream gave, and how it ended."""

    outputs: list[wire.Output] = field(default_factory=list[wire.Output])
    payloads: list[bytes] = field(default_factory=list[bytes])
    end: Exception | None = None

    def texts(self, role: str, stage: str) -> list[str]:
        blocks = {
            o.content_id
            for o in self.outputs
            if isinstance(o, wire.TextBlock) and (o.role, o.stage) == (role, stage)
        }
        return [
            o.text
            for o in self.outputs
            if isinstance(o, wire.TextOutput) and o.content_id in blocks
        ]

    def of[T](self, kind: type[T]) -> list[T]:
        return [o for o in self.outputs if isinstance(o, kind)]

    @property
    def spoke(self) -> bool:
        return bool(self.of(wire.AudioOutput))


def frames() -> list[bytes]:
    with wave.open(str(SPEECH / "goforward.wav")) as recording:
        assert recording.getframerate() == 16_000
        pcm = recording.readframes(recording.getnframes()) + bytes(32_000 * SILENCE_S)
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


class Talk:
    """One conversation over the SDK: asks, answers tool calls, says goodbye, and listens."""

    def __init__(self, stream: Any) -> None:
        self.heard = Heard()
        self._stream = stream
        self._lock = asyncio.Lock()
        self._turn_over = asyncio.Event()

    async def send(self, *records: wire.Input) -> None:
        async with self._lock:
            for record in records:
                part = models.BidirectionalInputPayloadPart(bytes_=wire.encode_input(record))
                await self._stream.input_stream.send(
                    models.InvokeModelWithBidirectionalStreamInputChunk(value=part)
                )

    async def ask(self, *, pause: bool = False) -> None:
        """Everything a client sends. With `pause` it falls silent, and stays."""
        await self.send(
            wire.SessionStart(max_tokens=1024, top_p=0.9, temperature=0.7),
            wire.PromptStart("P", "matthew", 16_000, (GO,), "auto"),
            wire.AudioStart("P", "A", 16_000),
        )
        for frame in frames():
            await self.send(wire.AudioInput("P", "A", frame))
        if pause:
            return
        await self._turn_over.wait()  # a goodbye cuts off what is not said yet
        await self.send(wire.ContentEnd("P", "A"), wire.PromptEnd("P"), wire.SessionEnd())
        await self._stream.input_stream.close()

    async def listen(self) -> None:
        try:
            _, output = await self._stream.await_output()
            while (event := await output.receive()) is not None:
                assert isinstance(event, models.InvokeModelWithBidirectionalStreamOutputChunk)
                payload = event.value.bytes_ or b""
                self.heard.payloads.append(payload)
                self.heard.outputs.append(record := wire.decode_output(payload))
                if isinstance(record, wire.ToolUse):
                    await self._answer(record)
                elif _ends_turn(record):
                    self._turn_over.set()
        except Exception as error:
            self.heard.end = error

    async def _answer(self, call: wire.ToolUse) -> None:
        content = f"result of {call.tool_use}"
        await self.send(
            wire.ToolResultStart("P", content, call.tool_use),
            wire.ToolResult("P", content, '{"meters":10}'),
            wire.ContentEnd("P", content),
        )

    async def hold(self, *, pause: bool = False) -> Heard:
        asking = asyncio.create_task(self.ask(pause=pause))
        await self.listen()
        asking.cancel()
        await asyncio.wait({asking})
        return self.heard


def _ends_turn(record: wire.Output) -> bool:
    return (
        isinstance(record, wire.BlockEnd)
        and record.kind == "AUDIO"
        and record.stop != "PARTIAL_TURN"
    )


@asynccontextmanager
async def sdk() -> AsyncGenerator[AsyncBedrockRuntimeClient]:
    transport: Any = Http2Client()
    config = await AsyncBedrockRuntimeConfig.resolve(transport=transport)
    async with AsyncBedrockRuntimeClient(config) as client:
        yield client


async def once(*, pause: bool = False, model: str = "amazon.nova-2-sonic-v1:0") -> Heard:
    """One conversation with whom the environment names. With `pause` it ends in silence."""
    async with asyncio.timeout(PATIENCE_S), sdk() as client:
        request = models.InvokeModelWithBidirectionalStreamOperationInput(model_id=model)
        stream = await client.invoke_model_with_bidirectional_stream(request)
        return await Talk(stream).hold(pause=pause)
