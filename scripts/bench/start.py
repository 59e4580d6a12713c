"""Measure how long the program takes to start: commands, the transport, a local conversation.

Every program is started anew. With `--against` another checkout of the project is measured in
turns with this one, because the speed of a machine changes from minute to minute; the ratio is the
median over the rounds. CPU time is that of all threads until the end of a command, the end of the
import, or until the conversation was taken by the emulator, which runs in the same process. The
first frame of the user's audio is sent then.

The exit code is 0, or 1 if a program failed. Needs Linux's /proc.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.bench.common import ROOT, client_environment

ROUNDS = 5
"""Default number of starts of each program."""

FIRST_AUDIO_S = 1.2
"""Target: maximum time to the first audio of `talk --local`, in seconds."""

TRANSPORT_S = 0.35
"""Target: maximum time to import the transport, in seconds of CPU."""

_IMPORT = "import sonic_voice.bedrock, time; print('imported', flush=True); time.sleep(60)"
"""Program that imports the transport, and lives until it is terminated: its end is not measured."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
"""Number of units of CPU time in /proc for each second."""


class Program(NamedTuple):
    """A program that is started."""

    name: str
    arguments: tuple[str, ...]
    """Arguments of the interpreter."""
    until: str = ""
    """Text in a line of its output with which the measurement ends; empty: the program's end."""
    wall_target_s: float = 0.0
    cpu_target_s: float = 0.0
    """Targets; 0 for none."""


class Start(NamedTuple):
    """The times of one start, in seconds."""

    wall_s: float
    cpu_s: float


def programs(sound: Path) -> tuple[Program, ...]:
    """Return the programs.

    Args:
        sound: A sound file for the user's side of the conversation.
    """
    talk = ("-m", "sonic_voice", "talk", "--local", "--input", str(sound), "--json")
    return (
        Program("import of the transport", ("-c", _IMPORT), "imported", 0, TRANSPORT_S),
        Program("--version", ("-m", "sonic_voice", "--version")),
        Program("emulate --help", ("-m", "sonic_voice", "emulate", "--help")),
        Program("talk --help", ("-m", "sonic_voice", "talk", "--help")),
        Program("talk --local, first audio", talk, '"Opened"', FIRST_AUDIO_S),
    )


def start(program: Program, checkout: Path) -> Start:
    """Start a program and return its times.

    Args:
        program: The program.
        checkout: The folder of the project.

    Raises:
        subprocess.CalledProcessError: The program failed.
    """
    began_s = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *program.arguments],
        stdout=subprocess.PIPE,
        cwd=checkout,
        env=client_environment({"PYTHONPATH": str(checkout)}),
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if program.until and program.until in line:
                measured = Start(time.monotonic() - began_s, _cpu_s(process.pid))
                process.terminate()
                return measured
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or program.until:
        raise subprocess.CalledProcessError(process.returncode, program.arguments)
    return Start(time.monotonic() - began_s, usage.ru_utime + usage.ru_stime)


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def print_figures(program: Program, rounds: Sequence[Sequence[Start]]) -> None:
    """Print the medians of a program, of each checkout, and their ratio.

    Args:
        program: The program.
        rounds: The starts of each round, of this checkout first.
    """
    for field, target_s in (("wall", program.wall_target_s), ("cpu", program.cpu_target_s)):
        values = [[getattr(one, f"{field}_s") for one in of_round] for of_round in rounds]
        medians = [statistics.median(column) for column in zip(*values, strict=True)]
        text = f"{program.name:28}{field:>6}" + "".join(f"{value:8.2f} s" for value in medians)
        if len(medians) > 1:
            text += f"   ratio {statistics.median(row[0] / row[1] for row in values):.2f}"
        if target_s:
            text += f"   target {target_s:g} s: {'ok' if medians[0] <= target_s else 'over'}"
        print(text, flush=True)


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench/run start", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="starts of each program")
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    options = parser.parse_args()
    checkouts = [ROOT] if options.against is None else [ROOT, options.against.resolve()]
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "silence.wav"
        with wave.open(str(sound), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(bytes(32_000))
        try:
            for program in programs(sound):
                for checkout in checkouts:
                    start(program, checkout)  # compiles the modules if necessary
                rounds = [
                    [start(program, checkout) for checkout in checkouts]
                    for _ in range(options.rounds)
                ]
                print_figures(program, rounds)
        except subprocess.CalledProcessError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
