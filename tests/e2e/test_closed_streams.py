"""The commands in a process whose standard streams are closed, as `<&-` and `>&-` do."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from .test_cli import clean_environment

PROGRAM = f"{sys.executable} -m sonic_voice"
SPEECH = Path(__file__).parents[1] / "speech" / "hello.wav"
SCENARIO = "steps: [{user: hello, say: Good morning.}]"
TALK = f"talk --local --scenario s.yaml --no-save --speed 20 --input {SPEECH}"


async def shell(command: str, folder: Path) -> tuple[int, str, str]:
    """Run a line of the shell; return its exit code and what it wrote."""
    (folder / "s.yaml").write_text(SCENARIO)
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", f"{PROGRAM} {command}"),
        cwd=folder,
        env=clean_environment(folder) | {"PYTHONPATH": os.fspath(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("command", "closed"),
    [
        *((TALK, closed) for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")),
        *((command, ">&-") for command in ("--help", "models", "scenario s.yaml")),
        (f"{TALK} --json", "<&- >&-"),
    ],
)
async def test_a_closed_stream_is_no_error(command: str, closed: str, tmp_path: Path) -> None:
    code, out, err = await shell(f"{command} {closed}", tmp_path)
    assert code == 0, err
    assert "Traceback" not in out + err
    assert bool(out) is (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-"])
async def test_nothing_is_written_into_a_file_that_got_a_free_number(
    closed: str, tmp_path: Path
) -> None:
    """The events would be file 0 or 1, and standard output would be written into it."""
    code, _, err = await shell(f"{TALK} --events e.jsonl --output a.wav {closed}", tmp_path)
    assert code == 0, err
    lines = (tmp_path / "e.jsonl").read_text().splitlines()
    assert all(line.startswith("{") for line in lines)
    assert (tmp_path / "a.wav").read_bytes().startswith(b"RIFF")


async def test_a_recording_from_a_closed_input_is_refused_with_a_sentence(tmp_path: Path) -> None:
    code, _, err = await shell("talk --local --input - <&-", tmp_path)
    assert code == 2
    assert "Traceback" not in err
