"""Response latency in its parts: endpointing, model and network, playout."""

import pytest

from sonic_voice.audio.ports import NullSink
from sonic_voice.config import SessionConfig
from sonic_voice.events import (
    Audio,
    Event,
    Interrupted,
    ToolCall,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.metrics import Metrics, TurnMetrics
from sonic_voice.session import Session
from sonic_voice.snapshot import SessionSnapshot
from sonic_voice.transport import MemoryTransport
from sonic_voice.wire import Tokens

SECOND = bytes(48_000)


class Conversation:
    """Metrics and the sink they ask; the first audio was sent at 0 s."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sink = NullSink(now=lambda: self.now_s)
        session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: 0.0)
        self.metrics = Metrics(session, self.sink)

    def tell(self, now: float, *events: Event) -> None:
        self.now_s = now
        for event in events:
            self.metrics(event, now)

    def play(self, now: float, sounds_from: float) -> None:
        """A second of the answer comes at `now`; the loudspeaker begins it at `sounds_from`."""
        self.tell(now, Audio(1, SECOND, 24_000))
        self.now_s = sounds_from
        self.sink.play(1, SECOND)

    @property
    def turn(self) -> TurnMetrics:
        return self.metrics.turn(1)


def test_the_response_latency_is_the_sum_of_its_parts() -> None:
    conversation = Conversation()
    conversation.tell(0.5, UserSpeechStarted(400))
    conversation.tell(1.7, UserSpeechEnded(1200, 1600), UserText(1, "Hello."))
    conversation.play(2.4, sounds_from=2.5)
    conversation.tell(2.8, ToolCall(1, "t", "go", "{}"))  # any event: 300 ms have sounded
    turn = conversation.turn
    assert turn.endpointing_s == pytest.approx(0.4)
    assert turn.answering_s == pytest.approx(0.8)  # from 1.6 s, where the service noticed
    assert turn.playout_s == pytest.approx(0.1)
    assert turn.response_latency_s == pytest.approx(1.3)


def test_the_first_audible_sample_counts_once() -> None:
    conversation = Conversation()
    conversation.tell(1.0, UserText(1, "Hello.", typed=True))
    conversation.play(2.0, sounds_from=2.2)
    conversation.tell(2.4, ToolCall(1, "t", "go", "{}"))
    conversation.tell(2.9, ToolCall(1, "u", "go", "{}"))
    turn = conversation.turn
    assert (turn.response_latency_s, turn.playout_s) == (pytest.approx(1.2), pytest.approx(0.2))
    assert turn.endpointing_s is None


def test_a_snapshot_asks_the_sink_too() -> None:
    now_s = 1.0
    session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: now_s)
    sink = NullSink(now=lambda: now_s)
    metrics = Metrics(session, sink)
    metrics(UserText(1, "Hello.", typed=True), now_s)
    metrics(Audio(1, SECOND, 24_000), now_s)
    sink.play(1, SECOND)
    now_s = 1.3
    assert metrics.snapshot.turns[0].playout_s == pytest.approx(0.0)


def test_a_turn_that_was_over_before_the_sink_was_asked_has_no_playout() -> None:
    conversation = Conversation()
    conversation.tell(1.0, UserText(1, "Hello.", typed=True))
    conversation.play(2.0, sounds_from=2.2)
    conversation.tell(9.0, UserSpeechStarted(8000))  # when it began can no longer be known
    turn = conversation.turn
    assert (turn.response_latency_s, turn.playout_s) == (pytest.approx(1.0), None)


def test_a_turn_interrupted_before_it_was_audible_has_no_playout() -> None:
    conversation = Conversation()
    conversation.tell(1.0, UserText(1, "Hello.", typed=True))
    conversation.play(2.0, sounds_from=2.0)
    conversation.now_s = 2.0
    conversation.tell(2.0, Interrupted(1, "marker"))
    conversation.tell(2.5, UserSpeechStarted(2000))
    assert conversation.turn.playout_s is None


def test_of_a_continued_conversation_what_is_new_is_counted_by_itself() -> None:
    before = SessionSnapshot(config=SessionConfig(), tokens=Tokens(1000, 10, 2000, 20))
    session = Session.open(SessionConfig(), MemoryTransport(), resume=before)
    metrics = Metrics(session)
    session.tokens = before.tokens + Tokens(100, 1, 200, 2)
    snapshot = metrics.snapshot
    assert snapshot.tokens == session.tokens
    assert snapshot.new_tokens == Tokens(100, 1, 200, 2)
    assert snapshot.cost_usd == pytest.approx(11 * snapshot.new_cost_usd)
