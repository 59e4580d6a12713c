"""Spans of a real conversation with a tool, an interruption and a renewal, in memory."""

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from sonic_voice import (
    Event,
    LocalService,
    Metrics,
    NullSink,
    Renewed,
    Session,
    SessionConfig,
    Toolbox,
    UserSpeechEnded,
    UserSpeechStarted,
    WavSource,
    converse,
    tool,
)
from sonic_voice.events import Heard, TurnEnded
from sonic_voice.tracing import Tracing

from ..support.collector import Collector, attributes, seconds

DEMO = cast(Path, resources.files("sonic_voice.emulator"))


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


TOOLS = Toolbox([go])


class Traced:
    """A conversation with three turns, whose second stream begins after the first turn.

    It is traced twice: without its content, and with it.
    """

    def __init__(self) -> None:
        self.collector, self.with_content = Collector(), Collector()
        self.events: list[Event] = []
        self.updated = False

    async def run(self) -> "Traced":
        source = WavSource(DEMO / "demo.wav", speed=20)
        sink = NullSink(now=source.now)
        config = SessionConfig(tools=TOOLS.specs)
        async with (
            LocalService(DEMO / "demo.yaml") as transport,
            Session.open(config, transport, clock=source.now) as session,
        ):
            self.session = session
            self.began_s = session.now()
            self.metrics = Metrics(session, sink)
            self.tracing = Tracing(session, self.metrics, **self.collector.providers)
            content = Tracing(session, self.metrics, content=True, **self.with_content.providers)
            observers = [self.metrics, self.tracing, content, self._observe]
            await converse(session, source, sink, TOOLS, observers)
        await source.aclose()
        return self

    def _observe(self, event: Event, now: float) -> None:
        self.events.append(event)
        self.last_event_s = now
        if isinstance(event, TurnEnded) and not self.updated:
            self.updated = True
            self.session.update(voice="matthew")


async def test_a_conversation_with_a_tool_and_a_renewal_is_traced() -> None:
    traced = await Traced().run()
    assert [event.reason for event in traced.events if isinstance(event, Renewed)] == ["update"]
    check_names(traced)
    check_service_streams(traced)
    check_times(traced)
    check_tokens(traced)
    check_latency(traced)
    check_content(traced.with_content)


def answers_of(collector: Collector) -> list[ReadableSpan]:
    return collector.spans("realtime_inference")


def check_names(traced: Traced) -> None:
    """The spans have the names of the draft, and no content."""
    collector, model = traced.collector, traced.session.config.model
    answers = answers_of(collector)
    assert {span.name for span in answers} == {f"realtime_inference {model}"}
    assert {span.kind.name for span in answers} == {"CLIENT"}
    assert [attributes(span)["sonic_voice.turn"] for span in answers] == [1, 2, 2, 3]
    reasons = [attributes(span)["gen_ai.response.finish_reasons"] for span in answers]
    assert reasons[:2] == [("END_TURN",), ("TOOL_USE",)]
    # The service may have sent the whole answer before it is interrupted.
    assert reasons[2] in [("END_TURN",), ("INTERRUPTED",)]
    assert reasons[3] == ("END_TURN",)
    interrupted = [attributes(span).get("sonic_voice.interrupted", False) for span in answers]
    assert interrupted == [False, False, True, False]
    [heard] = [event for event in traced.events if isinstance(event, Heard)]
    assert attributes(answers[2])["sonic_voice.heard_ms"] == heard.heard_ms
    [executed] = collector.spans("execute_tool")
    assert (executed.name, executed.kind.name) == ("execute_tool go", "INTERNAL")
    assert {span.name for span in collector.spans("user_speech")} == {"user_speech"}
    for span in collector.spans():
        told = attributes(span)
        assert told["gen_ai.provider.name"] == "aws.bedrock"
        assert told["gen_ai.request.model"] == model
        assert told["gen_ai.conversation.id"] == traced.tracing.conversation
        content = ("messages", "arguments", "result", "instructions")
        assert not {name for name in told if name.endswith(content)}


def check_service_streams(traced: Traced) -> None:
    """Each service stream begins and ends, and names what belongs to it."""
    conversation = traced.tracing.conversation
    assert [
        (name, told["gen_ai.realtime_session.id"]) for name, told, _ in traced.collector.events
    ] == [
        ("gen_ai.client.realtime_session.started", f"{conversation}/1"),
        ("gen_ai.client.realtime_session.ended", f"{conversation}/1"),
        ("gen_ai.client.realtime_session.started", f"{conversation}/2"),
        ("gen_ai.client.realtime_session.ended", f"{conversation}/2"),
    ]
    of_answers = [
        attributes(span)["gen_ai.realtime_session.id"] for span in answers_of(traced.collector)
    ]
    assert of_answers == [f"{conversation}/{stream}" for stream in (1, 2, 2, 2)]


