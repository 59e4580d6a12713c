"""One piece of a chat endpoint's answer, read from any of the spellings that servers use.

OpenAI's spelling is `choices[0].delta` with `content`, `tool_calls` and `finish_reason`. Others
that are read:

    the answer   `message` of a server that does not stream; `text`
    content      null; a list of parts, of which thoughts are left out; one part; `refusal`
    calls        one object instead of a list; `function_call`; name and arguments not in `function`
    arguments    an object instead of a text; null
    index        a number as a text; missing
    the end      `finishReason`; `done`; an empty text is no end
    an error     `error` as a text or an object; `message` or `detail` without `choices`

Thoughts in fields of their own (`reasoning_content`, `reasoning`, `thinking`) are not read, nor is
a `message` beside a `delta`, in which some servers repeat the text so far.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .json_values import Json, as_list, as_object, as_text

END = '{"done":true}'
"""Piece that reports the end of an answer whose server ended the stream without a reason."""

_THOUGHTS = ("thinking", "thought", "reasoning", "redacted_thinking")
"""Types of the parts of a content that are thoughts."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call."""

    index: int | None
    """Number of the call in the answer, or None if the server gives none."""
    id: str
    """Id of the call, empty if it is not in this piece."""
    tool: str
    """Name of the tool or a part of it, empty if it is not in this piece."""
    arguments_json: str
    """A part of the arguments."""


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """A piece of an answer."""

    text: str = ""
    calls: tuple[CallPiece, ...] = ()
    finished: bool = False
    """True if the server said that the answer is complete."""
    whole: bool = False
    """True for the whole answer of a server that does not stream."""


def error_of(read: Json) -> str:
    """Return the error that a piece reports, or an empty text.

    Args:
        read: The piece.
    """
    error = read.get("error")
    if not error and "choices" not in read:
        error = read.get("message") or read.get("detail")
    text = as_object(error).get("message") or error or ""
    return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)


def read_piece(read: Json) -> AnswerPiece:
    """Return what a piece holds. Values of an unexpected type are left out.

    Args:
        read: The piece, a JSON object.
    """
    choice = as_object(next(iter(as_list(read.get("choices"))), None))
    whole = not isinstance(choice.get("delta"), dict) and "message" in choice
    delta = as_object(choice.get("message" if whole else "delta"))
    text = _text(delta.get("content")) + as_text(delta.get("refusal"))
    return AnswerPiece(
        text or as_text(choice.get("text")),
        tuple(map(_call, _calls(delta))),
        bool(choice.get("finish_reason") or choice.get("finishReason") or read.get("done")),
        whole,
    )


def _text(content: Any) -> str:
    """Return the text of a content: a text, a part, or a list of both."""
    return "".join(map(_part, as_list(content) or [content]))


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    read = as_object(part)
    text = read.get("text")
    text = as_object(text).get("value", text)
    return "" if read.get("type") in _THOUGHTS else as_text(text)


def _calls(delta: Json) -> Iterator[Json]:
    calls = delta.get("tool_calls")
    yield from map(as_object, as_list(calls) or ([calls] if calls else []))
    if legacy := as_object(delta.get("function_call")):
        yield {"index": 0, "function": legacy}


def _call(call: Json) -> CallPiece:
    function = as_object(call.get("function")) or call
    arguments = function.get("arguments")
    if arguments is None:
        arguments = ""
    id = call.get("id")
    return CallPiece(
        _index(call.get("index")),
        str(id) if isinstance(id, str | int) else "",
        as_text(function.get("name")).strip(),
        arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
    )


def _index(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
