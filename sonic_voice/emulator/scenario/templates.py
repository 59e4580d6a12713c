"""Holders: `{user}`, `{result.field}`, `{variable}`, and the values that take their place."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What a variable may be called."""
PATH = re.compile(rf"({NAME.pattern})((?:\.[^\s.{{}}]+)*)")
"""What stands in a holder, and before a condition: a name, and fields of its value."""
PLACEHOLDER = re.compile(rf"\{{{PATH.pattern}\}}")

MISSING = object()
"""What `look_up` finds where there is nothing; a null is something."""


def fill(template: Any, values: Mapping[str, Any], missing: Callable[[str], None]) -> Any:
    """`template` with its holders replaced, in strings at any depth.

    A holder without a value stays as it is and is told to `missing`.
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
    """The value at `path`, as in `result.price`; `MISSING` if there is none."""
    value: Any = values
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = cast("Mapping[str, Any]", value)[name]
    return value


def as_said(value: Any) -> str:
    """`value` within a sentence."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def names_in(template: Any) -> Iterator[str]:
    """The names that the holders in `template` begin with."""
    if isinstance(template, dict):
        template = list(cast("dict[str, Any]", template).values())
    if isinstance(template, list):
        for value in cast("list[Any]", template):
            yield from names_in(value)
    elif isinstance(template, str):
        yield from (found[1] for found in PLACEHOLDER.finditer(template))
