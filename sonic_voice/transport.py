"""The network port: what a session needs of a connection, and an in-memory pair of it.

A `Transport` opens streams to one model; a `Stream` carries payloads both ways. The AWS SDK
stands behind it in `bedrock`, a tape in `recording`, and in tests the far end of `MemoryTransport`.

The contract of a `Stream`:

- One task sends and one task receives; the two do not wait for each other.
- `send` may be cancelled only if the stream is then thrown away: signatures form a chain.
- `receive` is never cancelled half-way by its owner: it ends by itself after `end_input` or
  `abort`. It returns None at the service's end of stream and raises `SonicError` for all else.
- Once the stream is over, for whatever reason, pending and later sends raise instead of waiting.
- `aclose` is idempotent and leaves no task, socket or thread of the stream behind.
"""

import asyncio
from typing import Protocol

from .errors import ConnectionLost, SonicError


class Stream(Protocol):
    """One open stream to the model; see the module's contract."""

    async def send(self, payload: bytes) -> None:
        """Put one payload on the wire; returns when the connection took it."""
        ...

    async def accepted(self) -> None:
        """Wait until the service took the request; it waits for our first events to do so.

        Raises what the service or the network refused it with. Called by the receiving task,
        once, before the first `receive`.
        """
        ...

    async def receive(self) -> bytes | None:
        """The next payload of the service, or None at the end of the stream."""
        ...

    async def end_input(self) -> None:
        """Say that nothing more will be sent: the empty signed frame, then END_STREAM."""
        ...

    def abort(self, error: SonicError) -> None:
        """End the stream at once; a pending `receive` and `send` raise `error`."""
        ...

    async def aclose(self) -> None:
        """Release everything. After `end_input` and a `receive` of None it is a clean end."""
        ...


class Transport(Protocol):
    """Opens streams. One transport serves any number of them."""

    async def open(self, model: str) -> Stream:
        """A new stream to `model`. Does not wait for the service's first answer."""
        ...

    async def aclose(self) -> None:
        """Close what the streams share."""
        ...


class MemoryStream:
    """A stream whose far end is the test: what was sent is in `sent`, answers go in by `deliver`.

    Clearing `writable` makes sends wait, as a peer that does not read does.
    """

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed = False
        self.writable = asyncio.Event()
        self.writable.set()
        self._answers: asyncio.Queue[bytes | SonicError | None] = asyncio.Queue()
        self._over: SonicError | None = None

    def deliver(self, payload: bytes) -> None:
        """One payload from the service."""
        self._answers.put_nowait(payload)

    def finish(self, error: SonicError | None = None) -> None:
        """The service ends its side; with `error`, it breaks the stream."""
        self._answers.put_nowait(error)
        if error is not None:
            self._over = error
            self.writable.set()

    async def send(self, payload: bytes) -> None:
        """See `Stream`."""
        await self.writable.wait()
        if self._over is not None:
            raise self._over
        self.sent.put_nowait(payload)

    async def accepted(self) -> None:
        """See `Stream`."""

    async def receive(self) -> bytes | None:
        """See `Stream`."""
        answer = await self._answers.get()
        if isinstance(answer, SonicError):
            raise answer
        return answer

    async def end_input(self) -> None:
        """See `Stream`."""
        self.sent.put_nowait(None)

    def abort(self, error: SonicError) -> None:
        """See `Stream`."""
        self.finish(error)

    async def aclose(self) -> None:
        """See `Stream`."""
        if not self.closed:
            self.closed = True
            self.finish(ConnectionLost("The stream was closed.", reason="ended"))


class MemoryTransport:
    """A transport of `MemoryStream`s; `streams` holds all that were opened, in order."""

    def __init__(self) -> None:
        self.streams: list[MemoryStream] = []
        self.opened: asyncio.Queue[MemoryStream] = asyncio.Queue()
        self.closed = False

    async def open(self, model: str) -> MemoryStream:
        """See `Transport`."""
        stream = MemoryStream()
        self.streams.append(stream)
        self.opened.put_nowait(stream)
        return stream

    async def aclose(self) -> None:
        """See `Transport`."""
        self.closed = True
