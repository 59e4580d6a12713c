"""Filler for words and ids, of the same length: what a redacted tape has in their place.

- A letter becomes x or X, a digit 0; spaces and punctuation stay. What was a part of another text
  is still a part of its filler, so that planned, spoken and heard texts go on belonging together.
- An id becomes the same other id everywhere.
- A key of arguments and results becomes the same other key everywhere.
"""

import json
from collections.abc import Iterable
from typing import Any, cast

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Digits of the numbers in ids and keys."""

SCHEMA_WORDS = frozenset(
    """
    $defs $ref additionalProperties allOf anyOf const default description enum examples
    exclusiveMaximum exclusiveMinimum format items maxItems maxLength maximum minItems minLength
    minimum multipleOf oneOf pattern properties required title type uniqueItems
    """.split()
)
"""Keywords of JSON Schema, which are kept where a schema has them."""


class Filler:
    """The replacements of one tape.

    Args:
        ids: All ids of the tape. No replacement is one of them.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self._original_ids = frozenset(ids)
        self._ids: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return filler for words.

        Args:
            text: The words.
        """
        return "".join(map(_filler_character, text))

    def id(self, text: str) -> str:
        """Return the replacement of an id.

        Args:
            text: The id.
        """
        if not text:
            return text
        if text not in self._ids:
            taken = {*self._original_ids, *self._ids.values()}
            self._ids[text] = _numbered(text, taken, len(self._ids))
        return self._ids[text]

    def key(self, text: str) -> str:
        """Return the replacement of a key of arguments or of a result.

        Args:
            text: The key.
        """
        if text not in self._keys:
            taken = {*self._keys, *self._keys.values(), text}
            self._keys[text] = _numbered(text, taken, len(self._keys))
        return self._keys[text]

    def json_text(self, text: str) -> str:
        """Return filler for a string that may hold JSON: arguments, a result, or words.

        Args:
            text: The string.
        """
        value = parsed(text)
        if not isinstance(value, dict | list):
            return self.text(text)
        return compact(self.value(value))

    def value(self, value: Any) -> Any:
        """Return filler for a JSON value: 0 for numbers, False for truth values.

        Args:
            value: The value.
        """
        match value:
            case dict():
                members = cast(dict[str, Any], value)
                return {self.key(key): self.value(member) for key, member in members.items()}
            case list():
                return [self.value(member) for member in cast(list[Any], value)]
            case str():
                return self.id(value) if value in self._original_ids else self.json_text(value)
            case bool():
                return False
            case int():
                return 0
            case float():
                return 0.0
            case _:
                return None

    def schema(self, schema: Any, *, names: bool = False) -> Any:
        """Return a JSON schema with other names and descriptions, but of the same form.

        Args:
            schema: The schema, or a part of it.
            names: Whether the keys are names of the application, as below `properties`.
        """
        if isinstance(schema, list):
            return [self.schema(part) for part in cast(list[Any], schema)]
        if not isinstance(schema, dict):
            return self.value(schema) if isinstance(schema, str) else schema
        result: dict[str, Any] = {}
        for key, part in cast(dict[str, Any], schema).items():
            if names or key not in SCHEMA_WORDS:
                result[self.key(key)] = self.schema(part)
            elif key in ("type", "format"):
                result[key] = part
            elif key == "required" and isinstance(part, list):
                result[key] = [self.key(str(name)) for name in cast(list[Any], part)]
            elif key in ("properties", "$defs"):
                result[key] = self.schema(part, names=True)
            elif key in ("description", "title", "pattern"):
                result[key] = self.text(str(part))
            elif key in ("enum", "const", "default", "examples"):
                result[key] = self.value(part)
            else:
                result[key] = self.schema(part)
        return result


def parsed(text: str) -> Any:
    """Return the JSON value of a text; None if it is no JSON.

    Args:
        text: The text.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def compact(value: Any) -> str:
    """Return JSON without spaces.

    Args:
        value: A JSON value.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _filler_character(character: str) -> str:
    if character.isalpha():
        return "X" if character.isupper() else "x"
    if character.isdigit():
        return "0"
    if character.isspace() or (character.isascii() and character.isprintable()):
        return character
    return "*"


def _numbered(text: str, taken: Iterable[str], number: int) -> str:
    """Return a text of the form of another one whose letters and digits are a number.

    Args:
        text: The other text.
        taken: Texts that it must not be.
        number: Number to begin with.
    """
    unwanted, candidate = frozenset(taken), text
    while candidate in unwanted:
        candidate = _with_number(text, number)
        number += 1
    return candidate


def _with_number(text: str, number: int) -> str:
    digits: list[str] = []
    rest = number
    while rest:
        rest, digit = divmod(rest, len(DIGITS))
        digits.append(DIGITS[digit])
    result: list[str] = []
    for character in reversed(text):
        fills = character.isalnum() or not character.isascii()
        result.append((digits.pop(0) if digits else "0") if fills else character)
    return "".join([*reversed(digits), *reversed(result)])
