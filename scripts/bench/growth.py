"""Measure how cost grows with the number of sessions, the length of a chunk and that of a talk.

The processes are those of `sessions`: a client process against an emulator without engines.

- *Sessions* and *chunks*: in real time. Each point is measured in several rounds, in a new client
  process; so are the harness, which is subtracted, and the reference point, `REFERENCE`. CPU time
  is that of the chunks which were sent. On a busy machine they are fewer than are due: a run does
  not count in which less than `KEPT_UP` of them were sent. Whatever the length of a chunk, the
  service answers 64 ms of the user's audio with 32 ms of its own.
- *Minutes*: one session, on the clock of its source, which goes `--speed` times as fast as real
  time; the renewal of streams follows it. Fewer wake-ups are needed than in real time, so that the
  level of the CPU time is lower than that of one session in real time, and only its course counts.
  Memory is that of real time: nothing that a session keeps depends on the pace.

CPU time is given as a multiple of that of the reference point in the same round, because the speed
of a machine changes from minute to minute; its median over the rounds counts. Memory is a mean in
MiB. The results are a table and, with `--plot`, a picture for the README.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scripts.bench.common import (
    FRAME_S,
    INPUT_FORMAT,
    MODEL,
    OUTPUT_FORMAT,
    BenchError,
    Kind,
    Stamp,
    resident_bytes,
)
from scripts.bench.sessions import EmulatorProcess, Run
from scripts.bench.stamped_service import (
    ECHO_EVERY,
    INTERRUPTED_EVERY,
    ServiceReport,
    StampedService,
    serve_reports,
)

SESSIONS = (1, 3, 10, 30, 100)
"""Numbers of concurrent sessions to measure."""
CHUNKS_MS = (10, 20, 32, 50, 100)
"""Lengths of a chunk of the user's audio to measure, in milliseconds."""
MINUTES = (1, 3, 6, 8, 10, 15, 20, 30, 40, 50, 60)
"""Lengths of a conversation at which memory and CPU time are read, in minutes."""
SPEED = 30.0
"""Pace of the long conversation, relative to real time."""


KEPT_UP = 0.95
"""Share of the chunks that must be sent in time for a run to count."""


class Point(NamedTuple):
    """A setting of the real-time measurements."""

    sessions: int
    frame_s: float


REFERENCE = Point(10, FRAME_S)
"""Setting whose CPU time is 1."""

ECHO_S = ECHO_EVERY * FRAME_S
INTERRUPTED_S = INTERRUPTED_EVERY * FRAME_S


class EvenService(StampedService):
    """A `StampedService` whose answers follow the length of the audio, not the number of chunks."""

    def __init__(self, report: Callable[[], ServiceReport]) -> None:
        super().__init__(report)
        self._heard_bytes = 0

    def answers_due(self, pcm: bytes) -> tuple[int, int]:
        """See `StampedService`."""
        before, self._heard_bytes = self._heard_bytes, self._heard_bytes + len(pcm)

        def due(every_s: float) -> int:
            size = INPUT_FORMAT.size(every_s)
            return self._heard_bytes // size - before // size

        return due(ECHO_S), due(INTERRUPTED_S)


# --- a long conversation, in a process of its own


@dataclass(frozen=True, slots=True)
class Mark:
    """The measurements at one length of the conversation."""

    minutes: float
    """Length of the conversation so far, in minutes."""
    cpu_s: float
    """CPU time of the process since the beginning, in seconds."""
    rss_bytes: int
    """Resident memory of the process."""
    streams: int
    """Number of streams so far."""


class FastSource:
    """An `AudioSource` whose clock goes faster than real time.

    Args:
        speed: The pace, relative to real time.
        minutes: Lengths at which a `Mark` is taken, in minutes. The last one ends the source.
        mark: Returns the mark at a length in minutes.
    """

    done = False

    def __init__(
        self, speed: float, minutes: Sequence[float], mark: Callable[[float], Mark]
    ) -> None:
        self.format = INPUT_FORMAT
        self.marks: list[Mark] = []
        self._speed = speed
        self._due = list(minutes)
        self._mark = mark
        self._number = 0
        self._began_s = time.monotonic()

    async def read(self) -> bytes:
        """Wait for the next chunk and return it; return `b""` at the end."""
        position_s = self.now()
        while self._due and position_s >= 60 * self._due[0]:
            self.marks.append(self._mark(self._due.pop(0)))
        if not self._due:
            return b""
        stamp = Stamp(Kind.WARM, self._number, 0).frame(INPUT_FORMAT)
        self._number += 1
        late_s = time.monotonic() - self._began_s - position_s / self._speed
        await asyncio.sleep(max(0.0, -late_s))
        return stamp

    def now(self) -> float:
        """Return the position of the source, in seconds."""
        return self._number * FRAME_S

    async def aclose(self) -> None:
        """See `AudioSource`."""


