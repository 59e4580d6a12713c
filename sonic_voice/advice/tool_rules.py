"""Review the names, descriptions and schemas of tools."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ..config import TOOL_NAME, ToolSpec, check_schema
from ..errors import ConfigError
from ..tools.schema_flattening import flatten
from .findings import Finding
from .line_rules import DESCRIPTION_RULES, LINE_RULES
from .sentences import sentences_of

MAX_DESCRIPTION = 600
"""Maximum length of a tool's description without a finding, in characters: about six sentences. The
guides ask for short descriptions without a number; this one is a choice of this project."""

MAX_TOOLS = 20
"""Maximum number of tools without a finding. The guides have no number; this one is a choice of
this project."""

MAX_TOOLS_BYTES = 100_000
"""Maximum size of all definitions without a finding, in bytes of JSON. AWS reports worse tool calls
from about 50,000 tokens of context on, and a token is about four bytes: this is half of them."""

MAX_NESTING = 2
"""Maximum number of objects inside each other, that of the arguments included (reference 8.1)."""

_DISCOURAGING = re.compile(
    r"\b(?:do not|don't|never|must not|avoid)\b|\buse (?:this )?with (?:caution|care)\b"
    r"|\bonly once\b|\bwith caution\b",
    re.IGNORECASE,
)
_SPEECH = re.compile(
    r"\b(?:say|tell|announce|acknowledge|inform|apologi[sz]e|let the (?:user|caller) know)\b"
    r"[^.]{0,80}\b(?:before|while|after|when|first)\b[^.]{0,40}\b(?:call|calling|us(?:e|ing)|runs?"
    r"|running)\b|\b(?:before|while|after|when) (?:calling|using|running)\b[^.]{0,80}\b(?:say|tell"
    r"|announce|acknowledge|inform)\b|\bif your (?:reply|answer|response) contains\b",
    re.IGNORECASE,
)
_POINTER = re.compile(r" at (/\S*?)[;.]?(?:\s|$)")


def review_tools(tools: Sequence[ToolSpec], *, temperature: float | None = None) -> list[Finding]:
    """Return what the rules object to in tools, in their order.

    Args:
        tools: The tools that the model is given; they may be such that the service refuses them.
        temperature: Sampling temperature, 0 to 1; None if it is not known.
    """
    findings: list[Finding] = []
    count = Counter[str]()
    for position, tool in enumerate(tools):
        count[tool.name] += 1
        of_tool = (*_name(tool, count[tool.name]), *_description(tool), *_schema(tool))
        findings += (replace(one, tool=tool.name, position=position) for one in of_tool)
    findings += _all_together(tools, temperature)
    return findings


def _name(tool: ToolSpec, count: int) -> Iterator[Finding]:
    """Yield a finding for a name that the service refuses, or that is used again."""
    if count > 1:
        yield Finding("duplicate-tool", tool.name, f"{tool.name}_{count}", part=("name",))
    if not TOOL_NAME.fullmatch(tool.name):
        rewrite = re.sub(r"[^a-zA-Z0-9_-]+", "_", tool.name).strip("_")[:64] or "tool"
        yield Finding("tool-name", tool.name, rewrite, part=("name",))


def _description(tool: ToolSpec) -> Iterator[Finding]:
    text = tool.description.strip()
    words = tool.name.replace("_", " ").replace("-", " ").strip().lower()

    def finding(rule: str, found: str, rewrite: str, line: int = 1, detail: str = "") -> Finding:
        return Finding(rule, found, rewrite, line, part=("description",), detail=detail)

    if not text or text.strip(" .").lower() in (words, tool.name.lower()):
        # What the tool is for cannot be known here; the form of the sentence can.
        yield finding(
            "no-description", text, f"Use this tool to {words} when the user asks for it."
        )
    if len(text) > MAX_DESCRIPTION:
        detail = f"It has {len(text)} characters; {MAX_DESCRIPTION} are enough for most tools."
        yield finding("long-description", _beginning(text, 80), _beginning(text), 1, detail)
    for number, line in enumerate(tool.description.splitlines(), 1):
        for rule in DESCRIPTION_RULES:
            for found, rewrite in LINE_RULES[rule](line):
                yield finding(rule, found, rewrite, number)
        for sentence in sentences_of(line, number):
            if _SPEECH.search(sentence.text):
                yield finding("speech-in-description", sentence.text, "", number)
            elif _DISCOURAGING.search(sentence.text):
                yield finding("discouraging-description", sentence.text, "", number)


def _beginning(text: str, size: int = MAX_DESCRIPTION) -> str:
    """Return the sentences at the beginning of a text that fit into a size, in characters."""
    kept = ""
    for sentence in sentences_of(" ".join(text.split()), 1):
        longer = f"{kept} {sentence.text}".strip()
        if len(longer) > size:
            break
        kept = longer
    return kept or f"{text[: size - 4].rsplit(' ', 1)[0]} ..."


def _schema(tool: ToolSpec) -> Iterator[Finding]:
    """Yield a finding for each argument whose schema the service refuses, and for deep nesting."""
    flat, losses = flatten(tool.schema)
    refused = list(_refused(tool))
    for path, error in refused:
        part = _at(flat, path[:2])
        places = path[1] if len(path) > 1 else ""
        lost = [
            f"{loss.place or 'the whole'}: {loss.detail}"
            for loss in losses
            if loss.changes_meaning and loss.place.startswith(places)
        ]
        detail = error + (f" The rewrite loses {'; '.join(lost)}." if lost else "")
        yield Finding(
            "refused-schema",
            json.dumps(_at(tool.schema, path[:-1] or path), default=str),
            json.dumps(part if path[:1] == ("properties",) else flat),
            part=("schema", *path),
            detail=detail,
        )
    if not refused and (path := _too_deep(tool.schema, (), 0)) is not None:
        yield Finding(
            "deep-schema",
            json.dumps(_at(tool.schema, path)),
            json.dumps({"type": "string", "description": f"{path[-1]}, in words"}),
            part=("schema", *path),
        )


def _refused(tool: ToolSpec) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the error of each argument that the service refuses, or of the rest."""
    schema = tool.schema
    found = schema.get("properties")
    properties = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    rest: dict[str, Any] = {key: value for key, value in schema.items() if key != "properties"}
    parts = [
        rest,
        *({"type": "object", "properties": {key: properties[key]}} for key in properties),
    ]
    for part in parts:
        try:
            check_schema(tool.name, part)
        except ConfigError as error:
            pointer = _POINTER.search(error.message)
            path = tuple(pointer[1].strip("/").split("/")) if pointer else ()
            yield _existing(part, path), f"{error.message} {error.hint}".strip()


