"""The lines of a transcript file, in text and in Markdown."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePath
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.cli.heard_turns import Answered, Called, Entry, Noted, Said
from sonic_voice.cli.terminal.drawing import printable
from sonic_voice.cli.transcript_forms import Opening, TranscriptForm, form_of, offset

TEXT = form_of(PurePath("talk.txt"), printable)
MARKDOWN = form_of(PurePath("talk.MD"), printable)

ENTRIES: list[tuple[Entry, str, str]] = [
    (Said(1.2, "hello.", False), "[0:01] you: hello.\n", "**You** (0:01): hello.\n\n"),
    (Said(1, "stop", True), "[0:01] you (typed): stop\n", "**You** (0:01, typed): stop\n\n"),
    (
        Answered(61, "Hello! What shall I do?", False),
        "[1:01] nova: Hello! What shall I do?\n",
        "**Nova** (1:01): Hello! What shall I do?\n\n",
    ),
    (
        Answered(3_600, "Done, I went", True, 7_540),
        "[1:00:00] nova: Done, I went [interrupted after 7.5 s]\n",
        "**Nova** (1:00:00): Done, I went *\\[interrupted after 7.5 s\\]*\n\n",
    ),
    (
        Answered(2, "", True, 0),
        "[0:02] nova: [interrupted before it was heard]\n",
        "**Nova** (0:02): *\\[interrupted before it was heard\\]*\n\n",
    ),
    (
        Answered(2, "Well", True),
        "[0:02] nova: Well [interrupted]\n",
        "**Nova** (0:02): Well *\\[interrupted\\]*\n\n",
    ),
    (
        Called(2, "go", '{"m":10}', '{"ok":true}'),
        '[0:02] tool: go({"m":10}) -> {"ok":true}\n',
        '*Tool* (0:02): `go({"m":10})` → `{"ok":true}`\n\n',
    ),
    (Called(2, "go", "{}", None), "[0:02] tool: go({})\n", "*Tool* (0:02): `go({})`\n\n"),
    (
        Called(9, "go", None, '{"error": "a `b`"}'),
        '[0:09] tool: go -> {"error": "a `b`"}\n',
        '*Tool* (0:09): `go` → ``{"error": "a `b`"}``\n\n',
    ),
    (
        Noted(4, "Connected again after 0.6 s."),
        "[0:04] note: Connected again after 0.6 s.\n",
        "*Note* (0:04): Connected again after 0.6 s.\n\n",
    ),
]


@pytest.mark.parametrize(("entry", "text", "markdown"), ENTRIES)
def test_each_entry_is_a_line_or_a_paragraph(entry: Entry, text: str, markdown: str) -> None:
    assert TEXT.entry(entry, entry.at_s) == text
    assert MARKDOWN.entry(entry, entry.at_s) == markdown


def test_a_conversation_begins_with_its_time_and_ends_with_its_length() -> None:
    began = datetime(2026, 11, 29, 14, 3, 20, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
    opening = Opening(began, "Nova 2 Sonic, voice tiffany", "Continuing after 2 turns.")
    assert TEXT.opening(opening) == (
        "Conversation of 2026-11-29 14:03:20 (UTC-03:30)\nNova 2 Sonic, voice tiffany\n"
        "Continuing after 2 turns.\n\n"
    )
    assert MARKDOWN.opening(Opening(began.astimezone(UTC), "Nova *2*")) == (
        "# Conversation of 2026-11-29 17:33:20 (UTC)\n\nNova \\*2\\*\n\n"
    )
    assert TEXT.ending(45.2) == "\nEnd after 0:45.\n"
    assert MARKDOWN.ending(45.2) == "*End after 0:45.*\n"


@pytest.mark.parametrize(
    ("at_s", "shown"), [(-0.1, "0:00"), (0, "0:00"), (59.9, "0:59"), (7_325, "2:02:05")]
)
def test_times_are_minutes_and_seconds(at_s: float, shown: str) -> None:
    assert offset(at_s) == shown


def test_words_with_signs_of_markdown_stay_words() -> None:
    said = Said(0, "# *one* _two_ <b>three</b> [four](x) `five` &lt; a|b", False)
    assert MARKDOWN.entry(said, 0) == (
        r"**You** (0:00): \# \*one\* \_two\_ \<b\>three\</b\> \[four\](x) \`five\` &amp;lt; a\|b"
        "\n\n"
    )


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@given(ANY_TEXT, ANY_TEXT, st.sampled_from([TEXT, MARKDOWN]))
def test_nobody_else_can_begin_a_line_or_send_control_characters(
    words: str, more: str, form: TranscriptForm
) -> None:
    for entry in (
        Said(0, words, False), Answered(0, words, True, 5), Called(0, words, words, more),
        Noted(0, more),
    ):  # fmt: skip
        lines = form.entry(entry, 0)
        line = lines.strip("\n")
        assert len(line.splitlines()) == 1
        assert not any(category(character) in ("Cc", "Cs") for character in line)
        lines.encode()


def test_long_results_of_tools_are_cut() -> None:
    line = TEXT.entry(Called(0, "look", "{}", "x" * 10_000), 0)
    assert len(line) < 600
    assert line.endswith("...\n")
