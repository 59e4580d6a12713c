"""Measures the bridge: how late it is with many pages at once, and what each of them costs.

Four processes: this one conducts; an emulator serves the echo of `bench`, with all of its TLS,
signatures and frames but no engines; `sonic-voice serve` as anybody runs it; and `bench_pages`, so
many pages in real time, 20 ms a frame. Every frame carries a `Stamp`, both ways.

- *socket to wire*: from the page's `send` to the payload in the emulator's service: both WebSocket
  ends, the session, its signature, HTTP/2, TLS, and the emulator's reading of all that.
- *wire to socket*: from the emulator's emission of sound to the page having the frame.
- *barge-in to flush*: from the emulator's emission of the marker to the page having `flush`.
- *largest gap*: between two answers at one page; 40 ms lie between them by nature.
- CPU and memory of the bridge's process, by what the system says of it, in the window.

So all latencies hold more than the bridge's part: they are upper bounds. How busy the other two
processes were stands below, and how long the bridge, though it had work, waited for a core: where
that is more than a few percent something else ran on this machine, and the latencies are its own.
With `--attack` bad clients in a fifth process come meanwhile, one kind after the other, and what
counts is the others' largest gap.

Ends with 0 if the targets are met and no session was dropped, 1 if not, 130 at Ctrl-C; no process
stays behind. Needs Linux's /proc.
"""

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import BenchError, Echo, ServiceReport, child
from bench_pages import ATTACKERS, ATTACKS, FRAME_SIZE, PagesReport

from sonic_voice.emulator.service.effects import Effect

SESSIONS = 40
WINDOW_S = 20.0

LATENCY_MS = 30.0
"""The target for the 99th percentile, both ways."""
GAP_MS = 250.0
"""The target for the largest gap while others attack: a page's ring holds more than that."""

_BEGUN = "sonic_voice_conversations_started_total"
_PAGES = Path(__file__).with_name("bench_pages.py")


# --- the emulator's process


class PageEcho(Echo):
    """`Echo` for frames of 20 ms, several of which may come in one event."""

    def _hear(self, pcm: bytes, now_ns: int) -> list[Effect]:
        frames = (pcm[at : at + FRAME_SIZE] for at in range(0, len(pcm), FRAME_SIZE))
        return [effect for frame in frames for effect in super(PageEcho, self)._hear(frame, now_ns)]


