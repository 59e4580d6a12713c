"""Hold sessions of one kind in real time, as a client process of the benchmark `sessions`.

    python -m scripts.bench.session_client ours|bare|floor|harness --sessions 10 --seconds 20

`ours` is `converse` over `BedrockTransport`; `ours-pure` is the same without the packages of the
extra `fast`, and `ours-sdk` with the SDK's way of events. `floor` is the least that Python can do
(`floor_client`). `harness` reads the microphones and sends nothing. `bare` is the AWS SDK over its
CRT client, written like the SDK's samples: a client for each session, one task that sends, one that
receives, `json` and `base64` and nothing else. (One client for all sessions would put them on one
connection: 15 % less CPU and a twentieth of the memory, at twice the latency.) Source and sink are
the same objects for both. The emulator's endpoint and CA are in the environment, as for any
program.

One session runs before the others, so that none of them spends time on what is loaded and set up
once. Then the sessions open one after another, run for `SETTLE_S`, and the window of `--seconds`
begins. CPU time (of all threads) and latencies are those of the window; opening and closing are
outside of it. The process prints a `ClientReport` as JSON.

Every frame begins with a `Stamp`, in both directions.
"""

import argparse
import asyncio
import gc
import json
import math
import sys
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

from scripts.bench.client_events import (
    CLOSING_EVENTS,
    audio_payload,
    event_payload,
    opening_events,
)
from scripts.bench.common import (
    FRAME_S,
    INPUT_FORMAT,
    MODEL,
    OUTPUT_FORMAT,
    Kind,
    Stamp,
    resident_bytes,
)

if TYPE_CHECKING:
    from aws_sdk_bedrock_runtime.models import (
        InvokeModelWithBidirectionalStreamInput,
        InvokeModelWithBidirectionalStreamOperationOutput,
        InvokeModelWithBidirectionalStreamOutput,
    )
    from smithy_core.aio.eventstream import DuplexEventStream

    from sonic_voice.bedrock.events import EventPath

    type SdkStream = DuplexEventStream[
        InvokeModelWithBidirectionalStreamInput,
        InvokeModelWithBidirectionalStreamOutput,
        InvokeModelWithBidirectionalStreamOperationOutput,
    ]

WARM_UP_S = 1.0
"""Length of the session that runs before the others, in seconds."""
SETTLE_S = 1.0
"""Time from the opening of the last session to the window, in seconds."""

FAST_PACKAGES = ("orjson", "pybase64")
"""Packages of the extra `fast` that are imported if they are installed."""

SYSTEM = "You are the other end of a benchmark."
"""System prompt of every session."""


@dataclass(frozen=True, slots=True)
class ClientReport:
    """The measurements of a client process in its window.

    Memory is resident memory, and 0 where the system does not tell it.
    """

    sessions: int
    """Number of concurrent sessions."""
    cpu_s: float
    """CPU time of all threads in the window, in seconds."""
    window_s: float
    """Length of the window, in seconds."""
    idle_bytes: int
    """Memory before any session, with all imports of an application."""
    warm_bytes: int
    """Memory after the first session, which the next one will use again."""
    live_bytes: int
    """Memory with all sessions."""
    event_ns: list[int]
    """Latencies from the emulator's emission of audio to the session's owner, in nanoseconds."""
    flush_ns: list[int]
    """Latencies from the emulator's emission of an interruption to the flush, in nanoseconds."""
    frames: int = 0
    """Number of frames that the microphones gave in the window. On a machine that is overloaded
    they are fewer than were due."""

    @property
    def cpu_s_per_minute(self) -> float:
        """CPU time for a session-minute, in seconds."""
        return self.cpu_s / self.sessions / (self.window_s / 60)

    @property
    def rss_mib(self) -> float:
        """Memory of all sessions and of the modules that they loaded, in MiB."""
        return (self.live_bytes - self.idle_bytes) / 2**20

    @property
    def rss_kib_per_session(self) -> float:
        """Memory of each session after the first, in KiB; NaN if there is only one."""
        further = self.sessions - 1
        return (self.live_bytes - self.warm_bytes) / further / 2**10 if further else math.nan


