"""The rules that a client keeps, one by one, and a judge of one stream that looks on.

`RULES` says of each rule where it stands in the protocol reference, and what the real service does
about a client that breaks it. A judge is told everything that comes in and everything that is
answered; it refuses nothing and changes nothing. What it knows of a broken rule it takes from

- the service's notes: deviations that were tolerated;
- its exceptions: their texts, and, for the one text that says nothing (`Invalid input request`),
  the event it came for and the table of legal order;
- what it sees itself: tool calls without a result, a goodbye that cuts an answer off.

A rule that was never put to the test is neither kept nor broken: each names what tests it.
Exceptions that are no client's mistake, such as injected faults, break no rule.
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
"""`deviates`: broken, and the session goes on, here and, as far as known, at the real service."""

_TOLERATES = "goes on"
_ENDS = "ends the stream with a validationException"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for clients."""

    section: str
    """Of the protocol reference."""
    says: str
    real: str
    """What the real service does when it is broken: goes on after "The real service ..."."""
    tests: str
    """What puts it to the test, in words of `_TESTS`, separated by spaces."""


EXPECTATION = "scenario-expectation"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "signature": Rule("1.5", "Every frame is signed, in one chain.", _ENDS, "frame"),
        "readable": Rule("1.4", "Frames and events can be read.", _ENDS, "frame"),
        "chunk-size": Rule("0.4", "A chunk holds at most 1,000,000 bytes.", _ENDS, "frame"),
        "one-event": Rule("1.4", "Every chunk holds an event.", _ENDS, "frame"),
        "no-empty-frame": Rule(
            "1.5", "The input ends with a signed empty frame.", _TOLERATES, "input-end"
        ),
        "regional-id": Rule(
            "0.1",
            "The model is named without a region.",
            "answers 404: voice models have no regional ids",
            "SESSION_START",
        ),
        "order": Rule("2.1", "Events come where they belong.", _ENDS, "frame"),
        "unknown-event": Rule(
            "2", "Only events that the service knows are sent.", f"{_TOLERATES}, or {_ENDS}", "end"
        ),
        "names": Rule(
            "2", "Events name the prompt and an open content.", _ENDS, "TEXT AUDIO BLOCK_END"
        ),
        "session-values": Rule(
            "2.2", "The values of sessionStart are in range.", _ENDS, "SESSION_START"
        ),
        "no-inference": Rule(
            "2.2", "sessionStart has its numbers.", "takes values of its own", "SESSION_START"
        ),
        "endpointing": Rule(
            "2.2", "v1 gets no turn detection.", f"may refuse it: {_ENDS}", "SESSION_START"
        ),
        "voice": Rule("2.3", "The voice is one of the model's.", _ENDS, "PROMPT_START"),
        "prompt-values": Rule(
            "2.3", "Formats and tools of promptStart are sound.", _ENDS, "PROMPT_START"
        ),
        "content-values": Rule(
            "2.4", "contentStart has a role and a format that fit.", _ENDS, "TEXT_START AUDIO_START"
        ),
        "content-name": Rule(
            "2", "A contentName is used once.", f"may refuse it: {_ENDS}", "TEXT_START AUDIO_START"
        ),
        "empty-content": Rule("6", "A content has data.", _ENDS, "BLOCK_END AUDIO_END"),
        "system-once": Rule("2.1", "There is one SYSTEM content.", _ENDS, "system"),
        "late-system": Rule(
            "2.1", "SYSTEM comes before all else.", f"may refuse it: {_ENDS}", "system"
        ),
        "interactive-system": Rule(
            "2.4",
            "SYSTEM is not interactive.",
            "takes both; only the user's live text is meant to be interactive",
            "system",
        ),
        "history-first": Rule("2.9", "The history begins with the user.", _ENDS, "history"),
        "history-order": Rule(
            "2.9", "The history alternates.", f"may refuse it: {_ENDS}", "history"
        ),
        "history-size": Rule("2.9", "The history keeps to its size.", _ENDS, "history"),
        "history-messages": Rule(
            "2.9", "The history has at most 40 messages.", f"may refuse it: {_ENDS}", "history"
        ),
        "history-closed": Rule("2.1", "The history is sent before any audio.", _ENDS, "history"),
        "second-audio": Rule(
            "2.1", "There is one audio container.", f"may refuse it: {_ENDS}", "AUDIO_START"
        ),
        "late-audio": Rule(
            "2.1", "No audio after its container.", f"may refuse it: {_ENDS}", "AUDIO_END"
        ),
        "audio-flow": Rule("1.9", "Audio never pauses for long.", _ENDS, "AUDIO"),
        "life": Rule(
            "1.9",
            "A stream is renewed before its eight minutes.",
            "ends the stream with a modelTimeoutException",
            "AUDIO",
        ),
        "text-ignored": Rule("2.10", "v1 is asked by voice.", "never answers it", "TEXT_START"),
        "tool-id": Rule("8.4", "A result names a call, once.", _ENDS, "TOOL_START"),
        "tool-media": Rule("8.4", "A result is text/plain.", _ENDS, "TOOL_START"),
        "tool-result": Rule("8.4", "A result is a JSON object.", _ENDS, "RESULT"),
        "tool-answered": Rule(
            "8.4",
            "Every call gets its result.",
            "answers without it (v2), or stays silent (2.5)",
            "tool-call",
        ),
        "prompt-audio": Rule("6", "A prompt has audio.", _ENDS, "PROMPT_END"),
        "open-content": Rule("6", "Contents are closed before the prompt.", _ENDS, "PROMPT_END"),
        "open-audio": Rule(
            "6",
            "The audio container is closed before the prompt.",
            "says `All contents must be closed before ending prompt`, mostly to nobody",
            "PROMPT_END",
        ),
        "cut-answer": Rule(
            "1.8",
            "The prompt ends after the answer.",
            "says nothing more: the rest of the answer is lost",
            "PROMPT_END",
        ),
        "no-prompt": Rule("2.1", "A session has a prompt.", _ENDS, "SESSION_END"),
        "open-prompt": Rule(
            "1.8", "The prompt is closed before the session.", f"may refuse it: {_ENDS}", "end"
        ),
        "no-goodbye": Rule(
            "1.8",
            "The session ends with sessionEnd.",
            "goes on, and on the bill, until its timers end it",
            "end",
        ),
        EXPECTATION: Rule("scenario", "What the scenario expects comes.", "knows no scenario", ""),
    }
)
"""All rules, by name; names of the service's notes are those of its notes."""

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
"""Texts of exceptions that each say of one rule that it was broken."""

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
"""What `Invalid input request` is about when the event itself was in its place."""

