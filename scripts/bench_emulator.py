"""Measures the emulator: how late it is with many conversations at once, and whether it grows.

Two processes: an emulator with its TLS, signatures, ears and voice, playing the demonstration's
scenario; and this one, which talks to it through the production transport.

- *lateness*: so many scripted conversations at once, in real time, 32 ms a frame. What the service
  sends is a function of what it heard, so a first run without any network tells for each chunk of
  sound which input frame brings it about. A chunk is as late as it arrives after the moment at
  which that frame was due to be sent. In it are the client's own delays; the largest of those is
  printed beside it.
- *memory*: conversations one after another, 20 times as fast as life, until so many minutes have
  been spoken; resident memory of the emulator after each tenth of them. Growth is told from the
  second tenth on: the first loads what is loaded once.

Ends with 0 if both targets are met, 1 if not, 130 at Ctrl-C; no process stays behind.
"""

import argparse
import asyncio
import os
import statistics
import sys
import wave
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import cast

from sonic_voice import wire
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator import speech
from sonic_voice.emulator.assembly import emulator, sonic_service
from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.scenario import load_scenario
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION
from sonic_voice.emulator.service.effects import Effect, Emit, Speak, StreamRefusal, StreamRequest
from sonic_voice.transport import Stream

MODEL = "amazon.nova-2-sonic-v1:0"
FRAME_S = 0.032
RATE_HZ = 16_000
FRAME_BYTES = int(FRAME_S * RATE_HZ) * 2
TAIL_S = 4.0
"""Silence after the recording, for the last answer."""

LATENESS_MS = 50.0
GROWTH_MIB_PER_H = 10.0
STEPS = 10
SPEED = 20.0
MIB = 1024 * 1024

FOLDER = cast(Path, resources.files("sonic_voice.emulator"))
GO = wire.ToolDefinition("go", "Move the robot.", '{"type":"object"}')
OPENING = (
    wire.SessionStart(max_tokens=1024, top_p=0.9, temperature=0.7, endpointing="MEDIUM"),
    wire.PromptStart("P", "matthew", RATE_HZ, (GO,), "auto"),
    wire.TextStart("P", "S", "SYSTEM"),
    wire.TextInput("P", "S", "You steer a small robot."),
    wire.ContentEnd("P", "S"),
    wire.AudioStart("P", "A", RATE_HZ),
)
GOODBYE = (wire.ContentEnd("P", "A"), wire.PromptEnd("P"), wire.SessionEnd())


def frames() -> list[bytes]:
    """What the person says, in frames."""
    with wave.open(str(FOLDER / "demo.wav")) as recording:
        pcm = recording.readframes(recording.getnframes())
        pcm = speech.resample(pcm, recording.getframerate(), RATE_HZ)
    pcm += bytes(int(TAIL_S * RATE_HZ) * 2)
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


def answer(call: wire.ToolUse) -> tuple[wire.Input, ...]:
    content = f"result of {call.tool_use}"
    return (
        wire.ToolResultStart("P", content, call.tool_use),
        wire.ToolResult("P", content, '{"direction":"forward","meters":10}'),
        wire.ContentEnd("P", content),
    )


# --- the run without a network


def expected(spoken: list[bytes]) -> list[int]:
    """For each chunk of sound, in order, the number of the frame that brings it about."""
    request = StreamRequest(MODEL, LOCAL_REGION, "reference")
    brain = ScriptedBrain(load_scenario(FOLDER / "demo.yaml"), speech.resample)
    service = sonic_service(brain)(request)
    assert not isinstance(service, StreamRefusal)
    speak = speech.synthesizer("light")
    due: list[int] = []

    def do(effects: list[Effect], frame: int) -> None:
        for effect in effects:
            match effect:
                case Speak(key, text, voice, rate_hz):
                    do(service.speech(key, speak(text, voice, rate_hz)), frame)
                case Emit(payload):
                    record = wire.decode_output(payload)
                    if isinstance(record, wire.AudioOutput):
                        due.append(frame)
                    if isinstance(record, wire.ToolUse):
                        for reply in answer(record):
                            do(service.receive(wire.encode_input(reply)), frame)
                case _:
                    pass

    for record in OPENING:
        do(service.receive(wire.encode_input(record)), 0)
    for number, pcm in enumerate(spoken):
        do(service.receive(wire.encode_input(wire.AudioInput("P", "A", pcm))), number)
    return due


# --- conversations


