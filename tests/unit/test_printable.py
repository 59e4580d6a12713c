"""Foreign text: whatever it contains, nothing that is printed is obeyed by a terminal."""

import ast
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import sonic_voice
from sonic_voice.cli.ending import error_fields
from sonic_voice.cli.story import JsonLines, PrintedTranscript
from sonic_voice.cli.terminal.drawing import live_lines, turn_lines
from sonic_voice.cli.terminal.line_editor import Draft
from sonic_voice.cli.terminal.scene import ShownCall, ShownTurn
from sonic_voice.doctor.finding import Finding, finding_lines, findings_as_json
from sonic_voice.errors import ErrorKind, ServiceError
from sonic_voice.events import AssistantText, Event, Heard, ToolAnswered, ToolCall, UserText
from sonic_voice.printable import (
    encodable,
    encoded,
    exact_json,
    printable,
    printable_json,
    printable_lines,
)

from .test_screen_drawing import VIEW

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What may not be printed: control characters but for tabs and line ends, bidirectional controls,
surrogates."""

SEQUENCES = (
    *(
        "\x1b[2J",
        "\x1b[1;31m",
        "\x1b[?25l",
        "\x9b2J",
        "\x1b[38:2:1:2:3m",
        "\x1bc",
        "\x1b(0",
        "\x1b7",
    ),
    *("\x1b]0;title\x07", "\x1b]8;;http://x.example\x1b\\", "\x9d52;c;aGk=\x9c", "\x1bPq#0\x1b\\"),
    *("\x1b_payload\x1b\\", "\x1b^private\x1b\\", "\x1bXstring\x1b\\"),
)
"""Complete escape sequences of every kind in ECMA-48, which vanish as a whole."""

PIECES = (
    *(
        "\x1b",
        "[",
        "]",
        "31",
        ";",
        "m",
        "P",
        "\\",
        "\x07",
        "\x9b",
        "\x9c",
        "\x9d",
        "\x90",
        "\r",
        "\n",
    ),
    *("\b", "\x00", "\x7f", "\x85", "\t", "\u202e", "\u2066", "\ud83d", "\ude00", "a", "ह", " "),
)
"""Parts of escape sequences, which the texts below combine in any order."""

foreign = st.one_of(
    st.lists(st.sampled_from((*PIECES, *SEQUENCES)), max_size=12).map("".join),
    st.text(st.characters(codec=None, categories=None), max_size=20),
)

ENCODINGS = ("ascii", "latin-1", "cp1252", "cp437", "koi8-r", "utf-8", "shift_jis")


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_complete_sequence_is_removed_as_a_whole(sequence: str) -> None:
    assert printable(f"before {sequence}after") == "before after"
    assert printable_lines(f"before\n{sequence}after") == "before\nafter"


@given(foreign)
def test_no_text_leaves_anything_that_a_terminal_obeys(text: str) -> None:
    assert not UNSAFE.search(printable(text))
    assert not set(printable(text)) & {"\n", "\t", "\u2028", "\x85"}
    assert not UNSAFE.search(printable_lines(text))


@given(foreign, foreign)
def test_two_texts_in_a_row_form_no_sequence(first: str, second: str) -> None:
    assert not UNSAFE.search(printable(first) + printable(second))
    assert not UNSAFE.search(printable_lines(printable_lines(first) + second))


@given(foreign)
def test_a_safe_text_stays_as_it_is(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    lines = printable_lines(text)
    assert printable_lines(lines) == lines


def test_an_unfinished_sequence_does_not_hide_the_words_after_it() -> None:
    assert printable("\x1b]0;title and words") == "0;title and words"
    assert printable("\x1b]0;title\nwords\x07") == "0;title words"


def test_halves_of_a_pair_are_joined_or_replaced() -> None:
    assert printable("\ud83d\ude00 \ud83d!") == "😀 \N{REPLACEMENT CHARACTER}!"


def test_windows_line_ends_are_line_ends() -> None:
    assert printable_lines("one\r\ntwo\rthree\tfour") == "one\ntwothree\tfour"


@given(foreign)
def test_json_has_no_unsafe_character_and_can_be_read(text: str) -> None:
    for made in (printable_json, exact_json):
        line = made({text: [text, (text,), None, 1.5, True]})
        assert not UNSAFE.search(line)
        assert "\n" not in line
        json.loads(line.encode())
    assert not UNSAFE.search(next(iter(json.loads(printable_json({text: 1})))))


@given(foreign)
def test_exact_json_loses_nothing(text: str) -> None:
    assert encodable(json.loads(exact_json([text]))[0]) == encodable(text)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=foreign)
def test_a_text_can_be_written_in_every_encoding(encoding: str, text: str) -> None:
    encoded(printable(text), encoding).encode(encoding)


def test_what_an_encoding_lacks_becomes_similar_or_a_question_mark() -> None:
    assert encoded("“नम…” ─► 21 °C", "ascii") == '"??." -? 21 ?C'
    assert encoded("“नम…” 21 °C", "cp1252") == "“??…” 21 °C"
    assert len(encoded("╭─┬─╮│█░●…", "ascii")) == 10


class _Metrics:
    """Metrics without latencies."""

    def turn(self, _: int) -> Any:
        class Turn:
            response_latency_s = 1.0

        return Turn()


def _events(text: str) -> list[Event]:
    return [
        UserText(1, text, False),
        AssistantText(1, 0, text, "SPECULATIVE"),
        AssistantText(1, 1, text, "SPECULATIVE"),
        ToolCall(1, text, text, text),
        ToolAnswered(1, text, text, text),
        Heard(1, 100, text, f"{text}, and more"),
    ]


@given(foreign)
def test_the_printed_transcript_has_one_line_for_each_part(text: str) -> None:
    out = io.StringIO()
    metrics: Any = _Metrics()
    transcript = PrintedTranscript(out, metrics)
    for event in _events(text):
        transcript(event, 1.0)
    assert not UNSAFE.search(out.getvalue())
    assert len(out.getvalue().split("\n")) == 6


@given(foreign)
def test_the_lines_of_json_are_safe(text: str) -> None:
    out = io.StringIO()
    lines = JsonLines(out)
    for event in _events(text):
        lines(event, 1.0)
    assert not UNSAFE.search(out.getvalue())
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()]


@given(foreign)
def test_the_screen_is_safe(text: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=24)
    turn = ShownTurn(1, text, True, (ShownCall(text, text, text),), text, text, True)
    view = VIEW.__class__(
        (turn,), text, VIEW.gate, VIEW.levels, VIEW.latest, 1, 0.1, text, Draft(text, text)
    )
    for line in [*turn_lines(console, turn), *live_lines(console, view)]:
        assert not UNSAFE.search(line.plain)
        assert "\n" not in line.plain


@given(foreign)
def test_findings_of_the_doctor_are_safe(text: str) -> None:
    finding = Finding("microphone", "failure", text, f"fix {text}")
    lines = finding_lines(finding)
    assert not UNSAFE.search("".join(lines))
    assert "\n" not in "".join(lines)
    assert not UNSAFE.search(findings_as_json([finding]))


@given(foreign)
def test_the_last_record_is_safe(text: str) -> None:
    error = ServiceError(kind=ErrorKind.ACCESS, code=text, text=text, request_id=text)
    assert not UNSAFE.search(printable_json(error_fields(error)))


PRINTING = {
    "cli/printing.py": "echo",
    "cli/output.py": "PrintOutput",
    "cli/__init__.py": "the line that is printed before anything is imported",
}
"""The modules that may write to standard output themselves."""


def test_no_other_module_prints_by_itself() -> None:
    """`echo` and `printable_json` are the only ways to a terminal and to lines of JSON."""
    root = Path(sonic_voice.__file__).parent
    found: list[str] = []
    for file in [*(root / "cli").rglob("*.py"), *(root / "doctor").rglob("*.py")]:
        name = str(file.relative_to(root))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in (
                    "print",
                    "typer.echo",
                    "typer.secho",
                    "sys.stdout.write",
                    "json.dumps",
                ):
                    found.append(f"{name}: {called}")
    assert [call for call in found if call.partition(":")[0] not in PRINTING] == []
