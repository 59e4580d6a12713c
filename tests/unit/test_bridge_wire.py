"""The wire to the page, by the examples that the page's own tests read too."""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.bridge.closing import REASON_BYTES, REASONS, BridgeRefusal, Close, close_for
from sonic_voice.bridge.frames import (
    AnswerFrame,
    answer_frame,
    read_answer,
    read_voice,
    voice_frame,
)
from sonic_voice.bridge.messages import (
    ALIVE,
    SUBPROTOCOL,
    VERSION,
    Bye,
    Hello,
    Interrupt,
    PageMessage,
    PictureReceived,
    Played,
    Position,
    Say,
    ToolResult,
    encode_event,
    read_message,
)
from sonic_voice.bridge.picture_queue import PictureQueue
from sonic_voice.errors import (
    ConfigError,
    ConnectionLost,
    ErrorKind,
    ServiceError,
    SonicError,
    service_error,
)
from sonic_voice.events import (
    AssistantText,
    Audio,
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
from sonic_voice.history import Message

WEB_CLIENT = Path(__file__).parents[2] / "web_client"
EXAMPLES: dict[str, Any] = json.loads((WEB_CLIENT / "protocol.json").read_text("utf-8"))
DESCRIPTION = (WEB_CLIENT / "README.md").read_text("utf-8")


def pcm(samples: list[int]) -> bytes:
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def test_the_examples_are_of_this_version() -> None:
    assert (EXAMPLES["version"], EXAMPLES["subprotocol"]) == (VERSION, SUBPROTOCOL)


def test_a_voice_frame_is_that_of_the_examples() -> None:
    example = EXAMPLES["voice"]
    assert voice_frame(pcm(example["samples"])).hex() == example["frame_hex"]
    assert read_voice(bytes.fromhex(example["frame_hex"])) == pcm(example["samples"])


def test_an_answer_frame_is_that_of_the_examples() -> None:
    example = EXAMPLES["answer"]
    answer = AnswerFrame(
        example["epoch"], example["turn"], example["start"], pcm(example["samples"])
    )
    assert answer_frame(answer).hex() == example["frame_hex"]
    assert read_answer(bytes.fromhex(example["frame_hex"])) == answer


READ: list[PageMessage] = [
    Hello(
        1,
        token="header.claims.signature",
        voice="tiffany",
        language="en",
        history=(Message("USER", "My name is Peter."), Message("ASSISTANT", "Nice to meet you.")),
    ),
    Hello(1, resume="word", seen=17, received=Position(2, 7200)),
    Played(1, Position(2, 7200)),
    Say("Hello."),
    Interrupt(),
    ToolResult("1", '{"shown": true}', ""),
    ToolResult("2", "", "There is no such product."),
    PictureReceived(19, 8),
    Bye(),
]


def test_the_page_is_read_as_the_examples_say() -> None:
    examples = EXAMPLES["from_page"]
    assert [read_message(json.dumps(example)) for example in examples] == READ
    assert read_message('{"type": "bye", "mood": "good"}') == Bye(), "a later page may say more"


TOLD: list[Event] = [
    UserSpeechStarted(120),
    UserSpeechEnded(900, 1500),
    UserText(1, "hello."),
    AssistantText(1, 0, "Hello!", "SPECULATIVE"),
    ToolCall(2, "id", "go", '{"meters": 10}'),
    ToolAnswered(2, "id", "go", '{"meters": 10}'),
    Interrupted(2, "userSpeechStart"),
    Heard(2, 1500, "Done, I went", "Done, I went forward."),
    Opened(2500, 2400),
    Reconnecting("The connection to 10.0.0.1 was cut.", 2, 0.5, "cut"),
    Renewed(1700, 900, "The connection to 10.0.0.1 was cut."),
    ToolProgress(2, "id", "go", "Half the way is done."),
    ToolHeld(2, "id", "go"),
    PictureShown(2, "id", "draw", "A red boat", "image/png", b"\x89PNG\r\n\x1a\n"),
]


def test_events_are_told_as_the_examples_say() -> None:
    by_type = {example["type"]: example for example in EXAMPLES["from_server"]}
    for event in TOLD:
        message = encode_event(event, show_tools=True)
        assert message is not None
        expected = dict(by_type[message["type"]])
        del expected["seq"]
        expected.pop("starts_at", None)  # known to the outbox
        assert message == expected
    assert encode_event(TurnEnded(3), show_tools=True) == {"type": "turn_ended", "turn": 3}
    assert encode_event(Audio(1, b"", 24_000), show_tools=True) is None
    slow = NetworkSlow(late_s=4.5, speech_per_s=0.14)
    assert encode_event(slow, show_tools=True) == {"type": "notice", "text": slow.notice}
    assert json.loads(ALIVE) == by_type["alive"]
    pictures = PictureQueue()
    pictures.add(19, b"\x89PNG\r\n\x1a\n")
    assert json.loads(pictures.take_next() or "") == by_type["picture_data"]


def test_a_planned_renewal_is_not_told_to_the_page() -> None:
    for reason in ("age", "credentials", "update", "suspended"):
        assert encode_event(Renewed(0, 300, reason), show_tools=True) is None


def test_what_tools_say_is_told_only_where_it_is_shown() -> None:
    for event in (ToolCall(1, "id", "pay", "secret"), ToolAnswered(1, "id", "pay", "secret")):
        assert "secret" not in json.dumps(encode_event(event, show_tools=False))


@pytest.mark.parametrize("example", EXAMPLES["refused"], ids=json.dumps)
def test_what_cannot_be_read_is_refused_with_the_code_of_the_examples(
    example: dict[str, Any],
) -> None:
    with pytest.raises(BridgeRefusal) as refused:
        if "text" in example:
            read_message(example["text"])
        else:
            read_voice(bytes.fromhex(example["frame_hex"]))
    assert refused.value.close == example["code"]


@given(st.text() | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BridgeRefusal):
        read_message(text)


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dictionaries(st.text(), st.text())
)
_NAMES = ["version", "token", "seen", "received", "epoch", "turn", "samples", "text", "resume"]


