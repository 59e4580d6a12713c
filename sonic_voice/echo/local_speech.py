"""Who speaks at this end, and how softly the model speaks meanwhile.

The service tells that the user speaks 335 to 856 ms after the onset (protocol reference 3.4). Here
it is known after some 150 ms, and acted on at once: the playback is ducked, which the person takes
for being heard. It is a guess, and can be taken back. If the service does not say the same within
`PATIENCE_S`, it was a cough or a door, or words for somebody else, and the model, who went on
speaking all the time, is as loud as before.

    CLEAR ── speech while the model sounds ──► DUCKED ── `PATIENCE_S` over, or confirmed ──► LEFT
      ▲                                                                                       │
      └─────────────────────────────── the person stops ─────────────────────────────────────┘

LEFT: this speech has been decided on. One that goes on for long ducks once.

Pure: time is an argument, in seconds that never run back.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

WINDOW = 512
"""Samples of a window of the detector: 32 ms at 16 kHz."""

SPEECH_OVER = 0.5
ONSET_WINDOWS = 3
"""In a row: 96 ms, which a click does not reach."""

SILENCE_UNDER = 0.35
PAUSE_WINDOWS = 10
"""In a row: 320 ms, longer than the closure of a consonant."""

PATIENCE_S = 1.0
"""From the duck, so some 1.15 s from the onset: 300 ms more than the slowest confirmation seen."""

DUCK_GAIN = 0.2
"""14 dB down: still to be followed, and soft enough to be taken for an answer."""

DUCK_MS = 20.0
RELEASE_MS = 200.0
"""Down at once, up gently. Both too slow to click."""

LEVEL_SAMPLES = 800
"""50 ms: twenty levels a second."""

SILENCE_DBFS = -96.0
"""Half a step of 16 bits."""


class SpeechSpan:
    """Whether a person speaks, from the detector's probability for each window."""

    def __init__(self) -> None:
        self.speaking = False
        self._in_a_row = 0

    def hear(self, probability: float) -> bool:
        """The next window. Whether the person speaks now."""
        if self.speaking:
            against, needed = probability < SILENCE_UNDER, PAUSE_WINDOWS
        else:
            against, needed = probability > SPEECH_OVER, ONSET_WINDOWS
        self._in_a_row = self._in_a_row + 1 if against else 0
        if self._in_a_row == needed:
            self.speaking = not self.speaking
            self._in_a_row = 0
        return self.speaking


class _State(Enum):
    CLEAR = auto()
    DUCKED = auto()
    LEFT = auto()


class Ducking:
    """Decides when the playback is to be soft."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._state = _State.CLEAR
        self._since_s = 0.0

    @property
    def ducked(self) -> bool:
        """Whether the playback is to be soft now."""
        return self._state is _State.DUCKED

    def hear(self, speaking: bool, sounding: bool, now: float) -> bool:
        """Whether a person speaks here, and the model's voice sounds, at `now`.

        To be called often, speech or not: time passes only here. Returns `ducked`.
        """
        match self._state:
            case _State.CLEAR if speaking and sounding:
                self._state, self._since_s = _State.DUCKED, now
            case _State.DUCKED if now - self._since_s >= self._patience_s:
                self._state = _State.LEFT
            case _State.LEFT if not speaking:
                self._state = _State.CLEAR
            case _:
                pass
        return self.ducked

    def confirm(self) -> None:
        """The service heard it too, and what sounded is flushed: no more to be soft about."""
        if self._state is _State.DUCKED:
            self._state = _State.LEFT


@dataclass(frozen=True, slots=True)
class Levels:
    """How loud both sides are over 50 ms, in dB below full scale, and what is made of it."""

    input_dbfs: float
    """What is sent, echo taken off. -96 is silence."""
    output_dbfs: float
    """What the loudspeaker sounds."""
    speaking: bool
    """A person speaks here."""
    ducked: bool
    """The playback is soft because of that."""


def dbfs(sound: NDArray[np.float32]) -> float:
    """The level of `sound`, whose full scale is 1: the root of the mean square, -96 at least."""
    power = float(np.mean(np.square(sound))) if len(sound) else 0.0
    return max(SILENCE_DBFS, 10 * math.log10(power)) if power else SILENCE_DBFS
