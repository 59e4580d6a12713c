"""Measure the bridge: its latency with many pages at once, and its CPU and memory for each.

There are four processes. This one controls the others. An emulator runs the `StampedService`, with
its full TLS, signatures and framing but no engines. `sonic-voice serve` runs with its usual
options. `pages` holds a number of pages in real time, with frames of 20 ms. Every frame has a
`Stamp`, in both directions.

- *socket to wire*: from the page's `send` to the payload in the emulator's service. This includes
  both ends of the WebSocket, the session, signing, HTTP/2, TLS, and the emulator's decoding.
- *wire to socket*: from the emulator's emission of audio to the frame at the page.
- *barge-in to flush*: from the emulator's emission of the marker to `flush` at the page.
- *largest gap*: the longest time between two audio frames at one page; it is 40 ms at least.
- CPU and memory of the bridge's process in the window, as the system reports them.

All latencies include more than the bridge's part, and are upper bounds. The CPU load of the other
two processes is printed, and the share of the time in which the bridge had work but waited for a
core. When that is more than a few percent, something else runs on this machine and causes latency.
With `--attack` a fifth process holds malicious clients meanwhile, one kind after the other, and the
target is the largest gap of the other pages.

`--core 0.3` gives the bridge that share of a core. It is then busy with a few sessions, as a server
is with many, while the other processes have what they need. Sessions per core are the most that
keep the target, divided by the share. CPU per session says less: it falls by a third towards that
limit, because a busy process is woken less often and finds more at once. It needs root and cgroup
v1.

The exit code is 0 if the targets are met and no session was dropped, 1 if not, 130 at Ctrl-C. No
process is left. Needs Linux's /proc.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.common import (
    BenchError,
    child,
    client_environment,
    percentile_ms,
    read_line,
)
from scripts.bench.pages import ATTACKERS, ATTACKS, FRAME_SIZE, PagesReport
from scripts.bench.stamped_service import ServiceReport, StampedService, serve_reports
from sonic_voice.emulator.service.effects import Effect

SESSIONS = 40
"""Default number of pages."""
WINDOW_S = 20.0
"""Default length of the window of a run, in seconds."""

LATENCY_MS = 30.0
"""Target: maximum 99th percentile of a latency, in both directions, in milliseconds."""
GAP_MS = 250.0
"""Target: maximum gap during an attack, in milliseconds. A page's ring buffer holds more."""

PERIOD_US = 5000
"""Period in which the bridge has its share of a core, in microseconds: well below the target."""
_GROUPS = Path("/sys/fs/cgroup/cpu")
"""Folder of the control groups that limit CPU time."""

_STARTED = "sonic_voice_conversations_started_total"
"""Metric of the bridge with the number of conversations that have started."""
_PAGES = ("-m", "scripts.bench.pages")
"""Arguments of the interpreter that run the pages' process."""


class PageService(StampedService):
    """A `StampedService` for frames of 20 ms, several of which may come in one event."""

    def receive_audio(self, pcm: bytes, now_ns: int) -> list[Effect]:
        """See `StampedService`."""
        receive = super().receive_audio
        frames = (pcm[at : at + FRAME_SIZE] for at in range(0, len(pcm), FRAME_SIZE))
        return [effect for frame in frames for effect in receive(frame, now_ns)]


@dataclass(frozen=True, slots=True)
class Servers:
    """The emulator and the bridge of all runs."""

    emulator: Process
    bridge: Process
    url: str
    """URL of the bridge, with a slash at its end."""


@contextmanager
def limited_to(core: float) -> Generator[Path]:
    """Return the file whose processes have a share of a core. They must end within the block.

    Args:
        core: The share, such as 0.3.

    Raises:
        BenchError: There are no such groups, or this is not root.
    """
    group = _GROUPS / f"sonic-voice-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(round(core * PERIOD_US)))
    except OSError as error:
        raise BenchError(f"--core needs root and cgroup v1: {error}") from error
    try:
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


@asynccontextmanager
async def servers(sessions: int, core: float = 0.0) -> AsyncGenerator[Servers]:
    """Start the emulator and the bridge, and end them with the block.

    Args:
        sessions: Maximum number of pages, besides the attackers.
        core: Share of a core that the bridge gets; 0 for no limit.
    """
    limited = limited_to(core) if core else nullcontext()
    with tempfile.TemporaryDirectory() as folder, limited as group:
        async with child("-m", "scripts.bench.bridge", "--serve") as emulator:
            environment = client_environment(json.loads(await read_line(emulator)))
            asked = ("--port", "0", "--pages", folder, "--max-sessions", str(sessions + ATTACKERS))
            command = ("-m", "sonic_voice", "serve", *asked)
            async with child(*command, env=environment) as bridge:
                url = (await read_line(bridge)).split()[1].decode()
                if group is not None:
                    group.write_text(str(bridge.pid))
                yield Servers(emulator, bridge, url)
                bridge.terminate()
                await bridge.wait()


