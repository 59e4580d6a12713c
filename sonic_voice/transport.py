"""The network port: the connection that a session needs, and an in-memory pair for tests.

A `Transport` opens streams to a model; a `Stream` carries payloads in both directions. `bedrock`
implements them with the AWS SDK. In tests, the test is the far end of a `MemoryTransport`.

The contract of a `Stream`:

- What is sent by `offer` and `send` arrives in the order of the calls.
- One task sends and one task receives; neither waits for the other.
- `send` may be cancelled only if the stream is then thrown away, because signatures form a chain.
- The owner never cancels `receive` half-way: it ends by itself after `end_input` or `abort`. It
  returns None at the service's end of stream and raises `SonicError` for every other end.
- Once the stream is over, for any reason, pending and later sends raise instead of waiting.
- `aclose` is idempotent and leaves no task, socket or thread of the stream behind.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from .errors import ConnectionLost, SonicError

type Sink = Callable[[bytes], bool]
"""A function that takes a payload and returns True, or returns False. It must not raise."""


class Stream(Protocol):
    """An open stream to the model. The module states its contract."""

    @property
    def credentials_expire_at(self) -> datetime | None:
        """Time at which the credentials of the stream expire; None if they do not."""
        ...

    async def send(self, payload: bytes) -> None:
        """Send one payload, and return when the connection took it.

        Cancelling it makes the stream unusable.

        Args:
            payload: The UTF-8 JSON of one input event.

        Raises:
            SonicError: The stream is over.
        """
        ...

    def offer(self, payload: bytes) -> bool:
        """Send one payload at once and whole, or do nothing. Never waits.

        It is called only while no `send` is in progress.

        Args:
            payload: The UTF-8 JSON of one input event.

        Returns:
            Whether it was sent. False does not say why: `send` waits for room, or raises the error
            that ended the stream.
        """
        ...

    async def accepted(self) -> None:
        """Wait until the service took the request, which it does after our first events.

        To be called once by the receiving task, before the first `receive`.

        Raises:
            SonicError: What the service or the network refused the request with.
        """
        ...

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """Return the next payload of the service, or None at the end of the stream.

        Args:
            sink: Called with each payload that arrives while this waits, which goes on waiting as
                long as the sink takes them. A payload that it does not take is returned. A stream
                may also return all payloads and never call it.

        Raises:
            SonicError: The stream ended in any other way.
        """
        ...

    async def end_input(self) -> None:
        """End our side of the stream: send the empty signed frame, then END_STREAM."""
        ...

    def abort(self, error: SonicError) -> None:
        """End the stream at once.

        Args:
            error: The error that a pending `receive` and `send` raise.
        """
        ...

    async def aclose(self) -> None:
        """Release everything. It is a clean end after `end_input` and a `receive` of None."""
        ...


class Transport(Protocol):
    """A factory of streams. One transport serves any number of them."""

    async def open(self, model: str) -> Stream:
        """Return a new stream to a model, without waiting for the service's first answer.

        Args:
            model: The bare id of the model.

        Raises:
            SonicError: The connection cannot be made, or the model is not offered there.
        """
        ...

    def forget_credentials(self) -> None:
        """Look up credentials anew for the next stream, because the service refused the last."""
        ...

    async def aclose(self) -> None:
        """Release the resources that the streams share."""
        ...


class MemoryStream:
    """A stream whose far end is a test.

    Args:
        direct: Whether `offer` sends while the stream is open and writable, and sinks are called.
    """

    def __init__(self, *, direct: bool = False) -> None:
        self.credentials_expire_at: datetime | None = None
        self.sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        """Payloads sent by the client; None stands for the end of its input."""
        self.closed = False
        self.writable = asyncio.Event()
        """Clearing it makes sends wait, as a peer does that does not read."""
        self.writable.set()
        self._answers: asyncio.Queue[bytes | SonicError | None] = asyncio.Queue()
        self._over: SonicError | None = None
        self._direct = direct
        self._sink: Sink | None = None

    def deliver(self, payload: bytes) -> None:
        """Deliver one payload as the service.

        Args:
            payload: The UTF-8 JSON of one output event.
        """
        if self._sink is not None and self._answers.empty() and self._sink(payload):
            return
        self._answers.put_nowait(payload)

    def finish(self, error: SonicError | None = None) -> None:
        """End the service's side of the stream.

        Args:
            error: The error that breaks the stream; None for a regular end.
        """
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

    def offer(self, payload: bytes) -> bool:
        """See `Stream`."""
        if not self._direct or self._over is not None or not self.writable.is_set():
            return False
        self.sent.put_nowait(payload)
        return True

    async def accepted(self) -> None:
        """See `Stream`."""

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """See `Stream`."""
        self._sink = sink if self._direct else None
        try:
            answer = await self._answers.get()
        finally:
            self._sink = None
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
    """A transport of `MemoryStream`s.

    Args:
        direct: Whether its streams send by `offer` and call sinks.
    """

    def __init__(self, *, direct: bool = False) -> None:
        self.streams: list[MemoryStream] = []
        """All streams that were opened, in order."""
        self.opened: asyncio.Queue[MemoryStream] = asyncio.Queue()
        """The same streams, for a test that waits for the next one."""
        self.closed = False
        self.credentials_forgotten = 0
        """Number of times that credentials were to be looked up anew."""
        self._direct = direct

    def forget_credentials(self) -> None:
        """See `Transport`."""
        self.credentials_forgotten += 1

    async def open(self, model: str) -> MemoryStream:
        """See `Transport`."""
        stream = MemoryStream(direct=self._direct)
        self.streams.append(stream)
        self.opened.put_nowait(stream)
        return stream

    async def aclose(self) -> None:
        """See `Transport`."""
        self.closed = True
