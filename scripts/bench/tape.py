"""Measure what a tape costs: its size, the CPU of recording, and how long it blocks the loop.

    size    ten minutes of recorded people, both sides in turn, over room noise, in one tape
    cpu     the demonstration over the production transport, with and without a recorder, in turns;
            the emulator has a process of its own. The CPU time is that of all threads of the
            client, from before the transport is made until the tape is closed
    loop    the time of each call of the recorder in the event loop, and the lateness of a timer

The exit code is 0 if the targets below are met. Figures of a machine that does something else are
not reliable; the load is printed with them.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from scripts.bench.common import FRAME_S, INPUT_FORMAT, OUTPUT_FORMAT, child, client_environment
from sonic_voice import NullSink, Session, SessionConfig, Toolbox, WavSource, converse, tool
from sonic_voice.audio.pcm import Resampler
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.conversation import Observer
from sonic_voice.emulator.assembly import emulator
from sonic_voice.recording import Played, Received, Recorder, Sent, StreamOpened
from sonic_voice.recording.block_writer import BlockWriter
from sonic_voice.recording.payload_parts import split_payload
from sonic_voice.recording.recorder import tape_header
from sonic_voice.recording.records import TapeRecord
from sonic_voice.transport import Transport
from sonic_voice.wire import AudioInput, AudioOutput, Ids, encode_input, encode_output
from tests.support.simulated_room import recording
from tests.support.tapes import BEGAN

MOST_MB = 20.0
"""Target: maximum size of the tape of ten minutes, in megabytes."""
MOST_SHARE = 0.4
"""Target: maximum ratio of the tape to the PCM of both sides; one of both is enough."""
MOST_CPU = 0.05
"""Target: maximum CPU time that recording adds to a session in real time, as share of a core."""
MOST_BLOCKED_MS = 5.0
"""Target: maximum time of one call of the recorder, in ms."""

PEOPLE = ("cards-005", "something", "jfk", "tt-weasels", "hello", "cards-001")
"""Recordings of the user, in `tests/speech`."""
ANSWERS = ("demo-thanks", "agent-newlocation", "vm-sorry", "transfer")
"""Recordings that stand for the model's voice."""
PAUSE_S = 1.5
"""Pause between two turns, in seconds."""
PIECE_S = 0.02
"""Length of a payload of the service, in seconds of sound. Recorded streams have 20 to 40 ms."""
PACE = 3.0
"""Speed at which the service sends answers, as a multiple of real time."""
TICK_S = 0.005
"""Interval of the timer whose lateness is measured, in seconds."""


# -- size


