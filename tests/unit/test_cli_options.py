"""An option that several commands have is declared once, so that it says the same in each."""

import inspect
from collections import defaultdict
from typing import Any

import pytest
import typer
from typer.main import get_command

from sonic_voice.cli.commands import app

USAGE_ERROR = typer.BadParameter.__base__ or typer.BadParameter
"""Typer exports the subclass alone."""

OWN_MEANING = {
    ("emulate", "scenario"): "the requests are in it, too",
    ("emulate", "model"): "the models to offer, of which there may be several",
    ("emulate", "latency"): "of answers, not of devices",
    ("emulate", "idle_s"): "the limit of the service, not of a page",
    ("doctor", "local"): "checks, and does not talk",
    ("demo", "output"): "needs no --input",
    ("demo", "speed"): "needs no --input",
    ("talk", "model"): "None, so that --continue can tell whether one was given",
}
"""Options of a command that share a name with those of others but mean something else, and what."""


def options() -> dict[str, dict[str, Any]]:
    """Return what Typer was told about each option: by its name, then by its command."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for registered in app.registered_commands:
        assert registered.callback is not None
        command = registered.name or registered.callback.__name__
        for name, parameter in inspect.signature(registered.callback).parameters.items():
            if hasattr(parameter.annotation, "__metadata__"):
                found[name][command] = parameter.annotation.__metadata__[0]
    return found


SHARED = {
    name: told
    for name, of_commands in options().items()
    if len(told := {c: o for c, o in of_commands.items() if (c, name) not in OWN_MEANING}) > 1
}


def test_the_commands_share_options() -> None:
    assert {"local", "region", "endpoint", "ca", "proxy", "model", "port"} <= SHARED.keys()


@pytest.mark.parametrize("name", SHARED)
def test_an_option_of_several_commands_is_declared_once(name: str) -> None:
    assert len({id(option) for option in SHARED[name].values()}) == 1, sorted(SHARED[name])


def test_every_exception_is_an_option_that_exists() -> None:
    assert all(command in options()[name] for command, name in OWN_MEANING)


@pytest.mark.parametrize("command", ["serve", "emulate"])
@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_does_not_exist_is_a_usage_error(command: str, port: str) -> None:
    group: Any = get_command(app)
    with pytest.raises(USAGE_ERROR):
        group.commands[command].make_context(command, ["--port", port])
