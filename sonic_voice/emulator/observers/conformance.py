"""The rules that a client must keep, and a checker of one stream.

`RULES` names, for each rule, its section of the protocol reference, and what the real service does
about a client that breaks it. A checker sees every input event and every effect; it refuses
nothing and changes nothing. It learns of a broken rule from

- the service's notes: deviations that were tolerated;
- its exceptions: their texts, and, for the one text that gives no reason (`Invalid input
  request`), the event that caused it and the table of legal order;
- its own observation: tool calls without a result, a goodbye that cuts an answer off.

A rule that was never put to the test is neither kept nor broken: each names what tests it.
Exceptions that are not a mistake of the client, such as injected faults, break no rule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ...errors import WireError
from ...wire import (
    AudioStart,
    BlockEnd,
    ContentEnd,
    Input,
    Output,
    PromptEnd,
    PromptStart,
    SessionStart,
    TextBlock,
    TextStart,
    ToolResult,
    ToolResultStart,
    ToolUse,
    decode_input,
    decode_output,
)
from ..service.effects import Effect, Emit, Fail, Note
from ..service.order import INVALID, InputKind, Refused, StreamState, Tolerated, input_kind, verdict

Outcome = Literal["kept", "deviates", "broken"]
"""Result of a rule. `deviates`: it was broken and the session goes on, here and, as far as is
known, at the real service."""

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
    """Events that put the rule to the test: names that `_mark_tested` takes, separated by
    blanks."""


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
        "tool-id": ConformanceRule("8.4", "A result names a call, once.", _ENDS, "TOOL_START"),
        "tool-media": ConformanceRule("8.4", "A result is text/plain.", _ENDS, "TOOL_START"),
        "tool-result": ConformanceRule("8.4", "A result is a JSON object.", _ENDS, "RESULT"),
        "tool-answered": ConformanceRule(
            "8.4",
            "Every call gets its result.",
            "answers without it (v2), or stays silent (2.5)",
            "tool-call",
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

_BY_TEXT: tuple[tuple[str, str], ...] = (
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

_VALUES: Mapping[type, str] = MappingProxyType(
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

_REQUEST_ID = re.compile(r"^RequestId=\S+ : ")
_DETAILS = 3
"""Maximum number of details of a rule."""


@dataclass(slots=True)
class RuleFinding:
    """The result of one rule in one stream."""

    outcome: Outcome = "kept"
    times: int = 0
    """Number of times that the rule was broken."""
    details: list[str] = field(default_factory=lambda: list[str]())
    """Descriptions of the first times."""


@dataclass(frozen=True, slots=True)
class RuleViolation:
    """A rule that has just been broken."""

    rule: str
    """Name of the rule."""
    outcome: Outcome
    detail: str
    """Description of the violation."""

    def __str__(self) -> str:
        rule = RULES[self.rule]
        return f"{self.rule} ({rule.section}): {self.detail}. The real service {rule.real}."


class ConformanceChecker:
    """A checker of one stream. Each method returns the violations that it found."""

    def __init__(self) -> None:
        self.findings: dict[str, RuleFinding] = {}
        self.state = StreamState.NEW
        self._audio: str | None = None
        self._record: Input | None = None
        self._verdict: StreamState | Refused | Tolerated = StreamState.NEW
        self._calls: dict[str, str] = {}
        self._answering = False
        self._ended = False

    @property
    def conforms(self) -> bool:
        """True if no rule is broken in a way that ends a stream."""
        return all(found.outcome != "broken" for found in self.findings.values())

    def received(self, payload: bytes) -> list[RuleViolation]:
        """Check an input event.

        Args:
            payload: The event's bytes.

        Returns:
            The violations in it; those that the service will refuse follow with its exception.
        """
        self._mark_tested("frame")
        try:
            record = decode_input(payload)
        except WireError:
            self._record = None
            return []  # the service's exception, which follows, names the rule
        what = input_kind(record, self._audio)
        self._record, self._verdict = record, verdict(self.state, what)
        self._mark_tested(what.name)
        mistakes = self._inspect(record, what)
        match self._verdict:
            case StreamState() as state:
                self.state = state
            case Tolerated(state):
                self.state = state
            case Refused():
                pass
        return mistakes

    def answered(self, effect: Effect) -> list[RuleViolation]:
        """Check an effect of the service or of the checks of frames.

        Args:
            effect: The effect.

        Returns:
            The violations that it reveals.
        """
        match effect:
            case Note(text, rule) if rule == EXPECTATION:
                return self._add_violation(rule, "broken", text)
            case Note(text, rule) if rule in RULES:
                return self._add_violation(rule, "deviates", text)
            case Fail(message=message, injected=False):
                return self._check_exception(_REQUEST_ID.sub("", message))
            case Emit(payload):
                self._follow_output(payload)
            case _:
                pass
        return []

    def input_ended(self) -> list[RuleViolation]:
        """Check the end of the input."""
        self._mark_tested("input-end")
        return self._check_end()

    def _check_end(self) -> list[RuleViolation]:
        if self._ended:
            return []
        self._ended = True
        self._mark_tested("end")
        return [
            mistake
            for call, name in self._calls.items()
            for mistake in self._add_violation("tool-answered", "deviates", f"{name} ({call})")
        ]

    def _inspect(self, record: Input, what: InputKind) -> list[RuleViolation]:
        """Check what the service does not report."""
        match record:
            case AudioStart(content=content):
                self._audio = content
            case ContentEnd() if what is InputKind.AUDIO_END:
                self._audio = None
            case TextStart(role="SYSTEM" | "SYSTEM_SPEECH" as role, interactive=interactive):
                self._mark_tested("system")
                if interactive:
                    detail = f"{role} came with interactive true"
                    return self._add_violation("interactive-system", "deviates", detail)
            case TextStart() if self.state is StreamState.PROMPT:
                self._mark_tested("history")
            case ToolResultStart(tool_use=call):
                self._calls.pop(call, None)
            case PromptEnd() if self._answering:
                return self._add_violation(
                    "cut-answer", "deviates", "promptEnd came during an answer"
                )
            case _ if what is InputKind.SESSION_END:
                return self._check_end()
            case _:
                pass
        return []

    def _follow_output(self, payload: bytes) -> None:
        """Follow the output events that decide what the client may do next."""
        match _output(payload):
            case TextBlock(role="USER") | TextBlock(stage="SPECULATIVE"):
                self._answering = True
            case BlockEnd(kind="AUDIO", stop="END_TURN" | "INTERRUPTED"):
                self._answering = False
            case ToolUse(tool_use=call, name=name):
                self._mark_tested("tool-call")
                self._calls[call] = name
            case _:
                pass

    def _check_exception(self, text: str) -> list[RuleViolation]:
        rule = next((rule for pattern, rule in _BY_TEXT if re.search(pattern, text)), None)
        if rule is None and text == INVALID:
            rule = self._rule_of_invalid()
        return self._add_violation(rule, "broken", text) if rule is not None else []

    def _rule_of_invalid(self) -> str:
        """Return the rule that `Invalid input request` is about."""
        match self._verdict:
            case Refused():
                return "order"
            case Tolerated(rule=rule) if rule in RULES:
                return rule
            case _:
                return _VALUES.get(type(self._record), "names")

    def _add_violation(self, name: str, outcome: Outcome, detail: str) -> list[RuleViolation]:
        found = self.findings.setdefault(name, RuleFinding())
        found.times += 1
        if found.outcome != "broken":
            found.outcome = outcome
        detail = detail.replace("\n", " ").rstrip(".")
        if len(found.details) < _DETAILS:
            found.details.append(detail)
        return [RuleViolation(name, outcome, detail)]

    def _mark_tested(self, what: str) -> None:
        for name in _TESTED_BY.get(what, ()):
            self.findings.setdefault(name, RuleFinding())


def _tested_by() -> dict[str, tuple[str, ...]]:
    words = {word for rule in RULES.values() for word in rule.tests.split()}
    return {
        word: tuple(name for name, rule in RULES.items() if word in rule.tests.split())
        for word in words
    }


_TESTED_BY = _tested_by()
"""Names of the rules that each event puts to the test."""


def _output(payload: bytes) -> Output | None:
    try:
        return decode_output(payload)
    except WireError:
        return None
