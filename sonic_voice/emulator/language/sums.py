"""Sums in words: "two plus three times four", "12 * 3", "ten percent of fifty".

Multiplication and division bind more closely than addition and subtraction. The arithmetic is
exact; a result without a short decimal is rounded when it is spoken.
"""

from collections.abc import Sequence
from fractions import Fraction

from .numerals import number_at
from .words import Word

_SIGNS = (
    (("plus",), "+"),
    (("+",), "+"),
    (("and",), "+"),
    (("minus",), "-"),
    (("less",), "-"),
    (("-",), "-"),
    (("times",), "*"),
    (("multiplied", "by"), "*"),
    (("x",), "*"),
    (("*",), "*"),
    (("×",), "*"),
    (("divided", "by"), "/"),
    (("over",), "/"),
    (("/",), "/"),
    (("÷",), "/"),
    (("percent", "of"), "%"),
)
"""Words and signs of each operator."""
MAX_TERMS = 20
"""Maximum number of operators in a sum."""


def evaluate(words: Sequence[Word]) -> Fraction | None:
    """Return the value of a sum.

    Args:
        words: The words, all of which must belong to the sum.

    Returns:
        The exact value, or None if the words are no sum.

    Raises:
        ZeroDivisionError: The sum divides by zero.
    """
    terms, at = _term(words, 0), 0
    if terms is None:
        return None
    values, signs = [terms[0]], list[str]()
    at = terms[1]
    while at < len(words) and words[at].plain not in ("=", "equals"):
        sign = _sign(words, at)
        term = _term(words, at + sign[1]) if sign else None
        if sign is None or term is None or len(signs) >= MAX_TERMS:
            return None
        signs.append(sign[0])
        values.append(term[0])
        at = term[1]
    return _sum(values, signs) if signs else None


def _term(words: Sequence[Word], at: int) -> tuple[Fraction, int] | None:
    found = number_at(words, at) if at < len(words) else None
    return None if found is None else (Fraction(str(found.value)), found.stop)


def _sign(words: Sequence[Word], at: int) -> tuple[str, int] | None:
    for form, sign in _SIGNS:
        if tuple(word.plain for word in words[at : at + len(form)]) == form:
            return sign, len(form)
    return None


def _sum(values: list[Fraction], signs: list[str]) -> Fraction:
    parts = [values[0]]
    for sign, value in zip(signs, values[1:], strict=True):
        match sign:
            case "*":
                parts[-1] *= value
            case "/":
                parts[-1] /= value
            case "%":
                parts[-1] *= value / 100
            case "-":
                parts.append(-value)
            case _:
                parts.append(value)
    return sum(parts, Fraction(0))
