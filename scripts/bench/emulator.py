"""Measure the emulator: its lateness with many conversations at once, and the growth of its memory.

There are two processes: an emulator with its TLS, signatures and speech engines, which plays the
demonstration's scenario; and this one, which talks to it through the production transport.

- *lateness*: a number of scripted conversations at once, in real time, with frames of 32 ms. The
  service's output is a function of its input, so that a first run without a network finds the input
  frame that causes each chunk of audio. The lateness of a chunk is the time from the moment at
  which that frame was due to the arrival of the chunk. It includes the client's own delays, of
  which the largest is printed.
- *memory*: conversations one after another, 20 times as fast as real time, until a number of
  minutes have been spoken, with the emulator's resident memory after each tenth of them. Growth is
  measured from the second tenth on, because the first one includes what is loaded once.

The exit code is 0 if both targets are met, 1 if not, 130 at Ctrl-C. No process is left.
"""

import argparse
import asyncio
import statistics
import sys
import wave
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import cast

from scripts.bench.common import FRAME_S, MODEL, cpu_s, resident_bytes, served
from sonic_voice import wire
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator import speech
from sonic_voice.emulator.assembly import emulator, sonic_service
from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.scenario import load_scenario
from sonic_voice.emulator.server import LOCAL_REGION
from sonic_voice.emulator.service.effects import Effect, Emit, Speak, StreamRefusal, StreamRequest
from sonic_voice.transport import Stream

RATE_HZ = 16_000
"""Sample rate in both directions, in Hz."""
FRAME_BYTES = int(FRAME_S * RATE_HZ) * 2
"""Size of a frame, in bytes."""
TAIL_S = 4.0
"""Silence after the recording, for the last answer, in seconds."""

LATENESS_MS = 50.0
"""Target: maximum lateness of a chunk, in milliseconds."""
GROWTH_MIB_PER_H = 10.0
"""Target: maximum growth of memory in an hour of speech, in MiB."""
STEPS = 10
"""Number of measurements of memory."""
SPEED = 20.0
"""Speed of the conversations for memory, relative to real time."""
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
    """Return the user's speech, in frames."""
    with wave.open(str(FOLDER / "demo.wav")) as recording:
        pcm = recording.readframes(recording.getnframes())
        pcm = speech.resample(pcm, recording.getframerate(), RATE_HZ)
    pcm += bytes(int(TAIL_S * RATE_HZ) * 2)
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


def answer(call: wire.ToolUse) -> tuple[wire.Input, ...]:
    """Return the records that answer a tool call.

    Args:
        call: The call.
    """
    content = f"result of {call.tool_use}"
    return (
        wire.ToolResultStart("P", content, call.tool_use),
        wire.ToolResult("P", content, '{"direction":"forward","meters":10}'),
        wire.ContentEnd("P", content),
    )


# --- the run without a network


def expected(spoken: list[bytes]) -> list[int]:
    """Return for each chunk of audio, in order, the number of the frame that causes it.

    Args:
        spoken: The user's speech, in frames.
    """
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
    """A scripted conversation, and the arrival times of its audio."""

    stream: Stream
    came_s: list[float] = field(default_factory=lambda: list[float]())
    """Arrival time of each chunk, in seconds of the loop's clock."""
    began_s: float = 0.0
    """Time at which the first frame was due, in seconds of the loop's clock."""
    called: asyncio.Event = field(default_factory=asyncio.Event)
    """Event of the tool call, one in each conversation. A call after the end would be lost."""
    own_delay_s: float = 0.0
    """Largest delay of this client with a frame, in seconds."""

    async def hold(self, spoken: list[bytes], *, speed: float = 1.0, start_s: float = 0.0) -> None:
        """Hold the conversation from the first event to the last.

        Args:
            spoken: The user's speech, in frames.
            speed: Speed relative to real time.
            start_s: Time of the first frame, in seconds of the loop's clock; 0: at once.
        """
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
        """Return the lateness of each chunk of audio, in milliseconds.

        Args:
            due: For each chunk the number of the frame that causes it.
        """
        return [
            (came_s - self.began_s - number * FRAME_S) * 1000
            for came_s, number in zip(self.came_s, due, strict=False)
        ]


async def measure_lateness(transport: BedrockTransport, streams: int, server: int) -> bool:
    """Hold conversations at once and print their lateness.

    Args:
        transport: A transport to the emulator.
        streams: Number of conversations.
        server: Process id of the emulator.

    Returns:
        Whether the target is met.
    """
    spoken = frames()
    due = expected(spoken)
    conversations = [Conversation(await transport.open(MODEL)) for _ in range(streams)]
    loop = asyncio.get_running_loop()
    used_s, now_s = cpu_s(server), loop.time()
    # Spread over one frame, because people do not speak synchronously.
    await asyncio.gather(
        *(
            one.hold(spoken, start_s=now_s + 1 + number * FRAME_S / streams)
            for number, one in enumerate(conversations)
        )
    )
    cores = (cpu_s(server) - used_s) / (loop.time() - now_s)
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
    """Hold conversations one after another and print the emulator's memory.

    Args:
        transport: A transport to the emulator.
        minutes: Minutes of speech in all conversations together.
        server: Process id of the emulator.

    Returns:
        Whether the target is met.
    """
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
        sizes.append(resident_bytes(server) / MIB)
        print(
            f"  after {(step + 1) * each * one_s / 60:5.1f} min  {sizes[-1]:7.1f} MiB", flush=True
        )
    hours = (STEPS - 2) * each * one_s / 3600
    growth = (sizes[-1] - sizes[1]) / hours
    print(f"growth {growth:.1f} MiB an hour (target {GROWTH_MIB_PER_H:.0f})")
    return growth < GROWTH_MIB_PER_H


# --- processes


async def serve() -> None:
    """Run an emulator that prints its endpoint and CA file, until the standard input ends."""
    async with emulator(FOLDER / "demo.yaml") as running:
        print(running.endpoint, running.ca_file, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def bench(streams: int, minutes: float) -> int:
    """Measure lateness and memory, and return the exit code.

    Args:
        streams: Number of conversations at once; 0 does not measure lateness.
        minutes: Minutes of speech; 0 does not measure memory.
    """
    met = True
    if streams:
        async with served("scripts.bench.emulator") as (transport, server):
            met = await measure_lateness(transport, streams, server.pid)
    if minutes:
        async with served("scripts.bench.emulator") as (transport, server):
            met = await measure_memory(transport, minutes, server.pid) and met
    return 0 if met else 1


def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run emulator",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--streams", type=int, default=30, help="conversations; 0: no lateness")
    parser.add_argument("--minutes", type=float, default=60.0, help="of speech; 0: no memory")
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
