"""Names and values of the OpenTelemetry conventions for generative AI, realtime draft.

The names follow `semantic-conventions-genai`, whose realtime part was a draft in September 2026
(all of it has the status Development). Names that the draft does not have begin with
`sonic_voice.`. Numbers of tokens are written in two spellings: the draft's, and the one that
earlier tools read.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..printable import printable_lines
from ..wire import Tokens

PROVIDER = "aws.bedrock"
"""Value of `gen_ai.provider.name` for Amazon Bedrock."""

INFERENCE = "realtime_inference"
USER_SPEECH = "user_speech"
EXECUTE_TOOL = "execute_tool"

SESSION_STARTED = "gen_ai.client.realtime_session.started"
SESSION_ENDED = "gen_ai.client.realtime_session.ended"

CONVERSATION_ID = "gen_ai.conversation.id"
"""Attribute that is the same for all service streams of a conversation."""
SESSION_ID = "gen_ai.realtime_session.id"
"""Attribute with the service stream, which changes with each renewal."""
OPERATION = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
OUTPUT_TYPE = "gen_ai.output.type"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
ERROR_TYPE = "error.type"

TURN = "sonic_voice.turn"
"""Attribute with the number of the turn, from 1."""
INTERRUPTED = "sonic_voice.interrupted"
"""Attribute of an answer that the user interrupted, also after the model had sent all of it."""
HEARD_MS = "sonic_voice.heard_ms"
"""Attribute with the sound of an interrupted answer that was played, in ms."""
SPEECH_END_REPORTED = "sonic_voice.speech_end_reported"
"""Attribute that is false for speech whose end the service never reported."""
RENEWAL_REASON = "sonic_voice.renewal.reason"
"""Attribute of the end of a service stream: why the conversation moved to another one."""
LATENCY_S = "sonic_voice.response_latency"
"""Attribute and histogram: from the end of the user's speech to the first audible sample, in
seconds. The conventions have no name for it."""
LATENCY_PART_S = "sonic_voice.response_latency.part"
"""Histogram of the parts of the response latency, in seconds; `LATENCY_PART` names the part."""
LATENCY_PART = "sonic_voice.latency.part"
"""Attribute with the part: `endpointing`, `answering` or `playout`."""

TOKENS_COUNTER = "gen_ai.client.inference.tokens"
"""Counter of tokens, by `TOKEN_TYPE` and `TOKEN_MODALITY`."""
TOKEN_TYPE = "gen_ai.token.type"
TOKEN_MODALITY = "gen_ai.token.modality"

END_TURN, TOOL_USE, INTERRUPTED_STOP = "END_TURN", "TOOL_USE", "INTERRUPTED"
"""Reasons of the service for the end of an answer (reference 3.9)."""
FAILED = "error"
"""Reason for the end of an answer that a fault ended."""


def token_counts(tokens: Tokens) -> list[tuple[str, str, int]]:
    """Return the numbers of tokens by their type and modality, without those that are 0.

    Args:
        tokens: The tokens.

    Returns:
        For each: `input` or `output`, `audio` or `text`, and the number.
    """
    counts = [
        ("input", "audio", tokens.speech_in),
        ("input", "text", tokens.text_in),
        ("output", "audio", tokens.speech_out),
        ("output", "text", tokens.text_out),
    ]
    return [count for count in counts if count[2]]


def token_attributes(tokens: Tokens) -> dict[str, int]:
    """Return the attributes of a span for its tokens, in both spellings.

    Args:
        tokens: The tokens.
    """
    attributes = {
        "gen_ai.usage.input_tokens": tokens.speech_in + tokens.text_in,
        "gen_ai.usage.output_tokens": tokens.speech_out + tokens.text_out,
    }
    for kind, modality, number in token_counts(tokens):
        attributes[f"gen_ai.usage.{modality}.{kind}_tokens"] = number  # the draft
        attributes[f"gen_ai.usage.{kind}_{modality}_tokens"] = number  # earlier tools
    return attributes


def message(
    role: str, parts: Sequence[Mapping[str, Any]], finish_reason: str = ""
) -> dict[str, Any]:
    """Return a message of a conversation.

    Args:
        role: `user`, `assistant` or `tool`.
        parts: What it consists of: `text_part`, `call_part`, `result_part`.
        finish_reason: Why the model ended it; empty for the input of the model.
    """
    built: dict[str, Any] = {"role": role, "parts": list(parts)}
    return built | {"finish_reason": finish_reason} if finish_reason else built


def spoken_part(text: str) -> dict[str, Any]:
    """Return the part of a message for spoken words.

    Args:
        text: The words.
    """
    return {"type": "transcription", "modality": "audio", "content": printable_lines(text)}


def typed_part(text: str) -> dict[str, Any]:
    """Return the part of a message for typed words.

    Args:
        text: The words.
    """
    return {"type": "text", "content": printable_lines(text)}


def call_part(tool_use: str, name: str, arguments_json: str) -> dict[str, Any]:
    """Return the part of a message for a call of a tool.

    Args:
        tool_use: Id of the call.
        name: Name of the tool.
        arguments_json: The arguments, as the model wrote them.
    """
    arguments = json_or_text(arguments_json)
    return {"type": "tool_call", "id": tool_use, "name": name, "arguments": arguments}


def result_part(tool_use: str, result_json: str) -> dict[str, Any]:
    """Return the part of a message for the result of a tool.

    Args:
        tool_use: Id of the call.
        result_json: The result, as it was sent.
    """
    return {"type": "tool_call_response", "id": tool_use, "response": json_or_text(result_json)}


def json_or_text(text: str) -> Any:
    """Return the value of a JSON text, or the text itself if it is not JSON.

    Args:
        text: A text of the model or of a tool.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return printable_lines(text)
