"""Scenario files: what they may hold, and where they say a mistake is."""

import contextlib
import wave
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.demo import DEMO_SCENARIO
from sonic_voice.emulator.brains import scripted as brain
from sonic_voice.emulator.brains.scripted import ScriptedBrain, small_talk
from sonic_voice.emulator.scenario import (
    Branch,
    Condition,
    OneOf,
    Present,
    Recording,
    Says,
    Scenario,
    ScenarioCall,
    ScenarioStep,
    StreamException,
    fill,
    load_scenario,
    mistakes,
    parse_scenario,
)
from sonic_voice.emulator.scenario.reader import read_scenario
from sonic_voice.emulator.service.brain import Brain, ConversationSetup
from sonic_voice.errors import ScenarioError

YAML = """\
name: two turns
loop: true
otherwise: [Hm., Say it again.]
endpoint_ms: 400
voice: amy
steps:
  - user: go forward ten meters
    delay_ms: 100
    call:
      tool: go
      arguments: {direction: forward, meters: 10, note: "{user}"}
      meanwhile: One moment.
      then: ["I went {result.meters} meters.", "Anything else?"]
  - user: break
    say: Oh.
    break: cut-mid-frame
  - user: fail
    error: {code: throttlingException, message: Too many.}
"""

TOML = """\
name = "two turns"
loop = true
otherwise = ["Hm.", "Say it again."]
endpoint_ms = 400
voice = "amy"

[[steps]]
user = "go forward ten meters"
delay_ms = 100
[steps.call]
tool = "go"
arguments = { direction = "forward", meters = 10, note = "{user}" }
meanwhile = "One moment."
then = ["I went {result.meters} meters.", "Anything else?"]

[[steps]]
user = "break"
say = "Oh."
break = "cut-mid-frame"

[[steps]]
user = "fail"
error = { code = "throttlingException", message = "Too many." }
"""

SCENARIO = Scenario(
    "two turns",
    (
        ScenarioStep(
            "go forward ten meters",
            calls=(
                ScenarioCall(
                    "go",
                    {"direction": "forward", "meters": 10, "note": "{user}"},
                    ("One moment.",),
                    ("I went {result.meters} meters.", "Anything else?"),
                ),
            ),
            delay_ms=100,
        ),
        ScenarioStep("break", ("Oh.",), broken="cut-mid-frame"),
        ScenarioStep("fail", error=StreamException("throttlingException", "Too many.")),
    ),
    loop=True,
    otherwise=("Hm.", "Say it again."),
    endpoint_ms=400,
    voice="amy",
)


def parsed(text: str, name: str = "s.yaml") -> Scenario:
    return parse_scenario(text, Path(name))


def test_yaml_and_toml_give_the_same_scenario() -> None:
    assert parsed(YAML) == SCENARIO
    assert parsed(TOML, "s.toml") == SCENARIO


def test_yaml_and_toml_give_the_same_conditions() -> None:
    written = parsed(
        """
steps:
  - user: a
    expect: {user: [b, c]}
    else: d
    call:
      tool: t
      when:
        - if: {result.x: 1, result.y: {present: false}}
          set: {z: "{result.x}"}
"""
    )
    assert written == parsed(
        """
[[steps]]
user = "a"
expect = { user = ["b", "c"] }
else = "d"
[steps.call]
tool = "t"
[[steps.call.when]]
if = { "result.x" = 1, "result.y" = { present = false } }
set = { z = "{result.x}" }
""",
        "s.toml",
    )
    first = Branch(
        (Condition("result.x", OneOf((1,))), Condition("result.y", Present(wanted=False))),
        ScenarioStep("a", assign={"z": "{result.x}"}),
    )
    assert written.steps == (
        ScenarioStep(
            "a",
            calls=(ScenarioCall("t", {}, when=(first,)),),
            expect=(Condition("user", Says(("b", "c"))),),
            fallback=ScenarioStep("a", ("d",)),
        ),
    )


