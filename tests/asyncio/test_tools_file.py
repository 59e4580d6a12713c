"""The file of `--tools` is a module like any other, and can import what lies beside it."""

import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sonic_voice.cli.tools_file import load_tools
from sonic_voice.errors import ConfigError
from sonic_voice.tools.toolbox import Toolbox

TOOL = """
from sonic_voice import tool

@tool
def go(meters: int) -> int:
    "Move."
    return meters
"""
TIMES = TOOL.replace("return meters", "return meters * motor.FACTOR")


@pytest.fixture(autouse=True)
def imports_as_before() -> Iterator[None]:
    """Take away what a tools file leaves in this process: modules and its folder."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> Path:
    """Write Python files into `folder`; return the path of `robot.py`."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "robot.py"


def module_of(path: Path) -> ModuleType:
    """Return the module that was made of the file."""
    return next(m for m in sys.modules.values() if getattr(m, "__file__", None) == str(path))


async def result(tools: Toolbox, name: str = "go", arguments: str = '{"meters": 2}') -> object:
    return json.loads(await tools.run(name, arguments))


async def test_a_module_beside_the_file_is_imported(tmp_path: Path) -> None:
    robot = write(tmp_path, motor="FACTOR = 3\n", robot=f"import motor\n{TIMES}")
    assert await result(load_tools(robot)) == {"result": 6}


async def test_a_package_beside_the_file_is_imported(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts", __init__="", motor="FACTOR = 3\n")
    robot = write(tmp_path, robot=f"from parts import motor\n{TIMES}")
    assert await result(load_tools(robot)) == {"result": 6}


async def test_an_import_inside_a_tool_finds_the_module_beside_the_file(tmp_path: Path) -> None:
    lazy = TOOL.replace("    return meters", "    import motor\n    return motor.FACTOR * meters")
    robot = write(tmp_path, motor="FACTOR = 3\n", robot=lazy)
    assert await result(load_tools(robot)) == {"result": 6}


async def test_a_tool_of_the_module_beside_the_file_is_offered(tmp_path: Path) -> None:
    robot = write(tmp_path, motor=TOOL, robot="from motor import go\ndrive = go\n")
    tools = load_tools(robot)
    assert [spec.name for spec in tools.specs] == ["go"]


def test_the_module_beside_the_file_may_import_the_file(tmp_path: Path) -> None:
    robot = write(tmp_path, motor="import robot\n", robot=f"import motor\nLOADED = []\n{TOOL}")
    load_tools(robot)
    assert sys.modules["motor"].robot is sys.modules["robot"]


def test_the_folder_is_not_in_the_way_of_other_imports(tmp_path: Path) -> None:
    robot = write(tmp_path, robot=TOOL, wave="raise RuntimeError", antigravity="raise RuntimeError")
    before = list(sys.path)
    load_tools(robot)
    assert sys.path == [*before, str(tmp_path)]
    sys.modules.pop("wave", None)
    import wave

    assert wave.__file__ != str(tmp_path / "wave.py")


@pytest.mark.parametrize("text", ["1/0", "import nowhere_to_be_found", "x = 1"])
def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path, text: str) -> None:
    robot = write(tmp_path, robot=text)
    before = list(sys.path)
    with pytest.raises(ConfigError):
        load_tools(robot)
    if text != "x = 1":
        assert "robot" not in sys.modules
        assert sys.path == before


def test_what_is_for_the_command_line_does_not_run(tmp_path: Path) -> None:
    robot = write(tmp_path, robot=f'{TOOL}\nif __name__ == "__main__":\n    raise SystemExit(1)\n')
    assert len(load_tools(robot).specs) == 1


FUTURE = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import ClassVar
from sonic_voice import tool

@dataclass
class Place:
    x: float
    tags: list[str] = field(default_factory=list)
    count: ClassVar[int] = 0

@tool
def go(place: Place, again: bool = False) -> Place:
    return place
"""


async def test_dataclasses_hints_and_pickle_find_the_module(tmp_path: Path) -> None:
    robot = write(tmp_path, robot=FUTURE)
    tools = load_tools(robot)
    assert await result(tools, arguments='{"place": {"x": 1}}') == {"x": 1.0, "tags": []}
    place = module_of(robot).Place(2.0)
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.parametrize("name", ["json.py", "pytest.py", "my tools.py", "robot.v2.py", "robot"])
async def test_a_file_of_any_name_is_a_module_of_its_own(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(FUTURE)
    tools = load_tools(file)
    assert await result(tools, arguments='{"place": {"x": 1}}') == {"x": 1.0, "tags": []}
    place = module_of(file).Place(2.0)
    assert pickle.loads(pickle.dumps(place)) == place
    assert sys.modules["json"] is json
    assert sys.modules["pytest"] is pytest


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        load_tools(write(tmp_path / folder, robot=TOOL.replace("go", f"go_{folder}")))
    for folder in ("a", "b", "c"):
        assert hasattr(module_of(tmp_path / folder / "robot.py"), f"go_{folder}")


WRONG = [
    ("from .motor import x", ("relative import", "without the dot")),
    ("from . import motor", ("relative import", "without the dot")),
    ("import motorr", ("needs the module motorr,", "motorr.py beside robot.py")),
    ("import motorr.wheel", ("needs the module motorr,", "pip")),
    ("import motor.wheel", ("fails", "motor")),
    ("import broken", ("fails", "ZeroDivisionError")),
    ("from motor import nothing", ("fails", "nothing")),
    ("raise SystemExit(3)", ("exits", "__main__")),
    ("def", ("fails", "SyntaxError")),
    ("\0", ("fails", "null")),
    ("open('missing.txt')", ("fails", "FileNotFoundError")),
    ("x = 1", ("has no tools", "@tool")),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text for text, _ in WRONG])
def test_what_is_wrong_is_said_with_the_next_step(
    tmp_path: Path, text: str, words: tuple[str, str]
) -> None:
    robot = write(tmp_path, robot=text, motor="x = 1\n", broken="1/0\n")
    with pytest.raises(ConfigError) as caught:
        load_tools(robot)
    assert "robot.py" in caught.value.message
    for word in words:
        assert word in f"{caught.value.message} {caught.value.hint}"


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(ConfigError, match="Cannot read"):
            load_tools(path)
