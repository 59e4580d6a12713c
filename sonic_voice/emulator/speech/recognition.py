"""The ports of a recogniser, and the choice of one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ...extras import install_command
from .deferred_recognition import DeferredRecognizer
from .installed import GOOD_EXTRA, LIGHT_EXTRA, Quality, installed, warn_once
from .pocketsphinx import PocketsphinxRecognizer
from .weights import any_installed
from .whisper import WhisperRecognizer


class UtteranceRecognition(Protocol):
    """The recognition of one utterance, whose start and end are decided elsewhere.

    One call of `finish` or `cancel` ends it; nothing may be called after that. The methods may be
    called from any thread, one at a time.
    """

    def feed(self, pcm: bytes) -> None:
        """Add sound. Returns within 1 ms for each 100 ms of sound.

        A thread of the recogniser decodes it meanwhile.

        Args:
            pcm: The next s16le mono samples, of any number.
        """
        ...

    def finish(self) -> str | None:
        """Return the words. Blocks until they are known, and raises what the engine raised.

        Returns:
            The words in lower case, with the punctuation that the engine gives. Empty for silence
            and noise, and where the engine knows that it did not understand. None if the engine
            does not know the language.
        """
        ...

    def cancel(self) -> None:
        """Discard the utterance. Returns at once."""
        ...


class Recognizer(Protocol):
    """A recogniser that serves any number of utterances at the same time."""

    def begin(
        self, rate_hz: int, hints: Sequence[str] = (), language: str = "en"
    ) -> UtteranceRecognition:
        """Start the recognition of an utterance.

        Args:
            rate_hz: Sample rate of its sound, in Hz.
            hints: Sentences to expect, if any are known.
            language: ISO 639-1 code of the language to expect.
        """
        ...


def recognizer(
    quality: Quality = "auto",
    *,
    hints: Sequence[str] = (),
    language: str = "",
    model_dir: Path | None = None,
) -> Recognizer | None:
    """Return the recogniser of this machine.

    One that was named is loaded, which takes a second or two. The best of those that are installed
    is a `DeferredRecognizer`.

    Args:
        quality: Which engine is wanted.
        hints: Sentences of the scenario, to prepare for.
        language: ISO 639-1 code of the language of all speech. Empty: a recogniser that knows
            several finds out for each utterance.
        model_dir: A folder with a Whisper model; None for a packaged one.

    Returns:
        The recogniser; for `auto` None, with a line in the log, if none is installed.

    Raises:
        ConfigError: The engine that `quality` names is missing, or its weights are damaged.
    """
    if quality == "good" or model_dir is not None:
        return WhisperRecognizer(model_dir, language=language)
    if quality == "light":
        return PocketsphinxRecognizer(hints)
    if _whisper_installed():
        return DeferredRecognizer(lambda: WhisperRecognizer(language=language))
    if installed("pocketsphinx"):
        return DeferredRecognizer(lambda: PocketsphinxRecognizer(hints))
    light, good = install_command(LIGHT_EXTRA), install_command(GOOD_EXTRA)
    warn_once(
        "No recogniser is installed: speech is heard without its words. "
        f"For a light one: {light}; for a good one: {good}."
    )
    return None


def _whisper_installed() -> bool:
    return installed("ctranslate2", "tokenizers") and any_installed()
