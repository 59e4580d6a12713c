"""A terminal that is read slowly, or not at all, holds up neither the microphone nor the end."""

import asyncio
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from sonic_voice.cli.terminal.key_decoder import PASTE_OFF
from sonic_voice.emulator.assembly import emulator

from ..support.device_sounds import speech
from ..support.slow_terminal import SlowTerminal, in_terminal
from ..support.virtual import SoundServer

GAP_S = 0.1
"""Maximum time between two chunks of the microphone, in seconds. They are 40 ms long."""

SLOW_BYTES_PER_S = 300

HINDERED_S = 8.0
"""Time for which the terminal hinders the program, in seconds: the screen prints 1200 bytes/s, and
a terminal that is not read takes 4096 bytes."""

STORY = ", ".join(f"and then the keeper counted ship number {number}" for number in range(40))
SCENARIO = f"""
voice: matthew
endpoint_ms: 480
steps:
  - user: hello
    say: [{", ".join(f'"{sentence}."' for sentence in STORY.split(", "))}]
"""


CHUNK_TIMES = """
import threading
import time
from sonic_voice import tool
from sonic_voice.session import Session

@tool
def nothing() -> None:
    "Do nothing."

send_audio, log = Session.send_audio, open("chunks", "w", buffering=1)

async def noted(session, pcm):
    log.write(f"{time.monotonic()}\\n")
    await send_audio(session, pcm)

Session.send_audio = noted
idle = open("idle", "w", buffering=1)

def rest():
    while True:
        time.sleep(0.01)
        idle.write(f"{time.monotonic()}\\n")

threading.Thread(target=rest, daemon=True).start()
"""
"""A file of tools that notes when each chunk of the microphone comes to the session, and when an
idle thread of the same process is woken: on a busy machine that is late, too."""


def largest_gap_s(log: Path, since_s: float) -> float:
    times = [at_s for at_s in map(float, log.read_text().split()) if at_s >= since_s]
    assert len(times) > 100
    return max(after - before for before, after in pairwise(times))


def slow(terminal: SlowTerminal) -> None:
    terminal.bytes_per_s = SLOW_BYTES_PER_S


def stopped(terminal: SlowTerminal) -> None:
    terminal.bytes_per_s = 0


def fast(terminal: SlowTerminal) -> None:
    """Nothing hinders it: what is printed is the rate of a speaking model."""


def resized(terminal: SlowTerminal) -> None:
    terminal.resizing = True


@pytest.mark.parametrize(
    "plain", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["screen", "plain"]
)
@pytest.mark.parametrize(
    "hinder", [pytest.param(fast, marks=pytest.mark.thorough), slow, stopped, resized]
)
async def test_the_microphone_goes_on_whatever_the_terminal_does(
    sound: SoundServer, tmp_path: Path, hinder: Callable[[SlowTerminal], None], plain: bool
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    (tmp_path / "chunk_times.py").write_text(CHUNK_TIMES)
    async with emulator(tmp_path / "s.yaml") as service:
        arguments = ["--endpoint", service.endpoint, "--ca", str(service.ca_file), "--no-save"]
        async with in_terminal(
            *("talk", *arguments, "--tools", "chunk_times.py", *(["--plain"] if plain else [])),
            cwd=tmp_path,
            environment=service.environment(),
        ) as (terminal, process):
            await terminal.until(b"Microphone: " if plain else b"listening")
            speaking = sound.say(await speech("hello"), 16_000)
            await terminal.until(b"keeper")
            speaking.wait()
            before = len(terminal.seen)
            began_s = time.monotonic()
            hinder(terminal)
            await asyncio.sleep(HINDERED_S)
            gap_s = largest_gap_s(tmp_path / "chunks", began_s)
            machine_s = largest_gap_s(tmp_path / "idle", began_s)
            seen = len(terminal.seen) - before
            terminal.bytes_per_s, terminal.resizing = float("inf"), False
            terminal.type("\x03")
            assert await asyncio.wait_for(process.wait(), 15) == 130
    print(
        f"largest gap between chunks {1000 * gap_s:.0f} ms, of an idle thread "
        f"{1000 * machine_s:.0f} ms; {seen / HINDERED_S:.0f} bytes/s"
    )
    assert gap_s < GAP_S + 2 * machine_s  # the loop and the device's thread may both be late
    assert b"Traceback" not in terminal.seen


FLOOD = """
import threading
import time
from sonic_voice import tool

@tool
def nothing() -> None:
    "Do nothing."

def flood():
    while True:
        time.sleep(0.02)
        print("x" * 70)

threading.Thread(target=flood, daemon=True).start()
"""
"""A file of tools that prints more than a terminal holds which is not read."""


@pytest.mark.parametrize(
    "plain", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["screen", "plain"]
)
async def test_a_terminal_that_is_never_read_again_does_not_keep_the_program(
    sound: SoundServer, tmp_path: Path, plain: bool
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    (tmp_path / "flood.py").write_text(FLOOD)
    async with in_terminal(
        *("talk", "--local", "--scenario", "s.yaml", "--no-save", "--tools", "flood.py"),
        *(["--plain"] if plain else []),
        cwd=tmp_path,
    ) as (terminal, process):
        await terminal.until(b"Microphone: " if plain else b"listening")
        stopped(terminal)
        await asyncio.sleep(5.0)
        began_s = time.monotonic()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 143
        took_s = time.monotonic() - began_s
    print(f"ended after {took_s:.1f} s")
    assert 3 < took_s < 8  # the terminal has 3 s, and 1 s to be restored


def state_of(process: asyncio.subprocess.Process) -> str:
    """The state of a process: T if it is stopped."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_ctrl_z_leaves_a_clean_terminal_and_going_on_draws_everything_again(
    sound: SoundServer, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    async with in_terminal(
        *("talk", "--local", "--scenario", "s.yaml", "--no-save"),
        cwd=tmp_path,
        environment={"NO_COLOR": "1"},
    ) as (terminal, process):
        await terminal.until(b"listening")
        terminal.type("\x1a")
        deadline_s = time.monotonic() + 10
        while state_of(process) != "T":
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)  # for the thread that reads the terminal
        stopped = len(terminal.seen)
        assert terminal.seen.endswith(b"\x1b[?25h" + PASTE_OFF)
        await asyncio.sleep(0.5)
        assert len(terminal.seen) == stopped
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(1.0)
        drawn = terminal.seen[stopped:]
        assert b"\x1b[?25l" in drawn
        assert b"listening" in drawn
        assert b"q quit" in drawn
        terminal.type("q")
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert b"\x1b[38" not in terminal.seen  # no colour
