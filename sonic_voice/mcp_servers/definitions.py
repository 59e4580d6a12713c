"""Describe the tools of an MCP server to the service.

The service takes fewer names and schemas than MCP. Names are mapped, schemas are flattened, and a
sentence for the person who runs the program names what was lost.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import TOOL_NAME, ToolSpec, check_schema
from ..errors import ConfigError
from ..tools.schema_flattening import Loss, flatten

NAME_CHARACTERS = 64
"""Maximum length of the name of a tool, in characters (reference 8.1)."""

DESCRIPTION_CHARACTERS = 4_000
"""Maximum length of a description, in characters. Longer ones are cut: a server that is not ours
must not fill the context of the model. `lint` advises far shorter ones."""

MAX_TOOLS = 100
"""Maximum number of tools of one server that are offered. The model chooses badly among far fewer;
`lint` advises at most 20 in all."""

_LOSSES_NAMED = 4
"""Maximum number of losses of one tool that a notice names."""


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as a server lists it."""

    name: str
    """Its name on the server."""
    description: str
    """Its description, or its title; may be empty."""
    schema: dict[str, Any] = field(default_factory=dict[str, Any])
    """JSON schema of its arguments, of any draft."""


@dataclass(frozen=True, slots=True)
class DescribedTool:
    """A tool of a server, as the service accepts it."""

    listed: ListedTool
    """The tool on the server."""
    spec: ToolSpec
    """Name, description and schema for the model."""
    loses_meaning: bool = False
    """True if the schema for the model describes less than that of the server."""


def describe_tools(
    listed: Sequence[ListedTool], server: str, taken: Container[str]
) -> tuple[list[DescribedTool], list[str]]:
    """Return the tools of a server as the service accepts them, and what the user should know.

    Args:
        listed: The tools of the server.
        server: Name of the server, for messages and for tools whose names are taken.
        taken: Names of other tools.

    Returns:
        The tools, without those that cannot be described, and a sentence about each tool that
        differs from what the server lists.
    """
    tools: list[DescribedTool] = []
    notices: list[str] = []
    names: set[str] = set()
    if len(listed) > MAX_TOOLS:
        notices.append(
            f"The MCP server {server} has {len(listed)} tools, of which the first {MAX_TOOLS} are "
            "offered."
        )
    for tool in listed[:MAX_TOOLS]:
        where = f"The tool {tool.name!r} of the MCP server {server}"
        name = service_name(tool.name, server, lambda one: one in taken or one in names)
        schema, losses = flatten(tool.schema or {"type": "object"})
        try:
            check_schema(name, schema)
        except ConfigError as error:
            notices.append(f"{where} is left out: {error.message}")
            continue
        names.add(name)
        if name != tool.name:
            notices.append(f"{where} is called {name!r}.")
        said = _describe_losses(losses)
        if said:
            notices.append(f"{where} has a simpler schema here, which loses: {said}.")
        description = (tool.description.strip() or tool.name)[:DESCRIPTION_CHARACTERS]
        tools.append(DescribedTool(tool, ToolSpec(name, description, schema), bool(said)))
    return tools, notices


def service_name(name: str, server: str, is_taken: Callable[[str], bool]) -> str:
    """Return a name for a tool that the service accepts and no other tool has.

    Args:
        name: The name on the server.
        server: The name of the server, which is put before a name that is taken.
        is_taken: Returns whether another tool has a name.
    """
    found = name if TOOL_NAME.fullmatch(name) else _cleaned(name)
    if is_taken(found):
        found = _cleaned(f"{server}_{name}")
    base, number = found, 1
    while is_taken(found):
        number += 1
        found = f"{base[: NAME_CHARACTERS - 4]}_{number}"
    return found


def _cleaned(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:NAME_CHARACTERS] or "tool"


def _describe_losses(losses: Iterable[Loss]) -> str:
    lost = [loss for loss in losses if loss.changes_meaning]
    named = [f"{loss.place or 'the arguments'}: {loss.detail}" for loss in lost[:_LOSSES_NAMED]]
    more = f"{len(lost) - _LOSSES_NAMED} more" if len(lost) > _LOSSES_NAMED else ""
    return "; ".join(filter(None, [*named, more]))
