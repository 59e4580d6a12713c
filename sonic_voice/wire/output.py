"""Output events, service to client: records, encoder, decoder (protocol reference, section 3)."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ..printable import encodable
from .payload import (
    JSON,
    PCM,
    TEXT,
    Body,
    decode_body,
    decode_event,
    encode_event,
    encode_pcm,
    pcm_field,
    text_field,
    whole_number,
)

type Stage = Literal["SPECULATIVE", "FINAL"]
"""Stage of a text of the model: as planned, or as spoken."""


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids that every output event carries."""

    session: str = ""
    prompt: str = ""
    completion: str = ""
    """Id of the completion; empty on `userSpeechStart` and `userSpeechEnd`."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Numbers of tokens. One speech token is 40 ms of audio (reference 9.1)."""

    speech_in: int = 0
    text_in: int = 0
    speech_out: int = 0
    text_out: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.speech_in + other.speech_in,
            self.text_in + other.text_in,
            self.speech_out + other.speech_out,
            self.text_out + other.text_out,
        )


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """`usageEvent`, a count of tokens."""

    ids: Ids
    delta: Tokens
    """Tokens of this step."""
    total: Tokens
    """Tokens of the session so far."""


@dataclass(frozen=True, slots=True)
class CompletionStart:
    """`completionStart`, which comes once for a prompt, at its first turn."""

    ids: Ids


@dataclass(frozen=True, slots=True)
class UserSpeechStart:
    """`userSpeechStart`: the user began to speak (v2 and later)."""

    ids: Ids
    offset_ms: int
    """Position in the audio received at which the user began, in ms."""


@dataclass(frozen=True, slots=True)
class UserSpeechEnd:
    """`userSpeechEnd`: the user has finished (v2 and later)."""

    ids: Ids
    offset_ms: int
    """Position in the audio received at which the user finished, in ms."""
    detected_ms: int
    """Position in the audio received at which the service noticed it, in ms."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """`contentStart` of a transcript or of the text of an answer."""

    ids: Ids
    content_id: str
    role: str
    stage: Stage | None
    """Stage of the text; None if the event has none."""


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """`contentStart` of the sound of an answer."""

    ids: Ids
    content_id: str
    rate_hz: int
    """Sample rate of the sound, in Hz."""


@dataclass(frozen=True, slots=True)
class ToolBlock:
    """`contentStart` of a tool call."""

    ids: Ids
    content_id: str


@dataclass(frozen=True, slots=True)
class TextOutput:
    """A `textOutput` of a text block. In all recorded streams, each block has one."""

    ids: Ids
    content_id: str
    text: str
    role: str = ""

    @property
    def is_interruption(self) -> bool:
        """True if the text is the barge-in marker: a JSON object with `interrupted` true."""
        if "interrupted" not in self.text:
            return False
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and cast(Body, found).get("interrupted") is True


@dataclass(frozen=True, slots=True)
class AudioOutput:
    """An `audioOutput` of an audio block."""

    ids: Ids
    content_id: str
    pcm: bytes
    """s16le mono PCM at the rate of the block."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A `toolUse`: the model calls a tool."""

    ids: Ids
    content_id: str
    tool_use: str
    """Id of the call."""
    name: str
    """Name of the tool."""
    arguments_json: str
    """Arguments: a JSON object as a string, sometimes encoded twice."""


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """`contentEnd` of the service, which closes one of its blocks."""

    ids: Ids
    content_id: str
    kind: str
    """Type of the block: `TEXT`, `AUDIO` or `TOOL`."""
    stop: str
    """Reason of the end: `PARTIAL_TURN`, `END_TURN`, `INTERRUPTED` or `TOOL_USE`."""


@dataclass(frozen=True, slots=True)
class CompletionEnd:
    """`completionEnd`, which follows our `promptEnd`. It never comes during a conversation."""

    ids: Ids
    stop: str = "END_TURN"


