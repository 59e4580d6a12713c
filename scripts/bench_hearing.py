"""Measures the emulator's ears and voice: how soon a person is answered, and with which words.

Two processes: an emulator with the best ears and voice that are installed, in small talk with the
latency `typical`; and this one, which plays recordings of a person to it through the production
transport, in real time, 32 ms a frame, and goes on when the answer has sounded. Printed are, for
one stream and for several at once, each with the recordings in another order:

- *detection*: from the end of the speech to `userSpeechEnd` at the client, at MEDIUM. The end is
  that of the last 10 ms that are at most 40 dB below the loud ones; the recordings are from a
  studio, with silence around the words.
- *first audio*: from the same end to the first sound of the answer.
- *words*: word error rate of the transcripts.
- *stall*: how much longer than asked a sleep of 5 ms took in the emulator's event loop, at most,
  and how many took 20 ms longer. The same of the client, which has next to nothing to do, shows
  what of it is the machine.

Ends with 0 if the targets are met by one stream, and the stall by all; 1 if not; 130 at Ctrl-C.
"""

import argparse
import asyncio
import os
import sys
import wave
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

import numpy as np
from bench_emulator import served

from sonic_voice import wire
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator import speech
from sonic_voice.emulator.assembly import Behaviour, sonic_service
from sonic_voice.emulator.brains.small_talk import SmallTalkBrain
from sonic_voice.emulator.server import Emulator
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.transport import Stream

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from tests.support.word_errors import word_error_rate  # noqa: E402

RECORDINGS = (
    "hello please-try-again transfer tt-weasels vm-sorry agent-newlocation demo-thanks goodbye"
).split()

MODEL = "amazon.nova-2-sonic-v1:0"
FRAME_S = 0.032
RATE_HZ = 16_000
FRAME_BYTES = int(FRAME_S * RATE_HZ) * 2
SPOKEN_HZ = 24_000
PAUSE_S = 0.5
"""From the end of an answer to the next recording."""
PATIENCE_S = 5.0
"""The answer has begun by then, or there will be none."""
NAP_S = 0.005

DETECTION_S = (0.3, 0.5)
FIRST_AUDIO_S = (0.6, 1.3)
STALL_MS = 20.0

type Ears = Literal["good", "light"]

OPENING = (
    wire.SessionStart(max_tokens=1024, top_p=0.9, temperature=0.7, endpointing="MEDIUM"),
    wire.PromptStart("P", "matthew", SPOKEN_HZ, (), ""),
    wire.TextStart("P", "S", "SYSTEM"),
    wire.TextInput("P", "S", "You talk to somebody."),
    wire.ContentEnd("P", "S"),
    wire.AudioStart("P", "A", RATE_HZ),
)
GOODBYE = (wire.ContentEnd("P", "A"), wire.PromptEnd("P"), wire.SessionEnd())


# --- the person


@dataclass(slots=True)
class Said:
    """A recording, and what came back. Seconds are since its speech ended."""

    said: str
    pcm: bytes
    end_s: float
    """Where in `pcm` the speech ends; then on the loop's clock."""
    heard: str = ""
    detected_s: float | None = None
    sounded_s: float | None = None


