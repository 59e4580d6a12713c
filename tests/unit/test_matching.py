"""Requests that become tool calls: which tool, which arguments, what is asked back, read back."""

import json
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.emulator.brains.intent_matching import (
    MatchedCall,
    MatchedCalls,
    Question,
    ToolMatcher,
)
from sonic_voice.emulator.brains.readback import read_back
from sonic_voice.emulator.language.dates import find_date, find_time
from sonic_voice.emulator.language.numerals import digits, in_words, numbers
from sonic_voice.emulator.language.words import alike, plain, said, words_of
from sonic_voice.wire import ToolDefinition

SPEECH = Path(__file__).parent.parent / "speech"
SUNDAY = date(2026, 11, 22)


def tool(name: str, description: str, required: str = "", **props: Any) -> ToolDefinition:
    schema = {"type": "object", "properties": props, "required": required.split()}
    return ToolDefinition(name, description, json.dumps(schema))


TEXT = {"type": "string"}
GO = tool(
    "go",
    "Drives the robot.",
    "direction meters",
    direction={"type": "string", "enum": ["forward", "backward"]},
    meters={"type": "integer", "minimum": 1},
)
WEATHER = tool(
    "get_weather", "Forecast for a city.", "city", city=TEXT, day=TEXT | {"format": "date"}
)
CLOCK = tool("getDateAndTimeTool", "Get information about the current date and time.")
TIMER = tool(
    "set_timer", "Sets a timer.", "seconds", seconds={"type": "integer", "minimum": 1}, label=TEXT
)
ORDER = tool("track_order", "Retrieves the state of an order.", "order_id", order_id=TEXT)
MESSAGE = tool("send_message", "Sends a message.", "recipient text", recipient=TEXT, text=TEXT)
LIGHT = tool(
    "set_light",
    "Turns a light on or off.",
    "room on",
    room={"type": "string", "enum": ["kitchen", "bedroom", "living room"]},
    on={"type": "boolean"},
)
TABLE = tool(
    "book_table",
    "Books a table in a restaurant.",
    "people time",
    people={"type": "integer"},
    city=TEXT,
    date=TEXT | {"format": "date"},
    time=TEXT,
)
COFFEE = tool(
    "order_coffee",
    "Orders a coffee.",
    "size",
    size={"type": "string", "enum": ["s", "l"], "description": "s: small, l: large or big"},
    sugar={"type": "boolean", "default": False},
    shots={"type": "number", "default": 1},
)
WEB = tool("search_web", "Searches the web.", "query", query=TEXT)
CARD = tool(
    "draw_card",
    "Plays a card.",
    "rank suit",
    rank={"type": "integer"},
    suit={"type": "string", "enum": ["clubs", "spades", "hearts", "diamonds"]},
)
ALL = (GO, WEATHER, CLOCK, TIMER, ORDER, MESSAGE, LIGHT, TABLE, COFFEE, WEB)

REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("go forward ten meters", "go", {"direction": "forward", "meters": 10}),
    ("Go forward ten meter.", "go", {"direction": "forward", "meters": 10}),
    ("go forword ten metres", "go", {"direction": "forward", "meters": 10}),
    ("please go backwards twenty one meters", "go", {"direction": "backward", "meters": 21}),
    ("move ahead 5 meters", "go", {"direction": "forward", "meters": 5}),
    ("go forward a hundred and five meters", "go", {"direction": "forward", "meters": 105}),
    ("what's the weather in paris", "get_weather", {"city": "paris"}),
    (
        "what's the weather in paris tomorrow",
        "get_weather",
        {"city": "paris", "day": "2026-11-23"},
    ),
    (
        "What is the weather in New York on the third of May?",
        "get_weather",
        {"city": "New York", "day": "2027-05-03"},
    ),
    ("weather london next monday", "get_weather", {"city": "london", "day": "2026-11-23"}),
    ("is it raining in rome", "get_weather", {"city": "rome"}),
    ("what wether is it in oslo", "get_weather", {"city": "oslo"}),
    ("what time is it", "getDateAndTimeTool", {}),
    ("what's the date today", "getDateAndTimeTool", {}),
    ("what day is it today", "getDateAndTimeTool", {}),
    ("set a timer for ten minutes", "set_timer", {"seconds": 600}),
    ("set a timer for 90 seconds", "set_timer", {"seconds": 90}),
    ("timer two and a half minutes called tea", "set_timer", {"seconds": 150, "label": "tea"}),
    ("where is my order four oh two double six", "track_order", {"order_id": "40266"}),
    ("track order number 1 2 3", "track_order", {"order_id": "123"}),
    (
        "send a message to bob saying the dog is out please",
        "send_message",
        {"recipient": "bob", "text": "the dog is out please"},
    ),
    ("turn off the kitchen light", "set_light", {"room": "kitchen", "on": False}),
    ("switch the light on in the living room", "set_light", {"room": "living room", "on": True}),
    (
        "book a table for four people in rome at seven thirty pm on friday",
        "book_table",
        {"people": 4, "city": "rome", "date": "2026-11-27", "time": "19:30"},
    ),
    ("order a big coffee", "order_coffee", {"size": "l", "sugar": False, "shots": 1}),
    (
        "order a small coffee with sugar and two shots",
        "order_coffee",
        {"size": "s", "sugar": True, "shots": 2},
    ),
    ("a large coffee without sugar", "order_coffee", {"size": "l", "sugar": False, "shots": 1}),
    ("search the web for singing weasels", "search_web", {"query": "singing weasels"}),
]


