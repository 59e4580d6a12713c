"""A prompt with the reserved tool `ExpertTool`: the client thinks, the service hears and speaks.

Each turn of the user becomes a call of the tool with the conversation so far. The client answers it
with one content block in which each `toolResult` is a sentence, which is spoken as it comes. A new
turn of the user makes a new call, and the sentences of the old one are not spoken any more.

The description and the schema that the real service expects of the tool are not known, nor what it
does with an object that is no sentence. Source: reference 8.6.
"""

from collections.abc import Mapping
from typing import Any

from ...catalog import EXPERT_TOOL, VoiceModel
from .brain import NO_WORDS, BrainSession, ConversationSetup, Reply, ToolRequest


def has_expert(model: VoiceModel, setup: ConversationSetup) -> bool:
    """Return whether the turns of a prompt become calls of `ExpertTool`.

    Args:
        model: The model of the stream.
        setup: The settings of the conversation, with its tools.
    """
    return model.expert_tool and any(tool.name == EXPERT_TOOL for tool in setup.tools)


def sentence_of(result: Mapping[str, Any]) -> str | None:
    """Return the sentence in a `toolResult` of the tool, or None if there is none.

    Args:
        result: The JSON object of the result.
    """
    text = result.get("text")
    sound = result.get("type") == "TEXT" and isinstance(text, str) and text.strip()
    return text.strip() if sound and isinstance(text, str) else None


class ExpertSession:
    """A session that calls `ExpertTool` in each turn. Implements `BrainSession`.

    Args:
        session: The session of the brain, which may know the words of the user. Its own answers
            are not given, but for the exceptions and breaks of a scenario.
    """

    def __init__(self, session: BrainSession) -> None:
        self._session = session
        self._messages: list[tuple[str, list[str]]] = []
        self._calls = 0

    def told(self, role: str, text: str) -> None:
        """See `BrainSession`. The history becomes messages of the calls."""
        self._session.told(role, text)
        if role in ("USER", "ASSISTANT"):
            self._add(role, text)

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """See `BrainSession`. The reply is a call, unless there are no words."""
        reply = self._session.hear(words, typed=typed)
        heard = reply.words if reply.words is not None else words or NO_WORDS
        kept = Reply(
            words=reply.words,
            delay_ms=reply.delay_ms,
            error=reply.error,
            broken=reply.broken,
            notes=reply.notes,
        )
        if not heard.strip() or reply.error is not None or reply.broken is not None:
            return kept
        self._add("USER", heard)
        self._calls += 1
        arguments = {"messages": [_message(role, texts) for role, texts in self._messages]}
        return Reply(
            words=kept.words,
            calls=(ToolRequest(self._calls, EXPERT_TOOL, arguments),),
            delay_ms=kept.delay_ms,
            notes=kept.notes,
        )

    def played(self, sentence: str) -> None:
        """See `BrainSession`. What was heard becomes a message of the next calls."""
        self._add("ASSISTANT", sentence)

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """See `BrainSession`. It is never called: sentences are spoken as they are."""
        return Reply()

    def thought(self, piece: str | None) -> Reply:
        """See `BrainSession`. It is never called: no chat endpoint is asked."""
        return Reply()

    def _add(self, role: str, text: str) -> None:
        """Add a text to the last message of the same role, or as a new message."""
        if not self._messages or self._messages[-1][0] != role:
            self._messages.append((role, []))
        self._messages[-1][1].append(text)


def _message(role: str, texts: list[str]) -> dict[str, Any]:
    return {"role": role, "content": [{"text": " ".join(texts)}]}
