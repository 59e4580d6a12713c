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
from .echo_gate import Clipping, EchoGate
from .echo_path import EchoPath
from .local_speech import frame_powers, level_dbfs, power_dbfs
from .path_check import PathChange, PathCheck
from .reference_alignment import RATE_HZ

NOISE_SUPPRESSION_LEVEL = 1
"""Level of WebRTC's noise suppressor, 0 to 3. Higher levels make words harder to recognise, not
easier."""

LEARNING_FRAMES = 300
"""Frames of the model's voice until the room counts as known: three seconds, during which the
microphone is muted. Of 32 rooms and voices, 9 let the model's first words through at the beginning,
one still did after two seconds, and none after three."""

LEARNING_DBFS = -50.0
"""Minimum level of a frame of the reference, in dBFS, from which the cancellers learn."""

IDLE_S = 1.0
"""Silence of the loudspeaker after which no echo is left, in seconds. AEC3 follows an echo that is
0.48 s late, and the room sounds on for 0.34 s."""

PLAYING_DBFS = -60.0
"""Minimum level of the reference, in dBFS, at which the loudspeaker counts as audible."""

TAIL_S = 0.4
"""Time for which the microphone stays muted after the last sound of the loudspeaker, in seconds. A
sound stays that long in the loudspeaker, the room and the microphone's buffer."""

PIECE_SAMPLES = RATE_HZ // 10
"""Maximum number of samples that are processed at a time: 100 ms. A device that was lost and found
again delivers half a second at once, which is longer than the history of the path's check."""

type Samples = NDArray[np.float32]
"""An array of samples in the range -1 to 1, at 16 kHz."""


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

    @property
    def shut(self) -> bool:
        """True if the last result of `process` was muted, because the echo is not known."""
        ...


class EchoCanceller:
    """An echo canceller that combines AEC3 and a learned echo path.

    It takes 0.2 ms of work for 10 ms of sound. Both parts rest while the loudspeaker is
    silent, and keep what they have learned.
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
        self._path_check = PathCheck()
        self._noise: Any = webrtc.NoiseSuppressor(RATE_HZ, 1, NOISE_SUPPRESSION_LEVEL)
        self._clipping = Clipping()
        self._gate = EchoGate()
        self._shutter = _Shutter()
        self._frames_to_learn = LEARNING_FRAMES
        self._silent_s = 0.0
        self._shut = False

    @property
    def shut(self) -> bool:
        """See `EchoProcessor`."""
        return self._shut

    def process(self, near: Samples, far: Samples) -> Samples:
        """See `EchoProcessor`."""
        pieces = range(0, len(near), PIECE_SAMPLES)
        return np.concatenate(
            [
                self._process_piece(near[at : at + PIECE_SAMPLES], far[at : at + PIECE_SAMPLES])
                for at in pieces
            ]
            or [near]
        )

    def _process_piece(self, near: Samples, far: Samples) -> Samples:
        self._silent_s = 0.0 if far.any() else self._silent_s + len(far) / RATE_HZ
        if self._silent_s > IDLE_S:
            self._shut = False
            return self._noise.process(near)
        aec3: Samples = self._aec3.process(near, far)
        left = self._path.subtract(near, far)
        far_powers = frame_powers(far)
        clipping = self._clipping.update(near)
        shut, change = self._path_check.update(near, near - left, far_powers, clipping)
        if change is not None:
            self._change_path(change)
        mixed = self._gate.mix(
            near, left, self._noise.process(left), aec3, clipping=clipping, shut=shut
        )
        self._shut = any(shut)
        if not self._frames_to_learn:
            return mixed
        playing = sum(power_dbfs(power) > LEARNING_DBFS for power in far_powers)
        self._frames_to_learn = max(0, self._frames_to_learn - playing)
        self._shut = self._shutter.update(far)
        return np.zeros_like(near) if self._shut else mixed

    def on_delay_change(self) -> None:
        """See `EchoProcessor`."""
        self._path_check.doubt()

    def _change_path(self, change: PathChange) -> None:
        self._gate.on_path_change()
        if change.lag is None:
            self._path = EchoPath()
        else:
            self._path.change(change.lag, change.gain)


class HalfDuplex:
    """A processor that mutes the microphone during playback, and for `TAIL_S` longer."""

    shut = False
    """See `EchoProcessor`. The echo is not of interest."""

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

    shut = False
    """See `EchoProcessor`. There is no echo."""

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
