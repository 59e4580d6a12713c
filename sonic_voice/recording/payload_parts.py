"""Payloads with sound, taken apart so that the sound can be compressed, and put together again.

    {"event":{"audioInput":{...,"content":"   UklGRg...   "}}}
    └──────────── prefix ─────────────────┘   base64      └suffix┘

Prefix and suffix are the *envelope*: nearly all payloads of a block of sound have the same one. A
payload is only taken apart if that restores it byte for byte.
"""

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from typing import NamedTuple

from ..config import BYTES_PER_SAMPLE
from .records import MAX_RATE_HZ

_NAME = re.compile(rb'^\s*\{\s*"event"\s*:\s*\{\s*"audio(?:Input|Output)"\s*:')
"""The beginning of a payload that carries sound, in either direction."""

_CONTENT = (b'"content":"', b'"content": "')
"""Beginnings of the member of such a payload that is the sound."""

_RATE = re.compile(rb'"sampleRateHertz"\s*:\s*([0-9]{4,6})')
"""The sample rate in the configuration of a block of sound."""

MAX_ENVELOPE_BYTES = 64 * 1024
"""Maximum size of an envelope, in bytes. It has names and ids only, 300 bytes of them."""

MAX_PIECE_BYTES = 1024 * 1024
"""Maximum size of the PCM of one payload that is taken apart, in bytes: 22 s at 24 kHz. The service
takes payloads of some KB."""


class Envelope(NamedTuple):
    """The text of a payload before and after its sound."""

    prefix: bytes
    suffix: bytes

    @property
    def size(self) -> int:
        """Its size, in bytes."""
        return len(self.prefix) + len(self.suffix)

    def payload(self, pcm: bytes) -> bytes:
        """Return the payload with this envelope.

        Args:
            pcm: Its sound.
        """
        return self.prefix + b2a_base64(pcm, newline=False) + self.suffix


def split_payload(payload: bytes, like: Envelope | None = None) -> tuple[Envelope, bytes] | None:
    """Return the envelope and the sound of a payload.

    Args:
        payload: The UTF-8 JSON of one event.
        like: An envelope that it probably has, that of the payload before; it saves half the time.

    Returns:
        Envelope and s16le PCM; None if the payload has no sound, or cannot be restored exactly.
    """
    if (
        like is not None
        and payload.startswith(like.prefix)
        and (parts := _split_at(payload, len(like.prefix), like)) is not None
    ):
        return parts
    if _NAME.match(payload) is None:
        return None
    for opening in _CONTENT:
        begin = payload.find(opening) + len(opening)
        if begin >= len(opening):
            return _split_at(payload, begin, None)
    return None


def _split_at(payload: bytes, begin: int, like: Envelope | None) -> tuple[Envelope, bytes] | None:
    """Return the parts of a payload whose sound begins at a position, if it has some there.

    Args:
        payload: The payload.
        begin: Position of the first character of base64.
        like: The envelope with the payload's prefix; None for any.
    """
    end = payload.find(b'"', begin)
    content = payload[begin:end]
    try:
        pcm = a2b_base64(content)
    except BinasciiError:
        return None
    if like is not None and payload[end:] == like.suffix:
        envelope = like
    else:
        envelope = Envelope(payload[:begin], payload[end:])
    fits = end > begin and envelope.size <= MAX_ENVELOPE_BYTES and len(pcm) <= MAX_PIECE_BYTES
    # What base64 overlooks, such as a character that is none of its own, shows here.
    if not fits or len(pcm) % BYTES_PER_SAMPLE or b2a_base64(pcm, newline=False) != content:
        return None
    return envelope, pcm


def announced_rate(payload: bytes) -> int | None:
    """Return the sample rate that a `contentStart` announces for a block of sound, in Hz.

    Args:
        payload: The UTF-8 JSON of one event.

    Returns:
        The rate; None if the payload announces none.
    """
    if b'"contentStart"' not in payload or (found := _RATE.search(payload)) is None:
        return None
    rate_hz = int(found[1])
    return rate_hz if rate_hz <= MAX_RATE_HZ else None
