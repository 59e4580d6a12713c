"""The live lines of a terminal: they are redrawn in place below the output that stays.

Between two drawings the cursor is hidden and stands at the start of the first live line, and each
drawing starts there. When the terminal becomes narrower and re-wraps its lines, the cursor moves
with its line. So no part of an old drawing remains and no earlier output is overwritten, which
would happen if we counted the lines to move up. Each line is erased just before it is written:
erasing all lines first would flicker, and tmux would put the erased screen into its history.
"""

from contextlib import suppress

from rich.console import Console
from rich.text import Text

from .drawing import LiveView, live_lines

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

ASCII = str.maketrans("█░●…", "#-*.")
"""Replacements for characters that a terminal without UTF-8 cannot show."""


class LiveArea:
    """The live lines, which begin at the cursor.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        console.file = self._out = console.file  # keeps the terminal while stdout is redirected
        self._console = console
        self._drawn: object = None
        self._size = console.size

    def draw(self, above: list[Text], view: LiveView | None) -> None:
        """Write lines permanently, and below them the live lines, unless nothing has changed.

        Args:
            above: Lines to write permanently.
            view: Contents of the live lines; None for none.
        """
        size = self._console.size
        if not above and (view, size) == self._drawn:
            return
        erased = "" if size == self._size else ERASE_LIVE  # re-wrapped lines take more rows
        self._drawn, self._size = (view, size), size
        live = live_lines(self._console, view) if view else []
        with self._console.capture() as written:
            for line in [*above, *live]:
                self._console.print(line, no_wrap=True)
        lines = "".join(ERASE_LINE + line for line in written.get().splitlines(keepends=True))
        back = f"\x1b[{len(live)}A" if live else ""
        self._write(f"{BEGIN_UPDATE}{HIDE_CURSOR}{erased}{lines}{ERASE_BELOW}{back}{END_UPDATE}")

    def clear(self) -> None:
        """Erase the live lines and show the cursor, as other programs expect."""
        self._drawn = None
        self._write(f"{ERASE_LIVE}{SHOW_CURSOR}")

    def _write(self, text: str) -> None:
        encoding = self._console.encoding
        if not encoding.startswith("utf"):
            text = text.translate(ASCII)
        with suppress(OSError):  # the terminal was closed; the signal for that ends the program
            self._out.write(text.encode(encoding, "replace").decode(encoding))
            self._out.flush()