_REQUEST_ID = re.compile(r"^RequestId=\S+ : ")
_DETAILS = 3


@dataclass(slots=True)
class Finding:
    """How one rule fared in one stream."""

    outcome: Outcome = "kept"
    times: int = 0
    """How often it was broken."""
    details: list[str] = field(default_factory=lambda: list[str]())
    """The first few times, in words."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A rule was broken just now."""

    rule: str
    outcome: Outcome
    detail: str

    def __str__(self) -> str:
        rule = RULES[self.rule]
        return f"{self.rule} ({rule.section}): {self.detail}. The real service {rule.real}."


class Judge:
    """Looks at one stream. What it is told it answers with the mistakes in it."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}
        self.state = StreamState.NEW
        self._audio: str | None = None
        self._record: Input | None = None
        self._verdict: StreamState | Refused | Tolerated = StreamState.NEW
        self._calls: dict[str, str] = {}
        self._answering = False
        self._ended = False

    @property
    def conforms(self) -> bool:
        """Whether no rule is broken in a way that ends a stream."""
        return all(found.outcome != "broken" for found in self.findings.values())

    def received(self, payload: bytes) -> list[Mistake]:
        """One input event came."""
        self._test("frame")
        try:
            record = decode_input(payload)
        except WireError:
            self._record = None
            return []  # the service's exception says what is wrong
        what = input_kind(record, self._audio)
        self._record, self._verdict = record, verdict(self.state, what)
        self._test(what.name)
        mistakes = self._look(record, what)
        match self._verdict:
            case StreamState() as state:
                self.state = state
            case Tolerated(state):
                self.state = state
            case Refused():
                pass
        return mistakes

    def answered(self, effect: Effect) -> list[Mistake]:
        """One effect of the service or of the checks of frames."""
        match effect:
            case Note(text, rule) if rule == EXPECTATION:
                return self._broken(rule, "broken", text)
            case Note(text, rule) if rule in RULES:
                return self._broken(rule, "deviates", text)
            case Fail(message=message, injected=False):
                return self._failed(_REQUEST_ID.sub("", message))
            case Emit(payload):
                self._heard(payload)
            case _:
                pass
        return []

    def input_ended(self) -> list[Mistake]:
        """Nothing more will come."""
        self._test("input-end")
        return self._end()

    def _end(self) -> list[Mistake]:
        if self._ended:
            return []
        self._ended = True
        self._test("end")
        return [
            mistake
            for call, name in self._calls.items()
            for mistake in self._broken("tool-answered", "deviates", f"{name} ({call})")
        ]

    def _look(self, record: Input, what: InputKind) -> list[Mistake]:
        """What the service has nothing to say about."""
        match record:
            case AudioStart(content=content):
                self._audio = content
            case ContentEnd() if what is InputKind.AUDIO_END:
                self._audio = None
            case TextStart(role="SYSTEM" | "SYSTEM_SPEECH" as role, interactive=interactive):
                self._test("system")
                if interactive:
                    detail = f"{role} came with interactive true"
                    return self._broken("interactive-system", "deviates", detail)
            case TextStart() if self.state is StreamState.PROMPT:
                self._test("history")
            case ToolResultStart(tool_use=call):
                self._calls.pop(call, None)
            case PromptEnd() if self._answering:
                return self._broken("cut-answer", "deviates", "promptEnd came during an answer")
            case _ if what is InputKind.SESSION_END:
                return self._end()
            case _:
                pass
        return []

    def _heard(self, payload: bytes) -> None:
        """What the service says matters for what the client may do next."""
        match _output(payload):
            case TextBlock(role="USER") | TextBlock(stage="SPECULATIVE"):
                self._answering = True
            case BlockEnd(kind="AUDIO", stop="END_TURN" | "INTERRUPTED"):
                self._answering = False
            case ToolUse(tool_use=call, name=name):
                self._test("tool-call")
                self._calls[call] = name
            case _:
                pass

    def _failed(self, text: str) -> list[Mistake]:
        rule = next((rule for pattern, rule in _BY_TEXT if re.search(pattern, text)), None)
        if rule is None and text == INVALID:
            rule = self._invalid()
        return self._broken(rule, "broken", text) if rule is not None else []

    def _invalid(self) -> str:
        """Which rule the text that says nothing is about."""
        match self._verdict:
            case Refused():
                return "order"
            case Tolerated(rule=rule) if rule in RULES:
                return rule
            case _:
                return _VALUES.get(type(self._record), "names")

    def _broken(self, name: str, outcome: Outcome, detail: str) -> list[Mistake]:
        found = self.findings.setdefault(name, Finding())
        found.times += 1
        if found.outcome != "broken":
            found.outcome = outcome
        detail = detail.replace("\n", " ").rstrip(".")
        if len(found.details) < _DETAILS:
            found.details.append(detail)
        return [Mistake(name, outcome, detail)]

    def _test(self, what: str) -> None:
        for name in _TESTED_BY.get(what, ()):
            self.findings.setdefault(name, Finding())


def _tested_by() -> dict[str, tuple[str, ...]]:
    words = {word for rule in RULES.values() for word in rule.tests.split()}
    return {
        word: tuple(name for name, rule in RULES.items() if word in rule.tests.split())
        for word in words
    }


_TESTED_BY = _tested_by()


def _output(payload: bytes) -> Output | None:
    try:
        return decode_output(payload)
    except WireError:
        return None
