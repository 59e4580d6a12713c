"""Measures sessions against the emulator, and the bare AWS SDK over its CRT client beside them.

Three processes: this one conducts; the emulator serves an echo (`Echo`), with all of its TLS,
signatures and frames but no engines, so that it keeps up; a client (`bench_client`) holds so many
sessions at once, in real time, 32 ms a frame. Each point is measured in several rounds, ours and
the bare SDK's in turn, each run in a client process of its own. Figures are means over rounds for
CPU and memory, percentiles over all rounds for latencies:

- *CPU per session-minute*: CPU time of the client process, all threads, in the window.
- *RSS over idle process*: of all sessions together, with what the first one makes the SDK load.
- *RSS per further session*: what each one after the first adds.
- *chunk to wire*: from the call of `send_audio` to the payload in the emulator's service: encoding,
  signing, HTTP/2, TLS, loopback, and the same back. `bare`: from before the JSON is made.
- *wire to event*: from the emulator's emission of sound to `sink.play`. `bare`: the decoded PCM.
- *barge-in to flush*: from the emulator's emission of the marker to `sink.flush`. Ten more events
  follow at once, those of the next turn.
- *open to first audio*: from `Session.open` to the first frame in the emulator's service, with the
  TLS handshake. Ours waits for the service's first answer in between, the bare SDK does not.

The emulator's own share of a core is printed too: when it is busy, latencies are its own.
The import time is the median difference of `import sonic_voice` and `pass`, by turns. Ends with 0
whether or not targets are met, 1 if something broke, 130 at Ctrl-C; no process stays behind.
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
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

from bench_client import OUTPUT_FORMAT, ClientReport, Kind, Stamp

from sonic_voice import wire
from sonic_voice.emulator.service.effects import Effect, Emit, Expiry, Finish

POINTS = (1, 10, 30)
ROUNDS = 2
WINDOW_S = 20.0
IMPORTS = 15

ECHO_EVERY = 2
"""Frames in for one out: the model speaks about half of the time."""
INTERRUPTED_EVERY = 100
"""Frames in for one barge-in: 3.2 s."""

CPU_RATIO = 1.0
WIRE_RATIO = 0.25
IMPORT_MS = 60.0
BUSY = 0.8

_REPORT_BYTES = 64 * 1024 * 1024


# --- the emulator's process


@dataclass(slots=True)
class ServiceReport:
    """What the emulator saw of one run."""

    chunk_ns: list[int] = field(default_factory=lambda: list[int]())
    open_ns: list[int] = field(default_factory=lambda: list[int]())
    lost: int = 0
    first_s: tuple[float, float] = (0.0, 0.0)
    """At the first frame of the window: monotonic seconds and CPU seconds."""
    last_s: tuple[float, float] = (0.0, 0.0)

    def take(self, stamp: Stamp, now_ns: int) -> None:
        """A frame arrived."""
        if stamp.kind == Kind.OPENED:
            self.open_ns.append(now_ns - stamp.at_ns)
        if stamp.kind != Kind.COUNTED:
            return
        self.chunk_ns.append(now_ns - stamp.at_ns)
        self.last_s = (now_ns / 1e9, time.process_time())
        if len(self.chunk_ns) == 1:
            self.first_s = self.last_s

    @property
    def share_of_core(self) -> float:
        """How busy the emulator's process was in the client's window, 1.0 for a whole core."""
        wall_s, cpu_s = (
            last - first for first, last in zip(self.first_s, self.last_s, strict=True)
        )
        return cpu_s / wall_s if wall_s else 0.0


class Echo:
    """The service of one stream, as `effects.Service`: sound for every second frame of sound."""

    def __init__(self, report: Callable[[], ServiceReport]) -> None:
        self._report = report
        self._ids = wire.Ids("session", completion="completion")
        self._frames = 0
        self._sounds = 0
        self._names = (f"block-{number}" for number in count())
        self._block = ""
        self._marker_ns = 0

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        now_ns = time.monotonic_ns()
        match wire.decode_input(payload):
            case wire.AudioInput(pcm=pcm):
                return self._hear(pcm, now_ns)
            case wire.PromptStart(prompt=prompt):
                self._ids = wire.Ids("session", prompt, "completion")
            case wire.PromptEnd():
                end = wire.BlockEnd(self._ids, self._block, "AUDIO", "END_TURN")
                return _emit(end, wire.CompletionEnd(self._ids))
            case wire.SessionEnd():
                return self.end_of_input()
            case _:
                pass
        return []

    def _hear(self, pcm: bytes, now_ns: int) -> list[Effect]:
        stamp = Stamp.of(pcm)
        if stamp is None:
            return []
        report = self._report()
        report.take(stamp, now_ns)
        report.lost += stamp.number - self._frames
        self._frames = stamp.number + 1
        if stamp.number == 0:
            return _emit(wire.CompletionStart(self._ids), *self._answer())
        effects: list[Effect] = []
        if self._frames % INTERRUPTED_EVERY == 0:
            effects = self._interrupt()
        if self._frames % ECHO_EVERY == 0:
            effects += self._sound(stamp.kind)
        return effects

    def _sound(self, kind: int) -> list[Effect]:
        stamp = Stamp(kind, self._sounds, time.monotonic_ns(), self._marker_ns)
        self._sounds, self._marker_ns = self._sounds + 1, 0
        return _emit(wire.AudioOutput(self._ids, self._block, stamp.frame(OUTPUT_FORMAT)))

    def _interrupt(self) -> list[Effect]:
        self._marker_ns = time.monotonic_ns()
        # Marker first, so that those who know only that form are not told late.
        return _emit(
            *self._text("ASSISTANT", "FINAL", '{ "interrupted" : true }', "INTERRUPTED"),
            wire.BlockEnd(self._ids, self._block, "AUDIO", "INTERRUPTED"),
            *self._answer(),
        )

    def _answer(self) -> list[wire.Output]:
        """What comes before the sound of a turn."""
        heard = self._text("USER", "FINAL", "Say that again.", "PARTIAL_TURN")
        planned = self._text("ASSISTANT", "SPECULATIVE", "As you like.", "PARTIAL_TURN")
        self._block = next(self._names)
        return [*heard, *planned, wire.AudioBlock(self._ids, self._block, OUTPUT_FORMAT.rate_hz)]

    def _text(self, role: str, stage: wire.Stage, text: str, stop: str) -> list[wire.Output]:
        block = next(self._names)
        return [
            wire.TextBlock(self._ids, block, role, stage),
            wire.TextOutput(self._ids, block, text, role),
            wire.BlockEnd(self._ids, block, "TEXT", stop),
        ]

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """See `Service`; nothing is spoken."""
        return []

    def words(self, key: int, text: str) -> list[Effect]:
        """See `Service`; nothing is recognised."""
        return []

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        raise AssertionError("it asks nobody")

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        return [Finish()]

    def stalled(self) -> list[Effect]:
        """See `Service`."""
        return []

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service`."""
        return self.end_of_input()


