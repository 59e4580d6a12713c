"""The command `sonic-voice config`: which options hold, and where each value comes from."""

from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..printable import printable
from .base import errors
from .config_file import config_path, load_config
from .configured import PresetName, configured_commands, long_names, setting_of
from .printing import echo


def show_config(
    context: typer.Context,
    preset: PresetName = None,
    everything: Annotated[
        bool, typer.Option("--all", help="List the options that have their defaults, too.")
    ] = False,
) -> None:
    """Show the options that the configuration file and the environment set.

    [bold]sonic-voice config[/bold]
    [bold]sonic-voice config --preset kiosk[/bold]

    The file is config.toml in ~/.config/sonic-voice, in the same folder of
    XDG_CONFIG_HOME or APPDATA, or what SONIC_VOICE_CONFIG names. Options below
    \\[default] hold always, those below \\[preset.kiosk] with --preset kiosk.

    Each option also has an environment variable: that of --audio-backend is
    SONIC_VOICE_AUDIO_BACKEND. An option that may be repeated is a list in the
    file, and has a line for each value in the variable.

    The command line comes before the environment, a preset before \\[default].
    Each flag has an opposite that takes it back, such as --no-local.
    """
    with errors(context):
        file, path = load_config(), config_path()
        missing = "" if file.path else " (does not exist)"
        echo(f"File     {printable(str(path))}{missing}" if path else "File     none")
        echo(f"Presets  {printable(', '.join(file.presets or ())) or 'none'}")
        rows = _rows(context, preset, everything=everything)
    if not rows:
        echo("No option is set.")
        return
    table = Table("option", "value", "from")
    for name, value, origin in rows:
        table.add_row(name, Text(printable(value)), Text(printable(origin)))
    Console().print(table)


def _rows(
    context: typer.Context, preset: str | None, *, everything: bool
) -> list[tuple[str, str, str]]:
    """Return name, value and origin of each option of the configurable commands."""
    group: Any = context.find_root().command
    arguments = [] if preset is None else ["--preset", preset]
    found: dict[tuple[str, str, str], None] = {}
    for command_name, command in configured_commands(group).items():
        with command.make_context(command_name, list(arguments), parent=context.parent) as parsed:
            for name, option in long_names(command):
                value = parsed.params.get(option.name)
                source = parsed.get_parameter_source(option.name)
                if option.hidden or name in ("help", "preset") or source is None:
                    continue
                if source.name != "DEFAULT" and value is None:  # another option takes its place
                    continue
                origin = "default"
                if source.name == "ENVIRONMENT":
                    origin = str(option.envvar)
                elif (setting := setting_of(parsed, option.name)) is not None:
                    origin = f"{setting.place} [{'.'.join(setting.keys[:-1])}]"
                elif not everything:
                    continue
                found[name, _shown(value), origin] = None
    return list(found)


def _shown(value: object) -> str:
    """Return a value without the password of a URL."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))  # pyright: ignore[reportUnknownArgumentType]
    text = "" if value is None else str(value)
    if isinstance(value, bool):
        text = text.lower()
    if "://" in text and "@" in text:
        user, _, _ = urlsplit(text).netloc.rpartition("@")
        text = text.replace(f"{user}@", "***@", 1) if user else text
    return text
