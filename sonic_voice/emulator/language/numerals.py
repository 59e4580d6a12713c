"""Numbers in words, in both directions.

    numbers(words_of("go twenty one meters"))     [Numeral(start=1, stop=3, value=21)]
    in_words(21)                                  "twenty one"

One number is, for example: "a hundred and five", "twelve hundred", "two thousand twenty six",
"three point five", "minus four", "two and a half", "half", "a dozen", "1,000", "3.5 million". Two
consecutive numbers that do not form one number stay two ("five five"). `digits` reads such a
sequence as the figures of an identifier: "three oh four, double six" is 30466.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .words import Word, row

UNITS = row("zero one two three four five six seven eight nine")
"""Words of the numbers from 0 to 9."""
TEENS = row("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
"""Words of the numbers from 10 to 19."""
TENS = row("twenty thirty forty fifty sixty seventy eighty ninety")
"""Words of the multiples of ten from 20 to 90."""
SCALES = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
"""Words of the powers of a thousand."""

_SMALL = {word: value for value, word in enumerate(UNITS + TEENS)}
_TENS = {word: 20 + 10 * at for at, word in enumerate(TENS)} | {"fourty": 40}
_FIGURES = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,9})?")
_POINTING = frozenset({"this", "that", "the", "which", "another", "no", "any", "every", "each"})
"""Words before "one" that make it a pronoun."""

_ORDINALS = {
    word: value
    for value, word in enumerate(
        row(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
            "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth "
            "twentieth"
        ),
        1,
    )
} | {"thirtieth": 30}
_NTH = re.compile(r"(\d{1,3})(?:st|nd|rd|th)")


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number in the words from `start` up to, but not including, `stop`."""

    start: int
    stop: int
    value: int | float


def numbers(words: Sequence[Word]) -> list[Numeral]:
    """Return all numbers, without overlaps.

    Args:
        words: The words to search.
    """
    found: list[Numeral] = []
    at = 0
    while at < len(words):
        numeral = number_at(words, at)
        if numeral is None:
            at += 1
        else:
            found.append(numeral)
            at = numeral.stop
    return found


def number_at(words: Sequence[Word], start: int) -> Numeral | None:
    """Return the longest number that begins with a given word.

    Args:
        words: The words of the utterance.
        start: Index of the first word.

    Returns:
        The number and its words, or None. "One" after a word such as "this" is not a number.
    """
    text = [word.plain for word in words[start : start + 24]]
    if text[:1] == ["one"] and start and words[start - 1].plain in _POINTING:
        return None
    sign = -1 if text[0] in ("minus", "negative") else 1
    at = 1 if sign < 0 else 0
    value, stop = _number(text, at)
    return Numeral(start, start + stop, sign * value) if stop > at else None


def _number(text: list[str], at: int) -> tuple[int | float, int]:
    """Return the number at `at` and the index after it, which is `at` if there is no number."""
    if text[at : at + 1] == ["half"]:
        return 0.5, at + (2 if text[at + 1 : at + 2] in (["a"], ["an"]) else 1)
    if text[at : at + 1] in (["a"], ["an"]):
        after = text[at + 1 : at + 2]
        if after == ["half"]:
            return 0.5, at + 2
        if after == ["dozen"]:
            return 12, at + 2
        if not after or after[0] not in ("hundred", *SCALES):
            return 0, at
        return _cardinal(["one", *text[at + 1 :]], at)
    value, stop = _figures(text, at) or _cardinal(text[at:], at)
    if stop == at:
        return 0, at
    if text[stop : stop + 1] == ["point"] and isinstance(value, int):
        fraction = _fraction(text[stop + 1 :])
        if fraction:
            return float(f"{value}.{fraction}"), stop + 1 + len(fraction)
    if text[stop : stop + 3] == ["and", "a", "half"]:
        return value + 0.5, stop + 3
    if text[stop : stop + 1] == ["dozen"]:
        return value * 12, stop + 1
    return value, stop


def _figures(text: list[str], at: int) -> tuple[int | float, int] | None:
    """Return a number in figures, with the scale that may follow it."""
    word = text[at] if at < len(text) else ""
    if not (_FIGURES.fullmatch(word) or _GROUPED.fullmatch(word)):
        return None
    word = word.replace(",", "")
    value = float(word) if "." in word else int(word)
    stop = at + 1
    while stop < len(text) and text[stop] in ("hundred", *SCALES) and stop < at + 3:
        value *= 100 if text[stop] == "hundred" else SCALES[text[stop]]
        stop += 1
    return value, stop


