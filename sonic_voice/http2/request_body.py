"""A request's body whose writer writes directly to the HTTP/2 stream.

A body that the client iterates over needs a task that copies it, and each event then costs two
task switches and one iteration of the event loop. The writer of a `RequestBody` writes to the
stream itself. Only the writes before the stream exists are buffered, up to `MAX_EARLY_WRITES`, as
in a pipe: the writer's deadlines must not expire while the client is still connecting.
"""

import asyncio
from contextlib import suppress

from ..errors import ConnectionLost, SonicError
from .stream import H2Stream

MAX_EARLY_WRITES = 16
"""Maximum number of writes that are buffered before the stream exists; the next one waits."""


class RequestBody:
    """A request's body for one writing task.

    The writer calls `write` and `close`; the HTTP client calls `send_to` and `shut`.
    """

    def __init__(self) -> None:
        # None once the buffered writes have been sent: later ones go directly to the stream.
        self._early: list[bytes] | None = []
        self._stream: H2Stream | None = None
        self._ended = False
        self._over = False
        self._changed = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Send `data` and return when the socket has accepted it, or when it is buffered.

        When this is cancelled, part of `data` may have been sent.

        Args:
            data: Any number of bytes.

        Raises:
            SonicError: The stream has ended, or there will be none.
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

    def has_room(self, size: int) -> bool:
        """Return whether `write_now` may be called: earlier writes are sent, and none waits.

        Args:
            size: Number of bytes to write.
        """
        return self._early is None and self._stream is not None and self._stream.has_room(size)

    def write_now(self, data: bytes) -> None:
        """Send `data` at once. To be called only if there is room for it.

        Args:
            data: The bytes.
        """
        assert self._stream is not None
        self._stream.write_now(data)

    async def close(self) -> None:
        """End the body: the stream gets END_STREAM after the data. Idempotent."""
        self._ended = True
        if self._early is None and self._stream is not None:
            self._stream.end()

    async def send_to(self, stream: H2Stream) -> None:
        """Send the buffered writes to the stream, and let later ones go to it directly.

        Called by the client, in a task. Returns when the buffered writes have been sent.

        Args:
            stream: The request's stream.
        """
        self._stream = stream
        while self._early:
            early, self._early = b"".join(self._early), []
            self._changed.set()
            with suppress(SonicError):  # the stream has ended; the next write gets its error
                await stream.write(early)
        self._early = None
        self._changed.set()
        if self._ended:
            stream.end()

    def shut(self) -> None:
        """Make pending and later writes raise. Called by the client when the request is over."""
        self._over = True
        self._changed.set()
        if self._stream is not None:
            self._stream.shut_output()
