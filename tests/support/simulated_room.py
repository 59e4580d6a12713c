"""A loudspeaker and a microphone in one room, in a time that runs as fast as it is asked for.

Each read of the microphone lets `frames` of 10 ms pass. In each the loudspeaker plays a frame of
its buffer, distorts it as small ones do, and the room gives it back, `delay_ms` later than the
devices tell, with its reverberation and the microphone's noise; whatever the person said comes on
top. So what is done to the playback is heard in the next frames, as in a real room.

tests/sounds/room-impulse.wav is the way from one to the other: 4.2 x 3.6 x 2.6 m, reverberation
0.34 s, 0.36 m apart, below 200 Hz a loudspeaker that is too small.
"""

import wave
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sonic_voice.audio.pcm import from_pcm, to_pcm
from sonic_voice.audio.playout import PlayoutBuffer
from sonic_voice.audio.ports import INPUT_FORMAT

TESTS = Path(__file__).parent.parent
RATE_HZ = 16_000
FRAME = 160
NOISE_DBFS = -62.0
DRIVE = 1.8
"""How far into its distortion the loudspeaker is driven."""
ECHO_GAIN = 0.6
LATENCY_MS = 20
"""How long a frame lies in the loudspeaker's device, which tells."""
BLOCK = 8192
"""Of the convolution: more than delay, impulse and frame together."""

type Samples = NDArray[np.float32]


def recording(folder: str, name: str) -> Samples:
    """tests/`folder`/`name`.wav, 16 kHz mono, full scale 1."""
    with wave.open(str(TESTS / folder / f"{name}.wav"), "rb") as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE_HZ, 1)
        return from_pcm(file.readframes(file.getnframes()))


