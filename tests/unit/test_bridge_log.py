"""The operator's log: one line for each event, whatever a client sends."""

import json
import logging
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sonic_voice.bridge.closing import Close
from sonic_voice.bridge.conversation_report import ConversationReport, SpokenLine, TurnLatency
from sonic_voice.bridge.operator_log import log_ended, log_rejected, log_started
from sonic_voice.cli.server_log import JsonFormatter
from sonic_voice.wire import Tokens

FACT = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')
REPORT = ConversationReport(
    conversation="4b1d0c9f2a7e",
    subject="alice",
    voice="tiffany",
    began_s=1_700_000_000.0,
    duration_s=12.34,
    close=Close.SERVICE_FAILED,
    error="ServiceError: The model is not available.",
    request_id="req-1",
    transcript=(
        SpokenLine(1, "USER", "my card is 1234", "my card is 1234"),
        SpokenLine(1, "ASSISTANT", "I will", "I will note it.", interrupted=True),
    ),
    tokens=Tokens(100, 10, 200, 20),
    cost_usd=0.0123456789,
    latencies=(TurnLatency(1, 0.98765),),
)


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_the_lines_of_a_conversation(caplog: pytest.LogCaptureFixture) -> None:
    log_started("4b1d", subject="alice", address="198.51.100.7", voice="tiffany", continued=False)
    log_ended(REPORT, "198.51.100.7")
    log_rejected(Close.BAD_ORIGIN, address="2001:db8::1", origin="https://x.example")
    assert caplog.messages == [
        "conversation started conversation=4b1d subject=alice address=198.51.100.7 voice=tiffany",
        (
            "conversation ended conversation=4b1d0c9f2a7e code=4031 reason=service_failed "
            "subject=alice address=198.51.100.7 duration_s=12.3 turns=1 cost_usd=0.0123 "
            'error="ServiceError: The model is not available." request_id=req-1'
        ),
        (
            "connection rejected code=4013 reason=bad_origin address=2001:db8::1 "
            "origin=https://x.example"
        ),
    ]


def test_what_was_said_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    log_ended(REPORT, "198.51.100.7")
    assert "1234" not in caplog.text


@pytest.mark.parametrize(
    ("close", "level"),
    [
        (Close.BYE, logging.INFO),
        (Close.BAD_ORIGIN, logging.INFO),
        (Close.FULL, logging.WARNING),
        (Close.SERVICE_BUSY, logging.WARNING),
        (Close.INTERNAL, logging.WARNING),
    ],
)
def test_an_operator_is_warned_of_what_an_operator_can_mend(
    caplog: pytest.LogCaptureFixture, close: Close, level: int
) -> None:
    log_rejected(close, address="198.51.100.7", origin=None)
    assert caplog.records[-1].levelno == level


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30), st.text(max_size=2000))
def test_no_client_writes_a_line_of_its_own(
    caplog: pytest.LogCaptureFixture, subject: str, origin: str
) -> None:
    caplog.clear()
    log_started("4b1d", subject=subject, address="a", voice="v", continued=False)
    log_rejected(Close.BAD_ORIGIN, address="a", origin=origin, error='x" code=1000')
    for record in caplog.records:
        text = record.getMessage()
        assert text.splitlines() == [text]
        assert text.isascii()
        assert len(text) < 4000
        line = json.loads(JsonFormatter().format(record))
        assert line["message"] in ("conversation started", "connection rejected")
    facts = dict(FACT.findall(caplog.messages[1]))
    assert list(facts) == ["code", "reason", "address", *(["origin"] if origin else []), "error"]
    assert json.loads(facts["error"]) == 'x" code=1000'
    caplog.clear()


def test_as_json_the_facts_are_members(caplog: pytest.LogCaptureFixture) -> None:
    log_ended(REPORT, "198.51.100.7")
    line = json.loads(JsonFormatter().format(caplog.records[-1]))
    assert line["time"].endswith("Z")
    assert (line["level"], line["message"]) == ("warning", "conversation ended")
    assert (line["code"], line["reason"], line["turns"]) == (4031, "service_failed", 1)
    assert (line["request_id"], line["duration_s"]) == ("req-1", 12.3)


def test_as_json_other_records_have_a_message_and_a_trace() -> None:
    trace = (ValueError, ValueError("why"), None)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "%s\nfailed", ("it",), trace)
    text = JsonFormatter().format(record)
    assert text.splitlines() == [text]
    line = json.loads(text)
    assert line["message"] == "it\nfailed"
    assert "ValueError: why" in line["trace"]


def test_the_report_as_a_webhook_receives_it() -> None:
    document = json.loads(REPORT.to_json())
    assert (document["code"], document["reason"]) == (4031, "service_failed")
    assert document["transcript"][1] == {
        "turn": 1,
        "role": "ASSISTANT",
        "text": "I will",
        "planned": "I will note it.",
        "interrupted": True,
    }
    assert document["tokens"] == {
        "speech_in": 100,
        "text_in": 10,
        "speech_out": 200,
        "text_out": 20,
    }
    assert document["latencies"] == [{"turn": 1, "response_s": 0.988}]
    assert document.keys() == {field.name for field in REPORT_FIELDS} | {"code", "reason"}


REPORT_FIELDS = [
    field for field in ConversationReport.__dataclass_fields__.values() if field.name != "close"
]
