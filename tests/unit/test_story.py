"""What a conversation is told as: response latency, tokens and cost, lines for people, JSON."""

import io
import json

import pytest

from sonic_voice.cli.story import JsonLines, PrintedTranscript, event_fields, summary, summary_lines
from sonic_voice.config import SessionConfig
from sonic_voice.errors import (
    ConnectError,
    ConnectionLost,
    DeadlineError,
    NetworkError,
    fault_kind,
    service_error,
)
from sonic_voice.events import (
    AssistantText,
    Audio,
    Closed,
    Ended,
    Event,
    Heard,
    Interrupted,
    NetworkSlow,
    Opened,
    PictureShown,
    Reconnecting,
    Renewed,
    StreamExpiring,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    ToolProgress,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.metrics import Metrics
from sonic_voice.session import Session
from sonic_voice.snapshot import SessionSnapshot
from sonic_voice.transport import MemoryTransport
from sonic_voice.wire import Tokens

HALF_SECOND = Audio(1, bytes(24_000), 24_000)

# The clock says 10.0 when the first audio is sent, so the user stops at 10.0 + 1.2 s.
TOLD: list[tuple[Event, float]] = [
    (UserSpeechStarted(400), 10.8),
    (UserSpeechEnded(1200, 1600), 11.7),
    (UserText(1, "go forward."), 11.7),
    (ToolCall(1, "t", "go", '{"meters":10}'), 12.0),
    (ToolAnswered(1, "t", "go", '{"ok":true}'), 12.1),
    (AssistantText(1, 0, "Done.", "SPECULATIVE"), 12.4),
    (HALF_SECOND, 12.5),
    (AssistantText(1, 1, " What now?", "SPECULATIVE"), 12.6),
    (HALF_SECOND, 12.7),
    (TurnEnded(1), 12.8),
    (UserText(2, "stop", typed=True), 14.0),
    (AssistantText(2, 0, "I stop here and now.", "SPECULATIVE"), 14.5),
    (Audio(2, bytes(48_000), 24_000), 14.9),
    (Interrupted(2, "marker"), 15.2),
    (Heard(2, 300, "I stop", "I stop here and now."), 15.2),
    (AssistantText(2, 0, "I stop", "FINAL"), 15.3),
    (StreamExpiring(60, 480), 15.5),
    (Closed(), 16.0),
]


def metrics() -> Metrics:
    session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: 10.0)
    session.tokens = Tokens(1_000_000, 0, 500_000, 0)
    return Metrics(session)


def told(numbers: Metrics) -> str:
    out = io.StringIO()
    story = PrintedTranscript(out, numbers)
    for event, now in TOLD:
        numbers(event, now)
        story(event, now)
    return out.getvalue()


def test_response_latency_runs_from_the_end_of_speech_to_the_first_sound() -> None:
    numbers = metrics()
    told(numbers)
    spoken, typed = numbers.snapshot.turns
    assert spoken.response_latency_s == pytest.approx(12.5 - 11.2)
    assert spoken.since_speech_end
    assert typed.response_latency_s == pytest.approx(14.9 - 14.0)
    assert not typed.since_speech_end


def test_the_snapshot_counts_what_happened() -> None:
    numbers = metrics()
    told(numbers)
    snapshot = numbers.snapshot
    assert [turn.interrupted for turn in snapshot.turns] == [False, True]
    assert [turn.tool_calls for turn in snapshot.turns] == [1, 0]
    assert snapshot.turns[0].sound_s == pytest.approx(1.0)
    assert snapshot.duration_s == pytest.approx(16.0 - 10.8)
    assert snapshot.cost_usd == pytest.approx(3.0 + 6.0)


def test_the_story_has_a_line_for_each_who_speaks() -> None:
    assert told(metrics()) == (
        "  1  you  go forward.\n"
        '    tool  go({"meters":10})\n'
        '          go -> {"ok":true}\n'
        "    nova  Done. What now?  [1.30 s]\n"
        "  2  you  stop (typed)\n"
        "    nova  I stop here and now.  [0.90 s]\n"
        "          interrupted after 0.3 s, heard: I stop\n"
        "    note  The service ends every conversation after 8 minutes; 1 minute is left.\n"
    )


def test_json_lines_hold_every_event_and_no_samples() -> None:
    out = io.StringIO()
    lines = JsonLines(out)
    for event, now in TOLD:
        lines(event, now)
    written = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in written] == [type(event).__name__ for event, _ in TOLD]
    assert written[1] == {
        "event": "UserSpeechEnded", "at_s": 11.7, "offset_ms": 1200, "detected_ms": 1600,
    }  # fmt: skip
    assert event_fields(HALF_SECOND) == {"turn": 1, "rate_hz": 24_000, "sound_ms": 500}


def test_the_summary_is_there_before_anything_happened() -> None:
    snapshot = metrics().snapshot
    assert summary(snapshot, SessionConfig())["response_latency_s"] is None
    assert "no answer" in summary_lines(snapshot, SessionConfig())