def _cardinal(text: list[str], at: int) -> tuple[int, int]:
    """Return the whole number with which `text` begins; `at` is its index in the utterance."""
    # Scales must decrease: after "thousand" another "thousand" or a "million" ends the number.
    total, group, ceiling = 0, _Group(), max(SCALES.values()) * 1000
    stop = 0
    while stop < len(text):
        word = text[stop]
        if word == "and":
            after = text[stop + 1] if stop + 1 < len(text) else ""
            if not (group.hundreds or total) or after == "hundred" or not group.fits(after):
                break
        elif word in SCALES and SCALES[word] < ceiling and group.filled:
            ceiling = SCALES[word]
            total += group.value * ceiling
            group = _Group()
        elif group.fits(word):
            group.add(word)
        else:
            break
        stop += 1
    return total + group.value, at + stop


class _Group:
    """The part of a number between two scales: up to three figures."""

    def __init__(self) -> None:
        self.value = 0
        self.filled = False
        self.hundreds = False
        self._room = 100  # the next word must be smaller than this

    def fits(self, word: str) -> bool:
        if word == "hundred":
            return self.filled and not self.hundreds and 0 < self.value < 100
        if word in _SMALL:
            value = _SMALL[word]
            return value < self._room and not (self.filled and value == 0)
        return word in _TENS and self._room == 100

    def add(self, word: str) -> None:
        if word == "hundred":
            self.value *= 100
            self.hundreds, self._room = True, 100
            return
        value = _SMALL[word] if word in _SMALL else _TENS[word]
        self.value += value
        self._room = 10 if word in _TENS else 0
        self.filled = True


def _fraction(text: list[str]) -> str:
    """Return the figures after a point, one word each."""
    found = ""
    for word in text[:9]:
        if word in UNITS:
            found += str(UNITS.index(word))
        elif word == "oh":
            found += "0"
        else:
            break
    return found


def digits(words: Sequence[Word], start: int) -> tuple[str, int]:
    """Return the figures spoken from a given word on, as of a telephone or order number.

    Args:
        words: The words of the utterance.
        start: Index of the first word.

    Returns:
        The figures, empty if there are none, and the index after them.
    """
    found, at, times = "", start, 1
    while at < len(words):
        word = words[at].plain
        if word in ("double", "triple") and times == 1:
            times = 2 if word == "double" else 3
            at += 1
            continue
        if word in ("oh", "o") and found:
            figures, at = "0", at + 1
        elif word.isascii() and word.isdigit():
            figures, at = word, at + 1
        else:
            numeral = number_at(words, at)
            if numeral is None or not isinstance(numeral.value, int) or numeral.value < 0:
                break
            figures, at = str(numeral.value), numeral.stop
        found += figures * times
        times = 1
    return found, at - (times > 1)


def ordinal_at(words: Sequence[Word], start: int) -> Numeral | None:
    """Return the ordinal "third", "twenty first" or "21st" at a given word.

    Args:
        words: The words of the utterance.
        start: Index of the first word.

    Returns:
        The number and its words, or None.
    """
    word = words[start].plain
    if found := _NTH.fullmatch(word):
        return Numeral(start, start + 1, int(found[1]))
    if word in _ORDINALS:
        return Numeral(start, start + 1, _ORDINALS[word])
    after = words[start + 1].plain if start + 1 < len(words) else ""
    if word in _TENS and 0 < _ORDINALS.get(after, 0) < 10:
        return Numeral(start, start + 2, _TENS[word] + _ORDINALS[after])
    return None


def in_words(value: int | float) -> str:
    """Return a number as it is spoken.

    Args:
        value: The number. From a trillion on, and with long fractions, it is returned in figures.
    """
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e12:
            return in_words(int(value))
        whole, point, fraction = f"{value:.10g}".partition(".")
        if not point or "e" in fraction:
            return f"{value:g}"
        sign = "minus " if whole.startswith("-") else ""
        spelled = " ".join(UNITS[int(figure)] for figure in fraction)
        return f"{sign}{in_words(int(whole.lstrip('-')))} point {spelled}"
    if value < 0:
        return f"minus {in_words(-value)}"
    if value >= 1_000_000_000_000:
        return str(value)
    for word, scale in reversed(SCALES.items()):
        if value >= scale:
            return _joined(f"{in_words(value // scale)} {word}", value % scale)
    if value >= 100:
        return _joined(f"{UNITS[value // 100]} hundred", value % 100)
    if value >= 20:
        return _joined(TENS[value // 10 - 2], value % 10)
    return (UNITS + TEENS)[value]


def _joined(front: str, rest: int) -> str:
    return f"{front} {in_words(rest)}" if rest else front
