"""The continuation of a scripted brain in another stream of the same conversation.

A client renews its streams: the next stream is given the conversation as history, and perhaps a
text in square brackets, a *stage direction* that the user did not say. It asks to continue an
answer that broke off, or it has the result of a tool call of an earlier stream. A language model
understands both. A scripted brain needs the functions of this module.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

_RESULT_NOTE = re.compile(r"\[(?P<tool>[\w-]+) returned (?P<json>\{.*?\})\]", re.DOTALL)
_LATE_RESULT = re.compile(r"\[.*?: (?P<json>\{.*\})\..*\]", re.DOTALL)
_WORD = re.compile(r"\w+")

NOTHING_MORE = "That was all."
"""Answer to the request to continue an answer of which nothing is missing."""


@dataclass(frozen=True, slots=True)
class StageDirection:
    """A text of the client that the user did not say."""

    result: Mapping[str, Any] | None = None
    """The result of a tool call of an earlier stream; None for a request to continue."""


def stage_direction(text: str) -> StageDirection | None:
    """Return the stage direction that a typed text is, or None for words of the user.

    Args:
        text: The text.
    """
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    found = _LATE_RESULT.fullmatch(text)
    return StageDirection(None if found is None else _object(found["json"]))


def split_history(text: str) -> tuple[str, list[Mapping[str, Any]]]:
    """Return the words of the user in a message of the history, and the tool results in it.

    Args:
        text: A USER message.
    """
    results: list[Mapping[str, Any]] = [
        _object(found["json"]) or {} for found in _RESULT_NOTE.finditer(text)
    ]
    return " ".join(_RESULT_NOTE.sub(" ", text).split()), results


def begins_with(text: str, words: str) -> str | None:
    """Return what follows `words` at the beginning of a text; None if it begins differently.

    Case and punctuation do not count.

    Args:
        text: The text.
        words: The words.
    """
    wanted = [word.lower() for word in _WORD.findall(words)]
    found = list(_WORD.finditer(text))[: len(wanted)]
    if not wanted or [match[0].lower() for match in found] != wanted:
        return None
    return text[found[-1].end() :].lstrip(" .,;:!?")


def rest_of(answer: str, heard: str) -> str:
    """Return the rest of an answer of which the beginning was heard.

    Args:
        answer: The whole answer.
        heard: What was heard of it.
    """
    if not heard.strip():
        return answer
    rest = begins_with(answer, heard)
    return answer if rest is None else rest or NOTHING_MORE


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