@pytest.mark.parametrize(("words", "name", "arguments"), REQUESTS, ids=[row[0] for row in REQUESTS])
def test_a_request_becomes_the_call_it_means(
    words: str, name: str, arguments: dict[str, Any]
) -> None:
    assert ToolMatcher(ALL).match(words, SUNDAY) == MatchedCalls((MatchedCall(name, arguments),))


def test_arguments_stand_in_the_order_of_the_schema() -> None:
    called = ToolMatcher([GO]).match("go ten meters forward", SUNDAY)
    assert isinstance(called, MatchedCalls)
    assert list(called.calls[0].arguments) == ["direction", "meters"]


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in SPEECH.glob("*.txt") if path.stem != "goforward")
)
def test_recorded_speech_that_asks_for_nothing_calls_nothing(name: str) -> None:
    text = (SPEECH / f"{name}.txt").read_text(encoding="utf-8")
    matched = ToolMatcher([*ALL, CARD]).match(text, SUNDAY)
    if name == "something":  # "go somewhere": that is the robot's
        assert matched == Question("Which direction: forward or backward?")
    else:
        assert matched is None


@pytest.mark.parametrize("words", ["go forward ten meters", "Go forward, ten meters."])
def test_recorded_speech_that_asks_for_the_tool_calls_it(words: str) -> None:
    assert isinstance(ToolMatcher([*ALL, CARD]).match(words, SUNDAY), MatchedCalls)


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (
            "what's the weather in rome and go forward two meters",
            [("get_weather", "rome"), ("go", "forward")],
        ),
        (
            "Go forward one meter. What's the weather in Rome?",
            [("go", "forward"), ("get_weather", "Rome")],
        ),
        (
            "what's the weather in paris and in london",
            [("get_weather", "paris"), ("get_weather", "london")],
        ),
        (
            "weather in paris and go backward 2 meters and what time is it",
            [("get_weather", "paris"), ("go", "backward"), ("getDateAndTimeTool", None)],
        ),
    ],
)
def test_two_things_asked_are_two_calls(words: str, calls: list[tuple[str, str | None]]) -> None:
    called = ToolMatcher(ALL).match(words, SUNDAY)
    assert isinstance(called, MatchedCalls)
    assert [(c.tool, next(iter(c.arguments.values()), None)) for c in called.calls] == calls


def test_and_inside_one_request_makes_no_second() -> None:
    called = ToolMatcher([MESSAGE]).match("send a message to ann saying hi and bye", SUNDAY)
    assert called == MatchedCalls(
        (MatchedCall("send_message", {"recipient": "ann", "text": "hi and bye"}),)
    )


# What is missing.


