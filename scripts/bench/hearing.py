"""Measure the emulator's speech engines: the latency of its answers and its word error rate.

There are two processes: an emulator with the best installed speech engines, in small talk with the
latency `typical`; and this one, which plays recordings of a person to it through the production
transport, in real time, with frames of 32 ms, and continues when the answer has been played. The
figures are printed for one stream and for several at once, each with the recordings in another
order:

- *detection*: from the end of the speech to `userSpeechEnd` at the client, with MEDIUM endpointing.
  The speech ends with the last 10 ms whose level is at most 40 dB below the loud parts; the
  recordings are from a studio, with silence around the words.
- *first audio*: from the same end to the first audio of the answer.
- *words*: word error rate of the transcripts.
- *stall*: the largest delay of a sleep of 5 ms in the emulator's event loop, and the number of
  delays of more than 20 ms. The same figures of the client, which has little to do, show the
  machine's part.

The exit code is 0 if one stream meets the targets and all streams meet that of the stall, 1 if not,
130 at Ctrl-C.
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
from typing import Literal, cast

import numpy as np

from scripts.bench.common import FRAME_S, MODEL, ROOT, served
from sonic_voice import wire
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator import speech
from sonic_voice.emulator.assembly import sonic_service
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.brains.small_talk import SmallTalkBrain
from sonic_voice.emulator.server import Emulator
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.transport import Stream
from tests.support.word_errors import word_error_rate

RECORDINGS = (
    "hello please-try-again transfer tt-weasels vm-sorry agent-newlocation demo-thanks goodbye"
).split()
"""Names of the recordings in tests/speech."""

RATE_HZ = 16_000
"""Sample rate of the user's audio, in Hz."""
FRAME_BYTES = int(FRAME_S * RATE_HZ) * 2
"""Size of a frame, in bytes."""
SPOKEN_HZ = 24_000
"""Sample rate of the model's audio, in Hz."""
PAUSE_S = 0.5
"""Time from the end of an answer to the next recording, in seconds."""
ANSWER_TIMEOUT_S = 5.0
"""Maximum time from the end of the speech to the beginning of its answer, in seconds."""
SLEEP_S = 0.005
"""Length of the sleeps that measure stalls, in seconds."""

DETECTION_S = (0.3, 0.5)
"""Target for *detection*: minimum of the median and maximum of the 95th percentile, in seconds."""
FIRST_AUDIO_S = (0.6, 1.3)
"""Target for *first audio*, like `DETECTION_S`."""
STALL_MS = 20.0
"""Target: maximum stall, in milliseconds."""

type Quality = Literal["good", "light"]
"""Quality of speech recognition."""

OPENING = (
    wire.SessionStart(max_tokens=1024, top_p=0.9, temperature=0.7, endpointing="MEDIUM"),
    wire.PromptStart("P", "matthew", SPOKEN_HZ, (), ""),
    wire.TextStart("P", "S", "SYSTEM"),
    wire.TextInput("P", "S", "You talk to somebody."),
    wire.ContentEnd("P", "S"),
    wire.AudioStart("P", "A", RATE_HZ),
)
GOODBYE = (wire.ContentEnd("P", "A"), wire.PromptEnd("P"), wire.SessionEnd())


# --- the user


@dataclass(slots=True)
class Utterance:
    """A recording and the answer to it. Times are relative to the end of the speech."""

    said: str
    """Text of the recording."""
    pcm: bytes
    """Samples of the recording."""
    end_s: float
    """End of the speech, in seconds: first from the beginning of `pcm`, later on the loop's
    clock."""
    heard: str = ""
    """Transcript from the emulator."""
    detected_s: float | None = None
    """Time of `userSpeechEnd`, in seconds."""
    sounded_s: float | None = None
    """Time of the first audio, in seconds."""


