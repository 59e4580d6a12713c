"""Names of MCP servers: a command line, a URL, or an entry of a standard `mcp.json`.

    {"mcpServers": {
       "time":  {"command": "uvx", "args": ["mcp-server-time"], "env": {"TZ": "UTC"}},
       "notes": {"type": "http", "url": "https://notes.example/mcp",
                 "headers": {"Authorization": "Bearer ${NOTES_TOKEN}"}}}}

`${NAME}` and `${NAME:-default}` stand for environment variables, so that the file needs no secrets.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, cast
from urllib.parse import urlsplit

from ..errors import ConfigError, FileError

_URL = re.compile(r"https?://", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")

_LAUNCHERS = re.compile(
    r"(python|pypy)[\d.]*|node|npx|bunx?|deno|pnpm|uvx?|pipx|docker|podman|env|sh|bash",
    re.IGNORECASE,
)
"""Programs that start others: the name of the server is among their arguments."""

_SUBCOMMANDS = frozenset({"run", "exec", "tool", "dlx", "x"})
"""Arguments of launchers that are no name of a server."""

NAME_CHARACTERS = 60
"""Maximum length of the name of a server in messages, in characters."""

_HINT = 'It has {"mcpServers": {"NAME": {"command": "...", "args": [...]}}} or {"url": "..."}.'


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """An MCP server that is started by a command, or reached at a URL (Streamable HTTP)."""

    name: str
    """Name for messages. It has no secrets, other than arguments and URLs."""
    command: tuple[str, ...] = field(default=(), repr=False)
    """Program and arguments; empty for a URL."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Variables that the program gets besides PATH, HOME, USER and a few more. It does not get the
    others of this process, among which may be credentials."""
    folder: str | None = None
    """Working directory of the program; None for that of this process."""
    url: str = field(default="", repr=False)
    """URL of the endpoint; empty for a command."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Headers of each request, such as `Authorization`."""


def read_target(text: str) -> McpServer:
    """Return the server that a text names.

    Args:
        text: A URL that begins with http:// or https://, or a command line.

    Raises:
        ConfigError: It is neither.
    """
    text = text.strip()
    if _URL.match(text):
        return McpServer(name=_name_of_url(text), url=text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"The command of an MCP server cannot be read: {error}.", hint="Close its quotes."
        ) from error
    if not words:
        raise ConfigError(
            "An MCP server has neither a command nor a URL.",
            hint="For example: --mcp 'uvx mcp-server-time', or --mcp https://example.org/mcp.",
        )
    return McpServer(name=_name_of_command(words), command=tuple(words))


def _name_of_url(url: str) -> str:
    """Return host, port and path of a URL: what stands before and behind may be secret."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")[:NAME_CHARACTERS]


def _name_of_command(words: list[str]) -> str:
    """Return the program of a command line, or what a launcher starts: arguments may be secret."""
    first = PurePath(words[0]).name
    if _LAUNCHERS.fullmatch(first.removesuffix(".exe")):
        for word in words[1:]:
            if not word.startswith("-") and word not in _SUBCOMMANDS and "=" not in word:
                name = word if word.startswith("@") else PurePath(word).name
                return name[:NAME_CHARACTERS]
    return first[:NAME_CHARACTERS]


def read_servers(text: str, file: str, environment: Mapping[str, str]) -> list[McpServer]:
    """Return the servers of a standard configuration file. Those that are disabled are left out.

    Args:
        text: The file's content, JSON.
        file: Its name, for messages.
        environment: Values of the variables that it refers to.

    Raises:
        FileError: It is not JSON, or an entry names no server that can be reached.
        ConfigError: A variable that it refers to is not set.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{file} is not JSON: {error}.", hint=_HINT) from error
    fields = cast(dict[str, Any], document) if isinstance(document, dict) else {}
    entries = fields.get("mcpServers", fields.get("servers"))
    if not isinstance(entries, dict):
        raise FileError(f"{file} has no mcpServers.", hint=_HINT)
    return [
        _read_entry(name, entry, file, environment)
        for name, entry in cast(dict[str, Any], entries).items()
        if not (isinstance(entry, dict) and cast(dict[str, Any], entry).get("disabled") is True)
    ]


def _read_entry(name: str, entry: Any, file: str, environment: Mapping[str, str]) -> McpServer:
    where = f"{file}: the server {name!r}"
    if not isinstance(entry, dict):
        raise FileError(f"{where} is no object.", hint=_HINT)
    fields = cast(dict[str, Any], entry)
    kind = fields.get("type", "")
    if kind == "sse":
        raise FileError(
            f"{where} uses the transport SSE, which MCP has given up.",
            hint='Use Streamable HTTP ("type": "http") or a command.',
        )
    command, url, folder = (fields.get(key, "") for key in ("command", "url", "cwd"))
    arguments: Any = fields.get("args", [])
    tables = [_strings(fields.get(key, {})) for key in ("env", "headers")]
    known = isinstance(arguments, list) and all(isinstance(one, str) for one in (command, url))
    if not known or None in tables or bool(command) == bool(url) or not isinstance(folder, str):
        raise FileError(f"{where} has neither a command nor a URL, or both.", hint=_HINT)

    def expanded(value: str) -> str:
        return _VARIABLE.sub(lambda match: _value_of(match, where, environment), value)

    env, headers = ({key: expanded(v) for key, v in (one or {}).items()} for one in tables)
    words = [command, *map(str, cast(list[Any], arguments))] if command else []
    return McpServer(
        name=name[:NAME_CHARACTERS],
        command=tuple(map(expanded, words)),
        environment=env,
        folder=expanded(folder) or None,
        url=expanded(url),
        headers=headers,
    )


def _strings(value: Any) -> dict[str, str] | None:
    """Return a table of strings, as the file has it; None if it is something else."""
    if not isinstance(value, dict):
        return None
    table = cast(dict[str, Any], value)
    return table if all(isinstance(one, str) for one in table.values()) else None


def _value_of(match: re.Match[str], where: str, environment: Mapping[str, str]) -> str:
    default: str | None = match["default"]
    value = environment.get(match["name"], default)
    if value is None:
        raise ConfigError(
            f"{where} needs the environment variable {match['name']}, which is not set.",
            hint=f"Set it, or write a default: ${{{match['name']}:-...}}.",
        )
    return value
