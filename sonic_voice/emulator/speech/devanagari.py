"""Hindi that a recogniser wrote in the letters of Urdu, written in Devanagari.

Hindi and Urdu are nearly one language when they are spoken. Small Whisper models hear the words of
Hindi and write them as Urdu does. Urdu writes no short vowels, and some of its letters stand for
several sounds, so that the letters alone do not tell the word. The most likely word of a dictionary
is chosen, as in any noisy channel: with `d` the distance of the sounds and `p` the frequency of the
word, the word with the least

    DISTANCE_WEIGHT * d - ln p

Distances are those of an alignment (`_distance`): 0 for what Urdu always writes so, little for a
short vowel that is not written, and most for a consonant that is lost. Two words may be one word in
Hindi; the cheapest division of the sentence is taken.
"""

import functools
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping

DISTANCE_WEIGHT = 6.0
"""Weight of a distance of 1: a word that is nearer by 1 is chosen although its frequency is smaller
by a factor of e to this power."""
JOIN_COST = 3.0
"""Cost of writing two words as one. Without it, frequent pairs would be joined."""
MOST_JOINED_DISTANCE = 0.7
"""Maximum distance of a word that two are written as."""
UNKNOWN_COST = 40.0
"""Cost of a word that is not in the dictionary."""

_CONSONANTS = {
    "ک": "k", "ق": "k", "خ": "k", "گ": "g", "غ": "g", "چ": "c", "ج": "j", "ز": "z", "ذ": "z",
    "ض": "z", "ظ": "z", "ژ": "z", "ت": "t", "ط": "t", "ٹ": "t", "ث": "s", "س": "s", "ص": "s",
    "ش": "S", "د": "d", "ڈ": "d", "ر": "r", "ڑ": "r", "ل": "l", "م": "m", "ن": "n", "ں": "n",
    "پ": "p", "ب": "b", "ف": "f", "ہ": "h", "ح": "h", "ھ": "H", "و": "W", "ی": "Y", "ي": "Y",
    "ے": "E", "ا": "A", "آ": "A", "ك": "k", "ه": "h", "ۂ": "h",
}  # fmt: skip
"""Sound of each letter of Urdu. `W` and `Y` are a consonant or a vowel; `H` is the breath of the
consonant before it. Two more signs come from `urdu_sounds`: `X` is an alif at the beginning, which
stands for any short vowel, and `Q` is a final h, which may stand for a vowel."""

_LATIN = {
    "sh": "S", "ch": "c", "kh": "kH", "gh": "gH", "th": "tH", "dh": "dH", "bh": "bH", "ph": "pH",
    "jh": "jH", "aa": "A", "ee": "I", "oo": "U", "ai": "E", "au": "O", "a": "a", "e": "E", "i": "i",
    "o": "O", "u": "u", "w": "W", "v": "W", "y": "Y", "q": "k", "x": "kS", "c": "k",
}  # fmt: skip
"""Sounds of Latin letters, the longer ones first; all others are their own sound."""

_DEVANAGARI = {
    "क": "k", "ख": "kH", "ग": "g", "घ": "gH", "ङ": "n", "च": "c", "छ": "cH", "ज": "j",
    "झ": "jH", "ञ": "n", "ट": "t", "ठ": "tH", "ड": "d", "ढ": "dH", "ण": "n", "त": "t",
    "थ": "tH", "द": "d", "ध": "dH", "न": "n", "प": "p", "फ": "pH", "ब": "b", "भ": "bH",
    "म": "m", "य": "y", "र": "r", "ल": "l", "व": "v", "श": "S", "ष": "S", "स": "s", "ह": "h",
    "ं": "n", "ँ": "n", "अ": "a", "आ": "A", "ा": "A", "ऑ": "A", "ॉ": "A", "इ": "i", "ि": "i",
    "ई": "I", "ी": "I", "उ": "u", "ु": "u", "ऊ": "U", "ू": "U", "ऋ": "r", "ृ": "r", "ए": "E",
    "े": "E", "ऐ": "E", "ै": "E", "ओ": "O", "ो": "O", "औ": "O", "ौ": "O",
}  # fmt: skip
"""Sounds of each letter and sign of Devanagari, without the vowel that has no sign."""

_WITH_DOT = {"ज": "z", "फ": "f", "ड": "r", "ढ": "r"}
"""Sounds of letters with a dot below (nukta); others sound as they do without it."""
_DOT = "\u093c"

_SUBSTITUTIONS = {
    frozenset(pair): cost
    for cost, pairs in {
        0.0: ("Wv", "WO", "WU", "Yy", "YI", "YE", "Xa", "Xi", "Xu", "Qh"),
        0.1: ("zj", "QA"),
        0.2: ("Yi", "Wu", "Iy", "Ey", "fp", "ai", "au", "iI", "uU", "aA", "EI", "XA"),
        0.5: ("kg", "td", "pb", "cj", "sS", "nm", "rd", "zd", "bv", "cS", "EA"),
    }.items()
    for pair in pairs
}
"""Costs of sounds that stand for each other or are taken for each other."""

