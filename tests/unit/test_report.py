"""What a report says of a tape, and that its page is safe whatever the tape says."""

import base64
import json
import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.recording.records import (
    Damage,
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeHeader,
    TapeRecord,
)
from sonic_voice.report import ReportRun, event_rows, percentiles, report_data, report_page
from sonic_voice.report.markup import clock, percent, safe
from sonic_voice.wire import (
    AudioInput,
    AudioOutput,
    Ids,
    TextInput,
    Tokens,
    ToolResult,
    ToolResultStart,
    ToolUse,
    UsageEvent,
    encode_input,
    encode_output,
)

BEGAN = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
V2 = "amazon.nova-2-sonic-v1:0"
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\"'&\u202e"


def event(t_s: float, kind: str, /, **fields: Any) -> SessionEvent:
    return SessionEvent(t_s, kind, fields)


def sound(t_s: float, stream: int = 1) -> Received:
    return Received(t_s, stream, encode_output(AudioOutput(Ids(), "b", bytes(960))))


def voice(t_s: float, seconds: float = 0.1) -> Sent:
    pcm = b"\0\x10" * round(16_000 * seconds)
    return Sent(t_s, 1, encode_input(AudioInput("p", "c", pcm)))


def tape_of(*records: TapeRecord, model: str = V2, **others: Any) -> Tape:
    config = {"voice": "tiffany", "system": "Be brief.", "tools": [{"name": "go"}]}
    return Tape(TapeHeader(1, model, config, BEGAN, {"python": "3.12"}), records, **others)


def spoken_turn() -> list[TapeRecord]:
    """The user speaks from 1 s to 2 s; it is noticed at 2.4 s, and audible at 3.5 s."""
    return [
        StreamOpened(0.0, 1, V2),
        voice(0.1),
        event(1.3, "UserSpeechStarted", offset_ms=1000),
        event(2.5, "UserSpeechEnded", offset_ms=2000, detected_ms=2400),
        event(2.5, "UserText", turn=1, text="go", typed=False),
        event(2.6, "ToolCall", turn=1, tool_use="t", name="go", arguments_json="{}"),
        event(2.9, "ToolAnswered", turn=1, tool_use="t", name="go", result_json='{"x": 1}'),
        event(3.0, "AssistantText", turn=1, block=0, text="I went away.", stage="SPECULATIVE"),
        sound(3.1),
        Played(3.5, 1, bytes(48_000)),
        event(4.5, "Interrupted", turn=1, sign="marker"),
        event(4.5, "Heard", turn=1, heard_ms=1000, heard="I went", planned="I went away."),
        event(4.6, "Usage", delta={}, total={"speech_in": 100, "speech_out": 50}),
        StreamEnded(6.0, 1, ""),
    ]


def test_the_parts_of_the_response_latency_add_up_to_it() -> None:
    [turn] = report_data(tape_of(*spoken_turn())).turns
    latency = turn.latency
    assert latency is not None
    assert latency.total_s == pytest.approx(1.5)
    assert latency.parts == pytest.approx({"endpointing": 0.4, "answering": 0.7, "playout": 0.4})


def test_a_typed_turn_counts_from_its_text_and_has_no_endpointing() -> None:
    data = report_data(
        tape_of(
            event(1.0, "UserText", turn=1, text="hi", typed=True),
            event(2.0, "AssistantText", turn=1, block=0, text="Hi.", stage="SPECULATIVE"),
            sound(2.5),
        )
    )
    [turn] = data.turns
    assert turn.typed
    assert turn.latency is not None
    assert turn.latency.parts == pytest.approx({"answering": 1.5})


def test_a_turn_has_what_was_heard_and_what_was_planned() -> None:
    [turn] = report_data(tape_of(*spoken_turn())).turns
    assert (turn.user, turn.heard, turn.planned) == ("go", "I went", "I went away.")
    assert (turn.interrupted, turn.interrupted_s, turn.heard_ms) == (True, 4.5, 1000)
    page = report_page([ReportRun("x", report_data(tape_of(*spoken_turn())))])
    assert "I went<s>" in page
    assert "interrupted after 1.0 s" in page


