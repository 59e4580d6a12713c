"""Callers against the emulator on virtual time: they pass, fail, and repeat themselves."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sonic_voice import LocalService
from sonic_voice.bridge import Bridge, Offer, served
from sonic_voice.callers.records import CallerScript, Persona
from sonic_voice.callers.report import result_lines
from sonic_voice.callers.results import CallerResult, Failure
from sonic_voice.callers.runner import session_config
from sonic_voice.cli.caller_report import write_caller_report
from sonic_voice.cli.callers import CallerOptions, read_scripts, run_callers
from sonic_voice.cli.tools_file import load_tools
from sonic_voice.virtual_time import run_in_virtual_time

from ..support.chat_server import chat_server

FOLDER = Path(__file__).parents[1] / "callers"
FILES = [FOLDER / f"{name}.yaml" for name in ("pizza", "story", "welcome")]

SALES_TALK = (
    "Would you like anything else with it, such as a salad, a dessert, or one of our drinks?"
)
"""Sentence of the pizza scenario that the caller interrupts."""

TIMES_REAL_TIME = 20
"""Least length of a conversation, as a multiple of the processor time that it takes."""


def run(
    scripts: Sequence[CallerScript], options: CallerOptions | None = None
) -> list[CallerResult]:
    """Run callers as the command does, and return their results."""
    results: list[CallerResult] = []
    run_in_virtual_time(run_callers(scripts, options or CallerOptions("local"), results.append))
    return results


def lines(results: Sequence[CallerResult]) -> list[str]:
    """Return what the command prints about callers."""
    return [line for result in results for line in result_lines(result)]


def test_three_callers_pass_at_twenty_times_real_time_and_print_the_same_each_time() -> None:
    scripts = read_scripts(FILES)
    printed: set[tuple[str, ...]] = set()
    ratios: list[float] = []
    results: list[CallerResult] = []
    for _ in range(3):
        began_s = time.process_time()  # the wall time of a busy machine says nothing
        results = run(scripts)
        took_s = time.process_time() - began_s
        ratios.append(sum(result.duration_s for result in results) / took_s)
        printed.add(tuple(lines(results)))
    assert all(result.passed for result in results), printed
    assert len(printed) == 1
    assert max(ratios) >= TIMES_REAL_TIME
    readme = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    shown = [line.replace(f"{FOLDER.parents[1]}/", "") for line in lines(results[:1])]
    assert "\n".join(shown) in readme
    assert FILES[0].read_text(encoding="utf-8") in readme


def planted(name: str, before: str, after: str) -> str:
    """Return the text of a file of the callers with one change."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert before in text
    return text.replace(before, after)


@pytest.mark.parametrize(
    ("caller", "name", "change", "failures"),
    [
        (
            "pizza",
            "pizza_tools.py",
            ('"large": 12', '"large": 14'),
            ['turn 1: expected assistant to hold "It costs 12 euros"; it is "It costs 14 euros.'],
        ),
        (
            "pizza",
            "pizza.scenario.yaml",
            ("{size: large, count: 1}", "{size: large, count: 2}"),
            [
                "turn 1: expected assistant to hold",
                "expected no call of order with count to be 2 or 3; turn 1 made: order",
            ],
        ),
        (
            "story",
            "story.scenario.yaml",
            ("user: tell me a story", "delay_ms: 2000\n    user: tell me a story"),
            ["turn 1: expected the answer within 1500 ms; it came after"],
        ),
        (
            "pizza",
            "pizza.scenario.yaml",
            (f"\n        - {SALES_TALK}", ""),
            [
                "turn 2: it should begin at word 6 of the answer before, which had fewer words.",
                "turn 2: it does not interrupt the answer before it, and should.",
            ],
        ),
        (
            "welcome",
            "welcome.scenario.yaml",
            ("We are open", "Sorry, we are open"),
            ['expected assistant never to hold "sorry"; in turn 2 it is "Sorry, we are open from'],
        ),
    ],
)
def test_a_planted_regression_fails_and_is_named(
    caller: str, name: str, change: tuple[str, str], failures: list[str], tmp_path: Path
) -> None:
    changed = tmp_path / name
    changed.write_text(planted(name, *change), encoding="utf-8")
    options = (
        CallerOptions("local", tools=changed)
        if name.endswith(".py")
        else CallerOptions("local", scenario=changed)
    )
    [result] = run(read_scripts([FOLDER / f"{caller}.yaml"]), options)
    assert not result.passed
    found = [str(failure) for failure in result.failures]
    assert len(found) == len(failures), found
    for text, beginning in zip(found, failures, strict=True):
        assert text.startswith(beginning)


