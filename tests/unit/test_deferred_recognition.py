"""A recogniser that is loaded later: it hears all that was said before, in its order."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from sonic_voice.emulator.speech import DeferredRecognizer
from sonic_voice.errors import ConfigError

PATIENCE_S = 30.0


@dataclass
class Utterance:
    """An utterance whose words are the number of its bytes."""

    heard: bytearray = field(default_factory=bytearray)
    cancelled: bool = False

    def feed(self, pcm: bytes) -> None:
        self.heard += pcm

    def finish(self) -> str | None:
        return self.heard.decode()

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Engine:
    """A recogniser that notes what was asked of it."""

    begun: list[tuple[int, Sequence[str], str]] = field(
        default_factory=list[tuple[int, Sequence[str], str]]
    )
    utterances: list[Utterance] = field(default_factory=list[Utterance])

    def begin(self, rate_hz: int, hints: Sequence[str] = (), language: str = "en") -> Utterance:
        self.begun.append((rate_hz, hints, language))
        self.utterances.append(Utterance())
        return self.utterances[-1]


class Slow:
    """A recogniser that is loaded when the test says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.engine = Engine()
        self.loads = 0
        self.may_load = threading.Event()
        self._error = error
        self.deferred = DeferredRecognizer(self._load)

    def _load(self) -> Engine:
        self.loads += 1
        assert self.may_load.wait(PATIENCE_S)
        if self._error is not None:
            raise self._error
        return self.engine

    def load(self) -> None:
        self.may_load.set()
        self.deferred.load_soon().exception(PATIENCE_S)


def test_nothing_is_loaded_before_it_is_asked_for_and_then_once() -> None:
    slow = Slow()
    assert slow.loads == 0
    assert slow.deferred.load_soon() is slow.deferred.load_soon()
    slow.load()
    slow.deferred.begin(8_000)
    assert slow.loads == 1


def test_what_was_said_before_is_recognised_when_it_is_loaded() -> None:
    slow = Slow()
    utterance = slow.deferred.begin(16_000, ("one",), "fr")
    utterance.feed(b"a")
    utterance.feed(b"b")
    assert slow.engine.begun == []
    slow.load()
    utterance.feed(b"c")
    assert slow.engine.begun == [(16_000, ("one",), "fr")]
    assert slow.engine.utterances[0].heard == b"abc"
    assert utterance.finish() == "abc"


def test_the_words_are_waited_for_until_it_is_loaded() -> None:
    slow = Slow()
    utterance = slow.deferred.begin(16_000)
    utterance.feed(b"ab")
    threading.Timer(0.05, slow.may_load.set).start()
    assert utterance.finish() == "ab"


def test_an_utterance_that_begins_later_is_the_engines_own() -> None:
    slow = Slow()
    slow.load()
    assert slow.deferred.begin(16_000) is slow.engine.utterances[0]


def test_a_cancelled_utterance_is_discarded_before_and_after() -> None:
    slow = Slow()
    early, late = slow.deferred.begin(16_000), slow.deferred.begin(16_000)
    early.feed(b"a")
    early.cancel()
    slow.load()
    assert slow.engine.utterances == []
    late.feed(b"b")
    late.cancel()
    assert slow.engine.utterances[0].cancelled


def test_an_error_of_loading_is_raised_where_the_words_are_asked_for() -> None:
    slow = Slow(ConfigError("The weights are damaged."))
    utterance = slow.deferred.begin(16_000)
    slow.load()
    utterance.feed(b"a")
    for one in (utterance, slow.deferred.begin(16_000)):
        with pytest.raises(ConfigError, match="damaged"):
            one.finish()
