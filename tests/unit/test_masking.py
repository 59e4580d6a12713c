"""Masking of personal data: what is found, what is left, and that tapes stay readable."""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.masking import mask, mask_json, mask_value
from sonic_voice.recording.masked_records import masked_header, masked_record
from sonic_voice.recording.records import (
    VERSION,
    Played,
    Received,
    SessionEvent,
    StreamEnded,
    TapeHeader,
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Mail jo.smith+x@mail.example.com, please.", "Mail [email], please."),
        ("It is jo dot smith at example dot com.", "It is [email]."),
        ("Call +49 (0)30 123456-7 now", "Call [phone] now"),
        ("Call 415-555-0123.", "Call [phone]."),
        ("Call 5550123", "Call [number]"),
        ("My card is 4111 1111 1111 1111.", "My card is [card]."),
        ("My card is 378282246310005", "My card is [card]"),
        ("The account DE89 3704 0044 0532 0130 00 is mine", "The account [iban] is mine"),
        ("SSN 078-05-1120", "SSN [ssn]"),
        ("from 192.168.10.20", "from [ip]"),
        ("four one five, five five five, oh one two three", "[number]"),
        ("it is 4 1 5 5 5 5 0 1 2 3 okay", "it is [phone] okay"),
    ],
)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Meet me at noon on 2026-11-29, or 29.11.2026.",
        "It costs 1,000 dollars and 50 cents for 12 of 365 days.",
        "One or two of us look at three dots.",
        "Room 12345 at the hotel.",
        "Version 3.12.1 of 2026",
        "",
    ],
)
def test_other_numbers_and_words_are_left(text: str) -> None:
    assert mask(text) == text


def luhn(digits: list[int]) -> list[int]:
    """Append the check digit, by the textbook."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit
    return [*digits, -total % 10]


@given(
    st.lists(st.integers(0, 9), min_size=12, max_size=18).map(luhn),
    st.sampled_from(["", " ", "-"]),
    st.sampled_from(["{}", "It is {}.", "No: {}, thanks"]),
)
def test_no_digit_of_a_card_number_is_left(digits: list[int], separator: str, frame: str) -> None:
    number = separator.join(map(str, digits))
    assert mask(frame.format(number)) == frame.format("[card]")


@settings(max_examples=50)
@given(st.text())
def test_any_text_is_masked_once_and_for_all(text: str) -> None:
    masked = mask(text)
    assert mask(masked) == masked
    assert mask_value(mask_value({"a": [text]})) == mask_value({"a": [text]})


def test_long_texts_take_no_time_to_speak_of() -> None:
    for piece in ("1", "1 ", "a.", "a@", "one ", "a dot ", "A111 ", "1.", "+", "(1"):
        mask(piece * 4_000)  # the limit of a test's time ends one that takes for ever


def test_json_stays_json() -> None:
    arguments = '{"phone": 4155550123, "note": "jo@example.com", "meters": 10, "ok": true}'
    assert json.loads(mask_json(arguments)) == {
        "phone": "[number]",
        "note": "[email]",
        "meters": 10,
        "ok": True,
    }
    assert mask_json('{"a": 1}') == '{"a": 1}'
    assert mask_json("call 415-555-0123") == "call [phone]"


def received(name: str, **body: object) -> Received:
    return Received(1.0, 1, json.dumps({"event": {name: body}}).encode())


def test_a_masked_tape_has_neither_words_nor_sound_of_personal_data() -> None:
    content_id = "4155550123-4155550123"
    text = received("textOutput", content="Call 415-555-0123.", contentId=content_id)
    record = masked_record(text)
    assert isinstance(record, Received)
    body = json.loads(record.payload)["event"]["textOutput"]
    assert body == {"content": "Call [phone].", "contentId": content_id}
    pcm = bytes(range(200))
    sound = masked_record(received("audioOutput", content=b64encode(pcm).decode()))
    assert isinstance(sound, Received)
    silent = json.loads(sound.payload)["event"]["audioOutput"]["content"]
    assert silent == b64encode(bytes(200)).decode()
    played = Played(1.0, 1, pcm)
    assert masked_record(played) == replace(played, pcm=bytes(200))
    event = SessionEvent(
        1.0, "ToolCall", {"tool_use": content_id, "arguments_json": '{"n":5550123}'}
    )
    assert masked_record(event) == SessionEvent(
        1.0, "ToolCall", {"tool_use": content_id, "arguments_json": '{"n": "[number]"}'}
    )
    ended = masked_record(StreamEnded(1.0, 1, "service: no jo@example.com"))
    assert ended == StreamEnded(1.0, 1, "service: no [email]")


def test_the_header_of_a_masked_tape_says_that_it_is_not_the_original() -> None:
    config = {"system": "Forward to jo@example.com.", "model": "m"}
    header = TapeHeader(VERSION, "m", config, datetime(2026, 1, 1, tzinfo=UTC), {})
    masked = masked_header(header)
    assert masked.config == {"system": "Forward to [email].", "model": "m"}
    assert masked.redacted
