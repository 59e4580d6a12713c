"""The README's script does what it says, with what the package exports alone."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


PROGRAMS = [
    program
    for program in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    if "asyncio.run(" in program
]
"""The complete programs of the README, in their order."""


def script() -> str:
    return PROGRAMS[0]


def test_it_is_short_and_imports_from_the_package_alone() -> None:
    lines = [line for line in script().splitlines() if line.strip()]
    assert len(lines) < 25
    imports = [line for line in lines if "sonic_voice" in line and "import" in line]
    assert [line.split()[1] for line in imports] == ["sonic_voice"]


async def test_it_holds_the_conversation(tmp_path: Path) -> None:
    faster = script().replace("WavSource(DEMO_WAV)", "WavSource(DEMO_WAV, speed=8)")
    assert faster != script()
    (tmp_path / "talk.py").write_text(faster, encoding="utf-8")
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "talk.py"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), 60)
    assert (running.returncode, err.decode()) == (0, "")
    lines = [line.split(maxsplit=1) for line in out.decode().splitlines()]
    assert [who for who, _ in lines] == ["USER", "ASSISTANT"] * 3
    assert lines[3][1].startswith("Done, I went forward 10 meters.")
    assert (tmp_path / "answer.wav").stat().st_size > 100_000


SAYS = {
    1: "bytes at 24000 Hz",
    2: "The conversation is over.",
    3: "Hello!",
    4: "turn 2: please try again",
    5: "I heard: go forward ten meters",
}
"""What each further program prints, among other lines."""


@pytest.mark.parametrize("number", range(1, len(PROGRAMS)))
async def test_a_further_program_runs_as_it_stands(tmp_path: Path, number: int) -> None:
    (tmp_path / "program.py").write_text(PROGRAMS[number], encoding="utf-8")
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "program.py"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), 60)
    assert (running.returncode, err.decode()) == (0, "")
    assert SAYS[number] in out.decode()
