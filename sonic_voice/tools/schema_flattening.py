"""Rewrite any JSON schema as one that the service accepts, and report what was lost.

The service answers schemas with references, alternatives and null types with "Invalid input
request" (protocol reference 8.1). `flatten` replaces them:

    $ref                       replaced by what it refers to; a recursion is cut
    $schema, $defs, title      dropped, like every keyword that is not listed here
    const                      enum with one value
    allOf                      merged into one schema
    anyOf, oneOf               null dropped; choices joined; objects merged into one object with
                               the properties of all; otherwise one of the types is described
    type: [...]                null dropped; otherwise one of the types is described
    enum                       null dropped; values of one type only
    prefixItems (a tuple)      array of what its items have in common

Each difference that changes which values are valid is a `Loss`. A serious loss in the schema of a
Python function is an error of its author; in that of a tool of another server it is a warning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from .schema_parts import (
    TYPES,
    Schema,
    as_list,
    implies_type,
    is_null,
    join_properties,
    preferred_type,
    property_place,
    resolve_reference,
    simple_keywords,
    type_and_format,
    type_of,
    type_of_value,
    unique,
)

type LossKind = Literal[
    "anything", "types", "choices", "null", "recursion", "reference", "size", "constraint"
]
"""Kinds of losses:

    anything     any value is valid, which no type expresses
    types        values of several types are valid, and one type is described
    choices      the choices are of several types, and those of one type are described
    null         a required property may be null, and null cannot be described
    recursion    a schema contains itself, and its inner part is described by its type alone
    reference    a reference has no target
    size         the schema is too large or too deep to be flattened
    constraint   values that are not valid are described as valid; a validator still refuses them
"""


@dataclass(frozen=True, slots=True)
class Loss:
    """A difference between a schema and its flattened form."""

    place: str
    """Place in the arguments, such as `x.points[].name`; empty for the whole."""
    kind: LossKind
    detail: str
    """Content of the schema at that place, such as `integer or string`."""

    @property
    def changes_meaning(self) -> bool:
        """True if valid values cannot be described any more, or nothing useful is described."""
        return self.kind != "constraint"


MAX_PARTS = 2_000
"""Maximum number of parts of a flattened schema. References to references can double at each step;
2,000 parts are about 100 kB of JSON, half of what the service's context can use for tools."""

MAX_DEPTH = 24
"""Maximum nesting of schema parts, below the depth at which Python's recursion limit is near."""

_LOST_CONSTRAINTS = (
    *("not", "if", "then", "else", "contains", "dependentSchemas", "dependentRequired"),
    *("patternProperties", "propertyNames", "unevaluatedProperties", "unevaluatedItems"),
)
"""Keywords that are dropped although they make values invalid, each a loss."""


