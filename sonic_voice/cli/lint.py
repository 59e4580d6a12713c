"""The command `sonic-voice lint`: advice on a system prompt and tools, each with its line."""

import ast
import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..catalog import DEFAULT_MODEL, voice_model
from ..config import SessionConfig, ToolSpec
from ..errors import ConfigError
from ..printable import printable, printable_json
from ..text_files import read_text_file
from .base import errors
from .configured import PresetName
from .mcp import mcp_servers
from .options import McpConfig, McpTargets, ModelId, SystemPrompt, ToolsFile
from .printing import USAGE_ERROR, echo
from .service import read_text_argument
from .tools_file import load_tools

if TYPE_CHECKING:
    from ..advice import Finding
    from ..mcp_servers import McpServer

FINDINGS_EXIT = 1
"""Exit code when there are findings."""


type Place = tuple[str, int]
"""A file, or the option that gives a text, and a line of it."""


@dataclass(frozen=True, slots=True)
class _Tools:
    """The tools of a file, and the places of their parts."""

    specs: tuple[ToolSpec, ...]
    place: "Callable[[Finding], Place]"
    refused: "tuple[Finding, ...]" = ()
    """Finding for a Python function that cannot be a tool, at which reading ended."""

    def followed_by(self, other: "_Tools") -> "_Tools":
        """Return these tools and others, which the model is given together.

        Args:
            other: The other tools.
        """
        count = len(self.specs)

        def place(finding: "Finding") -> Place:
            position = finding.position
            if position is None or position < count:
                return self.place(finding) if count else other.place(finding)
            return other.place(replace(finding, position=position - count))

        return _Tools((*self.specs, *other.specs), place, self.refused)


def lint(
    context: typer.Context,
    preset: PresetName = None,
    system: SystemPrompt = None,
    tools: ToolsFile = None,
    mcp: McpTargets = None,
    mcp_config: McpConfig = None,
    model: ModelId = DEFAULT_MODEL,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Temperature with which the model is to be used."),
    ] = None,
    findings_as_json: Annotated[
        bool, typer.Option("--json", help="Print each finding as a JSON object on a line.")
    ] = False,
) -> None:
    """Check a system prompt and tools for what a voice model handles badly.

    [bold]sonic-voice lint --system @prompt.txt --tools robot.py[/bold]

    Each finding has its file and line, the reason and a proposed rewrite. The
    exit code is 1 if there are findings. The rules are those of AWS's prompting
    guides for Nova Sonic.

    --tools also takes a JSON file (.json) with definitions as Bedrock, MCP or
    Chat Completions have them. A Python file is run, as talk --tools does. The
    tools of MCP servers have the name of their server in place of a file.
    """
    if system is None and tools is None and not mcp and mcp_config is None:
        raise USAGE_ERROR("There is nothing to check: give --system, --tools or --mcp.")
    with errors(context):
        found = _review(system, tools, mcp_servers(mcp, mcp_config), model, temperature)
    for place, finding in found:
        echo(_json_line(place, finding) if findings_as_json else _lines(place, finding))
    if not findings_as_json:
        echo(f"{len(found)} finding{'s' * (len(found) != 1)}." if found else "No findings.")
    if found:
        raise typer.Exit(FINDINGS_EXIT)


def _lines(place: Place, finding: "Finding") -> str:
    """Return a finding as the lines that a person reads."""
    file, line = place
    rewrite = printable(finding.rewrite) or "(remove it)"
    return (
        f"{printable(file)}:{line}: {finding.rule}: {printable(finding.reason)}\n"
        f"    found    {printable(finding.found).strip() or '(nothing)'}\n"
        f"    rewrite  {rewrite}"
    )


def _json_line(place: Place, finding: "Finding") -> str:
    file, line = place
    fields = {
        "file": file,
        "line": line,
        "rule": finding.rule,
        "tool": finding.tool,
        "reason": finding.reason,
        "found": finding.found,
        "rewrite": finding.rewrite,
    }
    return printable_json(fields)


