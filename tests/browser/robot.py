"""A tool for `serve --tools`."""

from typing import Any, Literal

from sonic_voice import tool


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}
