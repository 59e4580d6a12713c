"""Describe errors in a tool's arguments to the model, so that it can correct them.

The message for a value of the wrong type is made from the schema that the model was given; the one
for a limit or a validator comes from pydantic. An `ArgumentPath` is a tuple of property names and
list indexes.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from .schema_parts import Schema

type ArgumentPath = tuple[str | int, ...]
"""Place of a value in the arguments; empty for the arguments themselves."""

ISO_FORMATS = {
    "date": "a date in ISO 8601, such as 2026-03-14",
    "time": "a time in ISO 8601, such as 15:09:26",
    "date-time": "a date-time in ISO 8601, such as 2026-03-14T15:09:26",
    "duration": "a duration in ISO 8601, such as PT1H30M",
}
"""Description of each string format that the model has to write exactly."""

_EXPECTED = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a string",
    "array": "a list",
}
"""Words for the values of each type."""

_VALUE_CHARACTERS = 80
"""Maximum length of a wrong value in an error message, in characters."""

_MISSING = (
    *("missing", "missing_argument"),
    *("missing_keyword_only_argument", "missing_positional_only_argument"),
)
"""Pydantic's errors for a value that is not given."""

_WRONG_TYPE = re.compile(
    r".*(_type|_parsing|_parsing_size|_from_float|_inexact|_object_invalid)"
    r"|finite_number|literal_error|enum"
)
"""Pydantic's errors for a value that is not of the type in the schema. Other errors are about
limits and validators, and their messages say which."""

_SUBJECT = re.compile(r"^(?:[A-Z]\w*(?: \w+)?) should ")
"""Begin of pydantic's messages about limits, such as "Input should "."""


class ArgumentsError(Exception):
    """An error in a tool's arguments that the model can correct; its message is for the model."""


def describe_error(
    error: Mapping[str, Any], schema: Schema, arguments: Mapping[str, Any]
) -> tuple[ArgumentPath, str]:
    """Return the place of an error, and the message for the model.

    Args:
        error: An entry of pydantic's `ValidationError.errors()`.
        schema: The flattened schema of the arguments.
        arguments: The arguments that were validated.
    """
    place, part = _locate(error, schema, arguments)
    kind, value = error["type"], error["input"]
    if kind in _MISSING:
        return place, f"{path_text(place)} is missing"
    if kind in ("value_error", "assertion_error"):
        return place, f"{path_text(place)}: {error.get('ctx', {}).get('error', error['msg'])}"
    wanted = expected_value(part)
    text_in_wrong_form = wanted == expected_value({"type": "string"}) and isinstance(value, str)
    if _WRONG_TYPE.fullmatch(kind) and wanted and not text_in_wrong_form:
        return place, wrong_value(place, wanted, value)
    text = error["msg"]
    if not _SUBJECT.match(text):
        return place, f"{path_text(place)}: {text}"
    limit = _SUBJECT.sub("must ", text)
    given = "" if ", not " in limit else f", not {shortened_json(value)}"
    return place, f"{path_text(place)} {limit}{given}"


def _locate(
    error: Mapping[str, Any], schema: Schema, arguments: Mapping[str, Any]
) -> tuple[ArgumentPath, Schema]:
    """Return the place of an error, and the schema there.

    Pydantic's locations also contain names of alternatives and validators. They are recognised by
    the value, which has no such property, and left out.
    """
    place: list[str | int] = []
    value: Any = arguments
    for left, step in zip(range(len(error["loc"]))[::-1], error["loc"], strict=True):
        missing = error["type"] in _MISSING and not left
        if isinstance(value, dict) and (step in value or missing):
            value = cast(dict[str, Any], value).get(str(step))
            schema = _property_schema(schema, step)
        elif isinstance(value, list) and isinstance(step, int):
            items = cast(list[Any], value)
            value = items[step] if step < len(items) else None
            schema = schema.get("items", {})
        else:
            continue
        place.append(step)
    return tuple(place), schema


def _property_schema(schema: Schema, name: str | int) -> Schema:
    extra = schema.get("additionalProperties")
    known: Schema = schema.get("properties", {})
    return known.get(str(name)) or (cast(Schema, extra) if isinstance(extra, dict) else {})


def expected_value(schema: Mapping[str, Any]) -> str:
    """Return a description of the values that a schema accepts, for the model.

    Args:
        schema: A flattened schema.

    Returns:
        Words such as `a whole number`; empty if the schema accepts any value.
    """
    if "enum" in schema:
        return f"one of {json.dumps(schema['enum'])}"
    if schema.get("type") == "object":
        return "a JSON object" if "properties" in schema else "an object"
    return ISO_FORMATS.get(schema.get("format", "")) or _EXPECTED.get(schema.get("type", ""), "")


def wrong_value(place: ArgumentPath, wanted: str, value: Any) -> str:
    """Return the message for a value of the wrong type.

    Args:
        place: The place of the value.
        wanted: The description of the values that are accepted there.
        value: The value.
    """
    return f"{path_text(place)} must be {wanted}, not {shortened_json(value)}"


def shortened_json(value: Any) -> str:
    """Return a value as JSON, cut after `_VALUE_CHARACTERS`.

    Args:
        value: A JSON value; others are converted by `str`.
    """
    return json.dumps(value, default=str)[:_VALUE_CHARACTERS]


def path_text(place: ArgumentPath) -> str:
    """Return a place as text, such as `points[0].name`.

    Args:
        place: The place; empty for the arguments themselves.
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".") or "The arguments"
