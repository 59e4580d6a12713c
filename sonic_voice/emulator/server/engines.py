"""The engines that stream handlers use: speech synthesis, speech recognition, chat requests."""

from collections.abc import Callable
from dataclasses import dataclass

from ..service.effects import Consult, RecognizerFactory, Synthesize


def silence(text: str, voice: str, rate_hz: int) -> bytes:
    """Return silence of a tenth of a second per word, which keeps the timing of an answer.

    Args:
        text: The text to be spoken.
        voice: Not used.
        rate_hz: The sample rate, in hertz.

    Returns:
        Mono s16le samples.
    """
    return bytes(2 * (rate_hz // 10) * max(1, len(text.split())))


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of an emulator, shared by its streams."""

    synthesize: Synthesize = silence
    """Speaks a text. It is called in a thread. The default is silence of a plausible length."""
    recognizer_factory: RecognizerFactory | None = None
    """Returns a recogniser for an utterance. None: no words are recognised."""
    consult: Consult | None = None
    """Sends a chat request, for brains that need a chat endpoint. None: such requests fail."""
    prepare: Callable[[int], None] | None = None
    """Prepares the engines for a number of streams. It is called in a thread when a stream begins,
    with the number of streams there are."""
    release: Callable[[int], None] | None = None
    """Gives back what the engines do not need for a number of streams. It is called in a thread,
    some time after a stream has ended."""
    recognizer_factory_for: Callable[[str], RecognizerFactory] | None = None
    """Returns the factory for a language that the user probably speaks, by its ISO 639-1 code.
    None: `recognizer_factory` for all languages."""
