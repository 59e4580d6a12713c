"""Measure sessions against the emulator, and other clients for comparison.

The others are the bare AWS SDK over its CRT client, the hand-written `floor` (`floor_client`), and
the harness alone, which reads the microphones and sends nothing. CPU time is compared net of the
harness. Ratios are taken within a round, and the median over the rounds counts, because the speed
of a machine changes from minute to minute.

There are three processes. This one controls the others. The emulator runs a `StampedService`, with
its full TLS, signatures and framing but no engines, so that it keeps up. A client process
(`session_client`) holds a number of sessions at once, in real time, with frames of 32 ms. Each
number of sessions is measured in several rounds, the kinds alternately, each run in a new client
process. CPU and memory are means over the rounds, latencies are percentiles over all
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
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

from scripts.bench.common import (
    FRAME_S,
    BenchError,
    child,
    client_environment,
    percentile_ms,
    read_line,
)
from scripts.bench.session_client import KINDS as CLIENT_KINDS
from scripts.bench.session_client import ClientReport
from scripts.bench.stamped_service import ServiceReport, StampedService, serve_reports

POINTS = (1, 10, 30)
"""Numbers of concurrent sessions to measure."""
ROUNDS = 3
"""Number of runs for each point and kind."""
WINDOW_S = 20.0
"""Length of the window of each run, in seconds."""
IMPORTS = 15
"""Number of imports of which the median is taken."""

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


def _percentile(percent: int, of: Callable[[Run], list[int]]) -> Callable[[Sequence[Run]], float]:
    """Return a function that computes a percentile of the latencies of all runs together."""
    return lambda runs: percentile_ms([value for run in runs for value in of(run)], percent)


def _mean(of: Callable[[Run], float]) -> Callable[[Sequence[Run]], float]:
    return lambda runs: statistics.fmean(of(run) for run in runs)


def _latencies(name: str, of: Callable[[Run], list[int]]) -> list[Figure]:
    return [
        Figure(f"{name}, p{percent}", "{:.2f} ms", _percentile(percent, of)) for percent in (50, 99)
    ]


FIGURES = (
    Figure("CPU per session-minute", "{:.3f} s", _mean(lambda run: run.client.cpu_s_per_minute)),
    Figure("RSS over idle process", "{:.1f} MiB", _mean(lambda run: run.client.rss_mib)),
    Figure("RSS per further session", "{:.0f} KiB", _mean(lambda r: r.client.rss_kib_per_session)),
    *_latencies("chunk to wire", lambda run: run.service.chunk_ns),
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
    async def started(cls, module: str = "scripts.bench.sessions") -> AsyncGenerator[Self]:
        """Start the process, and end it with the block.

        Args:
            module: The module that runs the emulator with `--serve`.
        """
        async with child("-m", module, "--serve") as process:
            yield cls(process, json.loads(await read_line(process)))

    async def run(
        self,
        kind: str,
        sessions: int,
        seconds: float,
        frame_s: float = FRAME_S,
        *,
        overloaded: bool = False,
    ) -> Run:
        """Run one client process and return the reports of both ends.

        Args:
            kind: One of the kinds of `session_client`.
            sessions: Number of concurrent sessions.
            seconds: Length of the window, in seconds.
            frame_s: Length of a frame of the user's audio, in seconds.
            overloaded: Whether the machine may be too slow for all frames.

        Raises:
            BenchError: A process failed, or frames were lost.
        """
        options = ("--sessions", str(sessions), "--seconds", str(seconds))
        options += ("--frame-ms", str(1000 * frame_s))
        options += ("--tolerate-slow-end",) if overloaded else ()
        out = await self.client("scripts.bench.session_client", kind, *options)
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        service = ServiceReport(**json.loads(await read_line(self._process)))
        if (
            kind != "harness"
            and not overloaded
            and (service.lost or len(service.open_ns) != sessions)
        ):
            raise BenchError(f"Of {kind}, {service.lost} frames did not arrive.")
        return Run(ClientReport(**json.loads(out)), service)

    async def client(self, *command: str) -> bytes:
        """Run a module as a client process, and return its output.

        Args:
            command: The name of the module, and its arguments.

        Raises:
            BenchError: The process failed.
        """
        async with child("-m", *command, env=self._environment, stderr=PIPE) as process:
            out, err = await process.communicate()
        if process.returncode:
            name = " ".join(command[:2])
            raise BenchError(f"The client {name} failed:\n{err.decode(errors='replace')}")
        return out


def import_ms() -> float:
    """Return the median time of `import sonic_voice` over that of `pass`, in milliseconds."""

    def timed(program: str) -> float:
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, start_new_session=True)
        return 1000 * (time.perf_counter() - began_s)

    timed("import sonic_voice")  # compiles the modules if necessary
    return statistics.median(timed("import sonic_voice") - timed("pass") for _ in range(IMPORTS))


KINDS = ("ours", "bare", "floor", "harness")
"""Kinds of clients that are measured by default."""


class Target(NamedTuple):
    """A maximum of one figure of ours, relative to another client's."""

    figure: str
    """Name of the figure."""
    ours: str
    """Kind of our client."""
    other: str
    """Kind of the other client."""
    ratio: float
    """The maximum."""
    sessions: tuple[int, ...]
    """Numbers of sessions at which it applies."""


