"""Settings of the sound at this end that users choose, without the modules that they are for."""

from typing import Literal

BackendName = Literal["sounddevice", "pyaudio"]
"""The name of a supported sound library."""

type BargeInSensitivity = Literal["low", "normal", "high"]
"""The ease with which a sound at this end ducks the playback."""

MIN_LEVEL_RANGE_DBFS = (-90.0, -20.0)
"""Range of the minimum level of speech, in dBFS: from below any room's noise to the level of a
person who speaks into the microphone."""
