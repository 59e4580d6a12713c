"""Measures open speakers on real devices, in real time: the whole command, in a room.

The devices are PulseAudio's null sinks, reached through PortAudio; the room between loudspeaker and
microphone is tests/devices/room.py. `sonic-voice talk --json` runs in a process of its own and
talks to an emulator in this one, which hears words as well as what is installed allows (Whisper,
extra `speech`). All times are of one clock. Printed are:

- *talk alone*, `--minutes`: the model talks, the person only asks for more. False barge-ins
  (`Interrupted` while the person was silent), speech that the service believed in, ducks.
- *interruptions*, `--interruptions`: people (tests/speech) as loud as the echo, into the model's
  speech. How many were noticed; *onset to duck*, from the person's first sound at the microphone to
  the loudspeaker 8 dB softer; *signal to silence*, from the service's `userSpeechStart` to the
  last sample that sounds; *click*, the largest step there against that of the speech before;
  *words*, error rate of the interruptions as the emulator heard them; *heard text*, how many words
  it is longer or shorter than what had sounded: the capture is laid over what was sent, and the
  words' times in that are looked for where the text is known (tests/devices/word_times.py).
- *noises*: doors and the like, 6 dB over the echo: ducked, came back, taken for a person, and the
  words of the answers that none broke off, captured against sent. The target is that of ten eight
  ducked and came back.
- *CPU* of the talking process, in per cent of a core, and what it complained of.

Ends with 0 if the targets are met, 1 if not.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bench_echo import ANSWERS, NOISES, PERSON, VOICES, recogniser

from sonic_voice import wire
from sonic_voice.audio.pcm import to_pcm
from sonic_voice.emulator.assembly import Behaviour, emulator
from sonic_voice.emulator.observers import StreamStatistics
from sonic_voice.emulator.server.stream_handler import StreamTimeouts
from sonic_voice.emulator.service.effects import Effect, Emit, StreamRefusal
from sonic_voice.emulator.speech import WhisperRecognizer, synthesizer

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from tests.support.device_sounds import SPOKEN_HZ, at_capture_rate  # noqa: E402
from tests.support.gauges import (  # noqa: E402
    Captured,
    Gains,
    click,
    gains,
    last_sound,
    onset_at,
    silent_from,
)
from tests.support.room import Room  # noqa: E402
from tests.support.simulated_room import (  # noqa: E402
    RATE_HZ,
    Samples,
    at_level,
    onset,
    recording,
)
from tests.support.talk_command import Talk, talking  # noqa: E402
from tests.support.virtual import (  # noqa: E402
    CAPTURE_HZ,
    Capture,
    SoundServer,
    missing,
)
from tests.support.word_errors import word_error_rate  # noqa: E402
from tests.support.word_times import middles_s  # noqa: E402

SETTLING_S = 3.0
"""Before anybody speaks: the devices, and the command's session."""
QUESTION = "hello"
QUESTION_LEVEL = 0.1
LEARNING_S = 6.0
"""Of the model's speech, until the room is known and its echo measured."""
LEAD_S = 3.0
"""How long the model speaks before it is interrupted."""
NEXT_S = 12.0
"""Longest wait for an interruption's answer."""
NEEDLE_S = 1.5
NOISE_EVERY_S = 5.0
NOISE_OVER_ECHO = 2.0
"""6 dB: a door is not polite."""
BACK_S = (2.2, 3.2)
"""When after a noise the answer is to be as loud as before."""
LEAST_BACK = 0.9
NOISES_MADE = 10
CUT_S = 0.1
"""After the signal no sound of the turn comes any more."""
ENDPOINT_MS = 800
STEPS = 40
LIFE_S = 7200.0

LEAST_NOTICED = 0.95
MOST_DUCK_MS = 250.0
MOST_SILENCE_MS = 40.0
MOST_ERRORS = 0.10
LEAST_CAME_BACK = 0.8
MOST_CPU = 0.12


@dataclass(slots=True)
class Turn:
    """What the service sent of one answer."""

    pcm: bytearray = field(default_factory=bytearray)
    plans: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    """Each block's text, and after how many seconds of the turn's sound it began."""
    began_s: float = 0.0
    """When its first sound was sent, in seconds of `time.monotonic()`."""
    ended: bool = False
    """Whether all of it was sent, or it was broken off."""
    broken: bool = False
    """Whether a user was heard since it began to sound."""

    @property
    def sound_s(self) -> float:
        return len(self.pcm) / (2 * SPOKEN_HZ)


