"""When the user begins and ends: endpointing over one speech probability per 32 ms window.

Speech begins with three windows in a row over one half, 96 ms, which a click does not reach. It
ends after the endpoint time in which no window came up to 0.35; between the two thresholds a
speaker may breathe. The real service endpoints with a model; its recorded reaction at MEDIUM was
280 to 480 ms, at LOW 0.8 to 0.9 s, and its documented pauses (1.5, 1.75 and 2.0 s) behave like
upper bounds (protocol reference 2.2, 3.4).

Positions are milliseconds of input audio since its container began.
"""

from dataclasses import dataclass
from typing import Protocol

WINDOW_MS = 32
ONSET_WINDOWS = 3
SPEECH_OVER = 0.5
SILENCE_UNDER = 0.35

ENDPOINT_MS = {"HIGH": 320, "MEDIUM": 384, "LOW": 800}


class SpeechDetector(Protocol):
    """The port of a voice activity detector; one per stream of audio."""

    def probability(self, window: bytes) -> float:
        """How likely `window`, the next 32 ms of s16le PCM, holds speech: 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The user speaks since `onset_ms`."""

    onset_ms: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The user, who spoke from `onset_ms` to `end_ms`, has finished; noticed at `detected_ms`."""

    onset_ms: int
    end_ms: int
    detected_ms: int


class Endpointer:
    """Turns probabilities into `SpeechBegan` and `SpeechEnded`.

    `SpeechBegan` is told `notice_ms` after the onset: the service takes that long (reference 3.4).
    """

    def __init__(self, endpoint_ms: int, notice_ms: int) -> None:
        self._endpoint_ms = endpoint_ms
        self._notice_ms = notice_ms
        self._now_ms = 0
        self._loud = 0
        self._quiet = 0
        self._onset_ms: int | None = None
        self._told = False

    @property
    def speaking(self) -> bool:
        """Whether the user speaks now, told or not yet."""
        return self._onset_ms is not None

    def feed(self, probability: float) -> list[SpeechBegan | SpeechEnded]:
        """The next window; what is to be told at its end."""
        self._now_ms += WINDOW_MS
        if self._onset_ms is None:
            self._loud = self._loud + 1 if probability > SPEECH_OVER else 0
            if self._loud < ONSET_WINDOWS:
                return []
            self._onset_ms = self._now_ms - ONSET_WINDOWS * WINDOW_MS
            self._quiet, self._told = 0, False
        else:
            self._quiet = self._quiet + 1 if probability < SILENCE_UNDER else 0
        return self._tell(self._onset_ms)

    def _tell(self, onset_ms: int) -> list[SpeechBegan | SpeechEnded]:
        told: list[SpeechBegan | SpeechEnded] = []
        ended = self._quiet * WINDOW_MS >= self._endpoint_ms
        if not self._told and (ended or self._now_ms - onset_ms >= self._notice_ms):
            self._told = True
            told.append(SpeechBegan(onset_ms))
        if ended:
            end_ms = self._now_ms - self._quiet * WINDOW_MS
            told.append(SpeechEnded(onset_ms, end_ms, self._now_ms))
            self._onset_ms, self._loud = None, 0
        return told
