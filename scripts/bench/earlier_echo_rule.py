"""The earlier echo canceller, which the benchmark `echo` measures beside today's.

It decided by fixed thresholds whether AEC3's output or that of the learned path was sent, and shut
the microphone for two seconds of the model's voice after a lost block. The docstrings of
`sonic_voice.echo` describe what is the same.
"""

from typing import Any

import numpy as np

from sonic_voice.echo.echo_gate import CROSSFADE, Samples
from sonic_voice.echo.echo_path import FRAME_SAMPLES, EchoPath
from sonic_voice.echo.local_speech import frame_powers, power_dbfs
from sonic_voice.echo.processors import (
    LEARNING_DBFS,
    LEARNING_FRAMES,
    NOISE_SUPPRESSION_LEVEL,
    import_engine,
)
from sonic_voice.echo.reference_alignment import RATE_HZ

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

RELEARNING_FRAMES = 200
"""Frames of the model's voice after a lost block for which the microphone is muted: two seconds."""


class EarlierCanceller:
    """The echo canceller of that rule; see `EchoProcessor`."""

    shut = False

    def __init__(self) -> None:
        webrtc = import_engine("pywebrtc_audio")
        self._aec3: Any = webrtc.AudioProcessor(
            sample_rate=RATE_HZ,
            echo_cancellation=True,
            noise_suppression=True,
            ns_level=NOISE_SUPPRESSION_LEVEL,
        )
        self._path = EchoPath()
        self._noise: Any = webrtc.NoiseSuppressor(RATE_HZ, 1, NOISE_SUPPRESSION_LEVEL)
        self._gate = EarlierGate()
        self._frames_to_learn = LEARNING_FRAMES

    def process(self, near: Samples, far: Samples) -> Samples:
        """See `EchoProcessor`."""
        aec3: Samples = self._aec3.process(near, far)
        linear: Samples = self._noise.process(self._path.subtract(near, far))
        mixed = self._gate.mix(near, linear, aec3)
        if not self._frames_to_learn:
            return mixed
        playing = sum(power_dbfs(power) > LEARNING_DBFS for power in frame_powers(far))
        self._frames_to_learn = max(0, self._frames_to_learn - playing)
        return np.zeros_like(near)

    def on_delay_change(self) -> None:
        """See `EchoProcessor`."""
        self._path = EchoPath()
        self._frames_to_learn = max(self._frames_to_learn, RELEARNING_FRAMES)


class EarlierGate:
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
