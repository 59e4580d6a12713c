"""Placeholders: `{user}`, `{result.field}`, `{variable}`, and the values that replace them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Name of a variable."""
PATH = re.compile(rf"({NAME.pattern})((?:\.[^\s.{{}}]+)*)")
"""Content of a placeholder, and subject of a condition: a name, and fields of its value."""
PLACEHOLDER = re.compile(rf"\{{{PATH.pattern}\}}")
"""A placeholder in a text."""

MISSING = object()
"""Result of `look_up` if there is no value. A null is a value."""


def fill(template: Any, values: Mapping[str, Any], missing: Callable[[str], None]) -> Any:
    """Return a template with its placeholders replaced, in strings at any depth.

    Args:
        template: A string, or lists and mappings of strings.
        values: The value of each name.
        missing: Called with each placeholder that has no value, which stays as it is.
    """
    if isinstance(template, dict):
        items = cast("dict[str, Any]", template).items()
        return {key: fill(value, values, missing) for key, value in items}
    if isinstance(template, list):
        return [fill(value, values, missing) for value in cast("list[Any]", template)]
    if not isinstance(template, str):
        return template
    if alone := PLACEHOLDER.fullmatch(template):
        return _value(alone, values, missing)
    return PLACEHOLDER.sub(lambda found: as_said(_value(found, values, missing)), template)


def _value(found: re.Match[str], values: Mapping[str, Any], missing: Callable[[str], None]) -> Any:
    value = look_up(found[0][1:-1], values)
    if value is MISSING:
        missing(found[0])
        return found[0]
    return value


def look_up(path: str, values: Mapping[str, Any]) -> Any:
    """Return the value at a path.

    Args:
        path: A name and fields, as in `result.price`.
        values: The value of each name.

    Returns:
        The value, or `MISSING`.
    """
    value: Any = values
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = cast("Mapping[str, Any]", value)[name]
    return value


def as_said(value: Any) -> str:
    """Return a value as it is written in a sentence.

    Args:
        value: The value.
    """
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def names_in(template: Any) -> Iterator[str]:
    """Yield the names of the placeholders in a template.

    Args:
        template: A string, or lists and mappings of strings.
    """
    if isinstance(template, dict):
        template = list(cast("dict[str, Any]", template).values())
    if isinstance(template, list):
        for value in cast("list[Any]", template):
            yield from names_in(value)
    elif isinstance(template, str):
        yield from (found[1] for found in PLACEHOLDER.finditer(template))
