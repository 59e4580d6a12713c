"""The schema for editors says of a scenario what the reader says.

But for what only the whole file can tell, or another file: `BEYOND` is how such mistakes begin.
"""

import copy
import json
from importlib import resources
from pathlib import Path
from typing import Any, cast, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sonic_voice.emulator import scenario
from sonic_voice.emulator.scenario import (
    EXCEPTIONS,
    BreakKind,
    condition_reader,
    parse_scenario,
    reader,
)
from sonic_voice.errors import ScenarioError

SCHEMA = json.loads(
    resources.files("sonic_voice.emulator.scenario")
    .joinpath("scenario.schema.json")
    .read_text("utf-8")
)
VALIDATOR: Any = Draft202012Validator(SCHEMA)
BEYOND = (
    "no regular expression",
    "nothing sets",
    "before the first utterance",
    "another step is called",
    "no step is called",
    "this step cannot be reached",
    "`loop` has no effect",
    "cannot be read as WAV",
)

WHOLE: dict[str, Any] = {
    "name": "whole",
    "set": {"count": 1},
    "loop": False,
    "otherwise": ["A", "B"],
    "endpoint_ms": 400,
    "voice": "amy",
    "steps": [
        {
            "name": "first",
            "user": "a",
            "expect": {"user": ["a", "b"], "count": {"present": True}, "result.x": [1, None]},
            "else": {"error": {"code": "throttlingException", "message": "m"}},
            "when": [
                {"if": {"user": {"like": "a b", "errors": 0.5}}, "break": "cut", "say": "c"},
                {"if": {"user": {"matches": "(?P<n>x)"}, "n": "x"}, "say": [], "goto": "end"},
                {"if": {"user": "c"}, "say": "d", "set": {"count": "{n}"}, "delay_ms": 40},
            ],
            "call": {
                "tool": "t",
                "arguments": {"x": ["{n}", {"y": 1.5}]},
                "meanwhile": "e",
                "then": "f",
                "delay_ms": 0,
                "set": {"n": None},
                "goto": "first",
                "expect": {"result": {"present": False}},
                "else": "g",
                "when": [{"if": {"result.y": True}}, {"if": {"count": 1}, "say": "h"}],
            },
        },
        {"user": "b", "say": "i"},
    ],
}


def judged(document: Any) -> list[str]:
    """What the reader has against `document`, but for what is beyond a schema."""
    text = json.dumps(document)
    try:
        read = reader.read_scenario(text, Path("s.yaml"))[1]
    except ScenarioError as error:
        read = [error]
    return [str(m) for m in read if not any(beyond in str(m) for beyond in BEYOND)]


def agree(document: Any) -> bool:
    """Whether both take `document` or both refuse it; fails if they differ."""
    by_reader = judged(document)
    by_schema = [error.message for error in VALIDATOR.iter_errors(document)]
    assert bool(by_reader) == bool(by_schema), (document, by_reader, by_schema)
    return not by_schema


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def keys(definition: str) -> set[str]:
    return set(SCHEMA["$defs"][definition]["properties"])


def test_the_schema_and_the_reader_know_the_same_keys() -> None:
    assert set(SCHEMA["properties"]) == set(reader.FILE_KEYS)
    assert keys("step") == set(reader.STEP_KEYS)
    assert keys("answer") == set(reader.ANSWER_KEYS)
    assert keys("branch") == {"if", *reader.ANSWER_KEYS}
    assert keys("call") == set(reader.CALL_KEYS)
    assert keys("later") == set(reader.RESULT_KEYS)
    assert keys("laterBranch") == {"if", *reader.RESULT_KEYS}
    assert keys("error") == set(reader.EXCEPTION_KEYS)
    assert keys("test") == set(condition_reader.TEST_KEYS)
    assert SCHEMA["$defs"]["error"]["properties"]["code"]["enum"] == list(EXCEPTIONS)
    assert SCHEMA["$defs"]["break"]["enum"] == list(get_args(BreakKind))


def test_every_scenario_here_keeps_to_the_schema() -> None:
    folder = Path(scenario.__file__).parent.parent
    files = list(folder.rglob("*.yaml"))
    assert len(files) >= 2
    for document in (*(yaml.safe_load(path.read_text("utf-8")) for path in files), WHOLE):
        assert agree(document)


def test_the_example_of_the_documentation_is_a_scenario_and_keeps_to_the_schema() -> None:
    assert scenario.__doc__ is not None
    example = scenario.__doc__.split("\n\n")[1]
    assert len(parse_scenario(example, Path("pizza.yaml")).steps) == 2
    assert agree(yaml.safe_load(example))