def check_times(traced: Traced) -> None:
    """Speech, endpointing, answers and tools follow each other without a gap."""
    collector = traced.collector
    speeches, answers = collector.spans("user_speech"), answers_of(collector)
    [executed] = collector.spans("execute_tool")
    began_ns, ended_ns = collector.events[0][2], collector.events[-1][2]
    assert all(began_ns <= (span.start_time or 0) for span in collector.spans())
    assert all((span.end_time or 0) <= ended_ns for span in collector.spans())
    lasted_s = traced.last_event_s - traced.began_s
    assert (ended_ns - began_ns) / 1e9 == pytest.approx(lasted_s, abs=1e-6)
    reported = [event for event in traced.events if isinstance(event, UserSpeechStarted)]
    stopped = [event for event in traced.events if isinstance(event, UserSpeechEnded)]
    assert [seconds(span) for span in speeches] == [
        pytest.approx((end.offset_ms - begin.offset_ms) / 1000, abs=1e-6)
        for begin, end in zip(reported, stopped, strict=True)
    ]
    asked = [answers[0], answers[1], answers[3]]
    for speech, end, answer in zip(speeches, stopped, asked, strict=True):
        endpointing_s = (end.detected_ms - end.offset_ms) / 1000
        waited_s = ((answer.start_time or 0) - (speech.end_time or 0)) / 1e9
        assert waited_s == pytest.approx(endpointing_s, abs=1e-6)
    assert executed.start_time == answers[1].end_time
    assert answers[2].start_time == executed.end_time


def check_tokens(traced: Traced) -> None:
    """The tokens of the answers are those of the conversation, in both spellings."""
    collector, tokens = traced.collector, traced.session.tokens
    answers = answers_of(collector)
    counted = {
        (told["gen_ai.token.type"], told["gen_ai.token.modality"]): point.value
        for told, point in collector.points("gen_ai.client.inference.tokens")
    }
    totals = {
        ("input", "audio"): tokens.speech_in,
        ("input", "text"): tokens.text_in,
        ("output", "audio"): tokens.speech_out,
        ("output", "text"): tokens.text_out,
    }
    assert min(totals.values()) > 0
    assert counted == totals
    for (kind, modality), number in totals.items():
        draft = f"gen_ai.usage.{modality}.{kind}_tokens"
        earlier = f"gen_ai.usage.{kind}_{modality}_tokens"
        for name in (draft, earlier):
            assert sum(attributes(span).get(name, 0) for span in answers) == number
    for kind in ("input", "output"):
        number = sum(attributes(span)[f"gen_ai.usage.{kind}_tokens"] for span in answers)
        assert number == totals[kind, "audio"] + totals[kind, "text"]


def check_latency(traced: Traced) -> None:
    """The histograms have the response latency of each turn, and parts that add up to it."""
    latencies = [turn.response_latency_s or 0 for turn in traced.metrics.snapshot.turns]
    [(_, latency)] = traced.collector.points("sonic_voice.response_latency")
    assert latency.count == 3
    assert latency.sum == pytest.approx(math.fsum(latencies))
    points = traced.collector.points("sonic_voice.response_latency.part")
    parts = {told["sonic_voice.latency.part"]: point.sum for told, point in points}
    assert {"endpointing", "answering"} <= parts.keys()
    assert sum(parts.values()) == pytest.approx(latency.sum)


def check_content(collector: Collector) -> None:
    """With its content, each span has the messages of its turn."""
    speech = collector.spans("user_speech")[1]
    assert "go forward ten meters." in attributes(speech)["gen_ai.input.messages"]
    called, told = answers_of(collector)[1:3]
    [asked] = json.loads(attributes(called)["gen_ai.input.messages"])
    assert asked["parts"][0]["content"] == "go forward ten meters."
    [answer] = json.loads(attributes(called)["gen_ai.output.messages"])
    assert answer["finish_reason"] == "TOOL_USE"
    [call] = [part for part in answer["parts"] if part["type"] == "tool_call"]
    assert (call["name"], call["arguments"]) == ("go", {"direction": "forward", "meters": 10})
    [result] = json.loads(attributes(told)["gen_ai.input.messages"])
    assert result["parts"][0]["response"] == {"direction": "forward", "meters": 10}
    [executed] = collector.spans("execute_tool")
    assert json.loads(attributes(executed)["gen_ai.tool.call.result"])["meters"] == 10
