"""A socket in memory, whose page is the test."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from sonic_voice.bridge.messages import SUBPROTOCOL
from sonic_voice.bridge.socket import ConnectionGone

ORIGIN = "http://localhost"


class MemorySocket:
    """A `Socket` whose page is the test."""

    origin = ORIGIN
    address = "127.0.0.1"
    remote = False
    subject = ""
    subprotocol = SUBPROTOCOL

    def __init__(self) -> None:
        self.closed: int | None = None
        self.over = asyncio.Event()
        self._from_page: asyncio.Queue[str | None] = asyncio.Queue()
        self._to_page: asyncio.Queue[str | bytes] = asyncio.Queue()

    def say(self, type: str, **fields: Any) -> None:
        self._from_page.put_nowait(json.dumps({"type": type, **fields}))

    def lose(self) -> None:
        """Lose the connection."""
        self._from_page.put_nowait(None)

    async def next(self) -> dict[str, Any]:
        """The next message that the page is told."""
        async with asyncio.timeout(10):
            while isinstance(message := await self._to_page.get(), bytes):
                pass
            return json.loads(message)

    async def until(self, type: str) -> dict[str, Any]:
        """The next message of `type`."""
        while (message := await self.next())["type"] != type:
            pass
        return message

    def rest(self) -> list[dict[str, Any]]:
        """The messages that the page has been told and has not taken, without the sound."""
        waiting = [self._to_page.get_nowait() for _ in range(self._to_page.qsize())]
        return [json.loads(message) for message in waiting if isinstance(message, str)]

    async def receive(self) -> str | bytes:
        message = await self._from_page.get()
        if message is None:
            raise ConnectionGone
        return message

    async def receive_each(self, take: Callable[[str | bytes], None]) -> None:
        while True:
            take(await self.receive())

    def offer(self, message: str | bytes) -> bool:
        self._to_page.put_nowait(message)
        return True

    async def send(self, message: str | bytes) -> None:
        self._to_page.put_nowait(message)

    async def close(self, code: int, reason: str) -> None:
        self.closed = code
        self.over.set()
