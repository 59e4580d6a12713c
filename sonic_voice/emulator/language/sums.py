"""Sums in words: "two plus three times four", "12 * 3", "ten percent of fifty".

Times and divided by bind closer than plus and minus, as at school. The arithmetic is exact; what
has no short decimal is rounded when it is told.
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
MAX_TERMS = 20


def evaluate(words: Sequence[Word]) -> Fraction | None:
    """What the sum makes that `words` are, all of them; None if they are none.

    Raises `ZeroDivisionError` if it divides by zero.
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
