"""Endpointing: when the user begins and ends, from one speech probability per window of 32 ms.

Speech begins with three windows in a row over one half (96 ms), which a click does not reach. It
ends when no window reached 0.35 during the endpoint time; between the two thresholds a speaker may
breathe. The real service endpoints with a model. Its recorded reaction was 280 to 480 ms at MEDIUM
and 0.8 to 0.9 s at LOW, and its documented pauses (1.5, 1.75 and 2.0 s) behave like upper bounds
(reference 2.2, 3.4).

Positions are milliseconds of input audio since the audio container began.
"""

from dataclasses import dataclass
from typing import Protocol

WINDOW_MS = 32
"""Length of a window of the voice activity detector, in milliseconds."""
ONSET_WINDOWS = 3
"""Windows of speech in a row that begin an utterance. 96 ms are longer than a click."""
SPEECH_OVER = 0.5
"""Probability above which a window counts as speech."""
SILENCE_UNDER = 0.35
"""Probability below which a window counts as silence. It is lower than `SPEECH_OVER`, so that a
breath does not end an utterance."""

ENDPOINT_MS = {"HIGH": 320, "MEDIUM": 384, "LOW": 800}
"""Silence that ends an utterance, in milliseconds, by the client's endpointing sensitivity."""


class SpeechDetector(Protocol):
    """The port of a voice activity detector. Each stream of audio needs its own."""

    def probability(self, window: bytes) -> float:
        """Return the probability that a window holds speech.

        Args:
            window: The next 32 ms of mono s16le PCM.

        Returns:
            A probability from 0 to 1.
        """
        ...


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The event that the user has begun to speak."""

    onset_ms: int
    """Position at which the speech began."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The event that the user has finished an utterance."""

    onset_ms: int
    """Position at which the speech began."""
    end_ms: int
    """Position at which the speech ended."""
    detected_ms: int
    """Position at which the end was detected."""


class Endpointer:
    """A state machine that turns speech probabilities into `SpeechBegan` and `SpeechEnded`.

    Args:
        endpoint_ms: Silence that ends an utterance, in milliseconds.
        notice_ms: Delay from the onset to `SpeechBegan`, in milliseconds: the service needs that
            long (reference 3.4).
    """

    def __init__(self, endpoint_ms: int, notice_ms: int) -> None:
        self._endpoint_ms = endpoint_ms
        self._notice_ms = notice_ms
        self._now_ms = 0
        self._speech_windows = 0
        self._silence_windows = 0
        self._onset_ms: int | None = None
        self._onset_reported = False

    @property
    def speaking(self) -> bool:
        """True while the user speaks, also before `SpeechBegan` was returned."""
        return self._onset_ms is not None

    def feed(self, probability: float) -> list[SpeechBegan | SpeechEnded]:
        """Take the next window.

        Args:
            probability: The probability that the window holds speech, from 0 to 1.

        Returns:
            The events at the end of the window, none in most cases.
        """
        self._now_ms += WINDOW_MS
        if self._onset_ms is None:
            self._speech_windows = self._speech_windows + 1 if probability > SPEECH_OVER else 0
            if self._speech_windows < ONSET_WINDOWS:
                return []
            self._onset_ms = self._now_ms - ONSET_WINDOWS * WINDOW_MS
            self._silence_windows, self._onset_reported = 0, False
        else:
            self._silence_windows = self._silence_windows + 1 if probability < SILENCE_UNDER else 0
        return self._events(self._onset_ms)

    def _events(self, onset_ms: int) -> list[SpeechBegan | SpeechEnded]:
        events: list[SpeechBegan | SpeechEnded] = []
        ended = self._silence_windows * WINDOW_MS >= self._endpoint_ms
        # A short utterance may end before its onset was due: both are then reported together.
        if not self._onset_reported and (ended or self._now_ms - onset_ms >= self._notice_ms):
            self._onset_reported = True
            events.append(SpeechBegan(onset_ms))
        if ended:
            end_ms = self._now_ms - self._silence_windows * WINDOW_MS
            events.append(SpeechEnded(onset_ms, end_ms, self._now_ms))
            self._onset_ms, self._speech_windows = None, 0
        return events
