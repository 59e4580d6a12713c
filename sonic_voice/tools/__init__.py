"""Tools: Python functions that the model may call while it talks."""

from .toolbox import Tool, Toolbox, tool

__all__ = ["Tool", "Toolbox", "tool"]