def _existing(schema: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the beginning of a path that leads somewhere: a name may contain a slash."""
    for size, step in enumerate(path):
        schema = _step(schema, step)
        if schema is None:
            return path[:size]
    return path


def _at(schema: Any, path: Sequence[str]) -> Any:
    for step in path:
        schema = _step(schema, step)
    return schema


def _step(schema: Any, step: str) -> Any:
    if isinstance(schema, Mapping):
        return cast(Mapping[str, Any], schema).get(step)
    if isinstance(schema, list) and step.isdigit() and int(step) < len(cast(list[Any], schema)):
        return cast(list[Any], schema)[int(step)]
    return None


def _too_deep(part: Any, path: tuple[str, ...], depth: int) -> tuple[str, ...] | None:
    """Return the path of the first object that lies too deep; None if there is none."""
    if not isinstance(part, Mapping):
        return None
    schema = cast(Mapping[str, Any], part)
    found = schema.get("properties")
    properties: Mapping[str, Any] = (
        cast(Mapping[str, Any], found) if isinstance(found, Mapping) else dict[str, Any]()
    )
    depth += bool(properties)
    if depth > MAX_NESTING:
        return path
    inner = [(("properties", name), value) for name, value in properties.items()]
    for steps, value in (*inner, (("items",), schema.get("items"))):
        if (deep := _too_deep(value, (*path, *steps), depth)) is not None:
            return deep
    return None


def _all_together(tools: Sequence[ToolSpec], temperature: float | None) -> Iterator[Finding]:
    if len(tools) > MAX_TOOLS:
        extra = ", ".join(tool.name for tool in tools[MAX_TOOLS:])
        detail = f"There are {len(tools)}; the finding begins at {MAX_TOOLS + 1}."
        yield Finding(
            "many-tools",
            f"{len(tools)} tools",
            f"Leave out or combine, for example: {extra}",
            tool=tools[MAX_TOOLS].name,
            position=MAX_TOOLS,
            detail=detail,
        )
    sizes = [
        len(json.dumps([tool.name, tool.description, tool.schema], default=str)) for tool in tools
    ]
    if sum(sizes) > MAX_TOOLS_BYTES:
        largest = sizes.index(max(sizes))
        name = tools[largest].name
        yield Finding(
            "large-tools",
            f"{sum(sizes)} bytes of definitions",
            f"Shorten {name} first.",
            tool=name,
            position=largest,
            detail=f"{name} alone has {sizes[largest]} bytes.",
        )
    if tools and temperature:
        yield Finding("temperature", f"temperature {temperature:g}", "temperature 0")
