"""The tool `draw_image`: a picture by Nova Canvas, saved in a folder.

    draw = image_tool("pictures")                    # with the AWS settings of the environment
    draw = image_tool("pictures", operations=client, on_file=show)

A page shows the picture. The result names the file, so that the terminal and the transcript show
where it is.

Source: user guide of Amazon Nova, "Request and response structure for image generation".
"""

import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..daemon_thread import in_thread
from ..errors import SonicError
from ..private_files import write_private
from ..tools.context import ToolContext
from ..tools.toolbox import Tool, tool
from .explanations import explain
from .shared_client import OperationsSource

if TYPE_CHECKING:
    from ..bedrock.operations import BedrockOperations

MODEL = "amazon.nova-canvas-v1:0"
"""Default model."""

PROMPT_CHARACTERS = 1024
"""Maximum length of a description, in characters. The model refuses longer ones."""

DRAWING_S = 60.0
"""Maximum time for a picture, in seconds. The model takes about ten."""


def image_tool(
    folder: str | Path,
    *,
    operations: "BedrockOperations | None" = None,
    model: str = MODEL,
    size: int = 1024,
    on_file: Callable[[Path], object] | None = None,
) -> Tool[..., Any]:
    """Return the tool.

    Args:
        folder: Where pictures are saved. It is created when the first one is.
        operations: The client; None for one with the AWS settings of the environment.
        model: Id of the model.
        size: Width and height, in pixels: 320 to 4096, a multiple of 16.
        on_file: Called with each picture's file, to show it.
    """
    source = OperationsSource(operations)

    async def draw_image(
        description: Annotated[str, "What the picture shows, in English, in one or two sentences."],
        context: ToolContext,
    ) -> dict[str, Any]:
        """Draw a picture for the user. It takes about ten seconds."""
        body = {
            "taskType": "TEXT_IMAGE",
            "textToImageParams": {"text": description[:PROMPT_CHARACTERS]},
            "imageGenerationConfig": {"numberOfImages": 1, "width": size, "height": size},
        }
        try:
            answer = await source.get().invoke_model(model, body, timeout_s=DRAWING_S)
        except SonicError as error:
            return explain(error)
        images: list[str] = answer.get("images") or []
        problem = answer.get("error")
        if problem or not images:
            reason = str(problem or "The model sent no picture.")
            return {"error": "The picture was not drawn. Say why.", "detail": reason}
        picture = b64decode(images[0])
        try:
            path = await in_thread(lambda: _save(Path(folder), description, picture), "picture")
        except OSError as error:
            return {
                "error": "The picture was drawn and cannot be saved. Say so.",
                "detail": f"{folder}: {error.strerror or error}",
            }
        if on_file is not None:
            on_file(path)
        shown = _show(context, picture, description)
        place = "on the page" if shown else f"in the file {path.name}"
        return {"file": str(path), "tell_the_user": f"It is {place}."}

    return tool(timeout_s=DRAWING_S + 10)(draw_image)


def _show(context: ToolContext, picture: bytes, description: str) -> bool:
    """Show a picture to the user, and return whether there is a page on which it is."""
    try:
        return context.show(picture, description) and context.on_page
    except ValueError:  # too large for a page
        return False


def _save(folder: Path, description: str, picture: bytes) -> Path:
    """Save a picture under a name that its description gives, and return the file."""
    words = re.findall(r"[a-z0-9]+", description.lower())[:6]
    stem = "-".join(words) or "picture"
    number, path = 1, folder / f"{stem}.png"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.png"
    write_private(path, picture)
    return path
