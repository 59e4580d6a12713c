"""Sonic's JSON <-> typed records, both directions.

A *payload* is the UTF-8 JSON of one event, `{"event":{"<name>":{...}}}`: what stands inside the
`bytes` member of one chunk of the event stream. JSON and base64 are known here and nowhere else.

The client writes `Input` records and reads `Output` records; the emulator does the reverse, so
each direction has an encoder and a decoder. A record carries what the wire carries, also where
it may be wrong (a voice, a media type, a rate): judging values is the reader's business. What
cannot be read at all raises `WireError`.

On the wire `contentStart` is one event with many shapes. Here each shape is a record of its own,
so that a text block with an audio format cannot be written down.

Source: protocol reference, sections 2 (input) and 3 (output).
"""

from .input import (
    AudioInput,
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