class SilentSink:
    """An `AudioSink` that plays everything at once."""

    pending_s = 0.0

    def __init__(self) -> None:
        self.format = OUTPUT_FORMAT

    def play(self, turn: int, pcm: bytes) -> None:
        """See `AudioSink`."""

    def flush(self) -> None:
        """See `AudioSink`."""

    def played_ms(self, turn: int) -> int:
        """See `AudioSink`."""
        return 0

    async def aclose(self) -> None:
        """See `AudioSink`."""


async def hold(minutes: Sequence[float], speed: float) -> list[Mark]:
    """Hold one conversation, and return its marks.

    Args:
        minutes: Lengths at which a mark is taken, in minutes.
        speed: The pace, relative to real time.
    """
    from sonic_voice import BedrockTransport, Session, SessionConfig, converse
    from sonic_voice.errors import DeadlineError
    from sonic_voice.events import Event, Renewed

    streams = 1

    def count(event: Event, now: float) -> None:
        nonlocal streams
        streams += isinstance(event, Renewed)

    def mark(at_minutes: float) -> Mark:
        return Mark(at_minutes, time.process_time() - began_cpu_s, resident_bytes(), streams)

    transport = BedrockTransport()
    source, began_cpu_s = FastSource(speed, minutes, mark), time.process_time()
    try:
        config = SessionConfig(model=MODEL)
        async with Session.open(config, transport, clock=source.now) as session:
            await converse(session, source, SilentSink(), observers=[count])
        return source.marks
    except DeadlineError:
        if len(source.marks) < len(minutes):
            raise
        return source.marks  # a busy machine; all is measured
    finally:
        await transport.aclose()


# --- the measurement


class Curve(NamedTuple):
    """The results of one sweep."""

    at: Sequence[float]
    """The values of what was varied."""
    cpu: Sequence[float]
    """CPU time of a session-minute; 1 is that of `REFERENCE`, or of the first ten minutes."""
    mib: Sequence[float]
    """Memory over that of the process before its first session, in MiB."""


async def sweeps(
    emulated: EmulatorProcess, points: Sequence[Point], rounds: int, seconds: float
) -> dict[Point, tuple[float, float]]:
    """Measure points in real time, all in each round.

    Args:
        emulated: The emulator.
        points: The settings, besides `REFERENCE`.
        rounds: Number of rounds.
        seconds: Length of the window of each run, in seconds.

    Returns:
        CPU time relative to the reference, and memory in MiB, of each point and of the reference.
    """
    cpu: dict[Point, list[float]] = {point: [] for point in (REFERENCE, *points)}
    mib: dict[Point, list[float]] = {point: [] for point in (REFERENCE, *points)}
    for _ in range(rounds):
        base = 0.0
        for point in cpu:
            net, run = await _net(emulated, point, seconds)
            base = base or net
            due = point.sessions * run.client.window_s / point.frame_s
            if run.client.frames > KEPT_UP * due:
                cpu[point].append(net / base)
                mib[point].append(run.client.rss_mib)
            print(f"  {point.sessions:4} sessions, {1000 * point.frame_s:5.0f} ms: "
                  f"{net:.3f} s of CPU per session-minute, {net / base:.2f} of the reference; "
                  f"{run.client.frames / due:.0%} of the chunks sent", flush=True)  # fmt: skip
    if late := [point for point in cpu if not cpu[point]]:
        raise BenchError(f"The machine is too busy for {late[0].sessions} sessions at a time.")
    return {point: (statistics.median(cpu[point]), statistics.fmean(mib[point])) for point in cpu}


async def _net(emulated: EmulatorProcess, point: Point, seconds: float) -> tuple[float, Run]:
    """Return the CPU time of a session-minute without the harness, in seconds, and the run."""
    arguments = (point.sessions, seconds, point.frame_s)
    ours = await emulated.run("ours", *arguments, overloaded=True)
    harness = await emulated.run("harness", *arguments, overloaded=True)
    of_chunk_s = ours.client.cpu_s / ours.client.frames
    of_harness_s = harness.client.cpu_s / harness.client.frames
    return (of_chunk_s - of_harness_s) * 60 / point.frame_s, ours


