"""Masking of personal data in texts: addresses, numbers of telephones, cards and accounts.

    mask("Mail me at jo@example.com or call 415 555 0123.")
    -> "Mail me at [email] or call [phone]."

Found by form, and by its check digits where it has any:

    [email]   jo@example.com, and as it is spoken: "jo dot smith at example dot com"
    [card]    13 to 19 digits with a right check digit (Luhn), in groups or not
    [iban]    an account number with right check digits (ISO 13616)
    [ssn]     three, two and four digits: a US social security number
    [ip]      an IPv4 address
    [phone]   7 to 15 digits with a plus or in groups
    [number]  7 digits or more in a row, or 7 words for digits: "four one five five five ..."

Names and postal addresses have no form and are not found. Each text is masked for itself: a number
that is divided between two sentences is not found if its parts are too short. Dates such as
2026-11-29 are left. Nothing else is changed, and what is masked stays as it is when masked again.

Pure: no I/O.
"""

import json
import re
from collections.abc import Callable
from typing import Any, cast

_DIGIT_WORDS = "zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple"

MIN_DIGITS = 7
"""Smallest number of digits that is masked: a local telephone number has seven."""

MAX_PHONE_DIGITS = 15
"""Largest number of digits of a telephone number (ITU-T E.164)."""

CARD_DIGITS = range(13, 20)
"""Numbers of digits that card numbers have (ISO/IEC 7812)."""

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}")
_SPOKEN_EMAIL = re.compile(
    r"\b\w[\w+-]{0,63}(?: (?:dot|point|underscore|dash) \w{1,63}){0,4}"
    r" at (?:\w[\w-]{0,62} dot ){1,4}\w{2,24}\b",
    re.IGNORECASE,
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_NUMBER = re.compile(r"(?<![\w.])(?:\+ ?)?\(?\d(?:[ ()./-]{0,2}\d){5,30}(?!\w)")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}")
_SPOKEN_DIGITS = re.compile(
    rf"\b(?:(?:{_DIGIT_WORDS}|\d)\b[ ,.-]{{0,2}}){{{MIN_DIGITS - 1},40}}(?:{_DIGIT_WORDS}|\d)\b",
    re.IGNORECASE,
)


def mask(text: str) -> str:
    """Return a text with its personal data masked.

    Args:
        text: The text: a sentence, or what stands for itself.
    """
    if not _may_have_any(text):
        return text
    text = _EMAIL.sub("[email]", text)
    text = _SPOKEN_EMAIL.sub("[email]", text)
    text = _IBAN.sub(_mask_iban, text)
    text = _IP.sub("[ip]", text)
    text = _SSN.sub("[ssn]", text)
    text = _NUMBER.sub(_mask_number, text)
    return _SPOKEN_DIGITS.sub("[number]", text)


def mask_json(text: str) -> str:
    """Return a text with its personal data masked, which is still JSON if it was.

    Args:
        text: JSON, such as the arguments of a tool, or any other text.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return mask(text)
    masked = mask_value(value, numbers=True)
    return text if masked == value else json.dumps(masked, ensure_ascii=False)


def mask_value(
    value: Any, *, keep: Callable[[str], bool] = lambda name: False, numbers: bool = False
) -> Any:
    """Return a JSON value with the personal data in its strings masked.

    Args:
        value: The value. A string that is JSON itself stays JSON.
        keep: Returns whether the member of a name is left as it is, such as an id.
        numbers: Whether numbers are masked as well, which become strings. They are in any string
            that is JSON, such as the arguments of a tool.
    """
    if isinstance(value, str):
        return mask_json(value) if value[:1] in ("{", "[") else mask(value)
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        masked = mask(str(value))
        return value if masked == str(value) else masked
    if isinstance(value, list):
        items = cast(list[Any], value)
        return [mask_value(item, keep=keep, numbers=numbers) for item in items]
    if isinstance(value, dict):
        members = cast(dict[str, Any], value)
        return {
            name: member if keep(name) else mask_value(member, keep=keep, numbers=numbers)
            for name, member in members.items()
        }
    return value


def _may_have_any(text: str) -> bool:
    """Return whether a text has anything that the patterns could match; most texts have not."""
    return any(c.isdigit() or c == "@" for c in text) or " " in text


def _mask_iban(found: re.Match[str]) -> str:
    account = found[0].replace(" ", "")
    digits = "".join(str(int(c, 36)) for c in account[4:] + account[:4])
    return "[iban]" if int(digits) % 97 == 1 else found[0]


def _mask_number(found: re.Match[str]) -> str:
    text = found[0]
    digits = [int(c) for c in text if c.isdigit()]
    if _DATE.fullmatch(text) or len(digits) < MIN_DIGITS:
        return text
    if len(digits) in CARD_DIGITS and _has_check_digit(digits):
        return "[card]"
    grouped = not text.isdigit()
    return "[phone]" if grouped and len(digits) <= MAX_PHONE_DIGITS else "[number]"


def _has_check_digit(digits: list[int]) -> bool:
    """Return whether the last digit is the check digit of the others, by Luhn's formula."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = 2 * digit if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
