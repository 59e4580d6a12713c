"""`serve --workers` behind HAProxy with a real Redis server, and pages that return to it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from sonic_voice.bridge.closing import Close
from sonic_voice.bridge.saving import Record, store_key

from .page import Page, socket
from .real_haproxy import free_port, haproxy, need_haproxy
from .real_redis import RealRedis, need_redis, real_redis

START_S = 60.0
"""Maximum time for a server and its workers to start, in seconds, on a busy machine."""

PATIENCE_S = 45.0
"""Maximum time to wait for anything else, in seconds."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 1.0
"""Waits before attempts to return, in seconds, as in `web_client/link-limits.js`."""


@dataclass
class Server:
    """A `serve` process, and the lines of its log."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    other: str = ""
    """The lines of the log that are no JSON, such as a stack trace."""
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self) -> None:
        """Read the log until the process has ended."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            if line.startswith(b"{"):
                self.lines.append(json.loads(line))
                self._came.set()
            else:
                self.other += line.decode()

    def of(self, message: str) -> list[dict[str, Any]]:
        """Return the lines with a message."""
        return [line for line in self.lines if line["message"] == message]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the log satisfies a condition."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._came.clear()
                await self._came.wait()

    async def until_listening(self, times: int) -> None:
        """Wait until this many workers have begun to listen, those that are gone included."""
        await self.until(lambda: str(self.lines).count(" listens'") >= times)

    @staticmethod
    def kill_worker(pid: int) -> None:
        """End a worker as a system that is out of memory does."""
        os.kill(pid, signal.SIGKILL)

    @staticmethod
    def stop_worker(pid: int) -> None:
        """Ask a worker to stop, as its operator does."""
        os.kill(pid, signal.SIGTERM)


@asynccontextmanager
async def serve_process(*options: str, port: int) -> AsyncGenerator[Server]:
    """Run `serve --local` with a log in JSON. It is killed at the end, and its workers drain."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", "serve", "--local", "--port", str(port)),
        *("--log-format", "json", *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    server = Server(process)
    following = asyncio.create_task(server.follow())
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            assert (await process.stdout.readline()).startswith(b"Open "), server.lines
        yield server
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            await following  # the log ends with the last worker
            await process.communicate()
    assert not server.other, server.other


@dataclass
class Place:
    """A server with two workers, its Redis server, and the address in front of both."""

    url: str
    server: Server
    redis: RealRedis

    async def record(self, resume: str) -> Record | None:
        """Return what is stored of a conversation."""
        client: Any = cast(Any, Redis).from_url(self.redis.url)
        try:
            value = await client.get(f"sonic-voice:record:{store_key(resume)}")
        finally:
            await client.aclose()
        return None if value is None else Record.from_bytes(value)

    async def until_stored(self, resume: str, words: str) -> None:
        """Wait until words of a conversation are stored."""
        async with asyncio.timeout(PATIENCE_S):
            while words not in self.text(await self.record(resume)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    @staticmethod
    def text(record: Record | None) -> str:
        """Return what was said in a record, by both."""
        lines = () if record is None else record.snapshot.lines
        return "\n".join(line.text for line in lines)


@asynccontextmanager
async def place(folder: Path, *options: str) -> AsyncGenerator[Place]:
    """Run two workers behind one port, with HAProxy in front and a Redis server beside."""
    need_redis()
    need_haproxy()
    port, public = free_port(), free_port()
    origin = ("--allow-origin", f"http://localhost:{public}")
    async with real_redis(folder) as redis:
        shared = ("--workers", "2", "--redis", redis.url, *origin, *options)
        async with (
            serve_process(*shared, port=port) as server,
            haproxy(folder, port, port=public) as url,
        ):
            yield Place(url, server, redis)


@dataclass
class ReturningPage:
    """A page that connects again when its connection is lost, or when the server asks for it."""

    url: str
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    closes: list[int] = field(default_factory=list[int])
    """Code of each end of a connection; 1006 for one that was lost."""
    gaps_s: list[float] = field(default_factory=list[float])
    """Time from each of them until the conversation went on, in seconds."""
    unplayed_s: list[float] = field(default_factory=list[float])
    """Sound that had come and not been played at each end, in seconds."""
    page: Page | None = None
    ready: dict[str, Any] = field(default_factory=dict[str, Any])
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._stay())
        await self._until_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def resume(self) -> str:
        return self.ready["resume"]

    async def say(self, text: str) -> dict[str, Any]:
        """Type a turn, and return the message that the service has taken it."""
        taken = len(self.of("user_text"))
        await self._until_open()
        assert self.page is not None
        await self.page.say("say", text=text)
        return await self.until("user_text", taken + 1)

    async def ask(self, text: str) -> str:
        """Type a turn, and return the answer."""
        turn = (await self.say(text))["turn"]
        await self.until("turn_ended", turn=turn)
        return self.answer(turn)

    def answer(self, turn: int) -> str:
        """Return the answer of a turn."""
        final = [m for m in self.of("assistant_text") if m["turn"] == turn]
        return "".join(m["text"] for m in final if m["stage"] == "SPECULATIVE")

    async def bye(self) -> None:
        """End the conversation, and wait until the server has closed the connection."""
        await self._until_open()
        assert self.page is not None
        assert self._task is not None
        await self.page.say("bye")
        async with asyncio.timeout(PATIENCE_S):
            await self._task

    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.told if message["type"] == type]

    async def until(self, type: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """The `count`th message of `type` with `fields`, as soon as it has come."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = [m for m in self.of(type) if fields.items() <= m.items()]
                if len(found) >= count:
                    return found[count - 1]
                self._came.clear()
                await self._came.wait()

    async def until_back(self, times: int = 1) -> None:
        """Wait until the conversation has gone on after a number of ends."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.gaps_s) < times:
                self._came.clear()
                await self._came.wait()

    async def _until_open(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._open.wait()

    async def _stay(self) -> None:
        hello: dict[str, Any] = {}
        lost_s, wait_s = None, FIRST_WAIT_S
        while True:
            code = await self._talk(hello, lost_s)
            assert code in (Close.BYE, Close.STOPPING, Close.RESTART, 1006, None), code
            if code == Close.BYE:
                return
            if code is not None:  # a conversation that went on until then
                self.closes.append(code)
                lost_s, wait_s = time.monotonic(), FIRST_WAIT_S
                hello = {"resume": self.resume, **self._progress()}
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _progress(self) -> dict[str, Any]:
        assert self.page is not None
        return {"seen": self.page.seen, "received": self.page.position}

    async def _talk(self, hello: dict[str, Any], lost_s: float | None) -> int | None:
        """Hold one connection; return the code of its end, or None if it never was one."""
        try:
            async with socket(self.url) as connection:
                page = Page(connection, hello, told=self.told, seen=hello.get("seen", 0))
                page.on_told = self._came.set
                async with page:
                    self.page, self.ready = page, page.ready
                    if lost_s is not None:
                        self.gaps_s.append(time.monotonic() - lost_s)
                    self._open.set()
                    self._came.set()
                    await connection.wait_closed()
                    self._open.clear()
                    self.unplayed_s.append(page.ahead_s)
                    return connection.close_code or 1006
        except (OSError, InvalidHandshake, ConnectionClosed):
            return None
