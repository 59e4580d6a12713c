"""Measure sessions against the emulator, and the bare AWS SDK over its CRT client for comparison.

There are three processes. This one controls the others. The emulator runs a `StampedService`, with
its full TLS, signatures and framing but no engines, so that it keeps up. A client process
(`session_client`) holds a number of sessions at once, in real time, with frames of 32 ms. Each
number of sessions is measured in several rounds, `ours` and `bare SDK` alternately, each run in a
new client process. CPU and memory are means over the rounds, latencies are percentiles over all
rounds:

- *CPU per session-minute*: CPU time of the client process, all threads, in the window.
- *RSS over idle process*: memory of all sessions together, with the parts of the SDK that the first
  session loads.
- *RSS per further session*: memory of each session after the first.
- *chunk to wire*: from the call of `send_audio` to the payload in the emulator's service. This
  includes encoding, signing, HTTP/2, TLS, loopback, and the same in the emulator. For the bare SDK
  it begins before the JSON is made.
- *wire to event*: from the emulator's emission of audio to `sink.play`. For the bare SDK it ends
  with the decoded PCM.
- *barge-in to flush*: from the emulator's emission of the marker to `sink.flush`. Ten more events,
  of the next turn, follow at once.
- *open to first audio*: from `Session.open` to the first frame in the emulator's service, with the
  TLS handshake. A `Session` waits for the service's first answer in between, the bare SDK does not.

The emulator's CPU load is printed, too: when it is high, the latencies are caused by the emulator.
The import time is the median difference of `import sonic_voice` and `pass`, alternately. The exit
code is 0 whether or not targets are met, 1 if a process failed, 130 at Ctrl-C. No process is left.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

from scripts.bench.common import (
    BenchError,
    child,
    client_environment,
    percentile_ms,
    read_line,
)
from scripts.bench.session_client import ClientReport
from scripts.bench.stamped_service import ServiceReport, StampedService, serve_reports

POINTS = (1, 10, 30)
"""Numbers of concurrent sessions to measure."""
ROUNDS = 2
"""Number of runs for each point and kind."""
WINDOW_S = 20.0
"""Length of the window of each run, in seconds."""
IMPORTS = 15
"""Number of imports of which the median is taken."""

CPU_RATIO = 1.0
"""Target: maximum CPU time relative to the bare SDK."""
WIRE_RATIO = 0.25
"""Target: maximum 99th percentile of *chunk to wire* relative to the bare SDK."""
IMPORT_MS = 60.0
"""Target: maximum time to import the package, in milliseconds."""
BUSY = 0.8
"""CPU load of the emulator above which a warning is printed; 1.0 is a whole core."""


class Run(NamedTuple):
    """The reports of both processes of one run."""

    client: ClientReport
    service: ServiceReport


class Figure(NamedTuple):
    """A line of the table."""

    name: str
    form: str
    """Format of the value."""
    of: Callable[[Sequence[Run]], float]
    """Function that computes the value from the runs of a point."""
    target: float = math.nan
    """Maximum of our value divided by the bare SDK's; NaN if there is no target."""


def _percentile(percent: int, of: Callable[[Run], list[int]]) -> Callable[[Sequence[Run]], float]:
    """Return a function that computes a percentile of the latencies of all runs together."""
    return lambda runs: percentile_ms([value for run in runs for value in of(run)], percent)


def _mean(of: Callable[[Run], float]) -> Callable[[Sequence[Run]], float]:
    return lambda runs: statistics.fmean(of(run) for run in runs)


def _latencies(name: str, of: Callable[[Run], list[int]], target: float = math.nan) -> list[Figure]:
    return [
        Figure(f"{name}, p50", "{:.2f} ms", _percentile(50, of)),
        Figure(f"{name}, p99", "{:.2f} ms", _percentile(99, of), target),
    ]


FIGURES = (
    Figure(
        "CPU per session-minute",
        "{:.2f} s",
        _mean(lambda run: run.client.cpu_s_per_minute),
        CPU_RATIO,
    ),
    Figure("RSS over idle process", "{:.1f} MiB", _mean(lambda run: run.client.rss_mib)),
    Figure("RSS per further session", "{:.0f} KiB", _mean(lambda r: r.client.rss_kib_per_session)),
    *_latencies("chunk to wire", lambda run: run.service.chunk_ns, WIRE_RATIO),
    *_latencies("wire to event", lambda run: run.client.event_ns),
    *_latencies("barge-in to flush", lambda run: run.client.flush_ns),
    *_latencies("open to first audio", lambda run: run.service.open_ns),
    Figure("emulator, of a core", "{:.0%}", _mean(lambda run: run.service.share_of_core)),
)


