"""A page in Python: talks to the bridge over a real WebSocket, and plays by a clock of its own."""

import asyncio
import json
import time
import wave
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from sonic_voice.bridge.frames import AnswerFrame, read_answer, voice_frame
from sonic_voice.bridge.messages import SUBPROTOCOL

FRAME_S = 0.02
ANSWER_HZ = 24_000


@asynccontextmanager
async def socket(
    url: str,
    *,
    origin: str | None = "",
    subprotocol: str = SUBPROTOCOL,
    tls: SSLContext | None = None,
    forwarded_for: str = "",
    headers: Mapping[str, str] | None = None,
) -> AsyncGenerator[ClientConnection]:
    """A connection to the bridge at `url`; `origin` `""` is that of its own page.

    `forwarded_for` is the address that a proxy in front would name.
    """
    named = {"X-Forwarded-For": forwarded_for} if forwarded_for else {}
    where = url.replace("http", "ws", 1) + "talk"
    sent = url.removesuffix("/") if origin == "" else origin
    offered = [Subprotocol(subprotocol)] if subprotocol else None
    async with connect(
        where,
        origin=Origin(sent) if sent is not None else None,
        subprotocols=offered,
        compression=None,
        ssl=tls,
        additional_headers={**named, **(headers or {})},
        max_queue=None,  # a close is seen whatever waits before it
        proxy=None,
    ) as connection:
        yield connection


async def close_of(connection: ClientConnection) -> tuple[int, str]:
    """How the server closes, whatever it says before."""
    try:
        async with asyncio.timeout(10):
            while True:
                await connection.recv()
    except ConnectionClosed:
        return connection.close_code or 0, connection.close_reason or ""


async def until(condition: Callable[[], bool], limit_s: float = 10) -> None:
    """Wait for what nobody tells: a count of the server's."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass
class Page:
    """Plays what comes, at the pace of a clock, and reports it as pages do."""

    connection: ClientConnection
    hello: dict[str, Any] = field(default_factory=dict[str, Any])
    ready: dict[str, Any] = field(default_factory=dict[str, Any])
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    answers: list[AnswerFrame] = field(default_factory=list[AnswerFrame])
    """Every frame that came."""
    epoch: int = 0
    seen: int = 0
    _ring: list[AnswerFrame] = field(default_factory=list[AnswerFrame])
    _at: tuple[int, int] = (0, 0)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    on_told: Callable[[], object] | None = None
    """Called after each message or frame that came."""

    async def __aenter__(self) -> Self:
        await self.say("hello", version=1, **self.hello)
        self.ready = json.loads(await self.connection.recv())
        assert self.ready["type"] == "ready", self.ready
        self.epoch = self.ready["epoch"]
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._play())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def say(self, type: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": type, **fields}))

    async def speak(self, path: Path) -> None:
        """Send a recording at the pace of life."""
        with wave.open(str(path)) as file:
            pcm = file.readframes(file.getnframes())
        step = int(16_000 * FRAME_S) * 2
        began_s = time.monotonic()
        for index, start in enumerate(range(0, len(pcm), step)):
            await asyncio.sleep(max(0.0, began_s + index * FRAME_S - time.monotonic()))
            await self.connection.send(voice_frame(pcm[start : start + step]))

    async def until(self, type: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """The `count`th message of `type` with `fields`, as soon as it has come."""
        async with asyncio.timeout(20):
            while True:
                found = [
                    message
                    for message in self.told
                    if message["type"] == type and fields.items() <= message.items()
                ]
                if len(found) >= count:
                    return found[count - 1]
                self._came.clear()
                await self._came.wait()

    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.told if message["type"] == type]

    @property
    def position(self) -> dict[str, int]:
        """Up to where sound has come."""
        if not self.answers:
            return {}
        return {"turn": self.answers[-1].turn, "samples": self.answers[-1].end}

    def played_samples(self, turn: int) -> int:
        """How much of `turn`, the newest, has sounded."""
        return self._at[1] if self._at[0] == turn else 0

    @property
    def ahead_s(self) -> float:
        """Seconds that have come and not sounded."""
        return sum(answer.samples for answer in self._ring) / ANSWER_HZ

    async def _listen(self) -> None:
        try:
            async for message in self.connection:
                if isinstance(message, bytes):
                    self.answers.append(read_answer(message))
                    if self.answers[-1].epoch == self.epoch:
                        self._ring.append(self.answers[-1])
                else:
                    await self._hear(json.loads(message))
                self._came.set()
                if self.on_told is not None:
                    self.on_told()
        except ConnectionClosed:
            self._came.set()

    async def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "alive":
            return
        self.told.append({**message, "at_s": time.monotonic()})
        self.seen = message["seq"]
        if message["type"] == "flush":
            self.epoch = message["epoch"]
            self._ring.clear()
            await self._report()

    async def _report(self) -> None:
        turn, samples = self._at
        await self.say("played", epoch=self.epoch, turn=turn, samples=samples)

    async def _play(self) -> None:
        due_s = time.monotonic()
        while True:
            await asyncio.sleep(0.1)
            budget = round((time.monotonic() - due_s) * ANSWER_HZ)
            due_s = time.monotonic()
            moved = False
            while self._ring and budget > 0:
                answer = self._ring[0]
                start = self._at[1] if self._at[0] == answer.turn else answer.start
                step = min(budget, answer.end - start)
                self._at = (answer.turn, start + step)
                budget -= step
                moved = True
                if start + step == answer.end:
                    self._ring.pop(0)
            if moved:
                await self._report()
