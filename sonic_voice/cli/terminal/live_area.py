"""The live lines of a terminal: they are redrawn in place below the output that stays.

Between two drawings the cursor is hidden and stands at the start of the first live line, and each
drawing starts there. When the terminal becomes narrower and re-wraps its lines, the cursor moves
with its line. So no part of an old drawing remains and no earlier output is overwritten, which
would happen if we counted the lines to move up. Each line is erased just before it is written:
erasing all lines first would flicker, and tmux would put the erased screen into its history.

Only what has changed is written: of a line, the runs of changed characters. While the terminal has
not taken the last drawing, nothing is drawn; live lines are then skipped, and lines that stay wait,
up to `LINES_WAITING`. A terminal that is slow, or is not read at all, therefore shows fewer
drawings, and neither the conversation nor later output waits for long.
"""

from collections import deque
from contextlib import suppress
from itertools import islice

from rich.console import Console
from rich.text import Text

from ...printable import encoded
from ..standard_streams import BackgroundText
from .drawing import LiveView, live_lines, missing_lines

ERASE_LINE, ERASE_BELOW = "\r\x1b[2K", "\x1b[J"
"""Escape sequences that erase the cursor's line, and everything from the cursor on."""

ERASE_LIVE = f"{ERASE_LINE}\n{ERASE_BELOW}\x1b[A"
"""Escape sequence that erases the live lines. It erases the first line alone and then the lines
below: at the top of the screen, erasing from the cursor on would erase the whole screen."""

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
"""Escape sequences that hide and show the cursor."""

BEGIN_UPDATE, END_UPDATE = "\x1b[?2026h", "\x1b[?2026l"
"""Escape sequences around a drawing (synchronized output). Terminals that support them show the
drawing in one step; others ignore them."""

ONE_CELL = frozenset(map(chr, range(0x20, 0x7F))) | frozenset("█░●…")
"""Characters that take one cell in every terminal. A part of a line is written only if the line has
no others, because its column must be known."""

LINES_WAITING = 1000
"""Maximum number of lines that wait for a slow terminal. When it is exceeded, the oldest are
dropped and one line says how many: a person who reads at 2 KB/s is not helped by older ones."""

LINES_AT_ONCE = 100
"""Maximum number of lines that stay in one drawing. A terminal of 2 KB/s needs 4 s for them, during
which the live lines do not change."""

RUN_GAP = 8
"""Number of unchanged characters from which on two runs of changed ones are written separately.
Fewer take no more bytes than another escape sequence for the column."""

SMALL_CHANGE = 100
"""Size of a change, in characters, from which on it is enclosed in a synchronized update. A smaller
one is shown in one step anyway, and half of it would be the enclosure."""

SUSPEND_S = 0.5
"""Maximum time that a terminal has to take the last drawing before Ctrl-Z stops the program, in
seconds."""


