"""Days and times of day in words.

`today` is an argument; nothing here reads a clock. Ambiguous words are resolved as follows:

    monday, next monday, on monday     the first one after today
    last monday                        the last one before today
    the third of may, may 3            this year's, or next year's if that is over
    the third                          the next third of a month, today included
    next week, in two weeks            today plus 7, 14 days
    seven, at seven thirty             07:00, 07:30, unless pm, afternoon or evening is said
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta

from .numerals import number_at, ordinal_at
from .words import Word, row

WEEKDAYS = row("monday tuesday wednesday thursday friday saturday sunday")
"""Names of the days, Monday first."""
MONTHS = row(
    "january february march april may june july august september october november december"
)
"""Names of the months, January first."""
_NEAR = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}
"""Days from today of words for a day."""
_SPANS = {"day": 1, "days": 1, "week": 7, "weeks": 7}
"""Days in a unit of time."""
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{2})(am|pm|a\.m|p\.m)?")
_HOUR = re.compile(r"(\d{1,2})(am|pm|a\.m|p\.m)")
_LATE = frozenset({"pm", "p.m", "afternoon", "evening", "tonight"})
"""Words for the second half of the day."""
_EARLY = frozenset({"am", "a.m", "morning"})
"""Words for the first half of the day."""


@dataclass(frozen=True, slots=True)
class DateSpan:
    """A day that is named in the words from `start` up to, but not including, `stop`."""

    start: int
    stop: int
    day: date


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A time of day that is named in the words from `start` up to, but not including, `stop`."""

    start: int
    stop: int
    time: time


def find_date(words: Sequence[Word], today: date) -> DateSpan | None:
    """Return the first day that is named.

    Args:
        words: The words to search.
        today: Date that relative dates refer to.

    Returns:
        The day and its words, or None.
    """
    for at in range(len(words)):
        for form in (_relative, _weekday, _of_month, _iso):
            found = form(words, at, today)
            if found is not None:
                return found
    return None


def _at(words: Sequence[Word], at: int) -> str:
    return words[at].plain if 0 <= at < len(words) else ""


def _shifted(today: date, days: int) -> date | None:
    try:
        return today + timedelta(days=days)
    except OverflowError:
        return None


def _relative(words: Sequence[Word], at: int, today: date) -> DateSpan | None:
    word = _at(words, at)
    days, stop = 0, at
    if word == "day" and _at(words, at + 1) == "after" and _at(words, at + 2) == "tomorrow":
        days, stop = 2, at + 3
    elif word in _NEAR:
        days, stop = _NEAR[word], at + 1
    elif word in ("next", "last") and _at(words, at + 1) == "week":
        days, stop = (7 if word == "next" else -7), at + 2
    else:
        numeral = number_at(words, at)
        if numeral is None and word in ("a", "one"):
            count, after = 1, at + 1
        elif numeral is not None and isinstance(numeral.value, int):
            count, after = numeral.value, numeral.stop
        else:
            return None
        unit = _SPANS.get(_at(words, after))
        past = _at(words, after + 1) == "ago"
        if unit is None or not (past or _at(words, at - 1) == "in"):
            return None
        days, stop = (-count if past else count) * unit, after + 1 + past
    day = _shifted(today, days)
    return None if day is None else DateSpan(at, stop, day)


def _weekday(words: Sequence[Word], at: int, today: date) -> DateSpan | None:
    lead = _at(words, at)
    skip = 1 if lead in ("next", "last", "this", "on") else 0
    name = _at(words, at + skip)
    if name not in WEEKDAYS:
        return None
    ahead = (WEEKDAYS.index(name) - today.weekday() - 1) % 7 + 1  # 1 to 7: never today
    if lead == "last":
        ahead -= 7 if ahead < 7 else 14
    day = _shifted(today, ahead)
    return None if day is None else DateSpan(at, at + skip + 1, day)


def _of_month(words: Sequence[Word], at: int, today: date) -> DateSpan | None:
    """Return the day of a month at `at`; a year may follow.

    The forms are "the third of may", "3 may", "may [the] third" and "the third".
    """
    first = at + (_at(words, at) == "the")
    if first >= len(words):
        return None
    if _at(words, first) in MONTHS and first == at:
        after = first + 1 + (_at(words, first + 1) == "the")
        number = _day_number(words, after)
        return number and _made(
            words, at, number[1], number[0], MONTHS.index(_at(words, first)), today
        )
    ordinal = ordinal_at(words, first)
    number = (int(ordinal.value), ordinal.stop) if ordinal else _day_number(words, first)
    if number is None:
        return None
    after = number[1] + (_at(words, number[1]) == "of")
    if _at(words, after) in MONTHS:
        return _made(words, at, after + 1, number[0], MONTHS.index(_at(words, after)), today)
    alone = ordinal and first > at and 1 <= number[0] <= 31
    return _next_such(at, number[1], number[0], today) if alone else None