def test_a_fault_of_the_network_is_survived_on_virtual_time() -> None:
    options = CallerOptions("local", faults=("reset@event=answer,streams=1-1",))
    [result] = run(read_scripts(FILES[1:2]), options)
    assert result.passed, lines([result])


def test_the_judge_can_fail_a_conversation_and_never_rescue_one(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(messages: list[dict[str, str]]) -> str:
        asked.append(messages[-1]["content"])
        return (
            "**PASS** It does." if "names the opening hours" in asked[-1] else "FAIL: it does not."
        )

    [script] = read_scripts(FILES[2:])
    changed = tmp_path / "welcome.scenario.yaml"
    changed.write_text(planted(changed.name, "from nine to five", "at night"), encoding="utf-8")
    strict = replace(script, judge=(*script.judge, "The assistant sings."))
    with chat_server(answer) as spec:
        [agreed] = run([script], CallerOptions("local", judge=spec))
        [failed] = run([strict], CallerOptions("local", judge=spec))
        [broken] = run([script], CallerOptions("local", judge=spec, scenario=changed))
    assert agreed.passed
    assert [verdict.passed for verdict in failed.verdicts] == [True, False]
    assert failed.failures == []
    assert not failed.passed
    assert [verdict.passed for verdict in broken.verdicts] == [True]
    assert not broken.passed
    assert "We are open from nine to five." in asked[0]


def test_a_judge_that_does_not_answer_agrees_to_nothing() -> None:
    [result] = run(read_scripts(FILES[2:]), CallerOptions("local", judge="openai:http://[::1]:9#x"))
    assert [verdict.passed for verdict in result.verdicts] == [False]
    assert not result.passed


def test_a_simulated_caller_speaks_until_it_hangs_up() -> None:
    seen: list[list[dict[str, str]]] = []

    def answer(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        return ["<think>Hm.</think>No, thank you.", "HANG UP"][len(seen) - 1]

    [script] = read_scripts(FILES[:1])
    persona = Persona("You are hungry.", "Order a large pizza.", "A large pizza, please.")
    simulated = replace(script, turns=(), persona=persona)
    with chat_server(answer) as spec:
        [result] = run([simulated], CallerOptions("local", caller=spec))
    assert result.passed, lines([result])
    assert [turn.said for turn in result.turns] == ["A large pizza, please.", "No, thank you."]
    assert seen[0][-1]["content"].startswith("It costs 12 euros.")
    assert seen[1][-1] == {"role": "user", "content": "You are welcome. Goodbye!"}


def command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run `sonic-voice test`."""
    return subprocess.run(
        [sys.executable, "-m", "sonic_voice", "test", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=FOLDER.parents[1],
        timeout=100,
    )


def test_the_command_writes_junit_and_tells_by_its_exit_code_what_failed(tmp_path: Path) -> None:
    changed = tmp_path / "story.scenario.yaml"
    changed.write_text(planted(changed.name, "slept until noon", "went home"), encoding="utf-8")
    junit, page = tmp_path / "junit.xml", tmp_path / "page.html"
    written = ("--junit", junit, "--report", page)
    ran = command("tests/callers/story.yaml", "--scenario", changed, *written)
    assert (ran.returncode, ran.stderr) == (1, f"Report        {page}\n")
    assert "expected assistant to match slept until" in page.read_text(encoding="utf-8")
    assert ran.stdout.splitlines()[0] == "tests/callers/story.yaml: noisy room"
    assert "  FAILED turn 3: expected assistant to match slept until" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "0 callers passed, 1 failed"
    root = ElementTree.fromstring(junit.read_bytes())
    assert (root.get("tests"), root.get("failures")) == ("4", "1")
    [case] = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert case.get("name") == "turn 3: And then?"


def test_the_command_names_the_line_and_column_of_each_mistake(tmp_path: Path) -> None:
    file = tmp_path / "caller.yaml"
    file.write_text("turns:\n  - sey: Hello\n  - say: Hello\n    when: {word: no}\n")
    ran = command(file)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert f"{file}:2:5: a turn has no key `sey`. Did you mean `say`?" in ran.stderr
    assert f"{file}:4:18: expected a number from 1 to 1000, not False." in ran.stderr


def test_one_page_has_all_callers_with_their_outcomes_and_what_failed(tmp_path: Path) -> None:
    changed = tmp_path / "story.scenario.yaml"
    changed.write_text(planted(changed.name, "slept until noon", "went home"), encoding="utf-8")
    pizza, story = read_scripts(FILES[:2])
    results: list[CallerResult] = []
    scripts = (pizza, replace(story, scenario=changed))
    run_in_virtual_time(run_callers(scripts, CallerOptions("local"), results.append, tmp_path))
    results.append(CallerResult(story, failures=[Failure(None, "the network is down")]))
    page = tmp_path / "page.html"
    write_caller_report(page, results, tmp_path)
    assert page.stat().st_mode & 0o777 == 0o600
    text = page.read_text(encoding="utf-8")
    assert "1 of 3 passed." in text
    outcomes = re.findall(
        r"<details[^>]*><summary><h2>[^<]*: ([a-z ]+)</h2> <span[^>]*>(\w+)", text
    )
    assert outcomes == [
        ("hurried customer", "passed"),
        ("noisy room", "failed"),
        ("noisy room", "failed"),
    ]
    notes = re.findall(r'<ul class="notes">(.*?)</ul>', text)
    assert "expected assistant to match slept until" in notes[0]
    assert "the network is down" in notes[1]
    assert text.count("data:audio/mpeg") == 2
    assert "Then he went home." in text


def test_the_conversations_of_a_bridge_are_not_in_a_report() -> None:
    ran = command(FILES[0], "--against", "ws://localhost:1/talk", "--report", "page.html")
    assert ran.returncode == 2
    assert "serve --record" in " ".join(ran.stderr.replace("│", " ").split())


async def test_an_application_behind_a_bridge_is_called_through_its_websocket() -> None:
    """In real time: 15 s. What the latency is then depends on the machine."""
    [strict] = read_scripts(FILES[:1])
    first, second = strict.turns
    patient = replace(first, expect=replace(first.expect, within_ms=None))
    script = replace(strict, turns=(patient, second))
    tools = load_tools(script.tools)
    offer = Offer(config=session_config(script, tools), tools=tools, show_tools=True)
    results: list[CallerResult] = []
    async with (
        LocalService(script.scenario) as transport,
        Bridge(offer, transport) as bridge,
        served(bridge, pages={}) as url,
    ):
        url = f"ws{url.removeprefix('http')}talk"
        await run_callers([script], CallerOptions(url), results.append)
        [result] = results
        assert result.passed, lines(results)
        assert result.turns[0].heard.startswith("It costs 12 euros. Would you")
        assert result.turns[0].heard != result.turns[0].assistant
        wrong = CallerOptions(url.replace("talk", "nothing"))
        await run_callers([script], wrong, results.append)
    assert "Cannot connect to the bridge" in str(results[1].failures[0])
