"""What the tracing makes of single events: ends, faults, and spans that nobody closes."""

from typing import Any

import pytest

from sonic_voice.config import SessionConfig
from sonic_voice.errors import ConnectionLost
from sonic_voice.events import (
    AssistantText,
    Audio,
    Closed,
    Ended,
    Event,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    Usage,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.metrics import Metrics
from sonic_voice.session import Session
from sonic_voice.tracing import Tracing
from sonic_voice.transport import MemoryTransport
from sonic_voice.wire import Tokens

from ..support.collector import Collector, attributes, seconds

SOUND = bytes(4800)
LOST = ConnectionLost("The connection was cut.", reason="cut")


class Conversation:
    """The tracing of a conversation whose first audio was sent at 0 s."""

    def __init__(self, **options: Any) -> None:
        self.collector = Collector()
        session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: 0.0)
        self.metrics = Metrics(session)
        self.tracing = Tracing(session, self.metrics, **options, **self.collector.providers)

    def tell(self, now: float, *events: Event) -> None:
        for event in events:
            self.metrics(event, now)
            self.tracing(event, now)

    def asks(self) -> None:
        """The user speaks from 1 s to 2 s; the service notices it at 2.4 s."""
        self.tell(1.2, UserSpeechStarted(1000))
        self.tell(2.5, UserSpeechEnded(2000, 2400), UserText(1, "Hello."))

    def reasons(self) -> list[tuple[str, ...]]:
        spans = self.collector.spans("realtime_inference")
        return [attributes(span)["gen_ai.response.finish_reasons"] for span in spans]


def test_an_answer_begins_where_the_service_noticed_the_end_of_speech() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(3.0, AssistantText(1, 0, "Hi.", "SPECULATIVE"), Audio(1, SOUND, 24_000))
    conversation.tell(3.4, TurnEnded(1))
    assert conversation.collector.spans("realtime_inference") == [], "tokens may still come"
    conversation.tell(9.0, Closed())
    [speech] = conversation.collector.spans("user_speech")
    [answer] = conversation.collector.spans("realtime_inference")
    assert seconds(speech) == pytest.approx(1.0)
    assert seconds(answer) == pytest.approx(1.0)
    assert attributes(answer)["sonic_voice.response_latency"] == pytest.approx(1.0)
    assert attributes(answer)["sonic_voice.response_latency.endpointing"] == pytest.approx(0.4)


def test_an_interruption_ends_an_answer_that_is_still_coming() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(3.0, Audio(1, SOUND, 24_000))
    conversation.tell(3.2, Interrupted(1, "marker"))
    conversation.tell(9.0, Closed())
    assert conversation.reasons() == [("INTERRUPTED",)]
    [answer] = conversation.collector.spans("realtime_inference")
    assert seconds(answer) == pytest.approx(0.8)


def test_an_interruption_of_the_playback_leaves_the_end_of_the_answer() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(3.0, Audio(1, SOUND, 24_000), TurnEnded(1))
    conversation.tell(3.2, Interrupted(1, "userSpeechStart"), Closed())
    assert conversation.reasons() == [("END_TURN",)]
    [answer] = conversation.collector.spans("realtime_inference")
    assert attributes(answer)["sonic_voice.interrupted"] is True


def test_an_answer_that_never_came_is_a_failed_span() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(4.0, Ended(LOST))
    [answer] = conversation.collector.spans("realtime_inference")
    assert conversation.reasons() == [("error",)]
    assert attributes(answer)["error.type"] == "cut"
    assert answer.status.status_code.name == "ERROR"
    name, told, _ = conversation.collector.events[-1]
    assert (name, told["error.type"]) == ("gen_ai.client.realtime_session.ended", "cut")


def test_an_answer_is_no_failure_if_the_connection_is_lost_after_it() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(3.0, Audio(1, SOUND, 24_000), TurnEnded(1))
    conversation.tell(4.0, Ended(LOST))
    [answer] = conversation.collector.spans("realtime_inference")
    assert conversation.reasons() == [("END_TURN",)]
    assert "error.type" not in attributes(answer)


def test_two_calls_in_a_row_are_one_answer_and_an_error_of_a_tool_is_one_of_its_span() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(3.0, ToolCall(1, "a", "go", "{}"), ToolCall(1, "b", "stop", "{}"))
    conversation.tell(3.5, ToolAnswered(1, "a", "go", "{}"))
    conversation.tell(4.0, ToolAnswered(1, "b", "stop", '{"error": "no"}'))
    conversation.tell(5.0, Audio(1, SOUND, 24_000), TurnEnded(1), Closed())
    assert conversation.reasons() == [("TOOL_USE",), ("END_TURN",)]
    tools = {span.name: span for span in conversation.collector.spans("execute_tool")}
    assert seconds(tools["execute_tool go"]) == pytest.approx(0.5)
    assert tools["execute_tool go"].status.status_code.name == "UNSET"
    assert tools["execute_tool stop"].status.status_code.name == "ERROR"
    told = conversation.collector.spans("realtime_inference")[1]
    assert seconds(told) == pytest.approx(1.0), "from the last result"


