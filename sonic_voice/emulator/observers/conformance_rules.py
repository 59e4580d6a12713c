"""The rules that a client must keep, as a table.

`RULES` names, for each rule, its section of the protocol reference, what the real service does
about a client that breaks it, and the events that put it to the test. The other tables find the
rule that an exception of the service is about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...wire import AudioStart, PromptStart, SessionStart, TextStart, ToolResult, ToolResultStart

_TOLERATES = "goes on"
"""Reaction of the real service to a mistake that it tolerates."""
_ENDS = "ends the stream with a validationException"
"""Reaction of the real service to a mistake that it refuses."""


@dataclass(frozen=True, slots=True)
class ConformanceRule:
    """One rule for clients."""

    section: str
    """Section of the protocol reference."""
    says: str
    """Sentence that states the rule."""
    real: str
    """Reaction of the real service to a broken rule: continues the sentence "The real service
    ..."."""
    tests: str
    """Events that put the rule to the test, separated by blanks: names of `InputKind`s, and of
    further events that `ConformanceChecker` marks."""


EXPECTATION = "scenario-expectation"
"""Name of the rule about the expectations of a scenario."""

RULES: Mapping[str, ConformanceRule] = MappingProxyType(
    {
        "signature": ConformanceRule("1.5", "Every frame is signed, in one chain.", _ENDS, "frame"),
        "readable": ConformanceRule("1.4", "Frames and events can be read.", _ENDS, "frame"),
        "chunk-size": ConformanceRule(
            "0.4", "A chunk holds at most 1,000,000 bytes.", _ENDS, "frame"
        ),
        "one-event": ConformanceRule("1.4", "Every chunk holds an event.", _ENDS, "frame"),
        "no-empty-frame": ConformanceRule(
            "1.5", "The input ends with a signed empty frame.", _TOLERATES, "input-end"
        ),
        "regional-id": ConformanceRule(
            "0.1",
            "The model is named without a region.",
            "answers 404: voice models have no regional ids",
            "SESSION_START",
        ),
        "order": ConformanceRule("2.1", "Events come in the legal order.", _ENDS, "frame"),
        "unknown-event": ConformanceRule(
            "2", "Only events that the service knows are sent.", f"{_TOLERATES}, or {_ENDS}", "end"
        ),
        "names": ConformanceRule(
            "2", "Events name the prompt and an open content.", _ENDS, "TEXT AUDIO BLOCK_END"
        ),
        "session-values": ConformanceRule(
            "2.2", "The values of sessionStart are in range.", _ENDS, "SESSION_START"
        ),
        "no-inference": ConformanceRule(
            "2.2",
            "sessionStart has its inference values.",
            "uses its own defaults",
            "SESSION_START",
        ),
        "endpointing": ConformanceRule(
            "2.2", "A v1 model gets no turn detection.", f"may refuse it: {_ENDS}", "SESSION_START"
        ),
        "voice": ConformanceRule("2.3", "The voice is one of the model's.", _ENDS, "PROMPT_START"),
        "prompt-values": ConformanceRule(
            "2.3", "Formats and tools of promptStart are valid.", _ENDS, "PROMPT_START"
        ),
        "content-values": ConformanceRule(
            "2.4", "The role and the format of contentStart match.", _ENDS, "TEXT_START AUDIO_START"
        ),
        "content-name": ConformanceRule(
            "2", "A contentName is used once.", f"may refuse it: {_ENDS}", "TEXT_START AUDIO_START"
        ),
        "empty-content": ConformanceRule("6", "A content has data.", _ENDS, "BLOCK_END AUDIO_END"),
        "system-once": ConformanceRule("2.1", "There is one SYSTEM content.", _ENDS, "system"),
        "late-system": ConformanceRule(
            "2.1", "SYSTEM comes before all else.", f"may refuse it: {_ENDS}", "system"
        ),
        "interactive-system": ConformanceRule(
            "2.4",
            "SYSTEM is not interactive.",
            "accepts both; only the user's live text is meant to be interactive",
            "system",
        ),
        "history-first": ConformanceRule(
            "2.9", "The history begins with the user.", _ENDS, "history"
        ),
        "history-order": ConformanceRule(
            "2.9", "The history alternates.", f"may refuse it: {_ENDS}", "history"
        ),
        "history-size": ConformanceRule(
            "2.9", "The history stays within its size limits.", _ENDS, "history"
        ),
        "history-messages": ConformanceRule(
            "2.9", "The history has at most 40 messages.", f"may refuse it: {_ENDS}", "history"
        ),
        "history-closed": ConformanceRule(
            "2.1", "The history is sent before any audio.", _ENDS, "history"
        ),
        "second-audio": ConformanceRule(
            "2.1", "There is one audio container.", f"may refuse it: {_ENDS}", "AUDIO_START"
        ),
        "late-audio": ConformanceRule(
            "2.1", "No audio comes after its container.", f"may refuse it: {_ENDS}", "AUDIO_END"
        ),
        "audio-flow": ConformanceRule("1.9", "Audio never pauses for long.", _ENDS, "AUDIO"),
        "life": ConformanceRule(
            "1.9",
            "A stream is renewed before its eight minutes.",
            "ends the stream with a modelTimeoutException",
            "AUDIO",
        ),
        "text-ignored": ConformanceRule(
            "2.10", "A v1 model is asked by voice, not by text.", "never answers it", "TEXT_START"
        ),
        "descriptive-text": ConformanceRule(
            "2.10",
            "A Nova 2.5 model is told what to say: `Tell the caller that ...`.",
            "does not reliably answer a description; it may only end the answer before it",
            "TEXT_START",
        ),
        "injected-text": ConformanceRule(
            "2.10",
            "A Nova 2.5 model is told what to say only while neither side speaks.",
            "interrupts the answer that it gives",
            "TEXT_START",
        ),
        "tool-id": ConformanceRule("8.4", "A result names a call, once.", _ENDS, "TOOL_START"),
        "tool-media": ConformanceRule("8.4", "A result is text/plain.", _ENDS, "TOOL_START"),
        "tool-result": ConformanceRule("8.4", "A result is a JSON object.", _ENDS, "RESULT"),
        "tool-answered": ConformanceRule(
            "8.4",
            "Every call gets its result, unless it is one of ExpertTool and the user goes on.",
            "answers without it (v2), or stays silent (2.5)",
            "tool-call",
        ),
        "expert-sentence": ConformanceRule(
            "8.6",
            "An ExpertTool call is answered with sentences.",
            "is not known to understand another object",
            "expert-call",
        ),
        "prompt-audio": ConformanceRule("6", "A prompt has audio.", _ENDS, "PROMPT_END"),
        "open-content": ConformanceRule(
            "6", "Contents are closed before the prompt.", _ENDS, "PROMPT_END"
        ),
        "open-audio": ConformanceRule(
            "6",
            "The audio container is closed before the prompt.",
            "reports `All contents must be closed before ending prompt`, mostly unread",
            "PROMPT_END",
        ),
        "cut-answer": ConformanceRule(
            "1.8",
            "The prompt ends after the answer.",
            "sends nothing more: the rest of the answer is lost",
            "PROMPT_END",
        ),
        "no-prompt": ConformanceRule("2.1", "A session has a prompt.", _ENDS, "SESSION_END"),
        "open-prompt": ConformanceRule(
            "1.8", "The prompt is closed before the session.", f"may refuse it: {_ENDS}", "end"
        ),
        "no-goodbye": ConformanceRule(
            "1.8",
            "The session ends with sessionEnd.",
            "goes on, and is billed, until its timers end it",
            "end",
        ),
        EXPECTATION: ConformanceRule(
            "scenario", "The expectations of the scenario are met.", "knows no scenario", ""
        ),
    }
)
"""All rules, by name. The service's notes use the same names."""

