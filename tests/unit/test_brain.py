"""A scenario that listens: branches, expectations, variables, and what results change."""

import json
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.scenario import Scenario, parse_scenario
from sonic_voice.emulator.service.brain import BrainSession, ConversationSetup
from sonic_voice.emulator.service.effects import Note
from sonic_voice.wire import ToolDefinition

from ..support.service_host import V25, Host, no_resampling, spoken

ORDER = ToolDefinition("order", "Orders.", '{"type":"object"}')
PIZZA = r"""
set: {tries: none}
steps:
  - name: order
    user: a large pizza please
    expect: {user: pizza}
    else: {say: "We have only pizza, you said {user}", goto: order}
    when:
      - if: {user: {matches: "(?P<count>\\d+|one|two) (?P<size>small|large)"}}
        call: {tool: order, arguments: {size: "{size}", count: "{count}"}}
      - if: {user: {matches: "(?P<size>small|large)"}}
        call:
          tool: order
          arguments: {size: "{size}", count: 1, note: "tried {tries}"}
          meanwhile: One {size} pizza.
          expect: {result.price: {present: true}, result.size: "{size}"}
          when:
            - if: {result.sold_out: true}
              say: No {size} ones are left.
              goto: order
            - if: {result.price: [0, free]}
              set: {thanks: "It is free"}
              delay_ms: 640
              say: "{thanks}!"
          then: It costs {result.price} euros.
          set: {thanks: "You paid {result.price}"}
    say: Small or large?
    set: {tries: "{user}"}
    goto: order
  - user: thank you
    say: "{thanks}. You are welcome."
"""


def scenario(text: str = PIZZA) -> Scenario:
    return parse_scenario(text, Path("pizza.yaml"))


def partner(text: str = PIZZA) -> BrainSession:
    return ScriptedBrain(scenario(text), no_resampling).begin(ConversationSetup(tools=(ORDER,)))


def test_the_words_choose_the_answer_and_the_next_step() -> None:
    talk = partner()
    assert talk.hear("a pizza").say == ("Small or large?",)
    assert talk.hear("I said PIZZA, a large one").calls[0].arguments == {
        "size": "large",
        "count": 1,
        "note": "tried a pizza",
    }
    assert talk.hear("thanks").words == "thanks"
    assert talk.hear("more").say == ("That was all this scenario has to say.",)


def test_without_ears_a_scenario_hears_its_own_words() -> None:
    talk = partner()
    reply = talk.hear(None)
    assert (reply.words, reply.notes) == ("a large pizza please", ())
    assert reply.meanwhile == ("One large pizza.",)
    assert talk.hear(None).words == "thank you"


@pytest.mark.parametrize(("words", "count"), [("2 small", 2), ("two small", 2), ("02 small", "02")])
def test_a_group_that_is_a_number_becomes_one(words: str, count: Any) -> None:
    (call,) = partner().hear(f"{words} pizza").calls
    assert call.arguments == {"size": "small", "count": count}


def test_what_was_expected_of_the_words_is_noted_and_answered() -> None:
    talk = partner()
    reply = talk.hear("a large salad")
    assert reply.say == ("We have only pizza, you said a large salad",)
    assert reply.notes == (
        (
            "scenario-expectation",
            'step order: expected user to hold "pizza"; it is "a large salad"',
        ),
    )
    assert talk.hear("a large pizza").calls


def test_the_result_chooses_the_answer_and_the_next_step() -> None:
    talk = partner()
    talk.hear("a large pizza")
    reply = talk.result(0, {"sold_out": True, "price": None, "size": "large"})
    assert (reply.say, reply.notes) == (("No large ones are left.",), ())
    talk.hear("then a small pizza")
    reply = talk.result(1, {"price": 0, "size": "small"})
    assert (reply.say, reply.delay_ms) == (("It is free!",), 640)
    assert talk.hear("thank you").say == ("It is free. You are welcome.",)


def test_what_was_expected_of_a_result_is_noted_with_both_values() -> None:
    talk = partner()
    talk.hear("a large pizza")
    reply = talk.result(0, {"size": 7})
    rules = [rule for rule, _ in reply.notes]
    assert rules == ["scenario-expectation"] * 2 + ["scenario-value"] * 2
    assert [text for _, text in reply.notes[:2]] == [
        "step order: expected result.price to be there; it is not there",
        'step order: expected result.size to be "large"; it is 7',
    ]
    assert reply.say == ("It costs {result.price} euros.",)


def test_a_late_result_is_answered_with_the_words_it_was_asked_for() -> None:
    talk = partner("steps: [{user: a, call: {tool: order, then: '{user}: {result.x}'}}]")
    talk.hear("first")
    talk.hear("second")
    assert talk.result(0, {"x": 1}).say == ("first: 1",)


def test_each_stream_has_variables_of_its_own() -> None:
    brain = ScriptedBrain(scenario(), no_resampling)
    first, second = (brain.begin(ConversationSetup(tools=(ORDER,))) for _ in range(2))
    first.hear("a pizza")
    (call,) = second.hear("a large pizza").calls
    assert call.arguments["note"] == "tried none"


def test_a_variable_of_a_way_not_taken_is_noted() -> None:
    talk = partner("steps: [{user: a, say: '{x}', when: [{if: {user: b}, set: {x: 1}, say: c}]}]")
    assert talk.hear("a").notes == (("scenario-value", "the scenario's {x} has no value here"),)


