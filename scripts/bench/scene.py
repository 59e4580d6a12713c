"""A conversation of the command `sonic-voice talk` on virtual devices, in a room, with an emulator.

The benchmarks `room` and `long` hold it. The command runs in a process of its own; the emulator,
the room between loudspeaker and microphone, and the captures of both are in this one.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from scripts.bench.common import cpu_s
from scripts.bench.echo import ANSWERS
from sonic_voice import wire
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.observers import StreamStatistics
from sonic_voice.emulator.service.effects import Effect, Emit, StreamRefusal
from tests.support.device_sounds import SPOKEN_HZ
from tests.support.gauges import Captured, Gains, gains
from tests.support.room import Room
from tests.support.simulated_room import RATE_HZ, Samples
from tests.support.talk_command import Talk, talking
from tests.support.virtual import CAPTURE_HZ, Capture

SETTLING_S = 3.0
"""Time before the first question, for the devices and the command's session, in seconds."""
NEXT_S = 12.0
"""Maximum time to wait for the answer to an interruption, in seconds."""
ENDPOINT_MS = 800
"""Endpointing of the emulator, in milliseconds."""
STEPS = 40
"""Number of answers in the scenario."""
LIFE_S = 7200.0
"""Lifetime of a stream in the emulator, in seconds."""


@dataclass(slots=True)
class Turn:
    """One answer, as the service sent it."""

    pcm: bytearray = field(default_factory=bytearray)
    """Audio of the turn at `SPOKEN_HZ`."""
    plans: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    """Text of each block, and the position in the turn's audio at which it began, in seconds."""
    began_s: float = 0.0
    """Time at which the first audio was sent, in seconds of `time.monotonic()`."""
    ended: bool = False
    """True if all of it was sent, or it was interrupted."""
    broken: bool = False
    """True if the service reported a user since the audio began."""

    @property
    def sound_s(self) -> float:
        """Length of the audio, in seconds."""
        return len(self.pcm) / (2 * SPOKEN_HZ)


