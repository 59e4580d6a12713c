"""Describe a function's parameters to the model, and validate the arguments that it sends.

Pydantic reads the type hints, writes the JSON schema and validates. This module checks the mistakes
that are specific to functions, adds descriptions from `Annotated[T, "text"]` and from docstrings,
and describes pydantic's errors to the model. Importing it imports pydantic (about 0.1 s), so it is
imported when the first tool is made.

Pydantic does not get the function itself but a stand-in: a function that has keyword-only
parameters with the same hints and returns its arguments. Therefore validation calls no code of the
tool, a parameter may have any name, and methods, partial functions and callable objects work alike.
"""

import dataclasses
import enum
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ..errors import ConfigError
from .argument_errors import ArgumentPath, ArgumentsError, describe_error
from .context import ToolContext
from .descriptions import describe, describe_formats
from .docstrings import parameter_descriptions
from .lenient_arguments import decode_arguments, prepare_value
from .schema_flattening import Loss, flatten
from .schema_parts import Schema


class _Omitted(enum.Enum):
    """The value of a parameter that the model omitted and for which the function has a default."""

    USE_DEFAULT = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """The parameters of a tool: their schema for the model, and the validator of its arguments."""

    schema: Schema
    """The JSON schema of the arguments, as the service accepts it."""
    field_defaults: Mapping[str, FieldInfo]
    """Parameters whose default is in a pydantic `Field`, which Python does not evaluate."""
    _signature: inspect.Signature
    """The signature of the function."""
    _adapter: TypeAdapter[Any]
    """Pydantic's validator of the arguments."""
    _contexts: tuple[str, ...] = ()
    """Names of the parameters that take the context of the conversation."""

    def read_json(self, text: str, context: ToolContext | None = None) -> dict[str, Any]:
        """Return the keyword arguments to call the function with.

        Args:
            text: The model's JSON, encoded once or more; empty for no arguments.
            context: The conversation, for parameters that ask for it; None outside a bridge.

        Raises:
            ArgumentsError: Arguments are wrong; the message names the place of each.
        """
        faults: dict[ArgumentPath, str] = {}
        arguments = prepare_value(self.schema, decode_arguments(text), faults)
        values: dict[str, Any] = {}
        try:
            # From JSON, pydantic accepts text for enums, dates and sets even in strict types.
            values = self._adapter.validate_json(json.dumps(arguments))
        except ValidationError as error:
            details = error.errors(include_url=False)
            said = [describe_error(detail, self.schema, arguments) for detail in details]
            wrong = [text for place, text in said if place not in faults]
            raise ArgumentsError("; ".join(dict.fromkeys([*wrong, *faults.values()]))) from error
        if faults:
            raise ArgumentsError("; ".join(faults.values()))
        given = {name: value for name, value in values.items() if value is not _Omitted.USE_DEFAULT}
        return given | dict.fromkeys(self._contexts, context or ToolContext())

    def with_field_defaults(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of a direct call, completed by the defaults of `Field`.

        Args:
            args: The positional arguments of the call.
            kwargs: Its keyword arguments.

        Raises:
            TypeError: The arguments do not match the signature, as when Python calls the function.
        """
        given = self._signature.bind_partial(*args, **kwargs).arguments
        completed = dict(kwargs)
        for name, field in self.field_defaults.items():
            if name in given:
                continue
            if field.is_required():
                raise TypeError(f"missing a required argument: {name!r}")
            completed[name] = field.get_default(call_default_factory=True, validated_data={})
        return completed


def read_parameters(fn: Callable[..., Any], tool: str, doc: str) -> Parameters:
    """Read the parameters of a function.

    Args:
        fn: The function; its hints are evaluated.
        tool: The name of the tool, for messages.
        doc: The docstring of the function, or empty text.

    Raises:
        ConfigError: A parameter or its type cannot be described to the service.
    """
    try:
        whole = inspect.signature(fn, eval_str=True)
    except (NameError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise _unreadable(f"tool {tool!r}", error) from error
    contexts = tuple(n for n, p in whole.parameters.items() if p.annotation is ToolContext)
    for name in contexts:
        _check_parameter(whole.parameters[name], f"Parameter {name!r} of tool {tool!r}")
    signature = whole.replace(
        parameters=[p for n, p in whole.parameters.items() if n not in contexts]
    )
    for name, parameter in signature.parameters.items():
        _check_parameter(parameter, f"Parameter {name!r} of tool {tool!r}")
    fields = {name: _field(p, tool) for name, p in signature.parameters.items()}
    adapter, raw = _read_hints(signature, fields, tool)
    schema, losses = flatten(raw)
    _check_losses(losses, tool)
    schema.pop("additionalProperties", None)  # pydantic writes false for every function
    documented = parameter_descriptions(doc, set(fields))
    for name, parameter in signature.parameters.items():
        alias = fields[name].validation_alias
        part = schema["properties"][alias if isinstance(alias, str) else name]
        describe(part, parameter.annotation, documented.get(name, ""))
    describe_formats(schema)
    field_defaults = {
        name: fields[name]
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.default, FieldInfo)
        or (parameter.default is parameter.empty and not fields[name].is_required())
    }
    return Parameters(schema, field_defaults, whole, adapter, contexts)


def _check_parameter(parameter: inspect.Parameter, where: str) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise ConfigError(
            f"{where} takes any number of arguments.", hint="Name each, or take a list[T]."
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ConfigError(f"{where} is positional-only.", hint="Take away the '/'.")
    if parameter.annotation is parameter.empty:
        raise ConfigError(
            f"{where} has no type hint.",
            hint="Pass a bound method: tool(robot.go)." if parameter.name == "self" else "Add one.",
        )


def _field(parameter: inspect.Parameter, tool: str) -> FieldInfo:
    """Return the contents of `Field` in a parameter's hint or default."""
    try:
        if parameter.default is parameter.empty:
            return FieldInfo.from_annotation(parameter.annotation)
        return FieldInfo.from_annotated_attribute(parameter.annotation, parameter.default)
    except _HINT_ERRORS as error:
        raise _unsupported(parameter.name, tool, error) from error


def _read_hints(
    signature: inspect.Signature, fields: Mapping[str, FieldInfo], tool: str
) -> tuple[TypeAdapter[Any], JsonSchemaValue]:
    """Return pydantic's validator of a function's arguments, and its JSON schema of them."""
    parameters = [
        parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            default=parameter.default
            if parameter.default is parameter.empty
            or isinstance(parameter.default, FieldInfo)
            or fields[name].validate_default
            else _Omitted.USE_DEFAULT,
        )
        for name, parameter in signature.parameters.items()
    ]
    try:
        return _make_adapter(parameters)
    except _HINT_ERRORS as error:
        # The error does not name the parameter: find the one whose hint fails alone.
        for parameter in parameters:
            try:
                _make_adapter([parameter])
            except _HINT_ERRORS as its_error:
                raise _unsupported(parameter.name, tool, its_error) from its_error
        raise _unreadable(f"tool {tool!r}", error) from error


