"""The steps of a client on one stream, which can be compared by meaning.

A *step* is an input event without its names: `sessionStart`, `promptStart`, the start and the end
of the audio, the goodbye. The three or more events of a text or of a tool result are one step,
because a text may be cut into pieces anywhere. Audio is not a step: it flows between the steps, in
payloads of any length.

The names of the prompt and of the content blocks are left out, and the id of a tool call is
replaced by a label. JSON in strings (schemas of tools, results of tools) is read, so that the order
of its keys does not matter. Every other field counts, also one that is not known here.

Source: protocol reference, section 2.
"""

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..errors import WireError
from ..wire import ToolUse, decode_output
from ..wire.payload import Body, decode_event, pcm_field

TEXT_WIDTH = 88
"""Maximum length of a line of a long text in a diff, in characters."""

MAX_DEPTH = 64
"""Maximum depth of JSON that is compared field by field; deeper values are compared whole."""

_NAMES = frozenset({"promptName", "contentName"})
_JSON_STRINGS = frozenset({"json"})
"""Names of fields whose value is JSON in a string."""


@dataclass(frozen=True, slots=True)
class ClientStep:
    """One step of the client, without names."""

    kind: str
    """`sessionStart`, `promptStart`, `text`, `audioStart`, `toolResult`, `audioEnd`, `promptEnd`,
    `sessionEnd`, or the name of an unknown event."""
    title: str
    """The step in words, such as `the result of check_order`."""
    fields: tuple[tuple[str, str], ...]
    """Path and JSON value of each field, sorted by path."""
    audio_bytes: int = 0
    """PCM that was sent on the stream before the step, in bytes."""

    @property
    def meaning(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The kind and the fields, which are equal in two steps that mean the same."""
        return self.kind, self.fields

    @property
    def lines(self) -> list[str]:
        """The step as lines of a diff: its kind, then a line for each field, long texts in more."""
        lines = [self.kind]
        for path, value in self.fields:
            if len(value) <= TEXT_WIDTH and "\n" not in value:
                lines.append(f"  {path}: {value}")
                continue
            lines.append(f"  {path}:")
            for line in value.splitlines():
                pieces = textwrap.wrap(line, TEXT_WIDTH, break_on_hyphens=False) or [""]
                lines.extend(f"    {piece}" for piece in pieces)
        return lines


@dataclass(slots=True)
class _OpenBlock:
    """A text or a tool result whose end has not come."""

    start: Body
    audio_bytes: int
    content: str = ""


class StepReader:
    """A reader of the payloads of one stream, in the order in which they are sent.

    Args:
        label: Returns the label of a tool call for its id.
        words: Whether steps have the words of texts and the results of tools. A redacted tape has
            filler in their place.
    """

    def __init__(self, label: Callable[[str], str], *, words: bool = True) -> None:
        self._label = label
        self._words = words
        self._open: dict[str, _OpenBlock] = {}
        self._audio_block: str | None = None
        self.audio_bytes = 0
        """PCM that was read so far, in bytes."""
        self.rate_hz = 16_000
        """Sample rate of the audio, in Hz, as its block said."""

    def read(self, payload: bytes) -> ClientStep | bytes | None:
        """Read one payload.

        Args:
            payload: The UTF-8 JSON of one input event.

        Returns:
            The step that is now complete, the PCM of an audio event, or None if the payload is a
            part of a text or a tool result that is not complete.
        """
        try:
            name, body = decode_event(payload)
        except WireError:
            text = payload.decode(errors="backslashreplace")
            return self._step("payload", "a payload that is no event", {"text": text})
        match name:
            case "audioInput":
                return self._audio(body)
            case "contentStart":
                return self._start(body)
            case "textInput" | "toolResult":
                return self._content(name, body)
            case "contentEnd":
                return self._end(body)
            case _:
                return self._step(name, name, body)

    def _audio(self, body: Body) -> ClientStep | bytes:
        try:
            pcm = pcm_field(body)
        except (KeyError, TypeError, ValueError):
            return self._step("audioInput", "an audioInput that cannot be read", body)
        self.audio_bytes += len(pcm)
        return pcm

    def _start(self, body: Body) -> ClientStep | None:
        name = _name(body)
        if body.get("type") == "AUDIO":
            self._audio_block = name
            self.rate_hz = _rate_hz(body) or self.rate_hz
            return self._step("audioStart", "the start of the audio", body)
        self._open[name] = _OpenBlock(body, self.audio_bytes)
        return None

    def _content(self, name: str, body: Body) -> ClientStep | None:
        content = body.get("content")
        block = self._open.get(_name(body))
        if block is None or not isinstance(content, str):
            return self._step(name, f"a {name} outside of a block", body)
        block.content += content
        return None

    def _end(self, body: Body) -> ClientStep:
        name = _name(body)
        block = self._open.pop(name, None)
        if block is not None:
            return self._block(block)
        if name == self._audio_block:
            return self._step("audioEnd", "the end of the audio", body)
        return self._step("contentEnd", "the end of a block that is not open", body)

    def _block(self, block: _OpenBlock) -> ClientStep:
        start = block.start
        if start.get("type") == "TOOL":
            configuration = start.get("toolResultInputConfiguration")
            details = cast(Body, configuration) if isinstance(configuration, dict) else {}
            label = self._label(str(details.get("toolUseId", "")))
            body = start | {"toolResultInputConfiguration": details | {"toolUseId": label}}
            content = {"content": _parsed(block.content)} if self._words else {}
            return self._step("toolResult", f"the result of {label}", body | content, block)
        title = _TEXT_TITLES.get(str(start.get("role")), "a text")
        if start.get("role") in ("USER", "ASSISTANT"):
            title = "a text of the user" if start.get("interactive") is True else title
        content = {"content": block.content} if self._words else {}
        return self._step("text", title, start | content, block)

    def _step(
        self, kind: str, title: str, body: Mapping[str, Any], block: _OpenBlock | None = None
    ) -> ClientStep:
        fields = dict(_flattened(body, "", 0))
        at = self.audio_bytes if block is None else block.audio_bytes
        return ClientStep(kind, title, tuple(sorted(fields.items())), at)


_TEXT_TITLES = {
    "SYSTEM": "the system prompt",
    "SYSTEM_SPEECH": "the instruction for scripts",
    "USER": "a message of the history",
    "ASSISTANT": "a message of the history",
}


class CallLabels:
    """Labels of tool calls: name, arguments, and a number if they are called again.

    A call that is not known is labelled by its place among the unknown calls, so that other ids
    give the same labels.
    """

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._unknown = 0

    def add(self, payload: bytes) -> None:
        """Add the tool call in a payload of the service, if it has one.

        Args:
            payload: The UTF-8 JSON of one output event.
        """
        call = tool_call(payload)
        if call is None or call.tool_use in self._labels:
            return
        label = f"{call.name}({_canonical(_parsed(call.arguments_json))})"
        same = sum(known.partition(" #")[0] == label for known in self._labels.values())
        self._labels[call.tool_use] = f"{label} #{same + 1}" if same else label

    def __call__(self, tool_use: str) -> str:
        """Return the label of a call.

        Args:
            tool_use: Its id.
        """
        if tool_use not in self._labels:
            self._unknown += 1
            self._labels[tool_use] = f"call {self._unknown}"
        return self._labels[tool_use]


def tool_call(payload: bytes) -> ToolUse | None:
    """Return the tool call in a payload of the service, or None if it has none.

    Args:
        payload: The UTF-8 JSON of one output event.
    """
    if b'"toolUse"' not in payload:
        return None
    try:
        record = decode_output(payload)
    except WireError:
        return None
    return record if isinstance(record, ToolUse) else None


def labels_of(received: Iterable[bytes]) -> CallLabels:
    """Return the labels of the tool calls in payloads of the service.

    Args:
        received: The payloads, in order.
    """
    labels = CallLabels()
    for payload in received:
        labels.add(payload)
    return labels


def _name(body: Body) -> str:
    return str(body.get("contentName", ""))


def _rate_hz(body: Body) -> int:
    audio = body.get("audioInputConfiguration")
    rate = cast(Body, audio).get("sampleRateHertz") if isinstance(audio, dict) else None
    return rate if isinstance(rate, int) and rate > 0 else 0


def _parsed(text: str) -> Any:
    """Return the value of JSON, or the text itself if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _canonical(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        return "<nested too deeply>"


def _flattened(value: Any, path: str, depth: int) -> Iterable[tuple[str, str]]:
    """Yield path and JSON of every field of a value, without names."""
    if isinstance(value, dict) and value and depth < MAX_DEPTH:
        for key, item in cast(dict[str, Any], value).items():
            if depth == 0 and key in _NAMES:
                continue
            if key in _JSON_STRINGS and isinstance(item, str):
                item = _parsed(item)
            yield from _flattened(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list) and value and depth < MAX_DEPTH:
        for index, item in enumerate(cast(list[Any], value)):
            yield from _flattened(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, str) and path == "content":
        yield path, value
    elif path:
        yield path, _canonical(value)
