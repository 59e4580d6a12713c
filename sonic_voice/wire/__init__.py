"""Conversion between the service's JSON and typed records, in both directions.

A *payload* is the UTF-8 JSON of one event, `{"event":{"<name>":{...}}}`: the content of the `bytes`
member of one chunk of the event stream. Only this package handles JSON and base64.

The client encodes `Input` records and decodes `Output` records; the emulator does the reverse, so
that each direction has an encoder and a decoder. A record carries the values of the wire, even
where they may be wrong (a voice, a media type, a rate): its reader checks them. A payload that
cannot be decoded at all raises `WireError`.

On the wire, `contentStart` is one event with several shapes. Here each shape is a record of its
own, so that a text block with an audio format cannot be expressed.

Source: protocol reference, sections 2 (input) and 3 (output).
"""

from .input import (
    AudioInput,
    AudioInputEncoder,
    AudioStart,
    ContentEnd,
    Input,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolDefinition,
    ToolResult,
    ToolResultStart,
    UnknownInput,
    decode_input,
    encode_input,
)
from .output import (
    AudioBlock,
    AudioOutput,
    BlockEnd,
    CompletionEnd,
    CompletionStart,
    Ids,
    Output,
    Stage,
    TextBlock,
    TextOutput,
    Tokens,
    ToolBlock,
    ToolUse,
    UnknownOutput,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
    decode_output,
    encode_output,
)
from .payload import NoEventError

__all__ = [
    "AudioBlock",
    "AudioInput",
    "AudioInputEncoder",
    "AudioOutput",
    "AudioStart",
    "BlockEnd",
    "CompletionEnd",
    "CompletionStart",
    "ContentEnd",
    "Ids",
    "Input",
    "NoEventError",
    "Output",
    "PromptEnd",
    "PromptStart",
    "SessionEnd",
    "SessionStart",
    "Stage",
    "TextBlock",
    "TextInput",
    "TextOutput",
    "TextStart",
    "Tokens",
    "ToolBlock",
    "ToolDefinition",
    "ToolResult",
    "ToolResultStart",
    "ToolUse",
    "UnknownInput",
    "UnknownOutput",
    "UsageEvent",
    "UserSpeechEnd",
    "UserSpeechStart",
    "decode_input",
    "decode_output",
    "encode_input",
    "encode_output",
]
