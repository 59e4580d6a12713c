"""A relay in front of a server that breaks one connection in the middle of its TLS handshake."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

_PIECE_BYTES = 65_536


class HandshakeBreaker:
    """Relays connections to a port, but closes one when the client's first bytes have come.

    Entering it returns the port at which it listens.

    Args:
        port: The port of the server.
        broken: Number of the connection that breaks, from 1.
        on_break: Called when it breaks.
    """

    def __init__(self, port: int, broken: int, on_break: Callable[[], object]) -> None:
        self._port = port
        self._broken = broken
        self._on_break = on_break
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._connections += 1
        if self._connections == self._broken:
            await reader.read(_PIECE_BYTES)
            self._on_break()
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_copy(reader, server_writer))
                tasks.create_task(_copy(server_reader, writer))
        finally:
            writer.close()
            server_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()
