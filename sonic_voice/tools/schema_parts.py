"""Read and combine the parts of JSON schemas: keywords, types, references.

These functions look at one part of a schema at a time. `schema_flattening` walks through a whole
schema with them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

type Schema = dict[str, Any]
"""A JSON schema or a part of one."""

TYPES = ("string", "integer", "number", "boolean", "array", "object")
"""Types that a schema for the service may have; "null" is not among them."""

_IMPLIED_TYPES = {
    **dict.fromkeys(("properties", "additionalProperties", "required"), "object"),
    **dict.fromkeys(("items", "prefixItems"), "array"),
    **dict.fromkeys(("pattern", "format", "minLength", "maxLength"), "string"),
    **dict.fromkeys(("minimum", "maximum"), "number"),
}
"""Type that a keyword implies where no type is given."""

_SIMPLE_KEYWORDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("description", "format", "pattern"), (str,)),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), (int, float)),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (int,)),
    **dict.fromkeys(("minProperties", "maxProperties"), (int,)),
    "uniqueItems": (bool,),
}
"""Keywords that are copied unchanged, and the types that their values must have."""

_VALUE_KEYWORDS = ("default", "examples")
"""Keywords that are copied unchanged if their values are strings, numbers or booleans."""


def as_list(value: Any) -> list[Any] | None:
    """Return a value if it is a list, otherwise None.

    Args:
        value: The value of a keyword.
    """
    return cast(list[Any], value) if isinstance(value, list) else None


def property_place(place: str, name: str) -> str:
    """Return the place of a property, such as `x.name`.

    Args:
        place: The place of its object; empty for the whole arguments.
        name: The name of the property.
    """
    return f"{place}.{name}" if place else name


def unique[T](values: Iterable[T]) -> list[T]:
    """Return values without repetition, in order; `1`, `1.0` and `true` are different.

    Args:
        values: Hashable values.
    """
    return list({(type(value), value): value for value in values}.values())


def type_and_format(schema: Schema) -> str:
    """Return the type of a schema, and the format of a string in brackets, for a loss's detail.

    Args:
        schema: A flat schema.
    """
    kind = str(schema.get("type", "any value"))
    return f"{kind} ({schema['format']})" if kind == "string" and "format" in schema else kind


def preferred_type(kinds: Sequence[str]) -> str:
    """Return the type to describe of several: a string can express a value of every other type.

    Args:
        kinds: The types, at least one.
    """
    return "string" if "string" in kinds else kinds[0]


def is_null(option: Any) -> bool:
    """Return whether a schema accepts null and nothing else.

    Args:
        option: One of several alternatives.
    """
    if not isinstance(option, dict):
        return False
    schema = cast(Schema, option)
    values = [schema.get("const", schema), *(as_list(schema.get("enum")) or [schema])]
    return schema.get("type") in ("null", ["null"]) or values[0] is None or values[1:] == [None]


def implies_type(part: Mapping[str, Any]) -> bool:
    """Return whether a part says anything about the type of its values.

    Args:
        part: A part of a schema, not flat.
    """
    return any(key in part for key in ("type", "enum", "const", "$ref", *_IMPLIED_TYPES)) or any(
        part.get(key) for key in ("allOf", "anyOf", "oneOf")
    )


def type_of_value(value: Any) -> str | None:
    """Return the schema type of a value; None for null, lists, objects, infinity and NaN.

    Args:
        value: A JSON value.
    """
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float() if math.isfinite(value):
            return "number"
        case _:
            return None


def type_of(part: Mapping[str, Any]) -> str | None:
    """Return the type of a part, given or implied by a keyword; None without either.

    Args:
        part: A part of a schema.
    """
    if part.get("type") in TYPES:
        return str(part["type"])
    return next((kind for key, kind in _IMPLIED_TYPES.items() if key in part), None)


def simple_keywords(part: Mapping[str, Any]) -> Schema:
    """Return the keywords of a part that are copied unchanged, if their values are valid.

    Args:
        part: A part of a schema.
    """
    schema: Schema = {}
    for key, value in part.items():
        if key in _SIMPLE_KEYWORDS:
            kinds = _SIMPLE_KEYWORDS[key]
            fits = isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds)
            values = [value]
        else:
            fits = key in _VALUE_KEYWORDS
            values = as_list(value) or [value]
        if fits and all(type_of_value(one) for one in values):
            schema[key] = value
    return schema


def resolve_reference(root: Mapping[str, Any], reference: str) -> Mapping[str, Any] | None:
    """Return the target of a reference; None if there is none.

    Args:
        root: The whole schema.
        reference: A JSON pointer such as `#/$defs/Point`.
    """
    found: Any = root if reference.startswith("#") else None
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = cast(Schema, found).get(name) if isinstance(found, Mapping) else None
    return cast(Schema, found) if isinstance(found, Mapping) else None


def join_properties(first: Mapping[str, Any], second: Mapping[str, Any]) -> Schema:
    """Return the properties and the required names of two objects that both apply.

    Args:
        first: A schema; its properties take precedence.
        second: Another schema.
    """
    joined: Schema = {}
    if "properties" in first or "properties" in second:
        joined["properties"] = {**second.get("properties", {}), **first.get("properties", {})}
    if "required" in first or "required" in second:
        joined["required"] = unique([*first.get("required", ()), *second.get("required", ())])
    return joined