CPU = "CPU per session-minute"
TARGETS = (
    Target(CPU, "ours", "bare", 0.30, (10, 30)),
    Target(CPU, "ours", "floor", 1.4, (10, 30)),
    Target(CPU, "ours-pure", "bare", 0.38, (10, 30)),
    Target(CPU, "ours", "bare", 0.6, (1,)),
    Target("chunk to wire, p50", "ours", "bare", 0.4, POINTS),
    Target("chunk to wire, p99", "ours", "bare", 0.05, POINTS),
    Target("wire to event, p50", "ours", "bare", 0.6, POINTS),
    Target("wire to event, p99", "ours", "bare", 0.6, POINTS),
    Target("barge-in to flush, p50", "ours", "bare", 0.7, POINTS),
    Target("open to first audio, p50", "ours", "bare", 0.5, POINTS),
)
"""Targets of the ratios between the clients of a round."""

MEMORY_MIB = 0.45
"""Target: maximum memory of each session after the first, in MiB."""


def ratio(target: Target, rounds: Sequence[Mapping[str, Run]]) -> float:
    """Return the median over the rounds of a figure of ours divided by the other client's.

    Args:
        target: The target. CPU time is taken net of the harness, if that was measured.
        rounds: The runs of each round, by their kinds.
    """
    [figure] = (figure for figure in FIGURES if figure.name == target.figure)

    def value(runs: Mapping[str, Run], kind: str) -> float:
        if target.figure != CPU or "harness" not in runs:
            return figure.of([runs[kind]])
        return figure.of([runs[kind]]) - figure.of([runs["harness"]])

    return statistics.median(
        value(runs, target.ours) / value(runs, target.other) for runs in rounds
    )


def table(sessions: int, rounds: Sequence[Mapping[str, Run]]) -> str:
    """Return the figures of one point and the targets as text.

    Args:
        sessions: Number of concurrent sessions.
        rounds: The runs of each round, by their kinds.
    """
    kinds = list(rounds[0])
    title = f"{sessions} session{'s' if sessions > 1 else ''}"
    lines = [f"{title:30}" + "".join(f"{kind:>12}" for kind in kinds)]
    for figure in FIGURES:
        values = [figure.of([runs[kind] for runs in rounds]) for kind in kinds]
        texts = ("-" if math.isnan(value) else figure.form.format(value) for value in values)
        lines.append(f"  {figure.name:28}" + "".join(f"{text:>12}" for text in texts))
    for target in TARGETS:
        if sessions not in target.sessions or not {target.ours, target.other} <= set(kinds):
            continue
        found = ratio(target, rounds)
        net = " net" if target.figure == CPU and "harness" in kinds else ""
        lines.append(
            f"  {target.ours} / {target.other}, {target.figure}{net}: {found:.2f};"
            f" target {target.ratio:.2f}: {'ok' if found <= target.ratio else 'over'}"
        )
    if sessions > 1 and "ours" in kinds:
        mib = statistics.fmean(runs["ours"].client.rss_kib_per_session for runs in rounds) / 1024
        judged = "ok" if mib <= MEMORY_MIB else "over"
        lines.append(f"  ours, memory per session: {mib:.2f} MiB; target {MEMORY_MIB}: {judged}")
    if max(run.service.share_of_core for runs in rounds for run in runs.values()) > BUSY:
        lines.append(f"  warning: the emulator was over {BUSY:.0%} busy and causes latency")
    return "\n".join(lines)


async def conduct(points: Sequence[int], rounds: int, seconds: float, kinds: Sequence[str]) -> None:
    """Measure every point, the kinds alternately, and print each table when it is done.

    Args:
        points: Numbers of concurrent sessions.
        rounds: Number of runs for each point and kind.
        seconds: Length of the window of each run, in seconds.
        kinds: Kinds of clients.
    """
    async with EmulatorProcess.started() as emulated:
        for sessions in points:
            measured: list[dict[str, Run]] = []
            for _ in range(rounds):
                runs = {kind: await emulated.run(kind, sessions, seconds) for kind in kinds}
                measured.append(runs)
            print(f"\n{table(sessions, measured)}", flush=True)


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run", description="Measure sessions, and other clients for comparison."
    )
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="window of each run")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each kind and point")
    parser.add_argument("--sessions", type=int, nargs="+", default=POINTS, help="how many at once")
    parser.add_argument("--kinds", nargs="+", choices=CLIENT_KINDS, default=KINDS, help="clients")
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
        asyncio.run(conduct(options.sessions, options.rounds, options.seconds, options.kinds))
    except KeyboardInterrupt:
        return 130
    except (BenchError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
