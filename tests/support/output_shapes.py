"""Shapes of single output events: the fields of each, and how much sound one holds.

The fields are those of the recordings (protocol reference 3.1 to 3.10): all that are listed, and no
other. Only `role` may be missing where a block has named it before (3.7): some recordings have it
there, and some have not. In a shape a mapping stands for exactly these keys, a tuple for one of its
members, a type for any value of it, and anything else for itself.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sonic_voice.catalog import VoiceModel
from sonic_voice.config import BYTES_PER_SAMPLE

_SPOKEN: dict[str, Any] = {"promptName": str, "sessionId": str}
"""Fields of all events."""
_COMPLETED = _SPOKEN | {"completionId": str}
"""Fields of all events of a completion."""
_IN_BLOCK = _COMPLETED | {"contentId": str}
"""Fields of all events of a content block."""
_TOKENS = {"speechTokens": int, "textTokens": int}
_COUNTS = {"input": _TOKENS, "output": _TOKENS}
_STAGE = ('{"generationStage":"FINAL"}', '{"generationStage":"SPECULATIVE"}')
_PCM = {
    "channelCount": 1,
    "encoding": "base64",
    "mediaType": "audio/lpcm",
    "sampleRateHertz": (8_000, 16_000, 24_000),
    "sampleSizeBits": 16,
}

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "usageEvent": _COMPLETED
    | {"details": {"delta": _COUNTS, "total": _COUNTS}}
    | {"totalInputTokens": int, "totalOutputTokens": int, "totalTokens": int},
    "completionStart": _COMPLETED,
    "completionEnd": _COMPLETED | {"stopReason": "END_TURN"},
    "userSpeechStart": _SPOKEN | {"inputAudioOffsetMs": int},
    "userSpeechEnd": _SPOKEN | {"inputAudioOffsetMs": int, "inputAudioDetectionOffsetMs": int},
    "contentStart TEXT": _IN_BLOCK
    | {"type": "TEXT", "role": ("USER", "ASSISTANT"), "additionalModelFields": _STAGE}
    | {"textOutputConfiguration": {"mediaType": "text/plain"}},
    "contentStart AUDIO": _IN_BLOCK
    | {"type": "AUDIO", "role": "ASSISTANT", "audioOutputConfiguration": _PCM},
    "contentStart TOOL": _IN_BLOCK
    | {"type": "TOOL", "role": "TOOL"}
    | {"toolUseOutputConfiguration": {"mediaType": "application/json"}},
    "textOutput": _IN_BLOCK | {"role": ("USER", "ASSISTANT"), "content": str},
    "audioOutput": _IN_BLOCK | {"role": "ASSISTANT", "content": str},
    "toolUse": _IN_BLOCK | {"role": "TOOL", "content": str, "toolName": str, "toolUseId": str},
    "contentEnd": _IN_BLOCK | {"type": ("TEXT", "AUDIO", "TOOL"), "stopReason": str},
}
"""Shape of each event, by its name; for `contentStart` also by its type."""

WITHOUT_ROLE = frozenset({"textOutput", "audioOutput", "toolUse"})
"""Names of the events whose `role` may be missing, because that of their block counts (3.7)."""


def is_compact(payload: bytes, event: Any) -> bool:
    """Return whether an event is written as the service writes it.

    It is compact JSON with the keys in alphabetical order (1.4).

    Args:
        payload: The event's bytes.
        event: The same event, parsed.
    """
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode() == payload


def misfits(name: str, body: Mapping[str, Any]) -> list[str]:
    """Return the differences between the body of an event and its shape.

    Args:
        name: Name of the event.
        body: Its body.
    """
    shape = f"{name} {body.get('type')}" if name == "contentStart" else name
    if shape not in SHAPES:
        return [f"there is no {shape}"]
    fields = SHAPES[shape]
    if shape in WITHOUT_ROLE and "role" not in body:
        fields = {key: value for key, value in fields.items() if key != "role"}
    return list(_misfits(shape, body, fields))


def _misfits(at: str, value: Any, shape: Any) -> Iterator[str]:
    if isinstance(shape, Mapping):
        fields = cast("Mapping[str, Any]", shape)
        found = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        for key in sorted(fields.keys() ^ found.keys()):
            yield f"{at} {'lacks' if key in fields else 'has'} {key}"
        for key in fields.keys() & found.keys():
            yield from _misfits(f"{at}.{key}", found[key], fields[key])
    elif isinstance(shape, type):
        if type(value) is not shape:
            yield f"{at} is {value!r}, not a {shape.__name__}"
    else:
        choices = cast("tuple[Any, ...]", shape if isinstance(shape, tuple) else (shape,))
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            yield f"{at} is {value!r}, not {' or '.join(map(repr, choices))}"


def holds_object(text: str) -> bool:
    """Return whether a text is a JSON object, or a JSON string that contains one (3.8).

    Args:
        text: The text.
    """
    try:
        value = json.loads(text)
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return False
    return isinstance(value, dict)


V1_CHUNK_MS = (40, 80)
"""Minimum and maximum of the sound in an event of a v1 model, in milliseconds."""
V2_CHUNK_MS = (79, 240)
"""Minimum and maximum of the sound in an event of a v2 model, in milliseconds. The last chunk of a
sentence and the tail after it may be shorter; the longest that was recorded was the last of its
answer."""
TAIL_BYTES = 32
"""Size of the tail after the last chunk of a sentence, in bytes."""


class ChunkSizeChecker:
    """A checker of the sizes of chunks of sound.

    Methods yield the name of a rule and what broke it.
    """

    def __init__(self, model: VoiceModel | None) -> None:
        self._least_ms, self._most_ms = V2_CHUNK_MS
        if model is None or not model.speech_events:
            self._least_ms = V1_CHUNK_MS[0]
        if model is not None and not model.speech_events:
            self._most_ms = V1_CHUNK_MS[1]
        self._rate_hz = 0
        self._last = False
        self.bytes = 0

    def begin(self, rate_hz: int) -> Iterator[tuple[str, str]]:
        """Begin a block of sound.

        Args:
            rate_hz: Its sample rate, in Hz.

        Yields:
            The name of a broken rule and how it is broken.
        """
        self._rate_hz = self._rate_hz or rate_hz
        if rate_hz != self._rate_hz:
            yield "sound", f"at {rate_hz} Hz after {self._rate_hz} Hz"
        self.bytes, self._last = 0, False

    def add(self, size: int) -> Iterator[tuple[str, str]]:
        """Check a chunk. One below the minimum is the last of its sentence, except for the tail.

        Args:
            size: Size of the chunk, in bytes.

        Yields:
            The name of a broken rule and how it is broken.
        """
        ms = size * 1000 // (self._rate_hz * BYTES_PER_SAMPLE)
        if not size or size % BYTES_PER_SAMPLE or ms > self._most_ms:
            yield "sound", f"a chunk of {size} bytes, {ms} ms"
        if self._last and size != TAIL_BYTES:
            yield "sound", f"{size} bytes after the last chunk"
        self._last = self._last or ms < self._least_ms
        self.bytes += size
