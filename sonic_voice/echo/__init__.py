"""Echo cancellation for open loudspeakers, and ducking of the playback while a person speaks.

    Speaker.drain_played() ─► ReferenceAlignment ─► far ─┐
    Microphone.read() ───────────────────────────► near ─┴─► EchoProcessor
                                                                  │
                    ┌─────────────┬──────────────┬────────────────┤
                    ▼             ▼              ▼                ▼
                 Levels      SuddenSound    SpeechSpan (Silero)   what read() returns
                                  └──────┬───────┘
                                         ▼
                                      Ducking ─► Speaker.duck

Two cancellers work side by side, because neither does both tasks. WebRTC's AEC3 leaves nothing of
an echo, but when both sides speak at once it removes the person at this end too. `EchoPath`
subtracts only what it has learned, and leaves the person intact; but of a loud or new echo a
residue remains, which would be taken for a user. `EchoGate` mixes the outputs of both. It knows how
much of the echo the path leaves (`ResidualEcho`), so that neither that residue nor what AEC3 lets
through passes. `PathCheck` notices when the echo has moved in time or changed its level at once,
and changes the path accordingly. The service gets the mix, and local speech is detected in the mix:
what would interrupt the model at the service ducks it here. While the loudspeaker is silent both
cancellers rest.

Measured in a simulated room (`scripts/bench/echo.py` has it: 0.34 s of reverberation, a loudspeaker
that distorts, a person as loud as the echo): AEC3 with its delay estimator needs no hint about the
delay, and a wrong hint costs the first three seconds. It follows an echo that is up to 480 ms late,
but none that is 10 ms early. A reference that drifts by 200 ppm against the echo costs 30 dB of the
52 dB of its attenuation; `ReferenceAlignment` restores them.

Both cancellers learn during the first three seconds of the model's voice, and the microphone is
muted meanwhile. It is also muted after a device has lost a block, if there was an echo before,
until the path fits again: 0.2 s if the delay is as before. `Levels.echo_unknown` reports it.

Without the engines (extra `echo`) the microphone is silent while the model's voice is played: half
duplex. Nothing here starts a thread or a task. Only `echo_cancelled` and the objects that it makes
import the engines.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ..audio.pcm import to_pcm
from ..audio.ports import INPUT_FORMAT, AudioSource
from ..config import AudioFormat
from ..errors import ConfigError
from ..events import Event, Interrupted
from ..extras import install_command
from .echo_path import FRAME_SAMPLES
from .local_speech import (
    DUCK_GAIN,
    DUCK_RAMP_MS,
    LEVEL_FRAMES,
    RELEASE_RAMP_MS,
    Ducking,
    Levels,
    SuddenSound,
    frame_powers,
    power_dbfs,
)
from .processors import (
    TAIL_S,
    EchoCanceller,
    EchoProcessor,
    HalfDuplex,
    Headphones,
    Samples,
)
from .reference_alignment import RATE_HZ, ReferenceAlignment
from .speech_detector import SPEECH_MIN_DBFS, BargeInSensitivity, SpeechDetector

__all__ = [
    "SPEECH_MIN_DBFS",
    "TAIL_S",
    "BargeInSensitivity",
    "EchoCancelledMicrophone",
    "EchoCanceller",
    "EchoProcessor",
    "HalfDuplex",
    "Headphones",
    "ReferenceBlock",
    "SpeechDetector",
    "TappedSink",
    "TimedSource",
    "echo_cancelled",
]


class TimedSource(AudioSource, Protocol):
    """A microphone that knows when it captured its samples. `devices.Microphone` is one."""

    @property
    def chunk_began_s(self) -> float:
        """Time at which the first sample of the last chunk was at the microphone.

        In seconds of the clock that dates `TappedSink.drain_played`.
        """
        ...

    async def read_samples(self) -> Samples:
        """Return the next chunk like `read`, as floats; an empty one when the source is closed."""
        ...


class ReferenceBlock(Protocol):
    """A block of samples that a loudspeaker played."""

    @property
    def pcm(self) -> bytes:
        """s16le mono samples."""
        ...

    @property
    def rate_hz(self) -> int:
        """Sample rate, in Hz."""
        ...

    @property
    def at_s(self) -> float:
        """Time at which the first sample is at the loudspeaker, in seconds."""
        ...

    @property
    def gap(self) -> bool:
        """True if the device had run dry before this block."""
        ...


class TappedSink(Protocol):
    """A loudspeaker that reports what it played, and can be ducked. `devices.Speaker` is one."""

    @property
    def pending_s(self) -> float:
        """Seconds of the model's voice that have not been heard yet."""
        ...

    def drain_played(self) -> Sequence[ReferenceBlock]:
        """Return what was played since the last call, silence included, without gaps."""
        ...

    def duck(self, gain: float, ramp_ms: float) -> None:
        """Play at a lower level from now on.

        Args:
            gain: Factor of the full level, 0 to 1.
            ramp_ms: Duration of the transition, in milliseconds.
        """
        ...

    def release(self, ramp_ms: float) -> None:
        """Play at full level again.

        Args:
            ramp_ms: Duration of the transition, in milliseconds.
        """
        ...