def test_a_tool_of_a_reasoner_has_a_span_and_is_no_answer_of_the_voice_model() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(3.0, ToolCall(1, "a", "ExpertTool", "{}"))
    conversation.tell(3.1, ToolCall(1, "a/1", "go", "{}", by_reasoner=True))
    conversation.tell(3.2, Audio(1, SOUND, 24_000))
    conversation.tell(3.6, ToolAnswered(1, "a/1", "go", "{}", by_reasoner=True))
    conversation.tell(3.7, ToolCall(1, "a/2", "go", "{}", by_reasoner=True))
    conversation.tell(3.8, ToolAnswered(1, "a/2", "go", '{"error": "no"}', by_reasoner=True))
    conversation.tell(4.0, ToolAnswered(1, "a", "ExpertTool", "{}"))
    conversation.tell(5.0, TurnEnded(1), Closed())
    assert conversation.reasons() == [("TOOL_USE",), ("END_TURN",)]
    of_tools = [span for span in conversation.collector.spans("execute_tool") if "go" in span.name]
    assert [seconds(span) for span in of_tools] == pytest.approx([0.5, 0.1])
    assert [span.status.status_code.name for span in of_tools] == ["UNSET", "ERROR"]


def test_closing_ends_what_is_open_and_repeating_it_does_nothing() -> None:
    conversation = Conversation()
    conversation.tell(1.2, UserSpeechStarted(1000))
    conversation.tell(3.0, ToolCall(1, "a", "go", "{}"))
    conversation.tracing.close()
    exported = len(conversation.collector.spans())
    assert exported == 3
    [speech] = conversation.collector.spans("user_speech")
    assert attributes(speech)["sonic_voice.speech_end_reported"] is False
    [executed] = conversation.collector.spans("execute_tool")
    assert attributes(executed)["error.type"] == "session_closed"
    conversation.tracing.close()
    conversation.tell(5.0, UserSpeechStarted(4000), Closed())
    assert len(conversation.collector.spans()) == exported
    assert len(conversation.collector.events) == 2


def test_tokens_of_the_next_question_belong_to_the_next_answer() -> None:
    conversation = Conversation()
    conversation.asks()
    conversation.tell(
        3.0, Usage(Tokens(speech_in=10), Tokens(speech_in=10)), Audio(1, SOUND, 24_000)
    )
    conversation.tell(3.5, TurnEnded(1))
    conversation.tell(3.6, Usage(Tokens(speech_out=20), Tokens(speech_in=10, speech_out=20)))
    conversation.tell(5.0, UserSpeechStarted(4800))
    conversation.tell(6.0, Usage(Tokens(speech_in=30), Tokens(speech_in=40, speech_out=20)))
    conversation.tell(6.5, UserSpeechEnded(6000, 6300), UserText(2, "And?"))
    conversation.tell(7.0, Audio(2, SOUND, 24_000), TurnEnded(2), Closed())
    spans = conversation.collector.spans("realtime_inference")
    assert [attributes(span)["gen_ai.usage.input_tokens"] for span in spans] == [10, 30]
    assert [attributes(span)["gen_ai.usage.output_tokens"] for span in spans] == [20, 0]


def test_the_spans_have_the_current_span_as_their_parent() -> None:
    collector = Collector()
    session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: 0.0)
    with collector.tracer_provider.get_tracer("app").start_as_current_span("call") as parent:
        tracing = Tracing(session, Metrics(session), **collector.providers)
    tracing(UserText(1, "Hello.", typed=True), 1.0)
    tracing(Audio(1, SOUND, 24_000), 2.0)
    tracing(Closed(), 3.0)
    [answer] = collector.spans("realtime_inference")
    assert answer.parent is not None
    assert answer.parent.span_id == parent.get_span_context().span_id


def test_foreign_text_in_a_span_has_no_control_characters() -> None:
    conversation = Conversation(content=True)
    conversation.tell(1.0, UserText(1, "a\x1b[31mb", typed=True))
    conversation.tell(2.0, ToolCall(1, "t\x07", "go\x1b[2J", '{"x": "\\u001b[2J"}'), Closed())
    [answer] = conversation.collector.spans("realtime_inference")
    written = "".join(map(str, attributes(answer).values()))
    assert "\x1b" not in written
    assert "\\u001b" not in written
    [executed] = conversation.collector.spans("execute_tool")
    assert executed.name == "execute_tool go"
