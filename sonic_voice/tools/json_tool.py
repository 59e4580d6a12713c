"""Make a tool from a JSON schema instead of a Python signature.

The tools of other programs, such as MCP servers, come with a name, a description and a schema. The
function behind such a tool takes the arguments as one dict, whatever their names are:

    async def call(arguments: dict[str, Any], context: ToolContext) -> object: ...

    json_tool(call, name="book_table", description="Book a table.", schema={...})
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import TOOL_NAME, ToolSpec, check_schema
from ..errors import ConfigError
from .argument_errors import ArgumentPath, ArgumentsError, path_text
from .context import ToolContext
from .declaration import Tool
from .lenient_arguments import decode_arguments, prepare_value
from .schema_parts import Schema


@dataclass(frozen=True, slots=True, eq=False)
class JsonArguments:
    """The reader of a tool's arguments that are described by a schema alone.

    It repairs what models write differently from what they mean, as for Python functions, and
    refuses what is missing. Everything else is left to the function, which may know more of its
    arguments than a schema for the service can express.
    """

    schema: Schema
    """The JSON schema of the arguments, as the service accepts it."""
    field_defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Empty: a schema has no defaults that Python would have to evaluate."""

    def read_json(self, text: str, context: ToolContext | None = None) -> dict[str, Any]:
        """Return the keyword arguments to call the function with.

        Args:
            text: The model's JSON, encoded once or more; empty for no arguments.
            context: The conversation.

        Raises:
            ArgumentsError: Arguments are wrong; the message names the place of each.
        """
        faults: dict[ArgumentPath, str] = {}
        arguments = prepare_value(self.schema, decode_arguments(text), faults)
        for name in self.schema.get("required", ()):
            if name not in arguments:
                faults[name,] = f"{path_text((name,))} is missing"
        if faults:
            raise ArgumentsError("; ".join(faults.values()))
        return {"arguments": arguments, "context": context or ToolContext()}

    def with_field_defaults(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of a direct call, unchanged.

        Args:
            args: The positional arguments of the call.
            kwargs: Its keyword arguments.
        """
        return kwargs


def json_tool(
    fn: Callable[[dict[str, Any], ToolContext], Awaitable[object]],
    *,
    name: str,
    description: str,
    schema: Schema,
    timeout_s: float | None = None,
) -> Tool[..., Any]:
    """Make a tool of an async function and a schema.

    Args:
        fn: The function. Its parameters are named `arguments` and `context`.
        name: The name of the tool, as the service accepts it.
        description: The description for the model.
        schema: The schema of the arguments, as the service accepts it; `flatten` makes one of any.
        timeout_s: Maximum duration of a call, in seconds; by default that given to `Toolbox.run`.

    Raises:
        ConfigError: The service would refuse the name or the schema.
    """
    if not TOOL_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a tool.", hint="Letters, digits, _ and -, at most 64 of them."
        )
    check_schema(name, schema)
    return Tool(
        fn=fn,
        spec=ToolSpec(name, description, schema),
        timeout_s=timeout_s,
        parameters=JsonArguments(schema),
    )