def _make_adapter(parameters: list[inspect.Parameter]) -> tuple[TypeAdapter[Any], JsonSchemaValue]:
    def read(**arguments: Any) -> dict[str, Any]:
        return arguments

    stand_in: Any = read
    stand_in.__signature__ = inspect.Signature(parameters)
    stand_in.__annotations__ = {p.name: p.annotation for p in parameters}
    adapter = TypeAdapter[Any](stand_in, config=ConfigDict(allow_inf_nan=False))
    return adapter, adapter.json_schema(schema_generator=_SchemaGenerator)


class _SchemaGenerator(GenerateJsonSchema):
    """A generator of JSON schemas that omits details which the model does not need."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Omit the default, which the function or pydantic fills in.

        Args:
            schema: Pydantic's schema of a value with a default.
        """
        return self.generate_inner(schema["schema"])

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Describe a decimal as a number; its text is accepted as well.

        Args:
            schema: Pydantic's schema of the decimal.
        """
        return {"type": "number"}

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Refuse bytes, because a model sends text.

        Args:
            schema: Pydantic's schema of the bytes.

        Raises:
            TypeError: Always.
        """
        raise TypeError("bytes cannot be sent as text")

    def complex_schema(self, schema: core_schema.ComplexSchema) -> JsonSchemaValue:
        """Refuse complex numbers, because no format tells the model how to write one.

        Args:
            schema: Pydantic's schema of the number.

        Raises:
            TypeError: Always.
        """
        raise TypeError("complex numbers cannot be sent as text")

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """Refuse a literal that pydantic cannot read from JSON, and describe others.

        Args:
            schema: Pydantic's schema of the literal.

        Raises:
            TypeError: A value is a member of an enum whose values are neither text nor numbers.
        """
        for value in schema["expected"]:
            if isinstance(value, enum.Enum) and not isinstance(value, (str, int)):
                raise TypeError(f"{value} in a Literal cannot be sent as text")
        return super().literal_schema(schema)


_HINT_ERRORS = (
    PydanticUserError,
    *(NameError, AttributeError, SyntaxError, TypeError, ValueError, RecursionError),
)
"""Errors of reading type hints. Pydantic, too, raises `NameError` for an undefined name."""

_SUPPORTED = (
    "Use str, int, float, bool, Literal or Enum of strings or whole numbers, list[T], dict[str, T],"
    " date, time, datetime, a dataclass, a TypedDict or a pydantic model."
)

_LOSSES = {
    "anything": ("takes {detail}, which no schema of the service can express", _SUPPORTED),
    "types": (
        "takes {detail}, but a schema of the service has one type",
        "Take one of them, such as str, and convert it in the function.",
    ),
    "choices": ("has {detail}", "Use only strings, or only whole numbers."),
    "null": ("may be None and has no default", "Add `= None`."),
    "recursion": (
        "takes {detail}, which no schema of the service can express",
        "Take a flat list instead.",
    ),
    "reference": ("has {detail}", _SUPPORTED),
    "size": ("has a type of {detail}", "Take fewer or flatter objects."),
}
"""Message about the parameter and hint, for each kind of serious loss."""


def _check_losses(losses: Iterable[Loss], tool: str) -> None:
    for loss in losses:
        if loss.changes_meaning:
            said, hint = _LOSSES[loss.kind]
            name = re.split(r"[.\[]", loss.place)[0]
            inside = f" (at {loss.place})" if loss.place != name else ""
            raise ConfigError(
                f"Parameter {name!r} of tool {tool!r} {said.format(detail=loss.detail)}{inside}.",
                hint=hint,
            )


def _unsupported(name: str, tool: str, error: Exception) -> ConfigError:
    where = f"parameter {name!r} of tool {tool!r}"
    if isinstance(error, (NameError, AttributeError, SyntaxError)):
        return _unreadable(where, error)
    said = str(error).splitlines()[0].strip().rstrip(".:")
    return ConfigError(
        f"P{where[1:]} has a type that no schema of the service can express: {said}.",
        hint=_SUPPORTED,
    )


def _unreadable(of: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"The type hints of {of} cannot be read: {error}.",
        hint="Define or import the types at the top of the module.",
    )
