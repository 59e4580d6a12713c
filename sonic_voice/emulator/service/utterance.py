"""The user's utterances on their way to the recogniser of the host, which recognises words.

    QUIET ──onset──► SPEAKING ──end──► ENDED ──recognize──► RECOGNIZING ──words──► QUIET

The host is given the audio of an utterance while the user speaks (`effects.Listen`), from
`PREROLL_MS` before the onset to the end. It is asked for the words once the end of the speech was
reported (`effects.Recognize`), and until they come the conversation stands still.
"""

from collections import deque
from enum import Enum, auto

from .endpointing import WINDOW_MS, SpeechBegan, SpeechEnded
from .input_clock import InputWindow
from .output import ServiceOutput

PREROLL_MS = 320
"""Audio before the onset that a recogniser is given, in milliseconds: a soft consonant at the
beginning of a word is detected late."""


class UtteranceState(Enum):
    """The state of the user's current utterance."""

    QUIET = auto()
    """There is none."""
    SPEAKING = auto()
    """The host is given its audio."""
    ENDED = auto()
    """Its audio is complete; the host was not asked for the words yet."""
    RECOGNIZING = auto()
    """The host was asked for the words."""


class UserUtterances:
    """The utterances of one prompt, one after the other.

    Args:
        output: Receives the effects.
        notice_ms: Delay from an onset of speech to its event, in milliseconds.
        language: ISO 639-1 code of the language that the user probably speaks.
    """

    def __init__(self, output: ServiceOutput, notice_ms: int, language: str = "en") -> None:
        self.state = UtteranceState.QUIET
        self._out = output
        self._language = language
        self._number = 0
        before_onset = (notice_ms + PREROLL_MS) // WINDOW_MS + 1
        self._recent: deque[bytes] = deque(maxlen=before_onset)

    def add_window(self, window: InputWindow) -> None:
        """Give the host the next window, if it is part of an utterance.

        Args:
            window: The window.
        """
        self._recent.append(window.pcm)
        if any(isinstance(event, SpeechBegan) for event in window.events):
            self.state = UtteranceState.SPEAKING
            self._number += 1
            self._listen(b"".join(self._recent), window)
        elif self.state is UtteranceState.SPEAKING:
            self._listen(window.pcm, window)
        if any(isinstance(event, SpeechEnded) for event in window.events):
            self.state = UtteranceState.ENDED
            self._recent.clear()

    def _listen(self, pcm: bytes, window: InputWindow) -> None:
        self._out.listen(self._number, pcm, window.rate_hz, self._language)

    def recognize(self) -> None:
        """Ask the host for the words of the utterance that has ended."""
        self.state = UtteranceState.RECOGNIZING
        self._out.recognize(self._number)

    def take_words(self, number: int) -> bool:
        """End the utterance, whose words have come.

        Args:
            number: The number of the utterance that the words belong to.

        Returns:
            Whether the words of this utterance were asked for.
        """
        if self.state is not UtteranceState.RECOGNIZING or number != self._number:
            return False
        self.state = UtteranceState.QUIET
        return True
