"""Free text among the words of a request: the value of a property that has no kind of its own.

The value of a property begins after the property's own name, or after a preposition that suits the
property ("in" for a city, "saying" for a message). It ends where another value begins, at words
that are already used, at the name of the tool, or with the sentence. The first required property
without such a beginning takes the words after those that named the tool. Leading articles and
trailing courtesies are not part of a value, except in a message, which is kept verbatim.
"""

from collections.abc import Sequence
from typing import Any

from ..language.words import STOP_WORDS, Word, said, word_set
from .tool_schema import Property, WordClaims, name_words

_ROLES: tuple[tuple[str, str], ...] = (
    ("from origin source start departure", "from"),
    ("to destination target arrival list end", "to into onto in"),
    ("recipient contact receiver", "to for with"),
    ("text message body content note task reminder", "saying says that to about with"),
    ("subject title name label person user customer guest", "called named titled for with about"),
    ("city location place where country address town region area", "in at near around for to of"),
    ("query question topic search term keyword keywords song artist product", "for about on by of"),
)
"""Words of a property's name, and the prepositions before its value, the most certain first."""
_ELSEWHERE = "for about"
"""Prepositions before the value of a property whose name is in no row of `_ROLES`."""

_TRAILING = word_set("please thanks thank you now right the a an for in at on to of and")
"""Courtesies and prepositions at the end of a text."""
_IDLE = _TRAILING | word_set("like today tomorrow tonight outside there here is it")
"""Words that carry no value at the end of a text."""
_LEADING = word_set("the a an some my me us our please for that is it of be")
"""Words that carry no value at the beginning of a text."""
_ANSWER = word_set(
    "i it would like mean is am want to say in at for from please the a um uh well let us with "
    "make that on maybe"
)
"""Words that carry no value at the beginning of an answer to a question."""


def _markers(prop: Property) -> list[str]:
    names = set(name_words(prop.name))
    return next((after for role, after in _ROLES if names & set(role.split())), _ELSEWHERE).split()


def fill_texts(wanted: Sequence[Property], claims: WordClaims, found: dict[str, Any]) -> None:
    """Add the free texts in the remaining words to `found`.

    Args:
        wanted: The properties of the tool.
        claims: The words; those that become a value are claimed.
        found: The arguments so far, by name. Changed in place.
    """
    texts = [prop for prop in wanted if prop.name not in found and prop.kind == "text"]
    starts = _introduced(texts, claims)
    ends = {start - 1 for start in starts.values()}
    for prop in texts:
        if prop.name in starts:
            text = _text(prop, claims, starts[prop.name], ends)
            found |= {} if text is None else {prop.name: text}
    for prop in texts:
        if prop.required and prop.name not in found:
            after = (_text(prop, claims, at + 1, ends) for at in sorted(claims.named))
            text = next(filter(None, after), None)
            found |= {} if text is None else {prop.name: text}
            return


def free_answer(wanted: Property, words: Sequence[Word]) -> str | None:
    """Return the value in the answer to a question for `wanted`.

    Args:
        wanted: The property that was asked for.
        words: The words of the answer.

    Returns:
        The words, without leading and trailing courtesies unless `wanted` is verbatim; None if
        nothing is left.
    """
    return said(words) or None if wanted.verbatim else _trimmed(words, _ANSWER)


def _introduced(texts: Sequence[Property], claims: WordClaims) -> dict[str, int]:
    """Return where the words begin that a preposition or the property's name introduces."""
    seen: list[tuple[int, int, int]] = []
    for order, prop in enumerate(texts):
        names, markers = set(name_words(prop.name)) - STOP_WORDS, _markers(prop)
        for at, word in enumerate(claims.words[:-1]):
            if word.ends or at in claims.taken or claims.taken & {at + 1}:
                continue
            if word.plain in names and at > 0 and at not in claims.named:
                seen.append((-1, order, at + 1))
            elif word.plain in markers and at + 1 not in claims.named:
                seen.append((markers.index(word.plain), order, at + 1))
    # The most certain introductions are assigned first; each property and each place only once.
    starts: dict[str, int] = {}
    for _, order, start in sorted(seen):
        if texts[order].name not in starts and start not in starts.values():
            starts[texts[order].name] = start
    return starts


def _text(prop: Property, claims: WordClaims, start: int, ends: set[int]) -> str | None:
    """Return the free words from `start` to the next value, tool name, or end of the sentence."""
    span: list[int] = []
    for at in range(start, len(claims.words)):
        if at in claims.taken or at in ends or (at in claims.named and not prop.verbatim):
            if span or at in claims.named:
                break
            continue
        span.append(at)
        if claims.words[at].ends:
            break
    words = [claims.words[at] for at in span]
    text = said(words) or None if prop.verbatim else _trimmed(words, _LEADING)
    if text is not None:
        claims.taken.update(span)
    return text


def _trimmed(words: Sequence[Word], leading: frozenset[str]) -> str | None:
    """Return `words` as they were said, without empty words at the ends; None if none is left."""
    start, stop = 0, len(words)
    while start < stop and words[stop - 1].plain in _IDLE:
        stop -= 1
    while start < stop and (words[start].plain in leading or not words[start].said):
        start += 1
    return said(words[start:stop]) or None