_OMISSIONS = {
    "X": 0.6, "Q": 0.2, "a": 0.05, "i": 0.1, "u": 0.1, "H": 0.2, "h": 0.5, "A": 0.6,
    "E": 0.6, "I": 0.5, "O": 0.6, "U": 0.5, "W": 0.6, "Y": 0.4, "y": 0.4, "v": 0.6,
}  # fmt: skip
"""Costs of sounds that one side lacks."""
_OMITTED_CONSONANT = 1.5
"""Cost of any other sound that one side lacks."""
_OTHER_SOUND = 2.0
"""Cost of any other sound for a sound."""

_WORDS = {
    "کہ": "कि", "نہ": "न", "یہ": "यह", "وہ": "वह", "کیلئے": "के लिए", "کیلیے": "के लिए", "ہوں": "हूँ",
    "ہیں": "हैं", "ہے": "है", "جی": "जी", "گئی": "गई", "گئے": "गए", "ہوئی": "हुई", "ہوئے": "हुए",
}  # fmt: skip
"""Words that are spelled in an irregular way, or that letters alone do not tell."""

_IN_OR_I = "میں"
"""Urdu's spelling of two words: `मैं` (I) at the beginning of a clause, else `में` (in)."""
_BEFORE_I = frozenset({"और", "कि", "क्या", "तो", "लेकिन", "पर", "जब", "अगर"})
"""Words after which a clause may begin."""

_JOINED_TO = frozenset("आप हम तुम मैं इस उस किस जिस इन उन किन जिन इन्हों उन्हों जिन्हों".split())
"""Pronouns that are written together with the postposition after them."""
_POSTPOSITIONS = frozenset("का की के को ने से".split())

MOST_LATIN_DISTANCE = 1.0
"""Maximum distance of the Hindi word for a word in Latin letters; others are not Hindi."""

_PUNCTUATION = str.maketrans("۔؟،", "।?,")
_TOKENS = re.compile(r"[\u0900-\u097F]+|[^\W\d_\u0900-\u097F]+|\d+|[^\w\s]+")


class DevanagariWriter:
    """A writer of Hindi in Devanagari.

    Args:
        frequencies: Frequency of each Hindi word, from 0 to 1.
    """

    def __init__(self, frequencies: Mapping[str, float]) -> None:
        self._sounds: dict[str, tuple[str, float]] = {}
        self._by_skeleton: dict[str, set[str]] = defaultdict(set)
        for word, frequency in frequencies.items():
            if word and "\u0900" <= word[0] <= "\u097f" and frequency > 0:
                plain = unicodedata.normalize("NFD", word)
                sounds = devanagari_sounds(plain)
                self._sounds[word] = sounds, -math.log(frequency)
                for skeleton in _near(_skeleton(sounds)):
                    self._by_skeleton[skeleton].add(word)
        self._best = functools.lru_cache(4096)(self._find)

    def write(self, text: str) -> str:
        """Return a text with its words of Urdu and Latin letters in Devanagari.

        Args:
            text: A Hindi sentence, in the letters of Urdu but for some words.
        """
        text = unicodedata.normalize("NFC", text).translate(_PUNCTUATION)
        words: list[str] = []
        for run in _runs(_TOKENS.findall(text)):
            words += self._sentence(run) if _is_foreign(run[0]) else run
        return _spaced(_with_pronouns(words))

    def _sentence(self, tokens: list[str]) -> list[str]:
        """Return the cheapest words for tokens that may be joined in pairs."""
        costs, chosen = [0.0], [list[str]()]
        for end in range(1, len(tokens) + 1):
            ways: list[tuple[float, list[str]]] = []
            for begin in range(max(0, end - 2), end):
                joined = end - begin > 1
                word, cost, distance = self._best("".join(tokens[begin:end]))
                if joined and (
                    word is None or distance > MOST_JOINED_DISTANCE or _IN_OR_I in tokens[begin:end]
                ):
                    continue
                found = word if word is not None else tokens[begin]
                total = costs[begin] + cost + (JOIN_COST if joined else 0.0)
                ways.append((total, [*chosen[begin], found]))
            best = min(ways, key=lambda way: way[0])
            costs.append(best[0])
            chosen.append(best[1])
        return chosen[-1]

    def _find(self, token: str) -> tuple[str | None, float, float]:
        """Return the word for a token, its cost and its distance; None if no word is near."""
        if token in _WORDS or token == _IN_OR_I:
            return _WORDS.get(token, token), 0.0, 0.0
        sounds = latin_sounds(token) if token.isascii() else urdu_sounds(token)
        candidates = {
            word for skeleton in _near(_skeleton(sounds)) for word in self._by_skeleton[skeleton]
        }
        best: str | None = None
        least, nearest = UNKNOWN_COST, 0.0
        for word in candidates:
            other, rarity = self._sounds[word]
            if rarity >= least:
                continue
            distance = _distance(sounds, other)
            if (cost := DISTANCE_WEIGHT * distance + rarity) < least:
                best, least, nearest = word, cost, distance
        if best is None or (token.isascii() and nearest > MOST_LATIN_DISTANCE):
            return None, UNKNOWN_COST, 0.0
        return _with_final_nasal(best), least, nearest