def size_of_a_tape(minutes: float, noise_dbfs: float) -> tuple[float, float, float]:
    """Record people who speak in turn, and return the sizes in megabytes.

    Args:
        minutes: Length of the conversation, in minutes.
        noise_dbfs: Level of the noise in the user's room.

    Returns:
        The tape, the PCM of the payloads, and the CPU time of the writing in seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.tape"
        blocks = BlockWriter(tape_header(SessionConfig(), BEGAN))
        file = path.open("wb")
        file.write(blocks.begin())
        raw_bytes, spent_s = 0, 0.0
        for order, record in enumerate(_conversation(minutes * 60, noise_dbfs)):
            if isinstance(record, Sent | Received):
                parts = split_payload(record.payload)
                raw_bytes += 0 if parts is None else len(parts[1])
            began_s = time.process_time()
            file.write(blocks.write(record, order))
            spent_s += time.process_time() - began_s
        file.write(blocks.flush())
        file.close()
        return path.stat().st_size / 1e6, raw_bytes / 1e6, spent_s


def _conversation(length_s: float, noise_dbfs: float) -> Iterator[TapeRecord]:
    """Yield the records of a conversation whose sides speak in turn."""
    chance = np.random.default_rng(1)
    people, answers = cycle(map(_speech, PEOPLE)), cycle(map(_speech, ANSWERS))
    t_s, frame = 0.0, round(FRAME_S * INPUT_FORMAT.rate_hz)
    yield StreamOpened(0.0, 1, "model")
    turn = 0
    while t_s < length_s:
        turn += 1
        question, answer = next(people), _at_output_rate(next(answers))
        seconds = len(question) / INPUT_FORMAT.rate_hz + len(answer) / 48_000 + 2 * PAUSE_S
        user = chance.normal(0, 32_768 * 10 ** (noise_dbfs / 20), round(seconds * 16_000))
        user[: len(question)] += question
        pcm = user.clip(-32_768, 32_767).astype("<i2").tobytes()
        answers_s = len(question) / INPUT_FORMAT.rate_hz + PAUSE_S
        sent = played = 0
        for begin in range(0, len(pcm), 2 * frame):
            at_s = t_s + begin / 2 / INPUT_FORMAT.rate_hz
            yield Sent(
                at_s,
                1,
                encode_input(AudioInput("p" * 36, "c" * 36, pcm[begin : begin + 2 * frame])),
            )
            since_s = at_s - t_s - answers_s
            size = OUTPUT_FORMAT.size(PIECE_S)
            while since_s > 0 and sent < min(len(answer), OUTPUT_FORMAT.size(since_s * PACE)):
                ids, part = Ids("s" * 36, "p" * 36, "d" * 36), answer[sent : sent + size]
                yield Received(at_s, 1, encode_output(AudioOutput(ids, f"{turn:036}", part)))
                sent += len(part)
            due = min(sent, OUTPUT_FORMAT.size(max(0.0, since_s)))
            if due - played >= OUTPUT_FORMAT.size(0.1) or (due == len(answer) and due > played):
                yield Played(at_s - 0.1, turn, answer[played:due])
                played = due
        t_s += seconds


def _speech(name: str) -> NDArray[np.float64]:
    samples = np.asarray(recording("speech", name), np.float64)
    return samples * 32_768 if np.abs(samples).max() <= 1 else samples


def _at_output_rate(speech: NDArray[np.float64]) -> bytes:
    resampler = Resampler(INPUT_FORMAT.rate_hz, OUTPUT_FORMAT.rate_hz)
    pcm = speech.clip(-32_768, 32_767).astype("<i2").tobytes()
    return resampler.feed(pcm) + resampler.finish()


# -- CPU and the loop


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


class _TimedRecorder(Recorder):
    """A recorder that measures what its calls take in the event loop."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.longest_s = self.sum_s = 0.0
        self.calls = 0
        super().__init__(*arguments, **options)

    def record(self, record: TapeRecord) -> None:
        """Record, and measure the time of the thread."""
        began_s = time.thread_time()
        super().record(record)
        taken_s = time.thread_time() - began_s
        self.calls += 1
        self.sum_s += taken_s
        self.longest_s = max(self.longest_s, taken_s)


