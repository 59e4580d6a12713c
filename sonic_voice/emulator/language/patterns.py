"""Patterns for what somebody says, as readable as the sentence.

    hello              that word, or one like it (`words.alike`)
    hello|hi|good_day  one of them; `_` joins the words of one
    [please]           there or not; alternatives as above
    *                  any words, kept
    +                  at least one word, kept

A pattern fits a whole utterance. Small mistakes of a recogniser are mended first: a word like one
of the vocabulary of all patterns is taken for that. What is kept comes back as it was said.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .words import Word, corrected, word_set

MAX_PATTERN_WORDS = 100
"""Longer utterances are compared by their beginning; what is kept reaches to their end."""

_POLITE = word_set("please ok okay um uh well so and then now oh hey emulator listen")
_ASKING = ("can you", "could you", "would you", "will you", "i want you to", "would you please")
_AFTER = (("please",), ("now",), ("then",), ("for", "me"))


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, ready to be compared."""

    expression: re.Pattern[str]
    vocabulary: frozenset[str]


def pattern(text: str) -> Pattern:
    """The pattern that `text` writes."""
    known: set[str] = set()
    parts: list[str] = []
    for item in text.split():
        if ("[" in item) != ("]" in item):
            raise ValueError(f"an option of several words is joined by _: {item!r} in {text!r}")
        if item in ("*", "+"):
            parts.append(rf"((?:\S+ ){item}?)")
            continue
        options = [option.replace("_", " ") for option in item.strip("[]").split("|")]
        known.update(word for option in options for word in option.split())
        either = "|".join(map(re.escape, options))
        parts.append(f"(?:(?:{either}) )?" if item.startswith("[") else f"(?:{either}) ")
    return Pattern(re.compile("".join(parts)), frozenset(known))


@dataclass(frozen=True, slots=True)
class PreparedUtterance:
    """What was said, mended for patterns of one vocabulary."""

    words: Sequence[Word]
    text: str
    starts: tuple[int, ...]
    """Words to leave out in front: none, or the polite ones."""
    stop: int
    """Where the polite words at the end begin."""

    def kept(self, wanted: Pattern) -> tuple[Sequence[Word], ...] | None:
        """The words that `wanted` keeps; None if it does not fit."""
        mended = self.text.split(" ")
        for stop in dict.fromkeys((len(mended), self.stop)):
            for start in self.starts:
                text = "".join(f"{word} " for word in mended[start:stop])
                if found := wanted.expression.fullmatch(text):
                    return tuple(
                        self._span(start + text.count(" ", 0, found.start(n)), text, found, n)
                        for n in range(1, wanted.expression.groups + 1)
                    )
        return None

    def _span(self, start: int, text: str, found: re.Match[str], n: int) -> Sequence[Word]:
        stop = start + text.count(" ", found.start(n), found.end(n))
        return self.words[start : None if stop == MAX_PATTERN_WORDS else stop]


def prepare_utterance(words: Sequence[Word], vocabulary: frozenset[str]) -> PreparedUtterance:
    """`words` for patterns whose words are `vocabulary`."""
    mended = corrected(words[:MAX_PATTERN_WORDS], vocabulary)
    start = 0
    while start < len(mended) - 1:
        two = " ".join(mended[start : start + 2])
        if mended[start] in _POLITE:
            start += 1
        elif two in _ASKING and start < len(mended) - 2:
            start += 2
        elif " ".join(mended[start : start + 4]) in _ASKING and start < len(mended) - 4:
            start += 4
        else:
            break
    stop = len(mended)
    while form := next((f for f in _AFTER if tuple(mended[stop - len(f) : stop]) == f), None):
        if stop - len(form) <= start:
            break
        stop -= len(form)
    return PreparedUtterance(words, " ".join(mended), tuple(dict.fromkeys((0, start))), stop)


def vocabulary(patterns: Iterable[Pattern]) -> frozenset[str]:
    """All words of `patterns`."""
    return frozenset(word for each in patterns for word in each.vocabulary)
