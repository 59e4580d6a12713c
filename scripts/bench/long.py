"""Measure a long conversation: its CPU time, and whether memory or latency grows.

- *Real*, `--minutes`: the whole command on real devices, in the room of the benchmark `room`. A
  person (tests/speech) asks, the model answers with two sentences, a second of silence follows, and
  so on. Printed are, for each tenth, memory and CPU of the talking process and the response
  latency, from the end of the question to the first audio that is given to the loudspeaker; and the
  messages of the process, about dropped audio and device under-runs.
- *Simulated*, `--simulated-minutes`: without devices, in the simulated room of tests/support, about
  ten times faster than real time, with echo cancellation, session, network and service in the same
  process. Printed are memory and response latency.

CPU is that of one conversation with echo cancellation, as a percentage of a core. The benchmark
`room` measures it for a model that speaks all the time.

The exit code is 0 if the targets are met, 1 if not.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median

from scripts.bench.common import resident_bytes
from scripts.bench.echo_scenes import PERSON, VOICES
from scripts.bench.room import MOST_CPU, QUESTION, QUESTION_LEVEL
from scripts.bench.scene import LIFE_S, SETTLING_S, CpuMeter, Scene, scenario, scene
from sonic_voice import BedrockTransport, Session, SessionConfig, converse
from sonic_voice.audio.pcm import from_pcm
from sonic_voice.echo import echo_cancelled
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION
from sonic_voice.events import Event
from sonic_voice.metrics import Metrics
from tests.support.simulated_room import (
    RATE_HZ,
    SimulatedRoom,
    at_level,
    recording,
)
from tests.support.virtual import SoundServer, missing

TENTHS = 10
"""Number of parts of a conversation that are measured separately."""
SENTENCES = 2
"""Number of sentences in an answer."""
PAUSE_S = 1.0
"""Silence from the end of an answer to the next question, in seconds."""
MOST_GROWN_MIB = 8.0
"""Target: maximum growth of memory, in MiB: the transcript of an hour, and the allocator's
reserve."""
MOST_SLOWER_S = 0.1
"""Target: maximum increase of the median latency, in seconds."""

CONFIRMED_S = 1.0
"""Time after the person's last word from which the person counts as silent, in seconds. The service
reports speech at most 0.86 s after its onset."""

SPEED = 20.0
"""Maximum speed of simulated time relative to real time; a busy machine is slower."""
FRAMES = 4
"""Number of frames in a chunk: 40 ms, like the microphone's."""
SPEAKS_EVERY_S = 20.0
"""Time from one question to the next, in seconds of simulated time."""


@dataclass(frozen=True, slots=True)
class Tenth:
    """The measurements of a tenth of the conversation."""

    resident_kib: int
    """Resident memory, in KiB."""
    latencies_s: Sequence[float]
    """Response latencies, in seconds."""
    cpu: float | None = None
    """CPU load; 1.0 is a whole core. None if it is not measured."""

    @property
    def latency_s(self) -> float:
        """Median response latency, in seconds; NaN if there was no answer."""
        return median(self.latencies_s) if self.latencies_s else float("nan")


