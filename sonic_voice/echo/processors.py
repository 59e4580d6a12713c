"""Echo processors: ways to keep the model's voice out of what the microphone captures.

- `EchoCanceller` removes the echo and leaves the person.
- `HalfDuplex` mutes the microphone while the model's voice is played.
- `Headphones` changes nothing.

The docstring of the package explains how the canceller works and why.

In the code, *near* is the captured signal, *far* the aligned reference, *linear* the captured
signal after subtraction of the learned echo path, and *aec3* the output of WebRTC's AEC3.

No clock, no thread, no device. Only `EchoCanceller` imports an engine, when it is constructed.
"""

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..extras import install_command
from .echo_path import FRAME_SAMPLES, EchoPath
from .local_speech import frame_powers, level_dbfs, power_dbfs
from .reference_alignment import RATE_HZ

NOISE_SUPPRESSION_LEVEL = 1
"""Level of WebRTC's noise suppressor, 0 to 3. Higher levels make words harder to recognise, not
easier."""

GATE_OPEN_DB = -10.0
"""Level of AEC3's output relative to the linear output, in dB, from which the linear output is
sent. AEC3 removes less than 10 dB from most frames of a person who is as loud as the echo."""

GATE_CLOSED_DB = -18.0
"""Level of AEC3's output relative to the linear output, in dB, up to which AEC3's output is sent.
It removes more than 18 dB from what is echo alone. Between the two levels the outputs are mixed."""

PERSON_DB = -20.0
"""Level of AEC3's output relative to the captured signal, in dB, from which the linear output may
be sent. A person a third as loud as the echo leaves more than this."""

RESIDUAL_ECHO_DB = -26.0
"""Level of AEC3's output relative to the captured signal, in dB, up to which AEC3's output is sent.
Where a loud echo distorts the loudspeaker, both outputs keep a residue, alike but softer than a
person."""

GATE_CLOSING_FRAMES = 5
"""Frames in which the gate closes: 50 ms, which have passed before the detector could find speech.
It opens within one frame."""

PERSON_FRAME_DB = -6.0
"""Level of the linear output relative to the captured signal, in dB, above which a frame contains a
person, if the echo path is known (see `PATH_LEARNED_DB`).

AEC3 needs 60 to 100 ms to let a person through. The part of that time that lies in the chunk that
opens the gate can still be corrected: those of its frames are let through from which the echo path
removed less than this. What the path leaves of a known echo is no echo; of an unknown one it leaves
the echo as well. In the simulated room 6.1 % of the words of 156 interruptions are wrong with this
rule, and 7.2 % without.
"""

PATH_LEARNED_DB = -10.0
"""Average level of the linear output relative to the captured signal, in dB, below which the echo
path counts as known. The average covers the last third of a second; see `ATTENUATION_SMOOTHING`."""

ATTENUATION_SMOOTHING = 0.03
"""Smoothing factor of that average, per frame: a third of a second."""

LEARNING_FRAMES = 300
"""Frames of the model's voice until the room counts as known: three seconds, during which the
microphone is muted. Of 32 rooms and voices, 9 let the model's first words through at the beginning,
one still did after two seconds, and none after three."""

LEARNING_DBFS = -50.0
"""Minimum level of a frame of the reference, in dBFS, from which the cancellers learn."""

RELEARNING_FRAMES = 200
"""Frames of the model's voice until a changed delay counts as known: two seconds. Of 36 changes by
up to 25 ms, each with a lost block, 16 were taken for a person at once, 7 after learning for a
second, none after two."""

IDLE_S = 1.0
"""Silence of the loudspeaker after which no echo is left, in seconds. AEC3 follows an echo that is
0.48 s late, and the room sounds on for 0.34 s."""

PLAYING_DBFS = -60.0
"""Minimum level of the reference, in dBFS, at which the loudspeaker counts as audible."""

TAIL_S = 0.4
"""Time for which the microphone stays muted after the last sound of the loudspeaker, in seconds. A
sound stays that long in the loudspeaker, the room and the microphone's buffer."""

type Samples = NDArray[np.float32]
"""An array of samples in the range -1 to 1, at 16 kHz."""

CROSSFADE: Samples = np.linspace(0, 1, FRAME_SAMPLES, dtype=np.float32)
"""A linear ramp from 0 to 1 over one frame."""


class EchoProcessor(Protocol):
    """A stage that removes what the loudspeaker plays from what the microphone captures."""

    def process(self, near: Samples, far: Samples) -> Samples:
        """Return `near` without its echo of `far`.

        Args:
            near: Captured samples; whole frames of 10 ms at 16 kHz.
            far: Reference samples, as many as `near` has.
        """
        ...

    def on_delay_change(self) -> None:
        """Prepare for an echo with another delay from the next call of `process` on."""
        ...