@dataclass(slots=True)
class Service:
    """An `EmulatorObserver` and `StreamObserver` that notes what the emulator sends, and when."""

    turns: list[Turn] = field(default_factory=lambda: [Turn()])
    """The first is empty, as turns are numbered from 1."""
    onsets_s: list[float] = field(default_factory=list[float])
    """When it said that the user speaks, in seconds of `time.monotonic()`."""
    planned: bool = False
    """Whether the text to come is of a plan."""

    def opened(self, statistics: StreamStatistics) -> "Service":
        return self

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        raise SystemExit(f"The emulator refused: {refusal}")

    def received(self, payload: bytes) -> None:
        """See `StreamObserver`."""

    def input_ended(self) -> None:
        """See `StreamObserver`."""

    def over(self) -> None:
        """See `StreamObserver`."""

    def answered(self, effect: Effect) -> None:
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
    """A conversation under way, and all that listens to it."""

    service: Service
    talk: Talk
    room: Room
    speaker: Capture
    microphone: Capture
    asked: int = 0

    async def ask(self, sound: Samples) -> Turn:
        """The person says `sound`. The turn that answers it, begun and not broken off."""
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

    async def told(self, turn: Turn) -> None:
        """All of `turn` has sounded."""
        while not turn.ended or time.monotonic() < turn.began_s + turn.sound_s + 0.5:  # noqa: ASYNC110 - it is the clock
            await asyncio.sleep(0.1)

    def position(self, at_s: float) -> int:
        return self.speaker.position(at_s)

    def captured(self, turn: Turn) -> Captured:
        """All of `turn` as the loudspeaker gave it."""
        first = self.position(turn.began_s)
        return self.speaker.samples[first : first + round((turn.sound_s + 0.5) * CAPTURE_HZ)]

    def gains(self, turn: Turn, near_s: float) -> Gains:
        """How loud `turn` was, which sounded at full level in the second before `near_s`."""
        return gains(bytes(turn.pcm), self.speaker.samples, self.position(near_s))

    def events(self, name: str, since_s: float, until_s: float) -> list[tuple[float, Any]]:
        """The command's events of that name, each with when it happened."""
        return [
            (event["at_s"], event)
            for _, event in self.talk.events
            if event["event"] == name and since_s <= event["at_s"] < until_s
        ]