class EchoCancelledMicrophone:
    """A microphone beside a loudspeaker, as the user's side of a conversation.

    It reads `microphone` and returns its sound without what `speaker` plays, in chunks of some
    10 ms. It ducks `speaker` as soon as a person speaks over it. It is an `Observer`: pass the
    events of the conversation to `observe`, so that it knows which interruptions the service
    confirms.

    It belongs to one task. Closing it closes the microphone; the speaker belongs to its owner.

    Attributes:
        notice: A text for the user: what was asked for and is missing, and what to do about it.
            Empty if nothing is missing.
    """

    def __init__(
        self,
        microphone: TimedSource,
        speaker: TappedSink,
        processor: EchoProcessor,
        *,
        speech: SpeechDetector | None = None,
        on_levels: Callable[[Levels], None] | None = None,
        notice: str = "",
        full_duplex: Callable[[], EchoProcessor] | None = None,
    ) -> None:
        """Connect a microphone, a loudspeaker and an echo processor.

        Args:
            microphone: The source, at 16 kHz.
            speaker: The loudspeaker whose echo is removed, and which is ducked.
            processor: Removes the echo.
            speech: Detects local speech; None is the usual detector.
            on_levels: Called twenty times a second with the levels of both sides. It must return at
                once.
            notice: The attribute of that name.
            full_duplex: Returns the processor for the time after half duplex, if `processor` is
                `HalfDuplex`; None keeps `processor`.

        Raises:
            ConfigError: The microphone has another rate than 16 kHz.
        """
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
        self._processor = processor
        self._full_duplex = full_duplex
        self._half_duplex = HalfDuplex()
        self._is_half_duplex = False
        self._on_levels = on_levels
        self._alignment = ReferenceAlignment()
        self._speech = speech or SpeechDetector()
        self._sudden = SuddenSound()
        self._ducking = Ducking()
        self._processed_samples = 0
        self._chunk_began_s = 0.0
        self._remainder: Samples = np.zeros(0, np.float32)
        self._level_frames: list[tuple[float, float]] = []
        self._ducked = False

    @property
    def done(self) -> bool:
        """True if the microphone is done."""
        return self._microphone.done

    @property
    def half_duplex(self) -> bool:
        """True while the microphone is muted when the model's voice is played.

        It may be set at any time; the processor goes on learning the echo. It stays true where the
        engines that remove an echo are missing.
        """
        return self._is_half_duplex or isinstance(self._processor, HalfDuplex)

    @half_duplex.setter
    def half_duplex(self, wanted: bool) -> None:
        self._is_half_duplex = wanted
        if not wanted and isinstance(self._processor, HalfDuplex) and self._full_duplex:
            self._processor = self._full_duplex()

    def now(self) -> float:
        """Return the time of the microphone's clock, in seconds."""
        return self._microphone.now()

    @property
    def chunk_began_s(self) -> float:
        """Time at which the first sample of the last chunk was at the microphone, in seconds.

        See `TimedSource`.
        """
        return self._chunk_began_s

    async def read(self) -> bytes:
        """Return the next whole frames of 10 ms, or `b""` once the microphone is closed.

        Cancelling loses nothing.
        """
        while len(captured := await self._microphone.read_samples()):
            if len(cleaned := self._process(captured, self._microphone.chunk_began_s)):
                return to_pcm(cleaned)
        return b""

    async def aclose(self) -> None:
        """Close the microphone. This may be repeated."""
        await self._microphone.aclose()

    def observe(self, event: Event, now: float) -> None:
        """Take an event of the conversation into account.

        Args:
            event: The event.
            now: Time of the session at which it arrived, in seconds.
        """
        if isinstance(event, Interrupted):
            self._ducking.confirm()

    def _process(self, captured: Samples, began_s: float) -> Samples:
        """Return what to send for a captured chunk: the whole frames that it completes.

        Args:
            captured: The chunk.
            began_s: Time at which its first sample was at the microphone, in seconds.
        """
        for block in self._speaker.drain_played():
            self._alignment.add_played(block.pcm, block.rate_hz, block.at_s, gap=block.gap)
        if not self._processed_samples and len(captured) > FRAME_SAMPLES:
            # A resampler holds back a part of the first chunk. What comes later are whole frames,
            # which need not wait for the next chunk if the incomplete first frame is dropped.
            odd = len(captured) % FRAME_SAMPLES
            captured, began_s = captured[odd:], began_s + odd / RATE_HZ
        began_s -= len(self._remainder) / RATE_HZ
        self._chunk_began_s = began_s
        captured = np.concatenate([self._remainder, captured])
        whole = len(captured) // FRAME_SAMPLES * FRAME_SAMPLES
        near, self._remainder = captured[:whole], captured[whole:]
        if not whole:
            return near
        far = self._alignment.read(len(near), began_s)
        if self._alignment.delay_changed:
            self._processor.on_delay_change()
        cleaned = self._processor.process(near, far)
        muted = self._half_duplex.process(cleaned, far)
        cleaned = muted if self._is_half_duplex else cleaned
        self._processed_samples += len(near)
        sent = frame_powers(cleaned)
        self._speech.feed(cleaned)
        self._duck(frame_powers(near), sent)
        self._report_levels(sent, far)
        return cleaned

    def _duck(self, captured: list[float], sent: list[float]) -> None:
        """Duck and release the speaker according to the powers of the last frames.

        Args:
            captured: Power of each frame before echo cancellation.
            sent: Power of each frame after it.
        """
        sudden = False
        for before, after in zip(captured, sent, strict=True):
            sudden |= self._sudden.update(power_dbfs(before), power_dbfs(after))
        ducked = self._ducking.update(
            sudden=sudden and self._speech.available,
            speaking=self._speech.speaking,
            playing=self._speaker.pending_s > 0,
            now=self._processed_samples / RATE_HZ,
        )
        if ducked and not self._ducked:
            self._speaker.duck(DUCK_GAIN, DUCK_RAMP_MS)
        elif self._ducked and not ducked:
            self._speaker.release(RELEASE_RAMP_MS)
        self._ducked = ducked

    def _report_levels(self, sent: list[float], far: Samples) -> None:
        """Report the levels of both sides whenever `LEVEL_FRAMES` frames are complete."""
        if self._on_levels is None:
            return
        self._level_frames += zip(sent, frame_powers(far), strict=True)
        while len(self._level_frames) >= LEVEL_FRAMES:
            both = zip(*self._level_frames[:LEVEL_FRAMES], strict=True)
            near_dbfs, played_dbfs = (power_dbfs(sum(side) / LEVEL_FRAMES) for side in both)
            del self._level_frames[:LEVEL_FRAMES]
            self._on_levels(
                Levels(
                    near_dbfs,
                    played_dbfs,
                    self._speech.speaking,
                    self._ducked,
                    self._processor.shut,
                )
            )