async def talk(speed: float, path: Path | None) -> dict[str, float]:
    """Hold the demonstration once, and return its figures.

    Args:
        speed: Speed, as a multiple of real time.
        path: The tape; None records nothing.
    """
    tools = Toolbox([go])
    config = SessionConfig(tools=tools.specs, system="You steer a small robot.")
    source = WavSource(
        cast(Path, resources.files("sonic_voice.emulator") / "demo.wav"), speed=speed
    )
    sink, late_s = NullSink(config.output, now=source.now), list[float]()
    ticking = asyncio.create_task(_tick(late_s))
    began_s, spent_s = time.monotonic(), time.process_time()
    figures: dict[str, float] = {}
    transport = BedrockTransport()
    try:
        used: Transport = transport
        played: Any = sink
        observers: list[Observer] = []
        recorder = None
        if path is not None:
            recorder = _TimedRecorder(transport, path, config, clock=source.now)
            used, played = recorder, recorder.sink(sink)
            observers.append(recorder.observer)
        async with Session.open(config, used, clock=source.now) as session:
            await converse(session, source, played, tools, observers)
        if recorder is not None:
            await recorder.aclose()
            figures["longest_ms"] = recorder.longest_s * 1000
            figures["mean_us"] = recorder.sum_s / recorder.calls * 1e6
    finally:
        ticking.cancel()
        await transport.aclose()
    late_s.sort()
    figures["cpu_s"] = time.process_time() - spent_s
    figures["seconds"] = time.monotonic() - began_s
    figures["late_p99_ms"] = late_s[len(late_s) * 99 // 100] * 1000
    return figures


async def _tick(late_s: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        late_s.append(loop.time() - due_s)


async def _talk_in_turns(rounds: int, speed: float) -> None:
    """Hold conversations without and with a tape in turns, and print their figures as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        await talk(speed, Path(folder) / "warm.tape")
        for number in range(rounds):
            for recorded in (False, True) if number % 2 else (True, False):
                path = Path(folder) / f"{number}.tape" if recorded else None
                figures = await talk(speed, path)
                print(json.dumps({"recorded": recorded, **figures}), flush=True)


async def cpu_of_a_session(
    rounds: int, speed: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the figures of conversations without and with a tape.

    Args:
        rounds: Number of pairs.
        speed: Speed, as a multiple of real time.
    """
    found: list[dict[str, Any]] = []
    scenario = cast(Path, resources.files("sonic_voice.emulator") / "demo.yaml")
    async with emulator(scenario) as served:
        environment = client_environment(served.environment())
        arguments = ("-m", "scripts.bench.tape", "--talk", str(rounds), str(speed))
        async with child(*arguments, env=environment) as process:
            assert process.stdout is not None
            while line := await process.stdout.readline():
                found.append(json.loads(line))
    if len(found) != 2 * rounds:
        raise SystemExit("The conversations failed.")
    return (
        [figures for figures in found if not figures["recorded"]],
        [figures for figures in found if figures["recorded"]],
    )


async def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    arguments = argparse.ArgumentParser(
        prog="scripts/bench/run tape", description="Measure what a tape costs."
    )
    arguments.add_argument("--minutes", type=float, default=10.0, help="length of the tape")
    arguments.add_argument("--rounds", type=int, default=5, help="pairs of conversations")
    arguments.add_argument("--speed", type=float, default=2.0, help="speed of the conversations")
    arguments.add_argument("--talk", nargs=2, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.talk:
        await _talk_in_turns(int(asked.talk[0]), float(asked.talk[1]))
        return 0
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"Load {load}")
    met = True
    for noise_dbfs in (-76.0, -64.0):
        tape_mb, raw_mb, spent_s = size_of_a_tape(asked.minutes, noise_dbfs)
        share = tape_mb / raw_mb
        met &= tape_mb * 10 / asked.minutes < MOST_MB or share < MOST_SHARE
        print(
            f"size   {asked.minutes:g} minutes, room at {noise_dbfs:g} dBFS: {tape_mb:.1f} MB of "
            f"{raw_mb:.1f} MB of PCM ({share:.2f}); CPU of writing {spent_s:.1f} s"
        )
    off, on = await cpu_of_a_session(asked.rounds, asked.speed)
    talked_s = median(a["seconds"] for a in off) * asked.speed
    shares = [(b["cpu_s"] - a["cpu_s"]) / talked_s for a, b in zip(off, on, strict=True)]
    added = median(shares)
    off_s, on_s = median(a["cpu_s"] for a in off), median(b["cpu_s"] for b in on)
    print(
        f"cpu    {off_s:.2f} s without, {on_s:.2f} s with a tape, for {talked_s:.0f} s of talk: "
        f"{added:+.1%} of a core (median of {len(shares)} pairs, {min(shares):+.1%} to "
        f"{max(shares):+.1%}), {on_s / off_s - 1:+.0%} of the session's own"
    )
    longest_ms = max(b["longest_ms"] for b in on)
    print(
        f"loop   longest call of the recorder {longest_ms:.2f} ms, mean "
        f"{median(b['mean_us'] for b in on):.1f} us; a timer is late by "
        f"{median(a['late_p99_ms'] for a in off):.1f} ms without, "
        f"{median(b['late_p99_ms'] for b in on):.1f} ms with a tape (p99)"
    )
    met &= added < MOST_CPU and longest_ms < MOST_BLOCKED_MS
    print("All targets are met." if met else "A target is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