def _review(
    system: str | None,
    path: Path | None,
    servers: "Sequence[McpServer]",
    model: str,
    temperature: float | None,
) -> "list[tuple[Place, Finding]]":
    """Return the findings with their places.

    Raises:
        ConfigError: A file cannot be read, or the model is not known.
        NetworkError: A server cannot be reached.
    """
    from ..advice import review_prompt, review_tools

    silent_tools = voice_model(model).silent_tools
    tools = _Tools((), lambda _: ("", 1)) if path is None else _read_tools(path)
    if servers:
        tools = tools.followed_by(_tools_of_servers(servers))
    found: list[tuple[Place, Finding]] = []
    if system is not None:
        file = system[1:] if system.startswith("@") else "--system"
        text = read_text_argument(system)
        names = [spec.name for spec in tools.specs]
        prompt = review_prompt(text, silent_tools=silent_tools, tools=names)
        found += [((file, one.line), one) for one in (*_refused(text, model), *prompt)]
    of_tools = (*tools.refused, *review_tools(tools.specs, temperature=temperature))
    located = [(tools.place(finding), finding) for finding in of_tools]
    return found + sorted(located, key=lambda one: one[0])


def _refused(system: str, model: str) -> "Iterator[Finding]":
    """Yield a finding if a session refuses the prompt, which is then empty or too large."""
    from ..advice import Finding

    try:
        SessionConfig(model=model, system=system)
    except ConfigError as error:
        detail = f"{error.message} {error.hint}"
        yield Finding("refused-prompt", system[:80], "", detail=detail)


def _read_tools(path: Path) -> _Tools:
    """Return the tools of a Python or JSON file.

    Raises:
        ConfigError: It cannot be read, fails, or has no tools.
    """
    from ..advice import Finding
    from ..advice.definitions import read_definitions

    if path.suffix.lower() == ".json":
        definitions = read_definitions(read_text_file(path), str(path))
        return _Tools(
            tuple(one.spec for one in definitions),
            lambda finding: (
                str(path),
                1 if (n := finding.position) is None else definitions[n].line(finding.part),
            ),
        )
    try:
        toolbox = load_tools(path)
    except ConfigError as error:
        file = str(path.absolute())
        lines = [
            frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file
        ]
        if not lines or lines[-1] is None:
            raise
        detail = "What stands below it was not checked."
        refused = Finding("refused-tool", error.message, error.hint, lines[-1], detail=detail)
        return _Tools((), lambda finding: (str(path), finding.line), (refused,))
    functions = [inspect.unwrap(tool.fn) for tool in toolbox.tools]
    return _Tools(
        toolbox.specs,
        lambda finding: (
            (str(path), 1)
            if (n := finding.position) is None
            else _place_in_python(path, functions[n], finding)
        ),
    )


def _tools_of_servers(servers: "Sequence[McpServer]") -> _Tools:
    """Return the tools of MCP servers as the model is given them.

    A schema that cannot be given to it without a loss is that of the server.
    """
    from ..mcp_servers import listed_tools

    listed = asyncio.run(listed_tools(*servers))
    specs = [
        ToolSpec(
            tool.spec.name,
            tool.listed.description,
            tool.listed.schema if tool.loses_meaning else tool.spec.schema,
        )
        for _, tool in listed
    ]
    return _Tools(tuple(specs), lambda finding: (listed[finding.position or 0][0], 1))


def _place_in_python(path: Path, function: Any, finding: "Finding") -> Place:
    """Return the file and line of a part of a function, which may have been imported."""
    code = getattr(function, "__code__", None)
    if code is None:  # a callable object
        return str(path), 1
    file = Path(code.co_filename)
    shown = str(path) if file == path.absolute() else str(file)
    text = read_text_file(file)
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        if first == code.co_firstlineno:
            return shown, _line_in_function(node, text.splitlines(), finding)
    return shown, code.co_firstlineno


def _line_in_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], finding: "Finding"
) -> int:
    match finding.part:
        case ("description",) if ast.get_docstring(node):
            doc = node.body[0]
            beginning = " ".join(finding.found.split()[:3])
            numbers = range(doc.lineno, (doc.end_lineno or doc.lineno) + 1)
            found = (number for number in numbers if beginning in lines[number - 1])
            return next(found, doc.lineno)
        case ("schema", "properties", name, *_):
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            return next((one.lineno for one in arguments if one.arg == name), node.lineno)
        case _:
            return node.lineno
