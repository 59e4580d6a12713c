"""A recogniser that is loaded in a thread, when the first conversation begins.

Loading Whisper takes a second: its weights are verified, and the first decoding is slower than all
others. An emulator that waited for it would start a second later, although nobody has said anything
yet. What is said before it is loaded is kept, and recognised as soon as it is.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .recognition import Recognizer, UtteranceRecognition


class DeferredRecognizer:
    """A `Recognizer` that is loaded later.

    Args:
        load: Makes the recogniser. It is called once, in a thread.
    """

    def __init__(self, load: "Callable[[], Recognizer]") -> None:
        self._load = load
        self._loading: Future[Recognizer] | None = None
        self._lock = Lock()

    def load_soon(self) -> "Future[Recognizer]":
        """Begin to load the recogniser, unless that was done before. Returns at once.

        Returns:
            The recogniser, or the error of loading it.
        """
        with self._lock:
            if self._loading is None:
                loader = ThreadPoolExecutor(1, "recogniser")
                self._loading = loader.submit(self._load)
                loader.shutdown(wait=False)
            return self._loading

    def begin(
        self, rate_hz: int, hints: Sequence[str] = (), language: str = "en"
    ) -> "UtteranceRecognition":
        """See `Recognizer`. An error of loading is raised by `finish` of the utterance."""
        loading = self.load_soon()
        if loading.done() and loading.exception() is None:
            return loading.result().begin(rate_hz, hints, language)
        return _KeptUtterance(loading, lambda loaded: loaded.begin(rate_hz, hints, language))


class _KeptUtterance:
    """An utterance whose sound is kept until its recogniser is loaded."""

    def __init__(
        self,
        loading: "Future[Recognizer]",
        begin: "Callable[[Recognizer], UtteranceRecognition]",
    ) -> None:
        self._loading = loading
        self._begin = begin
        self._kept: list[bytes] = []
        self._begun: UtteranceRecognition | None = None

    def feed(self, pcm: bytes) -> None:
        """See `UtteranceRecognition`."""
        self._kept.append(pcm)
        if self._loading.done() and self._loading.exception() is None:
            self._feed_kept()

    def _feed_kept(self) -> "UtteranceRecognition":
        if self._begun is None:
            self._begun = self._begin(self._loading.result())
        for pcm in self._kept:
            self._begun.feed(pcm)
        self._kept.clear()
        return self._begun

    def finish(self) -> str | None:
        """See `UtteranceRecognition`."""
        self._loading.result()
        return self._feed_kept().finish()

    def cancel(self) -> None:
        """See `UtteranceRecognition`."""
        self._kept.clear()
        if self._begun is not None:
            self._begun.cancel()
