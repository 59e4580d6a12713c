# pyright: basic, reportMissingImports=false
"""LiteLLM's realtime proxy: OpenAI's realtime events on one side, Nova Sonic on the other.

This file replaces the WebSocket of the proxy's client; everything behind it is LiteLLM's.
"""

import asyncio
import base64
import json

import litellm
from driver import (
    ENDPOINT,
    GO_DESCRIPTION,
    GO_RESULT,
    GO_SCHEMA,
    MODEL,
    REGION,
    SYSTEM,
    VOICE,
    report,
    report_versions,
    speech,
)

FUNCTION = {"name": "go", "description": GO_DESCRIPTION, "parameters": GO_SCHEMA}
SESSION = {
    "instructions": SYSTEM,
    "voice": VOICE,
    "modalities": ["audio", "text"],
    "tools": [{"type": "function", "function": FUNCTION}],
}


class Caller:
    """The WebSocket of the proxy's client."""

    def __init__(self) -> None:
        self.scope: dict[str, object] = {}
        self.ready = asyncio.Event()
        self._messages: asyncio.Queue[dict | None] = asyncio.Queue()

    async def speak(self) -> None:
        self._messages.put_nowait({"type": "session.update", "session": SESSION})
        await self.ready.wait()
        async for pcm in speech():
            audio = base64.b64encode(pcm).decode()
            self._messages.put_nowait({"type": "input_audio_buffer.append", "audio": audio})
        self._messages.put_nowait(None)

    async def receive_text(self) -> str:
        message = await self._messages.get()
        if message is None:
            raise ConnectionResetError("the caller hung up")
        return json.dumps(message)

    async def send_text(self, data: str) -> None:
        event = json.loads(data)
        match event["type"]:
            case "session.updated":
                self.ready.set()
            case "conversation.item.input_audio_transcription.completed":
                report(user=event["transcript"])
            case "response.audio_transcript.done" | "response.text.done":
                report(assistant=event.get("transcript", event.get("text")))
            case "response.audio.delta":
                report(audio_bytes=len(base64.b64decode(event["delta"])))
            case "input_audio_buffer.speech_started":
                report(interrupted=True)
            case "response.function_call_arguments.done":
                report(tool=event["name"], arguments=json.loads(event["arguments"]))
                output = {"type": "function_call_output", "call_id": event["call_id"]}
                item = {**output, "output": json.dumps(GO_RESULT)}
                self._messages.put_nowait({"type": "conversation.item.create", "item": item})
            case "error":
                report(error=data)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self._messages.put_nowait(None)


async def main() -> None:
    report_versions("litellm")
    caller = Caller()
    speaking = asyncio.create_task(caller.speak())
    await litellm._arealtime(
        model=f"bedrock/{MODEL}",
        websocket=caller,
        aws_region_name=REGION,
        aws_bedrock_runtime_endpoint=ENDPOINT,
    )
    await speaking


asyncio.run(main())