def recording(name: str) -> Said:
    path = ROOT / "tests/speech" / name
    with wave.open(f"{path}.wav") as file:
        assert file.getframerate() == RATE_HZ
        pcm = file.readframes(file.getnframes())
    tens = np.frombuffer(pcm, "<i2").astype(float)[: len(pcm) // 320 * 160].reshape(-1, 160)
    level = np.sqrt((tens**2).mean(axis=1))
    last = int(np.flatnonzero(level > np.percentile(level, 95) / 100)[-1])
    return Said(path.with_suffix(".txt").read_text().strip(), pcm, (last + 1) * 0.01)


@dataclass(slots=True)
class Person:
    """Says some things, one after the other, each when the answer to the last has sounded."""

    stream: Stream
    things: Sequence[Said]
    _said: list[Said] = field(default_factory=lambda: list[Said]())
    _quiet_s: float = 0.0
    """Until then the latest answer sounds, or may still come."""

    async def talk(self, start_s: float) -> None:
        """From the first event to the last. `start_s`: when to begin, on the loop's clock."""
        reading = asyncio.create_task(self._read())
        try:
            await self._send(*OPENING)
            await self._speak(start_s)
            await self._send(*GOODBYE)
            await self.stream.end_input()
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            await self.stream.aclose()

    async def _speak(self, start_s: float) -> None:
        loop = asyncio.get_running_loop()
        left = list(reversed(self.things))
        pcm, at_s = b"", start_s
        while left or pcm or at_s < self._quiet_s:
            if not pcm and left and at_s >= self._quiet_s:
                thing = left.pop()
                pcm = thing.pcm
                thing.end_s += at_s
                self._quiet_s = thing.end_s + PATIENCE_S
                self._said.append(thing)
            frame, pcm = pcm[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0"), pcm[FRAME_BYTES:]
            at_s += FRAME_S  # a frame is there when its last sample is
            await asyncio.sleep(at_s - loop.time())
            await self._send(wire.AudioInput("P", "A", frame))

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        asked: set[str] = set()
        sounds_until_s = 0.0
        while (payload := await self.stream.receive()) is not None:
            now_s = loop.time()
            latest = self._said[-1] if self._said else None
            match wire.decode_output(payload):
                case wire.TextBlock(content_id=content_id, role="USER"):
                    asked.add(content_id)
                case wire.TextOutput(content_id=content_id, text=text) if latest:
                    latest.heard += f" {text}" if content_id in asked else ""
                case wire.UserSpeechEnd() if latest:
                    latest.detected_s = now_s - latest.end_s
                case wire.AudioOutput(pcm=pcm) if latest:
                    if latest.sounded_s is None:
                        latest.sounded_s = now_s - latest.end_s
                    sounds_until_s = max(sounds_until_s, now_s) + len(pcm) / 2 / SPOKEN_HZ
                    self._quiet_s = sounds_until_s + PAUSE_S
                case _:
                    pass

    async def _send(self, *records: wire.Input) -> None:
        for record in records:
            await self.stream.send(wire.encode_input(record))


async def measure(transport: BedrockTransport, server: Process, streams: int) -> bool:
    people: list[Person] = []
    for number in range(streams):
        turned = RECORDINGS[2 * number :] + RECORDINGS[: 2 * number]
        people.append(Person(await transport.open(MODEL), [recording(name) for name in turned]))
    await _stalls(server)  # of what was before
    own = Naps()
    watching = asyncio.create_task(own.watch())
    now_s = asyncio.get_running_loop().time()
    await asyncio.gather(
        *(one.talk(now_s + 0.5 + 0.7 * number) for number, one in enumerate(people))
    )
    stalls, stall_ms = await _stalls(server)
    watching.cancel()
    await asyncio.wait({watching})
    said = [thing for one in people for thing in one.things]
    detected = [thing.detected_s for thing in said if thing.detected_s is not None]
    sounded = [thing.sounded_s for thing in said if thing.sounded_s is not None]
    print(f"{streams} at once: {len(said)} utterances, {len(sounded)} answered")
    good = _print_times("detection", detected, DETECTION_S)
    good = _print_times("first audio", sounded, FIRST_AUDIO_S) and good
    rate = word_error_rate([(thing.said, thing.heard) for thing in said])
    print(f"  word error rate {rate:.1%}")
    print(
        f"  largest stall {stall_ms:.1f} ms (target {STALL_MS:.0f}), {stalls:.0f} over it; "
        f"the client's own {own.longest_ms:.1f} ms, {own.long}"
    )
    return stall_ms < STALL_MS and (streams > 1 or (good and len(sounded) == len(said)))


def _print_times(name: str, times_s: list[float], target_s: tuple[float, float]) -> bool:
    p50, p95 = np.percentile(times_s, [50, 95])
    print(f"  {name:11}  p50 {p50:.2f}  p95 {p95:.2f} s  (target {target_s[0]} to {target_s[1]})")
    return bool(target_s[0] <= p50 and p95 <= target_s[1])


@dataclass(slots=True)
class Naps:
    """How much too long an event loop sleeps."""

    long: int = 0
    longest_ms: float = 0.0

    async def watch(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await asyncio.sleep(NAP_S)
            over_ms = 1000 * (loop.time() - began_s - NAP_S)
            self.longest_ms = max(self.longest_ms, over_ms)
            self.long += over_ms > STALL_MS


# --- the emulator's process


async def serve(quality: Ears) -> None:
    """Says where it is; then, for each line of its input, the stalls since the last."""
    recognizer = speech.recognizer(quality)
    assert recognizer is not None
    speech.prepare(RATE_HZ, 8)
    brain = SmallTalkBrain(lambda: datetime.now().astimezone(), speech.resample)
    async with Emulator(
        sonic_service(brain, recognizer.begin, behaviour=Behaviour(latency="typical")),
        engines=Engines(
            speech.synthesizer("light" if quality == "light" else "auto"), recognizer.begin
        ),
    ) as running:
        print(running.endpoint, running.ca_file, flush=True)
        naps = Naps()
        watching = asyncio.create_task(naps.watch())
        while await asyncio.to_thread(sys.stdin.readline):
            print(naps.long, naps.longest_ms, flush=True)
            naps.long, naps.longest_ms = 0, 0.0
        watching.cancel()
        await asyncio.wait({watching})


async def _stalls(server: Process) -> tuple[float, float]:
    """How many there were since the last call, and the longest in ms."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(b"\n")
    count, longest_ms = (await server.stdout.readline()).split()
    return float(count), float(longest_ms)


async def bench(quality: Ears, streams: Sequence[int]) -> int:
    load = os.getloadavg()[0]
    print(f"{quality} ears, {os.cpu_count()} cores, load {load:.1f} before")
    async with served(__file__, "--ears", quality) as (transport, server):
        met = [await measure(transport, server, count) for count in streams]
    return 0 if all(met) else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ears", choices=["good", "light"], default="good")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4], metavar="N")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    ears = cast(Ears, asked.ears)
    try:
        if asked.serve:
            asyncio.run(serve(ears))
            return 0
        return asyncio.run(bench(ears, asked.streams))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
