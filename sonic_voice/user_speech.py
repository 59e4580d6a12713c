"""The user's speech as the service has reported it, on the clock of the conversation.

A model that reports speech (v2 and later) names where it began and ended, before its text comes. A
stream's positions count from the beginning of its own audio; they are moved to the clock of the
conversation here.
"""

TRANSCRIPTION_MS = 5_000
"""Time within which the service transcribes speech, in ms of audio. Speech that is older and was
not transcribed was a noise."""


class UserSpeech:
    """The speech of the user as one stream has heard it. Positions are in ms."""

    def __init__(self) -> None:
        self.speaking = False
        """True while the service hears the user speak."""
        self.began_ms: int | None = None
        """Position at which speech began of which no text has come yet, or the newest speech."""
        self.transcribed_ms = 0
        """Position up to which the speech was transcribed."""
        self._offset_ms = 0
        self._newest_ms: int | None = None
        self._ended_ms: int | None = None

    def begin_at(self, offset_ms: int) -> None:
        """Set the position at which the audio of the stream begins.

        Args:
            offset_ms: In the conversation's audio.
        """
        self._offset_ms = self.transcribed_ms = offset_ms

    def started(self, offset_ms: int) -> int:
        """Record the beginning of speech, and return its position in the conversation's audio.

        Args:
            offset_ms: Its position in the audio of the stream.
        """
        self.speaking = True
        self._newest_ms = offset_ms + self._offset_ms
        if not self._goes_on(self._newest_ms):
            self.began_ms = self._newest_ms
        return self._newest_ms

    def ended(self, offset_ms: int, detected_ms: int) -> tuple[int, int]:
        """Record the end of speech, and return both positions in the conversation's audio.

        Args:
            offset_ms: Its position in the audio of the stream.
            detected_ms: Position at which the service noticed it.
        """
        self.speaking = False
        self._ended_ms = offset_ms + self._offset_ms
        return self._ended_ms, detected_ms + self._offset_ms

    def forget(self) -> None:
        """Forget the speech whose end was not reported: the service has answered on instead."""
        self.speaking = False
        self.began_ms = None

    def transcribed(self, sent_ms: int) -> int:
        """Record that a text of the speech has come.

        Args:
            sent_ms: Length of the audio that was sent to the stream. A model that does not report
                speech has transcribed all of it.

        Returns:
            The position up to which the speech was transcribed before.
        """
        before_ms = self.transcribed_ms
        if self._ended_ms is not None:
            self.transcribed_ms, self._ended_ms = self._ended_ms, None
            self.began_ms = self._newest_ms
        elif self.began_ms is None:
            self.transcribed_ms = self._offset_ms + sent_ms
        return before_ms

    @property
    def awaits_text(self) -> bool:
        """True if speech has ended whose text has not come."""
        return self._ended_ms is not None

    def pending_ms(self, sent_ms: int) -> int | None:
        """Return where the newest speech began; None if there was none, or only a noise.

        Args:
            sent_ms: Length of the audio that was sent to the stream.
        """
        return None if self._has_no_words(sent_ms) else self.began_ms

    def is_open(self, sent_ms: int) -> bool:
        """Return whether the user speaks, or the text of the speech may still come.

        Args:
            sent_ms: Length of the audio that was sent to the stream.
        """
        return self.speaking or (self.awaits_text and not self._has_no_words(sent_ms))

    def _has_no_words(self, sent_ms: int) -> bool:
        """Return whether the newest speech has ended so long ago that it has no words."""
        if self._ended_ms is None or self.speaking:
            return False
        return self._offset_ms + sent_ms - self._ended_ms > TRANSCRIPTION_MS

    def _goes_on(self, at_ms: int) -> bool:
        """Return whether speech continues speech of which no text has come yet."""
        if self.began_ms is None or self._ended_ms is None or self.began_ms < self.transcribed_ms:
            return False
        return at_ms - self._ended_ms < TRANSCRIPTION_MS