def _emit(*records: wire.Output) -> list[Effect]:
    return [Emit(wire.encode_output(record)) for record in records]


async def serve() -> None:
    """Run the emulator until stdin ends. Each line of it asks for the report of one run."""
    from sonic_voice.emulator.server import Emulator

    report = ServiceReport()
    loop = asyncio.get_running_loop()
    async with Emulator(lambda _: Echo(lambda: report)) as emulator:
        print(json.dumps(emulator.environment()), flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            told, report = report, ServiceReport()
            print(json.dumps(asdict(told)), flush=True)


# --- the conductor's process


class BenchError(Exception):
    """A process of the bench broke; its own words are the message."""


@asynccontextmanager
async def child(
    *command: str | Path, env: dict[str, str] | None = None, stderr: int | None = None
) -> AsyncGenerator[Process]:
    """A process of ours, gone at the end. In a session of its own: Ctrl-C is the conductor's."""
    pipes: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "stderr": stderr}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, **pipes, env=env, limit=_REPORT_BYTES, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Run(NamedTuple):
    """One run of one kind: what both its ends report."""

    client: ClientReport
    service: ServiceReport


class Figure(NamedTuple):
    """A line of the table."""

    name: str
    form: str
    of: Callable[[Sequence[Run]], float]
    target: float = math.nan
    """What ours divided by the bare SDK's may be at most."""


def _percentile(percent: int, of: Callable[[Run], list[int]]) -> Callable[[Sequence[Run]], float]:
    """Of the latencies of all runs together, by nearest rank, in ms; NaN if there are none."""

    def figure(runs: Sequence[Run]) -> float:
        values = sorted(value for run in runs for value in of(run))
        return values[math.ceil(len(values) * percent / 100) - 1] / 1e6 if values else math.nan

    return figure


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


class Emulated:
    """The emulator's process, and the clients run against it."""

    def __init__(self, process: Process, variables: dict[str, str]) -> None:
        self._process = process
        # Nothing of the developer's own account may take part.
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        self._environment = own | nothing | variables

    @classmethod
    @asynccontextmanager
    async def started(cls) -> AsyncGenerator[Self]:
        """Start the process; it ends with the block."""
        async with child(__file__, "--serve") as process:
            yield cls(process, json.loads(await _line(process)))

    async def run(self, kind: str, sessions: int, seconds: float) -> Run:
        """One run of one client process. Raises `BenchError` if either end broke."""
        client = Path(__file__).with_name("bench_client.py")
        options = ("--sessions", str(sessions), "--seconds", str(seconds))
        async with child(client, kind, *options, env=self._environment, stderr=PIPE) as process:
            out, err = await process.communicate()
        if process.returncode:
            raise BenchError(f"The client {kind} broke:\n{err.decode(errors='replace')}")
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        service = ServiceReport(**json.loads(await _line(self._process)))
        if service.lost or len(service.open_ns) != sessions:
            raise BenchError(f"Of {kind}, {service.lost} frames did not arrive.")
        return Run(ClientReport(**json.loads(out)), service)


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    if line := await process.stdout.readline():
        return line
    raise BenchError("The emulator broke; its words stand above.")


def import_ms() -> float:
    """How much longer `import sonic_voice` takes than nothing: median difference, by turns."""

    def timed(program: str) -> float:
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, start_new_session=True)
        return 1000 * (time.perf_counter() - began_s)

    timed("import sonic_voice")  # compiles, if that is still to be done
    return statistics.median(timed("import sonic_voice") - timed("pass") for _ in range(IMPORTS))


def table(sessions: int, ours: Sequence[Run], bare: Sequence[Run]) -> str:
    """The figures of one point."""
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
        lines.append(f"  warning: the emulator was over {BUSY:.0%} busy; latencies are its own")
    return "\n".join(lines)


async def conduct(points: Sequence[int], rounds: int, seconds: float) -> None:
    """Measure every point, ours and the bare SDK in turn, and print as it goes."""
    async with Emulated.started() as emulated:
        for sessions in points:
            ours: list[Run] = []
            bare: list[Run] = []
            for _ in range(rounds):
                ours.append(await emulated.run("ours", sessions, seconds))
                bare.append(await emulated.run("bare", sessions, seconds))
            print(f"\n{table(sessions, ours, bare)}", flush=True)


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description="Measures sessions, and the bare SDK beside them.")
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="of each run's window")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each kind at a point")
    parser.add_argument("--sessions", type=int, nargs="+", default=POINTS, help="the points")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
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