@dataclass(frozen=True, slots=True)
class UnknownOutput:
    """An output event with an unknown name or shape. The service adds names without notice."""

    name: str
    body: Body = field(default_factory=lambda: cast(Body, {}))


type Output = (
    UsageEvent
    | CompletionStart
    | UserSpeechStart
    | UserSpeechEnd
    | TextBlock
    | AudioBlock
    | ToolBlock
    | TextOutput
    | AudioOutput
    | ToolUse
    | BlockEnd
    | CompletionEnd
    | UnknownOutput
)


def encode_output(record: Output) -> bytes:
    """Return the payload of one output event: compact, keys in alphabetical order (reference 1.4).

    Args:
        record: The event.
    """
    name, body = _OUTPUT_BODY[type(record)](record)
    return encode_event(name, body, sort=True)


def decode_output(payload: bytes) -> Output:
    """Return the output event in a payload.

    Unknown names and unknown types of `contentStart` become `UnknownOutput`; unknown keys are
    ignored.

    Args:
        payload: The UTF-8 JSON of one event.

    Raises:
        WireError: The payload is not an event, or lacks a field that its name requires.
    """
    name, body = decode_event(payload)
    decode = _DECODE_OUTPUT.get(name)
    return decode_body(name, body, decode) if decode else UnknownOutput(name, body)


def _ids_body(ids: Ids) -> Body:
    body = {"promptName": ids.prompt, "sessionId": ids.session}
    return body | {"completionId": ids.completion} if ids.completion else body


def _block_body(r: Any, kind: str, role: str, extra: Body) -> Body:
    return _ids_body(r.ids) | {"contentId": r.content_id, "type": kind, "role": role} | extra


def _tokens_body(t: Tokens) -> Body:
    return {
        "input": {"speechTokens": t.speech_in, "textTokens": t.text_in},
        "output": {"speechTokens": t.speech_out, "textTokens": t.text_out},
    }


def _usage_body(r: UsageEvent) -> Body:
    total_in = r.total.speech_in + r.total.text_in
    total_out = r.total.speech_out + r.total.text_out
    return _ids_body(r.ids) | {
        "details": {"delta": _tokens_body(r.delta), "total": _tokens_body(r.total)},
        "totalInputTokens": total_in,
        "totalOutputTokens": total_out,
        "totalTokens": total_in + total_out,
    }


def _text_block_body(r: TextBlock) -> Body:
    extra: Body = {"textOutputConfiguration": {"mediaType": TEXT}}
    if r.stage is not None:
        stage = json.dumps({"generationStage": r.stage}, separators=(",", ":"))
        extra["additionalModelFields"] = stage
    return _block_body(r, "TEXT", r.role, extra)


def _audio_block_body(r: AudioBlock) -> Body:
    audio: Body = {
        "channelCount": 1,
        "encoding": "base64",
        "mediaType": PCM,
        "sampleRateHertz": r.rate_hz,
        "sampleSizeBits": 16,
    }
    return _block_body(r, "AUDIO", "ASSISTANT", {"audioOutputConfiguration": audio})


def _content_body(r: Any, role: str, content: str, **extra: Any) -> Body:
    return _ids_body(r.ids) | {"contentId": r.content_id, "role": role, "content": content} | extra


