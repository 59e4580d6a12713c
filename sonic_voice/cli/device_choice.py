"""The list of devices as a table, and the devices that the user has chosen from it.

A choice is kept by name in the folder of the user's state, next to the last conversation. Options
of the command line come before it. A chosen device that is not there is replaced by the default.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from ..device_settings import BackendName
from ..errors import ConfigError, DeviceError
from ..printable import exact_json, printable
from ..private_files import write_private
from .ending import print_notice
from .printing import echo
from .saved import default_file

if TYPE_CHECKING:
    from rich.table import Table

    from ..devices import Device
    from ..devices.port import Direction

FILE_NAME = "devices.json"
"""Name of the file of the chosen devices, in the folder of the user's state."""


def device_selector(wanted: str | None) -> int | str | None:
    """Return the number of a device as an integer, and a part of its name as text.

    Args:
        wanted: The option of the command line; None for the default device.
    """
    return int(wanted) if wanted is not None and wanted.isdecimal() else wanted


def selected_device(
    wanted: str | None, direction: "Direction", backend: BackendName
) -> int | str | None:
    """Return the device to use: that of the command line, else the chosen one, else the default.

    If the chosen device is not there, a line on standard error says so.

    Args:
        wanted: The option of the command line.
        direction: The direction in which the device is used.
        backend: The sound library.
    """
    if wanted is not None:
        return device_selector(wanted)
    if (chosen := chosen_devices().get(direction)) is None:
        return None
    from ..devices import devices
    from ..devices.listing import DEVICE_NOUNS, find_device

    try:
        find_device(devices(backend), direction, chosen)
    except DeviceError:
        print_notice(
            f"The chosen {DEVICE_NOUNS[direction]} {chosen!r} is not here: the default is used. "
            "Choose another one: sonic-voice devices --choose"
        )
        return None
    return chosen


def device_table(listed: "Sequence[Device]") -> "Table":
    """Return the devices as a table, with what the default stands for.

    Args:
        listed: The list of devices.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table("number", "name", "through", "in", "out", "Hz")
    for one in listed:
        default_in, default_out = one.default_input, one.default_output
        if one.behind_default:
            default_in, default_out = bool(one.inputs), bool(one.outputs)
        behind = " and ".join(filter(None, (one.input_behind, one.output_behind)))
        note = f" (now {behind})" if behind else ""
        if one.is_monitor:
            note = " (what a loudspeaker plays, no microphone)"
        table.add_row(
            str(one.index),
            Text(printable(one.name + note)),
            Text(printable(one.host_api)),
            f"{one.inputs or ''}{' *' * default_in}",
            f"{one.outputs or ''}{' *' * default_out}",
            str(one.rate_hz),
        )
    return table


def choose_devices(listed: "Sequence[Device]", ask: Callable[[str], str]) -> "dict[Direction, str]":
    """Ask the user for a microphone and a loudspeaker, until the answers are devices.

    Args:
        listed: The list of devices.
        ask: Prints a question and returns the answer.

    Returns:
        The names of the chosen devices. The default is not among them.
    """
    from ..devices.listing import DEVICE_NOUNS, find_device

    chosen: dict[Direction, str] = {}
    for direction, noun in DEVICE_NOUNS.items():
        question = f"{noun.capitalize()} (number or part of a name; Enter: the default): "
        while answer := ask(question).strip():
            try:
                device = find_device(listed, direction, device_selector(answer))
            except DeviceError as error:
                echo(printable(f"{error.message} {error.hint}"))
                continue
            echo(f"  {printable(device.name)}")
            chosen[direction] = device.server_name or device.name
            break
    return chosen


def ask_in_terminal(question: str) -> str:
    """Print a question and return the answer.

    Args:
        question: The question.

    Raises:
        typer.Abort: The user ended the input instead.
    """
    try:
        return input(question)
    except EOFError:
        raise typer.Abort from None


def require_terminal() -> None:
    """Check that questions can be asked.

    Raises:
        typer.BadParameter: Standard input or output is not a terminal.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise typer.BadParameter(
            "it asks questions, and this is no terminal. Name the devices: "
            "sonic-voice talk --microphone NAME --speaker NAME",
            param_hint="--choose",
        )


def save_chosen_devices(chosen: "dict[Direction, str]") -> None:
    """Keep the chosen devices for later conversations.

    Args:
        chosen: Names of devices. The default is used where there is none.

    Raises:
        ConfigError: The file cannot be written.
    """
    file = _file()
    if file is None:
        raise ConfigError(
            "There is no folder to keep the choice in.", hint="Set HOME or XDG_STATE_HOME."
        )
    try:
        write_private(file, exact_json(chosen).encode())
    except OSError as error:
        raise ConfigError(
            f"The choice could not be saved in {file}: {error.strerror}.",
            hint="Name the devices: sonic-voice talk --microphone NAME --speaker NAME",
        ) from error


def chosen_devices() -> "dict[Direction, str]":
    """Return the names of the devices that were chosen.

    A missing or damaged file stands for no choice.
    """
    file = _file()
    try:
        content: Any = json.loads(file.read_bytes()) if file is not None else None
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    from ..devices.listing import DEVICE_NOUNS

    names = cast("dict[str, Any]", content)
    return {side: name for side in DEVICE_NOUNS if isinstance(name := names.get(side), str)}


def _file() -> Path | None:
    """Return the file of the choice, or None if the user has no home."""
    conversation = default_file()
    return None if conversation is None else conversation.with_name(FILE_NAME)