def test_the_end_is_where_a_loop_begins_again() -> None:
    steps = (
        "steps: [{user: a, say: A, goto: end, when: [{if: {user: c}, say: C}]}, {user: b, say: B}]"
    )
    circle = partner(f"loop: true\n{steps}")
    assert [circle.hear(words).say for words in ("a", "a", "c", "x", "a")] == [
        ("A",), ("A",), ("C",), ("B",), ("A",),
    ]  # fmt: skip
    line = partner(f"{steps}\notherwise: Over.")
    assert [line.hear(None).say for _ in range(3)] == [("A",), ("Over.",), ("Over.",)]


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        (
            "{user: ten meters}",
            ["Go 10 meters!", "ten meters"],
            ["ten metres", "meters ten", "ten"],
        ),
        ("{user: ['yes', sure]}", ["Sure, why not", "oh yes"], ["yesterday", "no"]),
        ("{user: it's}", ["It is so.", "it’s"], ["its"]),
        ("{user: {matches: 'go (on|ahead)$'}}", ["Please GO ON"], ["go on then"]),
        ("{user: {like: go forward ten meters}}", ["go forward 10 metres"], ["go for ten metres"]),
        ("{user: {like: go on, errors: 0}}", ["Go on."], ["go", "go on on"]),
        ("{user: {like: go on, errors: 0.5}}", ["go", "go on on"], ["stop"]),
        ("{user: {present: true}}", ["a"], []),
    ],
)
def test_conditions_on_words(condition: str, holds: list[str], fails: list[str]) -> None:
    for words in (*holds, *fails):
        talk = partner(f"steps: [{{user: a, say: Wrong, when: [{{if: {condition}, say: Right}}]}}]")
        assert talk.hear(words).say == ("Right" if words in holds else "Wrong",), words


RESULTS: list[tuple[str, list[Any], list[Any]]] = [
    ("{result.x: 10}", [10, 10.0], ["10", True, None]),
    ("{result.x: true}", [True], [1, "true"]),
    ("{result.x: null}", [None], [0, False]),
    ("{result.x: [a, 1]}", ["A", " a", 1], ["b", ["a"], 2]),
    ("{result.x: {matches: '^1'}}", ["1a", 1, 1.0], ["a1", [1], {"1": 1}]),
    ("{result.x: {like: ten meters}}", ["10 meters."], ["meters"]),
    ("{result.x.y: {present: true}}", [{"y": None}], [{}, 1, ["y"]]),
    ("{result.x.y: {present: false}}", [{}, 1], [{"y": 0}]),
    ("{result.x: 1, result.y: {present: false}}", [1], [2]),
]


@pytest.mark.parametrize(("condition", "holds", "fails"), RESULTS)
def test_conditions_on_results(condition: str, holds: list[Any], fails: list[Any]) -> None:
    for value, said in [(v, "Right") for v in holds] + [(v, "Wrong") for v in fails]:
        then = f"then: Wrong, when: [{{if: {condition}, say: Right}}]"
        talk = partner(f"steps: [{{user: a, call: {{tool: order, {then}}}}}]")
        talk.hear("a")
        assert talk.result(0, {"x": value}).say == (said,), value


def test_groups_of_an_answer_whose_other_condition_fails_set_nothing() -> None:
    when = "[{if: {user: {matches: '(?P<x>b)'}, x: 1}, say: c}]"
    talk = partner(f"set: {{x: 0}}\nsteps: [{{user: a, say: '{{x}}', when: {when}}}]")
    assert talk.hear("b").say == ("0",)


def notes(host: Host) -> list[tuple[str, str]]:
    return [(effect.rule, effect.text) for effect in host.effects if isinstance(effect, Note)]


def conversation() -> Host:
    """Two spoken utterances and a result: a salad, then a pizza."""
    brain = ScriptedBrain(scenario(), no_resampling)
    heard = ["A large salad.", "A large pizza."]
    host = Host(brain=brain, speech=spoken((0, 960), (6400, 7360)), words=heard, model=V25)
    host.begin(tools=(ORDER,))
    host.audio(9600)
    (call,) = host.calls
    host.result(call.tool_use, '{"size":"large","price":12.5}')
    host.audio(3200)
    return host


def test_a_scenario_that_listens_through_the_whole_service() -> None:
    host = conversation()
    assert json.loads(host.calls[0].arguments_json)["size"] == "large"
    assert host.said("SPECULATIVE") == [
        "We have only pizza, you said A large salad.",
        "It costs 12.5 euros.",
    ]
    text = 'step order: expected user to hold "pizza"; it is "A large salad."'
    assert notes(host) == [("scenario-expectation", text)]


def test_a_fault_may_hang_on_the_words() -> None:
    error = "error: {code: throttlingException, message: Too many.}"
    text = f"steps: [{{user: a, say: b, goto: end, when: [{{if: {{user: fail}}, {error}}}]}}]"
    brain = ScriptedBrain(scenario(text), no_resampling)
    for words, failure in (("a", None), ("now fail", "Too many.")):
        host = Host(brain=brain, speech=spoken((0, 960)), words=[words])
        host.begin()
        host.audio(3200)
        assert host.failure == failure


def test_the_same_words_and_results_give_the_same_events() -> None:
    assert conversation().effects == conversation().effects


def test_a_recogniser_is_told_all_words_that_are_waited_for() -> None:
    text = """
steps:
  - {user: a, say: b, expect: {user: [c, d]}, when: [{if: {user: {like: e f}}, say: g}]}
  - {user: a, call: {tool: t, expect: {result: h}}}
"""
    assert scenario(text).hints == ("a", "c", "d", "e f")
