"""Scenes of the benchmark `echo`: what microphone and reference hold in each of its conditions.

A scene is the model's voice in the simulated room of tests/support/simulated_room.py, while a
person interrupts it now and then. It is an open loop: the playback goes on, whatever is detected.
Therefore every rule hears the same sound. The loudspeaker distorts by a hyperbolic tangent, the
more the louder it is; the person and the noise of the microphone are added to the echo.

The reference of a scene has the lead that `ReferenceAlignment` gives it, and holds all samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from sonic_voice.echo.reference_alignment import LEAD_S
from tests.support.simulated_room import (
    DRIVE,
    ECHO_GAIN,
    NOISE_DBFS,
    RATE_HZ,
    Samples,
    at_level,
    loudness,
    onset,
    recording,
)

ALONE_S = 200.0
"""Time of the model's voice without a person in one scene, in seconds. Six scenes, of three seeds
and two voices, are 20 minutes."""

INTERRUPTIONS = 4
"""Number of interruptions in one scene; 24 in six."""

AFTER_S = 1.0
"""Time after an interruption in which an onset still counts as the person's, in seconds."""

DELAY_S = 0.08
"""Delay of the echo after the time that the devices report, in seconds."""

SENTENCE_PAUSE_S = (0.05, 0.8)
"""Shortest and longest pause between two sentences, in seconds."""

ANSWER_PAUSE_S = (1.5, 5.0)
"""Shortest and longest pause between two answers, in seconds. After a pause AEC3 lets the first
loud words through where the loudspeaker distorts."""

CHANGE_INTERVAL_S = 30.0
"""Time between two changes of the delay, in seconds: 40 in 20 minutes."""

DELAY_CHANGE_S = 0.05
"""Change of the delay, in seconds: forth and back."""

VOLUME_INTERVAL_S = 10.0
"""Time between two changes of the volume, in seconds."""

VOLUME_RAMP_S = 0.2
"""Duration of a change of the volume, in seconds: a fast hand."""

MOVEMENT_S = 4.0
"""Time in which a person who moves changes all reflections once, in seconds."""

DIRECT_SAMPLES = 120
"""Length of the beginning of the room's response that a moving person does not change, in samples:
7 ms, the direct sound and the reflections of the table."""

PERSON = (
    "agent-newlocation cards-001 cards-003 cards-004 cards-005 demo-thanks goforward jfk "
    "please-try-again something transfer tt-weasels vm-sorry"
).split()
"""Names of the recordings of people, in tests/speech."""

VOICES = ("matthew", "tiffany")
"""Voices of the model: a male and a female one."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of the benchmark."""

    name: str
    """Name in the table."""
    volume: float = 1.0
    """Factor of the sound before the loudspeaker; 1 is the one of the tests' room, where the echo
    is as loud as the person."""
    asymmetry: float = 0.0
    """Bias of the loudspeaker's hyperbolic tangent: how much more it distorts in one direction."""
    person_db: float = 0.0
    """Level of the person relative to the echo, in dB."""
    echo_db: float = 0.0
    """Level of the echo relative to what the room would give, in dB."""
    capture_db: float = 0.0
    """Amplification of the microphone, in dB. It clips at full scale."""
    voices: Sequence[str] = VOICES
    """Voices of the model, one scene each for every seed."""
    delay_changes: bool = False
    """True if the delay changes every `CHANGE_INTERVAL_S`, without notice."""
    volume_changes_db: float = 0.0
    """Change of the volume every `VOLUME_INTERVAL_S`, up and down, in dB."""
    moving: bool = False
    """True if somebody walks through the room."""
    background: str = ""
    """The other sound in the room: `music`, `tv` or nothing."""
    silent_model: bool = False
    """True if the model says nothing: what the background alone is taken for."""
    most_false: int | None = None
    """Target: maximum number of false onsets in 20 minutes. None without a target."""
    most_onset_ms: float | None = None
    """Target: maximum median onset, in milliseconds, besides that of the earlier rule."""


FULL_VOLUME = 3.2
"""Volume at which the loudspeaker distorts so much that the learned path leaves -14 dB of the echo
of the female voice, and -10 dB of the male one's: 10 dB over the usual."""

