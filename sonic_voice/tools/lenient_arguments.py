"""Decode a model's arguments, and repair or refuse values that pydantic's lax mode would misread.

Models write `"5"` for 5, `"[1, 2]"` for a list, null for a property that they omit, and sometimes
encode the whole object twice. Pydantic's lax mode accepts the first, but it also reads `true` as 1,
a number as a date and "nan" as a number. `prepare_value` compares the arguments with the schema
that the model was given, and passes on only values that pydantic reads as they were meant:

    boolean or a number that is not finite, where a number is wanted      refused
    number, where a boolean or text is wanted, dates and times included    refused
    text of a number, where a date or a time is wanted                    refused
    property that the schema does not have                                refused
    null, where a property may be left out                                left out
    text with a JSON list or object, where one is wanted                  decoded
    text of a number or boolean that says it without loss                 the number or boolean
    other text, where a number or a boolean is wanted                     refused
    2.0, where a whole number is wanted                                   2
    date or time in any form of ISO 8601                                  its usual form
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, cast

from .argument_errors import (
    ArgumentPath,
    ArgumentsError,
    expected_value,
    path_text,
    shortened_json,
    wrong_value,
)

_ISO_READERS: dict[str, type[date] | type[time]] = {
    "date": date,
    "time": time,
    "date-time": datetime,
}
"""Type that reads each string format of dates and times."""

_NUMBER_TEXT = re.compile(r"\s*[-+]?[\d._]+(e[-+]?\d+)?\s*", re.IGNORECASE)
"""Text of a number, which pydantic would read as a time in seconds."""

MAX_ENCODINGS = 3
"""Maximum number of times that the arguments may be encoded as JSON. Two were observed (protocol
reference 3.8)."""


def decode_arguments(text: str) -> dict[str, Any]:
    """Return the object in the arguments that the model sent.

    Args:
        text: JSON, encoded at most `MAX_ENCODINGS` times; empty text stands for no arguments.

    Raises:
        ArgumentsError: The text is not JSON, or its value is not an object.
    """
    value: Any = text if text.strip() else "{}"
    for _ in range(MAX_ENCODINGS):
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise ArgumentsError(f"The arguments are not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ArgumentsError(f"The arguments must be a JSON object, not {shortened_json(value)}")
    return cast(dict[str, Any], value)


def prepare_value(
    schema: Mapping[str, Any], value: Any, faults: dict[ArgumentPath, str], place: ArgumentPath = ()
) -> Any:
    """Return a value in the form that pydantic reads as it was meant.

    Args:
        schema: The flattened schema of the value.
        value: A JSON value.
        faults: Receives a message for each place whose value is refused.
        place: The place of the value.
    """
    kind = schema.get("type")
    if kind in ("array", "object") and isinstance(value, str):
        value = _parse_container(value, list if kind == "array" else dict)
    if kind == "object" and isinstance(value, dict):
        return _prepare_object(schema, cast(dict[str, Any], value), faults, place)
    if kind == "array" and isinstance(value, list):
        items = schema.get("items", {})
        return [
            prepare_value(items, item, faults, (*place, index))
            for index, item in enumerate(cast(list[Any], value))
        ]
    if kind in ("integer", "number", "boolean") and isinstance(value, str):
        held = _parse_scalar(value, of_integer=kind == "integer")
        if held is None or isinstance(held, bool) != (kind == "boolean"):
            faults[place] = wrong_value(place, expected_value(schema), value)
            return value
        value = held
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)  # pydantic would not find 2.0 among the choices of an enum
    if kind == "string" and isinstance(value, str):
        value = _normalize_iso(value, schema.get("format"))
    if _is_refused(schema, value):
        faults[place] = wrong_value(place, expected_value(schema), value)
    return value


def _prepare_object(
    schema: Mapping[str, Any],
    value: dict[str, Any],
    faults: dict[ArgumentPath, str],
    place: ArgumentPath,
) -> dict[str, Any]:
    properties: dict[str, Any] | None = schema.get("properties")
    required = schema.get("required", ())
    extra = schema.get("additionalProperties", properties is None)
    prepared: dict[str, Any] = {}
    for name, item in value.items():
        inside = (*place, name)
        if properties is not None and name in properties:
            if item is not None or name in required:
                prepared[name] = prepare_value(properties[name], item, faults, inside)
        elif extra is False:
            known = ", ".join(properties or ()) or "none"
            faults[inside] = f"{path_text(inside)} is not a parameter (they are: {known})"
        else:
            within = cast(dict[str, Any], extra if isinstance(extra, dict) else {})
            prepared[name] = prepare_value(within, item, faults, inside)
    return prepared


def _is_refused(schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether pydantic would misread a value."""
    kind = schema.get("type")
    if isinstance(value, bool):
        return kind in ("integer", "number", "string")
    if kind in ("integer", "number"):
        return not _is_finite(value, whole=kind == "integer")
    if isinstance(value, (int, float)):
        return kind in ("boolean", "string")
    if isinstance(value, str) and schema.get("format") in _ISO_READERS:
        return bool(_NUMBER_TEXT.fullmatch(value))
    return False


def _is_finite(value: Any, *, whole: bool) -> bool:
    """Return whether a value is finite, if it is a number or the text of one; otherwise True."""
    if whole and isinstance(value, int):
        return True
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
    except (TypeError, ValueError):
        return True  # no number at all: pydantic refuses it


def _parse_container(text: str, kind: type) -> Any:
    """Return the JSON value in a text if it is a `kind`, otherwise the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, kind) else text


def _parse_scalar(text: str, *, of_integer: bool) -> int | float | bool | None:
    """Return the number or boolean that a text expresses without loss; None if there is none.

    A number is taken if it can be written back: "5", "-0.25" and "1e3", but neither "05", which
    may be a code, nor more digits than a float keeps.
    """
    try:
        held: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match held:
        case bool():
            return held if text == json.dumps(held) else None
        case int():
            exact = text == str(held) and (of_integer or _is_exact_float(held))
            return held if exact else None
        case float() if not of_integer:
            exact = text == text.strip() and Decimal(text) == Decimal(repr(held))
            return held if exact else None
        case _:
            return None


def _is_exact_float(whole: int) -> bool:
    try:
        return float(whole) == whole
    except OverflowError:
        return False


def _normalize_iso(text: str, format: Any) -> str:
    """Return a date or time in the form that pydantic reads, and other text unchanged.

    Pydantic would take `20260314` for a number of seconds.
    """
    reader = _ISO_READERS.get(format)
    try:
        return reader.fromisoformat(text.strip()).isoformat() if reader else text
    except ValueError:
        return text
