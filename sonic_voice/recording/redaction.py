"""Redaction: a tape that can be shown to everybody, and still replays.

Replaced by something of the same length: sound by silence; prompts, transcripts, arguments and
results of tools by filler; ids by other ids (`filler`). Kept: the order and the times of
everything, the names of events and of tools, models, voices, formats, numbers of tokens, offsets,
and the kinds of errors.

A string is kept only where a table says so. What the service may add tomorrow is replaced.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from ..events import PLANNED_RENEWALS
from .filler import Filler, compact, parsed
from .records import (
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeHeader,
    TapeRecord,
)

ID_KEYS = frozenset(
    "promptName contentName contentId completionId sessionId toolUseId tool_use".split()
)
"""Names of the members that are ids."""

KEPT_KEYS = frozenset(
    """
    type role stopReason mediaType encoding audioType voiceId generationStage
    endpointingSensitivity toolName stage sign kind model region voice history_policy script mode
    endpointing then
    """.split()
)
"""Names of the members whose strings are words of the protocol or of the configuration."""

SOUND_EVENTS = frozenset({"audioInput", "audioOutput"})
"""Names of the events whose content is sound."""

JSON_KEYS = frozenset({"arguments_json", "result_json", "content"})
"""Names of the members that are JSON as a string, or words."""

SCHEMA_KEYS = frozenset({"schema", "inputSchema"})
"""Names of the members that have a JSON schema, as an object or as a string in `json`."""

TOOL_PARENTS = frozenset({"toolSpec", "tool", "tools", "tool_choice"})
"""Names of the members whose `name` is that of a tool."""

TOOL_EVENTS = ("ToolCall", "ToolProgress", "PictureShown", "ToolHeld", "ToolAnswered")
"""Events whose field `name` is that of a tool, which is kept like the names of tools elsewhere."""


def redacted_tape(tape: Tape) -> Tape:
    """Return a tape without sound, words and ids of the original.

    Args:
        tape: The original. What is damaged in it is left out.
    """
    redactor = _Redactor(Filler(_ids(tape)))
    return Tape(redactor.header(tape.header), [redactor.record(record) for record in tape.records])


class _Redactor:
    def __init__(self, filler: Filler) -> None:
        self._filler = filler

    def header(self, header: TapeHeader) -> TapeHeader:
        config: Any = self._walk(dict(header.config), "config")
        return replace(header, config=config, redacted=True)

    def record(self, record: TapeRecord) -> TapeRecord:
        match record:
            case Sent() | Received():
                return replace(record, payload=self._payload(record.payload))
            case Played():
                return replace(record, pcm=bytes(len(record.pcm)))
            case SessionEvent():
                return replace(record, fields=self._event(record))
            case StreamEnded(_, _, error):
                kind, colon, message = error.partition(": ")
                text = self._filler.text(message if colon else kind)
                return replace(record, error=f"{kind}: {text}" if colon else text)
            case StreamOpened():
                return record

    def _payload(self, payload: bytes) -> bytes:
        text = payload.decode("utf-8", "replace")
        outer = parsed(text)
        if not isinstance(outer, dict):
            return self._filler.text(text).encode()
        return compact(self._walk(outer, "")).encode("utf-8", "replace")

    def _event(self, event: SessionEvent) -> Mapping[str, Any]:
        fields = dict(event.fields)
        kept: dict[str, Any] = {}
        if event.name in TOOL_EVENTS and isinstance(fields.get("name"), str):
            kept["name"] = fields["name"]
        if event.name == "Renewed" and fields.get("reason") in PLANNED_RENEWALS:
            kept["reason"] = fields["reason"]
        return {**cast(dict[str, Any], self._walk(fields, "")), **kept}

    def _walk(self, value: Any, key: str, parent: str = "") -> Any:
        """Return a JSON value with filler.

        Args:
            value: The value.
            key: Name of the member that it is.
            parent: Name of the member that contains this one.
        """
        if isinstance(value, list):
            return [self._walk(item, key, parent) for item in cast(list[Any], value)]
        if isinstance(value, str):
            return self._string(value, key, parent)
        if not isinstance(value, dict):
            return value
        if key == "schema":
            return self._filler.schema(value)
        members = cast(dict[str, Any], value)
        return {name: self._walk(member, name, key) for name, member in members.items()}

    def _string(self, text: str, key: str, parent: str) -> str:
        if key in ID_KEYS:
            return self._filler.id(text)
        if key in KEPT_KEYS or (key == "name" and parent in TOOL_PARENTS):
            return text
        if key == "content" and parent in SOUND_EVENTS:
            return silence_of(text)
        if parent == "inputSchema":
            schema = parsed(text)
            if isinstance(schema, dict):
                return compact(self._filler.schema(schema))
        if key == "additionalModelFields" and _is_stage(text):
            return text
        if key in JSON_KEYS:
            return text if _is_interruption(text) else self._filler.json_text(text)
        return self._filler.text(text)


def _ids(tape: Tape) -> Iterator[str]:
    """Yield all ids of a tape."""
    for record in tape.records:
        match record:
            case Sent() | Received():
                # Payloads with sound share their ids with the block that they belong to.
                yield from _ids_in(parsed(record.payload.decode("utf-8", "replace")))
            case SessionEvent(_, _, fields):
                yield from _ids_in(dict(fields))
            case _:
                pass


def _ids_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _ids_in(item)
    elif isinstance(value, dict):
        for key, member in cast(dict[str, Any], value).items():
            if key in ID_KEYS and isinstance(member, str):
                yield member
            else:
                yield from _ids_in(member)


def silence_of(content: str) -> str:
    """Return silence as base64, of the length of other base64."""
    padding = len(content) - len(content.rstrip("="))
    silence = b64encode(bytes(max(0, len(content) // 4 * 3 - padding))).decode()
    return silence if len(silence) == len(content) else "A" * len(content)


def _is_stage(text: str) -> bool:
    match parsed(text):
        case {"generationStage": "SPECULATIVE" | "FINAL", **rest}:
            return not rest
        case _:
            return False


def _is_interruption(text: str) -> bool:
    """Return whether a text is the marker of a barge-in, which is no words of anybody."""
    value = parsed(text) if "interrupted" in text else None
    return value == {"interrupted": True}
