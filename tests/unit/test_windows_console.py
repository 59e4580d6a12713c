"""Keys of a Windows console: a fake of the C library with its queue and its push-back buffer."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.cli.terminal.windows_console import waiting_keys

CODES = {"Up": "H", "Down": "P", "Left": "K", "Right": "M", "Home": "G", "End": "O", "Delete": "S"}


class WouldBlock(Exception):
    """`getwch` was called although no key was pressed."""


class FakeConsole:
    """The console functions of the C library.

    A pressed key is one event: a character, or a key without one, which `getwch` returns as two.
    The second one waits in the push-back buffer, which `kbhit` does not look at.
    """

    def __init__(self, *events: str) -> None:
        self._events = deque(events)
        self._pushed_back = ""

    def kbhit(self) -> bool:
        return bool(self._events)

    def getwch(self) -> str:
        if self._pushed_back:
            character, self._pushed_back = self._pushed_back, ""
            return character
        if not self._events:
            raise WouldBlock
        event = self._events.popleft()
        if event in CODES:
            self._pushed_back = CODES[event]
            return "\xe0"
        if event == "F1":
            self._pushed_back = ";"
            return "\0"
        return event

    def ungetwch(self, character: str, /) -> None:
        if self._pushed_back:
            raise OSError
        self._pushed_back = character


@pytest.mark.parametrize(
    ("events", "keys"),
    [
        (["\xe0"], ["à"]),
        (["\xe0", "H"], ["à", "H"]),
        (["Up", "\xe0", "Up"], ["Up", "à", "Up"]),
        (["F1", "m"], ["m"]),
        (["\r", "\x1b", "\b", "\x15"], ["Enter", "Escape", "Backspace", "Ctrl-U"]),
    ],
)
def test_events_are_keys(events: list[str], keys: list[str]) -> None:
    assert list(waiting_keys(FakeConsole(*events))) == keys


@given(st.lists(st.sampled_from([*CODES, "F1", "à", "H", "P", "x", "ü"])))
def test_no_order_of_keys_blocks_or_changes_one(events: list[str]) -> None:
    keys = list(waiting_keys(FakeConsole(*events)))
    assert keys == [event for event in events if event != "F1"]
