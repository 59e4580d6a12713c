"""Keys made of a terminal's bytes, and the line that is typed with them."""

import pytest

from sonic_voice.cli.terminal.keys import KeyDecoder
from sonic_voice.cli.terminal.line_editor import Draft


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"mp ?", ["m", "p", " ", "?"]),
        (b"\r\n", ["Enter", "Enter"]),
        (b"\x1b", ["Escape"]),
        (b"\x7f\x08", ["Backspace", "Backspace"]),
        (b"\x1b[A\x1b[D\x1bOC", ["Up", "Left", "Right"]),
        (b"\x1b[3~\x1b[H\x1b[4~", ["Delete", "Home", "End"]),
        (b"\x01\x15\x17", ["Ctrl-A", "Ctrl-U", "Ctrl-W"]),
        ("grüße 你".encode(), list("grüße 你")),
    ],
)
def test_bytes_are_keys(typed: bytes, keys: list[str]) -> None:
    assert KeyDecoder().feed(typed) == keys


@pytest.mark.parametrize("typed", [b"\x1b[15~", b"\x1b[1;5C", b"\x1bq", b"\x1b[?1;2c", b"\x00"])
def test_a_sequence_of_no_key_is_swallowed_whole_and_commands_nothing(typed: bytes) -> None:
    assert KeyDecoder().feed(typed + b"x") == ["x"]


def test_a_character_may_come_in_pieces() -> None:
    keys = KeyDecoder()
    assert keys.feed("ü".encode()[:1]) == []
    assert keys.feed("ü".encode()[1:]) == ["ü"]


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
