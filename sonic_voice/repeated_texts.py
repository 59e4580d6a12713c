"""The texts with which the service repeats what was sent to it, and which the user has not said.

The service reports typed texts and prompts as if the user had said them, and transcribes the
recording with which a model that takes no text is asked for a greeting (`first_words`).

Source: protocol reference 2.10.
"""

from collections import deque
from collections.abc import Callable

RECORDED_WORDS = "hello"
"""Words of the recording with which v1 is asked for a greeting, as they are transcribed."""

TEXTS_KEPT = 16
"""Maximum number of texts whose repetition is expected, the newest ones."""


class RepeatedTexts:
    """The texts that were sent to one stream and will come back as the words of the user."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque(maxlen=TEXTS_KEPT)
        self._user_spoke: Callable[[], bool] | None = None

    def text_sent(self, text: str) -> None:
        """Expect that the service repeats a text.

        Args:
            text: The text that was sent.
        """
        self._texts.append(_comparable(text))

    def recording_sent(self, user_spoke: Callable[[], bool]) -> None:
        """Expect that the service transcribes a recording that was sent before the user's audio.

        Args:
            user_spoke: Returns whether the user has said something, too. Otherwise the next
                transcription is that of the recording, whatever its words.
        """
        self._user_spoke = user_spoke

    def is_repetition(self, text: str) -> bool:
        """Return whether a text repeats one that was sent as text; earlier ones are then past.

        Args:
            text: The text that the service reports.
        """
        comparable = _comparable(text)
        if comparable not in self._texts:
            return False
        while self._texts.popleft() != comparable:
            pass
        return True

    def without_recording(self, text: str) -> str:
        """Return the words of the user in a transcription, which may begin with the recording.

        Args:
            text: The transcription.

        Returns:
            The words; empty if the user has said none.
        """
        user_spoke, self._user_spoke = self._user_spoke, None
        if user_spoke is None:
            return text
        if not user_spoke():
            return ""
        first, _, rest = text.strip().partition(" ")
        return rest if _comparable(first) == RECORDED_WORDS else text


def _comparable(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .,!?")
