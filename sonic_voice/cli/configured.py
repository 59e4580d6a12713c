"""Commands whose options can also be set by environment variables and the configuration file.

    command line  >  SONIC_VOICE_OPTION  >  [preset.NAME]  >  [default]  >  default of the option

Click itself looks the values up, in this order; the file becomes its `default_map`. What this adds:

- the names of the variables: `SONIC_VOICE_` and the long name of the option, for each option
- a negative form of each flag, so that the command line can take back what a file sets
- the place of a wrong value in its error message
- where two options exclude each other, the one that was set closer to the command line holds
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand

from ..errors import ConfigError
from .base import errors
from .config_file import PRESET_TABLE, ConfigFile, Setting, load_config
from .log_file import log_to_file
from .printing import USAGE_ERROR

VARIABLE_PREFIX = "SONIC_VOICE_"
"""Beginning of the name of each option's environment variable."""

NOT_CONFIGURABLE = frozenset({"help", "continue"})
"""Options that are for one command line: only there they make sense."""

NOT_IN_FILE = frozenset({*NOT_CONFIGURABLE, "preset"})
"""Options that are no keys of the configuration file."""

_FILES_IN_TEXTS = {"system": "@", "guard-policy": "@", "token-jwks": ""}
"""Options whose text may name a file, with what then stands before the path."""

_EXCLUSIVE = (
    (
        ("local", "scenario", "fault", "chaos", "stream_life"),  # of the emulator
        ("endpoint", "ca", "profile", "proxy"),  # of the real service
    ),
    (("language",), ("voice",)),  # a language takes a voice
)
"""Pairs of groups of options of which those hold that were set closer to the command line."""

_RANKS = {"DEFAULT": 0, "DEFAULT_MAP": 1, "ENVIRONMENT": 3, "COMMANDLINE": 4}
"""Precedence of the sources of a value, by Click's names. A preset has 2."""

_SETTINGS = "sonic_voice.settings"
"""Key of the settings of the file in the `meta` of a context, by names of parameters."""


def _choose_preset(context: typer.Context, value: str | None) -> str | None:
    """Read the configuration file, and make its settings the defaults of the command."""
    command = context.command
    if not context.resilient_parsing and isinstance(command, ConfiguredCommand):
        with errors(context):
            file = load_config()
            if not file.keys <= set(_keys(command)):  # other commands are not imported in vain
                file.check_keys(known_keys(context))
            _apply(context, command, file, value)
    return value


def _complete_preset(incomplete: str) -> list[str]:
    with suppress(ConfigError):  # a command that is run reports it
        return [name for name in load_config().presets or () if name.startswith(incomplete)]
    return []


PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        metavar="NAME",
        envvar="SONIC_VOICE_PRESET",
        show_envvar=False,
        is_eager=True,  # the settings of the file are defaults of the other options
        callback=_choose_preset,
        autocompletion=_complete_preset,
        help="Preset of the configuration file; see `sonic-voice config`.",
    ),
]
"""Option --preset of the commands that are configurable."""