CONDITIONS = (
    Condition("full volume", volume=FULL_VOLUME, most_false=2),
    Condition("full volume, person 6 dB softer", volume=FULL_VOLUME, person_db=-6, most_false=2),
    Condition("full volume, asymmetric", volume=FULL_VOLUME, asymmetry=0.4, most_false=2),
    Condition("as loud as the person", most_false=0),
    Condition("the same, male voice only", voices=("matthew", "matthew"), most_false=0),
    Condition("echo 6 dB louder", volume=2.0, person_db=-6, most_false=1),
    Condition("echo 12 dB softer", echo_db=-12, person_db=12, most_false=0),
    Condition("clipping, +20 dB", capture_db=20, most_false=1, most_onset_ms=300),
    Condition("delay changes by 50 ms", delay_changes=True, most_false=6),
    Condition("somebody moves", moving=True),
    Condition("volume changes by 6 dB", volume_changes_db=6),
    Condition("volume changes by 12 dB", volume_changes_db=12),
    Condition("echo 12 dB louder", volume=2.0, person_db=-12),
    Condition("music in the room", background="music"),
    Condition("music alone", background="music", silent_model=True),
    Condition("TV in the room", background="tv"),
    Condition("TV alone", background="tv", silent_model=True),
)
"""The conditions, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """The place in a scene at which a person speaks."""

    name: str
    """Name of the recording."""
    first: int
    """Position of the recording's first sample."""
    begins: int
    """Position of its first audible sample."""
    end: int
    """Position after its last sample."""


@dataclass(frozen=True, slots=True)
class EchoScene:
    """The sound of a scene. All positions and lengths are in samples at `RATE_HZ`."""

    near: Samples
    """Captured sound."""
    far: Samples
    """Reference, as long as `near`."""
    interruptions: Sequence[Interruption]
    """The person's utterances."""
    changes: Sequence[int]
    """Positions at which the delay or the volume changes."""
    alone_s: float
    """Time without a person, in seconds."""


def build_scene(
    condition: Condition,
    voice: str,
    seed: int,
    sentences: Sequence[Samples],
    alone_s: float = ALONE_S,
    interruptions: int = INTERRUPTIONS,
) -> EchoScene:
    """Return a scene.

    Args:
        condition: What is special in it.
        voice: Name of the voice, which is a part of the seed.
        seed: Seed of the order of the sentences, the pauses, the noise and the people.
        sentences: Sentences of the voice, 20 dB below full scale.
        alone_s: Time without a person, in seconds.
        interruptions: Number of interruptions.
    """
    random = np.random.default_rng([seed, VOICES.index(voice)])
    names: list[str] = random.permutation(PERSON).tolist()
    names = list(islice(cycle(names), interruptions))
    people = [recording("speech", name) for name in names]
    spare = round((alone_s - 2 * AFTER_S) / (interruptions + 1) * RATE_HZ)
    length = round(alone_s * RATE_HZ) + sum(map(len, people))
    length += round(interruptions * AFTER_S * RATE_HZ)
    length -= length % 640
    played = _story(random, sentences, length + RATE_HZ)
    if condition.silent_model:
        played = np.zeros_like(played)
    far = played[round(LEAD_S * RATE_HZ) :][:length]
    gain, gain_changes = _volume(condition, length)
    driven = DRIVE * condition.volume * gain * played[:length]
    bias = condition.asymmetry
    sounding = (np.tanh(driven + bias) - np.tanh(bias)) / DRIVE
    echo, delay_changes = _echo(condition, random, sounding.astype(np.float32))
    echo *= 10 ** (condition.echo_db / 20)
    level = loudness(echo) if echo.any() else 0.07
    near = echo + 10 ** (NOISE_DBFS / 20) * random.standard_normal(length)
    near += _background(condition.background, random, length, level)
    at, spoken = spare + round(random.uniform(0, 2) * RATE_HZ), list[Interruption]()
    for name, sound in zip(names, people, strict=True):
        near[at : at + len(sound)] += at_level(sound, level * 10 ** (condition.person_db / 20))
        spoken.append(Interruption(name, at, at + onset(sound), at + len(sound)))
        at += len(sound) + round(AFTER_S * RATE_HZ) + spare
    captured = np.clip(near * 10 ** (condition.capture_db / 20), -1, 32_767 / 32_768)
    return EchoScene(
        captured.astype(np.float32),
        far,
        spoken,
        sorted([*gain_changes, *delay_changes]),
        length / RATE_HZ - sum(one.end - one.first + AFTER_S * RATE_HZ for one in spoken) / RATE_HZ,
    )


def _story(
    random: np.random.Generator, sentences: Sequence[Samples], length: int
) -> NDArray[np.float32]:
    """Return answers of two to five sentences in random order, with pauses."""
    parts, total = list[Samples](), 0
    while total < length:
        for _ in range(random.integers(2, 6)):
            parts += [
                sentences[int(random.integers(len(sentences)))],
                _pause(random, SENTENCE_PAUSE_S),
            ]
        parts.append(_pause(random, ANSWER_PAUSE_S))
        total = sum(map(len, parts))
    return np.concatenate(parts)[:length]


def _pause(random: np.random.Generator, range_s: tuple[float, float]) -> Samples:
    return np.zeros(round(random.uniform(*range_s) * RATE_HZ), np.float32)


