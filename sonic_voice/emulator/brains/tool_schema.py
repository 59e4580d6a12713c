"""The part of a tool's JSON schema that slot filling uses, and the words that are already used."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ..language.words import Word, word_set

_LEADS = word_set("on for at by in from to of with around until a")
"""Prepositions and articles that are used up with the value that follows them."""


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a schema."""

    name: str
    schema: Mapping[str, Any]
    """JSON schema of the property."""
    required: bool

    @property
    def spoken(self) -> str:
        """Name of the property as it is spoken: `order_id` becomes "order id"."""
        return " ".join(name_words(self.name))

    @property
    def description(self) -> str:
        """Description in the schema; empty if there is none."""
        found = self.schema.get("description", "")
        return found if isinstance(found, str) else ""

    @property
    def verbatim(self) -> bool:
        """True if the property is a message, which keeps its first and last words."""
        return bool(set(name_words(self.name)) & _VERBATIM)

    @property
    def values(self) -> list[Any]:
        """Values that `enum` or `const` allows; empty if every value is allowed."""
        if "const" in self.schema:
            return [self.schema["const"]]
        found = self.schema.get("enum", [])
        return cast("list[Any]", found) if isinstance(found, list) else []

    @property
    def kind(self) -> str:
        """Kind of the value.

        One of boolean, integer, number, array, object, enum, date, time, moment, figures and text.
        """
        if self.values:
            return "enum"
        type_ = self.schema.get("type", "string")
        if isinstance(type_, list):
            type_ = next((t for t in cast("list[Any]", type_) if t != "null"), "string")
        if type_ != "string":
            return type_ if isinstance(type_, str) and type_ in _KINDS else "text"
        return self._string_kind()

    def _string_kind(self) -> str:
        format_ = self.schema.get("format")
        if format_ in ("date", "time", "date-time"):
            return "moment" if format_ == "date-time" else str(format_)
        names = set(name_words(self.name))
        about = self.description.lower()
        if "date" in names or (names & {"day", "when"} and ("date" in about or "iso" in about)):
            return "moment" if "time" in names else "date"
        if "time" in names and not names & {"zone", "timezone"}:
            return "time"
        return "figures" if names & _FIGURED else "text"


_KINDS = frozenset({"boolean", "integer", "number", "array", "object"})
_VERBATIM = word_set("text message body content note")
"""Words of a name that make a property a message."""
_FIGURED = frozenset({"id", "number", "code", "phone", "zip", "zipcode", "postcode", "pin"})
"""Words of a name that make a string an identifier in figures."""


def name_words(name: str) -> list[str]:
    """Return the lower-case words of an identifier such as `getDateTool` or `get_date-tool`.

    Args:
        name: The identifier.
    """
    split = re.sub(r"([a-z\d])([A-Z])", r"\1 \2", name)
    return re.findall(r"[^\W_]+", split.lower())


def properties(schema: Mapping[str, Any]) -> list[Property]:
    """Return the properties of an object's schema, in their order.

    Args:
        schema: The schema; one that is malformed has no properties.
    """
    found, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(found, dict) or not isinstance(required, list):
        return []
    return [
        Property(str(name), cast("dict[str, Any]", inner), name in required)
        for name, inner in cast("dict[Any, Any]", found).items()
        if isinstance(inner, dict)
    ]


@dataclass(slots=True)
class WordClaims:
    """The words of a request, with those that are used as a value or as the tool's name."""

    words: Sequence[Word]
    named: frozenset[int] = frozenset()
    """Indices of the words that named the tool."""
    taken: set[int] = field(default_factory=set[int])
    """Indices of the words that became a value."""

    def is_free(self, start: int, stop: int) -> bool:
        """Return whether no word in a range is used.

        Args:
            start: Index of the first word.
            stop: Index after the last word.
        """
        return not self.taken.intersection(range(start, stop))

    def claim(self, start: int, stop: int) -> None:
        """Mark the words of a range as used, with a preposition before them.

        Args:
            start: Index of the first word.
            stop: Index after the last word.
        """
        self.taken.update(range(start, stop))
        if start > 0 and self.words[start - 1].plain in _LEADS:
            self.taken.add(start - 1)

    def remaining(self) -> list[Word]:
        """Return the words, with used ones made empty so that the indices stay the same."""
        return [
            Word("", "", word.ends) if at in self.taken else word
            for at, word in enumerate(self.words)
        ]
