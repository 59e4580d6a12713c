# pyright: basic, reportMissingImports=false
"""Strands Agents: a `BidiAgent` over its `BedrockNovaSonicModel`."""

import asyncio
import base64

from driver import GO_RESULT, MODEL, REGION, SYSTEM, VOICE, report, report_versions, speech
from strands import tool
from strands.bidi import BidiAgent
from strands.bidi.models.bedrock import BedrockNovaSonicModel
from strands.bidi.types.media import AudioDelta


@tool
def go(direction: str, meters: int) -> dict:
    """Move the robot.

    Args:
        direction: forward or backward
        meters: how far
    """
    report(tool="go", arguments={"direction": direction, "meters": meters})
    return GO_RESULT


async def listen(agent: BidiAgent) -> None:
    async for event in agent.receive():
        match event.get("type"):
            case "bidi_transcript_block":
                report(**{event["role"]: event["transcript"]})
            case "bidi_audio_delta":
                report(audio_bytes=len(base64.b64decode(event["audio"])))
            case "bidi_barge_in":
                report(interrupted=True)


async def main() -> None:
    report_versions("strands-agents")
    model = BedrockNovaSonicModel(model_id=MODEL, region=REGION, voice=VOICE)
    agent = BidiAgent(model=model, tools=[go], system_prompt=SYSTEM)
    async with agent:
        listening = asyncio.create_task(listen(agent))
        async for pcm in speech():
            await agent.send(AudioDelta(format="pcm", source={"bytes": pcm}))
    listening.cancel()  # `receive` does not end with the agent


asyncio.run(main())
