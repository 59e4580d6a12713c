"""Read the forms of an elicitation as questions that can be spoken, and the spoken answers.

A server may ask the user for input in the middle of a call, by a message and a flat JSON schema.
Each required field becomes one question. An answer arrives as text, which the model has written
down from what the user said; it is parsed by the schema of its field:

    boolean            yes or no
    integer, number    digits, or an English word up to twenty at the beginning
    enum, oneOf        the value or the title of a choice, or a part that only one of them has
    array of choices   choices, separated by commas or "and"
    date, date-time    ISO 8601
    email, uri         a text of that form
    string             the text
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from ..tools.argument_errors import ISO_FORMATS
from ..tools.schema_parts import as_list

MAX_QUESTIONS = 5
"""Maximum number of questions of one form. Longer forms are for the eye, and are declined."""

_QUESTION_CHARACTERS = 500
"""Maximum length of the message of a server that is put to the user, in characters."""

_YES = frozenset("yes yeah yep true ok okay sure y confirm correct".split())
_NO = frozenset("no nope false n not never".split())
_UNDECIDED = frozenset("or not but no except neither without".split())
"""Words that make more of an answer than the choice in it."""

_NUMBERS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
}
_FORMS = {
    "email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "uri": re.compile(r"[a-z][a-z0-9+.-]*:\S+", re.IGNORECASE),
}
"""Pattern of each format of a text that is not checked by a parser."""

type Answer = str | int | float | bool | list[str]
"""The value of a field."""


class NotUnderstoodError(Exception):
    """An answer that is not of the kind that a field needs."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a form."""

    field: str
    """Name of the field that the answer fills; empty for a form without fields."""
    text: str
    """The question, for the user."""
    expected: str
    """Description of the answers that are understood, for the model."""
    schema: Mapping[str, Any]
    """Schema of the field."""


def read_form(message: str, schema: Mapping[str, Any]) -> list[Question] | None:
    """Return the questions of a form; None if it cannot be spoken.

    Args:
        message: The message of the server.
        schema: The requested schema: an object whose properties are its fields.
    """
    message = " ".join(message.split())[:_QUESTION_CHARACTERS]
    fields = _mapping(schema.get("properties"))
    if not fields:
        return [Question("", message, "yes or no", {"type": "boolean"})]
    required = [name for name in schema.get("required", ()) if name in fields]
    asked = required or list(fields)
    if len(asked) > MAX_QUESTIONS:
        return None
    questions: list[Question] = []
    for name in asked:
        part = _mapping(fields[name])
        expected = _expected(part)
        if not expected:
            return None
        label = str(part.get("description") or "")
        if not label and len(asked) > 1:
            label = str(part.get("title") or name.replace("_", " "))
        text = label if questions or label in message else f"{message} {label}"
        questions.append(Question(name, (text or message).strip(), expected, part))
    return questions


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a value if it is an object, otherwise an empty one."""
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _expected(schema: Mapping[str, Any]) -> str:
    """Return a description of the answers to a field; empty if it cannot be spoken."""
    choices = _choices(schema)
    if choices:
        return f"one of: {', '.join(choices)}"
    match schema.get("type"):
        case "boolean":
            return "yes or no"
        case "integer":
            return "a whole number in digits"
        case "number":
            return "a number in digits"
        case "string":
            form = str(schema.get("format", ""))
            return ISO_FORMATS.get(form) or (f"a valid {form}" if form in _FORMS else "a text")
        case "array":
            inner = _choices(_mapping(schema.get("items")))
            return f"one or more of: {', '.join(inner)}" if inner else ""
        case _:
            return ""


def _choices(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of the choices of a field by their titles, in order."""
    titled = schema.get("oneOf") or schema.get("anyOf")
    if isinstance(titled, list):
        options = map(_mapping, cast(Sequence[Any], titled))
        return {
            str(option.get("title", option["const"])): str(option["const"])
            for option in options
            if "const" in option
        }
    values = as_list(schema.get("enum")) or []
    titles = as_list(schema.get("enumNames")) or values
    return {str(title): str(value) for title, value in zip(titles, values, strict=False)}


def parse_answer(question: Question, text: str) -> Answer:
    """Return the value of an answer.

    Args:
        question: The question.
        text: The answer, as the model has written it down.

    Raises:
        NotUnderstoodError: The answer is not of the kind that the field needs.
    """
    schema, text = question.schema, text.strip()
    if choices := _choices(schema):
        return _chosen(choices, text)
    match schema.get("type"):
        case "boolean":
            return _parse_boolean(text)
        case "integer":
            value = _parse_number(text)
            if value != int(value):
                raise NotUnderstoodError(f"{text!r} is no whole number")
            return int(_within(schema, value))
        case "number":
            return _within(schema, _parse_number(text))
        case "array":
            choices = _choices(_mapping(schema.get("items")))
            parts = [part for part in re.split(r",|;|\band\b", text) if part.strip()]
            if not parts:
                raise NotUnderstoodError("no choice was named")
            return [_chosen(choices, part.strip()) for part in parts]
        case _:
            return _parse_text(schema, text)


def _chosen(choices: Mapping[str, str], text: str) -> str:
    """Return the choice that a text names, alone or as the only one with these words in it."""
    said = text.lower().strip(" .")
    known = {key.lower(): value for key, value in choices.items()}
    known |= {value.lower(): value for value in choices.values()}
    if said in known:
        return known[said]
    words = re.compile(rf"\b{re.escape(said)}\b")
    near = {value for name, value in known.items() if said and words.search(name)}
    if not near and not _UNDECIDED & set(said.split()):
        near = {v for n, v in known.items() if re.search(rf"\b{re.escape(n)}\b", said)}
    if len(near) != 1:
        raise NotUnderstoodError(f"{text!r} is none of {', '.join(choices)}")
    return near.pop()


def _parse_boolean(text: str) -> bool:
    words = set(re.findall(r"\w+", text.lower()))
    yes, no = bool(words & _YES), bool(words & _NO)
    if yes == no:
        raise NotUnderstoodError(f"{text!r} is neither yes nor no")
    return yes


def _parse_number(text: str) -> float:
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)  # 1,000
    found = re.findall(r"-?\d+(?:[.,]\d+)?", text)
    first = re.match(r"[a-z]+", text.lower())
    if not found and first is not None and first[0] in _NUMBERS:  # but not "the blue one"
        found = [str(_NUMBERS[first[0]])]
    if len(found) != 1:
        raise NotUnderstoodError(f"{text!r} has {len(found)} numbers")
    return float(found[0].replace(",", "."))


def _within(schema: Mapping[str, Any], value: float) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    too_low = isinstance(low, int | float) and value < low
    if too_low or (isinstance(high, int | float) and value > high):
        raise NotUnderstoodError(f"{value:g} is out of range")
    return value


def _parse_text(schema: Mapping[str, Any], text: str) -> str:
    form = schema.get("format")
    try:
        match form:
            case "date":
                return date.fromisoformat(text).isoformat()
            case "date-time":
                return datetime.fromisoformat(text).isoformat()
            case "email" | "uri":
                if not _FORMS[form].fullmatch(text):
                    raise NotUnderstoodError(f"{text!r} is no {form}")
            case _:
                pass
    except ValueError as error:
        raise NotUnderstoodError(f"{text!r} is no {form}") from error
    least, most = schema.get("minLength", 1), schema.get("maxLength", len(text))
    if not least <= len(text) <= most:
        raise NotUnderstoodError(f"{text!r} is too short or too long")
    return text
