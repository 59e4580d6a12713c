"""The live lines on a terminal: what is on it after any drawings, and how little is written."""

import io
from dataclasses import replace
from typing import IO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from sonic_voice.audio.mute import Gate
from sonic_voice.cli.output_thread import OutputThread
from sonic_voice.cli.standard_streams import BackgroundText
from sonic_voice.cli.terminal.drawing import LiveView, live_lines
from sonic_voice.cli.terminal.line_editor import Draft
from sonic_voice.cli.terminal.live_area import LINES_WAITING, LiveArea
from sonic_voice.cli.terminal.scene import ShownTurn

from ..support.terminal_cells import TerminalCells, plain
from .test_screen_drawing import VIEW

WIDTH, HEIGHT = 40, 12


class Reader:
    """A terminal of cells with live lines on it."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=True, width=WIDTH, height=HEIGHT)
        self.area = LiveArea(self.console)
        self.cells = TerminalCells(WIDTH, HEIGHT)

    def look(self) -> str:
        """What was written since the last look; it is on the terminal then."""
        written = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        self.cells.feed(written)
        return written


WORDS = st.sampled_from(["ab", "word", "word2", "你好", "e\u0301", "👩", "ß", "█░"])
TEXTS = st.lists(WORDS, max_size=14).map(" ".join)
TURNS = st.builds(ShownTurn, st.just(1), TEXTS, st.booleans(), st.just(()), TEXTS, TEXTS,
                  st.booleans())  # fmt: skip
LEVELS = st.integers(0, 20)
VIEWS = st.builds(
    LiveView,
    turns=st.lists(TURNS, max_size=2).map(tuple),
    activity=st.sampled_from(["listening", "speaking", "thinking", "tool 你好"]),
    gate=st.sampled_from(Gate),
    levels=st.none() | st.tuples(LEVELS, LEVELS),
    latest=st.none(),
    tokens=st.integers(0, 2000),
    cost_usd=st.just(0.0),
    notice=st.just("") | TEXTS,
    draft=st.none() | st.builds(Draft, TEXTS, TEXTS),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.lists(TEXTS.map(lambda text: text[:20]), max_size=3), VIEWS), max_size=5)
)
def test_after_any_drawings_the_terminal_has_what_stays_and_the_newest_live_lines(
    drawings: list[tuple[list[str], LiveView]],
) -> None:
    reader, stays = Reader(), list[str]()
    for above, view in drawings:
        reader.area.draw([Text(line) for line in above], view)
        reader.look()
        stays += above
        live = live_lines(reader.console, view)
        expected = [line.rstrip() for line in (*stays, *(line.plain for line in live))]
        while expected and not expected[-1]:
            expected.pop()
        assert reader.cells.lines == expected
        fresh = TerminalCells(WIDTH, HEIGHT)
        for line in live:
            with reader.console.capture() as rendered:
                reader.console.print(line, end="")
            fresh.feed(rendered.get() + "\n")
        shown = len(fresh.lines)
        begin = len(reader.cells.lines) - shown
        assert reader.cells.styled[begin : begin + shown] == fresh.styled[:shown]


def test_at_the_end_only_what_stays_is_on_the_terminal_with_its_cursor() -> None:
    reader = Reader()
    reader.area.draw([Text("first")], VIEW)
    reader.area.finish([Text("last")])
    reader.look()
    assert reader.cells.lines == ["first", "last"]
    assert reader.cells.cursor_shown


def test_of_a_changed_meter_only_its_changed_cells_are_written() -> None:
    reader = Reader()
    reader.area.draw([], VIEW)
    reader.look()
    reader.area.draw([], replace(VIEW, levels=(16, 6)))
    written = reader.look()
    assert len(written.encode()) < 60
    assert "speaking" not in written
    reader.area.draw([], VIEW)
    assert len(reader.look().encode()) < 60


def test_a_change_that_is_too_small_to_see_writes_nothing() -> None:
    reader = Reader()
    reader.area.draw([], replace(VIEW, levels=(12, 6)))
    reader.look()
    reader.area.draw([], replace(VIEW, levels=(13, 6)))
    assert reader.look() == ""


def test_while_the_terminal_is_behind_live_lines_are_skipped_and_what_stays_waits() -> None:
    reader, out = Reader(), Behind()
    reader.console.file = cast(IO[str], out)
    area = LiveArea(reader.console)
    area.draw([], VIEW)
    out.stopped = True
    for number in range(3):
        area.draw([Text(f"line {number}")], replace(VIEW, levels=(number, 0)))
    out.stopped = False
    assert out.written.count("line") == 0
    area.draw([], replace(VIEW, levels=(20, 0)))
    reader.cells.feed(out.written)
    assert reader.cells.lines[:3] == ["line 0", "line 1", "line 2"]
    assert "mic ██████" in plain("\n".join(reader.cells.lines))


def test_for_a_terminal_that_is_never_read_a_bounded_number_of_lines_waits() -> None:
    reader, out = Reader(), Behind()
    reader.console.file = cast(IO[str], out)
    area = LiveArea(reader.console)
    out.stopped = True
    for number in range(LINES_WAITING + 5):
        area.draw([Text(f"line {number}.")], VIEW)
    out.stopped = False
    area.finish([])
    assert "5 lines are missing here" in out.written
    assert "line 4." not in out.written
    assert "line 5." in out.written
    assert f"line {LINES_WAITING + 4}." in out.written


class Behind(BackgroundText):
    """A terminal whose reader is stopped by hand."""

    def __init__(self) -> None:
        self.written = ""
        self.stopped = False
        self.thread = OutputThread("unused")

    @property
    def behind(self) -> bool:
        return self.stopped

    @property
    def encoding(self) -> str:
        return "utf-8"

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.written += text
        return len(text)


@pytest.mark.parametrize("text", ["", "a", "é"])
def test_a_line_that_becomes_shorter_leaves_nothing_behind(text: str) -> None:
    reader = Reader()
    reader.area.draw([], replace(VIEW, notice="a longer notice"))
    reader.area.draw([], replace(VIEW, notice=text or "n"))
    reader.look()
    assert (text or "n") in reader.cells.lines
