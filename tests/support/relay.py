"""A relay between a client and the emulator, as a network that is slow, or dead in one direction.

It takes no more from a socket than it passes on, and its receive buffer is small: so what the line
does not carry waits at the sender, as on a real one.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal

type Way = Literal["pass", "stop", "swallow"]

_TICK_S = 0.02
_RECEIVE_BUFFER_BYTES = 4096
_PIECE_BYTES = 16_384


class Relay:
    """Carries bytes between `port` and the service's port.

    `up` and `down` say what happens to bytes of the client and of the service: they `pass`, are
    left in the sender's buffers (`stop`), or are taken and lost (`swallow`). `up_bytes_s` is the
    speed of the way up; None: as fast as it goes.
    """

    def __init__(self, service_port: int) -> None:
        self.up: Way = "pass"
        self.down: Way = "pass"
        self.up_bytes_s: float | None = None
        self.port = 0
        self.carried_up = 0
        """Bytes of the client that the service got."""
        self._service_port = service_port
        self._changed = asyncio.Event()

    def set(self, *, up: Way = "pass", down: Way = "pass") -> None:
        """Change what happens to bytes from now on."""
        self.up, self.down = up, down
        self._changed.set()
        self._changed = asyncio.Event()

    async def serve(self, listener: socket.socket) -> None:
        """Serve clients, each with a connection of its own, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            await self._accept(listener, tasks)

    async def _accept(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            service = socket.socket()
            for sock in (client, service):
                sock.setblocking(False)
            await loop.sock_connect(service, ("127.0.0.1", self._service_port))
            tasks.create_task(self._carry(client, service, "up"))
            tasks.create_task(self._carry(service, client, "down"))

    async def _carry(
        self, source: socket.socket, target: socket.socket, way: Literal["up", "down"]
    ) -> None:
        loop = asyncio.get_running_loop()
        with source, suppress(OSError):
            while True:
                how: Way = getattr(self, way)
                if how == "stop":
                    await self._changed.wait()
                    continue
                size = _PIECE_BYTES
                if way == "up" and (speed := self.up_bytes_s) is not None:
                    await asyncio.sleep(_TICK_S)
                    size = round(speed * _TICK_S)
                data = await loop.sock_recv(source, size)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                how = getattr(self, way)
                if how == "pass":
                    await loop.sock_sendall(target, data)
                    self.carried_up += len(data) if way == "up" else 0


@asynccontextmanager
async def relayed(service_port: int) -> AsyncGenerator[Relay]:
    """A relay to the service, which ends with the test."""
    relay = Relay(service_port)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    relay.port = listener.getsockname()[1]
    with listener:
        serving = asyncio.create_task(relay.serve(listener))
        yield relay
        serving.cancel()
        await asyncio.wait({serving})
