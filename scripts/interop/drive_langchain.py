# pyright: basic, reportMissingImports=false
"""LangChain: a session of `ChatBedrockNovaSonic`, which has neither tools nor barge-in."""

import asyncio
import json
from contextlib import suppress

from driver import ENDPOINT, MODEL, REGION, SYSTEM, VOICE, report, report_versions, speech
from langchain_aws.chat_models.bedrock_nova_sonic import ChatBedrockNovaSonic


async def listen(session) -> None:
    stage = None
    async for event in session.receive_events():
        match event["type"]:
            case "content_start":
                fields = event["content_start"].get("additionalModelFields", "{}")
                stage = json.loads(fields).get("generationStage")
            case "text" if event["role"] == "USER":
                report(user=event["text"])
            case "text" if stage == "SPECULATIVE":
                report(assistant=event["text"])
            case "audio":
                report(audio_bytes=len(event["audio"]))


async def main() -> None:
    report_versions("langchain-aws")
    model = ChatBedrockNovaSonic(
        model=MODEL, region_name=REGION, voice_id=VOICE, endpoint_url=ENDPOINT
    )
    async with model.create_session(system_prompt=SYSTEM) as session:
        await session.start_audio_input()
        listening = asyncio.create_task(listen(session))
        async for pcm in speech():
            await session.send_audio_chunk(pcm)
        # Its reader would loop forever at the end of the stream, without yielding to other tasks.
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await session.end_audio_input()


asyncio.run(main())
