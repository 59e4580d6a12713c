"""Find the sentences of a prompt that contradict or repeat each other.

Only opposites that words alone show are found: short and detailed answers, a formal and a casual
tone, two languages that are each the only one, and "always" and "never" before the same words. A
sentence with a condition ("if the user asks") contradicts nothing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from .findings import Finding
from .sentences import Sentence

_ANSWERS = r"\b(?:answers?|answering|responses?|repl(?:y|ies)|explanations?|explain|be|keep)\b"
_SHORT = re.compile(
    r"\b(?:short|brief|concise|terse|(?:one|a single|two|1-2) sentences?)\b", re.IGNORECASE
)
_DETAILED = re.compile(
    r"\b(?:detailed|long|lengthy|comprehensive|thorough|in[- ]depth|exhaustive|in detail)\b",
    re.IGNORECASE,
)
_FORMAL = re.compile(r"\bformal(?:ly)?\b", re.IGNORECASE)
_CASUAL = re.compile(r"\b(?:casual(?:ly)?|informal(?:ly)?|slang)\b", re.IGNORECASE)
_ABOUT_ANSWERS = re.compile(_ANSWERS, re.IGNORECASE)
_ABOUT_TONE = re.compile(r"\b(?:be|speak|talk|tone|language|use|sound|style)\b", re.IGNORECASE)

_OPPOSITES = (
    (
        _SHORT,
        _DETAILED,
        _ABOUT_ANSWERS,
        "Keep answers short. If the user asks for more, add to them.",
    ),
    (_FORMAL, _CASUAL, _ABOUT_TONE, ""),
)
"""Two opposite sets of words, the words that a sentence with them must have, and a rewrite that
takes the place of both sentences."""

_LANGUAGE = re.compile(
    r"\bin (english|french|german|italian|spanish|portuguese|hindi)\b", re.IGNORECASE
)
_EXCLUSIVE = re.compile(r"\b(?:only|always|exclusively)\b", re.IGNORECASE)
_ALWAYS = re.compile(r"\balways ([^.,;:!?]+)", re.IGNORECASE)
_NEVER = re.compile(r"\b(?:never|do not|don't) ([^.,;:!?]+)", re.IGNORECASE)

MIN_OPPOSED_WORDS = 2
"""Minimum number of words that must follow both "always" and "never", such as "say goodbye"."""

MIN_REPEATED_WORDS = 4
"""Minimum number of words of a sentence whose repetition is reported. Shorter ones, such as "Be
kind.", may stand in several sections of a prompt; the number is a choice of this project."""


def find_contradictions(sentences: Sequence[Sentence]) -> Iterator[Finding]:
    """Yield a finding for each sentence that contradicts an earlier one.

    Args:
        sentences: All sentences of a prompt, in order.
    """
    plain = [one for one in sentences if not one.conditional]
    for first, second, about, rewrite in _OPPOSITES:
        here = [
            (one, "first" if first.search(one.text) else "second")
            for one in plain
            if about.search(one.text)
            and not one.negated
            and (first.search(one.text) is None) != (second.search(one.text) is None)
        ]
        yield from _first_conflict(here, rewrite)
    yield from _first_conflict(
        [
            (one, match[1].lower())
            for one in plain
            if not one.negated
            and _EXCLUSIVE.search(one.text)
            and (match := _LANGUAGE.search(one.text)) is not None
        ]
    )
    forbidden: dict[tuple[str, ...], tuple[Sentence, list[str]]] = {}
    for one in plain:
        for words in _phrases(_NEVER, one):
            forbidden.setdefault(tuple(words[:MIN_OPPOSED_WORDS]), (one, words))
    for one in plain:
        for words in _phrases(_ALWAYS, one):
            other, others = forbidden.get(tuple(words[:MIN_OPPOSED_WORDS]), (one, words))
            size = min(len(words), len(others))
            if words[:size] == others[:size] and one is not other:
                earlier, later = sorted((one, other), key=lambda sentence: sentence.line)
                yield _conflict(earlier, later)


def find_repetitions(sentences: Iterable[Sentence]) -> Iterator[Finding]:
    """Yield a finding for each sentence that stands in the prompt already.

    Args:
        sentences: All sentences of a prompt, in order.
    """
    seen: dict[tuple[str, ...], int] = {}
    for one in sentences:
        words = tuple(re.findall(r"[\w']+", one.text.lower()))
        if len(words) < MIN_REPEATED_WORDS:
            continue
        if words in seen:
            yield Finding(
                "repeated-rule", one.text, "", one.line, detail=f"It stands in line {seen[words]}."
            )
        else:
            seen[words] = one.line


def _first_conflict(sides: Sequence[tuple[Sentence, str]], rewrite: str = "") -> Iterator[Finding]:
    """Yield a finding for the first sentence on another side than the first one."""
    for later, side in sides[1:]:
        if side != sides[0][1]:
            yield _conflict(sides[0][0], later, rewrite)
            return


def _conflict(earlier: Sentence, later: Sentence, rewrite: str = "") -> Finding:
    return Finding(
        "contradiction",
        later.text,
        rewrite,
        later.line,
        detail=f"Line {earlier.line} says: {earlier.text}"
        + ("" if rewrite else " Remove one of them, or state when each holds."),
    )


def _phrases(pattern: re.Pattern[str], sentence: Sentence) -> Iterator[list[str]]:
    """Yield the words that follow `always` or `never`, in lower case, where there are enough."""
    for match in pattern.finditer(sentence.text):
        words = match[1].lower().split()
        if len(words) >= MIN_OPPOSED_WORDS:
            yield words
