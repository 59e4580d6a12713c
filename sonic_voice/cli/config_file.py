"""The configuration file: options that hold for every conversation, and presets of them.

    [default]                        holds always
    voice = "matthew"
    system = "@prompt.txt"           a path is relative to the folder of the file

    [preset.kiosk]                   holds with --preset kiosk, over [default]
    microphone = "USB"
    idle-prompt = ["20:Ask whether the user is still there."]

A key is the long name of an option, without its dashes. The file is TOML. It stands in the user's
own folder of settings and never in the working directory, because it can name a file with code.
"""

import difflib
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigError, FileError
from ..text_files import read_text_file

PATH_VARIABLE = "SONIC_VOICE_CONFIG"
"""Environment variable with the path of the configuration file; empty for no file."""

DEFAULT_TABLE, PRESET_TABLE = "default", "preset"
"""Names of the table that holds always, and of the table with the presets."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of the configuration file."""

    value: object
    """The value, as TOML has it."""
    path: Path
    """The file."""
    text: str
    """The text of the file."""
    keys: tuple[str, ...]
    """The names of its tables, and its key."""

    @property
    def place(self) -> str:
        """The place of the setting, as `FILE:LINE`.

        It is searched for, since few settings are reported.
        """
        return f"{self.path}:{line_of(self.text, self.keys)}"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The content of a configuration file."""

    path: Path | None = None
    """The file; None if there is none."""
    default: Mapping[str, Setting] | None = None
    """The settings that hold always; None for none."""
    presets: Mapping[str, Mapping[str, Setting]] | None = None
    """The settings of each preset; None for no presets."""

    @property
    def keys(self) -> set[str]:
        """The keys of all tables."""
        tables = (self.default or {}, *(self.presets or {}).values())
        return {key for table in tables for key in table}

    def settings(self, preset: str | None) -> dict[str, Setting]:
        """Return the settings that hold.

        Args:
            preset: Name of a preset; None for none.

        Raises:
            ConfigError: There is no such preset. The hint names the presets.
        """
        if preset is None:
            return dict(self.default or {})
        presets = self.presets or {}
        if preset not in presets:
            there = f"{_did_you_mean(preset, presets)}Its presets are: {', '.join(presets)}."
            missing = f"Write a table [{PRESET_TABLE}.{preset}] into it."
            raise ConfigError(
                f"There is no preset {preset!r} in {self.path or 'the configuration file'}.",
                hint=there if presets else missing,
            )
        return {**(self.default or {}), **presets[preset]}

    def check_keys(self, known: Iterable[str]) -> None:
        """Check the keys of all tables.

        Args:
            known: The keys that options have.

        Raises:
            ConfigError: A key belongs to no option. The hint has the nearest key.
        """
        keys = sorted(known)
        for table in (self.default or {}, *(self.presets or {}).values()):
            for key, setting in table.items():
                if key not in keys:
                    meant = _did_you_mean(key, keys) or f"The keys are: {', '.join(keys)}."
                    raise ConfigError(
                        f"{setting.place}: there is no option {key!r}.", hint=meant.rstrip()
                    )


def config_path() -> Path | None:
    """Return the path of the configuration file, which need not exist.

    Returns:
        What `SONIC_VOICE_CONFIG` names, or else `sonic-voice/config.toml` in the user's folder of
        settings: `APPDATA` on Windows, elsewhere `XDG_CONFIG_HOME` or `~/.config`. None if the
        variable is empty, or the user has no such folder.
    """
    named = os.environ.get(PATH_VARIABLE)
    if named is not None:
        return Path(named).expanduser() if named else None
    folder = os.environ.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME", "")
    if folder and Path(folder).is_absolute():  # others must be ignored, by the specification
        return Path(folder) / "sonic-voice" / "config.toml"
    try:
        return Path.home() / ".config" / "sonic-voice" / "config.toml"
    except RuntimeError:
        return None


def load_config() -> ConfigFile:
    """Return the user's configuration file, empty if there is none.

    Raises:
        ConfigError: The file that `SONIC_VOICE_CONFIG` names is missing, or the file cannot be
            used; see `parse_config`.
    """
    path = config_path()
    if path is None or (not path.exists() and not os.environ.get(PATH_VARIABLE)):
        return ConfigFile()
    try:
        text = read_text_file(path)
    except FileError as error:  # configuration, and no file of the command line
        raise ConfigError(error.message, hint=error.hint) from error
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> ConfigFile:
    """Return the content of a configuration file.

    Args:
        text: The text of the file.
        path: The file.

    Raises:
        ConfigError: It is not TOML, or has something beside the two kinds of tables.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} is not TOML: {error}.",
            hint='A line is `key = "text"`; texts stand in double quotes.',
        ) from error
    for name, value in document.items():
        if name not in (DEFAULT_TABLE, PRESET_TABLE) or not isinstance(value, dict):
            raise ConfigError(
                f"{path}:{line_of(text, (name,))}: {name!r} is not in a table of options.",
                hint=f"Options stand below [{DEFAULT_TABLE}] or [{PRESET_TABLE}.NAME].",
            )
    presets = cast(dict[str, object], document.get(PRESET_TABLE, {}))
    for name, value in presets.items():
        if not isinstance(value, dict):
            raise ConfigError(
                f"{path}:{line_of(text, (PRESET_TABLE, name))}: {name!r} is not in a preset.",
                hint=f"A preset has a name: [{PRESET_TABLE}.NAME].",
            )

    def table(*names: str) -> dict[str, Setting]:
        found: Any = document
        for name in names:
            found = found.get(name, {})
        return {key: Setting(value, path, text, (*names, key)) for key, value in found.items()}

    return ConfigFile(
        path, table(DEFAULT_TABLE), {name: table(PRESET_TABLE, name) for name in presets}
    )


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """Return the line of a TOML text in which a key is given its value.

    It is the first line after the longest beginning of the text that is TOML without the key.

    Args:
        text: The text, which is TOML.
        keys: The key, after the names of its tables.
    """
    lines, line = text.splitlines(keepends=True), 1
    for number in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:  # in the middle of a value
            continue
        for key in keys:
            found = cast(dict[str, Any], found).get(key) if isinstance(found, dict) else None
        if found is not None:
            break
        line = number + 1
    return min(line, max(1, len(lines)))


def _did_you_mean(asked: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(asked, list(known), n=1)
    return f"Did you mean {nearest[0]!r}? " if nearest else ""