def _steady(tenths: Sequence[Tenth]) -> bool:
    """Print the tenths, and return whether nothing has grown since the first two."""
    for tenth in tenths:
        print(
            f"  {tenth.resident_kib / 1024:6.1f} MiB   latency {tenth.latency_s:.2f} s median "
            f"of {len(tenth.latencies_s)}" + (f"   CPU {tenth.cpu:.1%}" if tenth.cpu else "")
        )
    grown_mib = (tenths[-1].resident_kib - tenths[TENTHS // 5].resident_kib) / 1024
    slower_s = tenths[-1].latency_s - tenths[0].latency_s
    print(f"  grown                  {grown_mib:.1f} MiB, {slower_s:+.2f} s")
    return grown_mib < MOST_GROWN_MIB and slower_s < MOST_SLOWER_S


@dataclass(slots=True)
class Course:
    """A running conversation and its measurements."""

    here: Scene
    tenths: list[Tenth] = field(default_factory=list[Tenth])
    person_s: float = 0.0
    """Time for which the person spoke, in seconds."""
    model_s: float = 0.0
    """Time for which the model spoke, in seconds."""
    by_itself: int = 0
    """Number of interruptions while the person was silent. A pause in a question is not counted,
    because the question may be answered too early."""

    async def ask(self, name: str) -> float:
        """Ask a question, wait for the end of its answer, and return the response latency.

        Args:
            name: Name of a recording in tests/speech.

        Returns:
            The latency, in seconds.
        """
        sound = at_level(recording("speech", name), QUESTION_LEVEL)
        spoken_s = time.monotonic() + len(sound) / RATE_HZ
        turn = await self.here.ask(sound)
        await self.here.played(turn)
        await asyncio.sleep(PAUSE_S)
        self.person_s += len(sound) / RATE_HZ
        self.model_s += turn.sound_s
        silent_s = spoken_s + CONFIRMED_S
        self.by_itself += len(self.here.events("Interrupted", silent_s, time.monotonic()))
        first_s, _ = self.here.events("Audio", spoken_s, time.monotonic())[0]
        return first_s - spoken_s


async def real_talk(voice: str, length_s: float) -> bool:
    """Hold a conversation on real devices, and print its figures.

    Args:
        voice: Id of the model's voice.
        length_s: Length of the conversation, in seconds.

    Returns:
        Whether the targets are met.
    """
    names = cycle(PERSON)
    async with scene(voice, SENTENCES) as here:
        pid = here.talk.process.pid
        course, cpu, began_s = Course(here), CpuMeter(pid), time.monotonic()
        while len(course.tenths) < TENTHS:
            end_s = began_s + (len(course.tenths) + 1) / TENTHS * length_s
            spent, latencies_s = CpuMeter(pid), list[float]()
            while time.monotonic() < end_s:
                latencies_s.append(await course.ask(next(names)))
            course.tenths.append(Tenth(_resident_kib(pid), latencies_s, spent.share))
        share, took_s = cpu.share, time.monotonic() - began_s
        _, complaints, _ = await here.talk.leave()
    interrupted = len(here.talk.all("Interrupted"))
    print(
        f"Real talk, {took_s / 60:.1f} minutes, {here.asked} answers, {interrupted} interrupted, "
        f"{course.by_itself} when nobody spoke"
    )
    print(
        f"  person {course.person_s / took_s:.0%}, model {course.model_s / took_s:.0%} of the time"
    )
    steady = _steady(course.tenths)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"  CPU                    {100 * share:.1f} % of a core (load {load})")
    print(f"  complaints             {complaints.strip() or 'none'}")
    return steady and share < MOST_CPU and not complaints and not course.by_itself


class QuickRoom(SimulatedRoom):
    """A simulated room at `SPEED`, in which a person asks the same question repeatedly."""

    def __init__(self) -> None:
        super().__init__(frames=FRAMES)
        self._began_s = time.monotonic()
        self._sound = at_level(recording("speech", QUESTION), QUESTION_LEVEL)
        self._speaks_s = SETTLING_S

    async def read(self) -> bytes:
        """See `SimulatedRoom`."""
        pcm = await super().read()
        self.played.clear()
        if self.chunk_began_s >= self._speaks_s:
            self.say(self._sound)
            self._speaks_s += SPEAKS_EVERY_S
        await asyncio.sleep(max(0.0, self.now() / SPEED - (time.monotonic() - self._began_s)))
        return pcm

    def played_ms(self, turn: int) -> int:
        """See `AudioSink`."""
        return self._buffer.played_ms(turn)


class QuickSpeaker:
    """The loudspeaker of a `QuickRoom`, an `AudioSink`."""

    def __init__(self, room: QuickRoom) -> None:
        self.format = room.format
        self.flush, self.played_ms, self.aclose = room.flush, room.played_ms, room.aclose
        self._room = room

    def play(self, turn: int, pcm: bytes) -> None:
        """See `AudioSink`."""
        self._room.play(turn, from_pcm(pcm))

    @property
    def pending_s(self) -> float:
        """See `AudioSink`."""
        return self._room.pending_s


async def simulated_talk(length_s: float) -> bool:
    """Hold a conversation in a simulated room, and print its figures.

    Args:
        length_s: Length of the conversation, in seconds of simulated time.

    Returns:
        Whether the targets are met.
    """
    room = QuickRoom()
    speakers, speaker = echo_cancelled(room, room), QuickSpeaker(room)
    config = SessionConfig(output=room.format)
    tenths: list[Tenth] = []
    counted = 0

    def measure(event: Event, now: float) -> None:
        nonlocal counted
        if room.now() < length_s / TENTHS * (len(tenths) + 1):
            return
        turns = metrics.snapshot.turns
        latencies_s = [turn.response_latency_s for turn in turns[counted:]]
        tenths.append(Tenth(_resident_kib(), [s for s in latencies_s if s is not None]))
        counted = len(turns)
        if len(tenths) == TENTHS:
            session.finish()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(scenario(VOICES[0]), encoding="utf-8")
        behaviour = Behaviour(ears="none", timeouts=StreamTimeouts(life_s=LIFE_S))
        async with emulator(path, behaviour=behaviour) as served:
            transport = BedrockTransport(
                region=LOCAL_REGION,
                endpoint=served.endpoint,
                ca_file=served.ca_file,
                access_key=LOCAL_KEYS.access_key,
                secret_key=LOCAL_KEYS.secret_key,
            )
            session = Session.open(config, transport, clock=speakers.now)
            metrics = Metrics(session, speaker)
            began_s = time.monotonic()
            async with session:
                await converse(
                    session, speakers, speaker, observers=[metrics, speakers.observe, measure]
                )
            took_s = time.monotonic() - began_s
            await transport.aclose()
    print(f"Simulated talk, {length_s / 60:.0f} minutes in {took_s / 60:.1f}, {counted} turns")
    return _steady(tenths)


def _resident_kib(pid: int | str = "self") -> int:
    return resident_bytes(pid) // 1024


async def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    arguments = argparse.ArgumentParser(
        prog="scripts/bench/run long", description="Measure a long conversation."
    )
    arguments.add_argument("--minutes", type=float, default=10.0, help="on real devices; 0: none")
    arguments.add_argument(
        "--simulated-minutes", type=float, default=60.0, help="in a simulated room; 0: none"
    )
    asked, met = arguments.parse_args(), True
    if asked.minutes:
        if reason := missing():
            raise SystemExit(reason)
        server = SoundServer(in_step=True)
        try:
            met &= await real_talk(VOICES[0], 60 * asked.minutes)
        finally:
            server.close()
    if asked.simulated_minutes:
        met &= await simulated_talk(60 * asked.simulated_minutes)
    print("All targets are met." if met else "A target is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