def loudness(sound: Samples) -> float:
    """The root mean square of `sound` without its pauses, 20 dB below the loudest 10 ms."""
    power = np.square(sound[: len(sound) // FRAME * FRAME]).reshape(-1, FRAME).mean(axis=1)
    return float(np.sqrt(power[power > power.max() / 100].mean()))


def onset(sound: Samples) -> int:
    """The sample where `sound` begins: the first 10 ms that are less than 25 dB below its peak."""
    power = np.square(sound[: len(sound) // FRAME * FRAME]).reshape(-1, FRAME).mean(axis=1)
    return int(np.argmax(power > power.max() * 10**-2.5)) * FRAME


def at_level(sound: Samples, level: float) -> Samples:
    """`sound` with that `loudness`."""
    return (sound * (level / loudness(sound))).astype(np.float32)


def decibels(sound: Samples) -> float:
    """Return the mean power of `sound`, in decibels of full scale."""
    return float(10 * np.log10(np.mean(np.square(sound)) + 1e-12))


MODEL = at_level(recording("speech", "jfk"), 0.1)
"""The model says this, for 11 s."""
PERSON = at_level(recording("speech", "transfer"), 0.06)
"""The person says this, about as loud as the model is at the microphone."""


class Block(NamedTuple):
    pcm: bytes
    rate_hz: int
    at_s: float
    gap: bool = False


class SimulatedRoom:
    """Both a `TimedSource` and a `TappedSink`."""

    def __init__(self, delay_ms: int = 80, seed: int = 0, frames: int = 1) -> None:
        self.format = INPUT_FORMAT
        self._frames = frames
        self.done = False
        self.chunk_began_s = 0.0
        self.samples = 0
        """How far the time has come."""
        self.played: list[bytes] = []
        """All that the loudspeaker was given, a frame each."""
        self.echo = np.zeros(FRAME, np.float32)
        """What of it the microphone heard in the last frame."""
        self.echoed_power = 0.0
        """Sum of the squares of all it heard."""
        self.soft = False
        """True if the loudspeaker was told to be soft."""
        self._buffer = PlayoutBuffer(INPUT_FORMAT)
        self._blocks: list[Block] = []
        self._late_s = 0.0
        self._gap = False
        self._path = _path(delay_ms)
        self._tail = np.zeros(BLOCK, np.float32)
        self._person = np.zeros(0, np.float32)
        self._random = np.random.default_rng(seed)
        self._closed = False

    # -- the loudspeaker

    def play(self, turn: int, sound: Samples) -> None:
        self._buffer.play(turn, to_pcm(sound))

    def flush(self) -> None:
        self._buffer.flush()
        self.soft = False

    def duck(self, gain: float, ramp_ms: float) -> None:
        self._buffer.duck(gain, ramp_ms)
        self.soft = True

    def release(self, ramp_ms: float) -> None:
        self._buffer.duck(1.0, ramp_ms)
        self.soft = False

    @property
    def pending_s(self) -> float:
        return self._buffer.pending_s

    def drain_played(self) -> list[Block]:
        blocks, self._blocks = self._blocks, []
        return blocks

    def slip(self, told_ms: int, delay_ms: int) -> None:
        """The device has run dry, for `told_ms` by what it tells; by that the echo is `delay_ms`
        late."""
        self._gap = True
        self._late_s = told_ms / 1000
        self._path = _path(told_ms + delay_ms)

    # -- the microphone

    def say(self, sound: Samples) -> None:
        """The person speaks `sound` from now on, after what was to be said before."""
        self._person = np.concatenate([self._person, sound])

    async def read(self) -> bytes:
        if self._closed:
            return b""
        self.chunk_began_s = self.now()
        return b"".join(self._pass() for _ in range(self._frames))

    async def read_samples(self) -> Samples:
        return from_pcm(await self.read())

    def now(self) -> float:
        return self.samples / RATE_HZ

    async def aclose(self) -> None:
        self._closed = True

    def _pass(self) -> bytes:
        """10 ms; what the microphone heard."""
        pcm = self._buffer.pull(FRAME)
        self.played.append(pcm)
        at_s = self.now() + LATENCY_MS / 1000 + self._late_s
        self._blocks.append(Block(pcm, RATE_HZ, at_s, self._gap))
        self._gap = False
        self.samples += FRAME
        person, self._person = self._person[:FRAME], self._person[FRAME:]
        self.echo = self._echoed(from_pcm(pcm))
        self.echoed_power += float(np.sum(np.square(self.echo)))
        heard = self.echo + 10 ** (NOISE_DBFS / 20) * self._random.standard_normal(FRAME)
        heard[: len(person)] += person
        return to_pcm(heard.astype(np.float32))

    def _echoed(self, played: Samples) -> Samples:
        if played.any():
            sounding = np.tanh(DRIVE * played) / DRIVE
            self._tail += np.fft.irfft(np.fft.rfft(sounding, BLOCK) * self._path, BLOCK)
        echo = self._tail[:FRAME].copy()
        self._tail = np.concatenate([self._tail[FRAME:], np.zeros(FRAME, np.float32)])
        return echo.astype(np.float32)


def _path(delay_ms: int) -> NDArray[np.complex64]:
    """What the room does to a sound, `delay_ms` after it has left the loudspeaker."""
    impulse = np.zeros(BLOCK, np.float32)
    response = ECHO_GAIN * recording("sounds", "room-impulse")
    late = (LATENCY_MS + delay_ms) * RATE_HZ // 1000
    kept = min(len(response), BLOCK - late - FRAME)
    impulse[late : late + kept] = response[:kept]
    return np.fft.rfft(impulse).astype(np.complex64)


class Microphone(Protocol):
    """A port of `sent_until` to a microphone, which usually is an echo-cancelled one."""

    async def read(self) -> bytes: ...


async def sent_until(speakers: Microphone, room: SimulatedRoom, end_s: float) -> Samples:
    """Return what the microphone delivers until the room's time is `end_s`."""
    sent: list[Samples] = []
    while room.now() < end_s:
        sent.append(from_pcm(await speakers.read()))
    return np.concatenate(sent)
