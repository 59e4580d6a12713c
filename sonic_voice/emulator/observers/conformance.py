"""A checker of the rules that a client must keep (`conformance_rules`), for one stream.

A checker sees every input event and every effect; it refuses nothing and changes nothing. It learns
of a broken rule from

- the service's notes: deviations that were tolerated;
- its exceptions: their texts, and, for the one text that gives no reason (`Invalid input
  request`), the event that caused it and the table of legal order;
- its own observation: tool calls without a result, a goodbye that cuts an answer off.

A rule that was never put to the test is neither kept nor broken: each names what tests it.
Exceptions that are not a mistake of the client, such as injected faults, break no rule.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from ...catalog import EXPERT_TOOL
from ...errors import WireError
from ...wire import (
    AudioStart,
    BlockEnd,
    ContentEnd,
    Input,
    Output,
    PromptEnd,
    TextBlock,
    TextOutput,
    TextStart,
    ToolResultStart,
    ToolUse,
    UnknownInput,
    UserSpeechEnd,
    UserSpeechStart,
    decode_input,
    decode_output,
)
from ..service.effects import Effect, Emit, Fail, Note
from ..service.order import INVALID, InputKind, Refused, StreamState, Tolerated, input_kind, verdict
from .conformance_rules import EXPECTATION, RULES, RULES_BY_TEXT, TESTED_BY, VALUE_RULES

Outcome = Literal["kept", "deviates", "broken"]
"""Result of a rule. `deviates`: it was broken and the session goes on, here and, as far as is
known, at the real service."""

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
        self._interrupted = False
        """True from the marker of a barge-in until the user is heard again or types: an answer that
        goes on after it may be cut off."""
        self._user_speaks = False
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
            case TextStart(role="USER", interactive=True):
                self._interrupted = False
                self._excuse_expert_calls()
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
        record = _output(payload)
        match record:
            case ToolUse(tool_use=call, name=name):
                self._mark_tested("expert-call" if name == EXPERT_TOOL else "tool-call")
                self._calls[call] = name
            case UserSpeechStart():
                self._user_speaks = True
                self._excuse_expert_calls()
            case UserSpeechEnd():
                self._user_speaks = False
            case _:
                self._follow_answer(record)

    def _excuse_expert_calls(self) -> None:
        """Forget calls of `ExpertTool`: the user goes on, so they may stay without a result."""
        self._calls = {id: name for id, name in self._calls.items() if name != EXPERT_TOOL}

    def _follow_answer(self, record: Output | None) -> None:
        """Follow whether an answer is being given or owed, so that a goodbye cuts it off.

        An empty transcript is owed no answer. An answer that was interrupted is over, however the
        service reports it: with a marker, or with no more than the end of its sound while the user
        speaks (reference 3.11).
        """
        match record:
            case TextOutput(role="USER", text=text):
                self._interrupted, self._answering = False, bool(text.strip())
            case TextBlock(stage="SPECULATIVE"):
                self._answering = not self._interrupted
            case TextOutput() if record.is_interruption:
                self._interrupted, self._answering = True, False
            case BlockEnd(kind="AUDIO", stop=stop):
                if stop != "PARTIAL_TURN" or self._user_speaks:
                    self._answering = False
            case _:
                pass

    def _check_exception(self, text: str) -> list[RuleViolation]:
        rule = next((rule for pattern, rule in RULES_BY_TEXT if re.search(pattern, text)), None)
        if rule is None and text == INVALID:
            rule = self._rule_of_invalid()
        if rule == "unknown-event" and isinstance(self._record, UnknownInput):
            text = f"{self._record.name}: {text}"
        return self._add_violation(rule, "broken", text) if rule is not None else []

    def _rule_of_invalid(self) -> str:
        """Return the rule that `Invalid input request` is about."""
        match self._verdict:
            case Refused():
                return "order"
            case Tolerated(rule=rule) if rule in RULES:
                return rule
            case _:
                return VALUE_RULES.get(type(self._record), "names")

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
        for name in TESTED_BY.get(what, ()):
            self.findings.setdefault(name, RuleFinding())


def _output(payload: bytes) -> Output | None:
    try:
        return decode_output(payload)
    except WireError:
        return None