async def serve() -> None:
    """Run the emulator until stdin ends. Each line of it asks for the report of one run."""
    from sonic_voice.emulator.server import Emulator

    report = ServiceReport()
    async with Emulator(lambda _: PageEcho(lambda: report)) as emulator:
        print(json.dumps(emulator.environment()), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            told, report = report, ServiceReport()
            print(json.dumps(asdict(told)), flush=True)


# --- the conductor's process


@dataclass(frozen=True, slots=True)
class Stage:
    """The emulator and the bridge, for the time of all runs."""

    emulator: Process
    bridge: Process
    url: str


@asynccontextmanager
async def stage(sessions: int) -> AsyncGenerator[Stage]:
    """Start both; they end with the block, the bridge politely."""
    with tempfile.TemporaryDirectory() as folder:
        async with child(__file__, "--serve") as emulator:
            own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
            environment = own | nothing | json.loads(await _line(emulator))
            asked = ("--port", "0", "--pages", folder, "--max-sessions", str(sessions + ATTACKERS))
            command = ("-m", "sonic_voice", "serve", *asked)
            async with child(*command, env=environment) as bridge:
                url = (await _line(bridge)).split()[1].decode()
                yield Stage(emulator, bridge, url)
                bridge.terminate()
                await bridge.wait()


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    if line := await process.stdout.readline():
        return line
    raise BenchError("A process broke; its words stand above.")


@asynccontextmanager
async def attacked(kind: str, url: str) -> AsyncGenerator[None]:
    """Under attack, unless `kind` is empty."""
    if not kind:
        yield
        return
    async with child(_PAGES, kind, "--url", url):
        yield


async def run(on: Stage, sessions: int, seconds: float) -> tuple[PagesReport, ServiceReport]:
    """One run of the pages' process: what they saw, and what the emulator did."""
    options = ("--sessions", str(sessions), "--seconds", str(seconds), "--url", on.url)
    command = (_PAGES, "talk", "--bridge", str(on.bridge.pid), *options)
    async with child(*command, stderr=PIPE) as process:
        out, err = await process.communicate()
    if process.returncode:
        raise BenchError(f"The pages broke:\n{err.decode(errors='replace')}")
    assert on.emulator.stdin is not None
    on.emulator.stdin.write(b"\n")
    service = ServiceReport(**json.loads(await _line(on.emulator)))
    return PagesReport(**json.loads(out)), service


def _ms(values_ns: list[int], percent: float) -> float:
    """By nearest rank; NaN if there are none."""
    values = sorted(values_ns)
    return values[math.ceil(len(values) * percent / 100) - 1] / 1e6 if values else math.nan


def told(sessions: int, seen: PagesReport, service: ServiceReport) -> bool:
    """Print the figures of one run. Whether the targets are met."""
    latencies = {
        "socket to wire": service.chunk_ns,
        "wire to socket": seen.answer_ns,
        "barge-in to flush": seen.flush_ns,
    }
    worst_ms = 0.0
    for name, values_ns in latencies.items():
        cuts = [_ms(values_ns, percent) for percent in (50, 99, 100)]
        worst_ms = max(worst_ms, cuts[1])
        print(f"  {name:20}" + "p50 {:6.2f}   p99 {:6.2f}   largest {:6.2f} ms".format(*cuts))
    minutes = seen.window_s / 60 * sessions
    memory_kib = (seen.live_bytes - seen.warm_bytes) / sessions / 1024
    print(f"  {'largest gap':20}{_ms(seen.gap_ns, 100):.0f} ms")
    print(f"  {'CPU':20}{seen.bridge_cpu_s / minutes:.2f} s per session-minute")
    print(
        f"  {'memory':20}{memory_kib:.0f} KiB per session, {seen.live_bytes / 2**20:.0f} MiB in all"
    )
    print(
        f"  {'of a core':20}bridge {seen.bridge_cpu_s / seen.window_s:.0%}, "
        f"emulator {service.share_of_core:.0%}, pages {seen.pages_cpu_s / seen.window_s:.0%}; "
        f"the bridge waited for one {seen.bridge_waited_s / seen.window_s:.1%} of the time"
    )
    print(
        f"  {'dropped':20}{len(seen.dropped)} sessions {seen.dropped or ''}, {service.lost} frames"
    )
    return worst_ms < LATENCY_MS and not seen.dropped and not service.lost


def _begun(url: str) -> int:
    """How many conversations the bridge has begun so far, by its own metrics."""
    with urllib.request.urlopen(f"{url}metrics", timeout=10) as response:
        lines: list[str] = response.read().decode().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith(_BEGUN))


async def bench(sessions: int, seconds: float, *, attacks: bool) -> bool:
    """Measure, and print as it goes. Whether the targets are met."""
    met = True
    async with stage(sessions) as on:
        for kind in ("", *(ATTACKS if attacks else ())):
            before = await asyncio.to_thread(_begun, on.url)
            async with attacked(kind, on.url):
                seen, service = await run(on, sessions, seconds)
            # Of the pages, one came before the others.
            others = await asyncio.to_thread(_begun, on.url) - before - sessions - 1
            print(f"{sessions} pages{f', and {others} conversations of {kind}' if kind else ''}")
            fast = told(sessions, seen, service)
            unmoved = not seen.dropped and _ms(seen.gap_ns, 100) < GAP_MS
            met = met and (unmoved if kind else fast)
    print(f"targets: p99 under {LATENCY_MS:.0f} ms, none dropped: {'met' if met else 'missed'}")
    return met


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="of each run's window")
    parser.add_argument("--attack", action="store_true", help="measure under attack, too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        if asked.serve:
            asyncio.run(serve())
            return 0
        return 0 if asyncio.run(bench(asked.sessions, asked.seconds, attacks=asked.attack)) else 1
    except KeyboardInterrupt:
        return 130
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
