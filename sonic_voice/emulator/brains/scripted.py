"""A scenario as a brain: one step for each utterance, then `otherwise`.

Implements the ports of `service.brain`. When no words are given, because there is no recogniser,
the transcript is the `user` text of the step, and conditions are judged on it; typed or recognised
words are used as they are. An expectation that a scenario has and that is not met becomes a note
of the rule `scenario-expectation`, with the step and both values.

A stream whose history repeats the steps from the first one, because its client has renewed its
stream, goes on after them (`resumption`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ..scenario import Recording, Scenario, ScenarioCall, ScenarioStep, fill, parse_scenario
from ..scenario.conditions import all_met, met
from ..scenario.step_graph import step_numbers
from ..scenario.templates import as_said
from ..service.brain import BrainSession, ConversationSetup, Reply, Resample, ToolRequest
from .resumption import StageDirection, begins_with, rest_of, split_history, stage_direction

BUILT_IN = "small_talk.yaml"
"""File name of the built-in scenario, in this package."""

UNKNOWN_WORDS = "something else"
"""Transcript of an utterance after the last step."""


class ScriptedBrain:
    """A scenario for any number of streams. Implements `Brain`."""

    def __init__(self, scenario: Scenario, resample: Resample) -> None:
        self._scenario = scenario
        self._resample = resample

    @property
    def endpoint_ms(self) -> int | None:
        return self._scenario.endpoint_ms

    @property
    def voice(self) -> str | None:
        return self._scenario.voice

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """See `Brain`. The session starts at the first step."""
        return ScriptedSession(self._scenario, opening)

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """See `Brain`."""
        if recording.rate_hz == rate_hz:
            return recording.pcm
        return self._resample(recording.pcm, recording.rate_hz, rate_hz)


class ScriptedSession:
    """One stream's position in a scenario. Implements `BrainSession`."""

    def __init__(self, scenario: Scenario, opening: ConversationSetup) -> None:
        self._scenario = scenario
        self._step_numbers = step_numbers(scenario.steps)
        self._tools = sorted(tool.name for tool in opening.tools)
        self._next = 0
        self._calls: list[_Called] = []
        self._values = {"result": dict[str, Any](), **scenario.assign}
        self._answer = ""
        """The newest answer, also one of an earlier stream that the history tells of."""
        self._heard = ""
        """The newest message of the assistant in the history."""
        self._left_the_script = False
        """True once the history has words that are not those of the steps."""

    def told(self, role: str, text: str) -> None:
        """See `BrainSession`. A history that follows the steps from the first one moves on."""
        if role == "ASSISTANT":
            self._heard = text
        if role != "USER" or self._left_the_script:
            return
        words, results = split_history(text)
        while words:
            self._skip_steps_without_words()
            rest = begins_with(words, self._step().user)
            if rest is None:
                break
            self._heard = ""
            reply = self.hear(None)
            for call in reply.calls[: len(results)]:
                self.result(call.number, results.pop(0))
            words = rest
        self._left_the_script = bool(words)

    def played(self, sentence: str) -> None:
        """See `BrainSession`. A scenario does not use what was heard."""

    def thought(self, piece: str | None) -> Reply:
        """See `BrainSession`. A scenario asks the host for nothing."""
        return Reply()

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """See `BrainSession`. The answer is that of the current step."""
        direction = stage_direction(words) if typed and words is not None else None
        if direction is not None:
            return self._directed(direction)
        step = self._step()
        at = self._next
        words = step.user if words is None else words
        self._values["user"] = words
        notes: list[tuple[str, str]] = []
        name = step.name or str(at + 1)
        answer = self._chosen(step, step, name, notes)
        # The default is the following step; a `goto` of the answer replaces it.
        self._next = min(at + 1, len(self._scenario.steps))
        self._follow(answer, notes)
        calls: list[ToolRequest] = []
        say, meanwhile = list(answer.say), list[str]()
        for call in answer.calls:
            if call.tool in self._tools:
                arguments = fill(dict(call.arguments), self._values, _noting(notes))
                calls.append(ToolRequest(len(self._calls), call.tool, arguments))
                self._calls.append(_Called(call, words, name))
                meanwhile += call.meanwhile
                continue
            # The client did not offer the tool: say so, instead of a call that it cannot answer.
            offered = ", ".join(self._tools) or "none"
            notes.append(
                ("tool-not-offered", f"the scenario calls {call.tool}; offered: {offered}")
            )
            say.append(f"I would use the tool {call.tool} now, but I was not given it.")
        said = self._filled(say, notes)
        self._answer = " ".join(said)
        return Reply(
            say=said,
            words=words,
            calls=tuple(calls),
            meanwhile=self._filled(meanwhile, notes),
            wav=answer.wav,
            delay_ms=answer.delay_ms,
            error=answer.error,
            broken=answer.broken,
            notes=tuple(notes),
        )

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """See `BrainSession`. In the answer, `{user}` stands for the words that caused the call."""
        called = self._calls[number]
        call = called.call
        self._values |= {"user": called.words, "result": result}
        notes: list[tuple[str, str]] = []
        # The plain answer to the result, as a step, so that `when` and `else` can replace it.
        then = ScenarioStep(
            called.words, call.then, delay_ms=call.delay_ms, assign=call.assign, goto=call.goto
        )
        answer = self._chosen(call, then, called.step, notes)
        self._follow(answer, notes)
        say = self._filled(answer.say, notes)
        self._answer = " ".join(say)
        return Reply(say, delay_ms=answer.delay_ms, notes=tuple(notes))

    def _directed(self, direction: StageDirection) -> Reply:
        """Answer a text of the client that the user did not say."""
        if direction.result is not None and self._calls:
            return self.result(len(self._calls) - 1, direction.result)
        return Reply((rest_of(self._answer, self._heard),))

    def _skip_steps_without_words(self) -> None:
        """Take the steps whose transcript is empty, which the history of a client does not have."""
        for _ in self._scenario.steps:
            if self._step().user.strip():
                return
            self.hear(None)

    def _step(self) -> ScenarioStep:
        steps = self._scenario.steps
        if self._scenario.loop:
            self._next %= len(steps)
        if self._next < len(steps):
            return steps[self._next]
        return ScenarioStep(UNKNOWN_WORDS, self._scenario.otherwise)

    def _chosen(
        self,
        of: ScenarioStep | ScenarioCall,
        own: ScenarioStep,
        name: str,
        notes: list[tuple[str, str]],
    ) -> ScenarioStep:
        """Return the answer of a step or a call that applies, `own` being the unconditional one."""
        missed = False
        for condition in of.expect:
            groups = met(condition, self._values)
            if groups is None:
                missed = True
                text = f"step {name}: {condition.unmet(self._values)}"
                notes.append(("scenario-expectation", text))
            else:
                self._values |= groups
        if missed and of.fallback is not None:
            return of.fallback
        for branch in of.when:
            groups = all_met(branch.conditions, self._values)
            if groups is not None:
                self._values |= groups
                return branch.answer
        return own

    def _follow(self, answer: ScenarioStep, notes: list[tuple[str, str]]) -> None:
        """Set the variables of `answer`, and go to the step that it names."""
        for name, value in answer.assign.items():
            self._values[name] = fill(value, self._values, _noting(notes))
        if answer.goto:
            self._next = self._step_numbers[answer.goto]

    def _filled(self, texts: Iterable[str], notes: list[tuple[str, str]]) -> tuple[str, ...]:
        return tuple(as_said(fill(text, self._values, _noting(notes))) for text in texts)


@dataclass(frozen=True, slots=True)
class _Called:
    """A tool call that was made, with the words that caused it and its step."""

    call: ScenarioCall
    words: str
    step: str


def _noting(notes: list[tuple[str, str]]) -> Callable[[str], None]:
    def missing(placeholder: str) -> None:
        notes.append(("scenario-value", f"the scenario's {placeholder} has no value here"))

    return missing


def small_talk() -> Scenario:
    """Return the built-in scenario."""
    text = resources.files(__package__).joinpath(BUILT_IN).read_text(encoding="utf-8")
    return parse_scenario(text, Path(BUILT_IN))