def echo_cancelled(
    microphone: TimedSource,
    speaker: TappedSink,
    *,
    aec: bool = True,
    half_duplex: bool = False,
    sensitivity: BargeInSensitivity = "normal",
    min_level_dbfs: float = SPEECH_MIN_DBFS,
    on_levels: Callable[[Levels], None] | None = None,
) -> EchoCancelledMicrophone:
    """Return a microphone with the best echo cancellation that is installed.

    Args:
        microphone: The source, at 16 kHz.
        speaker: The loudspeaker whose echo is removed, and which is ducked.
        aec: Whether to remove the echo. False is for headphones.
        half_duplex: Whether to mute the microphone while the model's voice is played, instead of
            removing the echo.
        sensitivity: How easily a voice at this end ducks the playback.
        min_level_dbfs: Level of the sent audio below which it is not speech, in dBFS.
        on_levels: See `EchoCancelledMicrophone`.

    Returns:
        The microphone. Its `notice` says what was asked for and is not installed.

    Raises:
        ConfigError: The microphone has another rate than 16 kHz, the sensitivity is unknown, or
            the level outside of its range.
    """
    speech = SpeechDetector(sensitivity, min_level_dbfs)
    processor, notice = _choose_processor(aec, half_duplex)
    if not speech.available:
        notice += " Silero is not installed: playback does not give way by itself. "
        notice += f"Run: {install_command('echo')}"
    return EchoCancelledMicrophone(
        microphone,
        speaker,
        processor,
        speech=speech,
        on_levels=on_levels,
        notice=notice.strip(),
        full_duplex=lambda: _choose_processor(aec, half_duplex=False)[0],
    )


def _choose_processor(aec: bool, half_duplex: bool) -> tuple[EchoProcessor, str]:
    """Return the echo processor for the options, and a notice if it does less than asked for."""
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
