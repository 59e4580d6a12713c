"""Conditions on what was said, on a tool's result, and on variables.

Words are compared by meaning: without case and punctuation, with contractions expanded and numbers
as numbers, because one recogniser writes "10" and another "ten".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..language.numerals import number_at
from ..language.words import words_of
from .templates import MISSING, as_said, fill, look_up

WORD_ERRORS = 0.25
"""Default of the tolerated share of wrong words: one in four."""

_IDENTIFIER = re.compile(r"[+0]\d.*")
"""Figures that are an identifier, such as a telephone number, and stay text."""


@dataclass(frozen=True, slots=True)
class Says:
    """A test that one of `texts` occurs in a value, word for word."""

    texts: tuple[str, ...]

    def __str__(self) -> str:
        return f"to hold {_either(self.texts)}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A test that a value equals one of `values`; the case of a text is ignored."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"to be {_either(self.values)}"


@dataclass(frozen=True, slots=True)
class Matches:
    """A test that a regular expression finds something in a value.

    The named groups of the expression become variables.
    """

    pattern: re.Pattern[str]

    def __str__(self) -> str:
        return f"to match {self.pattern.pattern}"


@dataclass(frozen=True, slots=True)
class Like:
    """A test that at most a share of `errors` (0 to 1) of the words differs from `text`."""

    text: str
    errors: float = WORD_ERRORS
    """Largest share of wrong words, 0 to 1."""

    def __str__(self) -> str:
        return f'to be like "{self.text}", with {self.errors:.0%} of the words wrong at most'


@dataclass(frozen=True, slots=True)
class Present:
    """A test that there is a value, which may be null; or, if not `wanted`, that there is none."""

    wanted: bool = True
    """False to test that there is no value."""

    def __str__(self) -> str:
        return "to be there" if self.wanted else "not to be there"


type Test = Says | OneOf | Matches | Like | Present
"""What a condition tests."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of the value of a placeholder."""

    of: str
    """`user`, `result`, `result.field` or the name of a variable."""
    test: Test

    def unmet(self, values: Mapping[str, Any]) -> str:
        """Return a sentence that says that the condition does not hold.

        Args:
            values: The value of each placeholder.
        """
        value = look_up(self.of, values)
        found = "is not there" if value is MISSING else f"is {_quoted(value)}"
        test = fill_test(self.test, values)
        return f"expected {self.of} {test}; it {found}"


type Groups = Mapping[str, Any]
"""Variables from the named groups of a pattern."""


def met(condition: Condition, values: Mapping[str, Any]) -> Groups | None:
    """Return the variables that a condition sets.

    Args:
        condition: The condition.
        values: The value of each placeholder.

    Returns:
        The variables, mostly none; None if the condition does not hold.
    """
    value = look_up(condition.of, values)
    match fill_test(condition.test, values):
        case Present(wanted):
            holds = (value is not MISSING) is wanted
        case _ if value is MISSING:
            holds = False
        case Says(texts):
            said = comparable(as_said(value))
            holds = any(_within(comparable(text), said) for text in texts)
        case OneOf(wanted):
            holds = any(_equal(value, one) for one in wanted)
        case Like(text, errors):
            words = comparable(text)
            holds = word_errors(words, comparable(as_said(value))) <= errors * len(words)
        case Matches(pattern):
            found = pattern.search(as_said(value))
            groups = found.groupdict() if found else {}
            return found and {name: _number(text) for name, text in groups.items() if text}
    return {} if holds else None


def all_met(conditions: Sequence[Condition], values: Mapping[str, Any]) -> Groups | None:
    """Return the variables that several conditions set.

    Args:
        conditions: The conditions.
        values: The value of each placeholder.

    Returns:
        The variables; None if one condition does not hold.
    """
    found: dict[str, Any] = {}
    for condition in conditions:
        groups = met(condition, values)
        if groups is None:
            return None
        found |= groups
    return found


def fill_test(test: Test, values: Mapping[str, Any]) -> Test:
    """Return a test with the placeholders in its operands replaced.

    Args:
        test: The test.
        values: The value of each placeholder.
    """
    match test:
        case Says(texts):
            return Says(tuple(as_said(_filled(text, values)) for text in texts))
        case OneOf(wanted):
            return OneOf(tuple(_filled(one, values) for one in wanted))
        case Like(text, errors):
            return Like(as_said(_filled(text, values)), errors)
        case _:
            return test


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    # A placeholder without a value stays as it is, and equals nothing.
    return fill(template, values, lambda placeholder: None)


def comparable(text: str) -> list[str]:
    """Return the words of a text in a form for comparing, with numbers in figures.

    Args:
        text: The text.
    """
    words = words_of(text)
    found: list[str] = []
    at = 0
    while at < len(words):
        numeral = number_at(words, at)
        found.append(words[at].plain if numeral is None else f"{numeral.value:.12g}")
        at = at + 1 if numeral is None else numeral.stop
    return found


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return the word edit distance: how many words are changed, added or left out.

    Args:
        said: The words that were said.
        heard: The words that were heard.
    """
    # Levenshtein distance over words, one row of the table at a time.
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, row[0] = row[0], at
        for column, other in enumerate(heard, 1):
            change = before + (word != other)
            before = row[column]
            row[column] = min(change, before + 1, row[column - 1] + 1)
    return row[-1]


def _within(part: Sequence[str], whole: Sequence[str]) -> bool:
    last = len(whole) - len(part)
    return bool(part) and any(whole[at : at + len(part)] == part for at in range(last + 1))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.strip().casefold() == other.strip().casefold()
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _number(text: str) -> Any:
    """Return the number that `text` is, or `text`.

    Figures after a zero or a plus are an identifier, not a number.
    """
    words = words_of(text)
    if not words or _IDENTIFIER.fullmatch(text):
        return text
    numeral = number_at(words, 0)
    return numeral.value if numeral is not None and numeral.stop == len(words) else text


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else as_said(value)


def _either(values: Sequence[Any]) -> str:
    return " or ".join(_quoted(value) for value in values)