class LiveArea:
    """The live lines, which begin at the cursor.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        console.file = self._out = console.file  # keeps the terminal while stdout is redirected
        self._console = console
        self._above: deque[Text] = deque()
        self._dropped = 0
        self._view: object = None
        self._size = console.size
        self._lines: list[Text] | None = None
        """The live lines on the terminal; None if they are unknown."""

    def draw(self, above: list[Text], view: LiveView) -> None:
        """Write lines permanently, and below them the live lines, unless nothing has changed.

        While the terminal is behind, only `above` is kept, for a later drawing.

        Args:
            above: Lines to write permanently.
            view: Contents of the live lines.
        """
        self._keep(above)
        if isinstance(self._out, BackgroundText) and self._out.behind:
            return
        size = self._console.size
        if not self._above and (view, size) == self._view:
            return
        resized, self._size = size != self._size, size
        self._view = (view, size)
        live = live_lines(self._console, view)
        if resized or self._above or self._lines is None or len(live) != len(self._lines):
            self._write(self._everything(live, LINES_AT_ONCE, resized=resized))
        else:
            self._write(self._changes(self._lines, live))
        self._lines = live

    def finish(self, above: list[Text]) -> None:
        """Write the lines that stay, and erase the live lines, also if the terminal is behind.

        Args:
            above: The last lines to write permanently.
        """
        self._keep(above)
        size, resized = self._console.size, self._console.size != self._size
        self._size = size
        if self._above:
            self._write(self._everything([], LINES_WAITING, resized=resized))
        self.clear()

    def clear(self) -> None:
        """Erase the live lines and show the cursor, as other programs expect."""
        self._view = self._lines = None
        self._write(f"{ERASE_LIVE}{SHOW_CURSOR}")

    def suspend(self) -> None:
        """Erase the live lines and show the cursor, and wait until the terminal has taken it."""
        self.clear()
        if isinstance(self._out, BackgroundText):
            self._out.wait(SUSPEND_S)

    def _keep(self, above: list[Text]) -> None:
        self._above.extend(above)
        while len(self._above) > LINES_WAITING:
            self._above.popleft()
            self._dropped += 1

    def _everything(self, live: list[Text], at_once: int, *, resized: bool) -> str:
        """Return what draws lines that stay, and all live lines."""
        above = [*islice(self._above, at_once)]
        for _ in above:
            self._above.popleft()
        if self._dropped:
            above = [*missing_lines(self._console, self._dropped), *above]
            self._dropped = 0
        lines = "".join(f"{ERASE_LINE}{self._rendered(line)}\n" for line in [*above, *live])
        erased = ERASE_LIVE if resized else ""  # re-wrapped lines take more rows
        up = f"\x1b[{len(live)}A" if live else ""
        return f"{BEGIN_UPDATE}{HIDE_CURSOR}{erased}{lines}{ERASE_BELOW}{up}{END_UPDATE}"

    def _changes(self, before: list[Text], after: list[Text]) -> str:
        """Return what turns live lines into as many others."""
        changes, row = "", 0
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            if change := self._change(old, new):
                changes += f"\x1b[{number - row}B" if number > row else ""
                changes += change
                row = number
        if not changes:
            return ""
        changes += f"\r\x1b[{row}A" if row else "\r"
        if len(changes) < SMALL_CHANGE:
            return changes
        return f"{BEGIN_UPDATE}{changes}{END_UPDATE}"

    def _change(self, old: Text, new: Text) -> str:
        """Return what turns a line into another one; empty if they look the same."""
        before, after = self._cells(old), self._cells(new)
        if before == after:
            return ""
        if not (ONE_CELL.issuperset(old.plain) and ONE_CELL.issuperset(new.plain)):
            return ERASE_LINE + self._rendered(new)
        change = "".join(
            f"\x1b[{begin + 1}G{self._rendered(new[begin:end])}"
            for begin, end in _changed_runs(before, after)
        )
        cut = f"\x1b[{len(after) + 1}G\x1b[K" if len(after) < len(before) else ""
        return change + cut

    def _cells(self, line: Text) -> list[tuple[str, object]]:
        """Return the characters of a line, each with its style."""
        segments = line.render(self._console)
        return [(character, segment.style) for segment in segments for character in segment.text]

    def _rendered(self, line: Text) -> str:
        with self._console.capture() as written:
            self._console.print(line, end="", no_wrap=True, crop=False, overflow="ignore")
        return written.get()

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal was closed; the signal for that ends the program
            self._out.write(encoded(text, self._console.encoding))
            self._out.flush()


def _changed_runs[Cell](before: list[Cell], after: list[Cell]) -> list[tuple[int, int]]:
    """Return the begin and the end of each run of cells in `after` that differ from `before`."""
    runs: list[tuple[int, int]] = []
    for at, cell in enumerate(after):
        if at < len(before) and before[at] == cell:
            continue
        if runs and at - runs[-1][1] < RUN_GAP:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs
