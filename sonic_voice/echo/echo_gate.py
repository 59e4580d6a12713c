"""The echo gate: for each frame, whether the output of the learned path or that of AEC3 is sent.

AEC3 leaves nothing of an echo, but when both sides speak at once it removes the person at this end
too. The learned path leaves the person intact, but a residue of the echo as well. The output of the
path is sent where three things agree that a person speaks:

- AEC3 has left about as much as the path;
- AEC3 has left not little of the captured signal;
- the path has left more than a residual echo (`ResidualEcho`).

Elsewhere the output of AEC3 is sent, and attenuated if it cannot be but echo: where a loudspeaker
distorts, and after the path has changed, AEC3 lets words of the model through. Once the gate has
been open for `PERSON_FRAMES`, nothing is attenuated for `PERSON_HOLD_FRAMES`, unless the path has
just changed.

With levels in dB of the frames of near (n), linear (l) and aec3 (a):

    agreement = (a - l - C) / (O - C)
    presence  = (a - n - R) / (P - R)
    g         = clamp(min(agreement, presence, own), 0, 1)        gate, at least the last g - 1/F
    g         = max(min(agreement, presence), own)     for H frames after a clipped sample
    output    = g linear + (1 - g) max(own, Z) aec3    own = 1 here for these H frames

    symbol   variable             symbol   variable
    C        `GATE_CLOSED_DB`     F        `GATE_CLOSING_FRAMES`
    O        `GATE_OPEN_DB`       H        `CLIPPING_FRAMES`
    R        `RESIDUAL_ECHO_DB`   Z        `LEAK_GAIN`
    P        `PERSON_DB`          own      the result of `ResidualEcho.update`

Pure arithmetic: no clock, no device, no threads.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .echo_path import FRAME_SAMPLES
from .local_speech import frame_powers, power_dbfs
from .residual_echo import ResidualEcho

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

LEAK_GAIN = 0.003
"""Gain of AEC3's output where it can only be echo: 50 dB down. After 26 dB of attenuation the
speech detector still heard words of the model in it."""

PERSON_FRAMES = 3
"""Consecutive frames with an open gate after which a person is taken to speak: 30 ms."""

PERSON_HOLD_FRAMES = 80
"""Frames after that in which AEC3's output is not attenuated: 0.8 s, so that soft sounds between
the loud ones of a word are not lost."""

CHANGED_FRAMES = 500
"""Frames after a change of the path in which AEC3's output is attenuated wherever it may be echo,
also beside a person: five seconds, for which AEC3 lets the model's words through."""

CLIPPED_LEVEL = 0.98
"""Absolute value of a sample from which the microphone clips; full scale is 1."""

CLIPPING_FRAMES = 50
"""Frames for which the microphone counts as clipping after a clipped sample: half a second, longer
than the pauses between words, and than AEC3 keeps removing everything."""

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

type Samples = NDArray[np.float32]
"""An array of samples in the range -1 to 1, at 16 kHz."""

CROSSFADE: Samples = np.linspace(0, 1, FRAME_SAMPLES, dtype=np.float32)
"""A linear ramp from 0 to 1 over one frame."""


class Clipping:
    """A detector of a microphone that clips."""

    def __init__(self) -> None:
        self._frames = 0

    def update(self, near: Samples) -> list[bool]:
        """Return for each frame whether the microphone has clipped within `CLIPPING_FRAMES`.

        Args:
            near: The captured signal; whole frames.
        """
        clips: list[bool] = []
        for peak in np.abs(near).reshape(-1, FRAME_SAMPLES).max(axis=1).tolist():
            self._frames = CLIPPING_FRAMES if peak > CLIPPED_LEVEL else max(0, self._frames - 1)
            clips.append(self._frames > 0)
        return clips


class EchoGate:
    """A gate between the outputs of AEC3 and of the learned path."""

    def __init__(self) -> None:
        self.residual = ResidualEcho()
        """The estimate of what the path leaves."""
        self._open = 0.0
        self._open_frames = self._person_frames = self._changed_frames = 0
        self._leak = 1.0
        self._attenuation_db = 0.0  # average level of linear over near

    def on_path_change(self) -> None:
        """Attenuate AEC3's output for a while wherever it may be echo."""
        self._changed_frames = CHANGED_FRAMES
        self._person_frames = 0

    def mix(
        self,
        near: Samples,
        left: Samples,
        linear: Samples,
        aec3: Samples,
        *,
        clipping: Sequence[bool],
        shut: Sequence[bool],
    ) -> Samples:
        """Return the mix of both outputs for a chunk.

        Args:
            near: The captured signal; whole frames.
            left: What the learned path leaves of it, of the same length.
            linear: The same after noise suppression.
            aec3: The output of AEC3, of the same length. It is overwritten with the mix.
            clipping: For each frame whether the microphone clips; see `Clipping`.
            shut: For each frame whether the microphone is shut, because the path is wrong.
        """
        before, leaking = self._open, self._leak
        gains, leaks = self._frame_gains((near, near - left, left, linear, aec3), clipping, shut)
        for k, (after, leak) in enumerate(zip(gains, leaks, strict=True)):
            frame = slice(k * FRAME_SAMPLES, (k + 1) * FRAME_SAMPLES)
            if before == after == 1:
                aec3[frame] = linear[frame]
            else:
                if leaking < 1 or leak < 1:
                    aec3[frame] *= leaking + (leak - leaking) * CROSSFADE
                if before or after:
                    gain = before + (after - before) * CROSSFADE
                    aec3[frame] += gain * (linear[frame] - aec3[frame])
            before, leaking = after, leak
        return aec3

    def _frame_gains(
        self, sounds: Sequence[Samples], clipping: Sequence[bool], shut: Sequence[bool]
    ) -> tuple[list[float], list[float]]:
        """Return the share of the linear output at the end of each frame, and AEC3's gain there."""
        gains: list[float] = []
        leaks: list[float] = []
        person_frames: list[bool] = []
        path_learned = self._attenuation_db < PATH_LEARNED_DB
        for clips, closed, near_power, echo_power, left_power, linear_power, aec3_power in zip(
            clipping, shut, *map(frame_powers, sounds), strict=True
        ):
            captured_db, linear_db = power_dbfs(near_power), power_dbfs(linear_power)
            aec3_db = power_dbfs(aec3_power)
            own, own_if_clipped = self.residual.update(
                echo_power, left_power, aec3_db - linear_db, clipped=clips
            )
            agreement = (aec3_db - linear_db - GATE_CLOSED_DB) / (GATE_OPEN_DB - GATE_CLOSED_DB)
            presence = (aec3_db - captured_db - RESIDUAL_ECHO_DB) / (PERSON_DB - RESIDUAL_ECHO_DB)
            if clips:
                opens = max(min(agreement, presence), own_if_clipped)
                own = 1.0  # AEC3 lets little through while the microphone clips
            else:
                opens = min(agreement, presence, own)
            self._open = max(0.0, min(1.0, opens), self._open - 1 / GATE_CLOSING_FRAMES)
            if closed:
                self._open = 0.0
            self._open_frames = self._open_frames + 1 if self._open > 0.5 else 0
            self._changed_frames = max(0, self._changed_frames - 1)
            if self._open_frames >= PERSON_FRAMES and not self._changed_frames:
                self._person_frames = PERSON_HOLD_FRAMES
            elif self._person_frames:
                self._person_frames -= 1
            if closed:
                self._leak = LEAK_GAIN
            else:
                self._leak = 1.0 if self._person_frames else max(own, LEAK_GAIN)
            gains.append(self._open)
            leaks.append(self._leak)
            attenuation_db = linear_db - captured_db
            person_frames.append(path_learned and not closed and attenuation_db > PERSON_FRAME_DB)
            self._attenuation_db += ATTENUATION_SMOOTHING * (attenuation_db - self._attenuation_db)
        # Open the gate for the frames of a person that precede its opening in this chunk.
        for k in reversed(range(len(gains) - 1)):
            if person_frames[k]:
                gains[k] = max(gains[k], gains[k + 1])
        return gains, leaks
