"""Chat history, in the order and the sizes that the service accepts.

The rules (protocol reference 2.9, 0.4): history is sent once, as a whole, before any audio; it
begins with the user; roles alternate; one `textInput` and the whole history have limits. Text is
cut into pieces of 1,000 bytes on UTF-8 boundaries, which every version of the service accepts. The
pieces of one message are sent in one content block, in which the service joins them.

A history in which the assistant speaks first, for example with a greeting, keeps these words: the
USER message `ASSISTANT_FIRST` is put before them. Without the greeting, the user's reply to it
would make no sense. Two alternatives were rejected. In the system prompt, the words would be an
instruction and not something that was said. An error would refuse the most usual beginning of a
telephone call. LiveKit's client also sends a USER message of this kind (reference 7).

The policy `"trim"` never raises because of a size. The oldest words are dropped first:

1. A message over its own limit loses its beginning, up to the start of a sentence if one is near
   enough, else up to the start of a word. The rest is unchanged and follows an ellipsis.
2. The oldest messages are dropped until the rest fits, together with answers whose question was
   dropped.
3. A single message that exceeds the limit of the whole history is shortened as in 1.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from .catalog import ModelLimits
from .errors import ConfigError

Role = Literal["USER", "ASSISTANT"]
HistoryPolicy = Literal["error", "trim"]

CHUNK_BYTES = 1000
"""Size of the largest `textInput` that every version of the service accepts, in bytes of UTF-8
(reference 2.5)."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of an earlier conversation: the words of one side."""

    role: Role
    text: str


ASSISTANT_FIRST = "[The assistant speaks first.]"
"""The USER message before a history that begins with the assistant. It stands in brackets because
the user did not say it. It is English in every language of the conversation, because it is a stage
direction that is never heard."""

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS} "
"""Text before the rest of a message whose beginning was cut off."""

_SENTENCE_START = re.compile(r"(?:[.!?…][\"'”’)]*\s+|\n\s*)(?=\S)")
_WORD_START = re.compile(r"\s+(?=\S)")


def normalise(
    history: Iterable[Message], limits: ModelLimits, policy: HistoryPolicy = "error"
) -> tuple[Message, ...]:
    """Return a history in the form that the service accepts; the module describes the changes.

    Args:
        history: Messages, the oldest first. Blank messages are left out, and neighbouring messages
            of one role are merged.
        limits: The limits of the model, in bytes of UTF-8 and in messages.
        policy: What to do with a history over a limit: raise (`"error"`), or shorten it (`"trim"`).

    Raises:
        ConfigError: An item of `history` is not a `Message` with text, the policy is unknown, or
            the policy is `"error"` and a message or the whole history is over a limit.
    """
    if policy not in ("error", "trim"):
        raise ConfigError(f"history_policy is error or trim, not {policy!r}.")
    merged = _begun_by_user(_merge(_checked(history)))
    if policy == "trim":
        return tuple(_trimmed(merged, limits))
    for message in merged:
        size = len(message.text.encode())
        if size > limits.history_message_bytes:
            raise ConfigError(
                f"A message of the history has {size} bytes ({message.text[:40]!r}...); "
                f"{limits.history_message_bytes} are the limit.",
                hint='Summarise it, or set history_policy="trim" to cut off its beginning. '
                "Neighbours of one role count as one message.",
            )
    if not fits(merged, limits):
        raise ConfigError(
            f"The history has {len(merged)} messages and {total_bytes(merged)} bytes; "
            f"{limits.history_messages} and {limits.history_bytes} are the limits.",
            hint='Send less of it, or set history_policy="trim" to drop the oldest.',
        )
    return tuple(merged)