@asynccontextmanager
async def attacked(kind: str, url: str) -> AsyncGenerator[None]:
    """Run attackers during the block.

    Args:
        kind: Kind of the attack; empty for none.
        url: URL of the bridge.
    """
    if not kind:
        yield
        return
    async with child(*_PAGES, kind, "--url", url):
        yield


async def run(on: Servers, sessions: int, seconds: float) -> tuple[PagesReport, ServiceReport]:
    """Run the pages' process, and return its report and the emulator's.

    Args:
        on: The emulator and the bridge.
        sessions: Number of pages.
        seconds: Length of the window, in seconds.

    Raises:
        BenchError: A process failed.
    """
    options = ("--sessions", str(sessions), "--seconds", str(seconds), "--url", on.url)
    command = (*_PAGES, "talk", "--bridge", str(on.bridge.pid), *options)
    async with child(*command, stderr=PIPE) as process:
        out, err = await process.communicate()
    if process.returncode:
        raise BenchError(f"The pages failed:\n{err.decode(errors='replace')}")
    assert on.emulator.stdin is not None
    on.emulator.stdin.write(b"\n")
    service = ServiceReport(**json.loads(await read_line(on.emulator)))
    return PagesReport(**json.loads(out)), service


def print_figures(sessions: int, seen: PagesReport, service: ServiceReport) -> bool:
    """Print the figures of one run.

    Args:
        sessions: Number of pages.
        seen: The report of the pages.
        service: The report of the emulator.

    Returns:
        Whether the targets are met.
    """
    latencies = {
        "socket to wire": service.chunk_ns,
        "wire to socket": seen.answer_ns,
        "barge-in to flush": seen.flush_ns,
    }
    worst_ms = 0.0
    for name, values_ns in latencies.items():
        cuts = [percentile_ms(values_ns, percent) for percent in (50, 99, 100)]
        worst_ms = max(worst_ms, cuts[1])
        print(f"  {name:20}" + "p50 {:6.2f}   p99 {:6.2f}   largest {:6.2f} ms".format(*cuts))
    minutes = seen.window_s / 60 * sessions
    memory_kib = (seen.live_bytes - seen.warm_bytes) / sessions / 1024
    print(f"  {'largest gap':20}{percentile_ms(seen.gap_ns, 100):.0f} ms")
    print(f"  {'CPU':20}{seen.bridge_cpu_s / minutes:.2f} s per session-minute")
    print(
        f"  {'memory':20}{memory_kib:.0f} KiB per session, {seen.live_bytes / 2**20:.0f} MiB in all"
    )
    print(
        f"  {'of a core':20}bridge {seen.bridge_cpu_s / seen.window_s:.0%}, "
        f"emulator {service.share_of_core:.0%}, pages {seen.pages_cpu_s / seen.window_s:.0%}; "
        f"the bridge waited for a core {seen.bridge_waited_s / seen.window_s:.1%} of the time"
    )
    print(
        f"  {'dropped':20}{len(seen.dropped)} sessions {seen.dropped or ''}, {service.lost} frames"
    )
    return worst_ms < LATENCY_MS and not seen.dropped and not service.lost


def _started(url: str) -> int:
    """Return the number of conversations that the bridge has started, by its own metrics."""
    with urllib.request.urlopen(f"{url}metrics", timeout=10) as response:
        lines: list[str] = response.read().decode().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith(_STARTED))


async def bench(sessions: int, seconds: float, *, attacks: bool, core: float) -> bool:
    """Measure, and print the figures of each run when it is done.

    Args:
        sessions: Number of pages.
        seconds: Length of the window of each run, in seconds.
        attacks: Whether to measure under attack as well.
        core: Share of a core that the bridge gets; 0 for no limit.

    Returns:
        Whether the targets are met.
    """
    met = True
    async with servers(sessions, core) as on:
        for kind in ("", *(ATTACKS if attacks else ())):
            before = await asyncio.to_thread(_started, on.url)
            async with attacked(kind, on.url):
                seen, service = await run(on, sessions, seconds)
            # One page has run before the others.
            others = await asyncio.to_thread(_started, on.url) - before - sessions - 1
            print(f"{sessions} pages{f', and {others} conversations of {kind}' if kind else ''}")
            fast = print_figures(sessions, seen, service)
            unmoved = not seen.dropped and percentile_ms(seen.gap_ns, 100) < GAP_MS
            met = met and (unmoved if kind else fast)
    print(f"targets: p99 under {LATENCY_MS:.0f} ms, none dropped: {'met' if met else 'missed'}")
    return met


def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run bridge",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="number of pages")
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="window of each run")
    parser.add_argument("--attack", action="store_true", help="measure under attack as well")
    parser.add_argument("--core", type=float, default=0.0, help="share of a core for the bridge")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        if asked.serve:
            asyncio.run(serve_reports(PageService))
            return 0
        met = asyncio.run(
            bench(asked.sessions, asked.seconds, attacks=asked.attack, core=asked.core)
        )
        return 0 if met else 1
    except KeyboardInterrupt:
        return 130
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