@dataclass(slots=True)
class Window:
    """The kinds of frames that sessions send now, and the latencies that they measure."""

    first: Kind = Kind.WARM
    """Kind of the first frame of a session."""
    others: Kind = Kind.WARM
    """Kind of all other frames."""
    over: bool = False
    """True if the sessions should end."""
    event_ns: list[int] = field(default_factory=lambda: list[int]())
    """See `ClientReport`."""
    flush_ns: list[int] = field(default_factory=lambda: list[int]())
    """See `ClientReport`."""
    frames: int = 0
    """See `ClientReport`."""


class Microphone:
    """An `AudioSource` that gives a frame at once and then one for each length of a frame.

    The frames of several microphones are spread over this time, because people do not speak
    synchronously.

    Args:
        window: The window of the run.
        phase: Position of this microphone's frames within the length of one, from 0 to 1.
        frame_s: Length of a frame, in seconds.
    """

    done = False

    def __init__(self, window: Window, phase: float, frame_s: float = FRAME_S) -> None:
        self.format = INPUT_FORMAT
        self.speaking = asyncio.Event()
        """Event that is set once the first frame has been sent."""
        self._window = window
        self._frame_s = frame_s
        self._phase_s = phase * frame_s
        self._opened_ns = 0
        self._number = 0
        self._tick_s = 0.0

    def note_opening(self) -> None:
        """Record that the session is being opened now."""
        self._opened_ns = time.monotonic_ns()

    async def read(self) -> bytes:
        """Wait for the next frame and return it, with a stamp; return `b""` at the end."""
        number = self._number
        self._number += 1
        if number == 0:
            begun = math.ceil(time.monotonic() / self._frame_s)
            self._tick_s = self._phase_s + self._frame_s * begun
            return Stamp(self._window.first, 0, self._opened_ns).frame(INPUT_FORMAT, self._frame_s)
        self.speaking.set()
        await asyncio.sleep(self._tick_s - time.monotonic())
        self._tick_s += self._frame_s
        if self._window.over:
            return b""
        self._window.frames += self._window.others == Kind.COUNTED
        stamp = Stamp(self._window.others, number, time.monotonic_ns())
        return stamp.frame(INPUT_FORMAT, self._frame_s)

    def now(self) -> float:
        """See `AudioSource`."""
        return time.monotonic()

    async def aclose(self) -> None:
        """See `AudioSource`."""


class TimingSink:
    """An `AudioSink` that measures latencies and plays nothing."""

    pending_s = 0.0

    def __init__(self, window: Window) -> None:
        self.format = OUTPUT_FORMAT
        self._window = window
        self._flushed_ns = 0

    def play(self, turn: int, pcm: bytes) -> None:
        """Record the latency of a frame, and of the interruption before it.

        Args:
            turn: Ignored.
            pcm: The frame.

        Raises:
            ValueError: The frame has no stamp, or follows an interruption without a flush.
        """
        now_ns = time.monotonic_ns()
        stamp = Stamp.of(pcm)
        if stamp is None:
            raise ValueError("the emulator has sent audio without a stamp")
        if stamp.marker_ns and stamp.marker_ns > self._flushed_ns:
            raise ValueError("an interruption was not acted on before the audio that followed")
        if stamp.kind == Kind.COUNTED:
            self._window.event_ns.append(now_ns - stamp.at_ns)
            if stamp.marker_ns:
                self._window.flush_ns.append(self._flushed_ns - stamp.marker_ns)

    def flush(self) -> None:
        """Record the time."""
        self._flushed_ns = time.monotonic_ns()

    def played_ms(self, turn: int) -> int:
        """Return 0, because nothing is played.

        Args:
            turn: Ignored.
        """
        return 0

    async def aclose(self) -> None:
        """See `AudioSink`."""


