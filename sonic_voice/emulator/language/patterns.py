"""Patterns for utterances, as readable as the sentence itself.

    hello              that word, or one like it (`words.alike`)
    hello|hi|good_day  one of them; `_` joins the words of one alternative
    [please]           optional; alternatives as above
    *                  any words, kept
    +                  at least one word, kept

A pattern must match a whole utterance. Small mistakes of a recogniser are corrected first: a word
like one of the vocabulary of all patterns is replaced by it. Kept words are returned as they were
said.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .words import Word, corrected, word_set

MAX_PATTERN_WORDS = 100
"""Maximum number of words that are compared. Of a longer utterance the beginning is compared, and
the last kept words reach to its end."""

_POLITE = word_set("please ok okay um uh well so and then now oh hey emulator listen")
"""Words that are ignored at the beginning of an utterance."""
_ASKING = ("can you", "could you", "would you", "will you", "i want you to", "would you please")
"""Phrases that are ignored at the beginning of an utterance."""
_AFTER = (("please",), ("now",), ("then",), ("for", "me"))
"""Phrases that are ignored at the end of an utterance."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern."""

    expression: re.Pattern[str]
    """Expression that matches the corrected words, each followed by a blank."""
    vocabulary: frozenset[str]
    """The words of the pattern."""


def pattern(text: str) -> Pattern:
    """Compile a pattern.

    Args:
        text: The pattern, as the module describes it.

    Raises:
        ValueError: A bracket is not closed within one item.
    """
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
    """An utterance, corrected for the patterns of one vocabulary."""

    words: Sequence[Word]
    """The words as they were heard."""
    text: str
    """The corrected words, separated by blanks."""
    starts: tuple[int, ...]
    """Numbers of words to skip at the beginning: none, or the polite ones."""
    stop: int
    """Index at which the polite words at the end begin."""

    def kept(self, wanted: Pattern) -> tuple[Sequence[Word], ...] | None:
        """Return the words that a pattern keeps.

        Args:
            wanted: The pattern.

        Returns:
            The words of each `*` and `+`, or None if the pattern does not match.
        """
        fixed = self.text.split(" ")
        # The whole utterance is tried first: a pattern may contain the polite words itself.
        for stop in dict.fromkeys((len(fixed), self.stop)):
            for start in self.starts:
                text = "".join(f"{word} " for word in fixed[start:stop])
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
    """Prepare an utterance for matching.

    Args:
        words: The words of the utterance.
        vocabulary: The words of all patterns that it is matched against.
    """
    fixed = corrected(words[:MAX_PATTERN_WORDS], vocabulary)
    start = 0
    while start < len(fixed) - 1:
        two = " ".join(fixed[start : start + 2])
        if fixed[start] in _POLITE:
            start += 1
        elif two in _ASKING and start < len(fixed) - 2:
            start += 2
        elif " ".join(fixed[start : start + 4]) in _ASKING and start < len(fixed) - 4:
            start += 4
        else:
            break
    stop = len(fixed)
    while form := next((f for f in _AFTER if tuple(fixed[stop - len(f) : stop]) == f), None):
        if stop - len(form) <= start:
            break
        stop -= len(form)
    return PreparedUtterance(words, " ".join(fixed), tuple(dict.fromkeys((0, start))), stop)


def vocabulary(patterns: Iterable[Pattern]) -> frozenset[str]:
    """Return all words of some patterns.

    Args:
        patterns: The patterns.
    """
    return frozenset(word for each in patterns for word in each.vocabulary)
