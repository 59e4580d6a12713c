"""The tool of the pizza callers."""

from typing import Any, Literal

from sonic_voice import tool


@tool
def order(size: Literal["small", "large"], count: int = 1) -> dict[str, Any]:
    """Order pizzas."""
    return {"price": {"small": 9, "large": 12}[size] * count}
