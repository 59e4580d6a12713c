"""Output events, service to client: records, encoder, decoder (protocol reference, section 3)."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

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
    readable,
    text_field,
    whole_number,
)

type Stage = Literal["SPECULATIVE", "FINAL"]


@dataclass(frozen=True, slots=True)
class Ids:
    """What every output event carries. `completion` is empty on `userSpeech*`."""

    session: str = ""
    prompt: str = ""
    completion: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts. One speech token is 40 ms of audio (reference 9.1)."""

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
    """Tokens of this step and of the session so far."""

    ids: Ids
    delta: Tokens
    total: Tokens


@dataclass(frozen=True, slots=True)
class CompletionStart:
    """Once per prompt, at its first turn."""

    ids: Ids


@dataclass(frozen=True, slots=True)
class UserSpeechStart:
    """The user began to speak, `offset_ms` into the audio received (v2 and later)."""

    ids: Ids
    offset_ms: int


@dataclass(frozen=True, slots=True)
class UserSpeechEnd:
    """The user had finished at `offset_ms`; noticed at `detected_ms` of the audio received."""

    ids: Ids
    offset_ms: int
    detected_ms: int


@dataclass(frozen=True, slots=True)
class TextBlock:
    """`contentStart` of a transcript or of an answer's text."""

    ids: Ids
    content_id: str
    role: str
    stage: Stage | None


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """`contentStart` of an answer's sound."""

    ids: Ids
    content_id: str
    rate_hz: int


@dataclass(frozen=True, slots=True)
class ToolBlock:
    """`contentStart` of a tool call."""

    ids: Ids
    content_id: str


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Words of a text block; in everything recorded, one per block."""

    ids: Ids
    content_id: str
    text: str
    role: str = ""

    @property
    def is_interruption(self) -> bool:
        """Whether this is the barge-in marker: a JSON object with `interrupted` true."""
        if "interrupted" not in self.text:
            return False
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and cast(Body, found).get("interrupted") is True


@dataclass(frozen=True, slots=True)
class AudioOutput:
    """PCM of an audio block."""

    ids: Ids
    content_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call; `arguments_json` is a JSON object, at times encoded twice."""

    ids: Ids
    content_id: str
    tool_use: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """`contentEnd` of the service's: `PARTIAL_TURN`, `END_TURN`, `INTERRUPTED`, `TOOL_USE`."""

    ids: Ids
    content_id: str
    kind: str
    stop: str


@dataclass(frozen=True, slots=True)
class CompletionEnd:
    """After our `promptEnd`; on a live conversation it never comes."""

    ids: Ids
    stop: str = "END_TURN"


@dataclass(frozen=True, slots=True)
class UnknownOutput:
    """An output event of a name or shape not known here; names appear without notice."""

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
    """The payload of one output event: compact, keys in alphabetical order (reference 1.4)."""
    name, body = _OUTPUT_BODY[type(record)](record)
    return encode_event(name, body, sort=True)


def decode_output(payload: bytes) -> Output:
    """The output event in `payload`.

    Unknown names, and unknown `contentStart` types, become `UnknownOutput`; unknown keys are
    ignored. Raises `WireError` for what is no event at all or lacks what its name promises.
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
    """`additionalModelFields` is a string that holds JSON (reference 3.5)."""
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
        readable(str(b.get("role", ""))),
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
