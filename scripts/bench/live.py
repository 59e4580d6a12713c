"""Measure what a transcript and a stereo recording cost in a live conversation.

The command `sonic-voice talk` runs in a terminal of its own (80x24), on virtual devices in the room
of the benchmark `room`, with the emulator in this process. Variants of it are run in turns:

    off       without files
    on        with --transcript and --output
    before    without files, from the checkout that --before names

Each run is half idle (nobody speaks) and half speaking (a person asks, the model answers, a second
of silence follows). Printed are, for each run, the CPU time of the command in each half, in seconds
per minute, and its memory after a fifth of the run and at the end; then the ratio of each variant
to the first one, from runs of the same round. In the next round the order is reversed.

The exit code is 0 if `on` costs no more than the first variant, but for `TOLERANCE`, and its memory
has grown by no more than `MOST_GROWN_MIB`; 1 otherwise. Figures of a machine that does something
else are not reliable.
"""

import argparse
import asyncio
import os
import pty
import signal
import struct
import sys
import tempfile
import termios
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fcntl import ioctl
from itertools import cycle
from pathlib import Path
from statistics import median

from scripts.bench.common import ROOT, cpu_s, resident_bytes
from scripts.bench.echo import PERSON, VOICES
from scripts.bench.long import PAUSE_S, SENTENCES
from scripts.bench.room import QUESTION_LEVEL
from scripts.bench.scene import LIFE_S, NEXT_S, SETTLING_S, ServiceLog, Turn, scenario
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from tests.support.room import Room
from tests.support.simulated_room import RATE_HZ, at_level, recording
from tests.support.virtual import SoundServer, missing

TOLERANCE = 1.05
"""Target: maximum ratio of CPU times, with 5 % for the noise of a measurement."""
MOST_GROWN_MIB = 2.0
"""Target: maximum growth of memory from a fifth of a run to its end, in MiB: the allocator's
reserve."""
EARLY = 0.2
"""Share of a run after which memory is measured first: 2 of 10 minutes."""
LEAVING_S = 15.0
"""Maximum time that the command takes to end, in seconds."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of the command."""

    name: str
    checkout: Path
    """Folder from which the package is imported."""
    files: bool
    """True if it writes a transcript and a recording."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The measurements of one run."""

    idle_s: float
    """CPU time while nobody speaks, in seconds per minute."""
    speaking_s: float
    """CPU time of the other half, in seconds per minute."""
    early_mib: float
    """Memory after `EARLY` of the run, in MiB."""
    late_mib: float
    """Memory at its end, in MiB."""
    answers: int
    """Number of answers."""
    written_bytes: int
    """Size of the recording, in bytes."""


@asynccontextmanager
async def in_terminal(arguments: list[str], environment: dict[str, str]) -> AsyncGenerator[Process]:
    """Run a Python program in a terminal that is read, and kill it at the end of the block.

    Args:
        arguments: Arguments of the interpreter.
        environment: The whole environment.
    """
    controller, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=terminal, stdout=terminal, stderr=terminal,
        env=environment, cwd="/", start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            os.read(controller, 65_536)
        except OSError:  # the program has closed its terminal
            loop.remove_reader(controller)

    loop.add_reader(controller, read)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        loop.remove_reader(controller)
        os.close(controller)


async def run(variant: Variant, voice: str, length_s: float) -> Cost:
    """Hold one conversation, and return what it cost.

    Args:
        variant: The variant of the command.
        voice: Id of the model's voice.
        length_s: Length of the conversation, in seconds.
    """
    service = ServiceLog()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.yaml").write_text(scenario(voice, SENTENCES), encoding="utf-8")
        arguments = ["-m", "sonic_voice", "talk", "--no-save"]
        if variant.files:
            arguments += ["--transcript", str(folder / "talk.md")]
            arguments += ["--output", str(folder / "talk.wav")]
        behaviour = Behaviour(ears="auto", timeouts=StreamTimeouts(life_s=LIFE_S))
        async with emulator(
            folder / "scenario.yaml", behaviour=behaviour, observers=[service]
        ) as served:
            environment = {
                **os.environ, **served.environment(), "PYTHONPATH": str(variant.checkout),
                "TERM": "xterm-256color",
            }  # fmt: skip
            with Room() as room:
                async with in_terminal(arguments, environment) as talk:
                    await asyncio.sleep(SETTLING_S)
                    measured = await _measured(talk, room, service, length_s)
                    talk.send_signal(signal.SIGINT)
                    await asyncio.wait_for(talk.wait(), LEAVING_S)
        files = [folder / "talk.wav", folder / "talk.md"]
        written = files[0].stat().st_size if variant.files else 0
        if variant.files and (not written or not files[1].stat().st_size):
            raise SystemExit("The command wrote no files.")
    return Cost(*measured, written)


async def _measured(
    talk: Process, room: Room, service: ServiceLog, length_s: float
) -> tuple[float, float, float, float, int]:
    """Return the figures of a conversation that has begun: half idle, half speaking."""
    began_s = time.monotonic()
    idle = await _spent(talk.pid, began_s + length_s * EARLY)
    early_mib = resident_bytes(talk.pid) / 2**20
    idle += await _spent(talk.pid, began_s + length_s / 2)
    idle_s = idle / (time.monotonic() - began_s) * 60
    names, answers, speaking_s, spent_s = cycle(PERSON), 0, time.monotonic(), cpu_s(talk.pid)
    while time.monotonic() < began_s + length_s:
        await _ask(next(names), room, service)
        answers += 1
    spoken_s = (cpu_s(talk.pid) - spent_s) / (time.monotonic() - speaking_s) * 60
    return idle_s, spoken_s, early_mib, resident_bytes(talk.pid) / 2**20, answers


async def _spent(pid: int, until_s: float) -> float:
    """Wait until a time, and return the CPU time of a process meanwhile, in seconds."""
    before_s = cpu_s(pid)
    await asyncio.sleep(max(0.0, until_s - time.monotonic()))
    return cpu_s(pid) - before_s


async def _ask(name: str, room: Room, service: ServiceLog) -> None:
    """Ask a question and wait until its answer was played, and for a pause."""
    sound, known = at_level(recording("speech", name), QUESTION_LEVEL), len(service.turns)
    room.say(sound)
    async with asyncio.timeout(len(sound) / RATE_HZ + NEXT_S):
        while len(service.turns) == known or not service.turns[-1].began_s:  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.1)
    turn: Turn = service.turns[-1]
    while not turn.ended or time.monotonic() < turn.began_s + turn.sound_s:  # noqa: ASYNC110 - it is the clock
        await asyncio.sleep(0.1)
    await asyncio.sleep(PAUSE_S)


def _print(variant: Variant, cost: Cost) -> None:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"  {variant.name:8} idle {cost.idle_s:6.2f}  speaking {cost.speaking_s:6.2f} s/min   "
        f"memory {cost.early_mib:6.1f} -> {cost.late_mib:6.1f} MiB   {cost.answers} answers"
        + (f"   {cost.written_bytes / 1e6:.1f} MB written" if cost.written_bytes else "")
        + f"   (load {load})",
        flush=True,
    )


async def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    arguments = argparse.ArgumentParser(
        prog="scripts/bench/run live",
        description="Measure what a transcript and a stereo recording cost in a conversation.",
    )
    arguments.add_argument("--minutes", type=float, default=10.0, help="length of each run")
    arguments.add_argument("--rounds", type=int, default=1, help="runs of each variant")
    arguments.add_argument(
        "--before", type=Path, help="checkout of another commit to compare with, such as a worktree"
    )
    asked = arguments.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    variants = [Variant("off", ROOT, files=False), Variant("on", ROOT, files=True)]
    if asked.before:
        variants.insert(0, Variant("before", asked.before.resolve(), files=False))
    costs: dict[str, list[Cost]] = {variant.name: [] for variant in variants}
    server = SoundServer(in_step=True)
    try:
        for number in range(asked.rounds):
            print(f"Round {number + 1}, {asked.minutes:g} minutes each, CPU in seconds per minute")
            for variant in variants[:: -1 if number % 2 else 1]:
                costs[variant.name].append(await run(variant, VOICES[0], 60 * asked.minutes))
                _print(variant, costs[variant.name][-1])
    finally:
        server.close()
    base, *others = costs
    met = all(cost.late_mib - cost.early_mib < MOST_GROWN_MIB for cost in costs["on"])
    for name in others:
        pairs = list(zip(costs[base], costs[name], strict=True))
        idle = median(cost.idle_s / first.idle_s for first, cost in pairs)
        speaking = median(cost.speaking_s / first.speaking_s for first, cost in pairs)
        print(f"{name} / {base}: idle {idle:.3f}, speaking {speaking:.3f} (median of {len(pairs)})")
        met &= name != "on" or max(idle, speaking) < TOLERANCE
    print("All targets are met." if met else "A target is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
