"""Caller files: what they say, and what is wrong with them, by line and column."""

from pathlib import Path

import pytest

from sonic_voice.callers.reader import caller_mistakes, load_caller
from sonic_voice.callers.records import CallerScript, ExpectedCall, Moment
from sonic_voice.emulator.scenario import Condition, OneOf, Present, Says
from sonic_voice.errors import ScenarioError

WHOLE = """\
name: large pizza
system: You take orders.
voice: tiffany
turns:
  - say: A large pizza, please.
    expect:
      user: large pizza
      calls: [{tool: order, arguments: {size: large, note: {present: false}}}, pay]
      within_ms: 2000
      never: [free, for nothing]
  - say: Stop!
    when: {word: 4}
    expect: {interrupted: true, calls: []}
  - say: Bye.
    when: {silence_ms: 3000}
expect:
  assistant: [euros, dollars]
  never: {assistant: card, calls: [refund]}
judge: The assistant is polite.
"""


def read(text: str, folder: Path) -> CallerScript:
    """Return the caller in a text."""
    file = folder / "caller.yaml"
    file.write_text(text, encoding="utf-8")
    return load_caller(file)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    script = read(WHOLE, tmp_path)
    assert (script.name, script.system, script.voice) == (
        "large pizza", "You take orders.", "tiffany",
    )  # fmt: skip
    first, second, third = script.turns
    assert first.expect.texts == (Condition("user", Says(("large pizza",))),)
    arguments = (
        Condition("arguments.size", OneOf(("large",))),
        Condition("arguments.note", Present(False)),
    )
    assert first.expect.calls == (ExpectedCall("order", arguments), ExpectedCall("pay"))
    assert first.expect.within_ms == 2000
    assert [str(test.test) for test in first.expect.never_said] == [
        'to hold "free"', 'to hold "for nothing"',
    ]  # fmt: skip
    assert (first.moment, second.moment) == (Moment(), Moment(word=4))
    assert (second.expect.interrupted, second.expect.calls) == (True, ())
    assert third.moment == Moment(silence_ms=3000)
    assert script.expect.texts == (Condition("assistant", Says(("euros", "dollars"))),)
    assert script.expect.never_called == (ExpectedCall("refund"),)
    assert script.expect.calls is None
    assert script.judge == ("The assistant is polite.",)


def test_a_simulated_caller_is_read(tmp_path: Path) -> None:
    script = read("caller: {persona: Hungry., goal: A pizza., max_turns: 3}", tmp_path)
    assert script.persona is not None
    assert (script.persona.goal, script.persona.max_turns) == ("A pizza.", 3)
    assert script.turns == ()


MISTAKES = [
    ("", 1, 1, "a caller is a mapping with the keys"),
    ("name: x", 1, 1, "a caller needs at least one turn"),
    ("turns: [{say: x}]\ntruns: 1", 2, 1, "a caller has no key `truns`"),
    ("turns: [{say: x}]\ncaller: {persona: a, goal: b}", 2, 1, "`turns` or a simulated `caller`"),
    ("turns:\n  - when: {word: 2}", 2, 5, "a turn needs `say` or `play`"),
    ("turns:\n  - say: x\n    when: {word: 2}", 3, 12, "before the first turn there is no answer"),
    ("turns:\n  - say: x\n    expect: {interrupted: true}", 3, 14, "there is no answer"),
    ("turns:\n  - say: x\n  - say: y\n    when: {word: 2, silence_ms: 3}", 4, 11, "one of `word`"),
    ("turns:\n  - say: x\n    when: {}", 3, 11, "a moment needs `word` or `silence_ms`"),
    ("turns:\n  - play: none.wav", 2, 11, "there is no file"),
    ("turns:\n  - say: x\n    expect: {within_ms: fast}", 3, 25, "1 to 60000 milliseconds"),
    ("turns:\n  - say: x\n    expect: {calls: order}", 3, 21, "expected a list of calls"),
    ("turns:\n  - say: x\n    expect: {calls: [{tol: a}]}", 3, 23, "no key `tol`"),
    ("turns:\n  - say: x\n    expect: {assistant: {matches: '('}}", 3, 35, "regular expression"),
    ("turns:\n  - say: x\n    expect: {never: {asistant: a}}", 3, 22, "no key `asistant`"),
    ("turns: [{say: x}]\nexpect: {within_ms: 3}", 2, 10, "no key `within_ms`"),
    ("scenario: none.yaml\nturns: [{say: x}]", 1, 11, "there is no file"),
    ("caller: {persona: a, goal: b, max_turns: 1000}", 1, 42, "from 1 to 100"),
    ("turns: [", 1, 9, "this is not YAML"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), MISTAKES)
def test_a_mistake_is_reported_with_line_and_column(
    text: str, line: int, column: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError) as error:
        read(text, tmp_path)
    assert message in error.value.message
    assert (error.value.line, error.value.column) == (line, column)


def test_all_mistakes_are_reported_in_order(tmp_path: Path) -> None:
    file = tmp_path / "caller.yaml"
    file.write_text("turns:\n  - say: 1\n  - sey: x\nname: 2\n")
    assert [(mistake.line, mistake.column) for mistake in caller_mistakes(file)] == [
        (2, 10), (3, 5), (4, 7),
    ]  # fmt: skip


def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    [mistake] = caller_mistakes(tmp_path / "none.yaml")
    assert "none.yaml" in mistake.message
