"""Words as they were heard, and how alike two of them are.

A recogniser gives lower case with or without punctuation, and makes small mistakes; a person who
types gives anything. Each word is therefore kept twice: as it was said, for repeating it, and
plain, for comparing. Contractions are opened ("what's" is `what is`; the second word has nothing
said of its own), words with a hyphen are two, and sums without spaces come apart.

Two plain words are alike when they are equal, when their stems are (`meter`, `metres`), or when
`difflib` finds them nearly so. Short words differ by a letter and mean something else, so the
limit depends on the length:

    letters of the shorter   ratio of difflib
    1 to 3                   1.0, equal only
    4 and 5                  0.9: a letter more or less of six (`mters`), and never another one
                             (`there`, `where`) or one after four (`time`, `timer`)
    6 and more               0.8: `forword`, `wether`

Texts are cut at `MAX_WORDS` words and words at `MAX_LETTERS` letters for comparing, which keeps
the work bounded whatever is typed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

MAX_WORDS = 160
MAX_LETTERS = 30

ALIKE_SHORT = 0.9
ALIKE_LONG = 0.8
MENDED = 0.85
"""For words that are in no sentence of ours (`helo`): there one letter more or less is forgiven
from four letters on."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an utterance."""

    said: str
    """As heard, without the punctuation around it; empty for the rest of a contraction."""
    plain: str
    """Lower case, of at most `MAX_LETTERS`."""
    ends: bool = False
    """Whether a sentence ends after it."""


def row(text: str) -> tuple[str, ...]:
    """The words written in `text`, for tables of words."""
    return tuple(text.split())


def word_set(text: str) -> frozenset[str]:
    """The words written in `text`, as a set."""
    return frozenset(text.split())


_NOT = re.compile(r"(.+)n't")
_OPENED = {"'m": "am", "'re": "are", "'ll": "will", "'ve": "have", "'d": "would"}
_IS = word_set("what who where how that it there here when she he")
_WHOLE = {
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
_SUM = re.compile(r"\d[\d.]*(?:[-+*/x×÷^]\d[\d.]*)+=?")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_HYPHENED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+")
_EDGES = re.compile(r"^[^\w+*/×÷=-]+|[^\w+*/×÷=-]+$")
_SYMBOLS = frozenset("+*/×÷=-^")


def words_of(text: str) -> list[Word]:
    """The words of `text`, at most `MAX_WORDS` of them."""
    words: list[Word] = []
    for chunk in text.replace("’", "'").split():
        words.extend(_opened(chunk))
        if len(words) >= MAX_WORDS:
            break
    return words[:MAX_WORDS]


def said(words: Iterable[Word]) -> str:
    """`words` as they were heard."""
    return " ".join(word.said for word in words if word.said)


def plain(words: Iterable[Word]) -> str:
    """`words` for comparing, one blank between two."""
    return " ".join(word.plain for word in words)


def _opened(chunk: str) -> list[Word]:
    """The words in what stands between two blanks."""
    bare = chunk if chunk in _SYMBOLS else _EDGES.sub("", chunk)
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
    if low in _WHOLE:
        return _WHOLE[low]
    if found := _NOT.fullmatch(low):
        return f"{found[1]} not"
    stem, mark, rest = low.rpartition("'")
    if mark + rest in _OPENED:
        return f"{stem} {_OPENED[mark + rest]}"
    return f"{stem} is" if rest == "s" and stem in _IS else low


_SUFFIXES = ("ings", "ing", "ed", "es", "s")


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """`word` without the endings that change its form and not its meaning. Rough, and enough."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            word = word[: -len(suffix)]
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
    """Whether two plain words are the same but for their form or a small mistake."""
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
    """The ratio of difflib, which depends on the order of the two; this one does not."""
    matcher = SequenceMatcher(None, *sorted((one, other)), autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= ALIKE_LONG else 0.0


@lru_cache(maxsize=4096)
def _nearest(heard: str, vocabulary: frozenset[str]) -> str:
    return next((known for known in sorted(vocabulary) if _mistaken(heard, known)), heard)


def corrected(words: Sequence[Word], vocabulary: frozenset[str]) -> list[str]:
    """The plain words, those near to one of `vocabulary` replaced by it; as many as before."""
    return [
        word.plain
        if word.plain in vocabulary or len(word.plain) < 4
        else _nearest(word.plain, vocabulary)
        for word in words
    ]


def _mistaken(heard: str, known: str) -> bool:
    if len(known) < 4 or heard[0] != known[0]:
        return False
    return alike(heard, known) or _ratio(heard, known) >= MENDED


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
    """Whether two plain words stand in one row of `SYNONYMS`."""
    return bool(_GROUPS.get(stem(one), set()) & _GROUPS.get(stem(other), set()))


STOP_WORDS = word_set(
    "a an the this that these those i you he she it we they me my your his her its our us them "
    "is am are was were be been do does did can could would will shall should may might must "
    "have has had and or but if so to of in on at for from by with about as into please thanks "
    "thank what which who how when where why there here not no yes some any all just now then "
    "tell give let want like need know hey hello hi okay ok well um uh"
)
"""Words that say nothing of which tool is meant."""
