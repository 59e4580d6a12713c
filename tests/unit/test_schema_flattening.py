"""Any JSON schema becomes one that the service accepts, and what was lost is listed."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.catalog import DEFAULT_MODEL, voice_model
from sonic_voice.config import check_schema
from sonic_voice.emulator.service import checks
from sonic_voice.tools.schema_flattening import MAX_DEPTH, MAX_PARTS, flatten
from sonic_voice.wire import PromptStart, ToolDefinition

STRING, INTEGER, NUMBER, BOOLEAN = (
    {"type": kind} for kind in ("string", "integer", "number", "boolean")
)
NULL = {"type": "null"}
POINT = {
    "type": "object",
    "properties": {"x": NUMBER, "y": NUMBER},
    "required": ["x", "y"],
}


def whole(part: Any, **beside: Any) -> dict[str, Any]:
    """A tool's schema with one optional property `x`."""
    return {"type": "object", "properties": {"x": part}, **beside}


def flat(part: Any, **beside: Any) -> tuple[Any, list[tuple[str, str]]]:
    """The flattened schema of the property `x`, and the place and kind of each loss."""
    schema, losses = flatten(whole(part, **beside))
    return schema["properties"]["x"], [(loss.place, loss.kind) for loss in losses]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (STRING, STRING),
        ({**STRING, "title": "X", "$comment": "y", "x-vendor": {"type": "null"}}, STRING),
        ({"$ref": "#/$defs/Point"}, POINT),
        ({"$ref": "#/$defs/Point", "description": "Here."}, {**POINT, "description": "Here."}),
        ({"$ref": "#/$defs/a~1b"}, INTEGER),
        ({"$ref": "#/$defs/Alias"}, POINT),
        ({"anyOf": [STRING, NULL]}, STRING),
        ({"oneOf": [NULL, {"$ref": "#/$defs/Point"}], "description": "Where."},
         {**POINT, "description": "Where."}),
        ({"type": ["integer", "null"], "minimum": 1}, {"type": "integer", "minimum": 1}),
        ({"type": ["integer", "number"]}, NUMBER),
        ({"anyOf": [INTEGER, NUMBER]}, NUMBER),
        ({"anyOf": [STRING, STRING]}, STRING),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 1, "type": "integer"}, {"type": "integer", "enum": [1]}),
        ({"enum": ["a", "b", None]}, {"type": "string", "enum": ["a", "b"]}),
        ({"enum": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}),
        ({"anyOf": [{"enum": ["a", "b"]}, {"const": "c"}, {"const": "a"}]},
         {"type": "string", "enum": ["a", "b", "c"]}),
        ({"allOf": [{"$ref": "#/$defs/Point"}], "description": "Here."},
         {**POINT, "description": "Here."}),
        ({"allOf": [POINT, {"type": "object", "properties": {"z": NUMBER}, "required": ["z"]}]},
         {"type": "object", "properties": {"x": NUMBER, "y": NUMBER, "z": NUMBER},
          "required": ["x", "y", "z"]}),
        ({"allOf": [{"minLength": 1}, STRING], "description": "A."},
         {"type": "string", "minLength": 1, "description": "A."}),
        ({"type": "array", "prefixItems": [NUMBER, NUMBER], "minItems": 2, "maxItems": 2},
         {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}),
        ({"type": "array", "items": [INTEGER, NUMBER]}, {"type": "array", "items": NUMBER}),
        ({"type": "array", "items": {"anyOf": [INTEGER, NULL]}, "uniqueItems": True},
         {"type": "array", "items": INTEGER, "uniqueItems": True}),
        ({"type": "object", "additionalProperties": {"anyOf": [INTEGER, NULL]}},
         {"type": "object", "additionalProperties": INTEGER}),
        ({"type": "object", "properties": {"type": STRING, "$ref": INTEGER, "title": BOOLEAN}},
         {"type": "object", "properties": {"type": STRING, "$ref": INTEGER, "title": BOOLEAN}}),
        ({"properties": {"a": STRING}}, {"type": "object", "properties": {"a": STRING}}),
        ({"items": STRING}, {"type": "array", "items": STRING}),
        ({**STRING, "default": None}, STRING),
        ({**STRING, "default": "a", "examples": ["b"]},
         {**STRING, "default": "a", "examples": ["b"]}),
        ({"type": "array", "items": STRING, "default": [{"$ref": "x"}]},
         {"type": "array", "items": STRING}),
        ({**STRING, "minLength": "two", "description": 3}, STRING),
    ],
    ids=str,
)  # fmt: skip
def test_a_schema_is_written_out_and_nothing_is_lost(part: Any, expected: Any) -> None:
    defs = {"Point": POINT, "a/b": INTEGER, "Alias": {"$ref": "#/$defs/Point"}}
    assert flat(part, **{"$defs": defs}) == (expected, [])


