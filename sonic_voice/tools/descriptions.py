"""Add descriptions from type hints and from the docstrings of classes to a schema."""

import dataclasses
import inspect
from collections.abc import Iterable
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
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

from pydantic import BaseModel

from .argument_errors import ISO_FORMATS
from .docstrings import first_paragraph, parameter_descriptions
from .schema_parts import Schema


def describe(schema: Schema, hint: Any, documented: str = "") -> None:
    """Add the descriptions that belong to a type hint to its schema.

    The order of precedence is: the description in `Field`, which is in the schema already; the text
    in `Annotated`; the description of the parameter or field in a docstring; the docstring of the
    type itself if it is a pydantic model or an enum. The docstrings of dataclasses and TypedDicts
    are not used, because they are written for programmers.

    Args:
        schema: The flattened schema of the hint; it is changed.
        hint: A type hint, evaluated.
        documented: The description of this parameter or field in a docstring, or empty text.
    """
    hint, annotated = _unwrap(hint)
    is_class = inspect.isclass(hint)
    own = inspect.cleandoc(hint.__doc__ or "") if is_class else ""
    if own and schema.get("description") == own:  # pydantic puts the whole docstring there
        del schema["description"]
    is_told = is_class and issubclass(hint, (BaseModel, Enum))
    description = annotated or documented or (first_paragraph(own) if is_told else "")
    if description:
        schema.setdefault("description", description)
    arguments = get_args(hint)
    if "items" in schema and (len(arguments) == 1 or arguments[1:] == (...,)):
        describe(schema["items"], arguments[0])
    elif isinstance(schema.get("additionalProperties"), dict) and len(arguments) == 2:
        describe(schema["additionalProperties"], arguments[1])
    properties: Schema = schema.get("properties", {})
    texts = parameter_descriptions(own, set(properties))
    for name, inner in _fields(hint):
        if name in properties:
            describe(properties[name], inner, texts.get(name, ""))


def _unwrap(hint: Any) -> tuple[Any, str]:
    """Return a hint without aliases, `Annotated` and None, and the first text in `Annotated`."""
    description = ""
    while True:
        origin, arguments = get_origin(hint), get_args(hint)
        if isinstance(hint, TypeAliasType):
            hint = hint.__value__
        elif origin is Annotated:
            texts = [text for text in arguments[1:] if isinstance(text, str)]
            description = description or next(iter(texts), "")
            hint = arguments[0]
        elif origin in (Required, NotRequired):
            hint = arguments[0]
        elif origin in (Union, UnionType) and len(others := _not_none(arguments)) == 1:
            hint = others[0]
        else:
            return hint, description


def _not_none(hints: Iterable[Any]) -> list[Any]:
    return [hint for hint in hints if hint is not NoneType]


def _fields(hint: Any) -> Iterable[tuple[str, Any]]:
    """Return the fields of a model, dataclass or TypedDict, and their hints."""
    if _is_model(hint):
        return [
            (field.alias or name, Annotated[field.annotation, None, *field.metadata])
            for name, field in hint.model_fields.items()
        ]
    if dataclasses.is_dataclass(hint) or is_typeddict(hint):
        return get_type_hints(hint, include_extras=True).items()
    return ()


def _is_model(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, BaseModel)


def describe_formats(schema: Schema) -> None:
    """Describe the format of each date and time that has no description.

    Args:
        schema: A flattened schema; it is changed.
    """
    if schema.get("format") in ISO_FORMATS:
        schema.setdefault("description", ISO_FORMATS[schema["format"]])
    parts = [schema.get("items"), schema.get("additionalProperties")]
    for part in (*parts, *schema.get("properties", {}).values()):
        if isinstance(part, dict):
            describe_formats(cast(Schema, part))
