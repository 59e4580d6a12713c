"""JSON of a chat endpoint, read as the type that is expected, or as an empty value of it."""

import json
from collections.abc import Mapping
from typing import Any, cast

type Json = Mapping[str, Any]
"""A JSON object."""


def parse_object(text: str) -> Json | None:
    """Return the JSON object in a text, or None if it holds anything else.

    Args:
        text: The text.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast(Json, read) if isinstance(read, dict) else None


def as_object(value: Any) -> Json:
    """Return a JSON value as an object, empty if it is none.

    Args:
        value: The value.
    """
    return cast(Json, value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a JSON value as a list, empty if it is none.

    Args:
        value: The value.
    """
    return cast(list[Any], value) if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return a JSON value as a text, empty if it is none.

    Args:
        value: The value.
    """
    return value if isinstance(value, str) else ""
