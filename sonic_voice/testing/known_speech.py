"""The speech of the caller of a test: utterances, and the recognition of their sound.

The sound of an utterance that a test speaks is known to the test kit, and so are its words. The
emulator of the test kit therefore does not guess: `KnownSpeech` finds the known sound in the audio
that it is given, sample by sample, and returns its words. Audio that contains no known sound has no
known words, and the scenario's `user` text stands for them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

WINDOW_BYTES = 640
"""Length of a piece of sound by which an utterance is looked for, in bytes: 20 ms at 16 kHz. A
synthesiser repeats such a piece now and then, so all that is heard of the utterance is compared."""

PIECES = 6
"""Number of pieces of each utterance that are looked for: one of them is heard even if the
utterance is cut into several by its own pauses."""

WHOLE_SHARE = 0.8
"""Minimum share of the sound of an utterance that counts as all of it: its first and last sounds
are soft, and may be taken for silence."""

MAX_KNOWN = 64
"""Maximum number of utterances that are remembered; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something that the caller says."""

    pcm: bytes
    """s16le mono PCM."""
    rate_hz: int
    """Its sample rate, in Hz."""
    text: str | None = None
    """The words; None if they are not known, as of a sound file without a text."""

    @property
    def seconds(self) -> float:
        """Length, in seconds."""
        return len(self.pcm) / (2 * self.rate_hz)

    def __repr__(self) -> str:
        return f"Utterance({self.text!r}, {self.seconds:.2f} s)"


class KnownSpeech:
    """The utterances that were said so far, by their sound."""

    def __init__(self) -> None:
        self._words: dict[bytes, str] = {}

    def add(self, pcm: bytes, text: str) -> None:
        """Add an utterance before it is sent.

        Args:
            pcm: Its sound as it will be sent.
            text: Its words.
        """
        self._words.pop(pcm, None)
        self._words[pcm] = text
        if len(self._words) > MAX_KNOWN:
            del self._words[next(iter(self._words))]

    def forget(self) -> None:
        """Forget all utterances."""
        self._words.clear()

    def words_in(self, heard: bytes) -> str | None:
        """Return the words that are spoken in a piece of audio.

        Args:
            heard: The audio, as the service received it.

        Returns:
            The words of all known utterances in it, in their order; None if there is none.
        """
        found: list[tuple[int, str]] = []
        for pcm, text in list(self._words.items()):
            position = _position_of(pcm, heard)
            if position is not None:
                found.append((position, _words_between(text, pcm, -position, len(heard))))
        return " ".join(words for _, words in sorted(found) if words) if found else None

    def recognizer(self, rate_hz: int) -> "KnownSpeechRecognizer":
        """Return the recogniser of one utterance. See `RecognizerFactory`.

        Args:
            rate_hz: Not used: the sound is compared as it was sent.
        """
        return KnownSpeechRecognizer(self)


class KnownSpeechRecognizer:
    """The recogniser of one utterance. See `UtteranceRecognizer`.

    Args:
        known: The utterances that may be heard.
    """

    def __init__(self, known: KnownSpeech) -> None:
        self._known = known
        self._heard = bytearray()

    def feed(self, pcm: bytes) -> None:
        """See `UtteranceRecognizer`."""
        self._heard += pcm

    def finish(self) -> str | None:
        """See `UtteranceRecognizer`."""
        return self._known.words_in(bytes(self._heard))

    def cancel(self) -> None:
        """See `UtteranceRecognizer`."""


def _position_of(pcm: bytes, heard: bytes) -> int | None:
    """Return where an utterance begins in a piece of audio, in bytes, or None.

    The position is negative if the audio begins in the middle of the utterance.
    """
    for start in _loud_pieces(pcm):
        piece, found = pcm[start : start + WINDOW_BYTES], -1
        while (found := heard.find(piece, found + 1)) >= 0:
            position = found - start
            begin, end = max(0, position), min(len(heard), position + len(pcm))
            if heard[begin:end] == pcm[begin - position : end - position]:
                return position
    return None


def _loud_pieces(pcm: bytes) -> Iterator[int]:
    """Yield the position of the loudest window in each of `PIECES` parts of a sound, in bytes."""
    part = max(WINDOW_BYTES, len(pcm) // PIECES // WINDOW_BYTES * WINDOW_BYTES)
    for begin in range(0, len(pcm) - WINDOW_BYTES + 1, part):
        windows = range(begin, min(begin + part, len(pcm) - WINDOW_BYTES + 1), WINDOW_BYTES)
        yield max(windows, key=lambda at: max(memoryview(pcm[at : at + WINDOW_BYTES]).cast("h")))


def _words_between(text: str, pcm: bytes, begin: int, heard_bytes: int) -> str:
    """Return the words of an utterance that lie in a part of its sound.

    The words are spread over the sound by their length.

    Args:
        text: The words.
        pcm: The sound of the utterance.
        begin: Position in it at which the part begins, in bytes; negative if it begins earlier.
        heard_bytes: Length of the part, in bytes.
    """
    heard_of_it = min(len(pcm), begin + heard_bytes) - max(0, begin)
    if heard_of_it >= WHOLE_SHARE * len(pcm):
        return text
    words, position, kept = text.split(), 0, list[str]()
    letters = sum(len(word) + 1 for word in words)
    for word in words:
        middle = (position + (len(word) + 1) / 2) / letters * len(pcm)
        position += len(word) + 1
        if begin <= middle < begin + heard_bytes:
            kept.append(word)
    return " ".join(kept)
