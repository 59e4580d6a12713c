# pyright: basic, reportMissingImports=false
"""pipecat: its Nova Sonic service in a pipeline whose transport is this file."""

import asyncio
import os

from pipecat.adapters.schemas.function_schema import FunctionSchema
from pipecat.adapters.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMRunFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService
from pipecat.workers.runner import WorkerRunner
from stage import (
    GO_DESCRIPTION,
    GO_SCHEMA,
    INPUT_HZ,
    MODEL,
    REGION,
    SYSTEM,
    VOICE,
    WENT,
    speech,
    tell,
    tell_versions,
)


class Ear(FrameProcessor):
    """Tells what comes from the service past it."""

    async def process_frame(self, frame, direction) -> None:
        await super().process_frame(frame, direction)
        match frame:
            case TranscriptionFrame():
                tell(user=frame.text)
            case LLMTextFrame():
                tell(assistant=frame.text)
            case TTSAudioRawFrame():
                tell(audio_bytes=len(frame.audio))
            case InterruptionFrame() if direction is FrameDirection.DOWNSTREAM:
                tell(interrupted=True)
        await self.push_frame(frame, direction)


async def go(call) -> None:
    tell(tool="go", arguments=dict(call.arguments))
    await call.result_callback(WENT)


async def speak(worker: PipelineWorker) -> None:
    await worker.queue_frame(LLMRunFrame())
    async for pcm in speech():
        await worker.queue_frame(InputAudioRawFrame(pcm, INPUT_HZ, 1))
    await worker.queue_frame(EndFrame())


async def main() -> None:
    tell_versions("pipecat-ai")
    service = AWSNovaSonicLLMService(
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=REGION,
        settings=AWSNovaSonicLLMService.Settings(
            model=MODEL, voice=VOICE, system_instruction=SYSTEM
        ),
    )
    service.register_function("go", go)
    schema = FunctionSchema("go", GO_DESCRIPTION, GO_SCHEMA["properties"], GO_SCHEMA["required"])
    pair = LLMContextAggregatorPair(LLMContext(tools=ToolsSchema(standard_tools=[schema])))
    # What was heard goes up from the service, what is said goes down.
    pipeline = Pipeline([pair.user(), Ear(), service, Ear(), pair.assistant()])
    worker = PipelineWorker(pipeline)
    speaking = asyncio.create_task(speak(worker))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()
    await speaking


asyncio.run(main())
