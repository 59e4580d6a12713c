"""The application: its global options, and its commands, which are imported when they are needed.

A command imports only its own module. `sonic-voice talk` therefore does not wait for the import of
the emulator's, the server's or the recordings' commands. `--help` and the completion of a shell
import all of them.
"""

import platform
from collections.abc import ItemsView, ValuesView
from contextlib import suppress
from importlib import metadata
from pkgutil import resolve_name
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from .. import __version__
from ..fast_imports import no_garbage_collection
from .printing import echo, printable_usage_errors
from .signals import ending_signals


class _Entry(NamedTuple):
    """A command, as names from which it is imported."""

    definition: str
    """Module within this package, and name of the function, or of the application of a group."""
    command_class: str | None = None
    """Module and name of its class; None for Typer's."""


_CONFIGURED = "configured:ConfiguredCommand"

_ENTRIES = {
    "talk": _Entry("talk:talk", "talk:TalkCommand"),
    "serve": _Entry("serve:serve", _CONFIGURED),
    "demo": _Entry("demo:demo"),
    "emulate": _Entry("emulate:emulate"),
    "scenario": _Entry("emulate:scenario"),
    "replay": _Entry("replay:replay"),
    "test": _Entry("callers:call"),
    "say": _Entry("say:say"),
    "llms": _Entry("llms:llms"),
    "devices": _Entry("sound:list_devices", _CONFIGURED),
    "doctor": _Entry("sound:doctor", _CONFIGURED),
    "report": _Entry("report:report"),
    "lint": _Entry("lint:lint", _CONFIGURED),
    "config": _Entry("settings:show_config"),
    "models": _Entry("models:models"),
    "tape": _Entry("tape:app"),
}
"""The commands by name, in the order of `--help`."""


class LazyCommands(dict[str, Any]):
    """A mapping of the names of commands to Click's commands, which imports them when asked."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(_ENTRIES))

    def __getitem__(self, name: str) -> Any:
        """Return a command.

        Args:
            name: Its name.
        """
        command = super().__getitem__(name)
        if command is None:
            command = self[name] = _imported_command(name)
        return command

    def get(self, name: str, default: Any = None) -> Any:
        """Return a command.

        Args:
            name: Its name.
            default: The value that is returned for other names.
        """
        return self[name] if name in _ENTRIES else default

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return the names with the commands, of which all are imported."""
        return {name: self[name] for name in self}.items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return the commands, of which all are imported."""
        return {name: self[name] for name in self}.values()


def _imported_command(name: str) -> Any:
    """Import a command and return it as Click's command.

    Args:
        name: Its name.
    """
    entry = _ENTRIES[name]
    with ending_signals.while_importing(), no_garbage_collection():
        definition = _resolved(entry.definition)
        if isinstance(definition, typer.Typer):
            group = get_group(definition)
            group.name = name
            return group
        found = None if entry.command_class is None else _resolved(entry.command_class)
        single = typer.Typer(rich_markup_mode="rich", add_completion=False)
        single.command(name, cls=found)(definition)
        return get_command(single)


def _resolved(name: str) -> Any:
    return resolve_name(f"{__package__}.{name}")


class _Group(TyperGroup):
    """The group of all commands, whose usage errors are printable."""

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = LazyCommands()
        super().__init__(**settings)

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Parse the global options. See `click.Command.make_context`."""
        with printable_usage_errors():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run a command. See `click.Command.invoke`."""
        with printable_usage_errors():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Group,
    help="Hold spoken conversations with Amazon Nova Sonic, or with a local emulator of it.",
    epilog="Options can also be set in a configuration file and by environment variables: see "
    "sonic-voice config --help.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

LIBRARIES = ("aws-sdk-bedrock-runtime", "sounddevice", "PyAudio", "typer")
"""Distributions whose versions are worth knowing in a report of a fault: the service's SDK, what
opens devices, and what parses the command line."""


def _print_version(asked: bool) -> None:
    if not asked:
        return
    echo(f"sonic-voice {__version__}")
    echo(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            echo(f"{name} {metadata.version(name)}")
    raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[
        bool,
        typer.Option(envvar="SONIC_VOICE_DEBUG", help="Print stack traces and a log to stderr."),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Print the versions of the program and of its libraries.",
        ),
    ] = False,
) -> None:
    """Hold spoken conversations with Amazon Nova Sonic, or with a local emulator of it."""
    context.obj = debug
    if debug:
        from .log_file import log_to_stderr

        log_to_stderr()
