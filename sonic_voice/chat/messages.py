"""The messages of a conversation with a chat endpoint, and an answer while it is received."""

from dataclasses import dataclass, field
from typing import Literal

from .calls import ChatToolCall, IncomingCalls
from .pieces import AnswerPiece
from .speakable import Speakable
from .thoughts import without_unopened_thoughts

MAX_TEXT = 20_000
"""Maximum length of an answer and its tool calls, in characters: more than can be spoken in the
eight minutes of a stream."""
MAX_PIECES = 5_000_000
"""Maximum length of all pieces of an answer, in characters. It includes the JSON around the text,
and reasoning that is not spoken."""


@dataclass(slots=True)
class AnswerSentence:
    """A sentence of a message, with the part of it that was heard."""

    text: str
    heard: str = ""
    """The part that was heard; empty until the sentence was played."""


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
    incoming_calls: IncomingCalls = field(default_factory=IncomingCalls)
    finished: bool = False
    """True if the endpoint said that the answer is complete."""
    text_size: int = 0
    """Length of the text and the arguments so far, in characters."""
    size: int = 0
    """Length of all pieces so far, in characters."""

    @property
    def calls(self) -> list[ChatToolCall]:
        """The tool calls so far."""
        return self.incoming_calls.calls

    @property
    def too_long(self) -> bool:
        """True if the answer is so long that it may have no end."""
        return self.text_size > MAX_TEXT or self.size > MAX_PIECES

    def add(self, piece: AnswerPiece) -> list[str]:
        """Add the next piece of the answer.

        Args:
            piece: The piece.

        Returns:
            The sentences that are now complete.
        """
        self.finished = self.finished or piece.finished
        for call in piece.calls:
            self.incoming_calls.add(call)
            self.text_size += len(call.arguments_json)
        text = without_unopened_thoughts(piece.text) if piece.whole else piece.text
        self.text_size += len(text)
        return self.speakable.add(text)
