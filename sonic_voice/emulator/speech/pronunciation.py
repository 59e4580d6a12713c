"""The words of a sentence as a dictionary lists them, and how an unknown word may be pronounced.

For a grammar of known sentences a rough guess is enough: it only has to be nearer to what is said
than the other sentences are. Letters are read from the left, the longest known group first, with
the sound that they most often have in English names.
"""

import re
import unicodedata

from ..language.numerals import in_words

_WORD = re.compile(r"\d+(?:\.\d+)?|[a-z']+")

SOUNDS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "augh": "AO", "igh": "AY", "tch": "CH",
    "sch": "SH", "dge": "JH", "ing": "IH NG", "qu": "K W", "ch": "CH", "sh": "SH", "th": "TH",
    "ph": "F", "wh": "W", "ck": "K", "ng": "NG", "gh": "G", "kn": "N", "wr": "R", "rh": "R",
    "zh": "ZH", "ee": "IY", "ea": "IY", "ie": "IY", "ei": "EY", "ai": "EY", "ay": "EY", "ey": "IY",
    "oo": "UW", "ou": "AW", "ow": "OW", "oa": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO",
    "ue": "UW", "ui": "UW", "eu": "Y UW", "ew": "Y UW", "er": "ER", "ir": "ER", "ur": "ER",
    "ar": "AA R", "or": "AO R", "ce": "S EH", "ci": "S IH", "cy": "S IY", "ge": "JH EH",
    "gi": "JH IH", "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G",
    "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "OW", "p": "P",
    "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
"""Phones of CMU's dictionary for groups of letters."""

NAMES = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY",
    "h": "EY CH", "i": "AY", "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N",
    "o": "OW", "p": "P IY", "q": "K Y UW", "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW",
    "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S", "y": "W AY", "z": "Z IY",
}  # fmt: skip
"""Phones of the names of the letters, for words that are spelled."""

_PIECE = re.compile("|".join(sorted(SOUNDS, key=len, reverse=True)))
_DOUBLED = re.compile(r"([b-df-hj-np-tv-z])\1")
_SILENT_E = re.compile(r"(?<=[a-z]{2}[^aeiouy])e$")


def words(sentence: str) -> list[str]:
    """Return the words of a sentence, in the letters a to z and apostrophes, with numbers in words.

    Args:
        sentence: The sentence.
    """
    plain = unicodedata.normalize("NFKD", sentence.lower().replace("’", "'"))
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    found: list[str] = []
    for word in _WORD.findall(letters):
        if word[0].isdigit():
            found += _WORD.findall(in_words(float(word) if "." in word else int(word)))
        elif bare := word.strip("'"):
            found.append(bare)
    return found


def sounds(word: str) -> str:
    """Return a possible pronunciation of a word, in phones of CMU's dictionary.

    Args:
        word: The word, in the letters a to z and apostrophes.
    """
    letters = word.replace("'", "")
    if not set(letters) & set("aeiouy"):
        return " ".join(NAMES[letter] for letter in letters)
    letters = _SILENT_E.sub("", _DOUBLED.sub(r"\1", letters))
    return " ".join(SOUNDS[piece] for piece in _PIECE.findall(letters))
