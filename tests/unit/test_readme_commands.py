"""Every command line in the README and its options exist as they are written there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from sonic_voice.cli.commands import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PROGRAM = "sonic-voice"
USAGE_ERROR = typer.BadParameter.__base__ or typer.BadParameter
"""Typer exports the subclass alone."""


def command_lines() -> list[str]:
    """Return the commands of the fenced `console` blocks, continued lines joined."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def arguments_of(line: str) -> list[str] | None:
    """Return the arguments of our program in a command line; None if it does not run it."""
    words = shlex.split(line, comments=True)
    return words[words.index(PROGRAM) + 1 :] if PROGRAM in words else None


OURS = {line: found for line in command_lines() if (found := arguments_of(line)) is not None}


def group() -> Any:
    """Return the program's commands, as classes of the click that Typer brings along."""
    return get_command(app)


def parse(arguments: list[str]) -> None:
    """Parse the arguments as the program would, without running anything."""
    root = group()
    with root.make_context(PROGRAM, list(arguments)) as context:
        name, command, rest = root.resolve_command(context, arguments)
        assert command is not None
        assert name is not None
        with command.make_context(name, rest, parent=context):
            pass


def test_the_readme_has_commands() -> None:
    names = {arguments[0] for arguments in OURS.values()}
    assert {"talk", "serve", "emulate", "models", "doctor", "demo"} <= names


@pytest.mark.parametrize("line", OURS)
def test_a_command_of_the_readme_is_understood(line: str) -> None:
    parse(OURS[line])


@pytest.mark.parametrize("wrong", [["talk", "--lokal"], ["tallk"], ["talk", "--speed", "fast"]])
def test_a_command_that_is_not_understood_would_be_found(wrong: list[str]) -> None:
    with pytest.raises(USAGE_ERROR):
        parse(wrong)


OTHER_PROGRAMS = {"--constraint", "--directory", "--sonic-live", "--sonic-record"}
"""Options in the text that belong to other programs: pip, `http.server` of Python, and pytest with
the plugin of the test kit."""


def test_every_option_in_the_text_is_one_of_a_command() -> None:
    known = {
        option
        for command in (
            group(),
            *group().commands.values(),
            *group().commands["tape"].commands.values(),
        )
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    quoted = " ".join(re.findall(r"`([^`]+)`", text))
    known.add("--help")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", quoted))
    assert len(named) > 15
    assert named - known - OTHER_PROGRAMS == set()
