"""A request's body that goes straight to the wire.

A body that is iterated over needs a task that carries it, and every event of the writer's then
costs two switches between tasks and a turn of the event loop. The writer of a `RequestBody` writes to
the stream itself. Only what it says before there is a stream is kept, up to `MAX_EARLY_WRITES`, as a
pipe would: it must not be held to its deadlines while the client still connects.
"""

import asyncio
from contextlib import suppress

from ..errors import ConnectionLost, SonicError
from .stream import H2Stream

MAX_EARLY_WRITES = 16


class RequestBody:
    """One task writes and closes; the HTTP client carries it to a stream, or shuts it."""

    def __init__(self) -> None:
        self._early: list[bytes] | None = []  # None: all is sent, and what comes goes straight
        self._stream: H2Stream | None = None
        self._ended = False
        self._over = False
        self._changed = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Send `data`; returns when the socket took it, or it is kept for the stream to come.

        Raises `SonicError` once the stream, or the way there, is over.
        """
        while self._early is not None and not self._over:
            if len(self._early) < MAX_EARLY_WRITES:
                self._early.append(data)
                return
            self._changed.clear()
            await self._changed.wait()
        if self._stream is None:
            raise ConnectionLost("The request is over; nothing can be sent.", reason="ended")
        await self._stream.write(data)

    async def close(self) -> None:
        """Nothing more will be written. Quiet if that is so already."""
        self._ended = True
        if self._early is None and self._stream is not None:
            self._stream.end()

    async def send_to(self, stream: H2Stream) -> None:
        """The client's task: here is the stream. Returns when what was early has been sent."""
        self._stream = stream
        while self._early:
            early, self._early = b"".join(self._early), []
            self._changed.set()
            with suppress(SonicError):  # the stream is over, and says so to who writes next
                await stream.write(early)
        self._early = None
        self._changed.set()
        if self._ended:
            stream.end()

    def shut(self) -> None:
        """The client's call: nobody takes any more; writes that wait, and later ones, raise."""
        self._over = True
        self._changed.set()
        if self._stream is not None:
            self._stream.shut_output()
