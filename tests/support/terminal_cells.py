"""A terminal of cells that obeys the escape sequences of the screen; any other is an error."""

import re

from rich.cells import cell_len
from rich.text import Text

_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]")


class TerminalCells:
    """The cells of a terminal, and the lines that have scrolled out at its top.

    It behaves like xterm: a character in the last column leaves the cursor there, and the next one
    wraps. It does not re-wrap lines, so that its size is fixed.

    Args:
        width: Number of columns.
        height: Number of rows.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.scrolled: list[str] = []
        """Lines above the first row, with the escape sequences of their styles."""
        self.cursor_shown = True
        self._rows: list[list[tuple[str, str]]] = [[] for _ in range(height)]
        self._row = self._column = 0
        self._wraps = False
        self._style = ""

    def feed(self, output: str) -> None:
        """Write to the terminal."""
        at = 0
        while at < len(output):
            token = _TOKEN.match(output, at)
            assert token, repr(output[at : at + 10])
            at = token.end()
            if token[2]:
                self._obey(token[1], token[2])
            elif token[0] == "\r":
                self._column, self._wraps = 0, False
            elif token[0] == "\n":
                self._column, self._wraps = 0, False
                self._down()
            else:
                self._put(token[0])

    @property
    def lines(self) -> list[str]:
        """All lines to the last one with text, without styles."""
        lines = [plain(line).rstrip() for line in self.styled]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def styled(self) -> list[str]:
        """All lines, with the escape sequences of their styles."""
        return self.scrolled + [self._line(row) for row in self._rows]

    @property
    def texts(self) -> list[Text]:
        """All lines to the last one with text, with their styles."""
        return [Text.from_ansi(line) for line in self.styled[: len(self.lines)]]

    def _line(self, row: list[tuple[str, str]]) -> str:
        line, style = "", ""
        for text, wanted in row:
            if wanted != style:
                line += f"\x1b[0m{wanted}"
                style = wanted
            line += text
        return line + ("\x1b[0m" if style else "")

    def _put(self, character: str) -> None:
        cells = cell_len(character)
        row = self._rows[self._row]
        if cells == 0:
            last = self._column if self._wraps else self._column - 1
            if 0 <= last < len(row):
                text, style = row[last]
                row[last] = (text + character, style)
            return
        if self._wraps or self._column + cells > self.width:
            self._column, self._wraps = 0, False
            self._down()
            row = self._rows[self._row]
        row += [(" ", "")] * (self._column + cells - len(row))
        row[self._column] = (character, self._style)
        if cells == 2:
            row[self._column + 1] = ("", self._style)
        self._column += cells
        if self._column == self.width:
            self._column, self._wraps = self.width - 1, True

    def _down(self) -> None:
        if self._row < self.height - 1:
            self._row += 1
        else:
            self.scrolled.append(self._line(self._rows.pop(0)))
            self._rows.append([])

    def _obey(self, arguments: str, command: str) -> None:
        if command not in "mhl":
            self._wraps = False
        number = int(arguments) if arguments.isdigit() else 1
        match command:
            case "A":
                self._row = max(0, self._row - number)
            case "B":
                self._row = min(self.height - 1, self._row + number)
            case "G":
                self._column = min(self.width, number) - 1
            case "K":
                begin = 0 if arguments == "2" else self._column
                del self._rows[self._row][begin:]
            case "J":
                del self._rows[self._row][self._column :]
                for row in self._rows[self._row + 1 :]:
                    row.clear()
            case "m":
                plain_style = arguments in ("", "0")
                self._style = "" if plain_style else f"{self._style}\x1b[{arguments}m"
            case "h" | "l":
                if arguments == "?25":
                    self.cursor_shown = command == "h"
            case _:
                raise AssertionError(command)


def plain(line: str) -> str:
    """The line without escape sequences."""
    return re.sub(r"\x1b\[[\d;]*m", "", line)