@pytest.mark.parametrize(
    ("words", "asked", "answer", "arguments"),
    [
        ("what's the weather", "Which city?", "in Paris please", {"city": "Paris"}),
        ("what's the weather like", "Which city?", "i mean paris", {"city": "paris"}),
        ("go forward", "How many meters?", "ten", {"direction": "forward", "meters": 10}),
        ("track my order", "Which order id?", "it's four two", {"order_id": "42"}),
        (
            "turn on the light",
            "Which room: kitchen, bedroom or living room?",
            "the bedrom",
            {"room": "bedroom", "on": True},
        ),
        (
            "send bob a message",
            "What should the text be?",
            "the cat is out",
            {"recipient": "bob", "text": "the cat is out"},
        ),
    ],
)
def test_what_is_missing_is_asked_for_and_filled_from_the_answer(
    words: str, asked: str, answer: str, arguments: dict[str, Any]
) -> None:
    matcher = ToolMatcher(ALL)
    assert matcher.match(words, SUNDAY) == Question(asked)
    assert matcher.asking
    called = matcher.match(answer, SUNDAY)
    assert isinstance(called, MatchedCalls)
    assert called.calls[0].arguments == arguments
    assert not matcher.asking


def test_two_missing_things_are_asked_for_one_after_the_other() -> None:
    matcher = ToolMatcher([GO])
    assert matcher.match("go", SUNDAY) == Question("Which direction: forward or backward?")
    assert matcher.match("back", SUNDAY) == Question("How many meters?")
    assert matcher.match("3", SUNDAY) == MatchedCalls(
        (MatchedCall("go", {"direction": "backward", "meters": 3}),)
    )


def test_an_answer_that_does_not_fit_is_asked_for_once_more_and_then_dropped() -> None:
    matcher = ToolMatcher([GO])
    matcher.match("go forward", SUNDAY)
    again = matcher.match("as far as you like", SUNDAY)
    assert again == Question("Sorry, I did not get that. How many meters?")
    assert matcher.match("whatever", SUNDAY) == Question(
        "I still have no meters, so let us leave it."
    )
    assert matcher.match("ten", SUNDAY) is None


def test_a_request_of_its_own_is_no_answer() -> None:
    matcher = ToolMatcher(ALL)
    matcher.match("what's the weather", SUNDAY)
    assert matcher.match("what time is it", SUNDAY) == MatchedCalls(
        (MatchedCall("getDateAndTimeTool", {}),)
    )
    assert matcher.match("paris", SUNDAY) is None


@pytest.mark.parametrize("words", ["never mind", "Forget it.", "cancel", "No, thanks!"])
def test_a_request_can_be_called_off(words: str) -> None:
    matcher = ToolMatcher([WEATHER])
    matcher.match("what's the weather", SUNDAY)
    assert matcher.match(words, SUNDAY) == Question("All right, never mind.")
    assert not matcher.asking


# The tool choice.


def test_any_calls_the_best_tool_whatever_is_said() -> None:
    matcher = ToolMatcher([GO, WEATHER], "any")
    called = matcher.match("what's the weather", SUNDAY)
    assert called == MatchedCalls((MatchedCall("get_weather", {"city": "what's the weather"}),))
    assert isinstance(matcher.match("hello", SUNDAY), MatchedCalls)
    assert isinstance(matcher.match("", SUNDAY), MatchedCalls)


def test_a_chosen_tool_is_called_whatever_is_said() -> None:
    matcher = ToolMatcher([GO, WEATHER], "tool:go")
    called = matcher.match("what's the weather in paris", SUNDAY)
    assert called == MatchedCalls((MatchedCall("go", {"direction": "forward", "meters": 1}),))


@pytest.mark.parametrize("choice", ["", "auto"])
def test_auto_calls_nothing_for_small_talk(choice: str) -> None:
    matcher = ToolMatcher(ALL, choice)
    assert not matcher.forced
    assert matcher.match("how are you", SUNDAY) is None


def test_without_tools_nothing_is_called() -> None:
    matcher = ToolMatcher([], "any")
    assert not matcher.forced
    assert matcher.match("go forward ten meters", SUNDAY) is None


def test_a_schema_that_is_no_json_is_a_tool_without_arguments() -> None:
    called = ToolMatcher([ToolDefinition("go", "", "{")]).match("go", SUNDAY)
    assert called == MatchedCalls((MatchedCall("go", {}),))


# Any words, any schema.

