"""YAML and TOML, read into plain values together with their positions in the file.

YAML's nodes carry positions. The TOML reader gives none for what it could read, so each key is
searched for below the table header that it belongs to, which is enough to name the line.
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ...errors import ConfigError, ScenarioError
from ...text_files import read_text_file

type Key = tuple[str | int, ...]
"""Path from the top to a value: names in mappings, indices in lists."""

type Position = tuple[int, int]
"""Line and column, counted from 1."""


@dataclass(slots=True)
class LocatedDocument:
    """The content of a file, and the positions of its keys and values."""

    path: str
    """Name of the file, for errors."""
    value: Any = None
    """Content of the file, as plain values."""
    values: dict[Key, Position] = field(default_factory=lambda: cast("dict[Key, Position]", {}))
    """Position of each value."""
    keys: dict[Key, Position] = field(default_factory=lambda: cast("dict[Key, Position]", {}))
    """Position of each key of a mapping."""

    def position_of(self, at: Key, *, key: bool = False) -> Position:
        """Return the position of a value, or of the nearest one that encloses it.

        Args:
            at: Path of the value.
            key: Whether to return the position of its key instead.
        """
        if key and at in self.keys:
            return self.keys[at]
        while at not in self.values and at:
            at = at[:-1]
        return self.values.get(at, (1, 1))


def read_document(path: Path) -> LocatedDocument:
    """Return the content of a file: TOML if its suffix is `.toml`, else YAML.

    Args:
        path: The file.

    Raises:
        ScenarioError: The file cannot be read, or is neither TOML nor YAML.
    """
    return parse_document(read_document_text(path), path)


def read_document_text(path: Path) -> str:
    """Return the text of a file.

    Args:
        path: The file.

    Raises:
        ScenarioError: The file cannot be read.
    """
    try:
        return read_text_file(path)
    except ConfigError as error:
        raise ScenarioError(error.message, hint=error.hint) from error


def parse_document(text: str, path: Path) -> LocatedDocument:
    """Return the content of a text: TOML if the suffix of its name is `.toml`, else YAML.

    Args:
        text: The text of the file.
        path: Its name, also for errors.

    Raises:
        ScenarioError: The text is neither TOML nor YAML.
    """
    return (read_toml if path.suffix.lower() == ".toml" else read_yaml)(text, str(path))


def read_yaml(text: str, path: str) -> LocatedDocument:
    """Return the content of a YAML file.

    Args:
        text: The text of the file.
        path: Its name, for errors.

    Raises:
        ScenarioError: The text is no YAML, or PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise ScenarioError(
            "PyYAML is not installed.",
            path=path,
            hint="Install the extra `emulator` of sonic-voice, or use TOML.",
        ) from error

    reader = _YamlReader(path)
    try:
        reader.read(yaml.SafeLoader(text))
    except yaml.MarkedYAMLError as error:
        message = f"this is not YAML: {error.problem or error.context}."
        raise reader.wrong(error.problem_mark or error.context_mark, message) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ScenarioError(f"this is not YAML: {error}.", path=path) from error
    except RecursionError as error:
        raise ScenarioError("this YAML is nested too deeply.", path=path) from error
    return reader.document


class _YamlReader:
    """A converter of PyYAML's nodes into a `LocatedDocument`.

    PyYAML publishes no types for its nodes, hence `Any`.
    """

    def __init__(self, path: str) -> None:
        self.document = LocatedDocument(path)
        self._seen: set[int] = set()

    def read(self, loader: Any) -> None:
        self._loader = loader
        node = loader.get_single_node()
        if node is not None:
            self.document.value = self._value(node, ())

    def wrong(self, mark: Any, message: str) -> ScenarioError:
        line, column = _one_based(mark) if mark else (1, 1)
        return ScenarioError(message, path=self.document.path, line=line, column=column)

    def _value(self, node: Any, at: Key) -> Any:
        self.document.values[at] = _one_based(node.start_mark)
        if node.id == "scalar":
            return self._loader.construct_object(node)
        if id(node) in self._seen:  # a few nested aliases can expand to more than the memory
            raise self.wrong(node.start_mark, "aliases of lists and mappings are not supported.")
        self._seen.add(id(node))
        if node.id == "sequence":
            return [self._value(item, (*at, i)) for i, item in enumerate(node.value)]
        return self._table(node.value, at)

    def _table(self, pairs: list[Any], at: Key) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key_node, node in pairs:
            key = self._loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise self.wrong(key_node.start_mark, f"the key {key!r} is not a text.")
            if key in table:
                raise self.wrong(key_node.start_mark, f"the key `{key}` occurs twice here.")
            self.document.keys[*at, key] = _one_based(key_node.start_mark)
            table[key] = self._value(node, (*at, key))
        return table


def _one_based(mark: Any) -> Position:
    return mark.line + 1, mark.column + 1


_TOML_POSITION = re.compile(
    r"^(?P<text>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|.*)\)$"
)


def read_toml(text: str, path: str) -> LocatedDocument:
    """Return the content of a TOML file.

    Args:
        text: The text of the file.
        path: Its name, for errors.

    Raises:
        ScenarioError: The text is no TOML.
    """
    document = LocatedDocument(path)
    try:
        document.value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_POSITION.match(str(error))
        lines = text.splitlines() or [""]
        line = int((found and found["line"]) or len(lines))
        column = int((found and found["column"]) or len(lines[-1]) + 1)
        what = found["text"] if found else str(error)
        raise ScenarioError(
            f"this is not TOML: {what}.", path=path, line=line, column=column
        ) from error
    except RecursionError as error:
        raise ScenarioError("this TOML is nested too deeply.", path=path) from error
    _find_toml_keys(text, document)
    return document


_HEADER = re.compile(r"\s*(?P<open>\[\[?)\s*(?P<name>[^\[\]]+?)\s*\]")
_PAIR = re.compile(r"(?P<indent>\s*)(?P<key>[A-Za-z0-9_.\"'-]+)\s*=\s*")


def _find_toml_keys(text: str, document: LocatedDocument) -> None:
    table: Key = ()
    counts: dict[Key, int] = {}
    document.values[()] = (1, 1)
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _toml_table(header["name"], counts, new=header["open"] == "[[")
            document.values[table] = document.keys[table] = (number, header.start("name") + 1)
        elif pair := _PAIR.match(line):
            at = (*table, *_toml_names(pair["key"]))
            document.keys.setdefault(at, (number, pair.start("key") + 1))
            document.values.setdefault(at, (number, pair.end() + 1))


def _toml_table(name: str, counts: dict[Key, int], *, new: bool) -> Key:
    """Return the path of the table of a header.

    The name of an array of tables means its latest table.
    """
    at: Key = ()
    names = _toml_names(name)
    for depth, part in enumerate(names, 1):
        at = (*at, part)
        if new and depth == len(names):
            counts[at] = counts.get(at, -1) + 1
        if at in counts:
            at = (*at, counts[at])
    return at


def _toml_names(dotted: str) -> list[str]:
    return [name.strip().strip("\"'") for name in dotted.split(".")]