type Talk = Callable[[Microphone, TimingSink], Coroutine[Any, Any, None]]
"""A function that holds one session until the microphone ends."""


@asynccontextmanager
async def our_sessions(event_path: "EventPath" = "fast") -> AsyncGenerator[Talk]:
    """Yield a function that holds sessions by `converse`, over one transport.

    Args:
        event_path: See `BedrockTransport`.
    """
    from sonic_voice import BedrockTransport, Session, SessionConfig, converse

    config = SessionConfig(model=MODEL, system=SYSTEM)
    transport = BedrockTransport(event_path=event_path)

    async def talk(microphone: Microphone, sink: TimingSink) -> None:
        microphone.note_opening()
        async with Session.open(config, transport) as session:
            await converse(session, microphone, sink)

    try:
        yield talk
    finally:
        await transport.aclose()


def our_sessions_by_the_sdk() -> AbstractAsyncContextManager[Talk]:
    """Return `our_sessions` with the SDK's signer and codec for each event."""
    return our_sessions("sdk")


def our_sessions_without_packages() -> AbstractAsyncContextManager[Talk]:
    """Return `our_sessions` with JSON and base64 of the standard library."""
    modules = cast(dict[str, Any], sys.modules)
    modules |= dict.fromkeys(FAST_PACKAGES)  # to import one of them fails
    return our_sessions()


@asynccontextmanager
async def bare_sessions() -> AsyncGenerator[Talk]:
    """Yield a function that holds sessions by the SDK alone, over its CRT client."""
    from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
    from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
    from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOperationInput
    from smithy_http.aio.crt import AWSCRTHTTPClient

    async def talk(microphone: Microphone, sink: TimingSink) -> None:
        config = await AsyncBedrockRuntimeConfig.resolve(transport=AWSCRTHTTPClient())
        client = AsyncBedrockRuntimeClient(config)
        microphone.note_opening()
        stream = await client.invoke_model_with_bidirectional_stream(
            InvokeModelWithBidirectionalStreamOperationInput(model_id=MODEL)
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_send_bare(stream, microphone))
            tasks.create_task(_receive_bare(stream, sink))
        await client.close()

    yield talk


async def _send_bare(stream: "SdkStream", microphone: Microphone) -> None:
    from aws_sdk_bedrock_runtime.models import (
        BidirectionalInputPayloadPart,
        InvokeModelWithBidirectionalStreamInputChunk,
    )

    async def send(payload: bytes) -> None:
        part = BidirectionalInputPayloadPart(bytes_=payload)
        await stream.input_stream.send(InvokeModelWithBidirectionalStreamInputChunk(value=part))

    for name, body in opening_events(SYSTEM):
        await send(event_payload(name, body))
    while pcm := await microphone.read():
        await send(audio_payload(pcm))
    for name, body in CLOSING_EVENTS:
        await send(event_payload(name, body))
    await stream.input_stream.close()


async def _receive_bare(stream: "SdkStream", sink: TimingSink) -> None:
    from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOutputChunk

    _, output = await stream.await_output()
    while (received := await output.receive()) is not None:
        if not isinstance(received, InvokeModelWithBidirectionalStreamOutputChunk):
            raise TypeError(f"the emulator answered {received}")
        event = json.loads(received.value.bytes_ or b"{}")["event"]
        if "audioOutput" in event:
            sink.play(0, b64decode(event["audioOutput"]["content"]))
        elif "textOutput" in event and '{ "interrupted" : true }' in event["textOutput"]["content"]:
            sink.flush()


