"""Lockstep: the user's audio goes on only when the service and the client have caught up.

    client  MeteredStream: payloads sent ────────► service  MeteredService: payloads handled
            payloads received ◄──────────────────           payloads emitted

Both ends count their payloads. A stream is *at rest* when the service has handled all that was sent
and the client has received all that the service emitted for it. The emulator's clock is the input
audio, so a conversation whose next chunk is sent only at rest has the same events at the same times
on every run, on the production transport and however busy the machine is.

The service runs in a thread of its own. It tells its counts to the event loop of the client. The
two ends of a stream find each other by the payload of `promptStart`, whose prompt name is unique.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from ..emulator.service.effects import (
    Break,
    Effect,
    Emit,
    Expiry,
    Fail,
    Finish,
    Recognize,
    Service,
    Speak,
)
from ..errors import SonicError
from ..transport import Sink, Stream, Transport

type Report = Callable[[int, int, bool], None]
"""A function `(handled, emitted, over)` that takes the counts of a service. It is called in the
thread of the service."""

type OnPayload = Callable[[int, str, bytes], None]
"""A function `(stream, direction, payload)` that is called with each payload: the number of the
stream from 1, `sent` or `received`, and the UTF-8 JSON of the event."""

_PROMPT_START = b'"promptStart"'


class MeteredService:
    """A service that reports how many inputs it has handled and how many outputs it has emitted.

    Args:
        service: The service.
        reports: The reports of the clients' streams, by the payload of `promptStart`.
    """

    def __init__(self, service: Service, reports: dict[bytes, Report]) -> None:
        self._service = service
        self._reports = reports
        self._report: Report | None = None
        self._handled = 0
        self._emitted = 0

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        if self._report is None and _PROMPT_START in payload:
            self._report = self._reports.pop(payload, None)
        self._handled += 1
        return self._count(self._service.receive(payload))

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """See `Service`."""
        return self._count(self._service.speech(key, pcm))

    def words(self, key: int, text: str | None) -> list[Effect]:
        """See `Service`."""
        return self._count(self._service.words(key, text))

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        """See `Service`."""
        return self._count(self._service.chat_piece(key, piece))

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        return self._count(self._service.end_of_input())

    def stalled(self) -> list[Effect]:
        """See `Service`."""
        return self._count(self._service.stalled())

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service`."""
        return self._count(self._service.expire(which))

    def _count(self, effects: list[Effect]) -> list[Effect]:
        """Count effects and report them, unless the host must answer the last one first."""
        self._emitted += sum(isinstance(effect, Emit) for effect in effects)
        last = effects[-1] if effects else None
        if self._report is not None and not isinstance(last, Speak | Recognize):
            self._report(self._handled, self._emitted, isinstance(last, Fail | Break | Finish))
        return effects


class StreamMeter:
    """The counts of one stream, at the client's end and as the service reported them."""

    def __init__(self, number: int, *, metered_service: bool) -> None:
        self.number = number
        """Number of the stream within its conversation, from 1."""
        self.metered_service = metered_service
        """False for a service in this event loop that answers at once, and reports nothing."""
        self.sent = 0
        self.received = 0
        self.handled = 0
        self.emitted = 0
        self.sending = False
        """True while the client waits for the connection to take a payload."""
        self.reading = False
        """True while the client waits for a payload, and has dealt with all earlier ones."""
        self.client_over = False
        """True once the stream is over for the client."""
        self.service_over_at_s: float | None = None
        """Time at which the service ended the stream, in seconds of the loop's clock."""

    @property
    def at_rest(self) -> bool:
        """True if neither end has anything left to deal with."""
        if self.client_over:
            return True
        if not self.reading or self.sending or self.service_over_at_s is not None:
            return False
        return not self.metered_service or (
            self.handled == self.sent and self.received == self.emitted
        )