LOSSES: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    ({}, {}, [("x", "anything")]),
    (True, {}, [("x", "anything")]),
    ({"description": "Any."}, {"description": "Any."}, [("x", "anything")]),
    (NULL, {}, [("x", "anything")]),
    ({"type": "array"}, {"type": "array"}, [("x[]", "anything")]),
    ({"type": "object"}, {"type": "object"}, [("x.*", "anything")]),
    ({"anyOf": [INTEGER, STRING]}, STRING, [("x", "types")]),
    ({"type": ["boolean", "string"]}, STRING, [("x", "types")]),
    ({"anyOf": [INTEGER, BOOLEAN, NULL]}, INTEGER, [("x", "types")]),
    ({"type": "array", "prefixItems": [INTEGER, STRING]},
     {"type": "array", "items": STRING}, [("x[]", "types")]),
    (
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "object"}]},
        {"type": "string", "format": "date"},
        [("x", "types")],
    ),
    ({"enum": ["a", 2]}, {"type": "string", "enum": ["a"]}, [("x", "choices")]),
    ({"enum": [None, {}]}, {}, [("x", "choices")]),
    ({"enum": [1, True, 1.0]}, {"type": "integer", "enum": [1]}, [("x", "choices")]),
    ({"$ref": "#/nowhere"}, {}, [("x", "reference")]),
    ({"$ref": "https://example.com/schema"}, {}, [("x", "reference")]),
    ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
     {"type": "object", "properties": {"a": STRING}, "required": ["a"]}, [("x.a", "null")]),
    ({"allOf": [INTEGER, STRING]}, INTEGER, [("x", "types")]),
    ({**INTEGER, "anyOf": [STRING, NULL]}, INTEGER, [("x", "types")]),
    ({**STRING, "not": {"const": "a"}}, STRING, [("x", "constraint")]),
    ({"anyOf": [{**STRING, "minLength": 1}, {**STRING, "maxLength": 9}]},
     STRING, [("x", "constraint")]),
    ({"oneOf": [POINT, {"type": "object", "properties": {"x": NUMBER, "r": NUMBER},
                        "required": ["x"]}]},
     {"type": "object", "properties": {"x": NUMBER, "y": NUMBER, "r": NUMBER},
      "required": ["x"]},
     [("x", "constraint")]),
    ({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
        {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}],
      "discriminator": {"propertyName": "kind"}},
     {"type": "object", "properties": {"kind": {"type": "string", "enum": ["a", "b"]}},
      "required": ["kind"]},
     [("x", "constraint")]),
]  # fmt: skip


@pytest.mark.parametrize(("part", "expected", "losses"), LOSSES, ids=str)
def test_what_cannot_be_told_is_listed(
    part: Any, expected: Any, losses: list[tuple[str, str]]
) -> None:
    assert flat(part) == (expected, losses)


def test_a_recursion_is_cut() -> None:
    node = {
        "type": "object",
        "properties": {
            "name": STRING,
            "children": {"type": "array", "items": {"$ref": "#/$defs/N"}},
        },
    }
    part, losses = flat({"$ref": "#/$defs/N"}, **{"$defs": {"N": node}})
    assert part["properties"]["children"] == {"type": "array", "items": {"type": "object"}}
    assert losses == [("x.children[]", "recursion")]


