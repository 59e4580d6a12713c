"""Rewrite any JSON schema as one that the service accepts, and report what was lost.

The service answers schemas with references, alternatives and null types with "Invalid input
request" (protocol reference 8.1). `flatten` writes them out:

    $ref                       replaced by what it refers to; a recursion is cut
    $schema, $defs, title      dropped, like every keyword that is not listed here
    const                      enum with one value
    allOf                      merged into one schema
    anyOf, oneOf               null dropped; choices joined; objects told as one object with the
                               properties of all; otherwise one of the types is told
    type: [...]                null dropped; otherwise one of the types is told
    enum                       null dropped; values of one type only
    prefixItems (a tuple)      array of what its items have in common

Each difference that changes which values are valid is a `Loss`. For a Python function every
serious loss is an error of its author; for a tool of a foreign server it is a warning.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

type Schema = dict[str, Any]

type LossKind = Literal[
    "anything", "types", "choices", "null", "recursion", "reference", "size", "constraint"
]
"""What was lost:

    anything     any value is valid, which no type says
    types        values of several types are valid, and one type is told
    choices      the choices are of several types, and those of one type are told
    null         a required property may be null, and null cannot be told
    recursion    a schema contains itself, and its inner part is told as anything of its type
    reference    a reference leads nowhere
    size         the schema is too large or too deep to be written out
    constraint   values that are not valid are described as valid; a validator still refuses them
"""


@dataclass(frozen=True, slots=True)
class Loss:
    """A difference between a schema and its flattened form."""

    place: str
    """Where in the arguments, such as `x.points[].name`; empty for the whole."""
    kind: LossKind
    detail: str
    """What the schema said there, such as `integer or string`."""

    @property
    def changes_meaning(self) -> bool:
        """Whether valid values cannot be told any more, or nothing useful is told."""
        return self.kind != "constraint"


MAX_PARTS = 2_000
"""Maximum number of schema parts written out. References to references can double at each step;
2,000 parts are about 100 kB of JSON, half of what the service's context can use for tools."""

MAX_DEPTH = 24
"""Maximum nesting of schema parts, below the depth at which Python's recursion limit is near."""

_TYPES = ("string", "integer", "number", "boolean", "array", "object")

_IMPLIED_TYPES = {
    **dict.fromkeys(("properties", "additionalProperties", "required"), "object"),
    **dict.fromkeys(("items", "prefixItems"), "array"),
    **dict.fromkeys(("pattern", "format", "minLength", "maxLength"), "string"),
    **dict.fromkeys(("minimum", "maximum"), "number"),
}
"""The type that a keyword implies where none is given."""

_SIMPLE_KEYWORDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("description", "format", "pattern"), (str,)),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), (int, float)),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (int,)),
    **dict.fromkeys(("minProperties", "maxProperties"), (int,)),
    "uniqueItems": (bool,),
}
"""Keywords that are taken as they are, and the types that their values have."""

_VALUE_KEYWORDS = ("default", "examples")
"""Keywords that are taken as they are if their values are texts, numbers and booleans."""

_LOST_CONSTRAINTS = (
    *("not", "if", "then", "else", "contains", "dependentSchemas", "dependentRequired"),
    *("patternProperties", "propertyNames", "unevaluatedProperties", "unevaluatedItems"),
)
"""Keywords that are dropped and that made values invalid."""


def flatten(schema: Mapping[str, Any]) -> tuple[Schema, list[Loss]]:
    """Return `schema` as the service accepts it, and what was lost.

    Args:
        schema: A JSON schema of any draft, such as pydantic or an MCP server writes. It is not
            changed.

    Returns:
        A new schema of type `object` which `config.check_schema` accepts, and the losses, each
        once.
    """
    flattener = _Flattener(schema)
    flat = flattener.part(schema, "").schema
    if flat.get("type") != "object":
        flattener.lose("", "types", f"{flat.get('type', 'any value')} where an object is needed")
        flat = {"type": "object"}
    flat = {**flat, "properties": flat.get("properties", {})}
    flattener.find_anything(flat, "")
    return flat, flattener.losses


@dataclass(frozen=True, slots=True)
class _Part:
    """A flattened part of a schema, and whether its original also takes null."""

    schema: Schema
    nullable: bool = False