class ConfiguredCommand(TyperCommand):
    """A command whose options have environment variables and keys of the configuration file."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Build the command. See `click.Command`."""
        super().__init__(*arguments, **settings)
        self._negatives: list[tuple[Any, str]] = []
        names = {name for name, _ in long_names(self)}
        for name, option in long_names(self):
            if name not in NOT_CONFIGURABLE:
                option.envvar = variable_of(name)
                option.show_envvar = False  # one rule is shorter than forty names
            if option.multiple:
                option.envvar_list_splitter = "\n"  # texts contain spaces
            # `--speaker` names a device, and is not the opposite of `--no-speaker`.
            if option.is_flag and not option.secondary_opts and _negated(name) not in names:
                self._negatives.append((option, f"--{_negated(name)}"))
                option.secondary_opts.append(f"--{_negated(name)}")
                option.show_default = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. See `click.Command.parse_args`.

        Args:
            ctx: The context of the command.
            args: The arguments.
        """
        with _placed_errors(ctx):
            rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _resolve_paths(ctx)
            _drop_contradicted(ctx)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without the negative forms: they need a column that 80 cells lack.

        See `click.Command.format_help`.

        Args:
            ctx: The context of the command.
            formatter: Receives the help.
        """
        for option, _ in self._negatives:
            option.secondary_opts.clear()
        try:
            super().format_help(ctx, formatter)
        finally:
            for option, negative in self._negatives:
                option.secondary_opts.append(negative)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and write a log if one is asked for. See `click.Command.invoke`.

        Args:
            ctx: The context of the command.
        """
        with errors(ctx), log_to_file(ctx.params.get("log_file")):
            return super().invoke(ctx)


def long_names(command: Any) -> Iterator[tuple[str, Any]]:
    """Yield each option of a command with its long name, without dashes.

    Args:
        command: A command of Click.
    """
    for parameter in command.params:
        if parameter.param_type_name == "option":
            yield max(parameter.opts, key=len).removeprefix("--"), parameter


def variable_of(name: str) -> str:
    """Return the name of an option's environment variable.

    Args:
        name: The long name of the option, without dashes.
    """
    return VARIABLE_PREFIX + name.upper().replace("-", "_")


def known_keys(context: typer.Context) -> set[str]:
    """Return the keys that any configurable command has.

    Args:
        context: The context of a command.
    """
    group: Any = context.find_root().command  # the command itself, if it is parsed alone
    commands = configured_commands(group).values() if hasattr(group, "commands") else [group]
    return {key for command in commands for key in _keys(command)}


def configured_commands(group: Any) -> dict[str, ConfiguredCommand]:
    """Return the configurable commands by name.

    Args:
        group: The group of all commands.
    """
    return {
        name: command
        for name, command in group.commands.items()
        if isinstance(command, ConfiguredCommand)
    }


def setting_of(context: Any, parameter: str) -> Setting | None:
    """Return the setting of the file from which a parameter has its value.

    Args:
        context: The context of a command that was parsed.
        parameter: Name of the parameter.

    Returns:
        The setting; None if the value comes from elsewhere.
    """
    source = context.get_parameter_source(parameter)
    if source is None or source.name != "DEFAULT_MAP":
        return None
    return context.meta.get((_SETTINGS, context.info_name), {}).get(parameter)


def _keys(command: Any) -> dict[str, tuple[Any, bool]]:
    """Return the keys of a command: the option of each, and whether the key means its opposite."""
    keys: dict[str, tuple[Any, bool]] = {}
    for name, option in long_names(command):
        if name not in NOT_IN_FILE:
            keys[name] = (option, False)
            for negative in option.secondary_opts:
                keys[negative.removeprefix("--")] = (option, True)
    return keys


def _apply(
    context: typer.Context, command: ConfiguredCommand, file: ConfigFile, preset: str | None
) -> None:
    """Make the settings of a file the defaults of a command."""
    keys = _keys(command)
    found = {
        keys[key][0].name: (setting, *keys[key])
        for key, setting in file.settings(preset).items()
        if key in keys
    }
    meta: dict[Any, Any] = context.meta
    meta[_SETTINGS, context.info_name] = {name: setting for name, (setting, _, _) in found.items()}
    context.default_map = {
        name: _value(setting, option, opposite)
        for name, (setting, option, opposite) in found.items()
    }


def _value(setting: Setting, option: Any, opposite: bool) -> object:
    """Return the value of a setting in the form in which the command line has it.

    Raises:
        ConfigError: It has the wrong type.
    """
    value, key = setting.value, setting.keys[-1]
    if option.is_flag:
        if not isinstance(value, bool):
            raise ConfigError(f"{setting.place}: {key} is {value!r}.", hint="It is true or false.")
        return value is not opposite
    listed = option.multiple and isinstance(value, list)
    values = cast(list[object], value if listed else [value])
    if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in values):
        wanted = "It is a text or a number" + (", or a list of them." if option.multiple else ".")
        raise ConfigError(f"{setting.place}: {key} is {value!r}.", hint=wanted)
    texts = [_relative_text(key, str(one), setting.path.parent) for one in values]
    return texts if option.multiple else texts[0]


def _relative_text(key: str, text: str, folder: Path) -> str:
    """Return a text that may name a file with the path of that file."""
    mark = _FILES_IN_TEXTS.get(key)
    if mark is None or not text.startswith(mark) or "://" in text:
        return text
    return mark + str(folder / Path(text.removeprefix(mark)).expanduser())


def _resolve_paths(context: Any) -> None:
    """Let relative paths of the file begin at its folder."""
    for name, value in context.params.items():
        if isinstance(value, Path) and str(value) != "-" and (s := setting_of(context, name)):
            context.params[name] = s.path.parent / value.expanduser()


def _drop_contradicted(context: Any) -> None:
    """Reset options that exclude others which were set closer to the command line.

    `talk --local` must not fail because the file names a profile of AWS.
    """
    for pair in _EXCLUSIVE:
        ranks = [max(_rank(context, name) for name in names) for names in pair]
        for names, own, other in zip(pair, ranks, reversed(ranks), strict=True):
            for option in context.command.params:
                if option.name in names and own < other and _rank(context, option.name):
                    context.params[option.name] = False if option.is_flag else None


def _rank(context: Any, parameter: str) -> int:
    """Return the precedence of the source of a parameter; 0 if it is not set."""
    source = context.get_parameter_source(parameter)
    if source is None or context.params.get(parameter) in (None, False, [], ()):
        return 0
    setting = setting_of(context, parameter)
    return 2 if setting and setting.keys[0] == PRESET_TABLE else _RANKS.get(source.name, 0)


@contextmanager
def _placed_errors(context: Any) -> Generator[None]:
    """Add the place of a wrong value to its error, unless it stands on the command line."""
    try:
        yield
    except USAGE_ERROR as error:
        option: Any = getattr(error, "param", None)
        source = option and context.get_parameter_source(option.name)
        if source is not None and source.name == "ENVIRONMENT":
            error.message = f"{error.message.rstrip('.')}, in the variable {option.envvar}."
        elif option is not None and (setting := setting_of(context, option.name)) is not None:
            with errors(context):
                raise ConfigError(
                    f"{setting.place}: {error.message}",
                    hint=f"See --{setting.keys[-1]} in: sonic-voice {context.info_name} --help",
                ) from None
        raise


def _negated(name: str) -> str:
    return name.removeprefix("no-") if name.startswith("no-") else f"no-{name}"