RULES_BY_TEXT: tuple[tuple[str, str], ...] = (
    (r"The event stream cannot be accepted", "signature"),
    (r"Unable to parse input chunk", "readable"),
    (r"A chunk is at most", "chunk-size"),
    (r"No events to transform", "one-event"),
    (r"without its signed empty frame", "no-empty-frame"),
    (r"Received invalid (voiceId|id)", "voice"),
    (r"Duplicate SYSTEM", "system-once"),
    (r"Cannot end content", "empty-content"),
    (r"Chat history is over", "history-size"),
    (r"First message in chat history", "history-first"),
    (r"Chat history should be sent", "history-closed"),
    (r"Tool Response parsing", "tool-result"),
    (r"Tool result media type", "tool-media"),
    (r"No prompts were received", "no-prompt"),
    (r"must have at least one audio", "prompt-audio"),
    (r"All contents must be closed", "open-content"),
    (r"All prompts must be closed", "open-prompt"),
    (r"Timed out waiting for", "audio-flow"),
    (r"Model has timed out|InternalErrorCode=531", "life"),
    (r"encountered an unexpected error", "second-audio"),
)
"""Texts of exceptions that show which rule was broken, as patterns."""

VALUE_RULES: Mapping[type, str] = MappingProxyType(
    {
        SessionStart: "session-values",
        PromptStart: "prompt-values",
        TextStart: "content-values",
        AudioStart: "content-values",
        ToolResultStart: "tool-id",
        ToolResult: "tool-result",
    }
)
"""Rule that `Invalid input request` is about, if the event itself was legal in its place."""


def _tested_by() -> dict[str, tuple[str, ...]]:
    words = {word for rule in RULES.values() for word in rule.tests.split()}
    return {
        word: tuple(name for name, rule in RULES.items() if word in rule.tests.split())
        for word in words
    }


TESTED_BY = _tested_by()
"""Names of the rules that each event puts to the test."""
