"""The ports of a recogniser, and the choice of one."""

from collections.abc import Sequence
from typing import Protocol

from ...extras import install_command
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

    def finish(self) -> str:
        """Return the words. Blocks until they are known, and raises what the engine raised.

        Returns:
            The words in lower case, with the punctuation that the engine gives. Empty for silence
            and
            noise, and where the engine knows that it did not understand.
        """
        ...

    def cancel(self) -> None:
        """Discard the utterance. Returns at once."""
        ...


class Recognizer(Protocol):
    """A recogniser that serves any number of utterances at the same time."""

    def begin(self, rate_hz: int, hints: Sequence[str] = ()) -> UtteranceRecognition:
        """Start the recognition of an utterance.

        Args:
            rate_hz: Sample rate of its sound, in Hz.
            hints: Sentences to expect, if any are known.
        """
        ...


def recognizer(quality: Quality = "auto", *, hints: Sequence[str] = ()) -> Recognizer | None:
    """Return the recogniser of this machine, loaded. Takes a second or two.

    Args:
        quality: Which engine is wanted.
        hints: Sentences of the scenario, to prepare for.

    Returns:
        The recogniser; for `auto` None, with a line in the log, if none is installed.

    Raises:
        ConfigError: The engine that `quality` names is missing, or weights are damaged.
    """
    if quality == "good" or (quality == "auto" and _whisper_installed()):
        return WhisperRecognizer()
    if quality == "light" or installed("pocketsphinx"):
        return PocketsphinxRecognizer(hints)
    light, good = install_command(LIGHT_EXTRA), install_command(GOOD_EXTRA)
    warn_once(
        "No recogniser is installed: speech is heard without its words. "
        f"For a light one: {light}; for a good one: {good}."
    )
    return None


def _whisper_installed() -> bool:
    return installed("ctranslate2", "tokenizers") and any_installed()