def test_a_file_without_a_name_has_that_of_the_file() -> None:
    assert parsed("steps: [{user: a, say: b}]", "nice.yaml").name == "nice"


STEP = "steps:\n  - user: a\n    say: b\n"

MISTAKES = [
    ("a: [", 1, 5, "not YAML"),
    ("", 1, 1, "mapping"),
    ("- user: a", 1, 1, "mapping"),
    ("name: x", 1, 1, "at least one step"),
    ("steps: {}", 1, 8, "list of steps"),
    ("steps: []", 1, 1, "at least one step"),
    ("stepps: []\n" + STEP, 1, 1, "Did you mean `steps`?"),
    (STEP + "    sya: c\n", 4, 5, "Did you mean `say`?"),
    (STEP + "    user: c\n", 4, 5, "twice"),
    (STEP + "    7: c\n", 4, 5, "not a text"),
    ("steps:\n  - say: b\n", 2, 5, "needs `user`"),
    ("steps:\n  - user: a\n", 2, 5, "needs `say` or"),
    ("steps:\n  - hello\n", 2, 5, "mapping"),
    ("steps:\n  - user: 7\n    say: b\n", 2, 11, "Quote it"),
    ("steps:\n  - user: a\n    say: [b, ' ']\n", 3, 14, "a text"),
    ("steps:\n  - user: a\n    say: {b: c}\n", 3, 10, "list of sentences"),
    (STEP + "    call: {tool: go}\n", 3, 5, "`then`"),
    ("steps:\n  - user: a\n    call: {}\n", 3, 11, "needs `tool`"),
    ("steps:\n  - user: a\n    call: {tool: go, arguments: [1]}\n", 3, 33, "mapping"),
    ("steps:\n  - user: a\n    call: {tool: go, arguments: {x: .nan}}\n", 3, 33, "JSON"),
    ("steps:\n  - user: a\n    call: {tool: go, arguments: {x: 2026-01-01}}\n", 3, 33, "JSON"),
    ("steps:\n  - user: a\n    call: {tool: go, than: c}\n", 3, 22, "Did you mean `then`?"),
    (STEP + "    delay_ms: soon\n", 4, 15, "0 to 60000"),
    (STEP + "    delay_ms: -1\n", 4, 15, "0 to 60000"),
    (STEP + "    delay_ms: true\n", 4, 15, "0 to 60000"),
    (STEP + "    break: rest\n", 4, 12, "Did you mean `reset`?"),
    (STEP + "    error: {code: throttling}\n", 4, 12, "needs `message`"),
    (
        STEP + "    error: {code: throttlingexception, message: m}\n",
        4, 19, "`throttlingException`",
    ),
    (STEP + "    wav: nothing.wav\n", 4, 10, "nothing.wav cannot be read"),
    ("steps:\n  - user: a\n    say: [b, c]\n    wav: x.wav\n", 4, 10, "one sentence"),
    ("loop: 1\n" + STEP, 1, 7, "true or false"),
    ("endpoint_ms: 5\n" + STEP, 1, 14, "32 to 60000"),
    ("voice:\n" + STEP, 1, 7, "a text"),
    ("otherwise: {a: b}\n" + STEP, 1, 12, "sentence"),
    (STEP + "    set: {user: c}\n", 4, 11, "`user` cannot be a variable"),
    (STEP + "    set: {a-b: c}\n", 4, 11, "`a-b` cannot be a variable"),
    (STEP + "    set: [c]\n", 4, 10, "mapping of names"),
    ("set: {a: '{user}'}\n" + STEP, 1, 6, "before the first utterance"),
    (STEP + "    expect: {}\n", 4, 13, "a condition"),
    (STEP + "    expect: {'a b': c}\n", 4, 14, "names no value"),
    (STEP + "    expect: {size: large}\n", 4, 20, "nothing sets `size`"),
    (STEP + "    expect: {user: 10}\n", 4, 20, "Quote it"),
    (STEP + "    expect: {user: []}\n", 4, 20, "words"),
    (STEP + "    expect: {result: [[c]]}\n", 4, 22, "a value or a list of values"),
    (STEP + "    expect: {user: {match: c}}\n", 4, 21, "Did you mean `matches`?"),
    (STEP + "    expect: {user: {}}\n", 4, 20, "needs `matches` or `like` or `present`"),
    (STEP + "    expect: {user: {like: c, present: true}}\n", 4, 20, "is one of"),
    (STEP + "    expect: {user: {matches: c, errors: 0}}\n", 4, 33, "goes with `like`"),
    (STEP + "    expect: {user: {like: c, errors: 2}}\n", 4, 38, "from 0 to 1"),
    (STEP + "    expect: {user: {present: 1}}\n", 4, 30, "true or false"),
    (STEP + "    expect: {user: {matches: 'a(b'}}\n", 4, 30, "no regular expression"),
    (STEP + "    expect: {user: {matches: '(?P<result>b)'}}\n", 4, 21, "cannot be a variable"),
    (STEP + "    else: c\n", 4, 5, "goes with an `expect`"),
    (STEP + "    when: {if: c}\n", 4, 11, "a list of answers"),
    (STEP + "    when:\n      - say: c\n", 5, 9, "needs `if`"),
    (STEP + "    when:\n      - if: {user: c}\n", 5, 9, "needs `say` or"),
    (STEP + "    when:\n      - {if: {user: c}, user: d, say: e}\n", 5, 25, "no key `user`"),
    (STEP + "    goto: c\n", 4, 11, "no step is called `c`"),
    ("steps:\n  - user: a\n    name: end\n    say: b\n", 3, 11, "another name"),
    (
        "steps:\n  - {name: x, user: a, say: b}\n  - {name: x, user: a, say: b}\n",
        3, 12, "another step is called `x`",
    ),
    (
        "steps:\n  - {name: x, user: a, say: b, goto: y}\n  - {name: yy, user: a, say: b}\n",
        2, 38, "Did you mean `yy`?",
    ),
    (
        "steps:\n  - {name: x, user: a, say: b, goto: x}\n  - {name: y, user: a, say: b}\n",
        3, 5, "this step cannot be reached. Let a `goto` name it: `y`",
    ),
    ("loop: true\nsteps:\n  - {name: x, user: a, say: b, goto: x}\n", 1, 1, "`loop` has no effect"),
    ("steps:\n  - user: a\n    say: 'Hi {name}.'\n", 3, 10, "nothing sets `name`"),
    (
        "steps:\n  - user: a\n    call: {tool: t, arguments: {x: ['{y}']}}\n",
        3, 32, "nothing sets `y`. Names are user, result",
    ),
    (
        "steps:\n  - user: a\n    call: {tool: t, when: [{if: {result: c}, call: {tool: t}}]}\n",
        3, 46, "no key `call`",
    ),
    ("steps:\n  - user: a\n    call: {tool: t, say: b}\n", 3, 21, "no key `say`"),
    ("name: &x [*x]\n" + STEP, 1, 7, "aliases"),
    ("name: !!python/object:os.system x\n" + STEP, 1, 7, "not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parsed(text)
    error = caught.value
    assert message in str(error)
    assert (error.path, error.line, error.column) == ("s.yaml", line, column)


MANY = """\
name: 7
steps:
  - name: order
    user: a pizza
    sya: Small or large?
  - user: [ten, 10]
    call: {tool: order, arguments: {size: "{size}"}, goto: oder}
"""


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(MANY)
    found = mistakes(path)
    assert [(mistake.line, mistake.column) for mistake in found] == [
        (1, 7), (5, 5), (6, 11), (7, 36), (7, 60),
    ]  # fmt: skip
    assert "Did you mean `order`?" in str(found[-1])
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value) == str(found[0])


def test_a_sound_file_has_no_mistakes_and_one_that_cannot_be_read_has_one(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(YAML)
    assert mistakes(tmp_path / "good.yaml") == []
    (tmp_path / "bad.yaml").write_text("a: [")
    for name in ("bad.yaml", "none.yaml"):
        assert len(mistakes(tmp_path / name)) == 1


def test_a_way_may_lead_through_any_answer_and_through_a_result() -> None:
    steps = """
steps:
  - {name: a, user: a, say: b, goto: end, expect: {user: a}, else: {say: c, goto: f},
     when: [{if: {user: d}, say: e, goto: g}]}
  - {name: f, user: f, goto: end,
     call: {tool: t, goto: h, expect: {result.x: 1}, else: {goto: i},
            when: [{if: {result.y: 1}, goto: j}]}}
  - {name: g, user: g, say: g, goto: end}
  - {name: h, user: h, say: h, goto: end}
  - {name: i, user: i, say: i, goto: end}
  - {name: j, user: j, say: j, goto: end}
"""
    assert len(parsed(steps).steps) == 6


def test_a_key_without_a_value_is_as_if_it_were_not_there() -> None:
    empty = "steps: [{user: a, say: b, delay_ms: , when: }]\notherwise:\nendpoint_ms:\n"
    assert parsed(empty) == Scenario("s", (ScenarioStep("a", ("b",)),), otherwise=())


TOML_STEP = '[[steps]]\nuser = "a"\nsay = "b"\n'


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("name = ", 1, 8, "not TOML"),
        ('name = "a"\nsteps = [', 2, 10, "not TOML"),
        (f'{TOML_STEP}sya = "c"\n', 4, 1, "Did you mean `say`?"),
        (f"{TOML_STEP}delay_ms = 1.5\n", 4, 12, "0 to 60000"),
        (f'{TOML_STEP}\n[[steps]]\nuser = 7\nsay = "b"\n', 6, 8, "Quote it"),
        (f'{TOML_STEP}\n[[steps]]\nuser = "c"\n', 5, 3, "needs `say` or"),
        ('[[steps]]\nuser = "a"\n[steps.call]\ntoll = "go"\n', 4, 1, "Did you mean `tool`?"),
        (f'{TOML_STEP}expect = {{ "result.x" = [[]] }}\n', 4, 10, "a list of values"),
        (f'{TOML_STEP}goto = "c"\n', 4, 8, "no step is called `c`"),
    ],
)
def test_a_mistake_in_toml_is_told_with_its_place(
    text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        parsed(text, "s.toml")
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_missing_file_is_an_error_of_the_scenario(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="Cannot read"):
        load_scenario(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(ScenarioError, match="not text in UTF-8"):
        load_scenario(tmp_path / "latin.yaml")


def test_a_recording_stands_beside_the_scenario(tmp_path: Path) -> None:
    def write(name: str, channels: int, frames: bytes) -> None:
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(8_000)
            file.writeframes(frames)

    path = tmp_path / "s.yaml"
    for name, channels, frames in (("a.wav", 1, b"\1\0" * 40), ("b.wav", 2, b"\1\0" * 40)):
        write(name, channels, frames)
    write("empty.wav", 1, b"")
    path.write_text(f"{STEP}    wav: a.wav\n")
    assert load_scenario(path).steps[0].wav == Recording(b"\1\0" * 40, 8_000)
    for name in ("b.wav", "empty.wav", "s.yaml"):
        path.write_text(f"{STEP}    wav: {name}\n")
        with pytest.raises(ScenarioError, match=f"s.yaml:4:10: .*{name} cannot be read as WAV"):
            load_scenario(path)


@given(st.text(max_size=60), st.sampled_from(["", "steps: ", "steps:\n - user: "]))
def test_any_text_is_a_scenario_or_an_error_of_one(text: str, before: str) -> None:
    for name in ("s.yaml", "s.toml"):
        with contextlib.suppress(ScenarioError):
            parsed(before + text, name)


def test_holders_are_filled_at_any_depth_and_keep_their_type_alone() -> None:
    values = {"user": "go", "result": {"n": 1.0, "list": [1], "deep": {"x": None}}}
    missing: list[str] = []
    template = {
        "text": "{user}: {result.n} of {result.list}",
        "alone": ["{result.n}", "{result.deep}", 7],
        "none": "{result.other} {result.n.x} {name} { name }",
    }
    assert fill(template, values, missing.append) == {
        "text": "go: 1 of [1]",
        "alone": [1.0, {"x": None}, 7],
        "none": "{result.other} {result.n.x} {name} { name }",
    }
    assert missing == ["{result.other}", "{result.n.x}", "{name}"]


def unused(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    return pcm[: to_hz * len(pcm) // from_hz]


def test_a_partner_plays_the_steps_in_a_circle() -> None:
    partner = ScriptedBrain(SCENARIO, unused).begin(ConversationSetup())
    replies = [partner.hear(None) for _ in range(5)]
    assert [reply.words for reply in replies[:3]] == ["go forward ten meters", "break", "fail"]
    assert replies[4] == replies[1]
    assert partner.hear("typed", typed=True).words == "typed"


def test_a_partner_without_a_next_step_says_the_last_words() -> None:
    once = ScriptedBrain(Scenario("x", SCENARIO.steps[:1]), unused).begin(ConversationSetup())
    once.hear(None)
    assert once.hear(None).words == brain.UNKNOWN_WORDS


def test_a_brain_gives_each_stream_its_own_partner_and_plays_recordings() -> None:
    player: Brain = ScriptedBrain(SCENARIO, unused)
    assert player.begin(ConversationSetup()).hear(None) == player.begin(ConversationSetup()).hear(
        None
    )
    assert (player.voice, player.endpoint_ms) == ("amy", 400)
    assert player.sound(Recording(bytes(80), 8_000), 8_000) == bytes(80)
    assert player.sound(Recording(bytes(80), 16_000), 8_000) == bytes(40)


def test_the_built_in_dialogue_says_what_it_is() -> None:
    scenario = small_talk()
    words: list[Any] = [sentence for step in scenario.steps for sentence in step.say]
    assert any("emulator" in sentence for sentence in words)
    assert any("cannot hear your words" in sentence for sentence in words)


def test_the_demonstration_is_a_scenario_of_three_turns() -> None:
    scenario = load_scenario(DEMO_SCENARIO)
    assert len(scenario.steps) == 3
    (call,) = scenario.steps[1].calls
    assert (call.tool, call.arguments) == ("go", {"direction": "forward", "meters": 10})


def test_a_step_may_make_several_calls_together() -> None:
    text = "steps:\n- {user: a, call: [{tool: go, then: Gone.}, {tool: stop, arguments: {x: 1}}]}\n"
    assert parsed(text).steps[0].calls == (
        ScenarioCall("go", {}, then=("Gone.",)),
        ScenarioCall("stop", {"x": 1}),
    )


def test_a_list_of_calls_holds_one_at_least_and_each_has_a_tool() -> None:
    _, found = read_scenario(
        "steps:\n- {user: a, call: []}\n- {user: b, call: [{then: c}]}\n", Path("s")
    )
    assert [(mistake.line, mistake.message.split(": ")[1]) for mistake in found] == [
        (2, "expected a call."),
        (3, "a call needs `tool`."),
    ]


def test_the_words_of_the_user_may_be_empty_and_are_no_hint() -> None:
    scenario = parsed('steps:\n- {user: "", say: Hello.}\n- {user: b, say: Good.}\n')
    assert [step.user for step in scenario.steps] == ["", "b"]
    assert scenario.hints == ("b",)
    for wrong in ('"  "', "1", "null"):
        with pytest.raises(ScenarioError):
            parsed(f"steps:\n- {{user: {wrong}, say: Hello.}}\n")