class _Flattener:
    """The state of one flattening: the whole schema, open references, losses, parts so far."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._open_references: list[str] = []
        self._parts = 0
        self._depth = 0
        self.losses: list[Loss] = []

    def lose(self, place: str, kind: LossKind, detail: str) -> None:
        """Note a loss once."""
        loss = Loss(place, kind, detail)
        if loss not in self.losses:
            self.losses.append(loss)

    def find_anything(self, flat: Schema, place: str) -> None:
        """Note each part of a flat schema that takes any value, unless more is known of it."""
        match flat.get("type"):
            case "array":
                inner = {"[]": flat.get("items", {})}
            case "object" if "properties" in flat:
                inner = {f".{name}": part for name, part in flat["properties"].items()}
                if isinstance(flat.get("additionalProperties"), dict):
                    inner[".*"] = flat["additionalProperties"]
            case "object":
                extra = flat.get("additionalProperties")
                inner: Schema = {".*": extra if isinstance(extra, dict) else {}}
            case None:
                inner = {}
                if all(loss.place != place for loss in self.losses):
                    self.lose(place, "anything", "any value")
            case _:
                inner = {}
        if not any(loss.place == place and loss.kind == "recursion" for loss in self.losses):
            for step, part in inner.items():
                self.find_anything(part, f"{place}{step}".removeprefix("."))

    def part(self, part: Any, place: str) -> _Part:
        """Flatten one part, whatever it is."""
        self._parts += 1
        if self._parts > MAX_PARTS or self._depth >= MAX_DEPTH:
            self.lose(place, "size", f"more than {MAX_PARTS} parts or {MAX_DEPTH} levels")
            return _Part({})
        if not isinstance(part, Mapping):  # `true`, or not a schema at all
            return _Part({})
        self._depth += 1
        try:
            flat = self._mapping(cast(Mapping[str, Any], part), place)
        finally:
            self._depth -= 1
        if "type" in flat.schema:
            return flat
        said = {k: v for k, v in flat.schema.items() if k == "description"}
        return _Part(said, flat.nullable)

    def _mapping(self, part: Mapping[str, Any], place: str) -> _Part:
        if "$ref" in part:
            return self._reference(part, place)
        for keyword in ("allOf", "anyOf", "oneOf"):
            options = _list(part.get(keyword))
            if options:
                rest = {key: value for key, value in part.items() if key != keyword}
                if keyword == "allOf":
                    return self._all_of(rest, options, place)
                return self._any_of(rest, options, place)
        return self._plain(part, place)

    def _reference(self, part: Mapping[str, Any], place: str) -> _Part:
        """Replace a reference by its target; what stands beside it counts more."""
        reference = str(part["$ref"])
        beside = {key: value for key, value in part.items() if key != "$ref"}
        target = _resolve(self._root, reference)
        if target is None:
            self.lose(place, "reference", f"the reference {reference}, which leads nowhere")
            return _Part(_simple(beside))
        if reference in self._open_references:
            self.lose(place, "recursion", f"{reference.rsplit('/', 1)[-1]} inside itself")
            kind = _type_of(target)
            return _Part(({"type": kind} if kind else {}) | _simple(beside))
        self._open_references.append(reference)
        try:
            return self.part({**target, **beside}, place)
        finally:
            self._open_references.pop()

    def _all_of(self, rest: Mapping[str, Any], members: Sequence[Any], place: str) -> _Part:
        """Merge schemas that all apply."""
        parts = [self.part(member, place) for member in members]
        if _says_a_type(rest):
            parts.insert(0, self.part(rest, place))
        merged: Schema = {}
        for part in parts:
            kinds = merged.get("type"), part.schema.get("type")
            if None not in kinds and kinds[0] != kinds[1]:
                self.lose(place, "types", f"{kinds[0]} and {kinds[1]} at once")
                continue
            merged = {**part.schema, **merged, **_joined(merged, part.schema)}
        return _Part(merged | _simple(rest), all(part.nullable for part in parts))

    def _any_of(self, rest: Mapping[str, Any], options: Sequence[Any], place: str) -> _Part:
        """Tell alternatives as one schema."""
        others = [option for option in options if not _is_null(option)]
        parts = [self.part(option, place) for option in others]
        nullable = len(others) < len(options) or any(part.nullable for part in parts)
        union = self._union([part.schema for part in parts], place)
        if _says_a_type(rest):  # properties that all alternatives have, for example
            base = self.part(rest, place).schema
            kinds = base.get("type"), union.get("type")
            if None not in kinds and kinds[0] != kinds[1]:
                self.lose(place, "types", f"{kinds[0]} and {kinds[1]} at once")
                union = base
            union = {**union, **base, **_joined(base, union)}
        return _Part(union | _simple(rest), nullable)

    def _union(self, options: Sequence[Schema], place: str) -> Schema:
        """Return one schema for values that fit any of `options`, all of them flat."""
        different: list[Schema] = []
        for option in options:
            if option not in different:
                different.append(option)
        if len(different) < 2:
            return different[0] if different else {}
        types = _unique(map(_form, different))
        if set(types) == {"integer", "number"}:
            return {"type": "number"}
        if len(types) > 1:
            self.lose(place, "types", " or ".join(types))
            chosen = [option for option in different if _form(option) == _preferred(types)]
            return self._union(chosen, place)
        match different[0].get("type"):
            case "object":
                return self._union_of_objects(different, place)
            case "array":
                items = [option.get("items", {}) for option in different]
                return {"type": "array", "items": self._union(items, f"{place}[]")}
            case kind if all("enum" in option for option in different):
                values = [value for option in different for value in option["enum"]]
                return {"type": kind, "enum": _unique(values)}
            case _:
                self.lose(place, "constraint", "the limits of its alternatives")
                first, *others = different
                return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}

    def _union_of_objects(self, options: Sequence[Schema], place: str) -> Schema:
        self.lose(place, "constraint", "which properties belong together")
        maps: list[Schema] = [option.get("properties", {}) for option in options]
        schema: Schema = {
            "type": "object",
            "properties": {
                name: self._union([m[name] for m in maps if name in m], _below(place, name))
                for name in _unique(name for properties in maps for name in properties)
            },
        }
        first, *others = (option.get("required", []) for option in options)
        required = [name for name in first if all(name in other for other in others)]
        if required:
            schema["required"] = required
        extra = [o["additionalProperties"] for o in options if o.get("additionalProperties")]
        if extra:
            schema["additionalProperties"] = extra[0] if len(extra) == 1 else True
        return schema

    def _plain(self, part: Mapping[str, Any], place: str) -> _Part:
        """Flatten a part without references and alternatives."""
        for keyword in _LOST_CONSTRAINTS:
            if keyword in part:
                self.lose(place, "constraint", f"the keyword {keyword}")
        values = [part["const"]] if "const" in part else _list(part.get("enum"))
        if values is not None:
            return self._choices(part, values, place)
        kind, nullable = self._one_type(part, place)
        schema: Schema = {"type": kind} if kind else {}
        if kind == "object":
            schema |= self._object(part, place)
        elif kind == "array":
            schema |= self._array(part, place)
        return _Part(schema | _simple(part), nullable)

    def _one_type(self, part: Mapping[str, Any], place: str) -> tuple[str | None, bool]:
        """Return the type to tell of a part, and whether null was among its types."""
        names = _list(part.get("type")) or [part.get("type")]
        kinds = _unique(name for name in names if name in _TYPES)
        nullable = "null" in names
        if set(kinds) == {"integer", "number"}:
            kinds = ["number"]
        if len(kinds) > 1:
            self.lose(place, "types", " or ".join(kinds))
        if not kinds:
            return (None if nullable else _type_of(part)), nullable
        return _preferred(kinds), nullable

    def _choices(self, part: Mapping[str, Any], values: Sequence[Any], place: str) -> _Part:
        kept = [value for value in values if value is not None]
        nullable = len(kept) < len(values)
        kinds = _unique(_type_of_value(value) for value in kept)
        if set(kinds) == {"integer", "number"}:
            kinds = ["number"]
        elif len(kinds) > 1 or kinds == [None]:
            self.lose(place, "choices", f"the choices {', '.join(map(repr, kept[:8]))}")
        kind = next((kind for kind in kinds if kind), None)
        if kind is None:
            return _Part(_simple(part), nullable)
        if kind != "number":
            kept = [value for value in kept if _type_of_value(value) == kind]
        return _Part({"type": kind, "enum": _unique(kept)} | _simple(part), nullable)

    def _array(self, part: Mapping[str, Any], place: str) -> Schema:
        inside, items = f"{place}[]", part.get("items")
        several = _list(part.get("prefixItems")) or _list(items)
        if not several:
            return {"items": self.part(items, inside).schema} if items is not None else {}
        if isinstance(items, dict):  # those after the first ones
            several = [*several, cast(Schema, items)]
        return {"items": self._union([self.part(item, inside).schema for item in several], inside)}

    def _object(self, part: Mapping[str, Any], place: str) -> Schema:
        schema: Schema = {}
        names = [name for name in _list(part.get("required")) or () if isinstance(name, str)]
        if isinstance(part.get("properties"), Mapping):
            schema["properties"] = {}
            for name, value in part["properties"].items():
                flat = self.part(value, _below(place, str(name)))
                schema["properties"][str(name)] = flat.schema
                if flat.nullable and name in names:
                    self.lose(_below(place, str(name)), "null", "null")
        if names:
            schema["required"] = _unique(names)
        extra = part.get("additionalProperties")
        if isinstance(extra, bool):
            schema["additionalProperties"] = extra
        elif extra is not None:
            schema["additionalProperties"] = self.part(extra, f"{place}.*").schema or True
        return schema


def _list(value: Any) -> list[Any] | None:
    return cast(list[Any], value) if isinstance(value, list) else None


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _unique[T](values: Iterable[T]) -> list[T]:
    """Return `values` without repetition; `1`, `1.0` and `true` are different."""
    return list({(type(value), value): value for value in values}.values())


def _form(schema: Schema) -> str:
    """Return the type of a flat schema for a loss's detail, and the format of a string."""
    kind = str(schema.get("type", "any value"))
    return f"{kind} ({schema['format']})" if kind == "string" and "format" in schema else kind


