"""Payloads: what is written can be read again, and what cannot be read says so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.errors import WireError

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
pcm = st.binary(max_size=64)
numbers = st.integers(0, 2**31)
tools = st.lists(st.builds(wire.ToolDefinition, ids, words, words), max_size=3).map(tuple)

inputs = st.one_of(
    st.builds(
        wire.SessionStart,
        st.none() | numbers,
        st.none() | st.floats(0, 1),
        st.none() | st.floats(0, 1),
        st.sampled_from([None, "HIGH", "MEDIUM", "LOW"]),
    ),
    st.builds(wire.PromptStart, ids, words, numbers, tools),
    st.builds(wire.TextStart, ids, ids, st.sampled_from(["SYSTEM", "USER"]), st.booleans()),
    st.builds(wire.AudioStart, ids, ids, numbers),
    st.builds(wire.ToolResultStart, ids, ids, ids),
    st.builds(wire.TextInput, ids, ids, words),
    st.builds(wire.AudioInput, ids, ids, pcm),
    st.builds(wire.ToolResult, ids, ids, words),
    st.builds(wire.ContentEnd, ids, ids),
    st.builds(wire.PromptEnd, ids),
    st.just(wire.SessionEnd()),
)

who = st.builds(wire.Ids, ids, ids, ids)
tokens = st.builds(wire.Tokens, numbers, numbers, numbers, numbers)
outputs = st.one_of(
    st.builds(wire.UsageEvent, who, tokens, tokens),
    st.builds(wire.CompletionStart, who),
    st.builds(wire.UserSpeechStart, who, numbers),
    st.builds(wire.UserSpeechEnd, who, numbers, numbers),
    st.builds(
        wire.TextBlock,
        who,
        ids,
        st.sampled_from(["USER", "ASSISTANT"]),
        st.sampled_from(["SPECULATIVE", "FINAL", None]),
    ),
    st.builds(wire.AudioBlock, who, ids, numbers),
    st.builds(wire.ToolBlock, who, ids),
    st.builds(wire.TextOutput, who, ids, words, ids),
    st.builds(wire.AudioOutput, who, ids, pcm),
    st.builds(wire.ToolUse, who, ids, ids, ids, words),
    st.builds(wire.BlockEnd, who, ids, ids, ids),
    st.builds(wire.CompletionEnd, who, ids),
)


@given(inputs)
def test_an_input_event_is_read_as_it_was_written(record: wire.Input) -> None:
    assert wire.decode_input(wire.encode_input(record)) == record


@given(outputs)
def test_an_output_event_is_read_as_it_was_written(record: wire.Output) -> None:
    assert wire.decode_output(wire.encode_output(record)) == record


@given(outputs, st.data())
def test_damaged_payloads_are_read_or_refused_never_worse(
    record: wire.Output, data: st.DataObject
) -> None:
    payload = bytearray(wire.encode_output(record))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    for decode in (wire.decode_output, wire.decode_input):
        try:
            decode(bytes(payload))
        except WireError:
            continue


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | words,
        lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    for name in ("contentStart", "usageEvent", "promptStart", "sessionStart", "toolUse"):
        for decode in (wire.decode_output, wire.decode_input):
            try:
                decode(json.dumps({"event": {name: value}}).encode())
            except WireError:
                continue


def test_texts_are_escaped_by_the_encoder() -> None:
    text = 'line\nbreak "quote" \\ tab\t \u2028 ü'
    payload = wire.encode_input(wire.TextInput("p", "c", text))
    assert json.loads(payload)["event"]["textInput"]["content"] == text


def test_a_lone_surrogate_does_not_end_the_conversation() -> None:
    assert wire.decode_input(wire.encode_input(wire.TextInput("p", "c", "a\ud800b")))


@pytest.mark.parametrize(
    ("text", "is_it"),
    [
        ('{ "interrupted" : true }', True),
        ('{"interrupted":true}', True),
        ('\n{"interrupted": true, "x": 1}\n', True),
        ('{"interrupted": false}', False),
        ('{"interrupted": "true"}', False),
        ("I was interrupted", False),
        ('["interrupted"]', False),
    ],
)
def test_the_interruption_marker_is_known_by_its_meaning(text: str, is_it: bool) -> None:
    assert wire.TextOutput(wire.Ids(), "c", text).is_interruption is is_it


@pytest.mark.parametrize(
    "payload", [b'{"sessionStart":{}}', b"[]", b"3", b'{"event":{"a":{},"b":{}}}']
)
def test_json_without_an_event_has_an_error_of_its_own(payload: bytes) -> None:
    """The service answers it with a message of its own (reference 6)."""
    with pytest.raises(wire.NoEventError):
        wire.decode_input(payload)


def test_a_schema_that_is_an_object_cannot_be_parsed() -> None:
    """The service refuses it; a client that sends it must hear so from us, too (reference 8.1)."""
    payload = (
        b'{"event":{"promptStart":{"promptName":"p","toolConfiguration":{"tools":'
        b'[{"toolSpec":{"name":"t","inputSchema":{"json":{"type":"object"}}}}]}}}}'
    )
    with pytest.raises(WireError, match="not a string"):
        wire.decode_input(payload)
