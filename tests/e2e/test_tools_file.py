"""`talk --tools`: a file with a module beside it, and a tool that blocks."""

import asyncio
import sys
from importlib import resources
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("sonic-voice")
DEMO = resources.files("sonic_voice.emulator")

ROBOT = '''
import time
import motor
from sonic_voice import tool

@tool
async def go(direction: str, meters: int) -> dict[str, object]:
    """Move."""
    time.sleep(0.2)
    return {"direction": direction, "meters": motor.FACTOR * meters}
'''


async def test_talk_runs_the_tools_and_names_the_one_that_blocks(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "robot.py").write_text(ROBOT)
    (tmp_path / "tools" / "motor.py").write_text("FACTOR = 2\n")
    running = await asyncio.create_subprocess_exec(
        *(PROGRAM, "talk", "--local", "--scenario", str(DEMO / "demo.yaml"), "--speed", "10"),
        *("--input", str(DEMO / "demo.wav"), "--tools", "tools/robot.py"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode == 0
    assert "nova  Done, I went forward 20 meters." in out.decode()
    notes = err.decode().splitlines()
    assert len(notes) == 1
    assert notes[0].startswith("Note: The tool go blocked the event loop for 0.2")
