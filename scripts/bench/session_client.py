"""Hold sessions of one kind in real time, as a client process of the benchmark `sessions`.

    python -m scripts.bench.session_client ours|bare --sessions 10 --seconds 20

`ours` is `converse` over `BedrockTransport`. `bare` is the AWS SDK over its CRT client, written
like the SDK's samples: a client for each session, one task that sends, one that receives, `json`
and `base64` and nothing else. (One client for all sessions would put them on one connection: 15 %
less CPU and a twentieth of the memory, at twice the latency.) Source and sink are the same objects
for both. The emulator's endpoint and CA are in the environment, as for any program.

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
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

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

    type SdkStream = DuplexEventStream[
        InvokeModelWithBidirectionalStreamInput,
        InvokeModelWithBidirectionalStreamOutput,
        InvokeModelWithBidirectionalStreamOperationOutput,
    ]

WARM_UP_S = 1.0
"""Length of the session that runs before the others, in seconds."""
SETTLE_S = 1.0
"""Time from the opening of the last session to the window, in seconds."""

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


class Microphone:
    """An `AudioSource` that gives a frame at once and then one every 32 ms.

    The frames of several microphones are spread over the 32 ms, because people do not speak
    synchronously.

    Args:
        window: The window of the run.
        phase: Position of this microphone's frames in the 32 ms, from 0 to 1.
    """

    done = False

    def __init__(self, window: Window, phase: float) -> None:
        self.format = INPUT_FORMAT
        self.speaking = asyncio.Event()
        """Event that is set once the first frame has been sent."""
        self._window = window
        self._phase_s = phase * FRAME_S
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
            self._tick_s = self._phase_s + FRAME_S * math.ceil(time.monotonic() / FRAME_S)
            return Stamp(self._window.first, 0, self._opened_ns).frame(INPUT_FORMAT)
        self.speaking.set()
        await asyncio.sleep(self._tick_s - time.monotonic())
        self._tick_s += FRAME_S
        if self._window.over:
            return b""
        return Stamp(self._window.others, number, time.monotonic_ns()).frame(INPUT_FORMAT)

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
async def our_sessions() -> AsyncGenerator[Talk]:
    """Yield a function that holds sessions by `converse`, over one transport."""
    from sonic_voice import BedrockTransport, Session, SessionConfig, converse

    config = SessionConfig(model=MODEL, system=SYSTEM)
    transport = BedrockTransport()

    async def talk(microphone: Microphone, sink: TimingSink) -> None:
        microphone.note_opening()
        async with Session.open(config, transport) as session:
            await converse(session, microphone, sink)

    try:
        yield talk
    finally:
        await transport.aclose()


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

    async def send(name: str, body: dict[str, Any]) -> None:
        part = BidirectionalInputPayloadPart(bytes_=json.dumps({"event": {name: body}}).encode())
        await stream.input_stream.send(InvokeModelWithBidirectionalStreamInputChunk(value=part))

    prompt = {"promptName": "prompt"}
    system, audio = prompt | {"contentName": "system"}, prompt | {"contentName": "audio"}
    text = {"mediaType": "text/plain"}
    sound = {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": INPUT_FORMAT.rate_hz,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "encoding": "base64",
        "audioType": "SPEECH",
    }
    voice = sound | {"sampleRateHertz": OUTPUT_FORMAT.rate_hz, "voiceId": "matthew"}
    inference = {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}
    kind = {"type": "TEXT", "role": "SYSTEM", "interactive": False}
    speech = {"type": "AUDIO", "role": "USER", "interactive": True}
    await send("sessionStart", {"inferenceConfiguration": inference})
    outputs = {"textOutputConfiguration": text, "audioOutputConfiguration": voice}
    await send("promptStart", prompt | outputs)
    await send("contentStart", system | kind | {"textInputConfiguration": text})
    await send("textInput", system | {"content": SYSTEM})
    await send("contentEnd", system)
    await send("contentStart", audio | speech | {"audioInputConfiguration": sound})
    while pcm := await microphone.read():
        await send("audioInput", audio | {"content": b64encode(pcm).decode()})
    await send("contentEnd", audio)
    await send("promptEnd", prompt)
    await send("sessionEnd", {})
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


def _resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not tell it."""
    try:
        return resident_bytes()
    except OSError:
        return 0


async def measure(talk: Talk, sessions: int, seconds: float) -> ClientReport:
    """Hold sessions and return their figures.

    Args:
        talk: Function that holds one session.
        sessions: Number of concurrent sessions.
        seconds: Length of the window, in seconds.
    """
    idle_bytes = _resident_bytes()
    await _warm_up(talk)
    gc.collect()
    warm_bytes = _resident_bytes()
    window = Window(first=Kind.OPENED)
    async with asyncio.TaskGroup() as tasks:
        for index in range(sessions):
            microphone = Microphone(window, index / sessions)
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
    memory = (idle_bytes, warm_bytes, live_bytes)
    return ClientReport(sessions, cpu_s, window_s, *memory, window.event_ns, window.flush_ns)


async def _warm_up(talk: Talk) -> None:
    window = Window()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk(Microphone(window, 0), TimingSink(window)))
        await asyncio.sleep(WARM_UP_S)
        window.over = True


KINDS: dict[str, Callable[[], AbstractAsyncContextManager[Talk]]] = {
    "ours": our_sessions,
    "bare": bare_sessions,
}


async def main() -> None:
    """Hold the sessions that the command line asks for, and print the report."""
    parser = argparse.ArgumentParser(description="Client process of the benchmark `sessions`.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    async with KINDS[options.kind]() as talk:
        report = await measure(talk, options.sessions, options.seconds)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    asyncio.run(main())
