"""What both directions share: the envelope of one event, and base64."""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Any, cast

from ..errors import WireError

PCM = "audio/lpcm"
TEXT = "text/plain"
JSON = "application/json"

LARGEST_NUMBER = 2**53
"""Largest magnitude of a number that is taken from an event: what every JSON reader can hold."""

type Body = dict[str, Any]


def encode_event(name: str, body: Body, *, sort: bool = False) -> bytes:
    event = {"event": {name: body}}
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)
    # A lone surrogate is legal in a str and not in UTF-8; it must not end a conversation.
    return text.encode("utf-8", "replace")


def decode_event(payload: bytes) -> tuple[str, Body]:
    try:
        outer = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError(f"payload is not JSON: {payload[:80]!r}") from error
    event = cast(Body, outer).get("event") if isinstance(outer, dict) else None
    if not isinstance(event, dict) or len(cast(Body, event)) != 1:
        raise NoEventError(f"payload holds no event: {payload[:80]!r}")
    name, body = next(iter(cast(Body, event).items()))
    name = readable(name)
    if not isinstance(body, dict):
        raise WireError(f"{name} is not an object")
    return name, cast(Body, body)


class NoEventError(WireError):
    """JSON, but not `{"event":{"<name>":{...}}}`: the service has a message of its own for it."""


def decode_body[T](name: str, body: Body, decode: Callable[[Body], T]) -> T:
    try:
        return decode(body)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = readable(f"{type(error).__name__}: {error}")
        raise WireError(f"{name} cannot be read: {reason}") from error


def readable(text: str) -> str:
    """Return `text` with U+FFFD in place of each half of a surrogate pair.

    JSON can spell such halves; UTF-8 cannot, so a log or a terminal would refuse the whole line.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def text_field(body: Body, key: str) -> str:
    """Return the string `key` of `body`. Raises `KeyError` or `TypeError`."""
    value = body[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is not a string")
    return readable(value)


def whole_number(value: Any) -> int:
    """Return a number of the service's as an int. Raises for one no count or offset can have.

    JSON numbers have no limit here, and above 1e308 one cannot even be compared with seconds.
    """
    number = int(value)
    if abs(number) > LARGEST_NUMBER:
        raise ValueError(f"a number of {number.bit_length()} bits")
    return number


def encode_pcm(pcm: bytes) -> str:
    return b64encode(pcm).decode("ascii")


def pcm_field(body: Body) -> bytes:
    try:
        return b64decode(text_field(body, "content"), validate=True)
    except Base64Error as error:
        raise ValueError("content is not base64") from error
