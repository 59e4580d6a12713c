"""From a type hint to what the model is told of it, and to what reads the model's answer.

`tools` has the table of the hints that are understood. What could not be told the service is
refused here, when a function is decorated.
"""

import dataclasses
import inspect
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeAliasType,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from .errors import ConfigError


class ArgumentsError(Exception):
    """Arguments for the model to correct; the message is for the model."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A type: its JSON schema, and what makes a Python value of a JSON one.

    `read(value, at)` raises `ArgumentsError` naming the place `at`.
    """

    schema: dict[str, Any]
    read: Callable[[Any, str], Any]


@dataclass(frozen=True, slots=True)
class Record:
    """The properties of an object: parameters of a function, fields of a dataclass or TypedDict."""

    shapes: dict[str, _Shape]
    required: tuple[str, ...]

    @property
    def schema(self) -> dict[str, Any]:
        properties = {name: shape.schema for name, shape in self.shapes.items()}
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        return schema | {"required": list(self.required)} if self.required else schema

    def read(self, value: Any, at: str = "") -> dict[str, Any]:
        """The properties' Python values. Says all that is wrong at once."""
        if not isinstance(value, dict):
            raise _wrong(at or "The arguments", "a JSON object", value)
        given: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        # A null for what may be left out is a way to leave it out.
        given = {k: v for k, v in given.items() if v is not None or k in self.required}
        prefix = f"{at}." if at else ""
        faults = [f"{prefix}{name} is missing" for name in self.required if name not in given]
        read: dict[str, Any] = {}
        for name, item in given.items():
            if name not in self.shapes:
                known = ", ".join(self.shapes) or "none"
                faults.append(f"{prefix}{name} is not a parameter (they are: {known})")
                continue
            try:
                read[name] = self.shapes[name].read(item, f"{prefix}{name}")
            except ArgumentsError as error:
                faults.append(str(error))
        if faults:
            raise ArgumentsError("; ".join(faults))
        return read

    def read_json(self, text: str) -> dict[str, Any]:
        """As `read`, from the model's JSON. Models encode it twice at times, or send nothing."""
        value: Any = text if text.strip() else "{}"
        for _ in range(3):
            if isinstance(value, str):
                try:
                    value = json.loads(value)
                except (ValueError, RecursionError) as error:
                    raise ArgumentsError(f"The arguments are not JSON: {error}") from error
        return self.read(value)


def _wrong(at: str, expected: str, value: object) -> ArgumentsError:
    return ArgumentsError(f"{at} must be {expected}, not {json.dumps(value)[:80]}")


def _unquoted(value: Any) -> Any:
    """Return the JSON value that a string holds, if the string says it without loss; else `value`.

    Models quote numbers, booleans and lists at times. A number is taken if it can be written
    back: "5", "-0.25" and "1e3", but neither "05" nor more digits than a float keeps.
    """
    if not isinstance(value, str):
        return value
    try:
        held: Any = json.loads(value)
    except (ValueError, RecursionError):
        return value
    lossless = isinstance(held, list | dict)
    match held:
        case bool():
            lossless = value == json.dumps(held)
        case int():
            lossless = value == str(held)
        case float():
            lossless = value == value.strip() and Decimal(value) == Decimal(repr(held))
        case _:
            pass
    return cast(Any, held) if lossless else value


