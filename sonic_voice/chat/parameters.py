"""Parameters of a chat request that an endpoint rejects by name, and the request without them.

Endpoints differ in what they take: newer models of OpenAI want `max_completion_tokens` for
`max_tokens` and no temperature, Claude takes one of temperature and `top_p`, some models take no
tools. A refusal names the parameter: in a field of its own (`error.param`, or a `loc` of the body),
or in its text. Each parameter is renamed or left out once, so a request is repeated at most
as often as it has optional parameters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .json_values import Json, as_list, as_object, parse_object

RENAMED = {"max_tokens": "max_completion_tokens"}
"""Other names of parameters, which are tried if a refusal mentions them."""
OPTIONAL = (
    "max_tokens",
    "top_p",
    "temperature",
    "tool_choice",
    "tools",
    "response_format",
    "stream",
)
"""Parameters without which a request is still valid, in the order in which they are given up when
a refusal names several: where two exclude each other, temperature is kept."""
_TOGETHER = {"tools": ("tools", "tool_choice")}
"""Parameters that are left out together."""
_DEPTH = 4
"""Maximum number of objects within each other in which a refusal is looked for."""
_ORDINARY_WORDS = ("tools", "stream")
"""Parameters whose names are words of everyday texts: they must be quoted or be "not supported"."""


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """A parameter that an endpoint does not take."""

    name: str
    new_name: str = ""
    """Its other name; empty if it is left out."""

    def __str__(self) -> str:
        """Return what is done about the parameter, for the log."""
        return (
            f"{self.name} is sent as {self.new_name}" if self.new_name else f"without {self.name}"
        )


def rejected_parameter(body: Json, refusal: str) -> ParameterChange | None:
    """Return the change of a request that a refusal asks for, or None if it names no parameter.

    Args:
        body: The request that was refused.
        refusal: The body of the refusal.
    """
    read = parse_object(refusal)
    structured = list(_named_in_fields(read)) if read is not None else []
    texts = " ".join(_texts(read)) if read is not None else refusal
    sent = [name for name in OPTIONAL if name in body]
    for name in (
        *(name for name in sent if name in structured),
        *(name for name in sent if _names(texts, name)),
    ):
        new_name = RENAMED.get(name, "")
        return ParameterChange(name, new_name if new_name in texts else "")
    return None


def with_changes(body: Json, changes: Mapping[str, ParameterChange]) -> dict[str, Any]:
    """Return a request in which the parameters are changed.

    Args:
        body: The request.
        changes: The changes, by the name of the parameter.
    """
    dropped = {name for change in changes for name in _TOGETHER.get(change, (change,))}
    changed = {name: value for name, value in body.items() if name not in dropped}
    for change in changes.values():
        if change.new_name and change.name in body:
            changed[change.new_name] = body[change.name]
    return changed


def _named_in_fields(read: Json) -> Iterator[str]:
    """Yield the names that the fields `param` and `loc` of a refusal give."""
    for one in _objects(read):
        place = as_list(one.get("loc"))  # a longer one is within a parameter
        for name in (one.get("param"), *(place[-1:] if len(place) <= 2 else ())):
            if isinstance(name, str):
                yield name


def _texts(read: Json) -> Iterator[str]:
    """Yield the texts of a refusal, without the parts of the request that it repeats."""
    for one in _objects(read):
        for name in ("message", "msg", "detail", "error", "reason"):
            text = one.get(name)
            if isinstance(text, str):
                yield text


def _objects(read: Json, depth: int = _DEPTH) -> Iterator[Json]:
    """Yield an object of a refusal, and those within it."""
    yield read
    for name in ("error", "detail", "message", "errors") if depth else ():
        within = read.get(name)
        for one in as_list(within) or [within]:
            if as_object(one):
                yield from _objects(as_object(one), depth - 1)


def _names(text: str, name: str) -> bool:
    if name in _ORDINARY_WORDS:
        pattern = rf"['\"`]{name}['\"`]|\bsupport(s|ed|ing)? {name}\b"
    else:
        pattern = rf"(?<!\w){name}(?!\w)"
    return re.search(pattern, text, re.IGNORECASE) is not None
