"""The tool through which a voice model asks its reasoner, and what a call of it says.

Nova 2 Sonic has the reserved tool `ExpertTool`, and calls it in each turn of the user with the
conversation so far (reference 8.6). Its description and its schema were never published; these are
ours. Every other model gets an ordinary tool, `ask_expert`, whose one result it speaks.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..catalog import EXPERT_TOOL, voice_model
from ..chat.json_values import as_list, as_object, as_text, parse_object
from ..config import ToolSpec
from ..history import Message

ASK_EXPERT = "ask_expert"
"""Name of the tool for models that do not have `EXPERT_TOOL`."""

_MESSAGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "role": {"type": "string", "description": "USER or ASSISTANT."},
        "content": {"type": "array", "items": {"type": "object", "properties": {}}},
    },
}

_RESERVED = ToolSpec(
    EXPERT_TOOL,
    "Answers every turn of the user. Speak its sentences as they are.",
    {
        "type": "object",
        "properties": {
            "messages": {
                "type": "array",
                "description": "The conversation so far.",
                "items": _MESSAGE,
            }
        },
        "required": ["messages"],
    },
)

_ORDINARY = ToolSpec(
    ASK_EXPERT,
    "Answers the user. Call it for everything but greetings and thanks, before you say anything, "
    "and then say its answer word for word. Never answer by yourself.",
    {
        "type": "object",
        "properties": {
            "question": {
                "type": "string",
                "description": "The user's words, complete and in the user's language.",
            }
        },
        "required": ["question"],
    },
)


def reasoner_tool(model: str) -> ToolSpec:
    """Return the tool that a session needs so that a reasoner can answer in it.

    Args:
        model: Id of the voice model.

    Raises:
        ConfigError: There is no such voice model.
    """
    return _RESERVED if voice_model(model).expert_tool else _ORDINARY


def expert_messages(arguments_json: str) -> tuple[Message, ...]:
    """Return the conversation in the arguments of an `ExpertTool` call; empty if it has none.

    Args:
        arguments_json: The arguments, which may be encoded twice.
    """
    read = parse_object(arguments_json)
    if read is None:
        read = parse_object(as_text(_decoded(arguments_json)))
    return tuple(_messages(as_list((read or {}).get("messages"))))


def question_messages(said: Iterable[Message], arguments_json: str) -> tuple[Message, ...]:
    """Return a conversation with the question of an `ask_expert` call as its last message.

    Args:
        said: The conversation so far. Its last message may be the user's words themselves, which
            the question takes the place of.
        arguments_json: The arguments of the call.
    """
    question = as_text((parse_object(arguments_json) or {}).get("question")).strip()
    messages = list(said)
    if question and messages and messages[-1].role == "USER":
        messages.pop()
    return tuple([*messages, Message("USER", question)] if question else messages)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _messages(items: list[Any]) -> Iterator[Message]:
    for item in map(as_object, items):
        role = as_text(item.get("role")).upper()
        parts = [as_text(as_object(part).get("text")) for part in as_list(item.get("content"))]
        text = " ".join(part.strip() for part in parts if part.strip())
        if text and role == "USER":
            yield Message("USER", text)
        elif text and role == "ASSISTANT":
            yield Message("ASSISTANT", text)
