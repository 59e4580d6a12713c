"""Read tool definitions from JSON, with the line of each part.

These forms are read, alone, in a list, or in a list below `tools`:

    Bedrock           {"toolSpec": {"name", "description", "inputSchema": {"json": schema or text}}}
    MCP               {"name", "description", "inputSchema": schema}
    Messages          {"name", "description", "input_schema": schema}
    Chat Completions  {"function": {"name", "description", "parameters": schema}}
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..config import ToolSpec
from ..errors import FileError

type Path = tuple[str, ...]
"""Keys and indexes that lead to a value in a JSON document."""

_TOKEN = re.compile(r'[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+')
_SCHEMA_KEYS = ("inputSchema", "input_schema", "parameters")
_HINT = "A list of definitions as Bedrock, MCP or Chat Completions have them."


@dataclass(frozen=True, slots=True)
class Definition:
    """A tool as a JSON document defines it."""

    spec: ToolSpec
    """The tool, which the service may refuse."""
    lines: Mapping[Path, int]
    """Lines of its parts in the document, by the parts that a `Finding` names."""

    def line(self, part: Path) -> int:
        """Return the line of a part, or of what contains it.

        Args:
            part: The part, as `Finding.part` has it; empty for the whole tool.
        """
        while part not in self.lines:
            part = part[:-1]
        return self.lines[part]


def read_definitions(text: str, name: str) -> list[Definition]:
    """Return the tools that a JSON document defines.

    Args:
        text: The document.
        name: Name of the file, for errors.

    Raises:
        FileError: The text is not JSON, or a definition has no name or no schema.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{name} is not JSON: {error}.", hint="Name a JSON file.") from error
    lines = value_lines(text)
    path: Path = ()
    while isinstance(document, Mapping) and not _is_definition(cast(Any, document)):
        step = next(
            (key for key in ("tools", "result", "toolConfiguration") if key in document), ""
        )
        if not step:
            raise FileError(f"{name} defines no tools.", hint=_HINT)
        document = cast(Mapping[str, Any], document)[step]
        path = (*path, step)
    if not isinstance(document, list):
        return [_definition(cast(Any, document), path, lines, name)]
    items = cast(Sequence[Any], document)
    found = [
        _definition(item, (*path, str(index)), lines, name) for index, item in enumerate(items)
    ]
    if not found:
        raise FileError(f"{name} defines no tools.", hint=_HINT)
    return found


def _is_definition(value: Mapping[str, Any]) -> bool:
    return any(key in value for key in ("toolSpec", "function", "name"))


def _definition(value: Any, path: Path, lines: Mapping[Path, int], file: str) -> Definition:
    for key in ("toolSpec", "function"):
        if isinstance(value, Mapping) and key in value:
            value, path = cast(Mapping[str, Any], value)[key], (*path, key)
    place = f"{file}:{lines.get(path, 1)}"
    if not isinstance(value, Mapping) or not isinstance(cast(Any, value).get("name"), str):
        raise FileError(f"{place}: this is no definition of a tool.", hint=_HINT)
    fields = cast(Mapping[str, Any], value)
    key = next((key for key in _SCHEMA_KEYS if key in fields), "")
    schema: Any = fields.get(key, {"type": "object", "properties": {}})
    schema_path = (*path, key)
    if isinstance(schema, Mapping) and "json" in schema:
        schema, schema_path = cast(Mapping[str, Any], schema)["json"], (*schema_path, "json")
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise FileError(
                f"{place}: the schema is not JSON: {error}.", hint="It is a JSON schema."
            ) from error
    if not isinstance(schema, dict):
        raise FileError(f"{place}: the schema is not an object.", hint="It is a JSON schema.")
    spec = ToolSpec(
        fields["name"], str(fields.get("description") or ""), cast(dict[str, Any], schema)
    )
    own: dict[Path, int] = {(): lines.get(path, 1)}
    for other, line in lines.items():
        if other[: len(schema_path)] == schema_path:
            own["schema", *other[len(schema_path) :]] = line
        elif other[: len(path)] == path and other[len(path) :] in (("name",), ("description",)):
            own[other[len(path) :]] = line
    return Definition(spec, own)


def value_lines(text: str) -> dict[Path, int]:
    """Return the line of each value in a JSON document, by its path.

    Args:
        text: The document, which must be valid.
    """
    lines: dict[Path, int] = {}
    containers: list[_Container] = []
    line, counted = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", counted, token.start())
        counted = token.start()
        word = token[0]
        top = containers[-1] if containers else None
        if word in ("}", "]"):
            containers.pop()
        elif word == "," and top is not None:
            top.index += 1
            top.key = None
        elif top is not None and top.is_object and top.key is None:
            top.key = json.loads(word)
        elif word != ":":
            path = (
                () if top is None else (*top.path, str(top.index) if top.key is None else top.key)
            )
            lines[path] = line
            if word in ("{", "["):
                containers.append(_Container(path, word == "{"))
    return lines


@dataclass(slots=True)
class _Container:
    """An object or array that is being read."""

    path: Path
    is_object: bool
    key: str | None = None
    """Key of the value that is read; None before it, and in an array."""
    index: int = 0
