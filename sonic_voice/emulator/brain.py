"""A scenario as a brain: step n to utterance n, then `otherwise`.

The port is `partner`. Given no words, because nobody recognised any, the transcript is the step's
own; typed or recognised words stand as they are.
"""

import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from .partner import Opening, Partner, Reply, Resample, ToolRequest
from .scenario import Call, Recording, Scenario, Step, fill, parse_scenario

BUILT_IN = "small_talk.yaml"

UNKNOWN_WORDS = "something else"
"""The transcript of an utterance after the last step."""


class ScenarioBrain:
    """A scenario for any number of streams. Satisfies `partner.Brain`."""

    def __init__(self, scenario: Scenario, resample: Resample) -> None:
        self._scenario = scenario
        self._resample = resample

    @property
    def endpoint_ms(self) -> int | None:
        return self._scenario.endpoint_ms

    @property
    def voice(self) -> str | None:
        return self._scenario.voice

    def begin(self, opening: Opening) -> Partner:
        return ScenarioPartner(self._scenario, opening)

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        if recording.rate_hz == rate_hz:
            return recording.pcm
        return self._resample(recording.pcm, recording.rate_hz, rate_hz)


class ScenarioPartner:
    """One stream's place in a scenario. Satisfies `partner.Partner`."""

    def __init__(self, scenario: Scenario, opening: Opening) -> None:
        self._scenario = scenario
        self._tools = sorted(tool.name for tool in opening.tools)
        self._heard = 0
        self._calls: list[tuple[Call, str]] = []
        self._result: Mapping[str, Any] = {}

    def told(self, role: str, text: str) -> None:
        """A scenario has no use for it."""

    def played(self, sentence: str) -> None:
        """Nor for this."""

    def thought(self, piece: str | None) -> Reply:
        """It asks nothing of the host."""
        return Reply()

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """The next step."""
        step = self._step(self._heard)
        self._heard += 1
        words = step.user if words is None else words
        notes: list[tuple[str, str]] = []
        say, calls, meanwhile = step.say, tuple[ToolRequest, ...](), tuple[str, ...]()
        if step.call is not None and step.call.tool in self._tools:
            arguments = fill(dict(step.call.arguments), self._values(words), _noting(notes))
            calls = (ToolRequest(len(self._calls), step.call.tool, arguments),)
            self._calls.append((step.call, words))
            meanwhile = step.call.meanwhile
        elif step.call is not None:
            offered = ", ".join(self._tools) or "none"
            text = f"the scenario calls {step.call.tool}; offered: {offered}"
            notes.append(("tool-not-offered", text))
            say = (f"I would use the tool {step.call.tool} now, but I was not given it.",)
        return Reply(
            say=self._filled(say, words, notes),
            words=words,
            calls=calls,
            meanwhile=self._filled(meanwhile, words, notes),
            wav=step.wav,
            delay_ms=step.delay_ms,
            error=step.error,
            broken=step.broken,
            notes=tuple(notes),
        )

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """What the call says then."""
        call, words = self._calls[number]
        self._result = result
        notes: list[tuple[str, str]] = []
        say = self._filled(call.then, words, notes)
        return Reply(say, notes=tuple(notes))

    def _step(self, number: int) -> Step:
        steps = self._scenario.steps
        if self._scenario.loop:
            return steps[number % len(steps)]
        if number < len(steps):
            return steps[number]
        return Step(UNKNOWN_WORDS, self._scenario.otherwise)

    def _values(self, words: str) -> Mapping[str, Any]:
        return {"user": words, "result": self._result}

    def _filled(
        self, texts: tuple[str, ...], words: str, notes: list[tuple[str, str]]
    ) -> tuple[str, ...]:
        filled = (fill(text, self._values(words), _noting(notes)) for text in texts)
        return tuple(
            text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
            for text in filled
        )


def _noting(notes: list[tuple[str, str]]) -> Callable[[str], None]:
    def missing(holder: str) -> None:
        notes.append(("scenario-value", f"the scenario's {holder} has no value here"))

    return missing


def small_talk() -> Scenario:
    """The built-in dialogue."""
    text = resources.files(__package__).joinpath(BUILT_IN).read_text(encoding="utf-8")
    return parse_scenario(text, Path(BUILT_IN))