def _read_str(value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise _wrong(at, "a string", value)
    return value


def _read_bool(value: Any, at: str) -> bool:
    held = _unquoted(value)
    if not isinstance(held, bool):
        raise _wrong(at, "true or false", value)
    return held


def _read_int(value: Any, at: str) -> int:
    held = _unquoted(value)
    whole = isinstance(held, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(held, bool) or not whole:
        raise _wrong(at, "a whole number", value)
    return int(held)


def _read_float(value: Any, at: str) -> float:
    held = _unquoted(value)
    try:
        number = float(held) if not isinstance(held, bool | str) else math.nan
        exact = held is value or number == held  # a quoted integer may have too many digits
        if math.isfinite(number) and exact:
            return number
    except (TypeError, OverflowError):
        raise _wrong(at, "a number", value) from None
    raise _wrong(at, "a number", value)


def _iso(cls: type[date] | type[time], format: str, example: str) -> _Shape:
    words = f"a {format} in ISO 8601, such as {example}"

    def read(value: Any, at: str) -> date | time:
        try:
            return cls.fromisoformat(value)
        except (TypeError, ValueError):
            raise _wrong(at, words, value) from None

    return _Shape({"type": "string", "format": format, "description": words}, read)


_PLAIN_TYPES: dict[object, _Shape] = {
    str: _Shape({"type": "string"}, _read_str),
    int: _Shape({"type": "integer"}, _read_int),
    float: _Shape({"type": "number"}, _read_float),
    bool: _Shape({"type": "boolean"}, _read_bool),
    date: _iso(date, "date", "2026-03-14"),
    time: _iso(time, "time", "15:09:26"),
    datetime: _iso(datetime, "date-time", "2026-03-14T15:09:26"),
}


@dataclass(frozen=True, slots=True)
class _Hint:
    """A type hint without its wrappers, and what they said."""

    bare: Any
    description: str = ""
    nullable: bool = False
    required: bool | None = None
    """What a TypedDict's Required or NotRequired says."""


def _peel(hint: Any) -> _Hint:
    peeled = _Hint(hint)
    while True:
        bare, args = peeled.bare, get_args(peeled.bare)
        origin = get_origin(bare)
        if isinstance(bare, TypeAliasType):
            peeled = dataclasses.replace(peeled, bare=bare.__value__)
        elif origin is Annotated:
            said = next((m for m in args[1:] if isinstance(m, str)), "")
            peeled = dataclasses.replace(
                peeled, bare=args[0], description=peeled.description or said
            )
        elif origin in (Required, NotRequired):
            peeled = dataclasses.replace(peeled, bare=args[0], required=origin is Required)
        elif origin in (Union, UnionType) and NoneType in args and len(args) == 2:
            other = args[0] if args[1] is NoneType else args[1]
            peeled = dataclasses.replace(peeled, bare=other, nullable=True)
        else:
            return peeled


def parameters_of(fn: Callable[..., Any], tool: str, doc: str) -> Record:
    try:
        signature = inspect.signature(fn, eval_str=True)
    except (NameError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise _unreadable(f"tool {tool!r}", error) from error
    fields: list[tuple[str, Any, bool]] = []
    for name, parameter in signature.parameters.items():
        where = f"Parameter {name!r} of tool {tool!r}"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(
                f"{where} takes any number of arguments.", hint="Name each, or take a list[T]."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigError(f"{where} is positional-only.", hint="Take away the '/'.")
        if parameter.annotation is parameter.empty:
            raise ConfigError(
                f"{where} has no type hint.",
                hint="Pass a bound method: tool(robot.go)." if name == "self" else "Add one.",
            )
        fields.append((name, parameter.annotation, parameter.default is parameter.empty))
    return _record(fields, doc, f"of tool {tool!r}", nested=False)


def _record(fields: Sequence[tuple[str, Any, bool]], doc: str, of: str, *, nested: bool) -> Record:
    """The record of `fields`: name, type hint, whether required."""
    documented = _parameter_docs(doc, {name for name, _, _ in fields})
    shapes: dict[str, _Shape] = {}
    required: list[str] = []
    for name, annotation, needed in fields:
        where = f"{'Field' if nested else 'Parameter'} {name!r} {of}"
        hint = _peel(annotation)
        needed = needed if hint.required is None else hint.required
        if hint.nullable and needed:
            raise ConfigError(f"{where} may be None and has no default.", hint="Add `= None`.")
        shape = _shape(hint.bare, where, nested=nested)
        description = hint.description or documented.get(name, "")
        said = {"description": description} if description else {}
        shapes[name] = _Shape(shape.schema | said, shape.read)
        if needed:
            required.append(name)
    return Record(shapes, tuple(required))


def _shape(bare: Any, where: str, *, nested: bool) -> _Shape:
    if isinstance(bare, type) and bare in _PLAIN_TYPES:
        return _PLAIN_TYPES[bare]
    origin, args = get_origin(bare), get_args(bare)
    if origin is Literal:
        return _choice(args, lambda value: value, where)
    if origin is list:
        return _list(_item(args[0], where, nested=nested))
    if origin is dict and args[0] is str:
        return _dict(_item(args[1], where, nested=nested))
    if isinstance(bare, type) and issubclass(bare, Enum):
        return _choice([member.value for member in bare], bare, where)
    if _is_record(bare):
        if nested:
            raise ConfigError(
                f"{where} is an object inside an object.", hint="Flatten it: one level is taken."
            )
        return _object(bare, where)
    raise _unsupported(bare, where)


def _is_record(hint: Any) -> bool:
    return is_typeddict(hint) or (isinstance(hint, type) and dataclasses.is_dataclass(hint))


def _item(hint: Any, where: str, *, nested: bool) -> _Shape:
    item = _peel(hint)
    if item.nullable:
        raise _unsupported(hint, where)
    shape = _shape(item.bare, where, nested=nested)
    said = {"description": item.description} if item.description else {}
    return _Shape(shape.schema | said, shape.read)


def _unsupported(hint: Any, where: str) -> ConfigError:
    shown = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return ConfigError(
        f"{where} has the type {shown}, which the service cannot be told.",
        hint="Use str, int, float, bool, Literal or Enum of strings or whole numbers, list[T], "
        "dict[str, T], date, time, datetime, a dataclass or a TypedDict.",
    )


def _unreadable(of: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"The type hints of {of} cannot be read: {error}.",
        hint="Define or import the types at the top of the module.",
    )


def _choice(values: Sequence[Any], make: Callable[[Any], Any], where: str) -> _Shape:
    kinds: set[type] = {type(value) for value in values}
    if kinds not in ({str}, {int}):
        raise ConfigError(
            f"{where} has the choices {', '.join(map(repr, values)) or 'none'}.",
            hint="The service takes strings alone or whole numbers alone.",
        )
    plain = _PLAIN_TYPES[kinds.pop()]

    def read(value: Any, at: str) -> Any:
        chosen = plain.read(value, at)
        if chosen not in values:
            raise _wrong(at, f"one of {json.dumps(list(values))}", value)
        return make(chosen)

    return _Shape(plain.schema | {"enum": list(values)}, read)


def _list(item: _Shape) -> _Shape:
    def read(value: Any, at: str) -> list[Any]:
        items: Any = _unquoted(value)
        if not isinstance(items, list):
            raise _wrong(at, "a list", value)
        items = cast("list[Any]", items)
        return [item.read(one, f"{at}[{index}]") for index, one in enumerate(items)]

    return _Shape({"type": "array", "items": item.schema}, read)


def _dict(item: _Shape) -> _Shape:
    def read(value: Any, at: str) -> dict[str, Any]:
        items: Any = _unquoted(value)
        if not isinstance(items, dict):
            raise _wrong(at, "an object", value)
        items = cast("dict[str, Any]", items)
        return {key: item.read(one, f"{at}.{key}") for key, one in items.items()}

    return _Shape({"type": "object", "additionalProperties": item.schema}, read)


def _object(cls: Any, where: str) -> _Shape:
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise _unreadable(cls.__name__, error) from error
    if is_typeddict(cls):
        fields = [(name, hint, name in cls.__required_keys__) for name, hint in hints.items()]
    else:
        fields = [
            (f.name, hints[f.name], f.default is f.default_factory is dataclasses.MISSING)
            for f in dataclasses.fields(cls)
            if f.init
        ]
    of = f"of {cls.__name__} ({where[0].lower()}{where[1:]})"
    record = _record(fields, inspect.getdoc(cls) or "", of, nested=True)

    def read(value: Any, at: str) -> Any:
        values = record.read(_unquoted(value), at)
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:  # its own __post_init__ refuses them
            raise ArgumentsError(f"{at}: {error}") from error

    return _Shape(record.schema, read)


_DOC_OF_PARAMETER = (
    re.compile(r":param (?:\S+ )?(?P<name>\w+):\s*(?P<text>.*)"),  # reST
    re.compile(r"(?P<name>\w+)(?: \([^)]*\))?:\s*(?P<text>.*)"),  # Google
    re.compile(r"(?P<name>\w+) : .*(?P<text>)"),  # NumPy: the text is below
)
_DOC_SECTION = re.compile(r"(:\w+.*:|(Args|Arguments|Parameters|Attributes)\b:?$)")
_DOC_END = re.compile(r"(:returns?:|:raises?\b|(Returns|Raises|Yields|Examples?|Notes?):?$)")


def first_paragraph(doc: str) -> str:
    lines: list[str] = []
    for line in doc.strip().splitlines():
        if not line.strip() or _DOC_SECTION.match(line) or _DOC_END.match(line):
            break
        lines.append(line.strip())
    return " ".join(lines)


def _parameter_docs(doc: str, names: set[str]) -> dict[str, str]:
    """What a docstring says of each of `names`; lines indented deeper go on with it."""
    found: dict[str, list[str]] = {}
    name, depth = "", 0
    for line in doc.splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if _DOC_END.match(text):
            break
        match = next((m for p in _DOC_OF_PARAMETER if (m := p.fullmatch(text))), None)
        if match and match["name"] in names:
            name, depth = match["name"], indent
            found[name] = [match["text"]]
        elif name and text and indent > depth:
            found[name].append(text)
        else:
            name = ""
    return {name: " ".join(filter(None, texts)) for name, texts in found.items()}