class Cpu:
    """CPU time of a process, all threads, as a share of a core since it was made."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._began_s, self._cpu_s = time.monotonic(), self._spent_s()

    @property
    def share(self) -> float:
        return (self._spent_s() - self._cpu_s) / (time.monotonic() - self._began_s)

    def _spent_s(self) -> float:
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def scene(voice: str, sentences: int = len(ANSWERS)) -> AsyncGenerator[Scene]:
    """A conversation with answers of so many sentences, begun and nothing said yet."""
    service = Service()
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
    """Each answer has so many of `ANSWERS`, beginning elsewhere."""
    lines = [f"name: long-winded\nvoice: {voice}\nendpoint_ms: {ENDPOINT_MS}\nloop: true\nsteps:"]
    for step in range(STEPS):
        lines.append("  - user: go on\n    say:")
        told = islice(cycle(ANSWERS), step * 5, step * 5 + sentences)
        lines += [f'      - "{text}"' for text in told]
    return "\n".join(lines) + "\n"


async def talk_alone(voice: str, length_s: float) -> bool:
    """False barge-ins in `length_s`."""
    async with scene(voice) as here:
        cpu = Cpu(here.talk.process.pid)
        over_s = time.monotonic() + length_s
        while time.monotonic() < over_s:
            turn = await here.ask(at_level(recording("speech", QUESTION), QUESTION_LEVEL))
            with suppress(TimeoutError):
                async with asyncio.timeout(over_s - time.monotonic()):
                    await here.told(turn)
        spent = cpu.share
        _, complaints, _ = await here.talk.leave()
    interrupted = len(here.talk.all("Interrupted"))
    believed = len(here.service.onsets_s) - here.asked
    told = [turn for turn in here.service.turns if turn.pcm]
    ducks = sum(here.gains(turn, turn.began_s + 2.0).ducks() for turn in told)
    print(f"Talk alone, {voice}, {length_s / 60:.1f} minutes in {here.asked} answers")
    print(f"  false barge-ins        {interrupted}; the service: {believed}; ducks: {ducks}")
    _print_cpu(spent, complaints)
    return not interrupted and spent < MOST_CPU and not complaints


@dataclass(frozen=True, slots=True)
class Interruption:
    """One that was made, for later measuring."""

    name: str
    sound: Samples
    said_s: float
    over_s: float
    turn: Turn


async def interruptions(voice: str, number: int) -> bool:
    """Real barge-ins, as loud as the echo."""
    made: list[Interruption] = []
    question = at_level(recording("speech", QUESTION), QUESTION_LEVEL)
    async with scene(voice) as here:
        cpu = Cpu(here.talk.process.pid)
        turn = await here.ask(question)
        await asyncio.sleep(LEARNING_S)
        level = here.room.echo_level
        for name in islice(cycle(PERSON), number):
            sound = at_level(recording("speech", name), level)
            said_s, before = time.monotonic(), turn
            try:
                turn = await here.ask(sound)
            except TimeoutError:  # nobody noticed
                await here.told(turn)
                turn = await here.ask(question)
            made.append(Interruption(name, sound, said_s, time.monotonic(), before))
            await asyncio.sleep(LEAD_S)
        spent = cpu.share
        _, complaints, _ = await here.talk.leave()
    return _tell_interruptions(here, voice, made, spent, complaints)


def _tell_interruptions(
    here: Scene, voice: str, made: Sequence[Interruption], spent: float, complaints: str
) -> bool:
    speak = synthesizer(Behaviour().voices)
    noticed = 0
    duck_ms: list[float] = []
    signal_ms: list[float] = []
    silence_ms: list[float] = []
    clicks: list[float] = []
    words: list[tuple[str, str]] = []
    too_many: list[int] = []
    longer_ms: list[float] = []
    speaker, microphone = here.speaker.samples, here.microphone.samples
    for one in made:
        begins = onset(one.sound)
        needle = at_capture_rate(to_pcm(one.sound[begins:][: round(NEEDLE_S * RATE_HZ)]), RATE_HZ)
        at = onset_at(
            needle,
            microphone,
            here.microphone.position(one.said_s + begins / RATE_HZ),
            here.microphone.position(one.said_s + begins / RATE_HZ + NEEDLE_S + 1.0),
        )
        onset_s = here.microphone.time_s(at)
        begin = here.position(onset_s)
        told = [s for s in here.service.onsets_s if onset_s < s < one.over_s]
        interrupted = here.events("Interrupted", onset_s, one.over_s)
        noticed += bool(interrupted)
        line = f"    {one.name:18}"
        if told:
            end = here.position(told[0])
            gain = here.gains(one.turn, onset_s)
            softened = gain.softened_at(begin, end)
            if softened is not None:
                duck_ms.append(1000 * (softened - begin) / CAPTURE_HZ)
                line += f" duck {duck_ms[-1]:4.0f}"
            signal_ms.append(1000 * (told[0] - onset_s))
            line += f" signal {signal_ms[-1]:4.0f}"
            if interrupted and (silent := silent_from(speaker, end)) is not None:
                silence_ms.append(1000 * (silent - end) / CAPTURE_HZ)
                clicks.append(click(speaker, silent))
                line += f" silence +{silence_ms[-1]:3.0f} click {clicks[-1]:.2f}"
            for _, text in here.events("Heard", onset_s, one.over_s):
                sounded_s = gain.sounded_s(last_sound(speaker, end + round(CUT_S * CAPTURE_HZ)))
                longer_ms.append(text["heard_ms"] - 1000 * sounded_s)
                sounded = sum(
                    begins_s + middle_s < sounded_s
                    for plan, begins_s in one.turn.plans
                    for middle_s in middles_s(plan, speak(plan, voice, SPOKEN_HZ), SPOKEN_HZ)
                )
                too_many.append(len(text["heard"].split()) - sounded)
                line += f" heard {too_many[-1]:+d}"
        said = (ROOT / "tests" / "speech" / f"{one.name}.txt").read_text(encoding="utf-8").strip()
        heard = " ".join(e["text"] for _, e in here.events("UserText", onset_s, one.over_s))
        words.append((said, heard))
        line += f" words {word_error_rate(words[-1:]):4.0%}"
        print(line)
    print(f"Interruptions, {len(made)}, as loud as the echo")
    print(f"  noticed                {noticed} of {len(made)}")
    print(f"  onset to duck          {_spread(duck_ms)} ms in {len(duck_ms)}")
    print(f"  onset to signal        {_spread(signal_ms)} ms")
    print(f"  signal to silence      {_spread(silence_ms)} ms in {len(silence_ms)}")
    print(f"  click                  {_spread(clicks, '.2f')} of the speech's largest step")
    wrong = word_error_rate(words)
    print(f"  words                  {wrong:.1%} wrong")
    near = sum(abs(k) <= 1 for k in too_many)
    print(f"  heard text             within a word in {near} of {len(too_many)}: {too_many}")
    print(f"  heard sound            {_spread(longer_ms)} ms longer than it was")
    _print_cpu(spent, complaints)
    return (
        noticed >= LEAST_NOTICED * len(made)
        and median(duck_ms) < MOST_DUCK_MS
        and max(silence_ms) < MOST_SILENCE_MS
        and max(clicks) <= 1.0
        and wrong < MOST_ERRORS
        and near == len(too_many)
    )


@dataclass(frozen=True, slots=True)
class Noise:
    """One that was made during `turn`; the service took it for a user, or did not."""

    name: str
    made_s: float
    turn: Turn
    believed: bool


async def noises(voice: str, number: int, ears: WhisperRecognizer | None) -> bool:
    """Doors and the like during answers."""
    question = at_level(recording("speech", QUESTION), QUESTION_LEVEL)
    made: list[Noise] = []
    async with scene(voice) as here:
        turn = await here.ask(question)
        await asyncio.sleep(LEARNING_S)
        level = here.room.echo_level * NOISE_OVER_ECHO
        for name in islice(cycle(NOISES), number):
            if turn.broken or time.monotonic() > turn.began_s + turn.sound_s - NOISE_EVERY_S:
                await here.told(here.service.turns[-1])
                turn = await here.ask(question)
                await asyncio.sleep(LEAD_S)
            made_s = time.monotonic()
            here.room.say(at_level(recording("sounds", name), level))
            await asyncio.sleep(NOISE_EVERY_S)
            made.append(Noise(name, made_s, turn, turn.broken))
        await here.told(here.service.turns[-1])
        await here.talk.leave()
    ducked = back = both = 0
    for one in made:
        gain = here.gains(one.turn, one.made_s)
        first, last = here.position(one.made_s), here.position(one.made_s + 2.0)
        soft = gain.softened_at(first, last) is not None
        level = gain.typical(*(here.position(one.made_s + after_s) for after_s in BACK_S))
        returned = level > LEAST_BACK and not one.believed
        ducked, back, both = ducked + soft, back + returned, both + (soft and returned)
        told = "taken for a user" if one.believed else f"then {level:.2f}"
        print(f"    {one.name:18} {'ducked' if soft else 'no duck':8} {told}")
    print(f"Noises, {len(made)}, {20 * np.log10(NOISE_OVER_ECHO):.0f} dB over the echo")
    print(f"  ducked                 {ducked}, came back {back}, both {both}")
    if ears is not None:
        broken = {id(one.turn) for one in made if one.believed}
        whole = {id(one.turn): one.turn for one in made if id(one.turn) not in broken}.values()
        words = [
            (_words(ears, at_capture_rate(bytes(turn.pcm))), _words(ears, here.captured(turn)))
            for turn in whole
        ]
        print(f"  answers                {word_error_rate(words):.1%} of the words sent are lost")
    return both >= LEAST_CAME_BACK * len(made)


def _words(ears: WhisperRecognizer, sound: Captured) -> str:
    utterance = ears.begin(CAPTURE_HZ)
    utterance.feed(sound.tobytes())
    return utterance.finish()


def _spread(values: Sequence[float], form: str = ".0f") -> str:
    if not values:
        return "not measured:"
    return f"{median(values):{form}} median, {max(values):{form}} most"


def _print_cpu(spent: float, complaints: str) -> None:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"  CPU                    {100 * spent:.1f} % of a core (load {load})")
    print(f"  complaints             {complaints.strip() or 'none'}")


async def main() -> int:
    arguments = argparse.ArgumentParser(description="Measures open speakers on real devices.")
    arguments.add_argument("--minutes", type=float, default=10.0, help="of talk alone")
    arguments.add_argument("--interruptions", type=int, default=20)
    arguments.add_argument("--noises", type=int, default=10)
    asked = arguments.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    ears, met, server = recogniser(), True, SoundServer(in_step=True)
    try:
        if asked.interruptions:
            met &= await interruptions(VOICES[0], asked.interruptions)
        if asked.noises:
            met &= await noises(VOICES[1], asked.noises, ears)
        for voice in VOICES if asked.minutes else ():
            met &= await talk_alone(voice, 60 * asked.minutes / len(VOICES))
    finally:
        server.close()
    print("All targets are met." if met else "A target is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
