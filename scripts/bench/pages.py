"""Hold pages for the benchmark `bridge`, or attack the bridge.

    python -m scripts.bench.pages talk --url URL --bridge PID --sessions 40 --seconds 20
    python -m scripts.bench.pages flood|nonsense|deafness --url URL

With `talk`, one page runs before the others, so that none of them pays for what is loaded once.
Then the pages open one after another, 20 ms apart, run for `SETTLE_S`, and the window of
`--seconds` begins. The process prints a `PagesReport` as JSON. `PID` is the bridge's process.

The other kinds attack until they are killed. An attacker whose connection is closed connects again.
"""

import argparse
import asyncio
import json
import math
import os
import random
import socket as sockets
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Origin, Subprotocol

from scripts.bench.common import INPUT_FORMAT, Kind, Stamp, resident_bytes
from sonic_voice.bridge.frames import FRAME_BYTES, read_answer, voice_frame
from sonic_voice.bridge.messages import SUBPROTOCOL

SETTLE_S = 2.0
"""Time from the opening of the last page to the window, in seconds."""
WARM_UP_S = 1.0
"""Length of the page that runs before the others, in seconds."""

FRAME_S = 0.02
"""Length of a page's frame, in seconds."""
FRAME_SIZE = INPUT_FORMAT.size(FRAME_S)
"""Size of a page's frame, in bytes."""
REPORT_EVERY = 5
"""Number of frames from one `played` message to the next: 100 ms."""

ATTACKERS = 16
"""Number of concurrent attackers. The bridge keeps each refused one waiting for 2 s, and reads
nothing from it during that time."""


# --- pages


@dataclass(slots=True)
class PagesReport:
    """The measurements of the pages and of the bridge's process in the window."""

    answer_ns: list[int] = field(default_factory=lambda: list[int]())
    """Latencies from the emulator's emission of audio to the page, in nanoseconds."""
    flush_ns: list[int] = field(default_factory=lambda: list[int]())
    """Latencies from the emulator's emission of an interruption to `flush`, in nanoseconds."""
    gap_ns: list[int] = field(default_factory=lambda: list[int]())
    """Largest gap of each page, in nanoseconds."""
    dropped: list[int] = field(default_factory=lambda: list[int]())
    """Close codes of the pages whose connection was closed before the end."""
    window_s: float = 0.0
    """Length of the window, in seconds."""
    pages_cpu_s: float = 0.0
    """CPU time of the pages' process, in seconds."""
    bridge_cpu_s: float = 0.0
    """CPU time of the bridge's process, in seconds."""
    bridge_waited_s: float = 0.0
    """Time in which the bridge had work but no core, in seconds."""
    warm_bytes: int = 0
    """Memory of the bridge after the first page."""
    live_bytes: int = 0
    """Memory of the bridge with all pages."""


class BenchPage:
    """A page that sends stamped frames and measures the latency of those that it receives.

    Args:
        connection: The WebSocket to the bridge.
        phase: Position of this page's frames in the 20 ms, from 0 to 1.
    """

    def __init__(self, connection: ClientConnection, phase: float) -> None:
        self.report = PagesReport()
        self.kind = Kind.WARM
        self.over = False
        self._connection = connection
        self._phase_s = phase * FRAME_S
        self._epoch = 0
        self._at = {"turn": 0, "samples": 0}
        self._flushed_ns = self._came_ns = 0

    async def talk(self) -> None:
        """Hold a session from `hello` to `bye`."""
        await self._say("hello", version=1)
        while json.loads(await self._connection.recv())["type"] != "listening":
            pass
        with suppress(ConnectionClosed):  # one side may still send when the other closes
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                await self._speak()
                await self._say("bye")
        if not self.over:
            self.report.dropped.append(self._connection.close_code or 0)

    async def _speak(self) -> None:
        tick_s = self._phase_s + FRAME_S * math.ceil(time.monotonic() / FRAME_S)
        number = 0
        while not self.over:
            await asyncio.sleep(tick_s - time.monotonic())
            tick_s += FRAME_S
            stamp = Stamp(self.kind, number, time.monotonic_ns())
            await self._connection.send(voice_frame(stamp.frame(INPUT_FORMAT)[:FRAME_SIZE]))
            number += 1
            if number % REPORT_EVERY == 0:
                await self._say("played", epoch=self._epoch, **self._at)

    async def _listen(self) -> None:
        async for message in self._connection:
            if isinstance(message, bytes):
                self._play(message)
            elif (said := json.loads(message))["type"] == "flush":
                self._epoch, self._flushed_ns = said["epoch"], time.monotonic_ns()
                await self._say("played", epoch=self._epoch, **self._at)

    def _play(self, frame: bytes) -> None:
        now_ns = time.monotonic_ns()
        answer = read_answer(frame)
        stamp = Stamp.of(answer.pcm)
        if stamp is None or answer.epoch != self._epoch:
            raise ValueError("audio without a stamp, or of an epoch that is over")
        self._at = {"turn": answer.turn, "samples": answer.end}
        if stamp.kind == Kind.COUNTED:
            self.report.answer_ns.append(now_ns - stamp.at_ns)
            if stamp.marker_ns:
                self.report.flush_ns.append(self._flushed_ns - stamp.marker_ns)
            self.report.gap_ns = [max(*self.report.gap_ns, now_ns - self._came_ns, 0)]
        self._came_ns = now_ns

    async def _say(self, type: str, **fields: Any) -> None:
        await self._connection.send(json.dumps({"type": type, **fields}))


