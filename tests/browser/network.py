"""A network between page and server that can be cut, or die without a word."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

type Health = Literal["up", "refusing", "dead"]


@dataclass
class Network:
    """Forwards connections at `url` to `port`, which is to be set before the first."""

    url: str
    port: int = 0
    _health: Health = "up"
    _open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = field(
        default_factory=dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]]
    )
    _dead: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    def cut(self) -> None:
        """Every connection is reset, and new ones are, too."""
        self._health = "refusing"
        for writers in self._open.values():
            _reset(*writers)

    def die(self) -> None:
        """Nothing arrives any more, and nobody is told. What is open now never comes back."""
        self._health = "dead"
        self._dead |= {writer for writers in self._open.values() for writer in writers}

    def mend(self) -> None:
        """New connections are forwarded again."""
        self._health = "up"

    async def forward(self, near: asyncio.StreamReader, page: asyncio.StreamWriter) -> None:
        """One connection, as long as it lasts."""
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = (page,)
        try:
            if self._health == "refusing":
                _reset(page)
            elif self._health == "dead":
                self._dead.add(page)
                await near.read()
            else:
                far, server = await asyncio.open_connection("127.0.0.1", self.port)
                self._open[task] = (page, server)
                await asyncio.gather(self._copy(near, server), self._copy(far, page))
        except OSError:
            return  # one end is gone
        finally:
            _reset(*self._open.pop(task))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65_536):
                if sink not in self._dead:
                    sink.write(chunk)
                    await sink.drain()
        finally:
            if sink not in self._dead:
                sink.close()

    async def close(self) -> None:
        """Returns when nothing is forwarded any more."""
        self.cut()
        await asyncio.gather(*self._open, return_exceptions=True)


def _reset(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()


@asynccontextmanager
async def network() -> AsyncGenerator[Network]:
    """A network that is up."""
    made: list[Network] = []

    async def forward(near: asyncio.StreamReader, page: asyncio.StreamWriter) -> None:
        await made[0].forward(near, page)

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        made.append(Network(f"http://{host}:{port}/"))
        try:
            yield made[0]
        finally:
            await made[0].close()
