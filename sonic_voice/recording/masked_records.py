"""Records of a tape without personal data: texts are masked, and sound is silence.

A card number that is spoken is in the sound as much as in the text, and sound cannot be masked by
words. It is therefore replaced by silence of the same length, on both sides. Ids and the words of
the protocol are kept, so that the tape can still be read and replayed.
"""

import json
from dataclasses import replace
from typing import Any, cast

from ..masking import mask, mask_value
from .filler import compact, parsed
from .records import Played, Received, Sent, SessionEvent, StreamEnded, TapeHeader, TapeRecord
from .redaction import ID_KEYS, KEPT_KEYS, SOUND_EVENTS, silence_of

_KEPT = ID_KEYS | KEPT_KEYS | {"name"}
"""Names of the members that are no words of anybody."""


def masked_header(header: TapeHeader) -> TapeHeader:
    """Return a header with the personal data in the configuration masked.

    Args:
        header: The header.
    """
    config: Any = mask_value(json.loads(json.dumps(dict(header.config))), keep=_is_kept)
    return replace(header, config=config, redacted=True)


def masked_record(record: TapeRecord) -> TapeRecord:
    """Return a record with its personal data masked.

    Args:
        record: The record.
    """
    match record:
        case Sent() | Received():
            return replace(record, payload=_payload(record.payload))
        case Played():
            return replace(record, pcm=bytes(len(record.pcm)))
        case SessionEvent():
            return replace(record, fields=mask_value(dict(record.fields), keep=_is_kept))
        case StreamEnded():
            return replace(record, error=mask(record.error))
        case _:
            return record


def _payload(payload: bytes) -> bytes:
    text = payload.decode("utf-8", "replace")
    document = parsed(text)
    if not isinstance(document, dict):
        return mask(text).encode()
    event = _members(cast(dict[str, Any], document).get("event"))
    for name in SOUND_EVENTS & event.keys():
        body = _members(event[name])
        if isinstance(body.get("content"), str):
            body["content"] = silence_of(body["content"])
            return compact(document).encode("utf-8", "replace")
    return compact(mask_value(document, keep=_is_kept)).encode("utf-8", "replace")


def _members(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _is_kept(name: str) -> bool:
    return name in _KEPT
