"""Slot filling: the arguments of a tool, from the words of a request, by the tool's JSON schema.

Properties are filled from the most certain kind to the least certain, and words that one property
has used are not used again:

    booleans       "with sugar", "without sugar", "sugar off", "turn it on"
    dates, times   of format date, date-time, time, or by name and description (`dates`)
    enums          a value that was said or meant: see below
    figures        strings whose name has id, number, code, phone, zip or pin: "four oh two"
    numbers        first the one beside the property's name or unit, then those left, in order;
                   "ten minutes" for a property in seconds is 600; numbers outside `minimum` and
                   `maximum`, and fractions where an integer is wanted, are passed over
    arrays         every value of the kind of its items
    objects        their own properties, in the same way
    free text      "in paris", "to bob saying hello" (`free_text`)

An enum's value is searched for exactly, then approximately (`words.alike`), then by `SYNONYMS`,
then by a word of the description between this value and the next ("forward: ahead, backward:
reverse"). The schema's `default` is used for a value that was not said.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from ..language.dates import find_date, find_time
from ..language.numerals import digits, numbers
from ..language.words import STOP_WORDS, Word, alike, related, said, word_set, words_of
from .free_text import fill_texts, free_answer
from .tool_schema import Property, WordClaims, name_words, properties

MAX_DEPTH = 3
"""Maximum depth of objects within objects that are filled."""


@dataclass(frozen=True, slots=True)
class FilledSlots:
    """The result of slot filling: the arguments, and the required properties without a value."""

    arguments: dict[str, Any]
    missing: tuple[Property, ...]
    """Required properties without a value, in the order of the schema."""
    certain: int
    """Number of arguments that are dates, enums, numbers, figures or booleans."""
    taken: frozenset[int]
    """Indices of the words that became arguments."""


def fill_arguments(
    schema: Mapping[str, Any],
    words: Sequence[Word],
    today: date,
    named: frozenset[int] = frozenset(),
) -> FilledSlots:
    """Return the arguments that a request holds for a tool.

    Args:
        schema: JSON schema of the tool's input.
        words: The words of the request.
        today: Date that relative dates refer to.
        named: Indices of the words that named the tool.
    """
    claims = WordClaims(words, named)
    found, missing, certain = _fill(schema, claims, today, 0)
    return FilledSlots(found, missing, certain, frozenset(claims.taken))


def parse_answer(wanted: Property, words: Sequence[Word], today: date) -> Any:
    """Return the value in the answer to a question for one property.

    Args:
        wanted: The property that was asked for.
        words: The words of the answer.
        today: Date that relative dates refer to.

    Returns:
        The value, or None if the answer holds none.
    """
    if wanted.kind == "text":
        return free_answer(wanted, words)
    schema = {"properties": {wanted.name: wanted.schema}, "required": [wanted.name]}
    found = fill_arguments(schema, words, today).arguments.get(wanted.name)
    return _yes_or_no(words) if found is None and wanted.kind == "boolean" else found


def default_value(wanted: Property, words: Sequence[Word], today: date) -> Any:
    """Return a value for a required property that was not mentioned.

    Args:
        wanted: The property.
        words: The words of the request: all of them become the value of a text.
        today: Value of a date.

    Returns:
        All words for a text, the first value of an enum, the minimum or 0 for a number, today for a
        date, False for a boolean.
    """
    match wanted.kind:
        case "enum":
            return wanted.values[0]
        case "integer" | "number":
            least = wanted.schema.get("minimum", 0)
            return least if isinstance(least, (int, float)) else 0
        case "boolean":
            return False
        case "array":
            return []
        case "object":
            inner = properties(wanted.schema)
            return {p.name: default_value(p, words, today) for p in inner if p.required}
        case "date":
            return today.isoformat()
        case "moment":
            return f"{today.isoformat()}T00:00:00"
        case "time":
            return "00:00"
        case "figures":
            return "0"
        case _:
            return said(words) or "nothing"


def _fill(
    schema: Mapping[str, Any], claims: WordClaims, today: date, depth: int
) -> tuple[dict[str, Any], tuple[Property, ...], int]:
    wanted = properties(schema)
    found: dict[str, Any] = {}
    for prop in wanted:
        if prop.kind == "boolean":
            _keep(found, prop, _boolean(prop, claims))
    # Dates come before numbers, which would otherwise take their figures.
    _fill_moments(wanted, claims, today, found)
    for prop in wanted:
        if prop.kind == "enum":
            _keep(found, prop, _enum(prop, claims))
    _fill_figures(wanted, claims, found)
    _fill_numbers(wanted, claims, found)
    certain = len(found)
    for prop in wanted:
        if prop.kind == "array":
            _keep(found, prop, _array(prop, claims) or None)
        elif prop.kind == "object" and depth < MAX_DEPTH:
            inner, lacking, sure = _fill(prop.schema, claims, today, depth + 1)
            certain += sure
            _keep(found, prop, inner if inner and not lacking else None)
    fill_texts(wanted, claims, found)
    for prop in wanted:
        if prop.name not in found and prop.schema.get("default") is not None:
            found[prop.name] = prop.schema["default"]
    # The arguments are in the order of the schema, not in that of filling.
    ordered = {prop.name: found[prop.name] for prop in wanted if prop.name in found}
    lacking = tuple(p for p in wanted if p.required and p.name not in found)
    return ordered, lacking, certain


def _keep(found: dict[str, Any], prop: Property, value: Any) -> None:
    if value is not None:
        found[prop.name] = value


# Dates and times.


def _fill_moments(
    wanted: Sequence[Property], claims: WordClaims, today: date, found: dict[str, Any]
) -> None:
    for prop in wanted:
        if prop.kind in ("date", "moment"):
            day = find_date(claims.remaining(), today)
            if day is None:
                continue
            claims.claim(day.start, day.stop)
            found[prop.name] = day.day.isoformat()
        if prop.kind in ("time", "moment"):
            moment = find_time(claims.remaining())
            if moment is None:
                if prop.kind == "moment":
                    found[prop.name] += "T00:00:00"
                continue
            claims.claim(moment.start, moment.stop)
            text = moment.time.isoformat("seconds" if prop.kind == "moment" else "minutes")
            found[prop.name] = f"{found[prop.name]}T{text}" if prop.kind == "moment" else text


# Enums and booleans.


def _enum(prop: Property, claims: WordClaims) -> Any:
    """Return the value that was said first among those that fit best."""
    best: tuple[int, int, int] | None = None
    chosen, span = None, (0, 0)
    for order, value in enumerate(prop.values):
        for how, start, stop in _sightings(prop, value, claims):
            rank = (how, start, order)
            if claims.is_free(start, stop) and (best is None or rank < best):
                best, chosen, span = rank, value, (start, stop)
    if best is not None:
        claims.claim(*span)
    return chosen


def _sightings(prop: Property, value: Any, claims: WordClaims) -> list[tuple[int, int, int]]:
    """Return where `value` is meant: how (0: said, 3: from the description), start and stop."""
    words = [word.plain for word in claims.words]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [(0, n.start, n.stop) for n in numbers(claims.words) if n.value == value]
    parts = name_words(str(value))
    if not parts:
        return []
    found: list[tuple[int, int, int]] = []
    for at in range(len(words) - len(parts) + 1):
        here = words[at : at + len(parts)]
        if here == parts:
            found.append((0, at, at + len(parts)))
        elif all(map(alike, here, parts)):
            found.append((1, at, at + len(parts)))
    hints = _hints(prop, value)
    for at, word in enumerate(words):
        if len(parts) == 1 and related(word, parts[0]) and at not in claims.named:
            found.append((2, at, at + 1))
        elif any(alike(word, hint) for hint in hints):
            found.append((3, at, at + 1))
    return found


def _hints(prop: Property, value: Any) -> list[str]:
    """Return the words of the description between `value` and the next of the values."""
    about = prop.description.lower()
    places = [re.search(rf"\b{re.escape(str(v).lower())}\b", about) for v in prop.values]
    here = next((p for p, v in zip(places, prop.values, strict=True) if v is value), None)
    if here is None or not all(places):
        return []
    after = min((p.start() for p in places if p and p.start() > here.start()), default=len(about))
    near = [word.plain for word in words_of(about[here.start() : after])]
    others = {part for v in prop.values for part in name_words(str(v))}
    return [word for word in near if word not in STOP_WORDS and word not in others]


_YES = word_set("yes yeah yep sure true on please correct right definitely")
"""Words that answer a question with yes."""
_NO = word_set("no nope not false off without never")
"""Words that answer a question with no, or negate what follows."""


def _yes_or_no(words: Sequence[Word]) -> bool | None:
    heard = {word.plain for word in words}
    if heard & _NO:
        return False
    return True if heard & _YES else None


def _boolean(prop: Property, claims: WordClaims) -> bool | None:
    names = name_words(prop.name)
    words = [word.plain for word in claims.words]
    if set(names) & {"on", "enabled", "enable", "state", "power", "active"}:
        for at, word in enumerate(words):
            if word in ("on", "off", "enable", "disable") and claims.is_free(at, at + 1):
                claims.taken.add(at)
                return word in ("on", "enable")
    content = [name for name in names if name not in STOP_WORDS and name != "is"] or names
    for at in range(len(words) - len(content) + 1):
        stop = at + len(content)
        if at in claims.named or not claims.is_free(at, stop):
            continue
        if all(map(alike, words[at:stop], content)):
            claims.claim(at, stop)
            # "without sugar", "no sugar" and "sugar off" are false; any other mention is true.
            before = words[max(0, at - 3) : at]
            return not (set(before) & _NO or words[stop : stop + 1] == ["off"])
    return None


# Figures and numbers.


def _fill_figures(wanted: Sequence[Property], claims: WordClaims, found: dict[str, Any]) -> None:
    for prop in wanted:
        if prop.kind != "figures":
            continue
        left = claims.remaining()
        spoken = ((at, *digits(left, at)) for at in range(len(left)))
        start, figures, stop = next((row for row in spoken if row[1]), (0, "", 0))
        if figures:
            claims.claim(start, stop)
            found[prop.name] = figures


UNITS = {
    "second": ("time", 1.0),
    "minute": ("time", 60.0),
    "hour": ("time", 3600.0),
    "millimeter": ("length", 0.001),
    "centimeter": ("length", 0.01),
    "meter": ("length", 1.0),
    "kilometer": ("length", 1000.0),
    "gram": ("mass", 1.0),
    "kilogram": ("mass", 1000.0),
}
"""Units that can be converted into one another: the quantity, and its amount in the base unit."""


def _unit(word: str) -> str | None:
    return next((unit for unit in UNITS if len(word) > 3 and alike(word, unit)), None)


def _fill_numbers(wanted: Sequence[Property], claims: WordClaims, found: dict[str, Any]) -> None:
    numeric = [prop for prop in wanted if prop.kind in ("integer", "number")]
    # The first pass assigns numbers beside a name or a unit, the second those that are left.
    for certain in (True, False):
        for prop in numeric:
            if prop.name in found or not (certain or prop.required or len(numeric) == 1):
                continue
            for numeral in numbers(claims.remaining()):
                value, stop = _measured(prop, claims, numeral.value, numeral.stop)
                near = stop > numeral.stop or _named_beside(prop, claims, numeral.start)
                if (near or not certain) and _allowed(prop, value):
                    claims.claim(numeral.start, stop)
                    whole = prop.kind == "integer" or isinstance(value, int)
                    found[prop.name] = int(value) if whole else value
                    break


def _measured(
    prop: Property, claims: WordClaims, value: int | float, stop: int
) -> tuple[int | float, int]:
    """Convert `value` to the property's unit.

    Returns:
        The value, and the index after it and after its own unit or the property's name.
    """
    after = claims.words[stop].plain if stop < len(claims.words) else ""
    names = name_words(prop.name)
    if after and any(alike(after, name) for name in names):
        return value, stop + 1
    described = [word.plain for word in words_of(prop.description)]
    # The unit of the property is in its name (`duration_seconds`) or in its description.
    own = next((unit for word in (*names, *described) if (unit := _unit(word))), None)
    unit = _unit(after)
    if unit is None or own is None or UNITS[own][0] != UNITS[unit][0]:
        about = [word for word in described if word not in STOP_WORDS]
        beside = bool(after) and after not in STOP_WORDS and any(alike(after, w) for w in about)
        return value, stop + beside
    converted = value * UNITS[unit][1] / UNITS[own][1]
    whole = float(converted).is_integer()
    return (int(converted) if whole else converted), stop + 1


def _named_beside(prop: Property, claims: WordClaims, start: int) -> bool:
    """Return whether the property's name is among the three words before `start`."""
    before = claims.words[max(0, start - 3) : start]
    return any(alike(word.plain, name) for word in before for name in name_words(prop.name))


def _allowed(prop: Property, value: int | float) -> bool:
    if prop.kind == "integer" and not float(value).is_integer():
        return False
    least, most = prop.schema.get("minimum"), prop.schema.get("maximum")
    above = not isinstance(least, (int, float)) or value >= least
    return above and (not isinstance(most, (int, float)) or value <= most)


def _array(prop: Property, claims: WordClaims) -> list[Any]:
    inner = prop.schema.get("items", {})
    schema = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    item = Property(prop.name, schema, required=True)
    found: list[Any] = []
    if item.kind == "enum":
        while len(found) < len(item.values) and (value := _enum(item, claims)) is not None:
            found.append(value)
    elif item.kind in ("integer", "number"):
        for numeral in numbers(claims.remaining()):
            if _allowed(item, numeral.value):
                claims.claim(numeral.start, numeral.stop)
                found.append(numeral.value)
    elif item.kind == "text":
        texts: dict[str, Any] = {}
        fill_texts([item], claims, texts)
        parts = re.split(r",\s*|\s+and\s+", str(texts.get(prop.name, "")))
        found = [part for part in parts if part]
    return found