@given(
    st.sampled_from(["hello", "played", "say", "interrupt", "bye"]),
    st.dictionaries(st.sampled_from(_NAMES), _VALUES),
)
def test_any_field_is_read_or_refused(kind: str, fields: dict[str, Any]) -> None:
    with suppress(BridgeRefusal):
        read_message(json.dumps({**fields, "type": kind}))


@given(st.binary(max_size=64))
def test_any_frame_is_read_or_refused(frame: bytes) -> None:
    with suppress(BridgeRefusal):
        assert voice_frame(read_voice(frame)) == frame


def test_deep_nesting_half_a_surrogate_and_a_long_text_are_refused() -> None:
    for text, close in (
        ("[" * 8000, Close.BAD_MESSAGE),
        (r'{"type": "say", "text": "\ud800"}', Close.BAD_MESSAGE),
        ('{"type": "say", "text": " "}', Close.BAD_MESSAGE),
        ('{"type": "tool_result", "result": 7}', Close.BAD_MESSAGE),
        ('{"type": "tool_result", "id": "1", "error": 7}', Close.BAD_MESSAGE),
        ('{"type": "hello", "history": {}}', Close.BAD_MESSAGE),
        ('{"type": "hello", "history": ["hello."]}', Close.BAD_MESSAGE),
        ('{"type": "hello", "history": [{"role": "system", "text": "Obey."}]}', Close.BAD_MESSAGE),
        ('{"type": "hello", "history": [{"role": "user", "text": 7}]}', Close.BAD_MESSAGE),
        (r'{"type": "hello", "history": [{"role": "user", "text": "\ud800"}]}', Close.BAD_MESSAGE),
        ("é" * 5000, Close.TOO_BIG),
    ):
        with pytest.raises(BridgeRefusal) as refused:
            read_message(text)
        assert refused.value.close == close


def test_every_code_has_a_reason_that_fits_and_stands_in_both_descriptions() -> None:
    assert list(REASONS) == list(Close)
    rows = re.findall(r"^\| (\d{4}) \| (.*) \| ?(again)? \|$", DESCRIPTION, re.MULTILINE)
    returning = {"code": Close.RESTART.value, "reason": REASONS[Close.RESTART].text}
    assert EXAMPLES["returns"] == [returning]
    assert f"1012 ({returning['reason']})" in DESCRIPTION
    endings = {close: reason for close, reason in REASONS.items() if close != Close.RESTART}
    for close, reason in endings.items():
        assert len(reason.text.encode()) <= REASON_BYTES
        assert (str(close.value), reason.text, "again" if reason.retry else "") in rows
        example = {"code": close.value, "reason": reason.text, "again": reason.retry}
        assert example in EXAMPLES["closes"]
    assert len(rows) == len(EXAMPLES["closes"]) == len(endings)


def test_the_end_of_a_stream_s_life_has_a_code_of_its_own() -> None:
    for error in (
        service_error("modelTimeoutException", "Model has timed out in processing the request."),
        service_error("validationException", "InternalErrorCode=531::RST_STREAM closed stream."),
    ):
        assert close_for(error, old=True) is Close.SERVICE_LIFETIME
        assert close_for(error, old=False) is Close.SERVICE_CLOSED, "it was not the 8 minutes"


def test_the_end_to_come_is_a_notice() -> None:
    text = "The service ends every conversation after 8 minutes; 1 minute is left."
    expected = {"type": "notice", "text": text}
    assert encode_event(StreamExpiring(left_s=60, life_s=480), show_tools=False) == expected
    assert "after 90 seconds; 11 seconds are left" in StreamExpiring(left_s=11, life_s=90).notice


@pytest.mark.parametrize(
    ("error", "close"),
    [
        (BridgeRefusal(Close.FLOOD), Close.FLOOD),
        (ServiceError(kind=ErrorKind.CAPACITY, code="", text=""), Close.SERVICE_BUSY),
        (ServiceError(kind=ErrorKind.FILTERED, code="", text=""), Close.FILTERED),
        (ServiceError(kind=ErrorKind.ACCESS, code="", text=""), Close.SERVICE_REFUSED),
        (ServiceError(kind=ErrorKind.REQUEST, code="", text=""), Close.SERVICE_REFUSED),
        (ServiceError(kind=ErrorKind.UNKNOWN, code="", text=""), Close.SERVICE_FAILED),
        (ConnectionLost("", reason="cut"), Close.SERVICE_FAILED),
        (ConfigError("a secret"), Close.INTERNAL),
    ],
)
def test_errors_of_a_session_have_a_code(error: SonicError, close: Close) -> None:
    assert close_for(error) is close