_OUTPUT_BODY: dict[type, Callable[[Any], tuple[str, Body]]] = {
    UsageEvent: lambda r: ("usageEvent", _usage_body(r)),
    CompletionStart: lambda r: ("completionStart", _ids_body(r.ids)),
    UserSpeechStart: lambda r: (
        "userSpeechStart",
        _ids_body(r.ids) | {"inputAudioOffsetMs": r.offset_ms},
    ),
    UserSpeechEnd: lambda r: (
        "userSpeechEnd",
        _ids_body(r.ids)
        | {"inputAudioOffsetMs": r.offset_ms, "inputAudioDetectionOffsetMs": r.detected_ms},
    ),
    TextBlock: lambda r: ("contentStart", _text_block_body(r)),
    AudioBlock: lambda r: ("contentStart", _audio_block_body(r)),
    ToolBlock: lambda r: (
        "contentStart",
        _block_body(r, "TOOL", "TOOL", {"toolUseOutputConfiguration": {"mediaType": JSON}}),
    ),
    TextOutput: lambda r: ("textOutput", _content_body(r, r.role, r.text)),
    AudioOutput: lambda r: ("audioOutput", _content_body(r, "ASSISTANT", encode_pcm(r.pcm))),
    ToolUse: lambda r: (
        "toolUse",
        _content_body(r, "TOOL", r.arguments_json, toolName=r.name, toolUseId=r.tool_use),
    ),
    BlockEnd: lambda r: (
        "contentEnd",
        _ids_body(r.ids) | {"contentId": r.content_id, "type": r.kind, "stopReason": r.stop},
    ),
    CompletionEnd: lambda r: ("completionEnd", _ids_body(r.ids) | {"stopReason": r.stop}),
    UnknownOutput: lambda r: (r.name, r.body),
}


def _ids(b: Body) -> Ids:
    return Ids(
        str(b.get("sessionId", "")), str(b.get("promptName", "")), str(b.get("completionId", ""))
    )


def _tokens(b: Body) -> Tokens:
    come, go = b.get("input", {}), b.get("output", {})
    return Tokens(
        whole_number(come.get("speechTokens", 0)),
        whole_number(come.get("textTokens", 0)),
        whole_number(go.get("speechTokens", 0)),
        whole_number(go.get("textTokens", 0)),
    )


def _decode_usage(b: Body) -> UsageEvent:
    details = b.get("details", {})
    return UsageEvent(_ids(b), _tokens(details.get("delta", {})), _tokens(details.get("total", {})))


def _decode_block(b: Body) -> Output:
    match b.get("type"):
        case "TEXT":
            return TextBlock(_ids(b), text_field(b, "contentId"), text_field(b, "role"), _stage(b))
        case "AUDIO":
            rate = b.get("audioOutputConfiguration", {}).get("sampleRateHertz", 0)
            return AudioBlock(_ids(b), text_field(b, "contentId"), whole_number(rate))
        case "TOOL":
            return ToolBlock(_ids(b), text_field(b, "contentId"))
        case _:
            return UnknownOutput("contentStart", b)


def _stage(b: Body) -> Stage | None:
    """Return the stage in `additionalModelFields`, a string that holds JSON (reference 3.5)."""
    try:
        stage = json.loads(b.get("additionalModelFields") or "{}").get("generationStage")
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None
    return stage if stage in ("SPECULATIVE", "FINAL") else None


_DECODE_OUTPUT: dict[str, Callable[[Body], Output]] = {
    "usageEvent": _decode_usage,
    "completionStart": lambda b: CompletionStart(_ids(b)),
    "userSpeechStart": lambda b: UserSpeechStart(_ids(b), whole_number(b["inputAudioOffsetMs"])),
    "userSpeechEnd": lambda b: UserSpeechEnd(
        _ids(b),
        whole_number(b["inputAudioOffsetMs"]),
        whole_number(b["inputAudioDetectionOffsetMs"]),
    ),
    "contentStart": _decode_block,
    "textOutput": lambda b: TextOutput(
        _ids(b),
        text_field(b, "contentId"),
        text_field(b, "content"),
        encodable(str(b.get("role", ""))),
    ),
    "audioOutput": lambda b: AudioOutput(_ids(b), text_field(b, "contentId"), pcm_field(b)),
    "toolUse": lambda b: ToolUse(
        _ids(b),
        text_field(b, "contentId"),
        text_field(b, "toolUseId"),
        text_field(b, "toolName"),
        text_field(b, "content"),
    ),
    "contentEnd": lambda b: BlockEnd(
        _ids(b), text_field(b, "contentId"), str(b.get("type", "")), str(b.get("stopReason", ""))
    ),
    "completionEnd": lambda b: CompletionEnd(_ids(b), str(b.get("stopReason", ""))),
}
