"""Words as they were heard, and how similar two of them are.

A recogniser gives lower case with or without punctuation, and makes small mistakes; a person who
types may write anything. Each word is therefore kept twice: as it was said, for repeating it, and
in a plain form, for comparing. Contractions are expanded ("what's" becomes `what is`; the second
word has an empty text as said), words with a hyphen become two, and sums without spaces are split.

Two plain words are alike when they are equal, when their stems are (`meter`, `metres`), or when
`difflib` finds them nearly equal. Short words that differ by a letter usually mean something else,
so the limit depends on the length:

    letters of the shorter   ratio of difflib
    1 to 3                   1.0: equal only
    4 and 5                  0.9: one letter more or less of six (`mters`), but never another
                             letter (`there`, `where`) or one more after four (`time`, `timer`)
    6 and more               0.8: `forword`, `wether`

Texts are cut at `MAX_WORDS` words, and words at `MAX_LETTERS` letters for comparing, which bounds
the work for any input.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

MAX_WORDS = 160
"""Maximum number of words of a text."""
MAX_LETTERS = 30
"""Maximum number of letters of a plain word."""

ALIKE_SHORT = 0.9
"""Minimum difflib ratio of two words of which the shorter has 4 or 5 letters."""
ALIKE_LONG = 0.8
"""Minimum difflib ratio of two words of which the shorter has at least 6 letters."""
ALIKE_CORRECTION = 0.85
"""Minimum difflib ratio for words that are in no sentence of ours (`helo`): for them one letter
more or less is tolerated from four letters on."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an utterance."""

    said: str
    """The word as heard, without surrounding punctuation; empty for the second part of a
    contraction."""
    plain: str
    """The word in lower case, at most `MAX_LETTERS` long."""
    ends: bool = False
    """True if a sentence ends after the word."""


def row(text: str) -> tuple[str, ...]:
    """Return the words of a text, for tables of words.

    Args:
        text: Words, separated by blanks.
    """
    return tuple(text.split())


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text as a set.

    Args:
        text: Words, separated by blanks.
    """
    return frozenset(text.split())


_NOT = re.compile(r"(.+)n't")
_CONTRACTIONS = {"'m": "am", "'re": "are", "'ll": "will", "'ve": "have", "'d": "would"}
"""Endings of contractions, and the words they stand for."""
_IS = word_set("what who where how that it there here when she he")
"""Words after which `'s` stands for "is"."""
_IRREGULAR = {
    "can't": "can not",
    "cant": "can not",
    "cannot": "can not",
    "won't": "will not",
    "let's": "let us",
    "whats": "what is",
    "hows": "how is",
    "wheres": "where is",
    "whos": "who is",
    "thats": "that is",
    "im": "i am",
    "dont": "do not",
    "didnt": "did not",
    "doesnt": "does not",
    "isnt": "is not",
    "wanna": "want to",
    "gonna": "going to",
}
"""Contractions that the other rules do not cover, with common misspellings."""
_SUM = re.compile(r"\d[\d.]*(?:[-+*/x×÷^]\d[\d.]*)+=?")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_HYPHENED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+")
_EDGES = re.compile(r"^[^\w+*/×÷=-]+|[^\w+*/×÷=-]+$")
_SYMBOLS = frozenset("+*/×÷=-^")


def words_of(text: str) -> list[Word]:
    """Return the words of a text.

    Args:
        text: The text; what follows the first `MAX_WORDS` words is ignored.
    """
    words: list[Word] = []
    for chunk in text.replace("’", "'").split():
        words.extend(_split_chunk(chunk))
        if len(words) >= MAX_WORDS:
            break
    return words[:MAX_WORDS]


def said(words: Iterable[Word]) -> str:
    """Return words as they were heard.

    Args:
        words: The words.
    """
    return " ".join(word.said for word in words if word.said)


def plain(words: Iterable[Word]) -> str:
    """Return words in their plain form, separated by blanks.

    Args:
        words: The words.
    """
    return " ".join(word.plain for word in words)


def _split_chunk(chunk: str) -> list[Word]:
    """Return the words in a piece of text without blanks."""
    bare = chunk if chunk in _SYMBOLS else _EDGES.sub("", chunk)
    # A leading minus belongs to a number; other signs at the edges are punctuation.
    if len(bare) > 1 and not (bare[0] == "-" and bare[1].isdigit()):
        bare = bare.lstrip("+*/×÷=-")
    if len(bare) > 1:
        bare = bare.rstrip("+*/×÷=-")
    if not bare:
        return []
    low = bare.lower()
    if _SUM.fullmatch(low) and not _DATE.fullmatch(low):
        parts = re.findall(r"\d[\d.]*|[-+*/x×÷^]", low)
        pairs = [(part, part) for part in parts]
    elif _HYPHENED.fullmatch(bare):
        pairs = [(part, part.lower()) for part in bare.split("-")]
    else:
        first, *rest = _expanded(low).split() or [low]
        pairs = [(bare, first), *(("", part) for part in rest)]
    ends = chunk[-1] in ".?!" or chunk[-2:] in ('."', '?"', '!"', ".'", "?'", "!'")
    last = len(pairs) - 1
    return [
        Word(told, low[:MAX_LETTERS], ends and at == last) for at, (told, low) in enumerate(pairs)
    ]


def _expanded(low: str) -> str:
    if low in _IRREGULAR:
        return _IRREGULAR[low]
    if found := _NOT.fullmatch(low):
        return f"{found[1]} not"
    stem, mark, rest = low.rpartition("'")
    if mark + rest in _CONTRACTIONS:
        return f"{stem} {_CONTRACTIONS[mark + rest]}"
    return f"{stem} is" if rest == "s" and stem in _IS else low


_SUFFIXES = ("ings", "ing", "ed", "es", "s")


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Return a word without the endings that change its form but not its meaning.

    The rules are approximate, which is enough here.

    Args:
        word: A plain word.
    """
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            word = word[: -len(suffix)]
            # "stopped" and "running" double the last consonant of the stem.
            if suffix not in ("s", "es") and word[-1] == word[-2] and word[-1] in "bdgmnprt":
                word = word[:-1]
            break
    if len(word) > 4 and word.endswith("re"):  # metre, centre
        word = word[:-2] + "er"
    if len(word) > 3 and word[-1] in "ey":
        word = word[:-1] + ("i" if word[-1] == "y" else "")
    return word