def recording(name: str) -> Utterance:
    """Return a recording, with the end of its speech.

    Args:
        name: Name of a recording in tests/speech.
    """
    path = ROOT / "tests/speech" / name
    with wave.open(f"{path}.wav") as file:
        assert file.getframerate() == RATE_HZ
        pcm = file.readframes(file.getnframes())
    tens = np.frombuffer(pcm, "<i2").astype(float)[: len(pcm) // 320 * 160].reshape(-1, 160)
    level = np.sqrt((tens**2).mean(axis=1))
    last = int(np.flatnonzero(level > np.percentile(level, 95) / 100)[-1])
    return Utterance(path.with_suffix(".txt").read_text().strip(), pcm, (last + 1) * 0.01)


@dataclass(slots=True)
class User:
    """A user who plays recordings, each when the answer to the last one has been played."""

    stream: Stream
    utterances: Sequence[Utterance]
    _said: list[Utterance] = field(default_factory=lambda: list[Utterance]())
    _quiet_s: float = 0.0
    """Time until which the last answer is being played or may still arrive, on the loop's clock."""

    async def talk(self, start_s: float) -> None:
        """Hold the conversation from the first event to the last.

        Args:
            start_s: Time of the first frame, in seconds of the loop's clock.
        """
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
        left = list(reversed(self.utterances))
        pcm, at_s = b"", start_s
        while left or pcm or at_s < self._quiet_s:
            if not pcm and left and at_s >= self._quiet_s:
                utterance = left.pop()
                pcm = utterance.pcm
                utterance.end_s += at_s
                self._quiet_s = utterance.end_s + ANSWER_TIMEOUT_S
                self._said.append(utterance)
            frame, pcm = pcm[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0"), pcm[FRAME_BYTES:]
            at_s += FRAME_S  # a frame is complete with its last sample
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
    """Hold conversations at once and print the figures.

    Args:
        transport: A transport to the emulator.
        server: The process of the emulator.
        streams: Number of conversations.

    Returns:
        Whether the targets are met.
    """
    users: list[User] = []
    for number in range(streams):
        rotated = RECORDINGS[2 * number :] + RECORDINGS[: 2 * number]
        users.append(User(await transport.open(MODEL), [recording(name) for name in rotated]))
    await _stalls(server)  # forget the stalls so far
    own = StallMeter()
    watching = asyncio.create_task(own.watch())
    now_s = asyncio.get_running_loop().time()
    await asyncio.gather(
        *(one.talk(now_s + 0.5 + 0.7 * number) for number, one in enumerate(users))
    )
    stalls, stall_ms = await _stalls(server)
    watching.cancel()
    await asyncio.wait({watching})
    said = [utterance for one in users for utterance in one.utterances]
    detected = [one.detected_s for one in said if one.detected_s is not None]
    sounded = [one.sounded_s for one in said if one.sounded_s is not None]
    print(f"{streams} at once: {len(said)} utterances, {len(sounded)} answered")
    good = _print_times("detection", detected, DETECTION_S)
    good = _print_times("first audio", sounded, FIRST_AUDIO_S) and good
    rate = word_error_rate([(one.said, one.heard) for one in said])
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
class StallMeter:
    """A meter of the delays of sleeps in an event loop."""

    long: int = 0
    """Number of delays over `STALL_MS`."""
    longest_ms: float = 0.0
    """Largest delay, in milliseconds."""

    async def watch(self) -> None:
        """Measure until this is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await asyncio.sleep(SLEEP_S)
            over_ms = 1000 * (loop.time() - began_s - SLEEP_S)
            self.longest_ms = max(self.longest_ms, over_ms)
            self.long += over_ms > STALL_MS


# --- the emulator's process


async def serve(quality: Quality) -> None:
    """Run an emulator until the standard input ends.

    It prints its endpoint and CA file, and then, for each line of the input, the stalls since the
    last line.

    Args:
        quality: Quality of speech recognition.
    """
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
        meter = StallMeter()
        watching = asyncio.create_task(meter.watch())
        while await asyncio.to_thread(sys.stdin.readline):
            print(meter.long, meter.longest_ms, flush=True)
            meter.long, meter.longest_ms = 0, 0.0
        watching.cancel()
        await asyncio.wait({watching})


async def _stalls(server: Process) -> tuple[float, float]:
    """Return the number of stalls since the last call, and the longest in milliseconds."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(b"\n")
    count, longest_ms = (await server.stdout.readline()).split()
    return float(count), float(longest_ms)


async def bench(quality: Quality, streams: Sequence[int]) -> int:
    """Measure each number of streams, and return the exit code.

    Args:
        quality: Quality of speech recognition.
        streams: Numbers of conversations at once.
    """
    load = os.getloadavg()[0]
    print(f"{quality} speech recognition, {os.cpu_count()} cores, load {load:.1f} before")
    async with served("scripts.bench.hearing", "--ears", quality) as (transport, server):
        met = [await measure(transport, server, count) for count in streams]
    return 0 if all(met) else 1


def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run hearing",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--ears", choices=["good", "light"], default="good", help="quality of speech recognition"
    )
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[1, 4], metavar="N", help="how many at once"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    ears = cast(Quality, asked.ears)
    try:
        if asked.serve:
            asyncio.run(serve(ears))
            return 0
        return asyncio.run(bench(ears, asked.streams))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
