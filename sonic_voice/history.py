"""Chat history: put into the order and the sizes the service accepts.

The rules (protocol reference 2.9, 0.4): history is sent once, whole, before any audio; it begins
with the user; roles alternate; one `textInput` and the whole have limits. Text is cut at 1,000
bytes on UTF-8 boundaries, which every version of the service takes; the pieces of one message
go into one content block and are joined there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from .catalog import Limits
from .errors import ConfigError

Role = Literal["USER", "ASSISTANT"]
HistoryPolicy = Literal["error", "trim"]

CHUNK_BYTES = 1000
"""Largest `textInput` that every version of the service takes (reference 2.5)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One side's words in an earlier conversation."""

    role: Role
    text: str


def normalise(
    history: Iterable[Message], limits: Limits, policy: HistoryPolicy = "error"
) -> tuple[Message, ...]:
    """`history` as the service takes it: USER first, neighbours merged, blanks gone, in limits.

    With `policy` `"trim"` the oldest messages go until the rest fits; with `"error"` a history
    over the limits raises `ConfigError`. One message alone over its own limit always raises:
    cutting what somebody said would change it.
    """
    if policy not in ("error", "trim"):
        raise ConfigError(f"history_policy is error or trim, not {policy!r}.")
    merged = _merge(history)
    for message in merged:
        size = len(encoded(message.text, "A message of the history"))
        if size > limits.history_message_bytes:
            raise ConfigError(
                f"A message of the history has {size} bytes ({message.text[:40]!r}...); "
                f"{limits.history_message_bytes} are the limit.",
                hint="Summarise it. Neighbours of one role count as one message.",
            )
    if fits(merged, limits):
        return tuple(merged)
    if policy == "error":
        raise ConfigError(
            f"The history has {len(merged)} messages and {total_bytes(merged)} bytes; "
            f"{limits.history_messages} and {limits.history_bytes} are the limits.",
            hint='Send less of it, or set history_policy="trim" to drop the oldest.',
        )
    while not fits(merged, limits):
        merged = _merge(merged[1:])
    return tuple(merged)


def encoded(text: str, what: str) -> bytes:
    """`text` in UTF-8; `ConfigError` naming `what` if it has half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what} is no valid Unicode at character {error.start}.",
            hint="Decode it with errors='replace'.",
        ) from error


def total_bytes(history: Iterable[Message]) -> int:
    """Bytes of all texts in UTF-8."""
    return sum(len(message.text.encode()) for message in history)


def fits(history: list[Message], limits: Limits) -> bool:
    """Whether a normalised history is within the service's limits."""
    return len(history) <= limits.history_messages and total_bytes(history) <= limits.history_bytes


def _merge(history: Iterable[Message]) -> list[Message]:
    merged: list[Message] = []
    for message in history:
        if message.role not in ("USER", "ASSISTANT"):
            raise ConfigError(
                f"The history has the role {message.role!r}.", hint="USER or ASSISTANT."
            )
        if not message.text.strip():
            continue
        if merged and merged[-1].role == message.role:
            merged[-1] = Message(message.role, f"{merged[-1].text}\n{message.text}")
        elif merged or message.role == "USER":
            merged.append(message)
    return merged


def chunks(text: str, limit_bytes: int = CHUNK_BYTES) -> Iterator[str]:
    """`text` in pieces of at most `limit_bytes` of UTF-8, cut between characters.

    Joined they are `text` again. Cuts after a space where one stands in the second half.
    """
    data = text.encode()
    start = 0
    while len(data) - start > limit_bytes:
        end = start + limit_bytes
        while data[end] & 0xC0 == 0x80:  # inside a character: step back to its first byte
            end -= 1
        space = data.rfind(b" ", start + limit_bytes // 2, end)
        end = space + 1 if space > 0 else end
        yield data[start:end].decode()
        start = end
    if start < len(data):
        yield data[start:].decode()