@asynccontextmanager
async def floor_sessions() -> AsyncGenerator[Talk]:
    """Yield a function that holds sessions by `floor_client`, with one TLS context for all."""
    from scripts.bench.floor_client import connect_floor, floor_context

    context = floor_context()

    async def talk(microphone: Microphone, sink: TimingSink) -> None:
        def receive(event: dict[str, Any]) -> None:
            if "audioOutput" in event:
                sink.play(0, b64decode(event["audioOutput"]["content"]))
            elif "textOutput" in event and "interrupted" in event["textOutput"]["content"]:
                sink.flush()

        microphone.note_opening()
        connection = await connect_floor(context, receive)
        for name, body in opening_events(SYSTEM):
            await connection.send(event_payload(name, body))
        while pcm := await microphone.read():
            await connection.send(audio_payload(pcm))
        for name, body in CLOSING_EVENTS:
            await connection.send(event_payload(name, body))
        await connection.end()
        await connection.closed

    yield talk


@asynccontextmanager
async def no_sessions() -> AsyncGenerator[Talk]:
    """Yield a function that reads the microphone and sends nothing: the harness alone."""

    async def talk(microphone: Microphone, sink: TimingSink) -> None:
        while await microphone.read():
            pass

    yield talk


def _resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not tell it."""
    try:
        return resident_bytes()
    except OSError:
        return 0


async def measure(
    talk: Talk,
    sessions: int,
    seconds: float,
    frame_s: float = FRAME_S,
    *,
    tolerate_slow_end: bool = False,
) -> ClientReport:
    """Hold sessions and return their figures.

    Args:
        talk: Function that holds one session.
        sessions: Number of concurrent sessions.
        seconds: Length of the window, in seconds.
        frame_s: Length of a frame of the user's audio, in seconds.
        tolerate_slow_end: Whether sessions may miss the deadline of their end after the window, as
            they do on a machine that is overloaded.
    """
    idle_bytes = _resident_bytes()
    await _warm_up(talk)
    gc.collect()
    warm_bytes = _resident_bytes()
    window = Window(first=Kind.OPENED)
    cpu_s = window_s = 0.0
    live_bytes = warm_bytes
    try:
        async with asyncio.TaskGroup() as tasks:
            for index in range(sessions):
                microphone = Microphone(window, index / sessions, frame_s)
                tasks.create_task(talk(microphone, TimingSink(window)))
                await microphone.speaking.wait()
            await asyncio.sleep(SETTLE_S)
            window.others = Kind.COUNTED
            began_s, began_cpu_s = time.monotonic(), time.process_time()
            await asyncio.sleep(seconds)
            cpu_s, window_s = time.process_time() - began_cpu_s, time.monotonic() - began_s
            live_bytes = _resident_bytes()
            window.others = Kind.WARM
            window.over = True
    except* Exception:
        if not (window.over and tolerate_slow_end):
            raise
    memory = (idle_bytes, warm_bytes, live_bytes)
    return ClientReport(
        sessions, cpu_s, window_s, *memory, window.event_ns, window.flush_ns, window.frames
    )


async def _warm_up(talk: Talk) -> None:
    window = Window()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk(Microphone(window, 0), TimingSink(window)))
        await asyncio.sleep(WARM_UP_S)
        window.over = True


KINDS: dict[str, Callable[[], AbstractAsyncContextManager[Talk]]] = {
    "ours": our_sessions,
    "ours-pure": our_sessions_without_packages,
    "ours-sdk": our_sessions_by_the_sdk,
    "bare": bare_sessions,
    "floor": floor_sessions,
    "harness": no_sessions,
}


async def main() -> None:
    """Hold the sessions that the command line asks for, and print the report."""
    parser = argparse.ArgumentParser(description="Client process of the benchmark `sessions`.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--frame-ms", type=float, default=1000 * FRAME_S)
    parser.add_argument("--tolerate-slow-end", action="store_true")
    options = parser.parse_args()
    async with KINDS[options.kind]() as talk:
        report = await measure(
            talk,
            options.sessions,
            options.seconds,
            options.frame_ms / 1000,
            tolerate_slow_end=options.tolerate_slow_end,
        )
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    asyncio.run(main())
