"""Conversations without personal data: events, snapshots, records of a store and reports."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.bridge import Close, ConversationReport
from sonic_voice.bridge.conversation_report import SpokenLine
from sonic_voice.bridge.saving import Record
from sonic_voice.config import SessionConfig
from sonic_voice.events import (
    AssistantText,
    Event,
    Guarded,
    Heard,
    PictureShown,
    ToolAnswered,
    ToolCall,
    ToolProgress,
    TurnEnded,
    UserText,
)
from sonic_voice.history import Message
from sonic_voice.masked_events import masked, masked_event
from sonic_voice.snapshot import SessionSnapshot, ToolResult
from sonic_voice.transcript import Line

SAID = "Call 415-555-0123."
KEPT = "Call [phone]."
NUMBER = "415-555-0123"


def test_no_event_that_has_words_keeps_personal_data() -> None:
    told: list[Event] = []
    observe = masked(lambda event, _: told.append(event))
    for event in (
        UserText(1, SAID),
        AssistantText(1, 0, SAID, "SPECULATIVE"),
        Guarded(1, "USER", SAID, "a number"),
        Heard(1, 900, SAID, f"{SAID} Now."),
        ToolCall(1, NUMBER, "call", json.dumps({"number": NUMBER})),
        ToolProgress(1, NUMBER, "call", SAID),
        PictureShown(1, NUMBER, "call", SAID, "image/png", b"\x89PNG"),
        ToolAnswered(1, NUMBER, "call", json.dumps({"called": NUMBER})),
        TurnEnded(1),
    ):
        observe(event, 1.0)
    assert len(told) == 9
    without_ids = [
        replace(event, tool_use="id") if hasattr(event, "tool_use") else event for event in told
    ]
    assert NUMBER not in repr(without_ids)
    assert json.loads(told[4].arguments_json) == {"number": "[phone]"}  # type: ignore[union-attr]
    assert all(
        event.tool_use == NUMBER  # type: ignore[union-attr]
        for event in told
        if hasattr(event, "tool_use")
    )


@given(st.text(alphabet="41 5.a-"), st.integers(0, 40))
def test_what_was_heard_stays_a_beginning_of_the_plan(planned: str, cut: int) -> None:
    event = masked_event(Heard(1, 0, planned[:cut], planned))
    assert isinstance(event, Heard)
    assert event.planned.startswith(event.heard)


SNAPSHOT = SessionSnapshot(
    config=SessionConfig(system=f"The user has {NUMBER}.", history=(Message("USER", SAID),)),
    lines=(Line(1, "USER", SAID, SAID), Line(1, "ASSISTANT", "Call", SAID, interrupted=True)),
    turn=1,
    calls=(ToolCall(1, "id", "call", json.dumps({"number": NUMBER})),),
    results=(ToolResult(1, f"called {NUMBER}"),),
    owed=True,
    audio=bytes([1, 2]) * 100,
)


def test_a_masked_snapshot_is_a_snapshot_without_personal_data_and_sound() -> None:
    read = SessionSnapshot.from_json(SNAPSHOT.masked().to_json())
    assert NUMBER not in read.to_json()
    assert [line.text for line in read.lines] == [KEPT, "Call"]
    assert (read.turn, read.owed, read.audio) == (1, True, b"")
    assert read.calls[0].tool_use == "id"


def test_a_record_of_a_store_is_masked_when_it_is_written() -> None:
    record = Record(SNAPSHOT, "ann", 7)
    assert NUMBER in record.to_bytes().decode()
    written = replace(record, mask_pii=True).to_bytes()
    assert NUMBER not in written.decode()
    assert Record.from_bytes(written).subject == "ann"


def test_a_masked_report_has_the_facts_and_not_the_numbers() -> None:
    report = ConversationReport(
        conversation="c", subject="ann", voice="tiffany", began_s=0, duration_s=1, close=Close.BYE,
        transcript=(SpokenLine(1, "USER", SAID, SAID), SpokenLine(1, "ASSISTANT", "Yes", SAID)),
    )  # fmt: skip
    kept = report.masked()
    assert NUMBER not in kept.to_json()
    assert [message.text for message in kept.messages] == [KEPT, "Yes"]
    assert replace(kept, transcript=report.transcript) == report