_WORDS = st.lists(
    st.sampled_from(
        "go get the weather in paris london on and . to forward ten twenty one a hundred minus "
        "point half tomorrow monday may third of at seven pm order number set timer for minutes "
        "send message bob saying turn off light kitchen without sugar never mind what's".split()
    ),
    max_size=30,
).map(" ".join)


@given(st.lists(st.one_of(st.text(max_size=60), _WORDS), max_size=4), st.sampled_from(["", "any"]))
def test_any_words_give_the_same_calls_every_time_and_valid_ones(
    said_by_user: list[str], choice: str
) -> None:
    first, second = ToolMatcher(ALL, choice), ToolMatcher(ALL, choice)
    for text in said_by_user:
        matched = first.match(text, SUNDAY)
        assert matched == second.match(text, SUNDAY)
        if isinstance(matched, MatchedCalls):
            for call in matched.calls:
                _check(call)


def _check(call: MatchedCall) -> None:
    """That the arguments fit the schema, as far as these tools use one."""
    definition = next(tool for tool in ALL if tool.name == call.tool)
    schema = json.loads(definition.schema_json)
    assert set(schema["required"]) <= set(call.arguments)
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
    for name, value in call.arguments.items():
        prop = schema["properties"][name]
        assert isinstance(value, kinds[prop["type"]])
        assert value in prop.get("enum", [value])
        assert not isinstance(value, int) or value >= prop.get("minimum", value)
        if prop.get("format") == "date":
            date.fromisoformat(str(value))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_SCHEMA = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "array", "object", "boolean", ["null"]])
        | _JSON,
        "enum": _JSON,
        "items": _JSON,
        "default": _JSON,
        "description": _JSON,
        "minimum": _JSON,
        "properties": _JSON,
        "required": _JSON,
    },
)


@given(st.dictionaries(st.sampled_from(["city", "day", "n"]), _SCHEMA), _WORDS)
def test_no_schema_makes_it_raise(props: dict[str, Any], words: str) -> None:
    matcher = ToolMatcher([tool("go", "to", "city n", **props)], "any")
    assert matcher.match(words, SUNDAY) is not None
    matcher = ToolMatcher([tool("go", "to", "city n", **props)])
    matcher.match(f"go {words}", SUNDAY)
    matcher.match(words, SUNDAY)


# Numbers.


@given(st.integers(0, 9999))
def test_a_number_in_words_is_that_number(value: int) -> None:
    spoken = words_of(in_words(value))
    assert [(n.start, n.stop, n.value) for n in numbers(spoken)] == [(0, len(spoken), value)]


@given(st.integers(-(10**12) + 1, 10**12 - 1))
def test_so_is_a_large_or_negative_one(value: int) -> None:
    assert [n.value for n in numbers(words_of(in_words(value)))] == [value]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("twenty-one", [21]),
        ("a hundred and five", [105]),
        ("twelve hundred", [1200]),
        ("two thousand twenty six", [2026]),
        ("three point five", [3.5]),
        ("minus four", [-4]),
        ("two and a half", [2.5]),
        ("half a meter", [0.5]),
        ("a dozen", [12]),
        ("1,000 and 3.5 million", [1000, 3_500_000]),
        ("five five", [5, 5]),
        ("two and three", [2, 3]),
        ("three three four six nine two", [3, 3, 4, 6, 9, 2]),
        ("seven of clubs", [7]),
        ("this one and a meter", []),
        ("hundred", []),
        ("-7", [-7]),
        ("ten, twenty. thirty!", [10, 20, 30]),
    ],
)
def test_numbers_are_found_where_they_are_said(text: str, values: list[float]) -> None:
    assert [n.value for n in numbers(words_of(text))] == values


def test_a_row_of_numbers_is_read_as_figures() -> None:
    assert digits(words_of("three oh four double six please"), 0) == ("30466", 5)
    assert digits(words_of("twelve 34"), 0) == ("1234", 2)
    assert digits(words_of("double trouble"), 0) == ("", 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.5, "three point five"), (-0.25, "minus zero point two five"), (7.0, "seven")],
)
def test_a_fraction_is_said_figure_by_figure(value: float, text: str) -> None:
    assert in_words(value) == text


