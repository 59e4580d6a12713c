# pyright: basic, reportMissingImports=false
"""pipecat: its Nova Sonic service in a pipeline whose transport is this file."""

import asyncio
import os

from driver import (
    GO_DESCRIPTION,
    GO_RESULT,
    GO_SCHEMA,
    INPUT_HZ,
    MODEL,
    REGION,
    SYSTEM,
    VOICE,
    report,
    report_versions,
    speech,
)
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


class Reporter(FrameProcessor):
    """A processor that reports the service's frames and passes all frames on."""

    async def process_frame(self, frame, direction) -> None:
        await super().process_frame(frame, direction)
        match frame:
            case TranscriptionFrame():
                report(user=frame.text)
            case LLMTextFrame():
                report(assistant=frame.text)
            case TTSAudioRawFrame():
                report(audio_bytes=len(frame.audio))
            case InterruptionFrame() if direction is FrameDirection.DOWNSTREAM:
                report(interrupted=True)
        await self.push_frame(frame, direction)


async def go(call) -> None:
    report(tool="go", arguments=dict(call.arguments))
    await call.result_callback(GO_RESULT)


async def speak(worker: PipelineWorker) -> None:
    await worker.queue_frame(LLMRunFrame())
    async for pcm in speech():
        await worker.queue_frame(InputAudioRawFrame(pcm, INPUT_HZ, 1))
    await worker.queue_frame(EndFrame())


async def main() -> None:
    report_versions("pipecat-ai")
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
    # Transcripts of the user go upstream from the service, the answers go downstream.
    pipeline = Pipeline([pair.user(), Reporter(), service, Reporter(), pair.assistant()])
    worker = PipelineWorker(pipeline)
    speaking = asyncio.create_task(speak(worker))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()
    await speaking


asyncio.run(main())