@dataclass(slots=True)
class ServiceLog:
    """A record of what the emulator sends, and when. It observes the emulator and its streams."""

    turns: list[Turn] = field(default_factory=lambda: [Turn()])
    """All turns. The first is empty, because turns are numbered from 1."""
    onsets_s: list[float] = field(default_factory=list[float])
    """Times of the service's reports that the user speaks, in seconds of `time.monotonic()`."""
    planned: bool = False
    """True if the next text is a plan of the model (SPECULATIVE)."""

    def opened(self, statistics: StreamStatistics) -> "ServiceLog":
        """See `Watch`."""
        return self

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `Watch`."""
        raise SystemExit(f"The emulator refused: {refusal}")

    def received(self, payload: bytes) -> None:
        """See `StreamWatch`."""

    def input_ended(self) -> None:
        """See `StreamWatch`."""

    def over(self) -> None:
        """See `StreamWatch`."""

    def answered(self, effect: Effect) -> None:
        """See `StreamWatch`."""
        if not isinstance(effect, Emit):
            return
        match wire.decode_output(effect.payload):
            case wire.UserSpeechStart():
                self.onsets_s.append(time.monotonic())
                self.turns[-1].broken |= self.turns[-1].began_s > 0
            case wire.TextBlock(role="USER"):
                self.turns.append(Turn())
            case wire.TextBlock(role="ASSISTANT", stage=stage):
                self.planned = stage == "SPECULATIVE"
            case wire.TextOutput(text=text, role="ASSISTANT") if self.planned:
                self.turns[-1].plans.append((text, self.turns[-1].sound_s))
            case wire.AudioOutput(pcm=pcm):
                self.turns[-1].began_s = self.turns[-1].began_s or time.monotonic()
                self.turns[-1].pcm += pcm
            case wire.BlockEnd(kind="AUDIO", stop="END_TURN" | "INTERRUPTED"):
                self.turns[-1].ended = True
            case _:
                pass


@dataclass(slots=True)
class Scene:
    """A running conversation, with its room, devices and captures."""

    service: ServiceLog
    talk: Talk
    room: Room
    speaker: Capture
    microphone: Capture
    asked: int = 0
    """Number of things that the person has said."""

    async def ask(self, sound: Samples) -> Turn:
        """Let the person speak, wait for the answer to begin, and return its turn.

        Args:
            sound: The person's speech.

        Raises:
            TimeoutError: No answer has begun in time.
        """
        known = len(self.service.turns)
        self.room.say(sound)
        self.asked += 1
        said_s = time.monotonic() + len(sound) / RATE_HZ
        async with asyncio.timeout(len(sound) / RATE_HZ + NEXT_S):
            while True:
                turn = self.service.turns[-1]
                if len(self.service.turns) > known and turn.pcm and time.monotonic() > said_s + 1.0:
                    return turn
                await asyncio.sleep(0.05)

    async def played(self, turn: Turn) -> None:
        """Wait until all of a turn has been played.

        Args:
            turn: The turn.
        """
        while not turn.ended or time.monotonic() < turn.began_s + turn.sound_s + 0.5:  # noqa: ASYNC110 - it is the clock
            await asyncio.sleep(0.1)

    def position(self, at_s: float) -> int:
        """Return the position in the loudspeaker's capture, in samples.

        Args:
            at_s: Time in seconds of `time.monotonic()`.
        """
        return self.speaker.position(at_s)

    def captured(self, turn: Turn) -> Captured:
        """Return a whole turn as the loudspeaker played it.

        Args:
            turn: The turn.
        """
        first = self.position(turn.began_s)
        return self.speaker.samples[first : first + round((turn.sound_s + 0.5) * CAPTURE_HZ)]

    def gains(self, turn: Turn, near_s: float) -> Gains:
        """Return the level of a turn over time, relative to the sent audio.

        Args:
            turn: The turn.
            near_s: Time before which the turn was at full level for a second, in seconds of
                `time.monotonic()`.
        """
        return gains(bytes(turn.pcm), self.speaker.samples, self.position(near_s))

    def events(self, name: str, since_s: float, until_s: float) -> list[tuple[float, Any]]:
        """Return the command's events of a name, each with its time.

        Args:
            name: Name of the event.
            since_s: Beginning of the interval, in seconds of `time.monotonic()`.
            until_s: End of the interval.
        """
        came = self.talk.events
        dated = [(came_s, event) for came_s, event in came if event.get("at_s") is not None]
        # The command counts from its beginning. The event that came soonest after it was written
        # shows when that was.
        begin_s = min((came_s - event["at_s"] for came_s, event in dated), default=0.0)
        times = [(begin_s + event["at_s"], event) for _, event in dated]
        return [
            (at_s, event)
            for at_s, event in times
            if event["event"] == name and since_s <= at_s < until_s
        ]


class CpuMeter:
    """A meter of the CPU load of a process, all threads, since the meter was created.

    Args:
        pid: The process's id.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began_s, self._cpu_s = time.monotonic(), cpu_s(pid)

    @property
    def share(self) -> float:
        """CPU load; 1.0 is a whole core."""
        return (cpu_s(self._pid) - self._cpu_s) / (time.monotonic() - self._began_s)


@asynccontextmanager
async def scene(voice: str, sentences: int = len(ANSWERS)) -> AsyncGenerator[Scene]:
    """Start a conversation in which nothing has been said, and end it with the block.

    Args:
        voice: Id of the model's voice.
        sentences: Number of sentences in an answer.
    """
    service = ServiceLog()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(scenario(voice, sentences), encoding="utf-8")
        behaviour = Behaviour(ears="auto", timeouts=StreamTimeouts(life_s=LIFE_S))
        async with emulator(path, behaviour=behaviour, observers=[service]) as served:
            with Room() as room, Capture() as speaker, Capture("micfeed.monitor") as microphone:
                async with talking(environment=served.environment()) as talk:
                    await asyncio.sleep(SETTLING_S)
                    yield Scene(service, talk, room, speaker, microphone)


def scenario(voice: str, sentences: int = len(ANSWERS)) -> str:
    """Return a scenario in which each answer begins with another of `ANSWERS`.

    Args:
        voice: Id of the model's voice.
        sentences: Number of sentences in an answer.
    """
    lines = [f"name: long-winded\nvoice: {voice}\nendpoint_ms: {ENDPOINT_MS}\nloop: true\nsteps:"]
    for step in range(STEPS):
        lines.append("  - user: go on\n    say:")
        sentence_texts = islice(cycle(ANSWERS), step * 5, step * 5 + sentences)
        lines += [f'      - "{text}"' for text in sentence_texts]
    return "\n".join(lines) + "\n"
