"""How a live conversation in a terminal ends: the terminal is as it was, whatever ended it."""

import asyncio
import json
import os
import pty
import signal
import sys
import termios
from pathlib import Path

import pytest

from ..support.virtual import SoundServer

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
SCENARIO = "steps: [{user: hello, say: Good morning.}]"


@pytest.mark.parametrize(("number", "code"), SIGNALS, ids=[s.name for s, _ in SIGNALS])
async def test_a_signal_ends_a_live_conversation_and_restores_the_terminal(
    sound: SoundServer, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    controller, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", "talk", "--local", "--scenario", "s.yaml"),
        *("--events", "e.jsonl"),
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    seen = b""
    async with asyncio.timeout(60):
        while b"listening" not in seen:
            seen += await asyncio.to_thread(os.read, controller, 4096)
        assert termios.tcgetattr(terminal) != before
        process.send_signal(number)
        reading = asyncio.create_task(read_all(controller))
        assert await process.wait() == code
        restored = termios.tcgetattr(terminal)
        os.close(terminal)
        seen += await reading
    os.close(controller)
    assert restored == before
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")
    assert b"Traceback" not in seen
    last = json.loads((tmp_path / "e.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["signal"], last["exit_code"]) == ("Ended", number.name, code)


async def read_all(controller: int) -> bytes:
    """What is shown until the terminal is closed."""
    seen = b""
    while True:
        try:
            seen += await asyncio.to_thread(os.read, controller, 4096)
        except OSError:  # nobody has the other side open any more
            return seen