def test_a_slow_network_is_a_line_with_figures_and_an_event() -> None:
    out, slow = io.StringIO(), NetworkSlow(late_s=4.5, speech_per_s=0.14)
    PrintedTranscript(out, metrics())(slow, 20.0)
    assert "0.14 s of it a second" in out.getvalue()
    assert "4.5 s late" in out.getvalue()
    assert event_fields(slow) == {"late_s": 4.5, "speech_per_s": 0.14}


CUT = Reconnecting("The connection was cut.", 1, 0.0, "cut")
SURVIVED: list[Event] = [
    Opened(2500, 2400),
    Renewed(0, 300, "age"),
    CUT,
    Reconnecting("The service does not answer.", 2, 1.6, "connect"),
    Renewed(2100, 700, "The connection was cut."),
    Ended(NetworkError("The connection was cut.")),
]


def test_each_fault_and_the_new_connection_have_a_line_and_planned_renewals_have_none() -> None:
    out = io.StringIO()
    story = PrintedTranscript(out, metrics())
    story(AssistantText(1, 0, "I go", "SPECULATIVE"), 1.0)
    for event in SURVIVED:
        story(event, 1.0)
    assert out.getvalue() == (
        "    nova  I go\n"
        "    note  The connection was cut. Connecting again now.\n"
        "    note  The service does not answer. Connecting again in 2 seconds.\n"
        "    note  Connected again after 2.1 s. The conversation goes on.\n"
    )


def test_with_debug_a_planned_renewal_has_a_line() -> None:
    out = io.StringIO()
    PrintedTranscript(out, metrics(), planned_renewals=True)(Renewed(0, 300, "age"), 1.0)
    assert out.getvalue() == "    note  The conversation moved to a new stream (age).\n"


def test_json_lines_hold_the_renewals_but_leave_the_end_to_the_last_record() -> None:
    out = io.StringIO()
    lines = JsonLines(out)
    for event in SURVIVED:
        lines(event, 3.0)
    written = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line.pop("at_s") for line in written] == [3.0] * 5
    assert written[:3] == [
        {"event": "Opened", "waited_ms": 2500, "replayed_ms": 2400},
        {"event": "Renewed", "gap_ms": 0, "replayed_ms": 300, "reason": "age"},
        {
            "event": "Reconnecting", "reason": "The connection was cut.", "attempt": 1,
            "retry_in_s": 0.0, "kind": "cut",
        },
    ]  # fmt: skip


def test_the_kind_of_a_fault_is_a_word() -> None:
    lost = ConnectionLost("The connection to 10.0.0.1 was cut.", reason="cut")
    assert fault_kind(lost) == "cut"
    assert fault_kind(service_error("ThrottlingException", "Too many", status=429)) == "throttled"
    assert fault_kind(DeadlineError("Late.", waited_s=3)) == "deadline"
    assert fault_kind(ConnectError("Closed.")) == "connect"
    assert fault_kind(ValueError("?")) == "other"


def test_that_the_user_is_heard_is_a_line_before_their_text_and_not_into_an_answer() -> None:
    out = io.StringIO()
    story = PrintedTranscript(out, metrics())
    for _ in range(3):
        story.hear()
    story(UserText(1, "hello"), 1.0)
    story(AssistantText(1, 0, "Hi.", "SPECULATIVE"), 2.0)
    story.hear()
    story(TurnEnded(1), 3.0)
    story.hear()
    assert out.getvalue() == (
        "          hearing you\n  1  you  hello\n    nova  Hi.\n          hearing you\n"
    )


def test_what_a_running_tool_reports_and_shows_is_a_line_each() -> None:
    out = io.StringIO()
    story = PrintedTranscript(out, metrics())
    shown = PictureShown(1, "t", "draw", "A red boat", "image/png", b"\x89PNG")
    for event in (
        ToolProgress(1, "t", "find", "One of two."),
        ToolHeld(1, "t", "find"),
        shown,
    ):
        story(event, 12.0)
    assert out.getvalue() == (
        "          find: One of two.\n"
        "          find: Its answer waits for a pause.\n"
        "    note  Picture: A red boat\n"
    )
    fields = event_fields(shown)
    assert (fields["alt"], fields["size_bytes"], "data" in fields) == ("A red boat", 4, False)


def test_the_summary_of_a_continued_conversation_counts_what_is_new_and_names_the_sum() -> None:
    config = SessionConfig()
    before = SessionSnapshot(config=config, tokens=Tokens(1000, 10, 2000, 20))
    session = Session.open(config, MemoryTransport(), resume=before)
    metrics = Metrics(session)
    session.tokens = before.tokens + Tokens(100, 1, 200, 2)
    facts = summary(metrics.snapshot, config)
    assert facts["tokens"] == {"speech_in": 100, "text_in": 1, "speech_out": 200, "text_out": 2}
    assert facts["with_continued"]["tokens"]["speech_in"] == 1100
    assert facts["with_continued"]["cost_usd"] > facts["cost_usd"]
    lines = summary_lines(metrics.snapshot, config)
    assert "Tokens in     100 speech, 1 text\n" in lines
    assert f"; {facts['with_continued']['cost_usd']:.4f} USD with what it continues" in lines
