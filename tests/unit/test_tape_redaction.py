"""A redacted tape has nothing of the original that could be recognized, and the same form."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.recording import (
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeHeader,
    TapeRecord,
    decode_tape,
    redacted_tape,
    tape_lines,
)
from sonic_voice.recording.filler import Filler
from sonic_voice.recording.payload_parts import split_payload
from sonic_voice.wire import (
    AudioInput,
    AudioOutput,
    Ids,
    PromptStart,
    SessionStart,
    TextBlock,
    TextInput,
    TextOutput,
    TextStart,
    ToolDefinition,
    ToolResult,
    ToolUse,
    decode_input,
    decode_output,
    encode_input,
    encode_output,
)

from ..support.tapes import BEGAN, RECORDS, sound, tape_bytes

SECRETS = (
    *("Wolpertinger", "passphrase", "Erlangen", "4711", "Zwiebelkuchen", "beneficiary"),
    *("tooluse_9f8e", "b1946ac9-2d4f", "completion-77aa", "marmalade", "Übermut"),
)
SCHEMA = {
    "type": "object",
    "properties": {
        "beneficiary": {"type": "string", "description": "Who marmalade goes to.",
                        "enum": ["Zwiebelkuchen", "Wolpertinger"]},
        "amount": {"type": "integer", "default": 4711},
    },
    "required": ["beneficiary"],
}  # fmt: skip
IDS = Ids("b1946ac9-2d4f", "prompt-Erlangen", "completion-77aa")
ARGUMENTS = json.dumps(
    {"beneficiary": "Wolpertinger", "amount": 4711, "deep": ["Übermut"]}, ensure_ascii=False
)
STAGED = '{"generationStage":"SPECULATIVE"}'

RECORDS_OF_A_SECRET_TALK: list[TapeRecord] = [
    StreamOpened(0.0, 1, "amazon.nova-2-sonic-v1:0"),
    Sent(0.0, 1, encode_input(SessionStart(1024, 0.9, 0.7, "HIGH"))),
    Sent(0.0, 1, encode_input(PromptStart(IDS.prompt, "tiffany", 24_000, (
        ToolDefinition("transfer", "Sends marmalade.", json.dumps(SCHEMA)),), "tool:transfer"))),
    Sent(0.0, 1, encode_input(TextStart(IDS.prompt, "content-Erlangen", "SYSTEM"))),
    Sent(0.0, 1, encode_input(
        TextInput(IDS.prompt, "content-Erlangen", "The passphrase is Wolpertinger 4711."))),
    Sent(0.1, 1, encode_input(AudioInput(IDS.prompt, "c", sound(1, 800)))),
    Received(0.5, 1, encode_output(TextBlock(IDS, "b1946ac9-2d4f-x", "ASSISTANT", "SPECULATIVE"))),
    Received(0.5, 1, encode_output(
        TextOutput(IDS, "b1946ac9-2d4f-x", "Grüße aus Erlangen!", "ASSISTANT"))),
    Received(0.6, 1, encode_output(AudioOutput(IDS, "b1946ac9-2d4f-y", sound(2, 801)))),
    Received(0.7, 1, encode_output(ToolUse(IDS, "t", "tooluse_9f8e", "transfer", ARGUMENTS))),
    Received(0.8, 1, encode_output(TextOutput(IDS, "m", '{ "interrupted" : true }', "ASSISTANT"))),
    Received(0.8, 1, b'{"event":{"newEvent":{"hint":"marmalade","sessionId":"b1946ac9-2d4f"}}}'),
    Received(0.8, 1, b"no JSON about Wolpertinger"),
    Sent(0.9, 1, encode_input(ToolResult(IDS.prompt, "r", '{"error":"no beneficiary 4711"}'))),
    Played(0.9, 1, sound(2, 801)),
    SessionEvent(0.7, "ToolCall", {"turn": 1, "tool_use": "tooluse_9f8e", "name": "transfer",
                                   "arguments_json": ARGUMENTS}),
    SessionEvent(0.8, "UserText", {"turn": 1, "text": "give Wolpertinger marmalade",
                                   "typed": False}),
    SessionEvent(0.8, "AssistantText", {"turn": 1, "block": 0, "text": "Grüße aus Erlangen!",
                                        "stage": "SPECULATIVE"}),
    SessionEvent(0.9, "Heard", {"turn": 1, "heard_ms": 300, "heard": "Grüße aus",
                                "planned": "Grüße aus Erlangen!"}),
    SessionEvent(0.9, "Renewed", {"gap_ms": 0, "replayed_ms": 0, "reason": "age"}),
    SessionEvent(0.9, "Renewed", {"gap_ms": 0, "replayed_ms": 0, "reason": "Erlangen hung up."}),
    SessionEvent(0.9, "Ignored", {"what": "payload of Wolpertinger"}),
    StreamEnded(1.0, 1, "reset: the host of Erlangen has reset the connection"),
]  # fmt: skip
CONFIG = {
    "model": "amazon.nova-2-sonic-v1:0", "voice": "tiffany", "greeting": "Greet Wolpertinger.",
    "system": "The passphrase is Wolpertinger 4711.", "input": {"rate_hz": 16_000},
    "history": [{"role": "USER", "text": "I live in Erlangen"}],
    "tools": [{"name": "transfer", "description": "Sends marmalade.", "schema": SCHEMA}],
}  # fmt: skip
TALK = Tape(
    TapeHeader(1, "amazon.nova-2-sonic-v1:0", CONFIG, BEGAN, {"python": "3"}),
    sorted(RECORDS_OF_A_SECRET_TALK, key=lambda record: record.t_s),
)


def everything_in(tape: Tape) -> str:
    """Return all that a tape says, also inside of strings and of base64."""
    return repr(tape) + repr(decode_tape(tape_bytes(tape.records, tape.header)))


def test_nothing_of_the_original_is_in_it() -> None:
    assert all(secret in everything_in(TALK) for secret in SECRETS)
    redacted = redacted_tape(TALK)
    said = everything_in(redacted)
    assert [secret for secret in SECRETS if secret.lower() in said.lower()] == []
    data = tape_bytes(redacted.records, redacted.header)
    assert not any(secret.encode() in data for secret in SECRETS)


def test_all_sound_is_silent_and_as_long_as_before() -> None:
    redacted = redacted_tape(TALK)
    for before, after in zip(TALK.records, redacted.records, strict=True):
        if isinstance(before, Played) and isinstance(after, Played):
            assert after.pcm == bytes(len(before.pcm))
        elif isinstance(before, Sent | Received) and isinstance(after, Sent | Received):
            parts = split_payload(before.payload), split_payload(after.payload)
            if parts[0] is not None:
                assert parts[1] is not None
                assert parts[1][1] == bytes(len(parts[0][1]))
                assert len(after.payload) == len(before.payload)


def test_order_times_and_kinds_stay() -> None:
    redacted = redacted_tape(TALK)
    assert [(type(r), r.t_s) for r in redacted.records] == [(type(r), r.t_s) for r in TALK.records]
    assert redacted.duration_s == TALK.duration_s
    assert redacted.header.redacted
    assert redacted.header.config["voice"] == "tiffany"
    assert redacted.header.config["history"] == [{"role": "USER", "text": "X xxxx xx Xxxxxxxx"}]


def shape(value: Any) -> Any:
    """Return a JSON value without what redaction may replace."""
    match value:
        case dict():
            return {key: shape(member) for key, member in value.items()}  # pyright: ignore
        case list():
            return [shape(member) for member in value]  # pyright: ignore
        case str():
            return len(value)
        case _:
            return value


def payloads(tape: Tape) -> Iterator[bytes]:
    return (r.payload for r in tape.records if isinstance(r, Sent | Received))


def test_the_payloads_are_still_those_of_the_service() -> None:
    """Decoded by the wire, each is the same record with strings of the same length."""
    for before, after in zip(payloads(TALK), payloads(redacted_tape(TALK)), strict=True):
        if not before.startswith(b"{"):
            continue
        decode = decode_input if b"contentId" not in before else decode_output
        assert type(decode(before)) is type(decode(after))
        if b"newEvent" not in before and b"tool" not in before.lower():
            assert shape(json.loads(before)) == shape(json.loads(after))


def test_the_words_of_the_protocol_stay() -> None:
    text = b"\n".join(payloads(redacted_tape(TALK))).decode()
    for word in ("SYSTEM", "SPECULATIVE", "HIGH", "tiffany", "audio/lpcm", "transfer", "24000"):
        assert word in text
    assert '"{ \\"interrupted\\" : true }"' in text
    [result] = re.findall(r'"toolResult":\{[^}]*?"content":"(.*?\})"', text)
    assert list(json.loads(result.replace("\\", "")).values()) == ["xx xxxxxxxxxxx 0000"]


def test_an_id_is_the_same_other_id_everywhere() -> None:
    redacted = redacted_tape(TALK)
    text = b"\n".join(payloads(redacted)).decode()
    [call] = [r for r in redacted.records if isinstance(r, SessionEvent) and r.name == "ToolCall"]
    [tool_use] = re.findall(r'"toolUseId":"([^"]*)"', text)
    assert call.fields["tool_use"] == tool_use
    assert len(tool_use) == len("tooluse_9f8e")
    prompts = set(re.findall(r'"promptName":"([^"]*)"', text))
    assert len(prompts) == 1
    contents = re.findall(r'"content(?:Name|Id)":"([^"]*)"', text)
    originals = re.findall(r'"content(?:Name|Id)":"([^"]*)"', b"\n".join(payloads(TALK)).decode())
    assert len(set(zip(originals, contents, strict=True))) == len(set(originals))


def test_what_was_heard_is_still_the_beginning_of_what_was_planned() -> None:
    [user, answer] = tape_lines(redacted_tape(TALK))
    assert user.text == "xxxx Xxxxxxxxxxxx xxxxxxxxx"
    assert (answer.text, answer.planned) == ("Xxxxx xxx", "Xxxxx xxx Xxxxxxxx!")
    assert answer.interrupted


def test_planned_renewals_are_told_from_faults() -> None:
    reasons = [
        r.fields["reason"]
        for r in redacted_tape(TALK).records
        if isinstance(r, SessionEvent) and r.name == "Renewed"
    ]
    assert reasons == ["age", "Xxxxxxxx xxxx xx."]


@given(RECORDS)
def test_any_tape_can_be_redacted_and_written(records: list[TapeRecord]) -> None:
    redacted = redacted_tape(Tape(TALK.header, records))
    assert len(redacted.records) == len(records)
    read = decode_tape(tape_bytes(redacted.records, redacted.header))
    assert read.damage == ()
    assert [type(record) for record in read.records] == [type(record) for record in records]


@given(st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=60))
def test_different_ids_and_keys_stay_different(texts: list[str]) -> None:
    filler = Filler(texts)
    ids, keys = [filler.id(text) for text in texts], [filler.key(text) for text in texts]
    assert len(set(ids)) == len(set(keys)) == len(texts)
    assert not set(ids) & set(texts)
    assert [filler.id(text) for text in texts] == ids
