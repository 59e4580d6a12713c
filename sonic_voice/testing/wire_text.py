"""The wire of a conversation as a text that is the same on every run: for failures and snapshots.

    stream 1
    -> sessionStart {"inferenceConfiguration":{"maxTokens":1024,"temperature":0.7,"topP":0.9}}
    -> audioInput 2.37 s
    <- toolUse {"content":{"city":"Paris"},"toolName":"weather","toolUseId":"toolUseId 1"}

Payloads of audio that follow each other are one line, with the length of their sound. Ids are
replaced by their field and a number in the order of their appearance in each direction (a service
that comes from a tape repeats the names of the tape's client). Counts of tokens are left out, and
content that is JSON in a string is shown as JSON. Nothing of the sound, no credentials and no time
of the wall clock is in it.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any, cast

from ..printable import printable_json

IDS = frozenset(
    "promptName contentName contentId sessionId promptId completionId toolUseId requestId".split()
)
"""Fields whose values are ids."""

_SOUND = frozenset({"audioInput", "audioOutput"})
_LEFT_OUT = frozenset({"usageEvent"})
_ARROWS = {"sent": "->", "received": "<-"}


class WireText:
    """A writer of the lines.

    Args:
        input_hz: Sample rate of the audio that was sent, in Hz.
        output_hz: Sample rate of the audio that was received, in Hz.
    """

    def __init__(self, input_hz: int, output_hz: int) -> None:
        self._rates_hz = {"sent": input_hz, "received": output_hz}
        self._ids: dict[tuple[str, str], str] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._direction = "sent"
        self._lines: list[str] = []
        self._sound_bytes: dict[tuple[int, str], int] = {}
        self._stream = 0

    def lines(self, payloads: Iterable[tuple[int, str, bytes]]) -> list[str]:
        """Return the lines of some payloads.

        Args:
            payloads: Number of the stream, `sent` or `received`, and UTF-8 JSON of the event.
        """
        for stream, direction, payload in payloads:
            ((name, body),) = json.loads(payload)["event"].items()
            if name in _SOUND:
                size = len(base64.b64decode(body["content"]))
                key = stream, direction
                self._sound_bytes[key] = self._sound_bytes.get(key, 0) + size
            elif name not in _LEFT_OUT:
                self._flush_sound()
                self._direction = direction
                self._add(stream, f"{_ARROWS[direction]} {name} {self._body(body)}".rstrip())
        self._flush_sound()
        return self._lines

    def _flush_sound(self) -> None:
        """Write the sound since the last other payload: one line for each stream and direction."""
        names = {"sent": "audioInput", "received": "audioOutput"}
        for (stream, direction), size in sorted(self._sound_bytes.items()):
            seconds = size / (2 * self._rates_hz[direction])
            self._add(stream, f"{_ARROWS[direction]} {names[direction]} {seconds:.2f} s")
        self._sound_bytes.clear()

    def _add(self, stream: int, line: str) -> None:
        if stream != self._stream:
            self._stream = stream
            self._lines.append(f"stream {stream}")
        self._lines.append(line)

    def _body(self, body: dict[str, Any]) -> str:
        return printable_json(self._stable(body)) if body else ""

    def _stable(self, value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            fields = sorted(cast(dict[str, Any], value).items())
            return {key: self._stable(inner, key) for key, inner in fields}
        if isinstance(value, list):
            return [self._stable(inner) for inner in cast(list[Any], value)]
        if isinstance(value, str):
            return self._id(field, value) if field in IDS else _unpacked(value)
        return value

    def _id(self, field: str, value: str) -> str:
        id, kind = (self._direction, value), (self._direction, field)
        if id not in self._ids:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._ids[id] = f"{field} {self._counts[kind]}"
        return self._ids[id]


def _unpacked(text: str) -> Any:
    """Return the value of a JSON object in a string, or the string itself."""
    if text[:1] not in "{[":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
