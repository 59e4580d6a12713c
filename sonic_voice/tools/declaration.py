"""Declaration of tools: `@tool` makes a tool of a function.

`@tool` reads a function's signature, type hints and docstring once, when it decorates, and makes
of them a `ToolSpec` (the description for the model) and a validator of the arguments that the model
sends. A type that cannot be described to the service is refused then and not at the first call,
with the names of the function and the parameter. The hints and their JSON schemas:

    str, int, float, Decimal, bool        string, integer, number, number, boolean
    Literal[...], Enum                    string or integer with `enum`
    list[T], set[T], tuple[T, ...]        array of T
    dict[str, T]                          object with values of T
    date, time, datetime, timedelta       string in ISO 8601
    dataclass, TypedDict, pydantic model  object, also one inside another
    T | None, or any default              a property that is not `required`
    Annotated[T, "..."]                   T with that description
    Annotated[T, Field(...)], = Field()   T with that description, limits and default

Pydantic reads the hints and validates the arguments (`arguments`), so its validators and other
types work too. It is imported when the first tool is made. The service refuses `anyOf`, `$ref` and
null types (protocol reference 8.1); `schema_flattening` replaces them, and a hint whose meaning
would be lost, such as `Any`, `int | str` or a class that contains itself, is refused.

A parameter with the hint `ToolContext` is not described to the model: it receives the user and the
conversation (`context`).

A decorated function can still be called directly. If a default is given by `Field`, a direct call
fills it in, which Python itself would not do.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from ..config import TOOL_NAME, ToolSpec, check_schema
from ..errors import ConfigError
from ..policies import PLAIN_TOOL, ResultPolicy, ToolPolicy
from .docstrings import first_paragraph

if TYPE_CHECKING:
    from .arguments import Parameters
    from .json_tool import JsonArguments


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tool[**P, R]:
    """A function that the model may call, and that can still be called directly."""

    fn: Callable[P, R]
    """The function."""
    spec: ToolSpec
    """Name, description and schema for the model."""
    timeout_s: float | None
    """Maximum duration of a call, in seconds; None is that given to `Toolbox.run`."""
    parameters: "Parameters | JsonArguments"
    """Reader of the model's arguments: of a Python signature, or of a JSON schema."""
    policy: ToolPolicy = PLAIN_TOOL
    """The policy around a call: acknowledgement, time of the result, cancellation."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function directly, without validation, timeout or thread.

        A parameter that is omitted and whose default is given by a pydantic `Field` gets that
        default; calling `fn` would pass the `Field` itself.

        Args:
            args: Positional arguments of the function.
            kwargs: Keyword arguments of the function.
        """
        if self.parameters.field_defaults:
            return self.fn(*args, **self.parameters.with_field_defaults(args, kwargs))
        return self.fn(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """True if the function runs in the event loop rather than in a thread."""
        return inspect.iscoroutinefunction(inspect.unwrap(self.fn))


@overload
def tool[**P, R](fn: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool[**P, R](
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    ack: str = "",
    result: ResultPolicy = "now",
    cancel_on_barge_in: bool = False,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool[**P, R](
    fn: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    ack: str = "",
    result: ResultPolicy = "now",
    cancel_on_barge_in: bool = False,
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a tool of a sync or async function: `@tool`, or `@tool(ack=..., timeout_s=...)`.

    The description of the tool is the first paragraph of the docstring, or the name in words if
    there is none. The descriptions of parameters come from `Annotated`, or from the docstring in
    Google, NumPy or reST style.

    Args:
        fn: The function.
        name: The name of the tool; by default that of the function.
        timeout_s: Maximum duration of a call, in seconds; by default that given to `Toolbox.run`.
        ack: Words that the user is to hear while the tool runs, such as "One moment.", on models
            that are silent until the result comes (Nova 2.5). They are said once, and only if the
            tool takes its time.
        result: When the result is given to the model: `now`; `when_idle`, once neither side speaks;
            or `silent`, with the request to say nothing about it.
        cancel_on_barge_in: Whether the call is cancelled when the user interrupts, or says
            something else meanwhile. A sync tool cannot be stopped, but may look at
            `ToolContext.cancelled`.

    Raises:
        ConfigError: The name, a parameter or its type cannot be described to the service.
    """
    policy = ToolPolicy(ack=ack, result=result, cancel_on_barge_in=cancel_on_barge_in)
    if fn is None:
        return lambda fn: _make_tool(fn, name, timeout_s, policy)
    return _make_tool(fn, name, timeout_s, policy)


def _make_tool[**P, R](
    fn: Callable[P, R], name: str | None, timeout_s: float | None, policy: ToolPolicy
) -> Tool[P, R]:
    name = name or str(getattr(fn, "__name__", ""))
    if not TOOL_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a tool.",
            hint="Letters, digits, _ and -, at most 64 of them: @tool(name=...).",
        )
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigError(f"The timeout of tool {name!r} must be over 0 s, not {timeout_s}.")
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigError(f"Tool {name!r} yields; a call has one result.", hint="Return a list.")
    from .arguments import read_parameters  # imports pydantic, for the first tool

    # A callable object inherits the docstring of its class, which does not describe the call.
    doc = (inspect.getdoc(fn) or "") if inspect.isroutine(fn) else ""
    parameters = read_parameters(fn, name, doc)
    check_schema(name, parameters.schema)
    spec = ToolSpec(name, first_paragraph(doc) or name.replace("_", " "), parameters.schema)
    return Tool(fn=fn, spec=spec, timeout_s=timeout_s, parameters=parameters, policy=policy)
