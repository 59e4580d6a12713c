# pyright: basic, reportMissingImports=false
"""Strands Agents: a `BidiAgent` over its `BedrockNovaSonicModel`."""

import asyncio
import base64

from stage import MODEL, REGION, SYSTEM, VOICE, WENT, speech, tell, tell_versions
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
    tell(tool="go", arguments={"direction": direction, "meters": meters})
    return WENT


async def listen(agent: BidiAgent) -> None:
    async for event in agent.receive():
        match event.get("type"):
            case "bidi_transcript_block":
                tell(**{event["role"]: event["transcript"]})
            case "bidi_audio_delta":
                tell(audio_bytes=len(base64.b64decode(event["audio"])))
            case "bidi_barge_in":
                tell(interrupted=True)


async def main() -> None:
    tell_versions("strands-agents")
    model = BedrockNovaSonicModel(model_id=MODEL, region=REGION, voice=VOICE)
    agent = BidiAgent(model=model, tools=[go], system_prompt=SYSTEM)
    async with agent:
        listening = asyncio.create_task(listen(agent))
        async for pcm in speech():
            await agent.send(AudioDelta(format="pcm", source={"bytes": pcm}))
    listening.cancel()  # `receive` does not end with the agent


asyncio.run(main())
