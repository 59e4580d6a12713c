"""Input events, client to service: records, encoder, decoder (protocol reference, section 2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import WireError
from .codecs import encode_base64
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
)


@dataclass(frozen=True, slots=True)
class SessionStart:
    """`sessionStart`, the first event of a stream.

    A field that is None is not sent (v1 has no endpointing).
    """

    max_tokens: int | None = None
    top_p: float | None = None
    temperature: float | None = None
    endpointing: str | None = None


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A `toolSpec`."""

    name: str
    description: str
    schema_json: str
    """JSON schema of the arguments, as a string. The service refuses an object."""


@dataclass(frozen=True, slots=True)
class PromptStart:
    """`promptStart`, the second event: voice, rate and tools, which cannot change later."""

    prompt: str
    """Name of the prompt."""
    voice: str
    """Id of the voice."""
    rate_hz: int
    """Sample rate of the model's audio, in Hz."""
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: str = ""
    """`auto`, `any`, or `tool:NAME`. An empty value is not sent."""
    text_media: str = TEXT
    audio_media: str = PCM
    sample_bits: int = 16
    channels: int = 1


@dataclass(frozen=True, slots=True)
class TextStart:
    """`contentStart` of a text block."""

    prompt: str
    """Name of the prompt."""
    content: str
    """Name of the content block."""
    role: str
    """`SYSTEM`, `SYSTEM_SPEECH`, `USER` or `ASSISTANT`."""
    interactive: bool = False
    """True for a turn of the user, false for the system prompt and the history."""
    media: str = TEXT


@dataclass(frozen=True, slots=True)
class AudioStart:
    """`contentStart` of the user's audio, which stays open for the whole session."""

    prompt: str
    content: str
    rate_hz: int
    """Sample rate of the user's audio, in Hz."""
    media: str = PCM
    sample_bits: int = 16
    channels: int = 1


@dataclass(frozen=True, slots=True)
class ToolResultStart:
    """`contentStart` of the result of one tool call."""

    prompt: str
    content: str
    tool_use: str
    """Id of the call."""
    media: str = TEXT


@dataclass(frozen=True, slots=True)
class TextInput:
    """A `textInput` of an open text block. Several in one block are joined."""

    prompt: str
    content: str
    text: str


@dataclass(frozen=True, slots=True)
class AudioInput:
    """An `audioInput` of the open audio block."""

    prompt: str
    content: str
    pcm: bytes
    """s16le mono PCM at the rate of the block."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A `toolResult`."""

    prompt: str
    content: str
    result_json: str
    """Result of the tool: a JSON object as a string."""


@dataclass(frozen=True, slots=True)
class ContentEnd:
    """`contentEnd` of the client, which closes one of its blocks."""

    prompt: str
    content: str


@dataclass(frozen=True, slots=True)
class PromptEnd:
    """`promptEnd`, which closes the prompt. Every block must be closed before it."""

    prompt: str


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """`sessionEnd`, the last event of a stream."""


@dataclass(frozen=True, slots=True)
class UnknownInput:
    """An input event with an unknown name, such as `connectionEnd`, which some clients send."""

    name: str


type Input = (
    SessionStart
    | PromptStart
    | TextStart
    | AudioStart
    | ToolResultStart
    | TextInput
    | AudioInput
    | ToolResult
    | ContentEnd
    | PromptEnd
    | SessionEnd
    | UnknownInput
)


_NO_CONTENT = b'"content":""'
"""The last member of an `audioInput` without sound."""


def encode_input(record: Input) -> bytes:
    """Return the payload of one input event.

    Args:
        record: The event.
    """
    name, body = _INPUT_BODY[type(record)](record)
    return encode_event(name, body)


class AudioInputEncoder:
    """An encoder of the `audioInput` events of one block, which differ in their sound alone.

    Args:
        prompt: Name of the prompt.
        content: Name of the audio block.
    """

    def __init__(self, prompt: str, content: str) -> None:
        silent = encode_input(AudioInput(prompt, content, b""))
        at = silent.rindex(_NO_CONTENT) + len(_NO_CONTENT) - 1
        self._before, self._after = silent[:at], silent[at:]

    def encode(self, pcm: bytes) -> bytes:
        """Return the payload of one event, the same as that of `encode_input`.

        Args:
            pcm: s16le mono PCM at the rate of the block.
        """
        return b"".join((self._before, encode_base64(pcm), self._after))


