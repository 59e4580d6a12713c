"""Measure the emulator: its lateness with many conversations at once, and the growth of its memory.

There are two processes: an emulator with its TLS, signatures and speech engines, which plays the
demonstration's scenario; and this one, which talks to it through the production transport.

- *lateness*: a number of scripted conversations at once, in real time, with frames of 32 ms. The
  service's output is a function of its input, so that a first run without a network finds the input
  frame that causes each chunk of audio. The lateness of a chunk is the time from the moment at
  which that frame was due to the arrival of the chunk. It includes the client's own delays, of
  which the largest is printed.
- *burst*: a number of conversations that begin together, at the speed of real time, or more slowly
  if the machine is too busy for that; the time until the last of them is answered, and the
  emulator's resident memory before them, at their end and a minute later.
- *memory*: conversations one after another, 20 times as fast as real time, until a number of
  minutes have been spoken, with the emulator's resident memory after each tenth of them. Growth is
  measured from the second tenth on, because the first one includes what is loaded once.

The exit code is 0 if both targets are met, 1 if not, 130 at Ctrl-C. No process is left.
"""

import argparse
import asyncio
import os
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
from sonic_voice.errors import ConnectionLost
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
KEPT_SHARE = 0.2
"""Target: maximum share of its memory that an emulator has gained a minute after a burst."""
AFTER_BURST_S = 60.0
"""Time from the end of a burst to the measurement of what it left, in seconds."""
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
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Lock of the stream's input, which is for one task at a time: parts of two frames that wait
    for the socket would be mixed."""

    async def begin(self) -> None:
        """Send the first events and wait until the emulator answers the request."""
        await self._send(*OPENING)
        await self.stream.accepted()

    async def hold(
        self,
        spoken: list[bytes],
        *,
        speed: float = 1.0,
        start_s: float = 0.0,
        catches_up: bool = True,
    ) -> None:
        """Hold the conversation, which has begun, from the first audio to the last event.

        Args:
            spoken: The user's speech, in frames.
            speed: Speed relative to real time.
            start_s: Time of the first frame, in seconds of the loop's clock; 0: at once.
            catches_up: Whether frames that are late are sent at once, as a microphone's are.
                Without it the speech is slower where the machine is.
        """
        reading = asyncio.create_task(self._read())
        try:
            try:
                await self._talk(spoken, speed, start_s, catches_up)
            except ConnectionLost:  # the reader knows why
                await reading
                raise
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            await self.stream.aclose()

    async def _talk(
        self, spoken: list[bytes], speed: float, start_s: float, catches_up: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        due_s = self.began_s = max(start_s, loop.time())
        for pcm in spoken:
            await asyncio.sleep(due_s - loop.time())
            self.own_delay_s = max(self.own_delay_s, loop.time() - due_s)
            await self._send(wire.AudioInput("P", "A", pcm))
            due_s = (due_s if catches_up else max(due_s, loop.time())) + FRAME_S / speed
        await self.called.wait()
        await self._send(*GOODBYE)
        await self.stream.end_input()

    async def _read(self) -> None:
        try:
            await self._read_events()
        finally:
            self.called.set()  # nobody waits for a call that will not come

    async def _read_events(self) -> None:
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
        async with self._writing:
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


async def converse(transport: BedrockTransport, spoken: list[bytes]) -> None:
    """Hold one conversation at `SPEED`.

    Args:
        transport: A transport to the emulator.
        spoken: The user's speech, in frames.
    """
    conversation = Conversation(await transport.open(MODEL))
    await conversation.begin()
    await conversation.hold(spoken, speed=SPEED)


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
    await asyncio.gather(*(one.begin() for one in conversations))
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


async def measure_burst(transport: BedrockTransport, streams: int, server: int) -> bool:
    """Hold conversations that begin together, and print the memory that they leave.

    Args:
        transport: A transport to the emulator.
        streams: Number of conversations.
        server: Process id of the emulator.

    Returns:
        Whether the target is met.
    """
    spoken = frames()
    await converse(transport, spoken)  # loads what is loaded once
    before = resident_bytes(server) / MIB
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    opened = await asyncio.gather(*(transport.open(MODEL) for _ in range(streams)))
    conversations = [Conversation(stream) for stream in opened]
    await asyncio.gather(*(one.begin() for one in conversations))
    answered_s = loop.time() - began_s
    await asyncio.gather(*(one.hold(spoken, catches_up=False) for one in conversations))
    held_s = loop.time() - began_s - answered_s
    during = resident_bytes(server) / MIB
    await asyncio.sleep(AFTER_BURST_S)
    after = resident_bytes(server) / MIB
    gained = after / before - 1
    print(
        f"burst of {streams} conversations of {len(spoken) * FRAME_S:.0f} s: the last one was "
        f"answered after {answered_s:.1f} s, all ended after {held_s:.0f} s more "
        f"(load {os.getloadavg()[0]:.1f})"
    )
    print(
        f"memory {before:.0f} MiB before, {during:.0f} MiB at their end, {after:.0f} MiB "
        f"{AFTER_BURST_S:.0f} s later: {gained:+.0%} (target {KEPT_SHARE:.0%})"
    )
    return gained < KEPT_SHARE


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
            await converse(transport, spoken)
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


async def bench(streams: int, burst: int, minutes: float) -> int:
    """Measure lateness, a burst and memory, and return the exit code.

    Args:
        streams: Number of conversations at once; 0 does not measure lateness.
        burst: Number of conversations that begin together; 0 does not measure a burst.
        minutes: Minutes of speech; 0 does not measure memory.
    """
    met = True
    if streams:
        async with served("scripts.bench.emulator") as (transport, server):
            met = await measure_lateness(transport, streams, server.pid)
    if burst:
        async with served("scripts.bench.emulator") as (transport, server):
            met = await measure_burst(transport, burst, server.pid) and met
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
    parser.add_argument("--burst", type=int, default=40, help="conversations; 0: no burst")
    parser.add_argument("--minutes", type=float, default=60.0, help="of speech; 0: no memory")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        if asked.serve:
            asyncio.run(serve())
            return 0
        return asyncio.run(bench(asked.streams, asked.burst, asked.minutes))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
