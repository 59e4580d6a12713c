"""The parts of the encoding that both directions share: the envelope of an event, and base64."""

import json
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Any, cast

from ..errors import WireError
from ..printable import encodable
from .codecs import decode_base64, encode_base64, load_json

# Media types of the wire.
PCM = "audio/lpcm"
TEXT = "text/plain"
JSON = "application/json"

LARGEST_NUMBER = 2**53
"""Largest magnitude of a number in an event, which every JSON reader can represent exactly."""

type Body = dict[str, Any]
"""The JSON object of an event, without its envelope."""


def encode_event(name: str, body: Body, *, sort: bool = False) -> bytes:
    """Return the payload of one event, as compact JSON.

    Args:
        name: Name of the event.
        body: Its body.
        sort: Whether keys are put into alphabetical order.
    """
    event = {"event": {name: body}}
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)
    # A lone surrogate is legal in a str and not in UTF-8; it must not end a conversation.
    return text.encode("utf-8", "replace")


def decode_event(payload: bytes) -> tuple[str, Body]:
    """Return the name and the body of the event in a payload.

    Args:
        payload: The UTF-8 JSON of one event.

    Raises:
        NoEventError: The JSON is not an event.
        WireError: The payload is not JSON, or its body is not an object.
    """
    try:
        outer = load_json(payload)
    except (ValueError, RecursionError) as error:
        raise WireError(f"payload is not JSON: {payload[:80]!r}") from error
    try:
        [(name, body)] = outer["event"].items()
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise NoEventError(f"payload holds no event: {payload[:80]!r}") from error
    if not name.isascii():
        name = encodable(name)
    if not isinstance(body, dict):
        raise WireError(f"{name} is not an object")
    return name, cast(Body, body)


class NoEventError(WireError):
    """JSON that is not `{"event":{"<name>":{...}}}`, for which the service has its own message."""


def decode_body[T](name: str, body: Body, decode: Callable[[Body], T]) -> T:
    """Return what a decoder makes of the body of an event.

    Args:
        name: Name of the event, for the message.
        body: Its body.
        decode: The decoder; it may raise any error of a missing or malformed field.

    Raises:
        WireError: The decoder failed.
    """
    try:
        return decode(body)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = encodable(f"{type(error).__name__}: {error}")
        raise WireError(f"{name} cannot be read: {reason}") from error


def text_field(body: Body, key: str) -> str:
    """Return a string of a body.

    Args:
        body: The body of an event.
        key: Name of the field.

    Raises:
        KeyError: The field is missing.
        TypeError: The field is not a string.
    """
    value = body[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is not a string")
    return value if value.isascii() else encodable(value)


def whole_number(value: Any) -> int:
    """Return a number from an event as an int.

    The size of JSON numbers is not limited, and a number above 1e308 cannot even be compared with
    seconds.

    Args:
        value: The JSON value.

    Raises:
        ValueError: The magnitude is larger than that of any count or offset (`LARGEST_NUMBER`).
    """
    number = int(value)
    if abs(number) > LARGEST_NUMBER:
        raise ValueError(f"a number of {number.bit_length()} bits")
    return number


def encode_pcm(pcm: bytes) -> str:
    """Return PCM in base64.

    Args:
        pcm: s16le mono PCM.
    """
    return encode_base64(pcm).decode("ascii")


def pcm_field(body: Body) -> bytes:
    """Return the PCM in the `content` of a body.

    Args:
        body: The body of an event.

    Raises:
        KeyError: The field is missing.
        TypeError: The field is not a string.
        ValueError: The string is not base64.
    """
    try:
        return decode_base64(body["content"])
    except Base64Error as error:
        raise ValueError("content is not base64") from error
