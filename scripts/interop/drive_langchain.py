# pyright: basic, reportMissingImports=false
"""LangChain's client: a session of `ChatBedrockNovaSonic`. It knows neither tools nor barge-in."""

import asyncio
import json
from contextlib import suppress

from langchain_aws.chat_models.bedrock_nova_sonic import ChatBedrockNovaSonic
from stage import ENDPOINT, MODEL, REGION, SYSTEM, VOICE, speech, tell, tell_versions


async def listen(session) -> None:
    stage = None
    async for event in session.receive_events():
        match event["type"]:
            case "content_start":
                fields = event["content_start"].get("additionalModelFields", "{}")
                stage = json.loads(fields).get("generationStage")
            case "text" if event["role"] == "USER":
                tell(user=event["text"])
            case "text" if stage == "SPECULATIVE":
                tell(assistant=event["text"])
            case "audio":
                tell(audio_bytes=len(event["audio"]))


async def main() -> None:
    tell_versions("langchain-aws")
    model = ChatBedrockNovaSonic(
        model=MODEL, region_name=REGION, voice_id=VOICE, endpoint_url=ENDPOINT
    )
    async with model.create_session(system_prompt=SYSTEM) as session:
        await session.start_audio_input()
        listening = asyncio.create_task(listen(session))
        async for pcm in speech():
            await session.send_audio_chunk(pcm)
        # At the stream's end its reader would spin for ever without giving way: end it before.
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await session.end_audio_input()


asyncio.run(main())
