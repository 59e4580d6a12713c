"""The recognition of an utterance whose language the recogniser does not know."""


class UnknownLanguage:
    """An `UtteranceRecognition` that says that the words cannot be known, instead of guessing.

    A recogniser that knows English only writes English words for every sound of another language.
    """

    def feed(self, pcm: bytes) -> None:
        """See `UtteranceRecognition`. The sound is not used."""

    def finish(self) -> str | None:
        """See `UtteranceRecognition`. Returns None."""
        return None

    def cancel(self) -> None:
        """See `UtteranceRecognition`."""