def _volume(condition: Condition, length: int) -> tuple[Samples, list[int]]:
    """Return the factor of the volume for each sample, and where it changes."""
    gain_db = np.zeros(length, np.float32)
    every = round(VOLUME_INTERVAL_S * RATE_HZ)
    changes = list(range(every, length, every)) if condition.volume_changes_db else []
    for number, at in enumerate(changes):
        gain_db[at:] = -condition.volume_changes_db if number % 2 == 0 else 0.0
    ramp = round(VOLUME_RAMP_S * RATE_HZ)
    total = np.cumsum(np.concatenate([np.zeros(ramp), gain_db]))
    smooth = (total[ramp:] - total[:-ramp]) / ramp
    return (10 ** (smooth / 20)).astype(np.float32), changes


def _echo(
    condition: Condition, random: np.random.Generator, sounding: Samples
) -> tuple[Samples, list[int]]:
    """Return the echo of what the loudspeaker radiates, and where its delay changes."""
    response = ECHO_GAIN * recording("sounds", "room-impulse")
    early = _delayed(_convolved(sounding, response), DELAY_S)
    if condition.moving:
        return _moving(random, sounding, response), []
    if not condition.delay_changes:
        return early, []
    late = _delayed(early, DELAY_CHANGE_S)
    echo, every = early.copy(), round(CHANGE_INTERVAL_S * RATE_HZ)
    changes = list(range(every // 2, len(echo), every))
    for number, at in enumerate(changes):
        echo[at:] = (late if number % 2 == 0 else early)[at:]
    return echo, changes


def _moving(random: np.random.Generator, sounding: Samples, response: Samples) -> Samples:
    """Return the echo while the reflections change from one room to another all the time.

    The rooms share the direct sound. Their reflections are those of the recorded response, each
    10 ms of which has another sign or strength.
    """
    step, length = round(MOVEMENT_S * RATE_HZ), len(sounding)
    echo = np.zeros(length, np.float32)
    rooms = list[Samples]()
    for _ in range(4):
        factor = np.repeat(random.uniform(-1.4, 1.4, len(response) // 160 + 1), 160)
        factor = np.convolve(factor, np.hanning(81) / np.hanning(81).sum(), "same")
        room = response.copy()
        room[DIRECT_SAMPLES:] *= factor[: len(response) - DIRECT_SAMPLES].astype(np.float32)
        rooms.append(_delayed(_convolved(sounding, room), DELAY_S))
    ramp = np.linspace(0, 1, step, dtype=np.float32)
    for number, at in enumerate(range(0, length, step)):
        part, end = slice(at, min(at + step, length)), min(step, length - at)
        share = ramp[:end]
        echo[part] = (1 - share) * rooms[number % 4][part] + share * rooms[(number + 1) % 4][part]
    return echo


def _background(kind: str, random: np.random.Generator, length: int, level: float) -> Samples:
    """Return what else sounds in the room, 12 dB below the echo."""
    makers: dict[str, Callable[[np.random.Generator, int], Samples]] = {"music": music, "tv": _tv}
    if kind not in makers:
        return np.zeros(length, np.float32)
    return at_level(makers[kind](random, length), level / 4)


def music(random: np.random.Generator, length: int) -> Samples:
    """Return synthetic music: chords of decaying partials with a beat, because none is at hand.

    Args:
        random: Source of the chords.
        length: Length, in samples.
    """
    beat = round(0.5 * RATE_HZ)
    sound, t = np.zeros(length + beat * 4), np.arange(beat * 4) / RATE_HZ
    for number, at in enumerate(range(0, length, beat)):
        root_hz = 110 * 2 ** (random.integers(0, 12) / 12)
        for step in (0, 4, 7, 12):
            for partial in range(1, 6):
                pitch_hz = root_hz * 2 ** (step / 12) * partial
                sound[at : at + len(t)] += (
                    np.sin(2 * np.pi * pitch_hz * t) * np.exp(-t * (1 + partial)) / partial
                )
        hit = random.standard_normal(len(t)) * np.exp(-t * (60 if number % 2 else 25))
        sound[at : at + len(t)] += 2 * hit
    return sound[:length].astype(np.float32)


def _tv(random: np.random.Generator, length: int) -> Samples:
    """Return people who talk on the television: the recordings, with the reflections of a room."""
    names = [PERSON[int(random.integers(len(PERSON)))] for _ in range(length // RATE_HZ + 1)]
    sound = np.concatenate([recording("speech", name) for name in names])[:length]
    return _convolved(sound, recording("sounds", "room-impulse"))


def _convolved(sound: Samples, response: Samples) -> Samples:
    size = 2 ** int(np.ceil(np.log2(len(sound) + len(response))))
    product = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(sound)].astype(np.float32)


def _delayed(sound: Samples, delay_s: float) -> Samples:
    late = round(delay_s * RATE_HZ)
    return np.concatenate([np.zeros(late, np.float32), sound[: len(sound) - late]])