def encoded(text: str, what: str) -> bytes:
    """Return a text in UTF-8.

    Args:
        text: The text.
        what: What it is, as the beginning of a sentence, for the message.

    Raises:
        ConfigError: The text has half a surrogate pair, which UTF-8 cannot encode.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what} is not valid Unicode at character {error.start}.",
            hint="Decode it with errors='replace'.",
        ) from error


def total_bytes(history: Iterable[Message]) -> int:
    """Return the size of all texts together, in bytes of UTF-8.

    Args:
        history: The messages.
    """
    return sum(len(message.text.encode()) for message in history)


def fits(history: list[Message], limits: ModelLimits) -> bool:
    """Return whether a history is within the limits of its number of messages and its total size.

    Args:
        history: Normalised messages.
        limits: The limits of the model.
    """
    return len(history) <= limits.history_messages and total_bytes(history) <= limits.history_bytes


def _checked(history: Iterable[Message]) -> Iterator[Message]:
    """Yield each message of `history`.

    Raises:
        ConfigError: `history` is not iterable, or an item is not a valid `Message`.
    """
    given: object = history  # applications that are not type-checked may pass anything
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise ConfigError(
            f"The history is a {type(given).__name__}, not a sequence of messages.",
            hint=_WRITE_MESSAGES,
        )
    for number, item in enumerate(cast(Iterable[object], given), 1):
        if not isinstance(item, Message):
            raise ConfigError(
                f"Message {number} of the history is a {type(item).__name__}: {_short(item)}.",
                hint=_WRITE_MESSAGES,
            )
        if item.role not in ("USER", "ASSISTANT"):
            raise ConfigError(
                f"Message {number} of the history has the role {item.role!r}.",
                hint="USER or ASSISTANT.",
            )
        if not isinstance(cast(object, item.text), str):
            raise ConfigError(
                f"The text of message {number} of the history is a {type(item.text).__name__}.",
                hint=_WRITE_MESSAGES,
            )
        encoded(item.text, "A message of the history")
        yield item


_WRITE_MESSAGES = 'Write it as [Message("USER", "Hello."), Message("ASSISTANT", "Hi!")].'


def _short(item: object) -> str:
    text = repr(item)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _merge(history: Iterable[Message]) -> list[Message]:
    merged: list[Message] = []
    for message in history:
        if not message.text.strip():
            continue
        if merged and merged[-1].role == message.role:
            merged[-1] = Message(message.role, f"{merged[-1].text}\n{message.text}")
        else:
            merged.append(message)
    return merged


def _begun_by_user(merged: list[Message]) -> list[Message]:
    if merged and merged[0].role == "ASSISTANT":
        return [Message("USER", ASSISTANT_FIRST), *merged]
    return merged


def _trimmed(merged: list[Message], limits: ModelLimits) -> list[Message]:
    most = limits.history_message_bytes
    kept = [Message(message.role, _shortened(message.text, most)) for message in merged]
    while len(kept) > 1 and not fits(kept, limits):
        gone = 2 if len(kept) > 2 and kept[1].role == "ASSISTANT" else 1
        kept = kept[gone:]
    kept = _begun_by_user(kept)
    if not fits(kept, limits):
        most = limits.history_bytes - total_bytes(kept[:-1])
        kept[-1] = Message(kept[-1].role, _shortened(kept[-1].text, most))
    return kept


def _shortened(text: str, limit_bytes: int) -> str:
    """Return the end of `text` in at most `limit_bytes` of UTF-8, including an ellipsis."""
    if len(text.encode()) <= limit_bytes:
        return text
    text = text.strip()
    room = max(0, limit_bytes - len(ELLIPSIS.encode()))
    tail = text.encode()[-room:] if room else b""
    rest = tail.decode(errors="ignore")  # leaves out a character that was cut
    for begin in (_SENTENCE_START, _WORD_START):
        found = begin.search(rest)
        if found is not None and found.end() <= len(rest) / 2:
            return ELLIPSIS + rest[found.end() :]
    return ELLIPSIS + rest.lstrip()


def chunks(text: str, limit_bytes: int = CHUNK_BYTES) -> Iterator[str]:
    """Yield a text in pieces, cut between characters; joined, they are the text again.

    A piece ends after a space if there is one in its second half.

    Args:
        text: The text.
        limit_bytes: Maximum size of a piece, in bytes of UTF-8.
    """
    data = text.encode()
    start = 0
    while len(data) - start > limit_bytes:
        end = start + limit_bytes
        while data[end] & 0xC0 == 0x80:  # a continuation byte: step back to the first byte
            end -= 1
        space = data.rfind(b" ", start + limit_bytes // 2, end)
        end = space + 1 if space > 0 else end
        yield data[start:end].decode()
        start = end
    if start < len(data):
        yield data[start:].decode()
