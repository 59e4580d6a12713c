"""JSON, base64 and audio events by fast packages: the same as by the standard library."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.wire.codecs import decode_base64, encode_base64, load_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def outcome(call: Callable[[Any], Any], value: Any) -> str:
    """Return the result of a call, or that it has raised a `ValueError`."""
    try:
        return repr(call(value))
    except ValueError:
        return "ValueError"


@given(values, st.booleans())
def test_json_is_read_alike(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert outcome(load_json, text) == outcome(json.loads, text)


@given(st.text('{}[]":,0123456789.eE+-truefalsn\\u ', max_size=18))
def test_text_that_may_be_json_is_read_alike(text: str) -> None:
    assert outcome(load_json, text.encode()) == outcome(json.loads, text.encode())


@pytest.mark.parametrize(
    "text", [b"NaN", b"1e400", b'"\\ud800"', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"\xff"]
)
def test_what_only_the_standard_library_reads_is_read(text: bytes) -> None:
    assert outcome(load_json, text) == outcome(json.loads, text)


def strict(text: bytes) -> bytes:
    return base64.b64decode(text, validate=True)


@given(st.text("AQgw09+/=-_ \n", max_size=12).map(str.encode) | st.binary(max_size=40))
def test_base64_is_read_alike(text: bytes) -> None:
    assert outcome(decode_base64, text) == outcome(strict, text)
    assert encode_base64(text) == base64.b64encode(text)
    assert decode_base64(encode_base64(text)) == text


@given(st.text(), st.text(), st.binary(max_size=100))
def test_an_audio_event_has_the_bytes_of_its_record(prompt: str, content: str, pcm: bytes) -> None:
    record = wire.AudioInput(prompt, content, pcm)
    assert wire.AudioInputEncoder(prompt, content).encode(pcm) == wire.encode_input(record)