def has_urdu_letters(text: str) -> bool:
    """Return whether a text has letters of Urdu.

    Args:
        text: Any text.
    """
    return any("\u0620" <= letter <= "\u06ff" and letter.isalpha() for letter in text)


def urdu_sounds(word: str) -> str:
    """Return the sounds of a word in Urdu's letters.

    Args:
        word: The word.
    """
    word = re.sub("^ا(?=[وی])", "", word)
    sounds = "".join(_CONSONANTS.get(letter, "") for letter in word)
    sounds = re.sub("^A" if word.startswith("ا") else "^$", "X", sounds)
    return re.sub("(?<=.)Y$", "I", re.sub("(?<=.)h$", "Q", sounds))


def latin_sounds(word: str) -> str:
    """Return the sounds of a Hindi word in Latin letters.

    Args:
        word: The word.
    """
    return re.sub("|".join(_LATIN), lambda found: _LATIN[found[0]], word.lower().replace("ck", "k"))


def devanagari_sounds(word: str) -> str:
    """Return the sounds of a word in Devanagari.

    Args:
        word: The word, with each dot below (nukta) as a character of its own.
    """
    sounds: list[str] = []
    for at, letter in enumerate(word):
        dotted = word[at + 1 : at + 2] == _DOT
        sounds.append(_WITH_DOT.get(letter, "") if dotted else "")
        if not sounds[-1]:
            sounds[-1] = _DEVANAGARI.get(letter, "")
    # A doubled consonant is written once in Urdu.
    return re.sub(r"([a-zS])\1", r"\1", "".join(sounds))


_MERGED = str.maketrans({"z": "j", "S": "s", "f": "p"} | dict.fromkeys("aAiIuUEOWYHhyvXQ", ""))


def _skeleton(sounds: str) -> str:
    """Return the consonants that are seldom lost or taken for others."""
    return sounds.translate(_MERGED)


def _near(skeleton: str) -> Iterator[str]:
    """Yield a skeleton, and each that lacks one of its consonants."""
    yield skeleton
    for at in range(len(skeleton)):
        yield skeleton[:at] + skeleton[at + 1 :]


def _distance(one: str, other: str) -> float:
    """Return the least cost of an alignment of two sequences of sounds."""
    row = [0.0]
    for sound in other:
        row.append(row[-1] + _OMISSIONS.get(sound, _OMITTED_CONSONANT))
    for sound in one:
        diagonal, row[0] = row[0], row[0] + _OMISSIONS.get(sound, _OMITTED_CONSONANT)
        for column, beside in enumerate(other, 1):
            change = 0.0
            if sound != beside:
                change = _SUBSTITUTIONS.get(frozenset((sound, beside)), _OTHER_SOUND)
            diagonal, row[column] = (
                row[column],
                min(
                    diagonal + change,
                    row[column] + _OMISSIONS.get(sound, _OMITTED_CONSONANT),
                    row[column - 1] + _OMISSIONS.get(beside, _OMITTED_CONSONANT),
                ),
            )
    return row[-1]


def _with_final_nasal(word: str) -> str:
    """Return a word with the sign that a final nasal vowel has where no other sign is above."""
    return re.sub("(?<=[ाुू])ं$", "ँ", word)


def _is_foreign(token: str) -> bool:
    return token[0].isalpha() and not "\u0900" <= token[0] <= "\u097f"


def _runs(tokens: list[str]) -> Iterator[list[str]]:
    """Yield consecutive words of other scripts together, and each other token by itself."""
    run: list[str] = []
    for token in tokens:
        if _is_foreign(token):
            run.append(token)
            continue
        if run:
            yield run
            run = []
        yield [token]
    if run:
        yield run


def _with_pronouns(words: list[str]) -> list[str]:
    """Return the words with `_IN_OR_I` as what it means at its place, and postpositions joined."""
    found: list[str] = []
    for word in words:
        if word in _POSTPOSITIONS and found and found[-1] in _JOINED_TO:
            found[-1] += word
            continue
        if word == _IN_OR_I:
            begins = not found or found[-1] in _BEFORE_I or not found[-1][0].isalnum()
            word = "मैं" if begins else "में"
        found.append(word)
    return found


def _spaced(words: list[str]) -> str:
    return re.sub(r" ([,.?!।:;]+)", r"\1", " ".join(words))
