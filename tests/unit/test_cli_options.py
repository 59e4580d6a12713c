"""An option that several commands have is declared once, so that it says the same in each."""

import inspect
from collections import defaultdict
from typing import Any

import pytest
import typer
from typer.main import get_command

from sonic_voice.audio.mute import Gate
from sonic_voice.cli.commands import app
from sonic_voice.cli.talk import initial_gate

USAGE_ERROR = typer.BadParameter.__base__ or typer.BadParameter
"""Typer exports the subclass alone."""

OWN_MEANING = {
    ("emulate", "scenario"): "the requests are in it, too",
    ("emulate", "model"): "the models to offer, of which there may be several",
    ("emulate", "latency"): "of answers, not of devices",
    ("emulate", "idle_s"): "the limit of the service, not of a page",
    ("emulate", "record"): "a folder for each stream, and no tape",
    ("serve", "record"): "a folder for all conversations",
    ("replay", "record"): "the new conversation, and not the one that is replayed",
    ("replay", "model"): "None, which is the model of the tape",
    ("replay", "speed"): "needs no --input",
    ("replay", "as_json"): "one object, and no events",
    ("replay", "against"): "also another tape",
    ("doctor", "local"): "checks, and does not talk",
    ("demo", "output"): "needs no --input",
    ("report", "output"): "a page, not a recording",
    ("emulate", "report"): "on the behaviour of clients, not on a conversation",
    ("demo", "speed"): "needs no --input",
    ("test", "files"): "callers, not scenarios",
    ("test", "as_json"): "results, not events",
    ("say", "text"): "words, not the absence of a microphone",
    ("say", "events"): "prints them, and writes no file",
    ("talk", "model"): "None, so that --continue can tell whether one was given",
}
"""Options of a command that share a name with those of others but mean something else, and what."""


def options() -> dict[str, dict[str, Any]]:
    """Return what Typer was told about each option: by its name, then by its command."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    group: Any = get_command(app)
    for command, registered in group.commands.items():
        if registered.callback is None:  # a group of commands
            continue
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


@pytest.mark.parametrize(
    ("options", "gate"),
    [("", Gate.OPEN), ("text", Gate.ABSENT), ("mute", Gate.MUTED), ("push_to_talk", Gate.WAITING)],
)
def test_options_decide_how_the_microphone_begins(options: str, gate: Gate) -> None:
    assert gate_of(options) is gate


@pytest.mark.parametrize(
    ("options", "needing", "says"),
    [
        ("text mute", "", "--text and --mute exclude each other"),
        ("mute push_to_talk", "", "--mute and --push-to-talk exclude each other"),
        ("text", "--half-duplex", "leave --half-duplex away"),
        ("text", "--microphone", "leave --microphone away"),
        ("text", "--input", "leave --input away"),
        ("mute", "--input", "leave --input away"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: str, needing: str, says: str
) -> None:
    with pytest.raises(typer.BadParameter, match=says):
        gate_of(options, needing)


def gate_of(options: str, needing: str = "") -> Gate:
    """Return the state of the microphone with some options, one of them for a microphone."""
    given = {name: name in options.split() for name in ("text", "mute", "push_to_talk")}
    return initial_gate(
        **given, microphone={"--input": False} | ({needing: True} if needing else {})
    )