STEP: dict[str, Any] = {"user": "a", "say": "b"}
CALL: dict[str, Any] = {"tool": "t"}

REFUSED: list[Any] = [
    {"say": "b"},
    {"user": "a"},
    {"user": " ", "say": "b"},
    {"user": 7, "say": "b"},
    STEP | {"sya": "b"},
    STEP | {"call": CALL},
    STEP | {"say": [" "]},
    STEP | {"say": {"b": "c"}},
    STEP | {"delay_ms": True},
    STEP | {"delay_ms": 60_001},
    STEP | {"delay_ms": 0.5},
    STEP | {"break": "rest"},
    STEP | {"error": {"code": "throttlingException"}},
    STEP | {"error": {"code": "throttlingException", "message": ""}},
    STEP | {"name": "end"},
    STEP | {"else": "c"},
    STEP | {"expect": {}},
    STEP | {"expect": {"user": None}},
    STEP | {"expect": {"user": []}},
    STEP | {"expect": {"a b": 1}},
    STEP | {"expect": {"result": [[1]]}},
    STEP | {"expect": {"result": {}}},
    STEP | {"expect": {"result": {"like": "a", "present": True}}},
    STEP | {"expect": {"result": {"present": True, "errors": 0.1}}},
    STEP | {"expect": {"result": {"like": "a", "errors": 1.5}}},
    STEP | {"expect": {"result": {"like": "a", "errors": True}}},
    STEP | {"expect": {"user": "b"}, "else": {"goto": "end"}},
    STEP | {"expect": {"user": "b"}, "else": None},
    STEP | {"when": {"if": {"user": "b"}}},
    STEP | {"when": [{"say": "c"}]},
    STEP | {"when": [{"if": {"user": "b"}}]},
    STEP | {"when": [{"if": {"user": "b"}, "say": "c", "call": CALL}]},
    STEP | {"when": [{"if": {"user": "b"}, "say": "c", "user": "d"}]},
    STEP | {"set": {"a-b": 1}},
    STEP | {"set": {"user": 1}},
    STEP | {"set": None},
    STEP | {"goto": None},
    STEP | {"say": ["b", "c"], "wav": "x.wav"},
    STEP | {"wav": ""},
    {"user": "a", "error": {}, "wav": "x.wav"},
    {"user": "a", "call": {}},
    {"user": "a", "call": CALL | {"arguments": None}},
    {"user": "a", "call": CALL | {"say": "b"}},
    {"user": "a", "call": CALL | {"else": "b"}},
    {"user": "a", "call": CALL | {"when": [{"if": {"user": "b"}, "call": CALL}]}},
]


@pytest.mark.parametrize("step", REFUSED)
def test_both_refuse_it(step: Any) -> None:
    assert not VALIDATOR.is_valid({"steps": [step]})
    with pytest.raises(ScenarioError):
        parse_scenario(json.dumps({"steps": [step]}), Path("s.yaml"))


_JUNK: list[Any] = [
    *(None, True, 0, 50, -3, 0.5, 70_000, "", " ", "x", "end", "cut"),
    *([], [""], ["x"], ["x", "y"], [None], [{}], {}, {"if": {"user": "x"}}, {"user": "x"}),
    *({"x": 1}, {"say": "x"}, {"tool": "x"}, {"present": True}, {"like": "x", "errors": 1}),
]
JUNK = st.sampled_from(_JUNK).map(copy.deepcopy)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values within `value`."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(cast("dict[str, Any]", value).items())
    elif isinstance(value, list):
        inner = list(enumerate(cast("list[Any]", value)))
    return [at, *(place for key, one in inner for place in places(one, (*at, key)))]


ALL_KEYS = sorted(
    {
        *reader.FILE_KEYS,
        *reader.STEP_KEYS,
        *reader.CALL_KEYS,
        *condition_reader.TEST_KEYS,
        "if",
        "code",
    }
)


@given(st.data())
def test_whatever_is_changed_both_judge_the_same(data: st.DataObject) -> None:
    document = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(places(document)[1:]))
        holder: Any = document
        for key in way:
            holder = holder[key]
        match data.draw(st.sampled_from(["take away", "replace", "add"])):
            case "take away":
                del holder[last]
            case "add" if isinstance(holder, dict):
                holder[data.draw(st.sampled_from(ALL_KEYS))] = data.draw(JUNK)
            case _:
                holder[last] = data.draw(JUNK)
        if len(places(document)) < 2:
            break
    agree(document)