def test_tools_streams_faults_and_tokens_are_counted() -> None:
    data = report_data(
        tape_of(
            *spoken_turn(),
            StreamOpened(6.1, 2, V2),
            event(6.2, "Renewed", gap_ms=200, replayed_ms=0, reason="It was cut."),
            StreamEnded(9.0, 2, "reset: The connection was reset."),
            event(9.0, "Reconnecting", reason="It was cut.", attempt=1),
            damage=(Damage(100, 20, "a wrong checksum"),),
        )
    )
    [tool] = data.tools
    assert (tool.name, tool.began_s, tool.ended_s, tool.failed) == ("go", 2.6, 2.9, False)
    assert [(stream.opened_s, stream.ended_s) for stream in data.streams] == [(0, 6), (6.1, 9)]
    assert data.faults == 1
    assert [mark.kind for mark in data.marks] == [
        *("note", "interruption", "renewal", "attempt", "fault")
    ]
    assert data.tokens == Tokens(speech_in=100, speech_out=50)
    assert data.cost_usd == pytest.approx(100 * 3e-6 + 50 * 12e-6)


def test_a_tape_of_payloads_alone_has_tokens_of_all_streams_and_results_of_tools() -> None:
    def used(t_s: float, stream: int, total: Tokens) -> Received:
        return Received(t_s, stream, encode_output(UsageEvent(Ids(), Tokens(), total)))

    data = report_data(
        tape_of(
            used(1.0, 1, Tokens(speech_in=100)),
            Received(2.0, 1, encode_output(ToolUse(Ids(), "b", "t", "go", "{}"))),
            Sent(2.5, 1, encode_input(ToolResultStart("p", "c", "t"))),
            Sent(2.6, 1, encode_input(ToolResult("p", "c", '{"error": "no"}'))),
            used(3.0, 2, Tokens(speech_in=10, text_out=5)),
        )
    )
    assert data.tokens == Tokens(speech_in=110, text_out=5)
    [tool] = data.tools
    assert (tool.name, tool.ended_s, tool.failed) == ("go", 2.6, True)


def test_percentiles_are_interpolated() -> None:
    assert percentiles([]) == {}
    assert percentiles([2.0]) == {"median": 2.0, "p90": 2.0, "p95": 2.0, "max": 2.0}
    found = percentiles([float(value) for value in range(11)])
    assert found == pytest.approx({"median": 5.0, "p90": 9.0, "p95": 9.5, "max": 10.0})


def test_pieces_of_sound_are_one_row_until_something_else_happens_on_their_side() -> None:
    text = Sent(0.35, 1, encode_input(TextInput("p", "c", "hi")))
    rows = event_rows(tape_of(voice(0.1), voice(0.2), sound(0.25), voice(0.3), text, voice(0.4)))
    assert [(row.name, row.pieces) for row in rows] == [
        ("audioInput", 3),
        ("audioOutput", 1),
        ("textInput", 1),
        ("audioInput", 1),
    ]
    assert rows[0].value() == [0.1, "sent", 1, "audioInput", "0.30 s of sound in 3"]


