"""Measure the whole command on real devices in real time, with a loudspeaker in a room.

The devices are PulseAudio's null sinks, used through PortAudio. The room between loudspeaker and
microphone is tests/support/room.py. `sonic-voice talk --json` runs in a process of its own and
talks to an emulator in this one, with the best installed speech recognition (Whisper, extra
`speech`). All times are of one clock. The figures are:

- *talk alone*, `--minutes`: the model talks, and the person only asks for more. Printed are false
  barge-ins (`Interrupted` while the person was silent), onsets that the service reported, and
  ducks.
- *interruptions*, `--interruptions`: people (tests/speech) interrupt the model, as loud as the
  echo. Printed is how many were noticed, and:
  - *onset to duck*: from the person's first sound at the microphone to a loudspeaker that is 8 dB
    softer;
  - *signal to silence*: from the service's `userSpeechStart` to the last audible sample;
  - *click*: the largest step there, relative to that of the speech before;
  - *words*: word error rate of the interruptions at the emulator;
  - *heard text*: the number of words by which it is longer or shorter than the text that was
    played. The captured audio is aligned with the sent audio, in which the times of the words are
    known (tests/support/word_times.py).
- *noises*: doors and other noises, 6 dB louder than the echo. Printed is how many ducked the
  playback, how many came back to the level, how many were taken for a person, and the words of the
  answers that were not interrupted, captured relative to sent. The target is that eight of ten
  ducked the playback and came back.
- *CPU* of the talking process, as a percentage of a core, and its messages.

The exit code is 0 if the targets are met, 1 if not.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median

import numpy as np

from scripts.bench.common import ROOT
from scripts.bench.echo import NOISES, best_recognizer
from scripts.bench.echo_scenes import PERSON, VOICES
from scripts.bench.scene import CpuMeter, Scene, Turn, scene
from sonic_voice.audio.pcm import to_pcm
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.speech import WhisperRecognizer, synthesizer
from tests.support.device_sounds import SPOKEN_HZ, at_capture_rate
from tests.support.gauges import (
    Captured,
    click,
    last_sound,
    onset_at,
    silent_from,
)
from tests.support.simulated_room import (
    RATE_HZ,
    Samples,
    at_level,
    onset,
    recording,
)
from tests.support.virtual import CAPTURE_HZ, SoundServer, missing
from tests.support.word_errors import word_error_rate
from tests.support.word_times import middles_s

QUESTION = "hello"
"""Name of the recording that asks for an answer."""
QUESTION_LEVEL = 0.1
"""RMS level of the question."""
LEARNING_S = 6.0
"""Time of the model's speech in which the canceller learns the room, in seconds. After it the level
of the echo is measured."""
LEAD_S = 3.0
"""Time for which the model speaks before it is interrupted, in seconds."""
NEEDLE_S = 1.5
"""Length of the part of an interruption that is searched for in the capture, in seconds."""
NOISE_EVERY_S = 5.0
"""Time from one noise to the next, in seconds."""
NOISE_OVER_ECHO = 2.0
"""Level of a noise relative to the echo: 6 dB more."""
BACK_S = (2.2, 3.2)
"""Time after a noise in which the answer must be as loud as before, in seconds."""
LEAST_BACK = 0.9
"""Minimum level of the answer in that time, relative to the sent audio."""
NOISES_MADE = 10
"""Default number of noises."""
CUT_S = 0.1
"""Time after the signal in which the audio of the turn has ended, in seconds."""

LEAST_NOTICED = 0.95
"""Target: minimum share of interruptions that are noticed."""
MOST_DUCK_MS = 250.0
"""Target: maximum median time from the onset to the ducking, in milliseconds."""
MOST_SILENCE_MS = 40.0
"""Target: maximum time from the signal to silence, in milliseconds."""
MOST_ERRORS = 0.10
"""Target: maximum word error rate."""
LEAST_CAME_BACK = 0.8
"""Target: minimum share of noises after which the playback was ducked and returned."""
MOST_CPU = 0.12
"""Target: maximum CPU load of the talking process; 1.0 is a whole core."""


async def talk_alone(voice: str, length_s: float) -> bool:
    """Measure and print false barge-ins.

    Args:
        voice: Id of the model's voice.
        length_s: Length of the talk, in seconds.

    Returns:
        Whether the targets are met.
    """
    async with scene(voice) as here:
        cpu = CpuMeter(here.talk.process.pid)
        over_s = time.monotonic() + length_s
        while time.monotonic() < over_s:
            turn = await here.ask(at_level(recording("speech", QUESTION), QUESTION_LEVEL))
            with suppress(TimeoutError):
                async with asyncio.timeout(over_s - time.monotonic()):
                    await here.played(turn)
        spent = cpu.share
        _, complaints, _ = await here.talk.leave()
    interrupted = len(here.talk.all("Interrupted"))
    believed = len(here.service.onsets_s) - here.asked
    answered = [turn for turn in here.service.turns if turn.pcm]
    ducks = sum(here.gains(turn, turn.began_s + 2.0).ducks() for turn in answered)
    print(f"Talk alone, {voice}, {length_s / 60:.1f} minutes in {here.asked} answers")
    print(f"  false barge-ins        {interrupted}; the service: {believed}; ducks: {ducks}")
    _print_cpu(spent, complaints)
    return not interrupted and spent < MOST_CPU and not complaints


@dataclass(frozen=True, slots=True)
class Interruption:
    """An interruption that was made, to be measured later."""

    name: str
    sound: Samples
    said_s: float
    over_s: float
    turn: Turn


async def interruptions(voice: str, number: int) -> bool:
    """Interrupt the model, as loud as the echo, and print the figures.

    Args:
        voice: Id of the model's voice.
        number: Number of interruptions.

    Returns:
        Whether the targets are met.
    """
    made: list[Interruption] = []
    question = at_level(recording("speech", QUESTION), QUESTION_LEVEL)
    async with scene(voice) as here:
        cpu = CpuMeter(here.talk.process.pid)
        turn = await here.ask(question)
        await asyncio.sleep(LEARNING_S)
        level = here.room.echo_level
        for name in islice(cycle(PERSON), number):
            sound = at_level(recording("speech", name), level)
            said_s, before = time.monotonic(), turn
            try:
                turn = await here.ask(sound)
            except TimeoutError:  # the interruption was not noticed
                await here.played(turn)
                turn = await here.ask(question)
            made.append(Interruption(name, sound, said_s, time.monotonic(), before))
            await asyncio.sleep(LEAD_S)
        spent = cpu.share
        _, complaints, _ = await here.talk.leave()
    return _print_interruptions(here, voice, made, spent, complaints)


def _print_interruptions(
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
        signals_s = [s for s in here.service.onsets_s if onset_s < s < one.over_s]
        interrupted = here.events("Interrupted", onset_s, one.over_s)
        noticed += bool(interrupted)
        line = f"    {one.name:18}"
        if signals_s:
            end = here.position(signals_s[0])
            gain = here.gains(one.turn, onset_s)
            softened = gain.softened_at(begin, end)
            if softened is not None:
                duck_ms.append(1000 * (softened - begin) / CAPTURE_HZ)
                line += f" duck {duck_ms[-1]:4.0f}"
            signal_ms.append(1000 * (signals_s[0] - onset_s))
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
    """A noise that was made during a turn, to be measured later."""

    name: str
    made_s: float
    turn: Turn
    believed: bool
    """True if the service took it for a user."""


async def noises(voice: str, number: int, recognizer: WhisperRecognizer | None) -> bool:
    """Make noises during answers, and print the figures.

    Args:
        voice: Id of the model's voice.
        number: Number of noises.
        recognizer: Speech recognition; None does not count words.

    Returns:
        Whether the targets are met.
    """
    question = at_level(recording("speech", QUESTION), QUESTION_LEVEL)
    made: list[Noise] = []
    async with scene(voice) as here:
        turn = await here.ask(question)
        await asyncio.sleep(LEARNING_S)
        level = here.room.echo_level * NOISE_OVER_ECHO
        for name in islice(cycle(NOISES), number):
            if turn.broken or time.monotonic() > turn.began_s + turn.sound_s - NOISE_EVERY_S:
                await here.played(here.service.turns[-1])
                turn = await here.ask(question)
                await asyncio.sleep(LEAD_S)
            made_s = time.monotonic()
            here.room.say(at_level(recording("sounds", name), level))
            await asyncio.sleep(NOISE_EVERY_S)
            made.append(Noise(name, made_s, turn, turn.broken))
        await here.played(here.service.turns[-1])
        await here.talk.leave()
    ducked = back = both = 0
    for one in made:
        gain = here.gains(one.turn, one.made_s)
        first, last = here.position(one.made_s), here.position(one.made_s + 2.0)
        soft = gain.softened_at(first, last) is not None
        level = gain.typical(*(here.position(one.made_s + after_s) for after_s in BACK_S))
        returned = level > LEAST_BACK and not one.believed
        ducked, back, both = ducked + soft, back + returned, both + (soft and returned)
        outcome = "taken for a user" if one.believed else f"then {level:.2f}"
        print(f"    {one.name:18} {'ducked' if soft else 'no duck':8} {outcome}")
    print(f"Noises, {len(made)}, {20 * np.log10(NOISE_OVER_ECHO):.0f} dB over the echo")
    print(f"  ducked                 {ducked}, came back {back}, both {both}")
    if recognizer is not None:
        broken = {id(one.turn) for one in made if one.believed}
        whole = {id(one.turn): one.turn for one in made if id(one.turn) not in broken}.values()
        words = [
            (
                _words(recognizer, at_capture_rate(bytes(turn.pcm))),
                _words(recognizer, here.captured(turn)),
            )
            for turn in whole
        ]
        print(f"  answers                {word_error_rate(words):.1%} of the words sent are lost")
    return both >= LEAST_CAME_BACK * len(made)


def _words(recognizer: WhisperRecognizer, sound: Captured) -> str:
    utterance = recognizer.begin(CAPTURE_HZ)
    utterance.feed(sound.tobytes())
    return utterance.finish() or ""


def _spread(values: Sequence[float], form: str = ".0f") -> str:
    if not values:
        return "not measured:"
    return f"{median(values):{form}} median, {max(values):{form}} most"


def _print_cpu(spent: float, complaints: str) -> None:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"  CPU                    {100 * spent:.1f} % of a core (load {load})")
    print(f"  complaints             {complaints.strip() or 'none'}")


async def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    arguments = argparse.ArgumentParser(
        prog="scripts/bench/run room", description="Measure the whole command on real devices."
    )
    arguments.add_argument("--minutes", type=float, default=10.0, help="of talk without a person")
    arguments.add_argument("--interruptions", type=int, default=20, help="how many to make")
    arguments.add_argument("--noises", type=int, default=NOISES_MADE, help="how many to make")
    asked = arguments.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    recognizer, met, server = best_recognizer(), True, SoundServer(in_step=True)
    try:
        if asked.interruptions:
            met &= await interruptions(VOICES[0], asked.interruptions)
        if asked.noises:
            met &= await noises(VOICES[1], asked.noises, recognizer)
        for voice in VOICES if asked.minutes else ():
            met &= await talk_alone(voice, 60 * asked.minutes / len(VOICES))
    finally:
        server.close()
    print("All targets are met." if met else "A target is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