class EchoCanceller:
    """An echo canceller that combines AEC3 and a learned echo path.

    It takes 0.2 ms of work for 10 ms of sound. Both parts rest while the loudspeaker is silent, and
    keep what they have learned.
    """

    def __init__(self) -> None:
        """Import WebRTC's engine.

        Raises:
            ConfigError: The engine is not installed.
        """
        webrtc = import_engine("pywebrtc_audio")
        self._aec3: Any = webrtc.AudioProcessor(
            sample_rate=RATE_HZ,
            echo_cancellation=True,
            noise_suppression=True,
            ns_level=NOISE_SUPPRESSION_LEVEL,
        )
        self._path = EchoPath()
        self._noise: Any = webrtc.NoiseSuppressor(RATE_HZ, 1, NOISE_SUPPRESSION_LEVEL)
        self._gate = _Gate()
        self._shutter = _Shutter()
        self._frames_to_learn = LEARNING_FRAMES
        self._silent_s = 0.0

    def process(self, near: Samples, far: Samples) -> Samples:
        """See `EchoProcessor`."""
        self._silent_s = 0.0 if far.any() else self._silent_s + len(far) / RATE_HZ
        if self._silent_s > IDLE_S:
            return self._noise.process(near)
        aec3: Samples = self._aec3.process(near, far)
        linear: Samples = self._noise.process(self._path.subtract(near, far))
        mixed = self._gate.mix(near, linear, aec3)
        if not self._frames_to_learn:
            return mixed
        playing = sum(power_dbfs(power) > LEARNING_DBFS for power in frame_powers(far))
        self._frames_to_learn = max(0, self._frames_to_learn - playing)
        return np.zeros_like(near) if self._shutter.update(far) else mixed

    def on_delay_change(self) -> None:
        """See `EchoProcessor`."""
        self._path = EchoPath()
        self._frames_to_learn = max(self._frames_to_learn, RELEARNING_FRAMES)


class _Gate:
    """A gate that sends the linear output where AEC3 has left about as much, and not little."""

    def __init__(self) -> None:
        self._open = 0.0
        self._attenuation_db = 0.0  # average level of linear over near

    def mix(self, near: Samples, linear: Samples, aec3: Samples) -> Samples:
        """Return the mix of both outputs for a chunk.

        Args:
            near: The captured signal; whole frames.
            linear: The output of the learned echo path, of the same length.
            aec3: The output of AEC3, of the same length. It is overwritten with the mix.
        """
        before = self._open
        for k, after in enumerate(self._gate_gains(near, linear, aec3)):
            frame = slice(k * FRAME_SAMPLES, (k + 1) * FRAME_SAMPLES)
            if before == after == 1:
                aec3[frame] = linear[frame]
            elif before or after:
                gain = before + (after - before) * CROSSFADE
                aec3[frame] += gain * (linear[frame] - aec3[frame])
            before = after
        return aec3

    def _gate_gains(self, near: Samples, linear: Samples, aec3: Samples) -> list[float]:
        """Return the share of the linear output at the end of each frame, 0 to 1."""
        gains: list[float] = []
        person_frames: list[bool] = []
        path_learned = self._attenuation_db < PATH_LEARNED_DB
        for levels in zip(
            frame_powers(near), frame_powers(linear), frame_powers(aec3), strict=True
        ):
            captured_db, linear_db, aec3_db = map(power_dbfs, levels)
            agreement = (aec3_db - linear_db - GATE_CLOSED_DB) / (GATE_OPEN_DB - GATE_CLOSED_DB)
            near_speech = (aec3_db - captured_db - RESIDUAL_ECHO_DB) / (
                PERSON_DB - RESIDUAL_ECHO_DB
            )
            self._open = max(
                0.0, min(1.0, agreement, near_speech), self._open - 1 / GATE_CLOSING_FRAMES
            )
            gains.append(self._open)
            attenuation_db = linear_db - captured_db
            person_frames.append(path_learned and attenuation_db > PERSON_FRAME_DB)
            self._attenuation_db += ATTENUATION_SMOOTHING * (attenuation_db - self._attenuation_db)
        # Open the gate for the frames of a person that precede its opening in this chunk.
        for k in reversed(range(len(gains) - 1)):
            if person_frames[k]:
                gains[k] = max(gains[k], gains[k + 1])
        return gains


class HalfDuplex:
    """A processor that mutes the microphone during playback, and for `TAIL_S` longer."""

    def __init__(self) -> None:
        self._shutter = _Shutter()

    def process(self, near: Samples, far: Samples) -> Samples:
        """See `EchoProcessor`."""
        return np.zeros_like(near) if self._shutter.update(far) else near

    def on_delay_change(self) -> None:
        """See `EchoProcessor`."""


class _Shutter:
    """A timer that says whether the loudspeaker can still be heard."""

    def __init__(self) -> None:
        self._tail = 0

    def update(self, far: Samples) -> bool:
        """Take the next samples of the reference into account.

        Args:
            far: Reference samples, of any length.

        Returns:
            Whether the loudspeaker can still be heard.
        """
        self._tail -= len(far)
        if level_dbfs(far) > PLAYING_DBFS:
            self._tail = round(TAIL_S * RATE_HZ)
        return self._tail > 0


class Headphones:
    """A processor that changes nothing: with headphones there is no echo."""

    def process(self, near: Samples, far: Samples) -> Samples:
        """See `EchoProcessor`."""
        return near

    def on_delay_change(self) -> None:
        """See `EchoProcessor`."""


def import_engine(package: str) -> Any:
    """Import a package of the extra `echo`.

    It is imported by name because it has no types, and a type check must not depend on what is
    installed.

    Args:
        package: Name of the module.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"Echo cancellation is not installed ({package}).",
            hint=f"Run: {install_command('echo')}",
        ) from error