# Dates.


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", "2026-11-22"),
        ("the day after tomorrow", "2026-11-24"),
        ("yesterday", "2026-11-21"),
        ("on monday", "2026-11-23"),
        ("next sunday", "2026-11-29"),
        ("last friday", "2026-11-20"),
        ("last sunday", "2026-11-15"),
        ("in three days", "2026-11-25"),
        ("two weeks ago", "2026-11-08"),
        ("next week", "2026-11-29"),
        ("the third of may", "2027-05-03"),
        ("december twenty first", "2026-12-21"),
        ("may 3rd 2030", "2030-05-03"),
        ("3 may", "2027-05-03"),
        ("on the twenty fifth", "2026-11-25"),
        ("on the first", "2026-12-01"),
        ("february 29", None),
        ("2026-12-24", "2026-12-24"),
        ("you may go", None),
        ("three days", None),
    ],
)
def test_a_day_is_found_from_today_on(text: str, day: str | None) -> None:
    found = find_date(words_of(text), SUNDAY)
    assert (found and found.day.isoformat()) == day


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("at seven", time(7)),
        ("at seven thirty pm", time(19, 30)),
        ("7:45 pm", time(19, 45)),
        ("half past eight in the evening", time(20, 30)),
        ("quarter to nine", time(8, 45)),
        ("twelve am", time(0)),
        ("noon", time(12)),
        ("9 p.m.", time(21)),
        ("six o'clock", time(6)),
        ("seven people", None),
        ("at ninety", None),
    ],
)
def test_a_time_of_day_is_found(text: str, moment: time | None) -> None:
    found = find_time(words_of(text))
    assert (found and found.time) == moment


# Words.


@pytest.mark.parametrize(
    ("one", "other"),
    [("meter", "meters"), ("metre", "meter"), ("weather", "wether"), ("city", "cities")],
)
def test_words_with_a_small_mistake_are_alike(one: str, other: str) -> None:
    assert alike(one, other)
    assert alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("there", "where"), ("time", "timer"), ("ten", "tin"), ("weasels", "weather"), ("on", "in")],
)
def test_other_words_are_not(one: str, other: str) -> None:
    assert not alike(one, other)


@given(st.text(max_size=20), st.text(max_size=20))
def test_to_be_alike_is_mutual(one: str, other: str) -> None:
    assert alike(one, other) == alike(other, one)


def test_a_word_is_kept_as_it_was_said_and_plain() -> None:
    words = words_of("What's twenty-one, 2+2 or “I’m Fine”?")
    assert plain(words) == "what is twenty one 2 + 2 or i am fine"
    assert said(words) == "What's twenty one 2 + 2 or I'm Fine"
    assert words[-1].ends


# Results.


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (
            {"city": "Paris", "temperature": 18.5, "rain": False, "wind": None},
            ("Get weather: city is Paris, temperature is 18.5, and rain is no.",),
        ),
        ({"result": "It is sunny."}, ("It is sunny.",)),
        ({"output": 4}, ("Get weather: 4.",)),
        ({}, ("Get weather is done.",)),
        ({"error": "no such city"}, ("Get weather did not work: no such city.",)),
        ({"error": {"message": "down", "code": 5}}, ("Get weather did not work: down.",)),
        ({"status": "error"}, ("Get weather did not work: it gave no reason.",)),
        ({"wind": {"speed": 3}}, ("Get weather: wind: speed is 3.",)),
        ({"cities": ["Rome", "Oslo"]}, ("Get weather: cities: Rome, and Oslo.",)),
        (
            {"days": [{"sky": "clear"}, {"sky": "grey"}]},
            ("Get weather: 2 days.", "First: sky is clear.", "Second: sky is grey."),
        ),
        ({"days": [{"n": 1}] * 7}, None),
    ],
)
def test_a_result_is_read_back_in_sentences(
    result: dict[str, Any], lines: tuple[str, ...] | None
) -> None:
    told = read_back("get_weather", result)
    assert lines is None or told == lines
    assert lines is not None or told[-1] == "And 2 more."


@given(st.dictionaries(st.text(max_size=8), _JSON, max_size=12))
def test_any_result_can_be_read_back(result: dict[str, Any]) -> None:
    lines = read_back("get_weather", result)
    assert lines == read_back("get_weather", result)
    assert all(line.strip() for line in lines)
