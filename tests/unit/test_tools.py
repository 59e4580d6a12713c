"""What `@tool` makes of a signature, and what it makes of the model's arguments."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.config import SessionConfig, check_schema
from sonic_voice.errors import ConfigError
from sonic_voice.hints import ArgumentsError
from sonic_voice.tools import Tool, Toolbox, tool

UTC_TEN = datetime.fromisoformat("2026-03-14T10:00:00+00:00")


class Direction(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Gear(IntEnum):
    FIRST = 1
    SECOND = 2


class Mixed(Enum):
    A = "a"
    B = 2


@dataclass
class Point:
    """A place on the map.

    Args:
        x: Meters east.
    """

    x: float
    y: Annotated[float, "Meters north."]
    name: str | None = None
    tags: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x must not be negative")


@dataclass
class Line:
    start: Point


class Guest(TypedDict):
    name: str
    seats: NotRequired[int]


type Meters = Annotated[float, "In meters."]


def made(hint: Any) -> Tool[..., Any]:
    """A tool with one parameter `x` of the type `hint`."""

    def go(x: Any) -> Any:
        return x

    go.__annotations__["x"] = hint
    return tool(go)


def reads(hint: Any, value: Any) -> Any:
    """What the function gets for `x` when the model sends `value`."""
    return made(hint).parameters.read_json(json.dumps({"x": value}))["x"]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
        (Direction, {"type": "string", "enum": ["left", "right"]}),
        (Gear, {"type": "integer", "enum": [1, 2]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (
            list[list[bool]],
            {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}},
        ),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Annotated[str, "A city."], {"type": "string", "description": "A city."}),
        (Annotated[str, 7, "A city."], {"type": "string", "description": "A city."}),
        (
            list[Annotated[str, "A city."]],
            {"type": "array", "items": {"type": "string", "description": "A city."}},
        ),
        (Meters, {"type": "number", "description": "In meters."}),
        (Annotated[date, "When."], {"type": "string", "format": "date", "description": "When."}),
        (Annotated[time, "When."], {"type": "string", "format": "time", "description": "When."}),
        (
            Annotated[datetime, "When."],
            {"type": "string", "format": "date-time", "description": "When."},
        ),
        (
            Guest,
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "seats": {"type": "integer"}},
                "required": ["name"],
            },
        ),
        (
            Point,
            {
                "type": "object",
                "properties": {
                    "x": {"type": "number", "description": "Meters east."},
                    "y": {"type": "number", "description": "Meters north."},
                    "name": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["x", "y"],
            },
        ),
    ],
    ids=str,
)
def test_a_type_hint_becomes_a_schema_the_service_takes(hint: Any, schema: dict[str, Any]) -> None:
    whole = made(hint).spec.schema
    assert whole == {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    check_schema("go", whole)


def test_a_date_tells_the_model_its_format() -> None:
    assert "2026-03-14" in made(date).spec.schema["properties"]["x"]["description"]


def test_what_has_a_default_is_not_required_and_never_null() -> None:
    @tool
    def go(a: int, b: int | None = None, c: str = "x", *, d: Optional[bool] = None) -> None:  # noqa: UP045
        pass

    assert go.spec.schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "integer"},
            "c": {"type": "string"},
            "d": {"type": "boolean"},
        },
        "required": ["a"],
    }


def test_a_tool_without_parameters_has_an_empty_object() -> None:
    @tool
    def look_around() -> str:
        return "walls"

    assert look_around.spec.schema == {"type": "object", "properties": {}}
    assert look_around.spec.description == "look around"
    assert look_around.parameters.read_json("") == {}


class Opaque:
    pass


@pytest.mark.parametrize(
    "hint",
    [
        int | str,
        Union[int, str, None],  # noqa: UP007
        list[int | None],
        list,
        dict,
        dict[int, str],
        tuple[int, int],
        set[str],
        bytes,
        complex,
        Any,
        object,
        None,
        Callable[[], None],
        Opaque,
        list[Opaque],
        Literal["a", 1],
        Literal[True],
        Literal["a", None],
        Mixed,
        Line,
        list[Line],
    ],
    ids=str,
)
def test_an_unsupported_type_is_refused_with_its_place_and_a_way_out(hint: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        made(hint)
    assert "'go'" in caught.value.message
    assert "'x'" in caught.value.message or "'start'" in caught.value.message
    assert caught.value.hint


def test_none_without_a_default_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'x' of tool 'go' may be None") as caught:
        made(int | None)
    assert caught.value.hint == "Add `= None`."


def anything(*args: int) -> None: ...
def keywords(**kwargs: int) -> None: ...
def positional(x: int, /) -> None: ...
def unhinted(x) -> None: ...  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
def lost(x: "Nowhere") -> None: ...  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]  # noqa: F821


class Robot:
    def go(self, meters: int) -> int:
        """Drive."""
        return meters


UNTELLABLE: list[tuple[Callable[..., Any], str]] = [
    (anything, "'args' of tool 'anything' takes any number"),
    (keywords, "'kwargs' of tool 'keywords' takes any number"),
    (positional, "'x' of tool 'positional' is positional-only"),
    (unhinted, "'x' of tool 'unhinted' has no type hint"),
    (lost, "hints of tool 'lost' cannot be read: name 'Nowhere'"),
    (Robot.go, "Pass a bound method"),
    (lambda: None, "'<lambda>' is no name"),
]


@pytest.mark.parametrize(("fn", "said"), UNTELLABLE)
def test_a_signature_the_model_cannot_be_told_is_refused(fn: Callable[..., Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tool(fn)
    assert said in str(caught.value)


def test_a_generator_is_refused() -> None:
    def count():
        yield 1

    with pytest.raises(ConfigError, match="yields"):
        tool(count)


@pytest.mark.parametrize("name", ["two words", "x" * 65, "naïve"])
def test_a_name_the_service_refuses_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        tool(name=name)(Robot().go)


def test_a_timeout_is_over_zero() -> None:
    with pytest.raises(ConfigError, match="over 0 s"):
        tool(timeout_s=0.0)(Robot().go)


def test_a_bound_method_is_a_tool() -> None:
    go = tool(Robot().go)
    assert go.spec.name == "go"
    assert list(go.spec.schema["properties"]) == ["meters"]


def test_a_tool_is_still_the_function() -> None:
    @tool(name="drive", timeout_s=3.0)
    def go(meters: int) -> int:
        """Drive."""
        return -meters

    assert go(4) == go.fn(4) == -4
    assert (go.spec.name, go.spec.description, go.timeout_s) == ("drive", "Drive.", 3.0)


GOOGLE = """Drive the robot
straight on.