class MeteredTransport:
    """A transport whose streams are counted."""

    def __init__(
        self,
        transport: Transport,
        reports: dict[bytes, Report] | None,
        *,
        on_change: Callable[[], None],
        on_payload: OnPayload,
    ) -> None:
        """Wrap a transport.

        Args:
            transport: The transport.
            reports: Where the reports of the streams are left for their `MeteredService`; None for
                a service that is not metered.
            on_change: Called whenever a count has changed.
            on_payload: Called with each payload.
        """
        self.meters: list[StreamMeter] = []
        """The meters of all streams, in the order of their opening."""
        self.opening = 0
        """Number of streams that are being opened."""
        self._transport = transport
        self._reports = reports
        self._on_change = on_change
        self._on_payload = on_payload

    async def open(self, model: str) -> "MeteredStream":
        """See `Transport`."""
        self.opening += 1
        try:
            stream = await self._transport.open(model)
        finally:
            self.opening -= 1
            self._on_change()
        meter = StreamMeter(len(self.meters) + 1, metered_service=self._reports is not None)
        self.meters.append(meter)
        return MeteredStream(
            stream, meter, self._reports, on_change=self._on_change, on_payload=self._on_payload
        )

    def forget_credentials(self) -> None:
        """See `Transport`."""
        self._transport.forget_credentials()

    async def aclose(self) -> None:
        """Do nothing: the line closes the transport inside."""


class MeteredStream:
    """A stream whose payloads are counted; see `MeteredTransport`."""

    def __init__(
        self,
        stream: Stream,
        meter: StreamMeter,
        reports: dict[bytes, Report] | None,
        *,
        on_change: Callable[[], None],
        on_payload: OnPayload,
    ) -> None:
        self._stream = stream
        self._meter = meter
        self._reports = reports
        self._on_change = on_change
        self._on_payload = on_payload
        self._loop = asyncio.get_running_loop()

    @property
    def credentials_expire_at(self) -> datetime | None:
        """See `Stream`."""
        return self._stream.credentials_expire_at

    async def send(self, payload: bytes) -> None:
        """See `Stream`."""
        if self._reports is not None and _PROMPT_START in payload:
            self._reports[payload] = self._report
        self._meter.sent += 1
        self._meter.sending = True
        self._on_payload(self._meter.number, "sent", payload)
        try:
            await self._stream.send(payload)
        finally:
            self._meter.sending = False
            self._on_change()

    def offer(self, payload: bytes) -> bool:
        """Send nothing; see `Stream`. All payloads go through `send`."""
        return False

    async def accepted(self) -> None:
        """See `Stream`."""
        try:
            await self._stream.accepted()
        except SonicError:
            self._end()
            raise

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """Return the next payload; see `Stream`. The sink is never called."""
        self._meter.reading = True
        self._on_change()
        try:
            payload = await self._stream.receive()
        except SonicError:
            self._end()
            raise
        self._meter.reading = False
        if payload is None:
            self._end()
        else:
            self._meter.received += 1
            self._on_payload(self._meter.number, "received", payload)
            self._on_change()
        return payload

    async def end_input(self) -> None:
        """See `Stream`."""
        await self._stream.end_input()

    def abort(self, error: SonicError) -> None:
        """See `Stream`."""
        self._end()
        self._stream.abort(error)

    async def aclose(self) -> None:
        """See `Stream`."""
        self._end()
        await self._stream.aclose()

    def _end(self) -> None:
        self._meter.client_over = True
        self._on_change()

    def _report(self, handled: int, emitted: int, over: bool) -> None:
        """Take the counts of the service. Called in its thread."""
        with suppress(RuntimeError):  # the test and its loop may be over
            self._loop.call_soon_threadsafe(self._take_report, handled, emitted, over)

    def _take_report(self, handled: int, emitted: int, over: bool) -> None:
        self._meter.handled, self._meter.emitted = handled, emitted
        if over and self._meter.service_over_at_s is None:
            self._meter.service_over_at_s = self._loop.time()
        self._on_change()