def flatten(schema: Mapping[str, Any]) -> tuple[Schema, list[Loss]]:
    """Return a schema as the service accepts it, and what was lost.

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
    """A flattened part of a schema, and whether its original also accepts null."""

    schema: Schema
    nullable: bool = False


class _Flattener:
    """The state of one flattening: the whole schema, open references, losses, count of parts."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._open_references: list[str] = []
        self._parts = 0
        self._depth = 0
        self.losses: list[Loss] = []

    def lose(self, place: str, kind: LossKind, detail: str) -> None:
        """Record a loss, once.

        Args:
            place: Its place in the arguments.
            kind: Its kind.
            detail: The content of the schema at that place.
        """
        loss = Loss(place, kind, detail)
        if loss not in self.losses:
            self.losses.append(loss)

    def find_anything(self, flat: Schema, place: str) -> None:
        """Record a loss for each part that accepts any value, unless it has another loss.

        Args:
            flat: A flat schema.
            place: Its place in the arguments.
        """
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
        """Flatten one part of the schema.

        Args:
            part: The part; anything that is not a mapping accepts any value.
            place: Its place in the arguments.
        """
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
            options = as_list(part.get(keyword))
            if options:
                rest = {key: value for key, value in part.items() if key != keyword}
                if keyword == "allOf":
                    return self._all_of(rest, options, place)
                return self._any_of(rest, options, place)
        return self._plain(part, place)

    def _reference(self, part: Mapping[str, Any], place: str) -> _Part:
        """Replace a reference by its target; keywords beside it take precedence."""
        reference = str(part["$ref"])
        beside = {key: value for key, value in part.items() if key != "$ref"}
        target = resolve_reference(self._root, reference)
        if target is None:
            self.lose(place, "reference", f"the reference {reference}, which leads nowhere")
            return _Part(simple_keywords(beside))
        if reference in self._open_references:
            self.lose(place, "recursion", f"{reference.rsplit('/', 1)[-1]} inside itself")
            kind = type_of(target)
            return _Part(({"type": kind} if kind else {}) | simple_keywords(beside))
        self._open_references.append(reference)
        try:
            return self.part({**target, **beside}, place)
        finally:
            self._open_references.pop()

    def _all_of(self, rest: Mapping[str, Any], members: Sequence[Any], place: str) -> _Part:
        """Merge schemas of which all apply (`allOf`)."""
        parts = [self.part(member, place) for member in members]
        if implies_type(rest):
            parts.insert(0, self.part(rest, place))
        merged: Schema = {}
        for part in parts:
            kinds = merged.get("type"), part.schema.get("type")
            if None not in kinds and kinds[0] != kinds[1]:
                self.lose(place, "types", f"{kinds[0]} and {kinds[1]} at once")
                continue
            merged = {**part.schema, **merged, **join_properties(merged, part.schema)}
        return _Part(merged | simple_keywords(rest), all(part.nullable for part in parts))

    def _any_of(self, rest: Mapping[str, Any], options: Sequence[Any], place: str) -> _Part:
        """Merge alternatives (`anyOf`, `oneOf`) into one schema."""
        others = [option for option in options if not is_null(option)]
        parts = [self.part(option, place) for option in others]
        nullable = len(others) < len(options) or any(part.nullable for part in parts)
        union = self._union([part.schema for part in parts], place)
        if implies_type(rest):  # properties that all alternatives have, for example
            base = self.part(rest, place).schema
            kinds = base.get("type"), union.get("type")
            if None not in kinds and kinds[0] != kinds[1]:
                self.lose(place, "types", f"{kinds[0]} and {kinds[1]} at once")
                union = base
            union = {**union, **base, **join_properties(base, union)}
        return _Part(union | simple_keywords(rest), nullable)

    def _union(self, options: Sequence[Schema], place: str) -> Schema:
        """Return one schema for values that match any of several flat ones."""
        different: list[Schema] = []
        for option in options:
            if option not in different:
                different.append(option)
        if len(different) < 2:
            return different[0] if different else {}
        types = unique(map(type_and_format, different))
        if set(types) == {"integer", "number"}:
            return {"type": "number"}
        if len(types) > 1:
            self.lose(place, "types", " or ".join(types))
            wanted = preferred_type(types)
            chosen = [option for option in different if type_and_format(option) == wanted]
            return self._union(chosen, place)
        match different[0].get("type"):
            case "object":
                return self._union_of_objects(different, place)
            case "array":
                items = [option.get("items", {}) for option in different]
                return {"type": "array", "items": self._union(items, f"{place}[]")}
            case kind if all("enum" in option for option in different):
                values = [value for option in different for value in option["enum"]]
                return {"type": kind, "enum": unique(values)}
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
                name: self._union([m[name] for m in maps if name in m], property_place(place, name))
                for name in unique(name for properties in maps for name in properties)
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
        values = [part["const"]] if "const" in part else as_list(part.get("enum"))
        if values is not None:
            return self._choices(part, values, place)
        kind, nullable = self._one_type(part, place)
        schema: Schema = {"type": kind} if kind else {}
        if kind == "object":
            schema |= self._object(part, place)
        elif kind == "array":
            schema |= self._array(part, place)
        return _Part(schema | simple_keywords(part), nullable)

    def _one_type(self, part: Mapping[str, Any], place: str) -> tuple[str | None, bool]:
        """Return the type to describe a part with, and whether null was among its types."""
        names = as_list(part.get("type")) or [part.get("type")]
        kinds = unique(name for name in names if name in TYPES)
        nullable = "null" in names
        if set(kinds) == {"integer", "number"}:
            kinds = ["number"]
        if len(kinds) > 1:
            self.lose(place, "types", " or ".join(kinds))
        if not kinds:
            return (None if nullable else type_of(part)), nullable
        return preferred_type(kinds), nullable

    def _choices(self, part: Mapping[str, Any], values: Sequence[Any], place: str) -> _Part:
        kept = [value for value in values if value is not None]
        nullable = len(kept) < len(values)
        kinds = unique(type_of_value(value) for value in kept)
        if set(kinds) == {"integer", "number"}:
            kinds = ["number"]
        elif len(kinds) > 1 or kinds == [None]:
            self.lose(place, "choices", f"the choices {', '.join(map(repr, kept[:8]))}")
        kind = next((kind for kind in kinds if kind), None)
        if kind is None:
            return _Part(simple_keywords(part), nullable)
        if kind != "number":
            kept = [value for value in kept if type_of_value(value) == kind]
        return _Part({"type": kind, "enum": unique(kept)} | simple_keywords(part), nullable)

    def _array(self, part: Mapping[str, Any], place: str) -> Schema:
        inside, items = f"{place}[]", part.get("items")
        several = as_list(part.get("prefixItems")) or as_list(items)
        if not several:
            return {"items": self.part(items, inside).schema} if items is not None else {}
        if isinstance(items, dict):  # the schema of the items after those of `prefixItems`
            several = [*several, cast(Schema, items)]
        return {"items": self._union([self.part(item, inside).schema for item in several], inside)}

    def _object(self, part: Mapping[str, Any], place: str) -> Schema:
        schema: Schema = {}
        names = [name for name in as_list(part.get("required")) or () if isinstance(name, str)]
        if isinstance(part.get("properties"), Mapping):
            schema["properties"] = {}
            for name, value in part["properties"].items():
                flat = self.part(value, property_place(place, str(name)))
                schema["properties"][str(name)] = flat.schema
                if flat.nullable and name in names:
                    self.lose(property_place(place, str(name)), "null", "null")
        if names:
            schema["required"] = unique(names)
        extra = part.get("additionalProperties")
        if isinstance(extra, bool):
            schema["additionalProperties"] = extra
        elif extra is not None:
            schema["additionalProperties"] = self.part(extra, f"{place}.*").schema or True
        return schema
