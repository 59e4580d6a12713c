"""The messages of a conversation with a chat endpoint, and an answer while it is received.

An answer comes as `chat.completion.chunk` objects. Endpoints differ in what they send: every value
of theirs is read as the type that is expected, or as an empty one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ..language.speakable import Speakable

MAX_TEXT = 20_000
"""Maximum length of an answer and its tool calls, in characters: more than can be spoken in the
eight minutes of a stream."""
MAX_PIECES = 5_000_000
"""Maximum length of all pieces of an answer, in characters. It includes the JSON around the text,
and reasoning that is not spoken."""

type Json = Mapping[str, Any]
"""A JSON object."""


@dataclass(slots=True)
class AnswerSentence:
    """A sentence of a message, with the part of it that was heard."""

    text: str
    heard: str = ""
    """The part that was heard; empty until the sentence was played."""


@dataclass(slots=True)
class ChatToolCall:
    """A tool call that the endpoint made."""

    id: str
    """Id that the endpoint gave the call, or one of ours if it gave none."""
    tool: str
    arguments_json: str
    result_json: str | None = None
    """Result of the tool; None until it arrives."""


@dataclass(slots=True)
class ChatMessage:
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    sentences: list[AnswerSentence] = field(default_factory=list[AnswerSentence])
    calls: list[ChatToolCall] = field(default_factory=list[ChatToolCall])

    @property
    def text(self) -> str:
        """Text of all sentences, joined by blanks."""
        return " ".join(sentence.text for sentence in self.sentences)


@dataclass(slots=True)
class IncomingAnswer:
    """An answer that is still being received."""

    message: ChatMessage
    """The message of the conversation that the answer becomes."""
    speakable: Speakable = field(default_factory=Speakable)
    calls: list[ChatToolCall] = field(default_factory=list[ChatToolCall])
    indices: dict[int, ChatToolCall] = field(default_factory=dict[int, ChatToolCall])
    """Latest call of each index. Some servers give all calls the same index."""
    finished: bool = False
    """True if the endpoint sent a `finish_reason`."""
    text_size: int = 0
    """Length of the text and the arguments so far, in characters."""
    size: int = 0
    """Length of all pieces so far, in characters."""

    @property
    def too_long(self) -> bool:
        """True if the answer is so long that it may have no end."""
        return self.text_size > MAX_TEXT or self.size > MAX_PIECES

    def add_choice(self, choice: Json) -> list[str]:
        """Add the next piece of the answer.

        Args:
            choice: One entry of `choices`: a delta, or the whole message of a server that does not
                stream.

        Returns:
            The sentences that are now complete.
        """
        self.finished = self.finished or bool(choice.get("finish_reason"))
        delta = as_object(choice.get("delta") or choice.get("message"))  # not streamed: all at once
        text = as_text(delta.get("content"))
        self.text_size += len(text)
        for call in as_list(delta.get("tool_calls")):
            self._add_call(as_object(call))
        return self.speakable.add(text)

    def _add_call(self, delta: Json) -> None:
        index, id = delta.get("index"), as_text(delta.get("id"))
        index = index if isinstance(index, int) else len(self.calls)
        # A new id at a known index begins a new call: some servers number all calls 0.
        call = self.indices.get(index)
        if call is None or (id and call.id not in ("", id)):
            call = self.indices[index] = ChatToolCall("", "", "")
            self.calls.append(call)
        function = as_object(delta.get("function"))
        arguments = function.get("arguments") or ""
        arguments = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call.id = call.id or id
        call.tool += as_text(function.get("name"))
        call.arguments_json += arguments
        self.text_size += len(arguments)


def parse_object(text: str) -> Json | None:
    """Return the JSON object in a text, or None if it holds anything else.

    Args:
        text: The text.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast(Json, read) if isinstance(read, dict) else None


def as_object(value: Any) -> Json:
    """Return a JSON value as an object, empty if it is none.

    Args:
        value: The value.
    """
    return cast(Json, value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a JSON value as a list, empty if it is none.

    Args:
        value: The value.
    """
    return cast(list[Any], value) if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return a JSON value as a text, empty if it is none.

    Args:
        value: The value.
    """
    return value if isinstance(value, str) else ""