class Reader(HTMLParser):
    """What a browser would make of a page: elements, attributes and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.data = ""
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open, data))
        if self.elements and self.elements[-1][1].get("class") == "data":
            self.data += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def evil_tape() -> Tape:
    records: list[TapeRecord] = [
        StreamOpened(0.0, 1, EVIL),
        event(1.0, "UserText", turn=1, text=EVIL, typed=True),
        event(2.0, "AssistantText", turn=1, block=0, text=EVIL, stage="SPECULATIVE"),
        event(2.0, "ToolCall", turn=1, tool_use=EVIL, name=EVIL, arguments_json=EVIL),
        event(2.0, "ToolAnswered", turn=1, tool_use=EVIL, name=EVIL, result_json=EVIL),
        event(3.0, "Renewed", reason=EVIL, gap_ms=1),
        event(3.0, EVIL, anything=EVIL),
        Received(3.0, 1, EVIL.encode()),
        StreamEnded(4.0, 1, EVIL),
    ]
    config = {"voice": EVIL, "system": EVIL, "tools": [{"name": EVIL}]}
    header = TapeHeader(1, EVIL, config, BEGAN, {EVIL: EVIL})
    return Tape(header, records, damage=(Damage(1, 2, EVIL),))


def test_foreign_text_becomes_no_element_and_no_script() -> None:
    tape = evil_tape()
    run = ReportRun(EVIL, report_data(tape), event_rows(tape), outcome="failed", notes=(EVIL,))
    for page in (report_page([run]), report_page([run, run], EVIL)):
        reader = read(page)
        tags = [tag for tag, _ in reader.elements]
        assert "img" not in tags
        executed = [
            attributes
            for tag, attributes in reader.elements
            if tag == "script" and attributes.get("type") != "text/plain"
        ]
        assert executed == [{}], "the script of the page alone"
        names = {name for _, attributes in reader.elements for name in attributes}
        assert not {name for name in names if name.startswith("on")}
        assert "style" not in names
        assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e]", page)


def test_the_page_loads_nothing_and_its_policy_allows_only_what_is_in_it() -> None:
    tape = tape_of(*spoken_turn())
    page = report_page([ReportRun("x", report_data(tape), event_rows(tape))])
    reader = read(page)
    for _, attributes in reader.elements:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert "url(" not in page
    assert "@import" not in page
    [policy] = [
        attributes["content"] or ""
        for _, attributes in reader.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_events_of_the_page_are_those_of_the_tape() -> None:
    tape = evil_tape()
    rows = event_rows(tape)
    page = report_page([ReportRun("x", report_data(tape), rows)])
    unpacked = json.loads(zlib.decompress(base64.b64decode(read(page).data)))
    assert unpacked == [row.value() for row in rows]
    assert EVIL in unpacked[7][4]


def test_a_page_of_several_runs_names_those_that_failed() -> None:
    data = report_data(tape_of(*spoken_turn()))
    runs = [
        ReportRun("booking", data, outcome="passed"),
        ReportRun("refund", data, outcome="failed", notes=("Turn 1 was too slow.",)),
    ]
    reader = read(report_page(runs))
    texts = [text for _, text in reader.texts]
    assert "1 of 2 passed." in texts
    assert "Turn 1 was too slow." in texts
    folded = [attributes for tag, attributes in reader.elements if tag == "details"]
    tops = [attributes for attributes in folded if "id" in attributes]
    assert [("open" in attributes) for attributes in tops] == [False, True]
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


FIELDS = st.dictionaries(
    st.sampled_from(["turn", "text", "block", "stage", "offset_ms", "detected_ms", "total",
                     "heard", "planned", "heard_ms", "tool_use", "name", "reason", "typed"]),
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5),
              st.dictionaries(st.sampled_from(["speech_in", "text_in"]), st.integers(-5, 5))),
)  # fmt: skip
NAMES = st.sampled_from(
    ["UserText", "AssistantText", "Heard", "Interrupted", "ToolCall", "ToolAnswered", "Usage",
     "Renewed", "Ended", "Reconnecting", "UserSpeechStarted", "UserSpeechEnded", "What"]
)  # fmt: skip
TIMES = st.floats(0, 20)
RECORDS = st.lists(
    st.one_of(
        st.builds(SessionEvent, TIMES, NAMES, FIELDS),
        st.builds(Received, TIMES, st.integers(0, 2), st.binary(max_size=20)),
        st.builds(Played, TIMES, st.integers(0, 3), st.just(bytes(480))),
        st.builds(StreamOpened, TIMES, st.integers(0, 2), st.text(max_size=5)),
        st.builds(StreamEnded, TIMES, st.integers(0, 2), st.text(max_size=5)),
        st.builds(voice, TIMES),
    ),
    max_size=12,
)


@settings(max_examples=25)  # each makes a page
@given(RECORDS)
def test_no_tape_makes_the_report_fail(records: Sequence[TapeRecord]) -> None:
    tape = tape_of(*records)
    page = report_page([ReportRun("x", report_data(tape), event_rows(tape))])
    assert page.startswith("<!DOCTYPE html>")
    assert "nan" not in re.sub("[A-Za-z0-9+/=]{30,}", "", page)


def test_texts_are_escaped_times_are_read_and_shares_are_bounded() -> None:
    assert safe('<a\x1b[2J b="c\'">') == "&lt;a b=&quot;c&#x27;&quot;&gt;"
    assert [clock(s) for s in (0, 65.9, 3_725)] == ["0:00", "1:05", "1:02:05"]
    assert [percent(v, 8) for v in (-1, 1, 9)] == ["0%", "12.5%", "100%"]
    assert percent(1, 0) == "0%"
