"""VirtualService: an emulator and its client on virtual time, faster than real time.

    async def conversation() -> None:
        async with VirtualService("scenario.yaml") as transport:
            ...

    run_in_virtual_time(conversation())

The client's transport and the emulator are the ones used everywhere, with TLS and HTTP/2 between
them. The clock of the loop stands still while a payload is on its way between them, or while the
emulator carries out what a payload asks for. Each payload is therefore answered at the moment at
which it was sent, however slow the machine is, and a conversation has the same events at the same
times in every run.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Protocol

from .errors import SonicError
from .local_service import LocalService
from .transport import Sink, Stream, Transport
from .virtual_time import VirtualTimeLoop


class VirtualService:
    """An async context manager that runs an emulator, and yields a transport to it.

    It must be entered in a `VirtualTimeLoop`.

    Args:
        arguments: The arguments of `LocalService`.
        settings: Its keyword arguments.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._service = LocalService(*arguments, **settings)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Transport:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop), "a VirtualService needs a VirtualTimeLoop"
        async with AsyncExitStack() as stack:
            with loop.hold():
                transport = await stack.enter_async_context(self._service)
            watched = WatchedTransport(transport, self._service.emulator.streams)
            stack.enter_context(loop.wait_while(watched.in_flight))
            self._stack = stack.pop_all()
        return watched

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


class ServedStream(Protocol):
    """The counts that the service keeps of a stream."""

    answered_events: int
    """Number of events that it received and has dealt with."""
    sent_events: int
    """Number of events that it has sent."""
    end: Any
    """The kind of end with which it has ended the stream; empty while it is open."""


class WatchedTransport:
    """A transport that counts what its streams send and receive.

    Args:
        transport: The transport to a service in this process.
        served: What the service counts of each stream, in the order in which it took them. It
            may contain earlier streams, which are ignored.
    """

    def __init__(self, transport: Transport, served: Sequence[ServedStream]) -> None:
        self._transport = transport
        self._served = served
        self._ignored = len(served)
        self._opening = 0
        self._streams: list[WatchedStream] = []

    async def open(self, model: str) -> Stream:
        """See `Transport`."""
        self._opening += 1
        try:
            stream = WatchedStream(await self._transport.open(model))
        finally:
            self._opening -= 1
        self._streams.append(stream)
        return stream

    def forget_credentials(self) -> None:
        """See `Transport`."""
        self._transport.forget_credentials()

    async def aclose(self) -> None:
        """See `Transport`."""
        await self._transport.aclose()

    def in_flight(self) -> bool:
        """Return whether a payload is on its way, or is being answered."""
        if self._opening:
            return True
        taken = [stream for stream in self._streams if not stream.refused]
        served = list(self._served)[self._ignored :]
        return any(
            stream.awaits(served[at] if at < len(served) else None)
            for at, stream in enumerate(taken)
        )


class WatchedStream:
    """A stream that counts what it sends and receives.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: Stream) -> None:
        self.refused = False
        """True if the service has not taken the stream."""
        self._stream = stream
        self._sent = 0
        self._received = 0
        self._taken = False
        self._input_ended = False
        self._over = False

    def awaits(self, served: ServedStream | None) -> bool:
        """Return whether something is on its way on this stream.

        Args:
            served: What the service counts of it; None before the service has taken it.
        """
        if self._over or not self._sent:
            return False
        if served is None or not self._taken or self._input_ended or served.end:
            return True
        return self._sent > served.answered_events or self._received < served.sent_events

    @property
    def credentials_expire_at(self) -> datetime | None:
        """See `Stream`."""
        return self._stream.credentials_expire_at

    async def send(self, payload: bytes) -> None:
        """See `Stream`."""
        self._sent += 1
        await self._stream.send(payload)

    def offer(self, payload: bytes) -> bool:
        """Send nothing; see `Stream`. All payloads go through `send`."""
        return False

    async def accepted(self) -> None:
        """See `Stream`."""
        try:
            await self._stream.accepted()
        except BaseException:
            self.refused = self._over = True
            raise
        self._taken = True

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """Return the next payload; see `Stream`. The sink is never called."""
        try:
            payload = await self._stream.receive()
        except BaseException:
            self._over = True
            raise
        self._taken = True
        self._received += 1
        self._over = payload is None
        return payload

    async def end_input(self) -> None:
        """See `Stream`."""
        self._input_ended = True
        await self._stream.end_input()

    def abort(self, error: SonicError) -> None:
        """See `Stream`."""
        self._over = True
        self._stream.abort(error)

    async def aclose(self) -> None:
        """See `Stream`."""
        self._over = True
        await self._stream.aclose()
