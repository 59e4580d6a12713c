"""Who speaks at this end, and how softly the model speaks meanwhile.

The service tells that the user speaks 335 to 856 ms after the onset (protocol reference 3.4). Here
it is acted on at once: the playback is ducked, which the person takes for being heard. It is a
guess, and can be taken back, in two stages. A sound of this side's own that begins suddenly gets
*attention*, after 60 ms, whatever it is; what the detector takes for speech, some 150 ms after the
onset, gets *patience*. If it was a door, the model, who went on speaking all the time, is as loud
as before when `DECISION_S` is over; if it was speech, but the service does not say the same within
`PATIENCE_S`, it was words for somebody else.

             a sudden sound while the model sounds
    CLEAR ──────────────────────────────────────────► ALERT ── confirmed ──► LEFT
     ▲ │ ▲                                            │   │                  ▲ │
     │ │ └────── `DECISION_S` over: it was nothing ───┘   │ speech           │ │
     │ │                                                  ▼                  │ │
     │ └─────────── speech while the model sounds ────► DUCKED ──────────────┘ │
     │                                  `PATIENCE_S` over, or confirmed        │
     └───────────────────────────── the person stops ──────────────────────────┘

ALERT and DUCKED are soft. LEFT: this speech has been decided on; one that goes on for long ducks
once. After a sound that was nothing the next ones, as of a hammer or a keyboard, are nothing too
until they have paused for `UNMOVED_S`; only speech still ducks.

Pure: time is an argument, in seconds that never run back.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from .echo_path import FRAME_SAMPLES

WINDOW_SAMPLES = 512
"""Samples of a window of the detector: 32 ms at 16 kHz."""

SPEECH_THRESHOLD = 0.5
ONSET_WINDOWS = 3
"""In a row: 96 ms, which a click does not reach."""

PAUSE_THRESHOLD = 0.35
PAUSE_WINDOWS = 10
"""In a row: 320 ms, longer than the closure of a consonant."""

SUDDEN_MIN_DBFS = -45.0
MIN_REMAINING_DB = -12.0
"""A frame as loud, of which the canceller has taken no more, is of this side: of 336 s of echo,
after changed delays too, not one was both. Were it from -55 dBFS on, four in a row would be."""

OVER_BACKGROUND_DB = 12.0
BACKGROUND_SMOOTHING = 0.02
"""Per frame: the background follows within half a second. Of a street whose level swings by 20 dB
nothing is sudden then; with one that takes a second something is, twice in 80 s."""

SUDDEN_FRAMES = 6
"""In a row: 60 ms, which a click does not reach. Of 114 doors and coughs, from as loud as the echo
to 12 dB louder, all but one did, half of them within 90 ms of their onset."""

ALERT_TIMEOUT_S = 0.35
"""From the duck. Of 52 people who spoke over the model the detector found each before the sudden
sound or within 70 ms after; but a softness as short would be taken for a fault."""

IGNORE_S = 2.5
"""So noises without end keep the playback soft for an eighth of the time at most."""

CONFIRMATION_TIMEOUT_S = 1.0
"""From the duck, so some 1.1 s from the onset: 200 ms more than the slowest confirmation seen."""

DUCK_GAIN = 0.2
"""14 dB down: still to be followed, and soft enough to be taken for an answer."""

DUCK_RAMP_MS = 20.0
RELEASE_RAMP_MS = 200.0
"""Down at once, up gently. Both too slow to click."""

LEVEL_FRAMES = 5
"""50 ms: twenty levels a second."""

SILENCE_DBFS = -96.0
"""Half a step of 16 bits."""


class SpeechSpan:
    """Whether a person speaks, from the detector's probability for each window."""

    def __init__(self) -> None:
        self.speaking = False
        self._consecutive = 0

    def update(self, probability: float) -> bool:
        """The next window. Whether the person speaks now."""
        if self.speaking:
            contradicts, needed = probability < PAUSE_THRESHOLD, PAUSE_WINDOWS
        else:
            contradicts, needed = probability > SPEECH_THRESHOLD, ONSET_WINDOWS
        self._consecutive = self._consecutive + 1 if contradicts else 0
        if self._consecutive == needed:
            self.speaking = not self.speaking
            self._consecutive = 0
        return self.speaking


