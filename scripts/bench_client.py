"""One client process of the bench: sessions of one kind, in real time, against its emulator.

    bench_client.py ours|bare --sessions 10 --seconds 20

`ours` is `converse` over `BedrockTransport`. `bare` is the AWS SDK over its CRT client, written
as its samples are: a client for each session, one task that sends, one that receives, `json` and
`base64` and nothing else. (One client for all sessions would put them on one connection: 15 % less
CPU and a twentieth of the memory, at twice the latency.) Source and sink are the same objects for
both. Where the emulator is, and whom to trust, stands in the environment, as for any program.

One session comes and goes before the others, so that what is loaded and set up once costs none of
them time. Then the sessions open one after another, run for `SETTLE_S`, and the window of
`--seconds` begins: CPU time (of all threads) and latencies are those of the window, opening and
closing are outside of it. Prints a `ClientReport` as JSON.

Every frame carries a `Stamp` at its beginning, in both directions: `time.monotonic_ns` is one
clock for all processes of a machine.
"""

import argparse
import asyncio
import gc
import json
import math
import os
import struct
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sonic_voice.config import AudioFormat

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

INPUT_FORMAT = AudioFormat(16_000)
OUTPUT_FORMAT = AudioFormat(24_000)
FRAME_S = 0.032
"""The frame the service's documentation recommends: 512 samples, 1,024 bytes at 16 kHz."""

WARM_UP_S = 1.0
SETTLE_S = 1.0

MODEL = "amazon.nova-2-sonic-v1:0"
SYSTEM = "You are the other end of a benchmark."


class Kind(IntEnum):
    """What a frame is good for."""

    WARM = 0
    """Nothing: outside of the window."""
    COUNTED = 1
    OPENED = 2
    """The first of its session; its time is that of the call that opened the session."""


class Stamp(NamedTuple):
    """What stands at the beginning of a frame's samples."""

    kind: int
    number: int
    """Within its session and direction, from 0."""
    at_ns: int
    """When it was given away: to `send_audio` by the client, to the wire by the emulator."""
    marker_ns: int = 0
    """When the interruption before this frame was emitted, in the first frame after it."""

    @classmethod
    def of(cls, pcm: bytes) -> Self | None:
        """The stamp of `pcm`, None for samples that the bench has not made, such as silence."""
        magic, *fields = _STAMP.unpack_from(pcm)
        return cls(*fields) if magic == _MAGIC else None

    def frame(self, format: AudioFormat) -> bytes:
        """A frame of sound that carries this stamp."""
        stamp = _STAMP.pack(_MAGIC, *self)
        return stamp + bytes(format.size(FRAME_S) - len(stamp))


_STAMP = struct.Struct("<4sIIqq")
_MAGIC = b"\x01\x7fSV"


@dataclass(frozen=True, slots=True)
class ClientReport:
    """What a client process measured in its window. Resident memory is 0 where it is not told."""

    sessions: int
    cpu_s: float
    window_s: float
    idle_bytes: int
    """Before any session, with everything imported that an application imports."""
    warm_bytes: int
    """After the one that came and went, whose memory the first of the others will use again."""
    live_bytes: int
    """With all sessions."""
    event_ns: list[int]
    """From the emulator's emission of sound to the owner of the session having it."""
    flush_ns: list[int]
    """From the emulator's emission of an interruption to the flush of the sink."""

    @property
    def cpu_s_per_minute(self) -> float:
        """CPU seconds per session-minute."""
        return self.cpu_s / self.sessions / (self.window_s / 60)

    @property
    def rss_mib(self) -> float:
        """What all sessions and all that they loaded take."""
        return (self.live_bytes - self.idle_bytes) / 2**20

    @property
    def rss_kib_per_session(self) -> float:
        """What each session after the first takes; NaN if there is none."""
        further = self.sessions - 1
        return (self.live_bytes - self.warm_bytes) / further / 2**10 if further else math.nan


@dataclass(slots=True)
class Window:
    """What sessions stamp on their frames, and where they leave what they measure."""

    first: Kind = Kind.WARM
    others: Kind = Kind.WARM
    over: bool = False
    event_ns: list[int] = field(default_factory=lambda: list[int]())
    flush_ns: list[int] = field(default_factory=lambda: list[int]())


