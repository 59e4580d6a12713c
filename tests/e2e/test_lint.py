"""`sonic-voice lint` on files, and the warning of a session that starts."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import pytest

from sonic_voice import DEMO_SCENARIO, LocalService, Session, SessionConfig, start_advice

PROGRAM = Path(sys.executable).with_name("sonic-voice")

PROMPT = "You are a waiter.\nAnswer in a bulleted list.\n"

ROBOT = '''from typing import Annotated
from sonic_voice import tool

@tool
def go(
    direction: str,
    path: Annotated[dict[str, dict[str, dict[str, int]]], "Where to go"],
) -> str:
    """Move the robot.
    Never use this twice.
    """
    return direction

@tool
def stop() -> None:
    pass
'''

REFUSED = '''from typing import Any
from sonic_voice import tool

@tool
def go(direction: Any) -> str:
    """Move the robot."""
    return direction
'''

DEFINITIONS = """[
  {"name": "go",
   "description": "Move the robot.",
   "inputSchema": {"type": "object", "properties": {
     "meters": {"type": ["integer", "null"]}}}}
]"""


async def lint(*arguments: str, cwd: Path) -> tuple[int | None, str, str]:
    """Run the command, and return its exit code and what it printed to both outputs."""
    running = await asyncio.create_subprocess_exec(
        *(PROGRAM, "lint", *arguments),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), 60)
    return running.returncode, out.decode(), err.decode()


async def test_lint_prints_each_finding_with_file_line_reason_and_rewrite(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text(PROMPT)
    (tmp_path / "robot.py").write_text(ROBOT)
    code, out, err = await lint(
        *("--system", "@prompt.txt", "--tools", "robot.py", "--temperature", "0.7"), cwd=tmp_path
    )
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert [line.split(": ")[:2] for line in lines if not line.startswith(" ")] == [
        ["prompt.txt:2", "requested-formatting"],
        ["robot.py:1", "temperature"],
        ["robot.py:10", "discouraging-description"],
        ["robot.py:15", "no-description"],
        ["4 findings."],
    ]
    assert lines[1] == "    found    Answer in a bulleted list."
    assert lines[2].startswith("    rewrite  Answer in a few short spoken sentences")


async def test_lint_prints_json_lines_whose_rewrite_is_the_schema_to_use(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(DEFINITIONS)
    code, out, err = await lint("--tools", "tools.json", "--json", cwd=tmp_path)
    assert (code, err) == (1, "")
    (finding,) = map(json.loads, out.splitlines())
    assert (finding["file"], finding["line"], finding["tool"]) == ("tools.json", 5, "go")
    assert finding["rule"] == "refused-schema"
    assert json.loads(finding["rewrite"]) == {"type": "integer"}


async def test_lint_reports_the_line_of_a_function_that_cannot_be_a_tool(tmp_path: Path) -> None:
    (tmp_path / "robot.py").write_text(REFUSED)
    code, out, _ = await lint("--tools", "robot.py", cwd=tmp_path)
    assert code == 1
    assert out.startswith("robot.py:4: refused-tool: ")


async def test_lint_tells_faults_from_success_and_from_its_own_errors(tmp_path: Path) -> None:
    clean, empty, nothing, missing = await asyncio.gather(
        lint("--system", "You are brief.", cwd=tmp_path),
        lint("--system", " ", cwd=tmp_path),
        lint(cwd=tmp_path),
        lint("--tools", "none.json", cwd=tmp_path),
    )
    assert clean == (0, "No findings.\n", "")
    assert empty[0] == 1
    assert empty[1].startswith("--system:1: refused-prompt: ")
    assert nothing[0] == 2
    assert missing[0] == 2
    assert "none.json" in missing[2]


async def test_a_session_that_starts_logs_a_clear_fault_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_advice, "_warned", set[str]())
    config = SessionConfig(system=PROMPT)
    async with LocalService(DEMO_SCENARIO) as transport:
        for _ in range(2):
            async with Session.open(config, transport):
                pass
    logged = [
        one.getMessage()
        for one in caplog.records
        if one.levelno == logging.WARNING and one.name == "sonic_voice.start_advice"
    ]
    assert len(logged) == 1
    assert logged[0].startswith("System prompt, line 2: requested-formatting: ")
