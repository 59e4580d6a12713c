"""Local speech: who speaks at this end, and how softly the model is played meanwhile.

The service reports that the user speaks 335 to 856 ms after the onset (protocol reference 3.4).
Here the reaction is immediate: playback is ducked, which the person takes as a sign of being heard.
The decision is a guess that can be taken back, and it is made in two stages. A near-end sound that
begins suddenly, whatever it is, ducks after 60 ms (ALERT); what the detector takes for speech ducks
some 150 ms after the onset (DUCKED). If the sound was a door, the model, which went on speaking all
the time, is back at full level after `ALERT_TIMEOUT_S`. If it was speech, but the service does not
confirm it within `CONFIRMATION_TIMEOUT_S`, the words were meant for somebody else.

             a sudden sound while the model plays
    CLEAR ──────────────────────────────────────────► ALERT ── confirmed ──► DECIDED
     ▲ │ ▲                                            │   │                  ▲ │
     │ │ └── `ALERT_TIMEOUT_S` over: not speech ──────┘   │ speech           │ │
     │ │                                                  ▼                  │ │
     │ └─────────── speech while the model plays ─────► DUCKED ──────────────┘ │
     │                     `CONFIRMATION_TIMEOUT_S` over, or confirmed         │
     └───────────────────────────── the person stops ──────────────────────────┘

Playback is soft in ALERT and DUCKED. DECIDED means that this speech has been decided on; speech
that goes on for long ducks once. After a sound that was not speech, further sounds, as of a hammer
or a keyboard, are ignored until they have paused for `IGNORE_S`; only speech still ducks.

Pure: time is an argument, in seconds that never run backwards.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from .echo_path import FRAME_SAMPLES

WINDOW_SAMPLES = 512
"""Length of a window of the speech detector, in samples: 32 ms at 16 kHz."""

SPEECH_THRESHOLD = 0.5
"""Probability above which a window counts as speech."""

ONSET_WINDOWS = 3
"""Consecutive windows of speech that begin a span of speech: 96 ms, longer than a click."""

PAUSE_THRESHOLD = 0.35
"""Probability below which a window counts as silence."""

PAUSE_WINDOWS = 10
"""Consecutive windows of silence that end a span of speech: 320 ms, longer than the closure of a
consonant."""

SUDDEN_MIN_DBFS = -45.0
"""Minimum level of a frame of a sudden sound, in dBFS after echo cancellation. From -55 dBFS on,
four consecutive frames of echo would have counted as sudden; see `MIN_REMAINING_DB`."""

MIN_REMAINING_DB = -12.0
"""Minimum level of a frame after echo cancellation relative to before it, in dB. A frame above
`SUDDEN_MIN_DBFS` of which the canceller has removed no more than this is a near-end sound: in 336 s
of echo, after changed delays too, no frame met both conditions."""

OVER_BACKGROUND_DB = 12.0
"""Minimum level of a sudden sound above its background, in dB."""

BACKGROUND_SMOOTHING = 0.02
"""Smoothing factor of the background level, per frame: it follows within half a second. With it,
nothing in a street whose level swings by 20 dB counts as sudden; with a background that takes a
second to follow, something does, twice in 80 s."""

SUDDEN_FRAMES = 6
"""Consecutive frames that make a sudden sound: 60 ms, longer than a click. Of 114 doors and coughs,
from as loud as the echo to 12 dB louder, all but one reached it, half of them within 90 ms of their
onset."""

ALERT_TIMEOUT_S = 0.35
"""Time in ALERT, in seconds, after which a sudden sound is no longer expected to be speech. For
each of 52 people who spoke over the model the detector found speech before the sudden sound or
within 70 ms after it; but a softness that short would be taken for a fault."""

IGNORE_S = 2.5
"""Pause, in seconds, after which sudden sounds duck again. It limits the time for which endless
noises keep the playback soft to one eighth."""

CONFIRMATION_TIMEOUT_S = 1.0
"""Time from the duck within which the service must confirm the speech, in seconds. It ends some
1.1 s after the onset: 200 ms later than the slowest confirmation seen."""

DUCK_GAIN = 0.2
"""Gain of the playback while it is ducked: 14 dB down, loud enough to be followed and soft enough
to be taken as a reaction."""

DUCK_RAMP_MS = 20.0
"""Duration of the ramp down, in milliseconds: immediate, yet too slow to click."""

RELEASE_RAMP_MS = 200.0
"""Duration of the ramp back to full level, in milliseconds: gentle, and too slow to click."""

LEVEL_FRAMES = 5
"""Frames in one report of levels: 50 ms, so twenty reports a second."""

SILENCE_DBFS = -96.0
"""Level that stands for silence, in dBFS: half a quantization step of 16 bits."""


class SpeechSpan:
    """A detector of spans of speech, which works on the speech probability of each window.

    Args:
        threshold: Probability above which a window counts as speech.
        onset_windows: Consecutive windows of speech that begin a span.
    """

    def __init__(
        self, threshold: float = SPEECH_THRESHOLD, onset_windows: int = ONSET_WINDOWS
    ) -> None:
        self.speaking = False
        self._threshold = threshold
        self._onset_windows = onset_windows
        self._consecutive = 0

    def update(self, probability: float) -> bool:
        """Take the next window into account.

        Args:
            probability: Probability that the window is speech, 0 to 1.

        Returns:
            Whether the person speaks now.
        """
        if self.speaking:
            contradicts, needed = probability < PAUSE_THRESHOLD, PAUSE_WINDOWS
        else:
            contradicts, needed = probability > self._threshold, self._onset_windows
        self._consecutive = self._consecutive + 1 if contradicts else 0
        if self._consecutive == needed:
            self.speaking = not self.speaking
            self._consecutive = 0
        return self.speaking


class SuddenSound:
    """A detector of near-end sounds that begin suddenly, which works on the levels of each frame.

    A sudden sound must be well above its background, so that a fan counts as one only for a short
    time. The level of the background is unknown while the model speaks. It lies between the level
    after echo cancellation, which is often too low, and the level before it, which includes the
    echo. Between these bounds the estimate stays where it was, so that a fan is not detected anew
    in each of the model's pauses.
    """

    def __init__(self) -> None:
        self._background_dbfs = SILENCE_DBFS
        self._consecutive = 0

    def update(self, heard_dbfs: float, sent_dbfs: float) -> bool:
        """Take the next frame into account.

        Args:
            heard_dbfs: Level of the frame before echo cancellation, in dBFS.
            sent_dbfs: Level of the frame after echo cancellation, in dBFS.

        Returns:
            Whether the frame belongs to a sudden sound.
        """
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
    """The states of `Ducking`; the docstring of the module draws them."""

    CLEAR = auto()
    ALERT = auto()
    DUCKED = auto()
    DECIDED = auto()


class Ducking:
    """The state machine that decides when the playback is ducked.

    Args:
        confirmation_timeout_s: Time within which the service must confirm speech, in seconds.
    """

    def __init__(self, confirmation_timeout_s: float = CONFIRMATION_TIMEOUT_S) -> None:
        self._confirmation_timeout_s = confirmation_timeout_s
        self._state = _DuckingState.CLEAR
        self._since_s = 0.0
        self._ignore_until_s = 0.0

    @property
    def ducked(self) -> bool:
        """True if the playback is to be soft now."""
        return self._state in (_DuckingState.ALERT, _DuckingState.DUCKED)

    def update(self, *, sudden: bool, speaking: bool, playing: bool, now: float) -> bool:
        """Advance to `now`, and return `ducked`.

        This is to be called often, whether or not somebody speaks: time passes only here.

        Args:
            sudden: Whether a sudden near-end sound is heard.
            speaking: Whether a person speaks at this end.
            playing: Whether the model's voice is being played.
            now: Time in seconds.

        Returns:
            Whether the playback is to be soft.
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
        """Note that the service heard the speech too.

        The playback has been flushed by then, so there is nothing left to duck.
        """
        if self.ducked:
            self._state = _DuckingState.DECIDED


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of both sides over 50 ms, and the decisions made from them."""

    input_dbfs: float
    """Level of the sent audio, after echo cancellation, in dBFS. Silence is -96."""
    output_dbfs: float
    """Level of the loudspeaker, in dBFS."""
    speaking: bool
    """True if a person speaks at this end."""
    ducked: bool
    """True if the playback is soft because of that."""
    echo_unknown: bool = False
    """True if the microphone is muted, because the echo of the loudspeaker is not known yet or has
    just changed."""


def frame_powers(sound: NDArray[np.float32]) -> list[float]:
    """Return the mean square of each frame.

    Args:
        sound: Samples in the range -1 to 1; whole frames of `FRAME_SAMPLES`.
    """
    frames = sound.reshape(-1, FRAME_SAMPLES)
    return (np.vecdot(frames, frames) / FRAME_SAMPLES).tolist()


def power_dbfs(power: float) -> float:
    """Return the level of a mean square, in dBFS.

    Args:
        power: Mean square of samples in the range -1 to 1.

    Returns:
        The level, at least `SILENCE_DBFS`.
    """
    return max(SILENCE_DBFS, 10 * math.log10(power)) if power else SILENCE_DBFS


def level_dbfs(sound: NDArray[np.float32]) -> float:
    """Return the level of samples, in dBFS.

    Args:
        sound: Samples in the range -1 to 1, of any length.

    Returns:
        The level, at least `SILENCE_DBFS`, which is also the level of no samples.
    """
    return power_dbfs(float(np.dot(sound, sound)) / len(sound)) if len(sound) else SILENCE_DBFS
