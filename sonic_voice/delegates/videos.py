"""The tool `make_video`: a video by Nova Reel, which takes minutes, and is announced when ready.

    videos = VideoMaker("s3://my-bucket/videos/")
    tools = Toolbox([videos.tool])

The call returns when the service has begun. A task then asks how it stands (`GetAsyncInvoke`), and
has the result said to the user: by `say`, or else by the `say` of the call's `ToolContext`. The
tasks belong to the `VideoMaker`; `aclose` ends them.

Source: user guide of Amazon Nova, "Generating videos with Amazon Nova Reel"; API reference of
Amazon Bedrock, StartAsyncInvoke and GetAsyncInvoke.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

from ..errors import ConfigError, SonicError
from ..tools.context import ToolContext
from ..tools.toolbox import Tool, tool
from .explanations import explain
from .shared_client import OperationsSource

if TYPE_CHECKING:
    from ..bedrock.operations import BedrockOperations

MODEL = "amazon.nova-reel-v1:1"
"""Default model."""

PROMPT_CHARACTERS = 512
"""Maximum length of a description, in characters. The model refuses longer ones."""

POLL_S = 10.0
"""Default time between two questions how an invocation stands, in seconds: a video of six seconds
takes about 90."""

REQUEST_TIMEOUT_S = 20.0
"""Maximum time for one request, in seconds."""

GIVE_UP_S = 1800.0
"""Maximum time for a video, in seconds. One of two minutes takes about 15 minutes."""

FAILURES = 5
"""Number of questions in a row that may fail before the invocation is given up."""

type Say = Callable[[str], object]
"""Has words said to the user when nobody speaks."""


class VideoMaker:
    """The tool, and the invocations that it has begun.

    Args:
        bucket: Where the service writes videos: `s3://bucket/prefix`.
        operations: The client; None for one with the AWS settings of the environment.
        model: Id of the model.
        say: Has a text said to the user; None for the `say` of the call's context.
        poll_s: Time between two questions how an invocation stands, in seconds.

    Raises:
        ConfigError: The bucket is no S3 URI.
    """

    def __init__(
        self,
        bucket: str,
        *,
        operations: "BedrockOperations | None" = None,
        model: str = MODEL,
        say: Say | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        if not bucket.startswith("s3://"):
            raise ConfigError(
                f"{bucket!r} is no place for videos.", hint="Name a bucket: s3://bucket/folder."
            )
        self._bucket = bucket
        self._source = OperationsSource(operations)
        self._model = model
        self._say = say
        self._poll_s = poll_s
        self._watching: set[asyncio.Task[None]] = set()
        self.tool: Tool[..., Any] = tool(timeout_s=REQUEST_TIMEOUT_S + 5)(self._tool_function())
        """The tool, for a `Toolbox`."""

    @property
    def pending(self) -> int:
        """Number of videos that are being made."""
        return len(self._watching)

    async def aclose(self) -> None:
        """Stop asking how invocations stand. The service goes on with them."""
        watching = tuple(self._watching)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)

    def _tool_function(self) -> Callable[..., Any]:
        async def make_video(
            description: Annotated[str, "What the video shows, in English, in one sentence."],
            context: ToolContext,
        ) -> dict[str, Any]:
            """Begin to make a video of six seconds. It takes minutes; the user is told when."""
            return await self._start(description, self._say or context.say)

        return make_video

    async def _start(self, description: str, say: Say) -> dict[str, Any]:
        document = {
            "modelId": self._model,
            "clientRequestToken": str(uuid4()),
            "modelInput": {
                "taskType": "TEXT_VIDEO",
                "textToVideoParams": {"text": description[:PROMPT_CHARACTERS]},
                "videoGenerationConfig": {
                    "durationSeconds": 6,
                    "fps": 24,
                    "dimension": "1280x720",
                },
            },
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": self._bucket}},
        }
        operations = self._source.get()
        try:
            answer = await operations.call(
                "start_async_invoke", document, timeout_s=REQUEST_TIMEOUT_S
            )
        except SonicError as error:
            return explain(error)
        arn = str(answer.get("invocationArn", ""))
        task = asyncio.create_task(self._watch(arn, description, say), name="video")
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        note = "It takes a few minutes. You will be asked to tell the user when it is ready."
        return {"started": True, "note": note}

    async def _watch(self, arn: str, description: str, say: Say) -> None:
        """Wait until an invocation is over, and have the user told."""
        say(await self._outcome(arn, description))

    async def _outcome(self, arn: str, description: str) -> str:
        """Return what the user is to be told when an invocation is over."""
        failed = 0
        what = f'The video "{description[:80]}"'
        try:
            async with asyncio.timeout(GIVE_UP_S):
                while True:
                    await asyncio.sleep(self._poll_s)
                    try:
                        answer = await self._source.get().call(
                            "get_async_invoke",
                            {"invocationArn": arn},
                            timeout_s=REQUEST_TIMEOUT_S,
                        )
                    except SonicError as error:
                        failed += 1
                        if failed == FAILURES:
                            return f"{what} was lost: {error.message}"
                        continue
                    failed = 0
                    if answer.get("status") == "Completed":
                        place = answer.get("outputDataConfig", {}).get("s3OutputDataConfig", {})
                        uri = place.get("s3Uri", self._bucket)
                        return f"{what} is ready. It is in {uri}."
                    if answer.get("status") == "Failed":
                        reason = answer.get("failureMessage") or "no reason was given"
                        return f"{what} failed: {reason}"
        except TimeoutError:
            return f"{what} is not ready after {GIVE_UP_S / 60:.0f} minutes."
