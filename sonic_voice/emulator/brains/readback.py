"""Tool results as spoken sentences.

    {"city": "paris", "temperature": 18.5}   Get weather: city is paris, and temperature is 18.5.
    {"text": "It is sunny."}                 It is sunny.
    {"error": "no such city"}                Get weather did not work: no such city.
    {"days": [{...}, {...}]}                 Forecast: 2 days. First: ... Second: ...
    {"id": 7, "speak": "It is booked."}      It is booked.

Nothing is left out silently: values that are too many to be spoken are counted ("and 4 more").
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from .tool_schema import name_words

MAX_FIELDS = 8
"""Maximum number of fields of an object that are spoken."""
MAX_ITEMS = 5
"""Maximum number of items of a list that are spoken."""
MAX_LETTERS = 400
"""Maximum length of a spoken text, in characters."""
MAX_DEPTH = 3
"""Maximum depth of nested objects and lists that are spoken."""

_PLAIN = ("result", "results", "output", "text", "message", "answer", "content", "summary", "value")
"""Names of a single field whose value is spoken without the name."""
_ORDER = ("First", "Second", "Third", "Fourth", "Fifth")


def read_back(tool: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the result of a tool in sentences.

    Args:
        tool: Name of the tool.
        result: Its result.

    Returns:
        At least one sentence.
    """
    name = " ".join(name_words(tool)).capitalize() or tool
    failure = _failure(result)
    if failure is not None:
        return (_sentence(f"{name} did not work: {failure}"),)
    if not result:
        return (f"{name} is done.",)
    speak = result.get("speak")
    if isinstance(speak, str) and speak.strip():  # AWS's guide for Nova 2.5, rule 14
        return (_sentence(_cut(speak)),)
    if len(result) == 1:
        ((key, value),) = result.items()
        if key in _PLAIN:
            return _plainly(name, value)
        if isinstance(value, list) and value:
            return _listed(name, key, cast("list[Any]", value))
    return (_sentence(f"{name}: {_fields(result, 0)}"),)


def _failure(result: Mapping[str, Any]) -> str | None:
    error = result.get("error")
    if error:
        if isinstance(error, dict) and "message" in error:
            error = cast("dict[str, Any]", error)["message"]
        return _spoken_value(error, 0) if error is not True else "it gave no reason"
    if str(result.get("status", "")).lower() in ("error", "failed", "failure"):
        reason = next((result[key] for key in ("message", "reason") if key in result), None)
        return "it gave no reason" if reason is None else _spoken_value(reason, 0)
    return None


def _plainly(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value.strip():
        return (_sentence(_cut(value)),)
    if isinstance(value, list) and value:
        return _listed(name, "results", cast("list[Any]", value))
    return (_sentence(f"{name}: {_spoken_value(value, 0)}"),)


def _listed(name: str, key: str, values: Sequence[Any]) -> tuple[str, ...]:
    """Return a sentence for each object of a list; a list of anything else is one sentence."""
    if not all(isinstance(value, dict) for value in values):
        return (_sentence(f"{name}: {_spoken(key)}: {_spoken_value(values, 0)}"),)
    head = f"{name}: {_counted(len(values), key)}."
    items = zip(_ORDER, values, strict=False)
    lines = [_sentence(f"{nth}: {_spoken_value(value, 1)}") for nth, value in items]
    rest = len(values) - MAX_ITEMS
    return (head, *lines, *((f"And {rest} more.",) if rest > 0 else ()))


def _counted(count: int, key: str) -> str:
    noun = _spoken(key)
    if count == 1 and noun.endswith("s"):
        noun = noun[:-1]
    return f"{count} {noun}"


def _fields(fields: Mapping[str, Any], depth: int) -> str:
    shown = [(key, value) for key, value in fields.items() if value is not None]
    parts = [
        f"{_spoken(key)}: {_spoken_value(value, depth + 1)}"
        if isinstance(value, (dict, list)) and value
        else f"{_spoken(key)} is {_spoken_value(value, depth + 1)}"
        for key, value in shown[:MAX_FIELDS]
    ]
    if len(shown) > MAX_FIELDS:
        parts.append(f"{len(shown) - MAX_FIELDS} more")
    return _and(parts) if parts else "nothing"


def _spoken_value(value: Any, depth: int) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return _fields(fields, depth) if depth < MAX_DEPTH else f"{len(fields)} fields"
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if depth >= MAX_DEPTH:
            return f"{len(items)} values"
        spoken = [_spoken_value(item, depth + 1) for item in items[:MAX_ITEMS]]
        if len(items) > MAX_ITEMS:
            spoken.append(f"{len(items) - MAX_ITEMS} more")
        return _and(spoken) if spoken else "nothing"
    return _cut(str(value)) or "nothing"


def _and(parts: Sequence[str]) -> str:
    return ", and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _spoken(key: str) -> str:
    return " ".join(name_words(key)) or "value"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= MAX_LETTERS:
        return text
    return text[:MAX_LETTERS].rpartition(" ")[0] + ", and so on"


def _sentence(text: str) -> str:
    return text if text[-1:] in (".", "!", "?") else f"{text}."
