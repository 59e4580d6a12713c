"""Recognition of an utterance that is decoded whenever it might be over.

A decoder needs the whole sound and takes some tenths of a second for it; the end of speech is
certain only after 0.3 to 0.8 s of silence (`endpointing.ENDPOINT_MS`). So at every pause of 192 ms
the sound up to there is decoded at once, on the guess that nothing more comes:

    speech ........ pause 192 ms | decode "up to here"
                                 | silence -> finish() finds the words, or waits for the rest
                                 | speech  -> the guess is dropped, the next pause makes another

Long speech is cut at pauses, so that no piece needs a long time at the end, or is longer than a
decoder can handle at once. Where it is cut, and what is decoded, follows from the sound alone, not
from when it arrived or how fast the machine is: the words are the same every time.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from ...config import BYTES_PER_SAMPLE
from ..service.endpointing import (
    ONSET_WINDOWS,
    SILENCE_UNDER,
    SPEECH_OVER,
    WINDOW_MS,
    SpeechDetector,
)

PAUSE_WINDOWS = 6
"""Pause after which speech is decoded, in windows: 192 ms, longer than the closure of a consonant
and shorter than every endpoint time."""
CUT_WINDOWS = 8_000 // WINDOW_MS
"""Length from which a pause ends a piece, in windows (8 s)."""
LONGEST_WINDOWS = 26_000 // WINDOW_MS
"""Maximum length of a piece, in windows (26 s). Whisper handles 30 s, of which 2 s are kept silent
at the end."""
LEAD_WINDOWS = 480 // WINDOW_MS
"""Silence that is kept before a piece, in windows (480 ms)."""

type Decode = Callable[[bytes, int], str]
"""Returns the words of `(pcm, rate_hz)`; called in a worker thread."""


@dataclass(frozen=True, slots=True)
class PauseState:
    """The state of the piece of speech that is being received."""

    heard: bool = False
    """True if there was speech in this piece: `ONSET_WINDOWS` windows in a row."""
    loud: int = 0
    """Number of consecutive windows above `SPEECH_OVER`."""
    quiet: int = 0
    """Number of consecutive windows under `SILENCE_UNDER`."""

    def after(self, probability: float) -> "PauseState":
        """Return the state after one more window.

        Args:
            probability: Probability that the window holds speech, 0 to 1.
        """
        loud = self.loud + 1 if probability > SPEECH_OVER else 0
        if probability < SILENCE_UNDER:
            quiet = self.quiet + 1
        else:
            # Sound between the two thresholds, such as a breath, does not end a full pause.
            quiet = self.quiet if self.quiet >= PAUSE_WINDOWS and not loud else 0
        return PauseState(self.heard or loud >= ONSET_WINDOWS, loud, quiet)


class SpeculativeRecognition:
    """An `UtteranceRecognition` over a function that decodes a whole sound, run by `workers`."""

    def __init__(
        self, rate_hz: int, detector: SpeechDetector, decode: Decode, workers: Executor
    ) -> None:
        self._rate_hz = rate_hz
        self._detector = detector
        self._decode = decode
        self._workers = workers
        self._window_bytes = rate_hz * WINDOW_MS // 1000 * BYTES_PER_SAMPLE
        self._piece = bytearray()
        self._seen = 0
        self._pauses = PauseState()
        self._guess: Future[str] | None = None
        self._settled: list[Future[str]] = []

    def feed(self, pcm: bytes) -> None:
        """See `UtteranceRecognition`."""
        self._piece += pcm
        while len(self._piece) - self._seen >= self._window_bytes:
            window = bytes(self._piece[self._seen : self._seen + self._window_bytes])
            self._seen += self._window_bytes
            self._pauses = self._pauses.after(self._detector.probability(window))
            self._follow_window()

    def finish(self) -> str:
        """See `UtteranceRecognition`. Blocks until all pieces are decoded."""
        if self._guess is not None:
            self._settled.append(self._guess)
        elif self._pauses.heard:
            self._settled.append(self._submit(bytes(self._piece)))
        return " ".join(filter(None, (piece.result() for piece in self._settled)))

    def cancel(self) -> None:
        """See `UtteranceRecognition`. Drops what has not been decoded yet."""
        self._drop_guess()
        for piece in self._settled:
            piece.cancel()

    def _follow_window(self) -> None:
        pause, windows = self._pauses, self._seen // self._window_bytes
        if not pause.quiet:
            self._drop_guess()
        if not pause.heard:
            # Before any speech only the last 480 ms of silence are kept.
            if windows > LEAD_WINDOWS:
                del self._piece[: self._window_bytes]
                self._seen -= self._window_bytes
            return
        if pause.quiet == PAUSE_WINDOWS and self._guess is None:
            self._guess = self._submit(bytes(self._piece[: self._seen]))
            if windows >= CUT_WINDOWS:
                self._settle(self._guess)
        elif windows >= LONGEST_WINDOWS:
            self._settle(self._guess or self._submit(bytes(self._piece[: self._seen])))

    def _settle(self, decoded: Future[str]) -> None:
        self._settled.append(decoded)
        del self._piece[: self._seen]
        self._seen, self._pauses, self._guess = 0, PauseState(), None

    def _submit(self, pcm: bytes) -> Future[str]:
        return self._workers.submit(self._decode, pcm, self._rate_hz)

    def _drop_guess(self) -> None:
        if self._guess is not None:
            self._guess.cancel()
            self._guess = None
