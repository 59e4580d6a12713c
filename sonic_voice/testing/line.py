"""The line: what a test connects the application under test to, and how time passes on it.

    test ──► CallerSource ──► application ──► MeteredTransport ──► service
                                  │
                                  └──► sink, observer ──► ConversationRecord

Time passes only while the test asks for it, a step of 32 ms at a time. In virtual time a step takes
as long as both ends need to deal with it, and the next one waits until they are at rest
(`lockstep`); while a tool of the application runs, no time passes. In real time, against AWS, a
step takes 32 ms.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from ..audio.ports import AudioSink, NullSink
from ..config import AudioFormat
from ..events import Event
from ..recording import Recorder
from ..transport import Transport
from ..virtual_clock import VirtualClock
from .exchange import ConversationRecord
from .lockstep import MeteredTransport, Report, StreamMeter

STEP_MS = 32
"""Length of a step, in ms: the window of the emulator's input clock, and the chunk that the
documentation recommends (reference 2.6)."""

STEP_TIMEOUT_S = 20.0
"""Maximum time that a step may take, in seconds of the wall clock. It is reached only if the
application or one of its tools hangs."""

TURNS_OF_THE_LOOP = 8
"""Number of times that the event loop is given to other tasks before they count as at rest. An
event passes through three tasks: the reader of the stream, the loop of the session's owner, and a
task of a tool."""

LOST_GRACE_S = 0.5
"""Time that a client has to notice that the service has ended or broken the stream, in seconds of
the wall clock."""


class LineStalled(AssertionError):
    """No time passes any more, because something does not come to rest."""


class CallerSource:
    """The caller's audio: what the test says, and silence. See `AudioSource`.

    It delivers a chunk only when it is given one.

    Args:
        format: Format of the audio.
        clock: Clock of the conversation.
        on_change: Called when the source is read, and when it is closed.
    """

    def __init__(
        self, format: AudioFormat, clock: Callable[[], float], on_change: Callable[[], None]
    ) -> None:
        self.format = format
        self.waiting = False
        """True while the application waits for a chunk, and has dealt with all earlier ones."""
        self.closed = False
        self._clock = clock
        self._on_change = on_change
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        """See `AudioSource`."""
        if self.closed and self._chunks.empty():
            return b""
        self.waiting = self._chunks.empty()
        self._on_change()
        try:
            return await self._chunks.get()
        finally:
            self.waiting = False

    def give(self, pcm: bytes) -> None:
        """Deliver a chunk.

        Args:
            pcm: s16le mono PCM.
        """
        self.waiting = False
        self._chunks.put_nowait(pcm)

    @property
    def done(self) -> bool:
        """False: a caller may always say more. The test ends the conversation."""
        return False

    def now(self) -> float:
        """Return the time of the conversation, in seconds."""
        return self._clock()

    async def aclose(self) -> None:
        """End the audio. See `AudioSource`."""
        self.hang_up()

    def hang_up(self) -> None:
        """End the audio: `read` returns `b""` from now on."""
        if not self.closed:
            self.closed = True
            self._chunks.put_nowait(b"")
            self._on_change()


class Line:
    """The connection over which an application under test converses.

    An application that holds its own conversation passes `transport` and `clock` to `Session.open`,
    and `source`, `sink` and `observer` to `converse`.
    """

    transport: MeteredTransport
    """The transport that opens streams to the service."""
    source: CallerSource
    """The audio of the caller."""
    sink: AudioSink
    """The loudspeaker of the caller."""
    clock: Callable[[], float]
    """The clock of the conversation, in seconds since it began."""
    record: ConversationRecord
    """The record of all events so far."""

    def __init__(
        self,
        transport: Transport,
        *,
        input: AudioFormat,
        output: AudioFormat,
        reports: dict[bytes, Report] | None,
        real_time: bool = False,
        hold_for_tools: bool = True,
        recorder: Callable[[Transport, Callable[[], float]], Recorder] | None = None,
    ) -> None:
        """Connect a line.

        Args:
            transport: The transport to the service. It is closed with the line.
            input: Format of the caller's audio.
            output: Format of the answers.
            reports: Reports of the metered service; None for a service that is not metered.
            real_time: Whether time passes at the pace of the wall clock, without lockstep.
            hold_for_tools: Whether no time passes while a tool runs.
            recorder: Returns the recorder of a tape for a transport and a clock. None: nothing is
                recorded.
        """
        self._changed = asyncio.Event()
        self._changes = 0
        self._real_time = real_time
        self._hold_for_tools = hold_for_tools
        self._began_s: float | None = None
        self._virtual = VirtualClock()
        self._bytes = 0
        self._pending = bytearray()
        self._open_calls: dict[str, str] = {}
        self._result_contents: dict[str, str] = {}
        self.payloads: list[tuple[int, str, bytes]] = []
        """All payloads: number of the stream, `sent` or `received`, UTF-8 JSON of the event."""
        self.clock = self._real_clock if real_time else self._virtual
        self._service = transport
        self._recorder = None if recorder is None else recorder(transport, self.clock)
        self.transport = MeteredTransport(
            self._recorder or transport,
            reports,
            on_change=self._change,
            on_payload=self._payload,
        )
        self.source = CallerSource(input, self.clock, self._change)
        self.sink = NullSink(output, now=self.clock)
        self.record = ConversationRecord(self.sink.played_ms)
        if self._recorder is not None:
            self.sink = self._recorder.sink(self.sink)

    def observer(self, event: Event, now: float) -> None:
        """Take an event of the conversation. It must receive them all; see `converse`.

        Args:
            event: The event.
            now: Its time, in seconds of the conversation's clock.
        """
        self.record(event, now)
        if self._recorder is not None:
            self._recorder.observer(event, now)

    async def aclose(self) -> None:
        """Close the transport, and complete the tape if one is recorded."""
        if self._recorder is not None:
            await self._recorder.aclose()
        await self._service.aclose()

    def queue_speech(self, pcm: bytes) -> None:
        """Have the caller say something in the next steps, after what was queued before.

        Args:
            pcm: s16le mono PCM at the rate of the source.
        """
        self._pending += pcm

    @property
    def speaking(self) -> bool:
        """True while the caller has not said all that was queued."""
        return bool(self._pending)

    @property
    def now_ms(self) -> int:
        """Time since the conversation began, in ms."""
        return round(1000 * self.clock())

    async def step(self, application: "asyncio.Future[Any]") -> None:
        """Let `STEP_MS` pass. Returns at once when the application is over.

        The line must be at rest.

        Args:
            application: The task of the application.

        Raises:
            LineStalled: The application does not come to rest.
        """
        size = self.source.format.size(STEP_MS / 1000)
        chunk = bytes(self._pending[:size])
        del self._pending[:size]
        if self._real_time:
            await self._wait_for_real_time()
        self._bytes += size
        self._virtual.advance_to(self.source.format.seconds(self._bytes))
        self.source.give(chunk.ljust(size, b"\0"))
        await self.rest(application)
        self.record.note_playback(self.clock())

    async def rest(self, application: "asyncio.Future[Any]") -> None:
        """Wait until the application and the service have dealt with everything.

        In real time it waits only until the application reads the next chunk.

        Args:
            application: The task of the application.

        Raises:
            LineStalled: They do not come to rest.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + STEP_TIMEOUT_S
        application.add_done_callback(self._application_over)
        try:
            while not application.done():
                self._changed.clear()
                if reason := self._unrest(loop.time()):
                    await self._wait_for_change(deadline_s, reason)
                    continue
                before = self._changes
                for _ in range(1 if self._real_time else TURNS_OF_THE_LOOP):
                    await asyncio.sleep(0)
                if before == self._changes and not self._unrest(loop.time()):
                    return
        finally:
            application.remove_done_callback(self._application_over)

    def hang_up(self) -> None:
        """End the caller's audio, which ends the conversation with a goodbye."""
        self._pending.clear()
        self.source.hang_up()

    # ------------------------------------------------------------------------------------------

    def _unrest(self, now_s: float) -> str:
        """Return what is not at rest, in words for a message; empty if everything is."""
        if not self.source.waiting:
            return "the application does not read the caller's audio"
        if self._real_time:
            return ""
        returned = self.record.returned_calls
        running = [name for call, name in self._open_calls.items() if call not in returned]
        if running and self._hold_for_tools:
            return f"a tool is still running: {', '.join(running)}"
        meters = [meter for meter in self.transport.meters if not meter.client_over]
        if self.transport.opening or (self.transport.meters and not meters):
            return "no stream to the service is open"
        if all(meter.at_rest or _is_given_up(meter, now_s) for meter in meters):
            return ""
        return "the service has not answered all that was sent"

    async def _wait_for_change(self, deadline_s: float, reason: str) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline_s:
            raise LineStalled(
                f"The conversation stands still at {self.now_ms / 1000:.2f} s, after "
                f"{STEP_TIMEOUT_S:g} s of waiting: {reason}."
            )
        try:
            # A broken stream is given up after `LOST_GRACE_S`, which is no change of its own.
            async with asyncio.timeout(LOST_GRACE_S):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _change(self) -> None:
        self._changes += 1
        self._changed.set()

    def _application_over(self, _: object) -> None:
        self._change()

    def _payload(self, stream: int, direction: str, payload: bytes) -> None:
        self.payloads.append((stream, direction, payload))
        if direction == "received" and b'"toolUse"' in payload:
            call = json.loads(payload)["event"].get("toolUse")
            if call is not None:
                self._open_calls[call["toolUseId"]] = call["toolName"]
        elif direction == "sent" and b'"toolResultInputConfiguration"' in payload:
            start = json.loads(payload)["event"]["contentStart"]
            tool_use = start["toolResultInputConfiguration"]["toolUseId"]
            self._result_contents[start["contentName"]] = tool_use
        elif direction == "sent" and self._result_contents and b'"contentEnd"' in payload:
            content = json.loads(payload)["event"]["contentEnd"]["contentName"]
            self._open_calls.pop(self._result_contents.pop(content, ""), None)

    def _real_clock(self) -> float:
        return 0.0 if self._began_s is None else time.monotonic() - self._began_s

    async def _wait_for_real_time(self) -> None:
        if self._began_s is None:
            self._began_s = time.monotonic()
        due_s = self.source.format.seconds(self._bytes) + STEP_MS / 1000
        await asyncio.sleep(max(0.0, due_s - self._real_clock()))


def _is_given_up(meter: StreamMeter, now_s: float) -> bool:
    """Return whether the service has ended a stream and the client will not notice it."""
    over_at_s = meter.service_over_at_s
    return over_at_s is not None and now_s - over_at_s > LOST_GRACE_S
