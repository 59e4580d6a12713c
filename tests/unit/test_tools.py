"""What `@tool` makes of a signature, and what it makes of the model's arguments."""

import asyncio
import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, field_validator

from sonic_voice.config import SessionConfig, check_schema
from sonic_voice.errors import ConfigError
from sonic_voice.tools.argument_errors import ArgumentsError
from sonic_voice.tools.toolbox import Tool, Toolbox, tool

UTC_TEN = datetime.fromisoformat("2026-03-14T10:00:00+00:00")


class Direction(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Gear(IntEnum):
    FIRST = 1
    SECOND = 2


class Wind(Enum):
    WEST = "west"


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


@dataclass
class Tree:
    name: str
    children: "list[Tree]"


class Node(BaseModel):
    following: "Node | None" = None


class Table(TypedDict):
    """A table of guests."""

    guests: list[Guest]
    near: NotRequired[Point]


class Address(BaseModel):
    """Where somebody lives.

    This paragraph is for programmers.
    """

    street: str = Field(min_length=1, description="Street and number.")
    town: Annotated[str, "The town."] = "Turin"
    since: int | None = Field(None, alias="from", ge=1900)

    @field_validator("street")
    @classmethod
    def check_street(cls, street: str) -> str:
        if "box" in street.lower():
            raise ValueError("a post box is no street")
        return street.title()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


def broken(value: int) -> int:
    raise RuntimeError("a bug")


def even(value: int) -> int:
    if value % 2:
        raise ValueError("only even numbers")
    return value


type Meters = Annotated[float, "In meters."]


def stable(value: object) -> str:
    """The id of a test case: a text that is the same in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


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
    ids=stable,
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
        list,
        dict,
        Any,
        object,
        None,
        Callable[[], None],
        Opaque,
        list[Opaque],
        Literal["a", 1],
        Literal["a", None],
        Mixed,
        tuple[int, str],
        list[int | str],
        date | datetime,
        str | date,
        bytes,
        complex,
        Literal[Wind.WEST],
        Tree,
        list[Tree],
        Node,
        Annotated[int, PlainValidator(int)],
    ],
    ids=stable,
)
def test_an_unsupported_type_is_refused_with_its_place_and_a_way_out(hint: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        made(hint)
    assert "'go'" in caught.value.message
    assert "'x'" in caught.value.message
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
    ids=stable,
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
        (int, "three", 'x must be a whole number, not "three"'),
        (float, "one", "x must be a number"),
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
        (Gear, "3", "x must be one of [1, 2], not 3"),
        (Literal["5"], 5, 'x must be one of ["5"], not 5'),
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
    ids=stable,
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
        assert Decimal(text) in (Decimal(repr(read)), Decimal(read))


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


ADDRESS_SCHEMA = {
    "type": "object",
    "description": "Where somebody lives.",
    "properties": {
        "street": {"type": "string", "minLength": 1, "description": "Street and number."},
        "town": {"type": "string", "description": "The town."},
        "from": {"type": "integer", "minimum": 1900},
    },
    "required": ["street"],
}
GUEST_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "seats": {"type": "integer"}},
    "required": ["name"],
}
POINT_SCHEMA = {
    "type": "object",
    "properties": {
        "x": {"type": "number", "description": "Meters east."},
        "y": {"type": "number", "description": "Meters north."},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["x", "y"],
}
PET_SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["cat", "dog"]},
        "lives": {"type": "integer"},
        "tricks": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["kind"],
}
INTEGERS = {"type": "array", "items": {"type": "integer"}}
STRING = {"type": "string"}
HERE = Point(1.0, 2.0)


@pytest.mark.parametrize(
    ("hint", "schema", "sent", "value"),
    [
        (list[int | None], INTEGERS, [1, None], [1, None]),
        (Sequence[int], INTEGERS, [1], [1]),
        (tuple[int, int], {**INTEGERS, "minItems": 2, "maxItems": 2}, [1, 2], (1, 2)),
        (tuple[int, float], {"type": "array", "items": {"type": "number"}, "minItems": 2,
                             "maxItems": 2}, [1, 2], (1, 2.0)),
        (tuple[int, ...], INTEGERS, [1, 2, 3], (1, 2, 3)),
        (set[str], {"type": "array", "items": STRING, "uniqueItems": True}, ["a"], {"a"}),
        (frozenset[int], {**INTEGERS, "uniqueItems": True}, [1], frozenset({1})),
        (dict[int, str], {"type": "object", "additionalProperties": STRING}, {"1": "a"}, {1: "a"}),
        (dict[str, Point], {"type": "object", "additionalProperties": POINT_SCHEMA},
         {"a": {"x": 1, "y": 2}}, {"a": HERE}),
        (int | float, {"type": "number"}, 2, 2),
        (Decimal, {"type": "number"}, "1.50", Decimal("1.50")),
        (UUID, {"type": "string", "format": "uuid"}, str(UUID(int=1)), UUID(int=1)),
        (Annotated[timedelta, "How long."],
         {"type": "string", "format": "duration", "description": "How long."},
         "PT1H30M", timedelta(hours=1, minutes=30)),
        (Literal[True], {"type": "boolean", "enum": [True]}, True, True),
        (Direction | Literal["back"], {"type": "string", "enum": ["left", "right", "back"]},
         "back", "back"),
        (Line, {"type": "object", "properties": {"start": POINT_SCHEMA}, "required": ["start"]},
         {"start": {"x": 1, "y": 2}}, Line(HERE)),
        (Table, {"type": "object", "properties": {
            "guests": {"type": "array", "items": GUEST_SCHEMA}, "near": POINT_SCHEMA},
            "required": ["guests"]},
         {"guests": [{"name": "Ada", "seats": "2"}]}, {"guests": [{"name": "Ada", "seats": 2}]}),
        (Address, ADDRESS_SCHEMA, {"street": "via po 1", "from": 1998},
         Address.model_validate({"street": "Via Po 1", "from": 1998})),
        (list[Address], {"type": "array", "items": ADDRESS_SCHEMA}, [{"street": "a"}],
         [Address.model_validate({"street": "A"})]),
        (Open, {"type": "object", "properties": {"name": STRING}, "required": ["name"],
                "additionalProperties": True}, {"name": "a", "age": 3},
         Open.model_validate({"name": "a", "age": 3})),
        (Cat | Dog, PET_SCHEMA, {"kind": "dog", "tricks": ["sit"]},
         Dog(kind="dog", tricks=["sit"])),
        (Annotated[Cat | Dog, Field(discriminator="kind")], PET_SCHEMA,
         {"kind": "cat", "lives": 9}, Cat(kind="cat", lives=9)),
        (Annotated[str, Field(description="A city.", pattern="^[A-Z]")],
         {"type": "string", "description": "A city.", "pattern": "^[A-Z]"}, "Turin", "Turin"),
        (Annotated[int, Field(ge=1, le=5)], {"type": "integer", "minimum": 1, "maximum": 5}, 5, 5),
        (Annotated[int, AfterValidator(even)], {"type": "integer"}, 4, 4),
        (list[Annotated[str, Field(max_length=3)]],
         {"type": "array", "items": {"type": "string", "maxLength": 3}}, ["abc"], ["abc"]),
        (Annotated[list[str], Field(min_length=1)],
         {"type": "array", "items": STRING, "minItems": 1}, ["a"], ["a"]),
    ],
    ids=stable,
)  # fmt: skip
def test_hints_that_pydantic_adds_are_told_and_read(
    hint: Any, schema: dict[str, Any], sent: Any, value: Any
) -> None:
    whole = made(hint).spec.schema
    assert whole == {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    check_schema("go", whole)
    read = reads(hint, sent)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("hint", "sent", "value"),
    [
        (int, "5", 5),
        (int, 10**30, 10**30),
        (float, "2.5", 2.5),
        (bool, "true", True),
        (Gear, "2", Gear.SECOND),
        (Literal[1, 2], "2", 2),
        (Literal[1, 2], 2.0, 2),
        (Literal[Direction.LEFT], "left", Direction.LEFT),
        (Annotated[date, Field(strict=True)], "2026-03-14", date(2026, 3, 14)),
        (Annotated[set[int], Field(strict=True)], [1], {1}),
        (list[str], '["a"]', ["a"]),
        (list[int], '["1", 2]', [1, 2]),
        (dict[str, int], '{"a": "1"}', {"a": 1}),
        (Point, '{"x": "1", "y": 2}', HERE),
        (list[Point], '[{"x": 1, "y": 2}]', [HERE]),
        (list[Point], ['{"x": 1, "y": 2}'], [HERE]),
        (str, '["a"]', '["a"]'),
        (str, "5", "5"),
        (date, "20260314", date(2026, 3, 14)),
        (date, "2026-W11-6", date(2026, 3, 14)),
        (time, "1030", time(10, 30)),
        (datetime, "20260314T100000Z", UTC_TEN),
        (datetime, "2026-03-14", datetime(2026, 3, 14)),  # noqa: DTZ001
    ],
    ids=stable,
)
def test_an_argument_in_another_form_is_accepted_where_nothing_is_lost(
    hint: Any, sent: Any, value: Any
) -> None:
    read = reads(hint, sent)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("hint", "sent", "said"),
    [
        (int, "", 'x must be a whole number, not ""'),
        (int, [], "x must be a whole number, not []"),
        (int, "inf", 'x must be a whole number, not "inf"'),
        (float, "nan", 'x must be a number, not "nan"'),
        (float, "1e999", 'x must be a number, not "1e999"'),
        (float, float("-inf"), "x must be a number, not -Infinity"),
        (Point, {"x": float("nan"), "y": True}, "x.x must be a number, not NaN; x.y must be a num"),
        (Decimal, "a lot", 'x must be a number, not "a lot"'),
        (bool, "maybe", 'x must be true or false, not "maybe"'),
        (bool, 0, "x must be true or false, not 0"),
        (Literal[1, 2], True, "x must be one of [1, 2], not true"),
        (Literal[1, 2], "3", "x must be one of [1, 2], not 3"),
        (list[int], '{"a": 1}', 'x must be a list, not "{'),
        (tuple[int, int], [1], "x[1] is missing"),
        (tuple[int, int], [1, 2, 3], "x must have at most 2 items after validation, not 3"),
        (set[str], "a", 'x must be a list, not "a"'),
        (list[list[int]], [[1], [2, None]], "x[1][1] must be a whole number, not null"),
        (dict[int, str], {"one": "a"}, "x.one must be a valid integer"),
        (date, "0", 'x must be a date in ISO 8601, such as 2026-03-14, not "0"'),
        (date, 0.0, "x must be a date in ISO 8601, such as 2026-03-14, not 0.0"),
        (time, 36000, "x must be a time in ISO 8601, such as 15:09:26, not 36000"),
        (datetime, 1773446400, "x must be a date-time in ISO 8601, such as 2026-03-14T15:09:26"),
        (datetime, "1773446400", 'not "1773446400"'),
        (timedelta, "soon", "x must be a duration in ISO 8601, such as PT1H30M, not"),
        (timedelta, True, "x must be a duration in ISO 8601"),
        (timedelta, 90, "x must be a duration in ISO 8601, such as PT1H30M, not 90"),
        (Annotated[int, AfterValidator(broken)], 3, "RuntimeError: a bug"),
        (UUID, "abc", "x must be a valid UUID"),
        (Line, {"start": {"x": 1}}, "x.start.y is missing"),
        (Table, {"guests": [{"name": 1}]}, "x.guests[0].name must be a string, not 1"),
        (Table, {"guests": [], "far": 1}, "x.far is not a parameter (they are: guests, near)"),
        (Address, {"street": ""}, 'x.street must have at least 1 character, not ""'),
        (Address, {"street": "Box 1"}, "x.street: a post box is no street"),
        (
            Address,
            {"street": "a", "from": 3},
            "x.from must be greater than or equal to 1900, not 3",
        ),
        (
            Address,
            {"street": "a", "since": 1999},
            "x.since is not a parameter (they are: street, t",
        ),
        (Cat | Dog, {"kind": "cat"}, "x.lives is missing"),
        (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": "cat"}, "x.lives is missing"),
        (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": "cow"}, "x: Input tag 'cow'"),
        (str, "\ud800", "The arguments: Invalid JSON"),
        (Annotated[int, Field(ge=1)], 0, "x must be greater than or equal to 1, not 0"),
        (Annotated[int, AfterValidator(even)], 3, "x: only even numbers"),
        (Annotated[str, Field(pattern="^[A-Z]")], "a", "x must match pattern '^[A-Z]', not \"a\""),
        (Annotated[list[str], Field(min_length=1)], [], "x must have at least 1 item after"),
    ],
    ids=stable,
)
async def test_the_words_for_each_kind_of_error(hint: Any, sent: Any, said: str) -> None:
    result = json.loads(await Toolbox([made(hint)]).run("go", json.dumps({"x": sent})))
    assert result.keys() == {"error"}
    assert said in result["error"]


@pytest.mark.parametrize("text", ["[1]", "7", '"7"', "null", "true"])
async def test_arguments_that_are_no_object_are_refused(text: str) -> None:
    result = json.loads(await Toolbox([made(int)]).run("go", text))
    assert "The arguments must be a JSON object, not " in result["error"]


async def test_a_field_without_annotated_gives_description_limits_and_default() -> None:
    @tool
    def go(
        meters: int = Field(ge=1, description="How far."),
        speed: float = Field(1.5, le=3, description="In m/s."),
        tags: list[str] = Field(default_factory=lambda: ["a"]),  # noqa: B008
        *,
        gear: Annotated[int, Field(description="Which gear.")] = 1,
    ) -> Any:
        return [meters, speed, tags, gear]

    assert go.spec.schema == {
        "type": "object",
        "properties": {
            "meters": {"type": "integer", "minimum": 1, "description": "How far."},
            "speed": {"type": "number", "maximum": 3, "description": "In m/s."},
            "tags": {"type": "array", "items": {"type": "string"}},
            "gear": {"type": "integer", "description": "Which gear."},
        },
        "required": ["meters"],
    }
    assert json.loads(await Toolbox([go]).run("go", '{"meters": "4"}')) == {
        "result": [4, 1.5, ["a"], 1]
    }
    assert "speed must be less than or equal to 3" in await Toolbox([go]).run(
        "go", '{"meters": 4, "speed": 9}'
    )


def test_a_direct_call_fills_in_the_defaults_of_fields() -> None:
    @tool
    def go(
        meters: int = Field(ge=1), speed: float = Field(1.5), tags: str = "plain", *, gear: int = 1
    ) -> list[Any]:
        return [meters, speed, tags, gear]

    assert go(4) == [4, 1.5, "plain", 1]
    assert go(4, 2.0, gear=3) == [4, 2.0, "plain", 3]
    assert go(meters=4) == [4, 1.5, "plain", 1]
    wrong: list[tuple[Any, ...]] = [(), (1, 2, "a", 4)]
    for arguments in wrong:
        with pytest.raises(TypeError):
            go(*arguments)


def test_a_direct_call_of_an_async_tool_fills_in_the_defaults_of_fields() -> None:
    @tool
    async def go(meters: int = Field(3)) -> int:
        return meters

    assert asyncio.run(go()) == 3


def test_validation_does_not_call_the_function() -> None:
    calls: list[int] = []

    @tool
    def go(x: int) -> None:
        calls.append(x)

    assert go.parameters.read_json('{"x": 1}') == {"x": 1}
    assert calls == []


@pytest.mark.parametrize(
    "name", ["schema", "json", "copy", "validate", "register", "model_config", "model_dump", "_x"]
)
def test_a_parameter_may_have_any_name(name: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def go({name}: int, other: int = 2): return {name}", names)
    made = tool(names["go"])
    assert list(made.spec.schema["properties"]) == [name, "other"]
    assert made.parameters.read_json(json.dumps({name: "1"})) == {name: 1}


class Caller:
    async def __call__(self, x: int, y: int) -> int:
        return x + y


@pytest.mark.parametrize(
    ("fn", "schema"),
    [
        (functools.partial(Robot().go, meters=3), {}),
        (Caller(), {"x": {"type": "integer"}, "y": {"type": "integer"}}),
        (functools.partial(Caller(), y=2), {"x": {"type": "integer"}}),
    ],
    ids=["partial", "callable", "partial of a callable"],
)
def test_a_callable_that_is_no_function_is_a_tool(
    fn: Callable[..., Any], schema: dict[str, Any]
) -> None:
    told = tool(name="go")(fn).spec.schema["properties"]
    assert {name: part for name, part in told.items() if name in schema} == schema


def test_descriptions_come_from_the_nearest_place() -> None:
    class Bed(Enum):
        """A bed.

        It is seen from the door."""

        LEFT = "left"
        RIGHT = "right"

    class Room(BaseModel):
        """A room.

        Attributes:
            beds: How many beds.
        """

        beds: int
        smoking: Annotated[bool, "Whether one may smoke."] = False

    @tool
    def book(
        room: Room,
        back_up: Annotated[Room | None, "If it is taken."] = None,
        bed: Bed = Bed.LEFT,
        other: Bed = Bed.RIGHT,
        rooms: list[Room] = [],  # noqa: B006
    ) -> None:
        """Book.

        Args:
            room: The room to book.
            back_up: Not told.
            bed: Which one.
        """

    properties = book.spec.schema["properties"]
    assert {name: part.get("description") for name, part in properties.items()} == {
        "room": "The room to book.",
        "back_up": "If it is taken.",
        "bed": "Which one.",
        "other": "A bed.",
        "rooms": None,
    }
    rooms = properties["rooms"]["items"]
    assert rooms["description"] == "A room."
    for part in (properties["room"], properties["back_up"], rooms):
        inner = {name: field.get("description") for name, field in part["properties"].items()}
        assert inner == {"beds": "How many beds.", "smoking": "Whether one may smoke."}


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
