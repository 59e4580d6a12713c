"""Tests of every kind of expectation against observed conversations."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from sonic_voice.callers.conversation_log import ConversationLog
from sonic_voice.callers.expectations import failures_of
from sonic_voice.callers.judge import read_verdict, transcript_of
from sonic_voice.callers.junit import junit_xml
from sonic_voice.callers.reader import load_caller
from sonic_voice.callers.records import Persona
from sonic_voice.callers.report import result_lines
from sonic_voice.callers.results import CallerResult, Failure, ObservedCall, ObservedTurn, Verdict
from sonic_voice.callers.simulated import chat_of, spoken_words
from sonic_voice.events import (
    AssistantText,
    Audio,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from sonic_voice.transcript import Transcript

ORDER = ObservedCall("order", '{"size":"large","count":2}', '{"price":24}')
SECOND = ObservedCall("order", '{"size":"small"}')


def turn(number: int = 1, **observed: object) -> ObservedTurn:
    """Return an answered turn with some differences."""
    usual = {"assistant": "It costs 24 euros.", "user": "a pizza", "response_latency_ms": 900}
    made = ObservedTurn(number, "A pizza.", 0.5, 1.5)
    for name, value in (usual | observed).items():
        setattr(made, name, value)
    return made


def failures(expect: str, *turns: ObservedTurn, folder: Path, whole: str = "{}") -> list[str]:
    """Return the failures of a caller with one turn, as texts."""
    file = folder / "caller.yaml"
    file.write_text(f"turns:\n  - {{say: A pizza., expect: {expect}}}\nexpect: {whole}\n")
    return [str(failure) for failure in failures_of(load_caller(file), turns)]


HOLDS = [
    "{}",
    "{assistant: 24 euros, user: a pizza, within_ms: 900, calls: [order]}",
    "{assistant: [10 euros, twenty-four euros]}",
    "{calls: [{tool: order, arguments: {size: LARGE, count: [2, 3]}}]}",
    "{calls: [{tool: order, arguments: {note: {present: false}}}, order]}",
    "{calls: [order, {tool: order, arguments: {size: large}}]}",
    "{interrupted: false, never: {assistant: card, calls: [refund]}}",
]


@pytest.mark.parametrize("expect", HOLDS)
def test_what_holds_is_no_failure(expect: str, tmp_path: Path) -> None:
    assert failures(expect, turn(calls=[ORDER, SECOND]), folder=tmp_path, whole="{}") == []


FAILS = [
    ("{assistant: 10 euros}", 'to hold "10 euros"; it is "It costs 24 euros."'),
    ("{user: a salad}", 'expected user to hold "a salad"; it is "a pizza"'),
    ("{within_ms: 899}", "expected the answer within 899 ms; it came after 900 ms."),
    ("{calls: []}", "expected no call; made: order"),
    ("{calls: [order, order, order]}", "expected a call of order; made: order"),
    ("{calls: [{tool: order, arguments: {size: tiny}}]}", 'of order with size to be "tiny"; made'),
    ("{calls: [pay]}", "expected a call of pay; made"),
    ("{interrupted: true}", "it does not interrupt the answer before it, and should."),
    ("{never: euros}", 'expected assistant never to hold "euros"; in turn 1 it is "It costs'),
    ("{never: {calls: [order]}}", "expected no call of order; turn 1 made: order"),
]


@pytest.mark.parametrize(("expect", "text"), FAILS)
def test_what_does_not_hold_is_named(expect: str, text: str, tmp_path: Path) -> None:
    if expect == "{interrupted: true}":  # the first turn has nothing to interrupt
        expect = "{}}\n  - {say: Stop., expect: {interrupted: true}"
        found = failures(expect, turn(), turn(2), folder=tmp_path)
    else:
        found = failures(expect, turn(calls=[ORDER, SECOND]), folder=tmp_path)
    assert found
    assert text in found[0]


def test_a_turn_without_an_answer_fails_unless_none_is_expected(tmp_path: Path) -> None:
    silent = turn(assistant="", response_latency_ms=None)
    assert failures("{}", silent, folder=tmp_path) == ["turn 1: no answer came."]
    assert failures("{within_ms: 1}", silent, folder=tmp_path)[1:] == [
        "turn 1: expected the answer within 1 ms, and none sounded."
    ]
    for expect in ("{assistant: {present: false}}", "{interrupted: false}"):
        assert failures(expect, silent, folder=tmp_path) == []
    assert failures("{}", folder=tmp_path) == ["turn 1: the conversation ended before it."]


def test_the_whole_conversation_is_judged_by_all_turns(tmp_path: Path) -> None:
    turns = [turn(0, assistant="Welcome."), turn(calls=[ORDER])]
    whole = "{assistant: welcome, calls: [order], never: [card]}"
    assert failures("{}", *turns, folder=tmp_path, whole=whole) == []
    whole = "{assistant: goodbye, never: [welcome]}"
    assert len(failures("{}", *turns, folder=tmp_path, whole=whole)) == 2


def test_events_belong_to_the_turn_of_the_caller_that_they_answer() -> None:
    transcript = Transcript()
    log = ConversationLog(transcript, greeted=False)
    log.begin_turn("One.", 1.0)
    log.end_speech(2.0)
    transcript.plan(1, "First answer.")
    for event, now in (
        (UserText(1, "one "), 2.5),
        (AssistantText(1, 0, "First answer.", "SPECULATIVE"), 2.6),
        (ToolCall(1, "id", "order", "{}"), 2.7),
    ):
        log(event, now)
    assert log.calls_open
    log(ToolAnswered(1, "id", "order", '{"price":1}'), 2.8)
    assert (log.calls_open, log.owed) == (False, True)
    log(Audio(1, b"\0\0", 24_000), 3.0)
    log.begin_turn("Two.", 4.0)
    log(Interrupted(1, "marker"), 4.3)
    log(AssistantText(1, 0, "First", "FINAL"), 4.4)  # late, of the interrupted answer
    log.end_speech(5.0)
    assert log.owed
    log(UserText(2, "two"), 5.1)
    log(TurnEnded(2), 6.0)
    assert not log.owed
    first, second = log.observed()
    assert (first.user, first.assistant, first.response_latency_ms) == (
        "one",
        "First answer.",
        1000,
    )
    assert [(call.tool, call.result_json) for call in first.calls] == [("order", '{"price":1}')]
    assert (first.interrupted, second.interrupted, second.user) == (False, True, "two")


@pytest.mark.parametrize(
    ("answer", "passed", "reason"),
    [
        ("PASS", True, ""),
        ("pass: it does.", True, "it does."),
        ("**FAIL** - it sings.", False, "it sings."),
        ('{"verdict": "PASS", "reason": "It does."}', True, "It does."),
        ('{"verdict": "MAYBE", "reason": "It does."}', False, "neither PASS nor FAIL"),
        ("Failed. It sings.", False, "It sings."),
        ("The assistant passes.", False, 'neither PASS nor FAIL is its verdict: "The assistant '),
        ("", False, "neither PASS nor FAIL"),
        ("passenger", False, "neither PASS nor FAIL"),
    ],
)
def test_only_a_clear_verdict_passes(answer: str, passed: bool, reason: str) -> None:
    verdict = read_verdict("The assistant is polite.", answer)
    assert verdict.passed is passed
    assert verdict.reason.startswith(reason)


def test_a_simulated_caller_sees_the_conversation_from_its_side() -> None:
    persona = Persona("You are hungry.", "A pizza.")
    messages = chat_of(persona, [turn(heard="It costs 24 euros.")])
    assert [role for role, _ in messages] == ["system", "assistant", "user"]
    assert messages[1:] == [("assistant", "A pizza."), ("user", "It costs 24 euros.")]
    assert spoken_words(' "A large\none, please." ') == "A large one, please."
    assert spoken_words("Hang up.") == spoken_words("...") == ""
    assert len(spoken_words("word " * 200)) < 401


def test_the_judge_is_shown_what_was_heard_and_done() -> None:
    lines = transcript_of([turn(calls=[ORDER], heard="It costs")])
    assert [line.get("text") or line.get("tool") for line in lines] == [
        "A pizza.", "order", "It costs",
    ]  # fmt: skip


def test_a_result_is_reported_without_control_characters(tmp_path: Path) -> None:
    file = tmp_path / "caller.yaml"
    file.write_text("{name: x, turns: [{say: A pizza.}], judge: Polite.}")
    result = CallerResult(
        load_caller(file),
        [turn(heard="\x1b[31mIt costs", assistant="It costs \0 & <more>", calls=[ORDER])],
        [Failure(1, "no \x07 bell"), Failure(None, "whole")],
        [Verdict("Polite.", False, "rude")],
        12.0,
    )
    assert not result.passed
    assert list(result_lines(result))[-1] == "  FAILED: 1 turn, 12.0 s of conversation"
    root = ElementTree.fromstring(junit_xml([result]))
    assert (root.get("tests"), root.get("failures")) == ("3", "3")
    assert [failure.get("message") for failure in root.iter("failure")] == [
        "no  bell", "whole", "rude",
    ]  # fmt: skip