class EmulatorProcess:
    """The emulator's process, against which client processes run."""

    def __init__(self, process: Process, variables: dict[str, str]) -> None:
        self._process = process
        self._environment = client_environment(variables)

    @classmethod
    @asynccontextmanager
    async def started(cls) -> AsyncGenerator[Self]:
        """Start the process, and end it with the block."""
        async with child("-m", "scripts.bench.sessions", "--serve") as process:
            yield cls(process, json.loads(await read_line(process)))

    async def run(self, kind: str, sessions: int, seconds: float) -> Run:
        """Run one client process and return the reports of both ends.

        Args:
            kind: `ours` or `bare`.
            sessions: Number of concurrent sessions.
            seconds: Length of the window, in seconds.

        Raises:
            BenchError: A process failed, or frames were lost.
        """
        client = ("-m", "scripts.bench.session_client", kind)
        options = ("--sessions", str(sessions), "--seconds", str(seconds))
        async with child(*client, *options, env=self._environment, stderr=PIPE) as process:
            out, err = await process.communicate()
        if process.returncode:
            raise BenchError(f"The client {kind} failed:\n{err.decode(errors='replace')}")
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        service = ServiceReport(**json.loads(await read_line(self._process)))
        if service.lost or len(service.open_ns) != sessions:
            raise BenchError(f"Of {kind}, {service.lost} frames did not arrive.")
        return Run(ClientReport(**json.loads(out)), service)


def import_ms() -> float:
    """Return the median time of `import sonic_voice` over that of `pass`, in milliseconds."""

    def timed(program: str) -> float:
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, start_new_session=True)
        return 1000 * (time.perf_counter() - began_s)

    timed("import sonic_voice")  # compiles the modules if necessary
    return statistics.median(timed("import sonic_voice") - timed("pass") for _ in range(IMPORTS))


def table(sessions: int, ours: Sequence[Run], bare: Sequence[Run]) -> str:
    """Return the figures of one point as text.

    Args:
        sessions: Number of concurrent sessions.
        ours: The runs of this package.
        bare: The runs of the bare SDK.
    """
    title = f"{sessions} session{'s' if sessions > 1 else ''}"
    lines = [f"{title:30}{'ours':>14}{'bare SDK':>14}{'ours/bare':>11}"]
    for figure in FIGURES:
        mine, theirs = figure.of(ours), figure.of(bare)
        if math.isnan(mine) or math.isnan(theirs):
            continue
        ratio = mine / theirs if theirs else math.nan
        texts = f"{figure.form.format(mine):>14}{figure.form.format(theirs):>14}"
        line = f"  {figure.name:28}{texts}{ratio:>11.2f}"
        if not math.isnan(figure.target):
            line += f"   target {figure.target:.2f}: {'ok' if ratio <= figure.target else 'over'}"
        lines.append(line)
    if max(run.service.share_of_core for run in (*ours, *bare)) > BUSY:
        lines.append(f"  warning: the emulator was over {BUSY:.0%} busy and causes latency")
    return "\n".join(lines)


async def conduct(points: Sequence[int], rounds: int, seconds: float) -> None:
    """Measure every point, `ours` and `bare` alternately, and print each table when it is done.

    Args:
        points: Numbers of concurrent sessions.
        rounds: Number of runs for each point and kind.
        seconds: Length of the window of each run, in seconds.
    """
    async with EmulatorProcess.started() as emulated:
        for sessions in points:
            ours: list[Run] = []
            bare: list[Run] = []
            for _ in range(rounds):
                ours.append(await emulated.run("ours", sessions, seconds))
                bare.append(await emulated.run("bare", sessions, seconds))
            print(f"\n{table(sessions, ours, bare)}", flush=True)


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run", description="Measure sessions, and the bare SDK for comparison."
    )
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="window of each run")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each kind and point")
    parser.add_argument("--sessions", type=int, nargs="+", default=POINTS, help="how many at once")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_reports(StampedService))
        return 0
    if min(options.seconds, options.rounds, *options.sessions) <= 0:
        parser.error("seconds, rounds and sessions must be more than 0")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{machine}, {python}; {options.rounds} rounds of {options.seconds:g} s for each kind")
    try:
        took_ms = import_ms()
        judged = "ok" if took_ms <= IMPORT_MS else "over"
        print(f"import sonic_voice: {took_ms:.1f} ms; target {IMPORT_MS:.0f}: {judged}", flush=True)
        asyncio.run(conduct(options.sessions, options.rounds, options.seconds))
    except KeyboardInterrupt:
        return 130
    except (BenchError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