def test_a_reference_to_the_whole_schema_is_a_recursion() -> None:
    schema, losses = flatten({**whole({"$ref": "#"}), "required": ["x"]})
    inner = schema["properties"]["x"]["properties"]["x"]
    assert inner == {"type": "object"}
    assert [loss.kind for loss in losses] == ["recursion"]


def test_references_that_double_at_each_step_are_bounded() -> None:
    defs: dict[str, Any] = {"D0": STRING}
    for step in range(1, 20):
        one = {"$ref": f"#/$defs/D{step - 1}"}
        defs[f"D{step}"] = {"type": "object", "properties": {"a": one, "b": one}}
    schema, losses = flatten(whole({"$ref": "#/$defs/D19"}, **{"$defs": defs}))
    assert "size" in {loss.kind for loss in losses}
    assert len(json.dumps(schema)) < 100 * MAX_PARTS


def test_a_deep_schema_is_bounded() -> None:
    part: dict[str, Any] = STRING
    for _ in range(10 * MAX_DEPTH):
        part = {"type": "array", "items": part}
    _, losses = flat(part)
    assert {kind for _, kind in losses} == {"size"}


def test_a_tool_without_parameters_has_no_properties() -> None:
    assert flatten({"type": "object"}) == ({"type": "object", "properties": {}}, [])


@pytest.mark.parametrize("root", [STRING, {}, {"$ref": "#/$defs/x"}, {"anyOf": [STRING, NULL]}])
def test_a_root_that_is_no_object_is_a_loss(root: dict[str, Any]) -> None:
    schema, losses = flatten(root)
    assert schema == {"type": "object", "properties": {}}
    assert any(loss.changes_meaning for loss in losses)


KEYWORDS = (
    *("type", "properties", "required", "items", "prefixItems", "additionalProperties", "enum"),
    *("const", "anyOf", "oneOf", "allOf", "$ref", "$schema", "$defs", "definitions", "title"),
    *("description", "default", "examples", "format", "minimum", "maxLength", "uniqueItems", "not"),
    *("if", "then", "patternProperties", "propertyNames", "nullable", "x-vendor", "discriminator"),
)
TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from((*TYPES, *KEYWORDS)),
    st.sampled_from(("#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/definitions/a", "x")),
)
NAMES = st.sampled_from((*KEYWORDS, "a", "b"))


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(NAMES, inner, max_size=4),
        _schemas(inner),
    )


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas that mostly make sense, with parts that need not."""
    properties = st.dictionaries(NAMES, inner, max_size=3)
    options = st.lists(inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(st.sampled_from(TYPES), st.lists(st.sampled_from(TYPES))),
            "properties": properties,
            "$defs": properties,
            "required": st.lists(NAMES, max_size=3),
            "items": inner,
            "prefixItems": options,
            "additionalProperties": inner,
            "anyOf": options,
            "oneOf": options,
            "allOf": options,
            "enum": st.lists(SCALARS, max_size=4),
            "const": SCALARS,
            "$ref": st.sampled_from(("#", "#/$defs/a", "#/$defs/b")),
            "default": inner,
            "description": SCALARS,
            "minimum": SCALARS,
        },
    )


JSON = st.recursive(SCALARS, _nested, max_leaves=12)


@given(_schemas(JSON))
def test_whatever_comes_out_is_accepted_by_client_and_emulator(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    flattened, _ = flatten(schema)
    check_schema("go", flattened)
    told = ToolDefinition("go", "Go.", json.dumps(flattened))
    start = PromptStart("P", "matthew", 24_000, (told,))
    assert checks.prompt_start(start, voice_model(DEFAULT_MODEL)) is None
    assert repr(schema) == repr(before)


@given(_schemas(JSON))
def test_what_is_flat_stays_as_it_is(schema: dict[str, Any]) -> None:
    once, _ = flatten(schema)
    assert flatten(once)[0] == once