class Microphone:
    """An `AudioSource`: the first frame at once, then one at each tick of 32 ms.

    The ticks of a process's microphones are spread over the 32 ms by `phase`, from 0 to 1: people
    do not speak in step.
    """

    done = False

    def __init__(self, window: Window, phase: float) -> None:
        self.format = INPUT_FORMAT
        self.speaking = asyncio.Event()
        """Set once the first frame has been sent."""
        self._window = window
        self._phase_s = phase * FRAME_S
        self._opened_ns = 0
        self._number = 0
        self._tick_s = 0.0

    def opens(self) -> None:
        """The session is being opened now."""
        self._opened_ns = time.monotonic_ns()

    async def read(self) -> bytes:
        """The next frame, stamped with now; `b""` when the window is over."""
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
        """Monotonic seconds."""
        return time.monotonic()

    async def aclose(self) -> None:
        """Nothing to give back."""


class Ear:
    """An `AudioSink` that takes the time and plays nothing."""

    pending_s = 0.0

    def __init__(self, window: Window) -> None:
        self.format = OUTPUT_FORMAT
        self._window = window
        self._flushed_ns = 0

    def play(self, turn: int, pcm: bytes) -> None:
        """Note how long `pcm` was on its way, and the interruption before it."""
        now_ns = time.monotonic_ns()
        stamp = Stamp.of(pcm)
        if stamp is None:
            raise ValueError("the emulator of the bench has sent sound without a stamp")
        if stamp.marker_ns and stamp.marker_ns > self._flushed_ns:
            raise ValueError("an interruption was not acted on before the sound that followed")
        if stamp.kind == Kind.COUNTED:
            self._window.event_ns.append(now_ns - stamp.at_ns)
            if stamp.marker_ns:
                self._window.flush_ns.append(self._flushed_ns - stamp.marker_ns)

    def flush(self) -> None:
        """Note the time."""
        self._flushed_ns = time.monotonic_ns()

    def played_ms(self, turn: int) -> int:
        """Nothing sounds here."""
        return 0

    async def aclose(self) -> None:
        """Nothing to give back."""


type Talk = Callable[[Microphone, Ear], Coroutine[Any, Any, None]]
"""Holds one session until the microphone has no more."""


@asynccontextmanager
async def our_sessions() -> AsyncGenerator[Talk]:
    """`converse` over one transport."""
    from sonic_voice import BedrockTransport, Session, SessionConfig, converse

    config = SessionConfig(model=MODEL, system=SYSTEM)
    transport = BedrockTransport()

    async def talk(microphone: Microphone, ear: Ear) -> None:
        microphone.opens()
        async with Session.open(config, transport) as session:
            await converse(session, microphone, ear)

    try:
        yield talk
    finally:
        await transport.aclose()


@asynccontextmanager
async def bare_sessions() -> AsyncGenerator[Talk]:
    """The SDK alone, over its CRT client."""
    from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
    from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
    from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOperationInput
    from smithy_http.aio.crt import AWSCRTHTTPClient

    async def talk(microphone: Microphone, ear: Ear) -> None:
        config = await AsyncBedrockRuntimeConfig.resolve(transport=AWSCRTHTTPClient())
        client = AsyncBedrockRuntimeClient(config)
        microphone.opens()
        stream = await client.invoke_model_with_bidirectional_stream(
            InvokeModelWithBidirectionalStreamOperationInput(model_id=MODEL)
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_send_bare(stream, microphone))
            tasks.create_task(_receive_bare(stream, ear))
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


async def _receive_bare(stream: "SdkStream", ear: Ear) -> None:
    from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOutputChunk

    _, output = await stream.await_output()
    while (received := await output.receive()) is not None:
        if not isinstance(received, InvokeModelWithBidirectionalStreamOutputChunk):
            raise TypeError(f"the emulator answered {received}")
        event = json.loads(received.value.bytes_ or b"{}")["event"]
        if "audioOutput" in event:
            ear.play(0, b64decode(event["audioOutput"]["content"]))
        elif "textOutput" in event and '{ "interrupted" : true }' in event["textOutput"]["content"]:
            ear.flush()


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure(talk: Talk, sessions: int, seconds: float) -> ClientReport:
    """The figures of `sessions` at once, over a window of `seconds`."""
    idle_bytes = _resident_bytes()
    await _warm_up(talk)
    gc.collect()
    warm_bytes = _resident_bytes()
    window = Window(first=Kind.OPENED)
    async with asyncio.TaskGroup() as tasks:
        for index in range(sessions):
            microphone = Microphone(window, index / sessions)
            tasks.create_task(talk(microphone, Ear(window)))
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
        tasks.create_task(talk(Microphone(window, 0), Ear(window)))
        await asyncio.sleep(WARM_UP_S)
        window.over = True


KINDS: dict[str, Callable[[], AbstractAsyncContextManager[Talk]]] = {
    "ours": our_sessions,
    "bare": bare_sessions,
}


async def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description="One client process of the bench.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    async with KINDS[options.kind]() as talk:
        report = await measure(talk, options.sessions, options.seconds)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    asyncio.run(main())
