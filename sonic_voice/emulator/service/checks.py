"""Values the service looks at: each check returns the service's text against them, or None.

Texts are those of the protocol reference, section 6. Where none was recorded (a tool's name, a
rate), the service's general one stands: `INVALID`.
"""

import json
import re
from typing import Any

from ...catalog import Limits, VoiceModel
from ...config import TOOL_NAME, check_schema
from ...errors import ConfigError
from ...wire import (
    AudioStart,
    PromptStart,
    SessionStart,
    TextStart,
    ToolDefinition,
    ToolResultStart,
)
from .order import INVALID

PCM = "audio/lpcm"
TEXT = "text/plain"

NO_VOICE = "Received invalid voiceId: value must not be empty"
BAD_VOICE = "Received invalid id: '{voice}'"
DUPLICATE_SYSTEM = "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt"
EMPTY_CONTENT = "Cannot end content [{content}] as no content data was received"
HISTORY_LIMIT = "Chat history is over max limit. Trim chat history and try again."
HISTORY_ORDER = "First message in chat history should not be Assistant"
HISTORY_OPEN = "Chat history should be sent completely before streaming audio."
TOOL_PARSE = "Tool Response parsing error"
TOOL_MEDIA = "Tool result media type must be one of: [text/plain]"
UNREADABLE = "Unable to parse input chunk. Please check input format contains correct format."
NO_EVENTS = "No events to transform were found."
IDLE = (
    "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio "
    "bytes and interactive content are less than {seconds} seconds."
)
LIFE = "Model has timed out in processing the request. Try your request again."

ROLES = ("SYSTEM", "SYSTEM_SPEECH", "USER", "ASSISTANT")
ENDPOINTING = ("HIGH", "MEDIUM", "LOW")


def session_start(record: SessionStart, model: VoiceModel) -> str | None:
    numbers = (
        (record.max_tokens, 1, model.limits.max_output_tokens),
        (record.top_p, 0, 1),
        (record.temperature, 0, 1),
    )
    fits = all(_within(value, least, most) for value, least, most in numbers)
    if isinstance(record.max_tokens, float):
        fits = False
    return None if fits and record.endpointing in (None, *ENDPOINTING) else INVALID


def _within(value: Any, least: float, most: float) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
    )


def prompt_start(record: PromptStart, model: VoiceModel) -> str | None:
    if not record.voice:
        return NO_VOICE
    if record.voice not in [voice.id for voice in model.voices]:
        return BAD_VOICE.format(voice=record.voice)
    sound = (record.audio_media, record.sample_bits, record.channels)
    if sound != (PCM, 16, 1) or record.rate_hz not in model.rates_hz:
        return INVALID
    if record.text_media != TEXT or not record.prompt:
        return INVALID
    return _tools(record)


def _tools(record: PromptStart) -> str | None:
    names = [tool.name for tool in record.tools]
    if len(set(names)) < len(names) or not all(_tool_is_sound(tool) for tool in record.tools):
        return INVALID
    mode, _, name = record.tool_choice.partition(":")
    if mode not in ("", "auto", "any", "tool") or (mode == "tool" and name not in names):
        return INVALID
    return None


def _tool_is_sound(tool: ToolDefinition) -> bool:
    if not re.fullmatch(TOOL_NAME, tool.name):
        return False
    try:
        schema = json.loads(tool.schema_json)
        check_schema(tool.name, schema)
    except (ValueError, AttributeError, RecursionError, ConfigError):
        return False
    return True


def audio_start(record: AudioStart, model: VoiceModel) -> str | None:
    sound = (record.media, record.sample_bits, record.channels)
    return None if sound == (PCM, 16, 1) and record.rate_hz in model.rates_hz else INVALID


def text_start(record: TextStart, model: VoiceModel) -> str | None:
    if record.media != TEXT or record.role not in ROLES:
        return INVALID
    return INVALID if record.role == "SYSTEM_SPEECH" and not model.system_speech else None


def tool_result_start(record: ToolResultStart) -> str | None:
    return None if record.media == TEXT else TOOL_MEDIA


def tool_result(result_json: str) -> dict[str, Any] | None:
    """The JSON object in a tool's result; None if it holds anything else."""
    try:
        result = json.loads(result_json)
    except (ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) else None  # pyright: ignore[reportUnknownVariableType]


class HistoryCheck:
    """The chat history as it comes in: its order and its size (reference 2.9)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self._message_bytes = 0
        self.messages = 0
        self.last_role = ""

    def first(self, role: str) -> str | None:
        """The text against beginning with `role`."""
        return HISTORY_ORDER if not self.messages and role == "ASSISTANT" else None

    def begin(self, role: str) -> None:
        """A message of `role` begins."""
        self.messages += 1
        self.last_role = role
        self._message_bytes = 0

    def add(self, size: int) -> str | None:
        """`size` more bytes of the message; the text against them."""
        self._bytes += size
        self._message_bytes += size
        if self._bytes > self._limits.history_bytes:
            return HISTORY_LIMIT
        return HISTORY_LIMIT if self._message_bytes > self._limits.history_message_bytes else None