def _day_number(words: Sequence[Word], at: int) -> tuple[int, int] | None:
    if at >= len(words):
        return None
    found = ordinal_at(words, at) or number_at(words, at)
    if found is None or not isinstance(found.value, int) or not 1 <= found.value <= 31:
        return None
    return found.value, found.stop


def _made(
    words: Sequence[Word], start: int, stop: int, day: int, month: int, today: date
) -> DateSpan | None:
    year = number_at(words, stop) if stop < len(words) else None
    if year is not None and isinstance(year.value, int) and 1900 <= year.value <= 2999:
        made = _date(year.value, month + 1, day)
        return None if made is None else DateSpan(start, year.stop, made)
    made = _date(today.year, month + 1, day)
    if made is None or made < today:
        # 29 February may not exist next year; then the past day is better than none.
        made = _date(today.year + 1, month + 1, day) or made
    return None if made is None else DateSpan(start, stop, made)


def _next_such(start: int, stop: int, day: int, today: date) -> DateSpan | None:
    for ahead in range(12):
        month = today.month - 1 + ahead
        made = _date(today.year + month // 12, month % 12 + 1, day)
        if made is not None and made >= today:
            return DateSpan(start, stop, made)
    return None


def _iso(words: Sequence[Word], at: int, today: date) -> DateSpan | None:
    found = _ISO.fullmatch(_at(words, at))
    made = found and _date(int(found[1]), int(found[2]), int(found[3]))
    return DateSpan(at, at + 1, made) if made else None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def find_time(words: Sequence[Word]) -> TimeSpan | None:
    """Return the first time of day that is named. A bare number counts only after "at".

    Args:
        words: The words to search.

    Returns:
        The time and its words, or None.
    """
    for at in range(len(words)):
        found = _named_time(words, at) or _clock_time(words, at) or _spoken_time(words, at)
        if found is not None:
            return found
    return None


def _named_time(words: Sequence[Word], at: int) -> TimeSpan | None:
    named = {"noon": time(12), "midday": time(12), "midnight": time(0)}.get(_at(words, at))
    return None if named is None else TimeSpan(at, at + 1, named)


def _clock_time(words: Sequence[Word], at: int) -> TimeSpan | None:
    word = _at(words, at)
    if found := _CLOCK.fullmatch(word):
        return _timed(words, at, at + 1, int(found[1]), int(found[2]), found[3] or "")
    if found := _HOUR.fullmatch(word):
        return _timed(words, at, at + 1, int(found[1]), 0, found[2])
    return None


def _spoken_time(words: Sequence[Word], at: int) -> TimeSpan | None:
    word = _at(words, at)
    if word in ("half", "quarter") and _at(words, at + 1) in ("past", "to"):
        hour = number_at(words, at + 2) if at + 2 < len(words) else None
        if hour is None or not isinstance(hour.value, int):
            return None
        minute = 30 if word == "half" else 15
        if _at(words, at + 1) == "to":
            return _timed(words, at, hour.stop, hour.value - 1, 60 - minute, "")
        return _timed(words, at, hour.stop, hour.value, minute, "")
    hour = number_at(words, at)
    if hour is None or not isinstance(hour.value, int) or not 0 <= hour.value <= 24:
        return None
    stop, minute = hour.stop, 0
    minutes = number_at(words, stop) if stop < len(words) else None
    if minutes is not None and isinstance(minutes.value, int) and 10 <= minutes.value < 60:
        stop, minute = minutes.stop, minutes.value
    marked = _at(words, at - 1) == "at" or _at(words, stop) in ("o'clock", "oclock")
    if not (marked or _half_of_day(words, stop)[0]):
        return None
    return _timed(words, at, stop, hour.value, minute, "")


def _half_of_day(words: Sequence[Word], stop: int) -> tuple[str, int]:
    """Return the half of the day after a time ("pm", "in the evening") and the index after it."""
    if _at(words, stop) in ("o'clock", "oclock"):
        stop += 1
    skip = stop
    if _at(words, skip) == "in" and _at(words, skip + 1) == "the":
        skip += 2
    word = _at(words, skip)
    if word in ("a", "p") and _at(words, skip + 1) == "m":
        return f"{word}m", skip + 2
    return (word, skip + 1) if word in _LATE or word in _EARLY else ("", stop)


def _timed(
    words: Sequence[Word], start: int, stop: int, hour: int, minute: int, half: str
) -> TimeSpan | None:
    said, after = _half_of_day(words, stop)
    half = half or said
    if half in _LATE and 1 <= hour < 12:
        hour += 12
    elif half in _EARLY and hour == 12:
        hour = 0
    try:
        return TimeSpan(start, after, time(hour % 24, minute))
    except ValueError:
        return None
