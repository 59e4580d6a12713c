"""A `SessionConfig` that can be built is one the service takes; the others name their fault."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from sonic_voice.config import (
    AudioFormat,
    Deadlines,
    SessionConfig,
    ToolChoice,
    ToolSpec,
    check_schema,
)
from sonic_voice.errors import ConfigError
from sonic_voice.history import Message

V1, V2 = "amazon.nova-sonic-v1:0", "amazon.nova-2-sonic-v1:0"
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
CLOCK = ToolSpec("clock", "The time", EMPTY)


def test_the_defaults_are_a_session_the_service_takes() -> None:
    config = SessionConfig()
    assert config.model == V2
    assert config.voice == "tiffany"
    assert config.endpointing == "MEDIUM"
    assert (config.max_tokens, config.top_p, config.temperature) == (1024, 0.9, 0.7)
    assert (config.input.rate_hz, config.output.rate_hz) == (16_000, 24_000)
    assert config.tool_choice == ToolChoice("auto")
    assert config.deadlines == Deadlines(open_s=20, send_s=10, close_s=10)
    assert config.system.strip()
    assert config.voice_model.id == V2


def test_v1_gets_no_endpointing() -> None:
    assert SessionConfig(model=V1).endpointing is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "amazon.nova-lite-v1:0"}, "Converse"),
        ({"model": "us.amazon.nova-2-sonic-v1:0"}, "bare id"),
        ({"region": "eu-west-1"}, "eu-north-1"),
        ({"voice": "mathew"}, "'matthew'"),
        ({"voice": "Tiffany"}, "lower-case"),
        ({"model": V1, "voice": "tina"}, "greta"),
        ({"model": V1, "endpointing": "HIGH"}, "no endpointing"),
        ({"endpointing": "high"}, "HIGH, MEDIUM or LOW"),
        ({"max_tokens": 0}, "1 to 65536"),
        ({"max_tokens": 65_537}, "1 to 65536"),
        ({"model": V1, "max_tokens": 10_001}, "1 to 10000"),
        ({"top_p": 1.01}, "top_p must be 0 to 1"),
        ({"top_p": -0.1}, "top_p must be 0 to 1"),
        ({"temperature": 1.01}, "temperature must be 0 to 1"),
        ({"temperature": float("nan")}, "temperature must be 0 to 1"),
        ({"input": AudioFormat(44_100)}, "input rate must be one of 8000, 16000, 24000"),
        ({"output": AudioFormat(48_000)}, "output rate must be one of 8000, 16000, 24000"),
        ({"system": ""}, "system prompt is empty"),
        ({"system": " \n"}, "system prompt is empty"),
        ({"system": "é" * 100_001}, "200002 bytes"),
        ({"model": V1, "script": "latin"}, "script 'latin'"),
        ({"script": "cyrillic"}, "script 'cyrillic'"),
        ({"tools": (ToolSpec("two words", "", EMPTY),)}, "'two words' is no name"),
        ({"tools": (ToolSpec("", "", EMPTY),)}, "'' is no name"),
        ({"tools": (ToolSpec("x" * 65, "", EMPTY),)}, "at most 64"),
        ({"tools": (CLOCK, CLOCK)}, "Two tools are named 'clock'"),
        ({"tools": (ToolSpec("clock", "", {"type": "string"}),)}, "object at its top"),
        ({"tool_choice": ToolChoice("any")}, "needs tools"),
        ({"tool_choice": ToolChoice("tool", "clock")}, "needs tools"),
        ({"tools": (CLOCK,), "tool_choice": ToolChoice("tool", "watch")}, "'watch'"),
        ({"history": (Message("USER", "x" * 50_001),)}, "50001 bytes"),
    ],
)
def test_what_the_service_would_refuse_is_refused_first(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SessionConfig(**wrong)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "right",
    [
        {"model": V1, "max_tokens": 10_000},
        {"max_tokens": 65_536, "top_p": 0.0, "temperature": 1.0},
        {"system": "é" * 100_000},
        {"endpointing": "LOW", "script": "devanagari"},
        {"input": AudioFormat(8_000), "output": AudioFormat(8_000)},
        {"tools": (CLOCK,), "tool_choice": ToolChoice("tool", "clock")},
        {"tools": (ToolSpec("a-B_9", "", EMPTY),), "tool_choice": ToolChoice("any")},
        {"region": "us-west-2"},
    ],
)
def test_what_the_service_takes_is_taken(right: dict[str, Any]) -> None:
    config = SessionConfig(**right)
    assert {name: getattr(config, name) for name in right} == right


def test_the_history_is_put_in_order_when_built() -> None:
    given = (Message("USER", " "), Message("USER", "a"), Message("USER", "b"))
    assert SessionConfig(history=given).history == (Message("USER", "a\nb"),)


def test_a_long_history_is_refused_or_trimmed_as_asked() -> None:
    turns = tuple(Message(("USER", "ASSISTANT")[i % 2], str(i)) for i in range(42))
    with pytest.raises(ConfigError, match="trim"):
        SessionConfig(history=turns)
    assert SessionConfig(history=turns, history_policy="trim").history == turns[2:]


def test_a_config_does_not_change_once_built() -> None:
    with pytest.raises(FrozenInstanceError):
        SessionConfig().voice = "matthew"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("part", ["$ref", "$schema", "$defs", "anyOf", "oneOf", "allOf"])
def test_a_schema_with_alternatives_or_references_is_refused_where_they_stand(part: str) -> None:
    items: dict[str, Any] = {part: "x"}
    schema = {"type": "object", "properties": {"x": {"type": "array", "items": items}}}
    with pytest.raises(ConfigError) as caught:
        check_schema("go", schema)
    assert f"/properties/x/items/{part}" in caught.value.message


def test_a_dialect_named_at_the_top_of_a_schema_is_dropped() -> None:
    plain: dict[str, Any] = {"type": "object", "properties": {}}
    written = {"$schema": "http://json-schema.org/draft-07/schema#", **plain}
    spec = ToolSpec("go", "Go.", written)
    assert spec.schema == plain
    assert "$schema" in written
    assert SessionConfig(tools=(spec,)).tools[0].schema == plain
    check_schema("go", written)


@pytest.mark.parametrize("type_", ["null", ["string", "null"], ["string"]])
def test_a_schema_with_null_or_several_types_is_refused(type_: object) -> None:
    with pytest.raises(ConfigError, match="/properties/x/type"):
        check_schema("go", {"type": "object", "properties": {"x": {"type": type_}}})


def test_a_property_may_be_named_like_a_keyword() -> None:
    names = {"type": {"type": "string"}, "anyOf": {"type": "integer"}}
    check_schema("go", {"type": "object", "properties": names})


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_a_schema_that_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="not JSON"):
        check_schema("go", {"type": "object", "default": value})


@pytest.mark.parametrize(("rate_hz", "size"), [(8_000, 320), (16_000, 640), (24_000, 960)])
def test_an_audio_format_converts_seconds_and_bytes(rate_hz: int, size: int) -> None:
    audio = AudioFormat(rate_hz)
    assert audio.size(0.020) == size
    assert audio.seconds(size) == 0.020


def test_a_size_is_whole_samples() -> None:
    assert AudioFormat(8_000).size(0.00019) == 4
