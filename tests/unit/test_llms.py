"""The page for coding agents: its commands, files and Python are those of this version."""

import ast
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

import sonic_voice
from sonic_voice.callers.reader import load_caller
from sonic_voice.cli.commands import app
from sonic_voice.cli.llms import llms
from sonic_voice.emulator.scenario import mistakes

PAGE = (Path(sonic_voice.__file__).parent / "llms.txt").read_text(encoding="utf-8")
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE)
]
"""The indented blocks of the page."""
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if "sonic-voice" in line]
USAGE_ERROR = typer.BadParameter.__base__ or typer.BadParameter


def parse(line: str) -> None:
    """Parse a command line as the program would, without running anything."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "sonic-voice"
    root: Any = get_command(app)
    with root.make_context(program, list(arguments)) as context:
        name, command, rest = root.resolve_command(context, arguments)
        with command.make_context(name, rest, parent=context):
            pass


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) > 12


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_understood(line: str) -> None:
    parse(line)


def test_a_command_that_is_not_understood_would_be_found() -> None:
    with pytest.raises(USAGE_ERROR):
        parse("sonic-voice say --begin")


def test_every_option_of_the_page_is_one_of_a_command() -> None:
    root: Any = get_command(app)
    known: set[str] = set()
    for command in root.commands.values():
        for parameter in command.params:
            known.update(parameter.opts)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert len(named) > 10
    assert named <= known


def test_the_files_of_the_page_have_no_mistakes(tmp_path: Path) -> None:
    [caller] = [block for block in BLOCKS if "turns:" in block]
    [scenario] = [block for block in BLOCKS if "steps:" in block]
    (tmp_path / "pizza.yaml").write_text(scenario)
    (tmp_path / "pizza_tools.py").touch()
    (tmp_path / "caller.yaml").write_text(caller)
    assert mistakes(tmp_path / "pizza.yaml") == []
    assert len(load_caller(tmp_path / "caller.yaml").turns) == 3


def test_the_python_of_the_page_imports_what_exists() -> None:
    programs = [block for block in BLOCKS if "from sonic_voice import" in block]
    assert len(programs) == 2
    for program in programs:
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.ImportFrom) and node.module == "sonic_voice":
                assert {alias.name for alias in node.names} <= set(sonic_voice.__all__)


def test_the_command_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    llms()
    assert capsys.readouterr().out == PAGE
