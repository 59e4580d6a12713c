"""Who decides what the emulator "hears" and answers: one small port, and a scenario behind it.

There is no recogniser yet, so a brain is asked by number: what was the n-th utterance, and what
does it get? It keeps nothing between two questions and may serve any number of streams.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Protocol

from .scenario import Recording, Scenario, Step, parse_scenario

type Resample = Callable[[bytes, int, int], bytes]
"""`(pcm, from_hz, to_hz)` to mono s16le samples at the second rate."""

BUILT_IN = "small_talk.yaml"

UNKNOWN_WORDS = "something else"
"""The transcript of an utterance after the last step."""


class Brain(Protocol):
    """What a `SonicService` asks."""

    @property
    def endpoint_ms(self) -> int | None:
        """Silence that ends an utterance; None: as the client asks."""
        ...

    @property
    def voice(self) -> str | None:
        """The voice that speaks; None: the client's choice."""
        ...

    def reply(self, number: int, typed: str | None) -> Step:
        """The answer to utterance `number`, from 0. `typed` is its text, None for speech."""
        ...

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """`recording` as s16le PCM at `rate_hz`."""
        ...


class ScenarioBrain:
    """Plays a scenario: step n to utterance n, then `otherwise`."""

    def __init__(self, scenario: Scenario, resample: Resample) -> None:
        self._scenario = scenario
        self._resample = resample

    @property
    def endpoint_ms(self) -> int | None:
        return self._scenario.endpoint_ms

    @property
    def voice(self) -> str | None:
        return self._scenario.voice

    def reply(self, number: int, typed: str | None) -> Step:
        step = self._step(number)
        return step if typed is None else replace(step, user=typed)

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        if recording.rate_hz == rate_hz:
            return recording.pcm
        return self._resample(recording.pcm, recording.rate_hz, rate_hz)

    def _step(self, number: int) -> Step:
        steps = self._scenario.steps
        if self._scenario.loop:
            return steps[number % len(steps)]
        if number < len(steps):
            return steps[number]
        return Step(UNKNOWN_WORDS, self._scenario.otherwise)


def small_talk() -> Scenario:
    """The built-in dialogue."""
    text = resources.files(__package__).joinpath(BUILT_IN).read_text(encoding="utf-8")
    return parse_scenario(text, Path(BUILT_IN))