@lru_cache(maxsize=16384)
def alike(one: str, other: str) -> bool:
    """Return whether two plain words are equal but for their form or a small mistake.

    Args:
        one: A plain word.
        other: Another plain word.
    """
    if one == other:
        return True
    shorter = min(len(one), len(other))
    if shorter < 3:
        return False
    if stem(one) == stem(other):
        return True
    if shorter < 4 or abs(len(one) - len(other)) > 3:
        return False
    return _ratio(one, other) >= (ALIKE_SHORT if shorter < 6 else ALIKE_LONG)


def _ratio(one: str, other: str) -> float:
    """Return the ratio of difflib, made independent of the order of the two words."""
    matcher = SequenceMatcher(None, *sorted((one, other)), autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= ALIKE_LONG else 0.0


@lru_cache(maxsize=4096)
def _nearest(heard: str, vocabulary: frozenset[str]) -> str:
    return next((known for known in sorted(vocabulary) if _is_mistake_for(heard, known)), heard)


def corrected(words: Sequence[Word], vocabulary: frozenset[str]) -> list[str]:
    """Return plain words, with those that are near a known word replaced by it.

    Args:
        words: The words.
        vocabulary: The known words.

    Returns:
        As many words as there were.
    """
    return [
        word.plain
        if word.plain in vocabulary or len(word.plain) < 4
        else _nearest(word.plain, vocabulary)
        for word in words
    ]


def _is_mistake_for(heard: str, known: str) -> bool:
    if len(known) < 4 or heard[0] != known[0]:
        return False
    return alike(heard, known) or _ratio(heard, known) >= ALIKE_CORRECTION


SYNONYMS = (
    "forward forwards ahead onward straight",
    "backward backwards back reverse behind",
    "weather forecast temperature rain raining sunny snow warm cold umbrella",
    "time clock hour",
    "date day today calendar",
    "price cost costs much",
    "buy purchase order",
    "cancel delete remove erase",
    "book reserve reservation booking",
    "stop halt end finish",
    "start begin launch run",
    "light lights lamp",
    "big large huge",
    "small little tiny",
    "fast quick quickly",
    "slow slowly",
    "increase raise louder higher",
    "decrease lower reduce quieter",
    "send text write",
    "call phone ring dial",
    "remind reminder remember",
    "music song songs track",
    "sum add addition plus",
    "multiply times multiplication",
    "celsius centigrade",
    "move drive walk go travel",
    "note memo",
    "news headlines",
    "picture photo image",
)
"""Words that may stand for one another when a tool or one of its values is meant."""

_GROUPS: dict[str, set[int]] = {}
for _number, _group in enumerate(SYNONYMS):
    for _word in _group.split():
        _GROUPS.setdefault(stem(_word), set()).add(_number)


@lru_cache(maxsize=16384)
def related(one: str, other: str) -> bool:
    """Return whether two plain words stand in one row of `SYNONYMS`.

    Args:
        one: A plain word.
        other: Another plain word.
    """
    return bool(_GROUPS.get(stem(one), set()) & _GROUPS.get(stem(other), set()))


STOP_WORDS = word_set(
    "a an the this that these those i you he she it we they me my your his her its our us them "
    "is am are was were be been do does did can could would will shall should may might must "
    "have has had and or but if so to of in on at for from by with about as into please thanks "
    "thank what which who how when where why there here not no yes some any all just now then "
    "tell give let want like need know hey hello hi okay ok well um uh"
)
"""Words that do not tell which tool is meant."""