def decode_input(payload: bytes) -> Input:
    """Return the input event in a payload. An unknown name becomes `UnknownInput`.

    Args:
        payload: The UTF-8 JSON of one event.

    Raises:
        WireError: The payload is not an event, or lacks a field that its name requires.
    """
    name, body = decode_event(payload)
    if name == "contentStart":
        return _decode_content_start(body)
    decode = _DECODE_INPUT.get(name)
    return decode_body(name, body, decode) if decode else UnknownInput(name)


def _session_start_body(r: SessionStart) -> Body:
    inference = {"maxTokens": r.max_tokens, "topP": r.top_p, "temperature": r.temperature}
    inference = {key: value for key, value in inference.items() if value is not None}
    body: Body = {"inferenceConfiguration": inference} if inference else {}
    if r.endpointing is not None:
        body["turnDetectionConfiguration"] = {"endpointingSensitivity": r.endpointing}
    return body


def _prompt_start_body(r: PromptStart) -> Body:
    body: Body = {
        "promptName": r.prompt,
        "textOutputConfiguration": {"mediaType": r.text_media},
        "audioOutputConfiguration": {
            "mediaType": r.audio_media,
            "sampleRateHertz": r.rate_hz,
            "sampleSizeBits": r.sample_bits,
            "channelCount": r.channels,
            "voiceId": r.voice,
            "encoding": "base64",
            "audioType": "SPEECH",
        },
    }
    if not r.tools:
        return body
    tools = [
        {"toolSpec": {"name": t.name, "description": t.description,
                      "inputSchema": {"json": t.schema_json}}}
        for t in r.tools
    ]  # fmt: skip
    configuration: Body = {"tools": tools}
    if r.tool_choice:
        mode, _, name = r.tool_choice.partition(":")
        configuration["toolChoice"] = {mode: {"name": name} if name else {}}
    return body | {
        "toolUseOutputConfiguration": {"mediaType": JSON},
        "toolConfiguration": configuration,
    }


def _content_start_body(
    r: TextStart | AudioStart | ToolResultStart, kind: str, role: str, interactive: bool
) -> Body:
    return {
        "promptName": r.prompt,
        "contentName": r.content,
        "type": kind,
        "interactive": interactive,
        "role": role,
    }


def _text_start_body(r: TextStart) -> Body:
    body = _content_start_body(r, "TEXT", r.role, r.interactive)
    return body | {"textInputConfiguration": {"mediaType": r.media}}


def _audio_start_body(r: AudioStart) -> Body:
    return _content_start_body(r, "AUDIO", "USER", True) | {
        "audioInputConfiguration": {
            "mediaType": r.media,
            "sampleRateHertz": r.rate_hz,
            "sampleSizeBits": r.sample_bits,
            "channelCount": r.channels,
            "audioType": "SPEECH",
            "encoding": "base64",
        }
    }


def _tool_start_body(r: ToolResultStart) -> Body:
    return _content_start_body(r, "TOOL", "TOOL", False) | {
        "toolResultInputConfiguration": {
            "toolUseId": r.tool_use,
            "type": "TEXT",
            "textInputConfiguration": {"mediaType": r.media},
        }
    }


def _named(prompt: str, content: str, data: str | None = None) -> Body:
    body: Body = {"promptName": prompt, "contentName": content}
    return body if data is None else body | {"content": data}


_INPUT_BODY: dict[type, Callable[[Any], tuple[str, Body]]] = {
    SessionStart: lambda r: ("sessionStart", _session_start_body(r)),
    PromptStart: lambda r: ("promptStart", _prompt_start_body(r)),
    TextStart: lambda r: ("contentStart", _text_start_body(r)),
    AudioStart: lambda r: ("contentStart", _audio_start_body(r)),
    ToolResultStart: lambda r: ("contentStart", _tool_start_body(r)),
    TextInput: lambda r: ("textInput", _named(r.prompt, r.content, r.text)),
    AudioInput: lambda r: ("audioInput", _named(r.prompt, r.content, encode_pcm(r.pcm))),
    ToolResult: lambda r: ("toolResult", _named(r.prompt, r.content, r.result_json)),
    ContentEnd: lambda r: ("contentEnd", _named(r.prompt, r.content)),
    PromptEnd: lambda r: ("promptEnd", {"promptName": r.prompt}),
    SessionEnd: lambda r: ("sessionEnd", {}),
    UnknownInput: lambda r: (r.name, {}),
}


