"""The line that is typed, and its history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.cli.terminal.key_decoder import Key, Paste
from sonic_voice.cli.terminal.line_editor import Draft, LineEditor


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["Left", "x"], "one twx|o"),
        (["Home", "x", "Right"], "xo|ne two"),
        (["Home", "Left", "Backspace"], "|one two"),
        (["End", "Right", "Delete"], "one two|"),
        (["Left", "Backspace", "Delete"], "one t|"),
        (["Ctrl-W"], "one |"),
        (["Ctrl-W", "Ctrl-W"], "|"),
        (["Left", "Left", "Ctrl-U"], "|wo"),
        (["Left", "Left", "Ctrl-K"], "one t|"),
        (["Up", "Ctrl-B"], "one two|"),
    ],
)
def test_a_line_is_edited_as_everywhere(keys: list[str], line: str) -> None:
    draft = Draft()
    for key in [*"one two", *keys]:
        draft = draft.press(key)
    assert f"{draft.before}|{draft.after}" == line
    assert draft.text == line.replace("|", "")


def typed(editor: LineEditor, *keys: Key) -> str:
    """Press keys in a line that is begun if none is; return what the last one sent."""
    if editor.draft is None:
        editor.open()
    return [editor.press(key) for key in keys][-1]


def line(editor: LineEditor) -> str:
    assert editor.draft is not None
    return editor.draft.text


def test_a_pasted_text_stands_at_the_cursor_and_is_sent_as_one() -> None:
    editor = LineEditor()
    assert typed(editor, "a", "d", "Left", Paste("b\nc\n"), "Enter") == "ab\nc\nd"
    assert editor.draft is None


def test_up_brings_back_what_was_typed_and_down_the_draft() -> None:
    editor = LineEditor()
    typed(editor, *"one", "Enter")
    typed(editor, *"two", "Enter")
    typed(editor, *"dra", "Up")
    assert line(editor) == "two"
    typed(editor, "Up", "Up", "Up")
    assert line(editor) == "one"
    typed(editor, "Down", "Down", "Down")
    assert line(editor) == "dra"
    assert typed(editor, "f", "t", "Enter") == "draft"


def test_a_line_that_was_changed_is_kept_until_one_is_sent() -> None:
    editor = LineEditor()
    typed(editor, *"one", "Enter")
    typed(editor, "Up", "!", "Down", *"new", "Up")
    assert line(editor) == "one!"
    assert typed(editor, "Enter") == "one!"
    typed(editor, "Up", "Up")
    assert line(editor) == "one"


def test_a_discarded_line_can_be_brought_back() -> None:
    editor = LineEditor()
    assert typed(editor, *"by mistake", "Escape") == ""
    assert editor.draft is None
    assert typed(editor, "Up", "Enter") == "by mistake"


def test_blank_and_repeated_lines_are_not_kept() -> None:
    editor = LineEditor()
    typed(editor, "a", "Enter")
    typed(editor, " ", "Enter")
    typed(editor, "a", "Enter")
    typed(editor, "Up", "Up")
    assert line(editor) == "a"
    typed(editor, "Down")
    assert line(editor) == ""


@given(st.lists(st.sampled_from(["Up", "Down", "a", "b", "Backspace", "Left", "Ctrl-W"])))
def test_no_order_of_keys_loses_the_draft(keys: list[str]) -> None:
    """A draft that is left by Up is found again by as many Downs as there are lines."""
    editor = LineEditor()
    for text in ("one", "two", "three"):
        typed(editor, *text, "Enter")
    editor.open("draft")
    expected, back = Draft("draft"), 0
    for key in keys:
        editor.press(key)
        if key in ("Up", "Down"):
            back = min(3, max(0, back + (1 if key == "Up" else -1)))
        elif back == 0:
            expected = expected.press(key)
    for _ in range(3):
        editor.press("Down")
    assert editor.draft == expected
