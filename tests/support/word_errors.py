"""How wrong a transcript is."""

import re
import unicodedata
from collections.abc import Sequence

from sonic_voice.emulator.language.numerals import in_words


def plain_words(text: str) -> list[str]:
    """Lower-case words without punctuation, figures spoken out: Whisper writes "10"."""
    spoken = re.sub(r"\d+", lambda figures: f" {in_words(int(figures[0]))} ", text.lower())
    spoken = unicodedata.normalize("NFC", spoken.replace("pbx", "p b x"))
    # The vowels of Devanagari are marks, which \w lacks.
    kept = [one if one == "'" or unicodedata.category(one)[0] in "LMN" else " " for one in spoken]
    return "".join(kept).split()


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words to change, add or drop to get from one to the other."""
    errors = list(range(len(heard) + 1))
    for row, word in enumerate(said, 1):
        diagonal, errors[0] = errors[0], row
        for column, other in enumerate(heard, 1):
            change = diagonal + (word != other)
            diagonal = errors[column]
            errors[column] = min(change, errors[column] + 1, errors[column - 1] + 1)
    return errors[-1]


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Errors of all `(said, heard)` against the number of words said."""
    plain = [(plain_words(said), plain_words(heard)) for said, heard in pairs]
    return sum(word_errors(*pair) for pair in plain) / sum(len(said) for said, _ in plain)