It stops at walls.

Args:
    meters: How far,
        in meters.
    speed (float, optional): In m/s.

Returns:
    meters: what was driven.
"""
NUMPY = """
Drive the robot straight on.

Parameters
----------
meters : int
    How far, in meters.
speed : float, optional
    In m/s.

Returns
-------
meters : int
    What was driven.
"""
REST = """Drive the robot straight on.
:param meters: How far, in meters.
:param float speed: In m/s.
:returns: what was driven.
"""


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_a_docstring_describes_the_tool_and_its_parameters(doc: str) -> None:
    def go(meters: int, speed: float = 1.0) -> int:
        return meters

    go.__doc__ = doc
    spec = tool(go).spec
    assert spec.description == "Drive the robot straight on."
    said = {name: part["description"] for name, part in spec.schema["properties"].items()}
    assert said == {"meters": "How far, in meters.", "speed": "In m/s."}


def test_an_annotation_counts_more_than_the_docstring() -> None:
    def go(meters: Annotated[int, "Said here."]) -> int:
        return meters

    go.__doc__ = GOOGLE
    assert tool(go).spec.schema["properties"]["meters"]["description"] == "Said here."


@pytest.mark.parametrize(
    ("hint", "sent", "value"),
    [
        (int, 3.0, 3),
        (float, 3, 3.0),
        (Direction, "left", Direction.LEFT),
        (Gear, 2.0, Gear.SECOND),
        (Literal["a"], "a", "a"),
        (list[Direction], ["left"], [Direction.LEFT]),
        (dict[str, date], {"k": "2026-03-14"}, {"k": date(2026, 3, 14)}),
        (time, "10:00", time(10)),
        (datetime, "2026-03-14T10:00:00Z", UTC_TEN),
        (Point, {"x": 1, "y": 2}, Point(1.0, 2.0)),
        (Point, {"x": 1, "y": 2, "name": None}, Point(1.0, 2.0)),
        (list[Point], [{"x": 1, "y": 2, "tags": ["t"]}], [Point(1.0, 2.0, tags=["t"])]),
        (Guest, {"name": "Ada"}, {"name": "Ada"}),
        (int, "5", 5),
        (int, "-12", -12),
        (float, "5", 5.0),
        (float, "1.50", 1.5),
        (float, "-2.5e-3", -0.0025),
        (bool, "true", True),
        (bool, "false", False),
        (Gear, "2", Gear.SECOND),
        (list[str], '["a"]', ["a"]),
        (list[int], '[1, "2"]', [1, 2]),
        (dict[str, int], '{"k": "1"}', {"k": 1}),
        (Point, '{"x": "1", "y": 2}', Point(1.0, 2.0)),
        (str, "5", "5"),
        (str, "true", "true"),
        (list[str], ["5", "[]"], ["5", "[]"]),
    ],
    ids=str,
)
def test_an_argument_is_converted_to_its_hint(hint: Any, sent: Any, value: Any) -> None:
    read = reads(hint, sent)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("hint", "sent", "said"),
    [
        (int, 3.5, "x must be a whole number, not 3.5"),
        (int, "3.0", 'x must be a whole number, not "3.0"'),
        (int, "03", 'x must be a whole number, not "03"'),
        (int, " 3", "x must be a whole number"),
        (int, "+3", "x must be a whole number"),
        (int, "-0", "x must be a whole number"),
        (int, "3 metres", "x must be a whole number"),
        (int, "true", "x must be a whole number"),
        (int, '"3"', "x must be a whole number"),
        (int, "9" * 5_000, "x must be a whole number"),
        (int, "", 'x must be a whole number, not ""'),
        (int, True, "x must be a whole number, not true"),
        (int, float("inf"), "x must be a whole number"),
        (float, "0.10000000000000000555", "x must be a number"),
        (float, str(2**53 + 1), "x must be a number"),
        (float, "1e999", "x must be a number"),
        (float, "NaN", "x must be a number"),
        (float, "Infinity", "x must be a number"),
        (float, "1,5", "x must be a number"),
        (float, "false", "x must be a number"),
        (float, True, "x must be a number"),
        (float, float("nan"), "x must be a number"),
        (float, 10**400, "x must be a number"),
        (str, 1, "x must be a string, not 1"),
        (str, None, "x must be a string, not null"),
        (bool, 1, "x must be true or false"),
        (bool, "1", "x must be true or false"),
        (bool, "yes", "x must be true or false"),
        (bool, "null", "x must be true or false"),
        (Direction, "up", 'x must be one of ["left", "right"], not "up"'),
        (Gear, 3, "x must be one of [1, 2], not 3"),
        (Gear, "3", 'x must be one of [1, 2], not "3"'),
        (Literal["5"], 5, "x must be a string, not 5"),
        (list[int], "1,2", "x must be a list"),
        (list[int], "1", "x must be a list"),
        (list[int], "{}", "x must be a list"),
        (list[int], '"[1]"', "x must be a list"),
        (list[int], "[" * 100_000, "x must be a list"),
        (list[int], "[1, null]", "x[1] must be a whole number"),
        (list[int], [1, "two"], "x[1] must be a whole number"),
        (dict[str, int], [], "x must be an object"),
        (dict[str, int], {"k": None}, "x.k must be a whole number"),
        (date, "14 March", "x must be a date in ISO 8601, such as 2026-03-14"),
        (date, 20260314, "x must be a date"),
        (Point, {"x": 1}, "x.y is missing"),
        (Point, {"x": 1, "y": 2, "z": 3}, "x.z is not a parameter (they are: x, y, name, tags)"),
        (Point, {"x": -1, "y": 2}, "x: x must not be negative"),
        (Point, "here", "x must be a JSON object"),
        (Point, "[]", "x must be a JSON object"),
        (list[Point], [{"x": 1, "y": "two"}], "x[0].y must be a number"),
        (Guest, {}, "x.name is missing"),
    ],
    ids=str,
)
async def test_a_wrong_argument_tells_the_model_what_to_send(
    hint: Any, sent: Any, said: str
) -> None:
    result = json.loads(await Toolbox([made(hint)]).run("go", json.dumps({"x": sent})))
    assert result.keys() == {"error"}
    assert said in result["error"]


async def test_all_that_is_wrong_is_said_at_once() -> None:
    def go(a: int, b: int, c: int = 0) -> None: ...

    result = json.loads(await Toolbox([go]).run("go", '{"b": "two", "d": 1}'))
    assert result["error"] == (
        'a is missing; b must be a whole number, not "two"; '
        "d is not a parameter (they are: a, b, c)"
    )


QUOTABLE: tuple[tuple[Any, st.SearchStrategy[Any]], ...] = (
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (list[str], st.lists(st.text())),
    (list[int], st.lists(st.integers())),
)


@given(st.sampled_from(QUOTABLE).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_what_json_writes_of_a_value_is_read_from_a_string_as_that_value(
    case: tuple[Any, Any],
) -> None:
    hint, value = case
    read = reads(hint, json.dumps(value))
    assert (type(read), read) == (type(value), value)


def numeric_text() -> st.SearchStrategy[str]:
    return st.text("0123456789+-.eE _", max_size=24) | st.decimals().map(str)


@given(st.sampled_from([int, float, bool]), st.text(max_size=8) | numeric_text())
def test_a_quoted_value_is_read_only_if_it_says_the_same_number(hint: Any, text: str) -> None:
    try:
        read = reads(hint, text)
    except ArgumentsError:
        return
    assert type(read) is hint
    if hint is bool:
        assert text == json.dumps(read)
    else:
        assert Decimal(text) == Decimal(repr(read))


@pytest.mark.parametrize("times", [0, 1, 2])
def test_arguments_encoded_more_than_once_are_understood(times: int) -> None:
    text = '{"x": "{}"}'
    for _ in range(times):
        text = json.dumps(text)
    assert made(str).parameters.read_json(text) == {"x": "{}"}


@pytest.mark.parametrize("text", ["", "  ", "{}", '"{}"'])
def test_no_arguments_come_in_several_ways(text: str) -> None:
    def go(x: int = 1) -> None: ...

    assert tool(go).parameters.read_json(text) == {}


def test_a_null_for_what_may_be_left_out_leaves_it_out() -> None:
    def go(x: int = 1) -> None: ...

    assert tool(go).parameters.read_json('{"x": null}') == {}


def test_a_toolbox_gives_what_a_config_takes() -> None:
    def go(meters: int) -> None: ...

    @tool(name="stop")
    async def halt() -> None: ...

    box = Toolbox([go, halt])
    assert [spec.name for spec in box.specs] == ["go", "stop"]
    assert SessionConfig(tools=box.specs).tools == box.specs
    assert Toolbox().specs == ()


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="Two tools are named 'go'"):
        Toolbox([Robot().go, tool(Robot().go)])