def _preferred(kinds: Sequence[str]) -> str:
    """Return the type to tell of several: text can express a value of each other type."""
    return "string" if "string" in kinds else kinds[0]


def _is_null(option: Any) -> bool:
    if not isinstance(option, dict):
        return False
    schema = cast(Schema, option)
    values = [schema.get("const", schema), *(_list(schema.get("enum")) or [schema])]
    return schema.get("type") in ("null", ["null"]) or values[0] is None or values[1:] == [None]


def _says_a_type(part: Mapping[str, Any]) -> bool:
    return any(key in part for key in ("type", "enum", "const", "$ref", *_IMPLIED_TYPES)) or any(
        part.get(key) for key in ("allOf", "anyOf", "oneOf")
    )


def _type_of_value(value: Any) -> str | None:
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


def _type_of(part: Mapping[str, Any]) -> str | None:
    """Return the one type of a part, given or implied by a keyword."""
    if part.get("type") in _TYPES:
        return str(part["type"])
    return next((kind for key, kind in _IMPLIED_TYPES.items() if key in part), None)


def _simple(part: Mapping[str, Any]) -> Schema:
    """Return the keywords of a part that are taken as they are, if their values make sense."""
    schema: Schema = {}
    for key, value in part.items():
        if key in _SIMPLE_KEYWORDS:
            kinds = _SIMPLE_KEYWORDS[key]
            fits = isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds)
            values = [value]
        else:
            fits = key in _VALUE_KEYWORDS
            values = _list(value) or [value]
        if fits and all(_type_of_value(one) for one in values):
            schema[key] = value
    return schema


def _resolve(root: Mapping[str, Any], reference: str) -> Mapping[str, Any] | None:
    """Return what a JSON pointer such as `#/$defs/Point` leads to."""
    found: Any = root if reference.startswith("#") else None
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = cast(Schema, found).get(name) if isinstance(found, Mapping) else None
    return cast(Schema, found) if isinstance(found, Mapping) else None


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> Schema:
    """Return the properties of two objects that both apply, and which are required."""
    joined: Schema = {}
    if "properties" in first or "properties" in second:
        joined["properties"] = {**second.get("properties", {}), **first.get("properties", {})}
    if "required" in first or "required" in second:
        joined["required"] = _unique([*first.get("required", ()), *second.get("required", ())])
    return joined