@dataclass(slots=True)
class Conversation:
    """One scripted conversation, and when its sound came."""

    stream: Stream
    came_s: list[float] = field(default_factory=lambda: list[float]())
    began_s: float = 0.0
    called: asyncio.Event = field(default_factory=asyncio.Event)
    """The tool was called, as it is once in each; what is asked after a goodbye is lost."""
    own_delay_s: float = 0.0
    """The latest that this client was with a frame of its own."""

    async def hold(self, spoken: list[bytes], *, speed: float = 1.0, start_s: float = 0.0) -> None:
        """From the first event to the last. `start_s`: when to begin, on the loop's clock."""
        reading = asyncio.create_task(self._read())
        try:
            await self._talk(spoken, speed, start_s)
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            await self.stream.aclose()

    async def _talk(self, spoken: list[bytes], speed: float, start_s: float) -> None:
        loop = asyncio.get_running_loop()
        await self._send(*OPENING)
        self.began_s = max(start_s, loop.time())
        for number, pcm in enumerate(spoken):
            due_s = self.began_s + number * FRAME_S / speed
            await asyncio.sleep(due_s - loop.time())
            self.own_delay_s = max(self.own_delay_s, loop.time() - due_s)
            await self._send(wire.AudioInput("P", "A", pcm))
        await self.called.wait()
        await self._send(*GOODBYE)
        await self.stream.end_input()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while (payload := await self.stream.receive()) is not None:
            now_s = loop.time()
            record = wire.decode_output(payload)
            if isinstance(record, wire.AudioOutput):
                self.came_s.append(now_s)
            elif isinstance(record, wire.ToolUse):
                await self._send(*answer(record))
                self.called.set()

    async def _send(self, *records: wire.Input) -> None:
        for record in records:
            await self.stream.send(wire.encode_input(record))

    def lateness_ms(self, due: list[int]) -> list[float]:
        """Of each chunk of sound."""
        return [
            (came_s - self.began_s - number * FRAME_S) * 1000
            for came_s, number in zip(self.came_s, due, strict=False)
        ]


async def measure_lateness(transport: BedrockTransport, streams: int, server: int) -> bool:
    spoken = frames()
    due = expected(spoken)
    conversations = [Conversation(await transport.open(MODEL)) for _ in range(streams)]
    loop = asyncio.get_running_loop()
    cpu_s, now_s = _cpu_s(server), loop.time()
    # Not in step, as no two people are: spread over one frame, or all would talk at one instant.
    await asyncio.gather(
        *(
            one.hold(spoken, start_s=now_s + 1 + number * FRAME_S / streams)
            for number, one in enumerate(conversations)
        )
    )
    cores = (_cpu_s(server) - cpu_s) / (loop.time() - now_s)
    late_ms = sorted(ms for one in conversations for ms in one.lateness_ms(due))
    whole = sum(len(one.came_s) == len(due) for one in conversations)
    own_ms = 1000 * max(one.own_delay_s for one in conversations)
    print(
        f"{streams} conversations of {len(spoken) * FRAME_S:.0f} s at once, {len(due)} chunks "
        f"each; {whole} got as many as without a network"
    )
    cuts = [statistics.median(late_ms), late_ms[int(len(late_ms) * 0.99)], late_ms[-1]]
    print("lateness p50 {:.1f}, p99 {:.1f}, largest {:.1f} ms".format(*cuts), end="")
    print(f" (target {LATENESS_MS:.0f}); the client's own largest {own_ms:.1f} ms")
    print(f"the emulator used {cores:.2f} of a core")
    return cuts[-1] < LATENESS_MS and whole == streams


async def measure_memory(transport: BedrockTransport, minutes: float, server: int) -> bool:
    spoken = frames()
    one_s = len(spoken) * FRAME_S
    each = max(1, round(minutes * 60 / one_s / STEPS))
    print(
        f"{each * STEPS} conversations one after another, {each * STEPS * one_s / 60:.0f} minutes"
    )
    sizes: list[float] = []
    for step in range(STEPS):
        for _ in range(each):
            await Conversation(await transport.open(MODEL)).hold(spoken, speed=SPEED)
        sizes.append(_rss_bytes(server) / MIB)
        print(
            f"  after {(step + 1) * each * one_s / 60:5.1f} min  {sizes[-1]:7.1f} MiB", flush=True
        )
    hours = (STEPS - 2) * each * one_s / 3600
    growth = (sizes[-1] - sizes[1]) / hours
    print(f"growth {growth:.1f} MiB an hour (target {GROWTH_MIB_PER_H:.0f})")
    return growth < GROWTH_MIB_PER_H


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- processes


async def serve() -> None:
    """The emulator's process: says where it is, and ends with its input."""
    async with emulator(FOLDER / "demo.yaml") as running:
        print(running.endpoint, running.ca_file, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def served(script: str, *arguments: str) -> AsyncGenerator[tuple[BedrockTransport, Process]]:
    """A transport to an emulator in a process of its own, `script --serve`, and that process."""
    server: Process = await asyncio.create_subprocess_exec(
        *(sys.executable, script, "--serve", *arguments), stdin=PIPE, stdout=PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        endpoint, ca_file = (await server.stdout.readline()).decode().split()
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=endpoint,
            ca_file=ca_file,
            access_key=LOCAL_KEYS.access_key,
            secret_key=LOCAL_KEYS.secret_key,
        )
        try:
            yield transport, server
        finally:
            await transport.aclose()
    finally:
        server.stdin.close()
        await server.wait()


async def bench(streams: int, minutes: float) -> int:
    met = True
    if streams:
        async with served(__file__) as (transport, server):
            met = await measure_lateness(transport, streams, server.pid)
    if minutes:
        async with served(__file__) as (transport, server):
            met = await measure_memory(transport, minutes, server.pid) and met
    return 0 if met else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=30, help="0: no lateness")
    parser.add_argument("--minutes", type=float, default=60.0, help="spoken; 0: no memory")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        if asked.serve:
            asyncio.run(serve())
            return 0
        return asyncio.run(bench(asked.streams, asked.minutes))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