class SuddenSound:
    """Whether a sound of this side has begun, from the levels of each frame.

    It must be well over its background, so that a fan is none for long. How loud the background is
    nobody knows while the model speaks: no softer than what was left without the echo, which is
    often too little, and no louder than what was heard with it. Between the two it stays where it
    was, so that the model's pauses do not begin a fan anew.
    """

    def __init__(self) -> None:
        self._background_dbfs = SILENCE_DBFS
        self._consecutive = 0

    def update(self, heard_dbfs: float, sent_dbfs: float) -> bool:
        """The next frame, before and after the echo was taken off. Whether it belongs to one."""
        sudden = (
            sent_dbfs > SUDDEN_MIN_DBFS
            and sent_dbfs - heard_dbfs > MIN_REMAINING_DB
            and sent_dbfs - self._background_dbfs > OVER_BACKGROUND_DB
        )
        self._consecutive = self._consecutive + 1 if sudden else 0
        bounded_dbfs = min(heard_dbfs, max(sent_dbfs, self._background_dbfs))
        self._background_dbfs += BACKGROUND_SMOOTHING * (bounded_dbfs - self._background_dbfs)
        return self._consecutive >= SUDDEN_FRAMES


class _DuckingState(Enum):
    CLEAR = auto()
    ALERT = auto()
    DUCKED = auto()
    DECIDED = auto()


class Ducking:
    """Decides when the playback is to be soft."""

    def __init__(self, confirmation_timeout_s: float = CONFIRMATION_TIMEOUT_S) -> None:
        self._confirmation_timeout_s = confirmation_timeout_s
        self._state = _DuckingState.CLEAR
        self._since_s = 0.0
        self._ignore_until_s = 0.0

    @property
    def ducked(self) -> bool:
        """Whether the playback is to be soft now."""
        return self._state in (_DuckingState.ALERT, _DuckingState.DUCKED)

    def update(self, *, sudden: bool, speaking: bool, playing: bool, now: float) -> bool:
        """Whether a sudden sound or a person is heard here, and the model's voice sounds, at `now`.

        To be called often, speech or not: time passes only here. Returns `ducked`.
        """
        match self._state:
            case _DuckingState.CLEAR if speaking and playing:
                self._state, self._since_s = _DuckingState.DUCKED, now
            case _DuckingState.CLEAR if sudden and now < self._ignore_until_s:
                self._ignore_until_s = now + IGNORE_S
            case _DuckingState.CLEAR if sudden and playing:
                self._state, self._since_s = _DuckingState.ALERT, now
            case _DuckingState.ALERT if speaking:
                self._state = _DuckingState.DUCKED
            case _DuckingState.ALERT if now - self._since_s >= ALERT_TIMEOUT_S:
                self._state, self._ignore_until_s = _DuckingState.CLEAR, now + IGNORE_S
            case _DuckingState.DUCKED if now - self._since_s >= self._confirmation_timeout_s:
                self._state = _DuckingState.DECIDED
            case _DuckingState.DECIDED if not speaking:
                self._state = _DuckingState.CLEAR
            case _:
                pass
        return self.ducked

    def confirm(self) -> None:
        """The service heard it too, and what sounded is flushed: no more to be soft about."""
        if self.ducked:
            self._state = _DuckingState.DECIDED


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


def frame_powers(sound: NDArray[np.float32]) -> list[float]:
    """The mean squares of the frames of `sound`, which are whole; its full scale is 1."""
    frames = sound.reshape(-1, FRAME_SAMPLES)
    return (np.vecdot(frames, frames) / FRAME_SAMPLES).tolist()


def power_dbfs(power: float) -> float:
    """The level of such a mean square, -96 at least."""
    return max(SILENCE_DBFS, 10 * math.log10(power)) if power else SILENCE_DBFS


def level_dbfs(sound: NDArray[np.float32]) -> float:
    """The level of `sound`, as long as it may be."""
    return power_dbfs(float(np.dot(sound, sound)) / len(sound)) if len(sound) else SILENCE_DBFS
