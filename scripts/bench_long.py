"""Measures talk that lasts: whether anything grows, and what it costs.

- *Real*, `--minutes`: the whole command on real devices in the room of `bench_room.py`. A person
  (tests/speech) asks, the model answers with two sentences, a second of silence follows, and so on.
  Per tenth: memory and CPU of the talking process, and the response latency, from the end of the
  question to the first sound that is given to the loudspeaker. Then what it complained of: sound
  dropped, devices that ran dry.
- *Simulated*, `--simulated-minutes`: without devices, in the simulated room of tests/unit, some
  ten times faster than life; canceller, session, network and service (in the same process)
  included. Memory and response latency.

CPU is that of one conversation with echo cancellation, in per cent of a core. `bench_room.py` has
it for a model that speaks all the time.

Ends with 0 if the targets are met, 1 if not.
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

from bench_echo import PERSON, VOICES
from bench_room import (
    LIFE_S,
    MOST_CPU,
    QUESTION,
    QUESTION_LEVEL,
    SETTLING_S,
    Cpu,
    Scene,
    scenario,
    scene,
)

from sonic_voice import BedrockTransport, Session, SessionConfig, converse
from sonic_voice.audio.pcm import from_pcm
from sonic_voice.echo import echo_cancelled
from sonic_voice.emulator.assembly import Behaviour, emulator
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION
from sonic_voice.emulator.server.stream_handler import StreamTimeouts
from sonic_voice.events import Event
from sonic_voice.metrics import Metrics

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.support.simulated_room import (
    RATE_HZ,
    SimulatedRoom,
    at_level,
    recording,
)
from tests.support.virtual import SoundServer, missing

TENTHS = 10
SENTENCES = 2
PAUSE_S = 1.0
MOST_GROWN_MIB = 8.0
"""The transcript of an hour, and what the allocator keeps."""
MOST_SLOWER_S = 0.1

CONFIRMED_S = 1.0
"""After a person's last word; the service tells of speech 0.86 s after its onset at most."""

SPEED = 20.0
"""Of simulated time, at most; a busy machine is slower."""
FRAMES = 4
"""Of a chunk: 40 ms, as the microphone's."""
SPEAKS_EVERY_S = 20.0


@dataclass(frozen=True, slots=True)
class Tenth:
    """What was measured in one."""

    resident_kib: int
    latencies_s: Sequence[float]
    cpu: float | None = None

    @property
    def latency_s(self) -> float:
        return median(self.latencies_s) if self.latencies_s else float("nan")


def _steady(tenths: Sequence[Tenth]) -> bool:
    """Tells the tenths, and whether nothing has grown; the first two are for warming up."""
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
    """A conversation as it goes on."""

    here: Scene
    tenths: list[Tenth] = field(default_factory=list[Tenth])
    person_s: float = 0.0
    model_s: float = 0.0
    by_itself: int = 0
    """Interruptions when nobody spoke. Who pauses in a question may be answered too early."""

    async def go_on(self, name: str) -> float:
        """A question and all of its answer; the response latency."""
        sound = at_level(recording("speech", name), QUESTION_LEVEL)
        spoken_s = time.monotonic() + len(sound) / RATE_HZ
        turn = await self.here.ask(sound)
        await self.here.told(turn)
        await asyncio.sleep(PAUSE_S)
        self.person_s += len(sound) / RATE_HZ
        self.model_s += turn.sound_s
        silent_s = spoken_s + CONFIRMED_S
        self.by_itself += len(self.here.events("Interrupted", silent_s, time.monotonic()))
        first_s, _ = self.here.events("Audio", spoken_s, time.monotonic())[0]
        return first_s - spoken_s


async def real_talk(voice: str, length_s: float) -> bool:
    names = cycle(PERSON)
    async with scene(voice, SENTENCES) as here:
        pid = here.talk.process.pid
        course, cpu, began_s = Course(here), Cpu(pid), time.monotonic()
        while len(course.tenths) < TENTHS:
            end_s = began_s + (len(course.tenths) + 1) / TENTHS * length_s
            spent, latencies_s = Cpu(pid), list[float]()
            while time.monotonic() < end_s:
                latencies_s.append(await course.go_on(next(names)))
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
    """The simulated room at `SPEED`, in which somebody says the same again and again."""

    def __init__(self) -> None:
        super().__init__(frames=FRAMES)
        self._began_s = time.monotonic()
        self._sound = at_level(recording("speech", QUESTION), QUESTION_LEVEL)
        self._speaks_s = SETTLING_S

    async def read(self) -> bytes:
        pcm = await super().read()
        self.played.clear()
        if self.chunk_began_s >= self._speaks_s:
            self.say(self._sound)
            self._speaks_s += SPEAKS_EVERY_S
        await asyncio.sleep(max(0.0, self.now() / SPEED - (time.monotonic() - self._began_s)))
        return pcm

    def played_ms(self, turn: int) -> int:
        return self._buffer.played_ms(turn)


class QuickSpeaker:
    """Its loudspeaker, as an `AudioSink`."""

    def __init__(self, room: QuickRoom) -> None:
        self.format = room.format
        self.flush, self.played_ms, self.aclose = room.flush, room.played_ms, room.aclose
        self._room = room

    def play(self, turn: int, pcm: bytes) -> None:
        self._room.play(turn, from_pcm(pcm))

    @property
    def pending_s(self) -> float:
        return self._room.pending_s


async def simulated_talk(length_s: float) -> bool:
    room = QuickRoom()
    speakers, speaker = echo_cancelled(room, room), QuickSpeaker(room)
    config = SessionConfig(output=room.format)
    tenths: list[Tenth] = []
    told = 0

    def look(event: Event, now: float) -> None:
        nonlocal told
        if room.now() < length_s / TENTHS * (len(tenths) + 1):
            return
        turns = metrics.snapshot.turns
        felt = [turn.response_latency_s for turn in turns[told:]]
        tenths.append(Tenth(_resident_kib(), [s for s in felt if s is not None]))
        told = len(turns)
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
                    session, speakers, speaker, observers=[metrics, speakers.observe, look]
                )
            took_s = time.monotonic() - began_s
            await transport.aclose()
    print(f"Simulated talk, {length_s / 60:.0f} minutes in {took_s / 60:.1f}, {told} turns")
    return _steady(tenths)


def _resident_kib(pid: int | str = "self") -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def main() -> int:
    arguments = argparse.ArgumentParser(description="Measures talk that lasts.")
    arguments.add_argument("--minutes", type=float, default=10.0, help="of real talk")
    arguments.add_argument("--simulated-minutes", type=float, default=60.0)
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