def connection(url: str, **options: Any) -> connect:
    """Return a WebSocket connection to the bridge, as its own page opens one.

    Args:
        url: URL of the bridge, with a slash at its end.
        options: Further options of `connect`.
    """
    return connect(
        url.replace("http", "ws", 1) + "talk",
        origin=Origin(url.removesuffix("/")),
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        compression=None,
        proxy=None,
        **options,
    )


async def pages(url: str, bridge: int, sessions: int, seconds: float) -> PagesReport:
    """Hold pages and return their report.

    Args:
        url: URL of the bridge.
        bridge: Process id of the bridge.
        sessions: Number of pages.
        seconds: Length of the window, in seconds.
    """
    whole = PagesReport()
    talking: list[BenchPage] = []

    async def one(phase: float) -> None:
        async with connection(url) as socket:
            page = BenchPage(socket, phase)
            talking.append(page)
            await page.talk()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(one(0))
        await asyncio.sleep(WARM_UP_S)
        talking.pop().over = True
    whole.warm_bytes = resident_bytes(bridge)
    async with asyncio.TaskGroup() as tasks:
        for index in range(sessions):
            tasks.create_task(one(index / sessions))
            await asyncio.sleep(FRAME_S)
        await asyncio.sleep(SETTLE_S)
        began_s, own_s = time.monotonic(), time.process_time()
        ran_s, waited_s = _scheduled_s(bridge)
        for page in talking:
            page.kind = Kind.COUNTED
        await asyncio.sleep(seconds)
        whole.window_s = time.monotonic() - began_s
        whole.pages_cpu_s = time.process_time() - own_s
        ran_to_s, waited_to_s = _scheduled_s(bridge)
        whole.bridge_cpu_s = ran_to_s - ran_s
        whole.bridge_waited_s = waited_to_s - waited_s
        whole.live_bytes = resident_bytes(bridge)
        for page in talking:
            page.over = True
    for page in talking:
        for name in ("answer_ns", "flush_ns", "gap_ns", "dropped"):
            getattr(whole, name).extend(getattr(page.report, name))
    return whole


def _scheduled_s(pid: int) -> tuple[float, float]:
    """Return the time that all threads of a process have run, and have waited for a core."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    figures = [task.read_text().split() for task in tasks]
    return sum(int(ran) for ran, _, _ in figures) / 1e9, sum(int(w) for _, w, _ in figures) / 1e9


# --- attackers


async def flood(url: str) -> None:
    """Send a second of audio at a time, as fast as the bridge accepts it.

    Args:
        url: URL of the bridge.
    """
    async with connection(url) as socket:
        await socket.send(json.dumps({"type": "hello", "version": 1}))
        while True:
            await socket.send(voice_frame(bytes(FRAME_BYTES - 2)))


async def nonsense(url: str) -> None:
    """Send `hello` and then random bytes.

    Args:
        url: URL of the bridge.
    """
    async with connection(url) as socket:
        await socket.send(json.dumps({"type": "hello", "version": 1}))
        while True:
            await socket.send(random.randbytes(640))


async def deafness(url: str) -> None:
    """Send audio as a page does, and read nothing.

    Args:
        url: URL of the bridge.
    """
    where = urlsplit(url)
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", where.port))
    async with connection(url, sock=raw, ping_interval=None) as socket:
        await socket.send(json.dumps({"type": "hello", "version": 1}))
        socket.transport.pause_reading()
        number = 0
        while True:
            await socket.send(
                voice_frame(Stamp(Kind.WARM, number, 0).frame(INPUT_FORMAT)[:FRAME_SIZE])
            )
            number += 1
            await asyncio.sleep(FRAME_S)


ATTACKS: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
    "flood": flood,
    "nonsense": nonsense,
    "deafness": deafness,
}


async def attack(kind: str, url: str) -> None:
    """Attack the bridge until this process is killed.

    Args:
        kind: Name of the attack, one of `ATTACKS`.
        url: URL of the bridge.
    """

    async def one() -> None:
        while True:
            try:
                await ATTACKS[kind](url)
            except (ConnectionClosed, WebSocketException, OSError, TimeoutError):
                await asyncio.sleep(0)

    os.nice(10)  # real attackers use other machines; here they share the bridge's cores
    async with asyncio.TaskGroup() as tasks:
        for _ in range(ATTACKERS):
            tasks.create_task(one())


async def main() -> None:
    """Hold pages or attack, as the command line asks."""
    parser = argparse.ArgumentParser(description="Pages of the benchmark `bridge`, or attackers.")
    parser.add_argument("kind", choices=("talk", *ATTACKS))
    parser.add_argument("--url", required=True)
    parser.add_argument("--bridge", type=int, default=0, help="process id of the bridge")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    if asked.kind in ATTACKS:
        await attack(asked.kind, asked.url)
    seen = await pages(asked.url, asked.bridge, asked.sessions, asked.seconds)
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    asyncio.run(main())
