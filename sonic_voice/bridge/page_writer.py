"""The way of messages, sound and pictures to the page, in this order of precedence.

    queues ──► wake ──► Socket.offer      at once, within the call that has filled a queue
        └────► send ──► Socket.send       in the task of the connection, while the page reads slowly

The task is not woken for what can be written at once. This saves most of the cost of a message.
"""

import asyncio
from contextlib import suppress
from typing import Any

from .closing import BridgeRefusal, Close
from .limits import BridgeLimits
from .messages import ALIVE
from .outbox import PageOutbox
from .picture_queue import PictureQueue
from .socket import Socket


class PageWriter:
    """The writer of one conversation, over any number of consecutive connections.

    Args:
        outbox: The queue of messages and sound.
        pictures: The queue of data of pictures, which waits while the outbox has anything.
        limits: The limits `alive_s` and `stuck_s`.
    """

    def __init__(self, outbox: PageOutbox, pictures: PictureQueue, limits: BridgeLimits) -> None:
        self._outbox = outbox
        self._pictures = pictures
        self._limits = limits
        self._socket: Socket | None = None
        """The connection that `wake` writes to; None while `send` writes, or there is none."""
        self._refused: str | bytes | None = None
        """The message that could not be written at once."""
        self._sendable = asyncio.Event()
        self._sent_s = 0.0
        """Time of the last message of this connection, in seconds of the loop's clock."""

    def queue(self, message: dict[str, Any]) -> None:
        """Queue a message, and send what is in the queues.

        Args:
            message: The message to the page (`messages`).
        """
        self._outbox.queue_message(message)
        self.wake()

    def wake(self) -> None:
        """Send what is in the queues. To be called after one was filled, or may be taken from."""
        socket = self._socket
        if socket is None:
            return
        while (item := self._outbox.take_next() or self._pictures.take_next()) is not None:
            if not socket.offer(item):
                self._refused, self._socket = item, None
                self._sendable.set()
                return
            self._sent_s = asyncio.get_running_loop().time()

    async def send(self, socket: Socket, ready: str) -> None:
        """Send the queues to a page until the connection is lost. One task at a time may do so.

        Args:
            socket: The connection to the page.
            ready: Its first message.

        Raises:
            ConnectionGone: If the connection is closed.
            BridgeRefusal: `TOO_SLOW`, if the page does not read.
        """
        self._refused = None  # the outbox repeats what an earlier connection has not received
        item: str | bytes = ready
        while True:
            await self._send(socket, item)
            if self._outbox.behind:
                raise BridgeRefusal(Close.TOO_SLOW)
            item = await self._next_item(socket)

    async def send_last(self, socket: Socket) -> None:
        """Send the messages that are in the outbox, and no sound, after `send` was cancelled.

        Args:
            socket: The connection to the page.

        Raises:
            ConnectionGone: If the connection is closed.
            BridgeRefusal: `TOO_SLOW`, if the page does not read.
        """
        if isinstance(self._refused, str):
            await self._send(socket, self._refused)
        while isinstance(item := self._outbox.take_next(), str):
            await self._send(socket, item)

    async def _next_item(self, socket: Socket) -> str | bytes:
        """Wait for a message that cannot be written at once; it is `ALIVE` after `alive_s`."""
        loop = asyncio.get_running_loop()
        self._sendable.clear()
        self._refused, self._socket = None, socket
        try:
            self.wake()
            while (item := self._refused) is None:
                alive_at_s = self._sent_s + self._limits.alive_s
                if loop.time() >= alive_at_s:
                    return ALIVE
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(alive_at_s):
                        await self._sendable.wait()
            self._refused = None
            return item
        finally:
            self._socket = None

    async def _send(self, socket: Socket, item: str | bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.stuck_s):
                await socket.send(item)
        except TimeoutError:
            raise BridgeRefusal(Close.TOO_SLOW) from None
        self._sent_s = asyncio.get_running_loop().time()
