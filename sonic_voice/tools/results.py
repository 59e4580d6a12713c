"""Results of tool calls, as the service takes them: one JSON object for each call.

A result that cannot be sent is an error of the tool. The model is told of errors in a form from
which it can correct its arguments or inform the user.
"""

import dataclasses
import json
from datetime import date, time
from enum import Enum

from ..printable import encodable

RESULT_BYTES = 100_000
"""Maximum size of a result, in bytes. That is about 25,000 tokens, more than a spoken answer can
use, and a tenth of a chunk, so that it still fits when it is escaped as JSON within JSON."""

_ERROR_CHARACTERS = 1_000
"""Maximum length of an error message for the model, in characters."""

_BINARY = (bytes, bytearray)
"""Types whose text is of no use to the model."""


def error_result(text: str) -> str:
    """Return the result of a call that failed: `{"error": text}`.

    Args:
        text: The message for the model; it is cut after `_ERROR_CHARACTERS`.
    """
    clean = encodable(text[:_ERROR_CHARACTERS])
    return json.dumps({"error": clean}, ensure_ascii=False)


def cancelled_result() -> str:
    """Return the result of a cancelled call; the service expects one for it too."""
    return error_result("The call was cancelled.")


def silent_result(result_json: str) -> str:
    """Return a result with the request to say nothing about it.

    The service has no field for this. AWS's prompting guide for Nova 2.5 puts what is to be said
    and done next into the result, as `speak` and `next`; here the first is empty, and the second
    says so in words. Whether the model obeys was not measured.

    Args:
        result_json: A JSON object as a string. Members with these names are replaced.
    """
    request = {"speak": "", "next": "Say nothing. No further actions are needed."}
    return json.dumps(json.loads(result_json) | request, ensure_ascii=False)


def result_json(value: object) -> str:
    """Return the JSON object for a return value, as the service requires (reference 2.7).

    A dict or a dataclass becomes the object, None the empty object, and any other value its member
    `result`.

    Args:
        value: What the tool returned.

    Raises:
        ValueError: The object is larger than `RESULT_BYTES`.
        TypeError: The value cannot be converted to JSON.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if value is None:
        value = {}
    elif not isinstance(value, dict):
        value = {"result": value}
    text = json.dumps(value, default=_json_fallback, ensure_ascii=False, allow_nan=False)
    size = len(text.encode())
    if size > RESULT_BYTES:
        raise ValueError(f"the result has {size} bytes, {RESULT_BYTES} are the limit; ask for less")
    return text


def _json_fallback(value: object) -> object:
    """Return a JSON value for an object that JSON cannot express.

    `str` is used only if the class defines it, as decimals, paths and UUIDs do. Otherwise the model
    would read out `<Robot object at 0x7f...>`.

    Raises:
        TypeError: The object is binary, or its class does not define `__str__`.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    match value:
        case Enum():
            return value.value
        case date() | time():  # datetime is a date
            return value.isoformat()
        case set() | frozenset():
            return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _ if type(value).__str__ is not object.__str__ and not isinstance(value, _BINARY):
            return str(value)
        case _:
            raise TypeError(f"the result has a {type(value).__name__}, which is not JSON")
