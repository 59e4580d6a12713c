"""The container file of the emulator: what it copies is there, and its command is understood."""

import json
import re
from pathlib import Path

from .test_readme_commands import PROGRAM, parse

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "scripts" / "Containerfile").read_text(encoding="utf-8")


def test_everything_that_is_copied_exists() -> None:
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", TEXT, re.M) for name in line.split()]
    assert "sonic_voice" in copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_all_that_the_wheel_is_built_from_is_copied() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (included,) = re.findall(r"^only-include = (\[.*\])$", project, re.M)
    for name in [*json.loads(included), "README.md", "LICENSE", "pyproject.toml"]:
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", TEXT, re.M), name


def test_the_command_of_the_container_is_understood() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", TEXT, re.M)
    program, *arguments = json.loads(entry)
    assert program == PROGRAM
    parse(arguments)
