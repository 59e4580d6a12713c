"""Tools: Python functions that the model may call while it talks."""

from .context import ToolContext
from .declaration import Tool, tool
from .toolbox import Toolbox

__all__ = ["Tool", "ToolContext", "Toolbox", "tool"]
