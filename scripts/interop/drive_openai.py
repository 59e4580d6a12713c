# pyright: basic, reportMissingImports=false
"""The OpenAI SDK: its realtime client, connected to LiteLLM's proxy with Nova Sonic behind it.

The proxy is the program `litellm` in the same virtual environment.
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

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
from openai import AsyncOpenAI

KEY = "sk-of-this-machine"
"""Master key of the proxy, which listens on the loopback interface of this run only."""
PORT = 4000
START_S = 150.0
"""Maximum time until the proxy accepts connections, in seconds."""
END_S = 2.0
"""Maximum time until the proxy has ended, in seconds."""

MODEL_NAME = "nova-sonic"
PARAMETERS = {
    "model": f"bedrock/{MODEL}",
    "aws_region_name": REGION,
    "aws_bedrock_runtime_endpoint": ENDPOINT,
}
CONFIG = {
    "model_list": [
        {
            "model_name": MODEL_NAME,
            "litellm_params": PARAMETERS,
            "model_info": {"mode": "realtime"},
        }
    ],
    "general_settings": {"master_key": KEY},
}
SESSION = {
    "instructions": SYSTEM,
    "voice": VOICE,
    "modalities": ["audio", "text"],
    "tools": [
        {
            "type": "function",
            "name": "go",
            "description": GO_DESCRIPTION,
            "parameters": GO_SCHEMA,
        }
    ],
}


@asynccontextmanager
async def proxy() -> AsyncIterator[None]:
    """Run LiteLLM's proxy."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(json.dumps(CONFIG))  # JSON is YAML
        program = Path(sys.executable).with_name("litellm")
        process = await asyncio.create_subprocess_exec(
            *(program, "--config", config, "--host", "127.0.0.1", "--port", str(PORT)),
            stdout=sys.stderr.fileno(),
        )
        try:
            async with asyncio.timeout(START_S):
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", PORT)
                    except OSError:
                        await asyncio.sleep(0.2)
                    else:
                        writer.close()
                        break
            yield
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), END_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def speak(connection, ready: asyncio.Event) -> None:
    await connection.session.update(session=SESSION)
    await ready.wait()
    async for pcm in speech():
        await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())
    await connection.close()


async def listen(connection, ready: asyncio.Event) -> None:
    async for event in connection:
        match event.type:
            case "session.updated":
                ready.set()
            case "conversation.item.input_audio_transcription.completed":
                report(user=event.transcript)
            case "response.audio_transcript.done" | "response.output_audio_transcript.done":
                report(assistant=event.transcript)
            case "response.text.done" | "response.output_text.done":
                report(assistant=event.text)
            case "response.audio.delta" | "response.output_audio.delta":
                report(audio_bytes=len(base64.b64decode(event.delta)))
            case "input_audio_buffer.speech_started":
                report(interrupted=True)
            case "response.function_call_arguments.done":
                report(tool=event.name, arguments=json.loads(event.arguments))
                output = {"type": "function_call_output", "call_id": event.call_id}
                item = {**output, "output": json.dumps(GO_RESULT)}
                await connection.conversation.item.create(item=item)
            case "error":
                report(error=str(event.error))


async def main() -> None:
    report_versions("openai", "litellm")
    base = f"ws://127.0.0.1:{PORT}/v1"
    async with (
        proxy(),
        AsyncOpenAI(api_key=KEY, websocket_base_url=base) as client,
        client.realtime.connect(model=MODEL_NAME) as connection,
    ):
        ready = asyncio.Event()
        speaking = asyncio.create_task(speak(connection, ready))
        await listen(connection, ready)
        await speaking


asyncio.run(main())