def _decode_session_start(b: Body) -> SessionStart:
    inference = b.get("inferenceConfiguration", {})
    turns = b.get("turnDetectionConfiguration", {})
    return SessionStart(
        max_tokens=inference.get("maxTokens"),
        top_p=inference.get("topP"),
        temperature=inference.get("temperature"),
        endpointing=turns.get("endpointingSensitivity", b.get("endpointingSensitivity")),
    )


def _decode_prompt_start(b: Body) -> PromptStart:
    audio = b.get("audioOutputConfiguration", {})
    tools = b.get("toolConfiguration", {})
    return PromptStart(
        prompt=text_field(b, "promptName"),
        voice=str(audio.get("voiceId", "")),
        rate_hz=int(audio.get("sampleRateHertz", 0)),
        tools=tuple(_decode_tool(tool["toolSpec"]) for tool in tools.get("tools", ())),
        tool_choice=_decode_choice(tools.get("toolChoice", {})),
        text_media=str(b.get("textOutputConfiguration", {}).get("mediaType", TEXT)),
        audio_media=str(audio.get("mediaType", "")),
        sample_bits=int(audio.get("sampleSizeBits", 0)),
        channels=int(audio.get("channelCount", 0)),
    )


def _decode_choice(choice: Body) -> str:
    for mode, details in choice.items():
        name = details.get("name", "")
        return f"{mode}:{name}" if name else mode
    return ""


def _decode_tool(spec: Body) -> ToolDefinition:
    schema = spec["inputSchema"]["json"]
    if not isinstance(schema, str):  # the service cannot parse an object here (reference 8.1)
        raise TypeError("inputSchema.json is not a string")
    return ToolDefinition(text_field(spec, "name"), str(spec.get("description", "")), schema)


def _decode_content_start(b: Body) -> Input:
    shapes: dict[Any, Callable[[Body], Input]] = {
        "TEXT": lambda b: TextStart(
            *_names(b), text_field(b, "role"), b.get("interactive") is True, _media(b, "textInput")
        ),
        "AUDIO": _decode_audio_start,
        "TOOL": lambda b: ToolResultStart(
            *_names(b),
            text_field(b["toolResultInputConfiguration"], "toolUseId"),
            _media(b["toolResultInputConfiguration"], "textInput"),
        ),
    }
    kind = b.get("type")
    shape = shapes.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise WireError(f"contentStart has the type {kind!r}")
    return decode_body("contentStart", b, shape)


def _decode_audio_start(b: Body) -> AudioStart:
    audio = b["audioInputConfiguration"]
    return AudioStart(
        *_names(b),
        rate_hz=int(audio.get("sampleRateHertz", 0)),
        media=str(audio.get("mediaType", "")),
        sample_bits=int(audio.get("sampleSizeBits", 0)),
        channels=int(audio.get("channelCount", 0)),
    )


def _media(body: Body, prefix: str) -> str:
    return str(body.get(f"{prefix}Configuration", {}).get("mediaType", TEXT))


def _names(b: Body) -> tuple[str, str]:
    return text_field(b, "promptName"), text_field(b, "contentName")


_DECODE_INPUT: dict[str, Callable[[Body], Input]] = {
    "sessionStart": _decode_session_start,
    "promptStart": _decode_prompt_start,
    "textInput": lambda b: TextInput(*_names(b), text_field(b, "content")),
    "audioInput": lambda b: AudioInput(*_names(b), pcm_field(b)),
    "toolResult": lambda b: ToolResult(*_names(b), text_field(b, "content")),
    "contentEnd": lambda b: ContentEnd(*_names(b)),
    "promptEnd": lambda b: PromptEnd(text_field(b, "promptName")),
    "sessionEnd": lambda b: SessionEnd(),
}
