"""Checks of the values in input events.

Each check returns the service's text against the values, or None if they are good. The texts are
those of section 6 of the reference. Where none was recorded (for a tool's name or a rate), the
service's general text is used: `INVALID`.
"""

import json
import re
from typing import Any

from ...catalog import ModelLimits, VoiceModel
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
"""Media type of audio."""
TEXT = "text/plain"
"""Media type of text and of tool results."""

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
"""Roles of text blocks."""
ENDPOINTING = ("HIGH", "MEDIUM", "LOW")
"""Endpointing sensitivities that a client may ask for."""


def session_start(record: SessionStart, model: VoiceModel) -> str | None:
    """Check the inference settings and the endpointing sensitivity.

    Args:
        record: The event.
        model: The model of the stream, for its limits.

    Returns:
        The service's text against the event, or None.
    """
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
    """Check the voice, the output formats and the tools of a prompt.

    Args:
        record: The event.
        model: The model of the stream, for its voices and rates.

    Returns:
        The service's text against the event, or None.
    """
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
    """Check the format of the input audio.

    Args:
        record: The event.
        model: The model of the stream, for its rates.

    Returns:
        The service's text against the event, or None.
    """
    sound = (record.media, record.sample_bits, record.channels)
    return None if sound == (PCM, 16, 1) and record.rate_hz in model.rates_hz else INVALID


def text_start(record: TextStart, model: VoiceModel) -> str | None:
    """Check the media type and the role of a text block.

    Args:
        record: The event.
        model: The model of the stream; not every model has the role SYSTEM_SPEECH.

    Returns:
        The service's text against the event, or None.
    """
    if record.media != TEXT or record.role not in ROLES:
        return INVALID
    return INVALID if record.role == "SYSTEM_SPEECH" and not model.system_speech else None


def tool_result_start(record: ToolResultStart) -> str | None:
    """Check the media type of a tool result.

    Args:
        record: The event.

    Returns:
        The service's text against the event, or None.
    """
    return None if record.media == TEXT else TOOL_MEDIA


def tool_result(result_json: str) -> dict[str, Any] | None:
    """Return the JSON object in a tool's result.

    Args:
        result_json: The text of the result.

    Returns:
        The object, or None if the text is anything else.
    """
    try:
        result = json.loads(result_json)
    except (ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) else None  # pyright: ignore[reportUnknownVariableType]


class HistoryCheck:
    """A check of the chat history while it comes in: its order and its size (reference 2.9)."""

    def __init__(self, limits: ModelLimits) -> None:
        self._limits = limits
        self._bytes = 0
        self._message_bytes = 0
        self.messages = 0
        """Messages so far, the one that is being sent included."""
        self.last_role = ""
        """Role of the last message; empty before the first."""

    def first(self, role: str) -> str | None:
        """Check the role of the first message.

        Args:
            role: USER or ASSISTANT.

        Returns:
            The service's text against it, or None, as for every later message.
        """
        return HISTORY_ORDER if not self.messages and role == "ASSISTANT" else None

    def begin(self, role: str) -> None:
        """Begin a message.

        Args:
            role: USER or ASSISTANT.
        """
        self.messages += 1
        self.last_role = role
        self._message_bytes = 0

    def add(self, size: int) -> str | None:
        """Add text to the message.

        Args:
            size: UTF-8 bytes of the text.

        Returns:
            The service's text if a limit is exceeded, else None.
        """
        self._bytes += size
        self._message_bytes += size
        if self._bytes > self._limits.history_bytes:
            return HISTORY_LIMIT
        return HISTORY_LIMIT if self._message_bytes > self._limits.history_message_bytes else None