async def long_talk(emulated: EmulatorProcess, minutes: Sequence[float], speed: float) -> Curve:
    """Measure one long conversation.

    Args:
        emulated: The emulator.
        minutes: Lengths at which it is measured, in minutes.
        speed: The pace, relative to real time.
    """
    command = ("scripts.bench.growth", "--hold", "--speed", str(speed))
    out = await emulated.client(*command, "--minutes", *map(str, minutes))
    marks = [Mark(**fields) for fields in json.loads(out)]
    per_minute: list[float] = []
    before = Mark(0, 0, 0, 1)
    for mark in marks:
        per_minute.append((mark.cpu_s - before.cpu_s) / (mark.minutes - before.minutes))
        print(f"  {mark.minutes:4.0f} minutes: {per_minute[-1]:.3f} s of CPU per minute, "
              f"{mark.rss_bytes / 2**20:.1f} MiB, {mark.streams} streams", flush=True)  # fmt: skip
        before = mark
    steady = statistics.median(per_minute)
    return Curve(
        [mark.minutes for mark in marks],
        [value / steady for value in per_minute],
        [(mark.rss_bytes - marks[0].rss_bytes) / 2**20 for mark in marks],
    )


async def conduct(options: argparse.Namespace) -> dict[str, Curve]:
    """Measure all sweeps, and return their curves by name.

    Args:
        options: The arguments of the command.
    """
    at_sessions = [Point(number, FRAME_S) for number in options.sessions]
    at_chunks = [Point(REFERENCE.sessions, ms / 1000) for ms in options.chunks_ms]
    others = [point for point in (*at_sessions, *at_chunks) if point != REFERENCE]
    async with EmulatorProcess.started("scripts.bench.growth") as emulated:
        minutes = await long_talk(emulated, options.minutes, options.speed)
        found = await sweeps(emulated, others, options.rounds, options.seconds)

    def curve(at: Sequence[float], points: Sequence[Point]) -> Curve:
        return Curve(at, *zip(*(found[point] for point in points), strict=True))

    return {
        "sessions": curve(options.sessions, at_sessions),
        "chunks": curve([ms / 1000 for ms in options.chunks_ms], at_chunks),
        "minutes": minutes,
    }


def table(curves: dict[str, Curve]) -> str:
    """Return the curves as text.

    Args:
        curves: The results of `conduct`.
    """
    units = {"sessions": ("sessions", 1), "chunks": ("ms a chunk", 1000), "minutes": ("minutes", 1)}
    lines: list[str] = []
    for name, curve in curves.items():
        unit, factor = units[name]
        lines.append(f"{unit:>12}" + "".join(f"{factor * at:8.0f}" for at in curve.at))
        lines.append(f"{'CPU':>12}" + "".join(f"{cpu:8.2f}" for cpu in curve.cpu))
        lines.append(f"{'MiB':>12}" + "".join(f"{mib:8.1f}" for mib in curve.mib))
    return "\n".join(lines)


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run growth", description="Measure how cost grows."
    )
    parser.add_argument("--sessions", type=int, nargs="+", default=SESSIONS, help="how many")
    parser.add_argument("--chunks-ms", type=float, nargs="+", default=CHUNKS_MS, help="how long")
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES, help="how long a talk")
    parser.add_argument("--speed", type=float, default=SPEED, help="pace of the long conversation")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each point")
    parser.add_argument("--seconds", type=float, default=10.0, help="window of each run")
    parser.add_argument("--save", type=Path, metavar="JSON", help="file for the results")
    parser.add_argument("--load", type=Path, metavar="JSON", help="results to print again")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="file for the picture")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_reports(EvenService))
        return 0
    if options.hold:
        from dataclasses import asdict

        marks = asyncio.run(hold(options.minutes, options.speed))
        print(json.dumps([asdict(mark) for mark in marks]))
        return 0
    try:
        if options.load:
            loaded: dict[str, Any] = json.loads(options.load.read_text(encoding="utf-8"))
            curves = {name: Curve(*curve) for name, curve in loaded.items()}
        else:
            curves = asyncio.run(conduct(options))
    except KeyboardInterrupt:
        return 130
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(curves))
    if options.save:
        options.save.write_text(json.dumps(curves), encoding="utf-8")
    if options.plot:
        from scripts.bench.growth_plot import draw

        draw(curves, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
