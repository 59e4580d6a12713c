"""A line of text that is being typed, the keys that edit it, and the lines that were typed before.

Pure: no clock, no terminal.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .key_decoder import Key, Paste

MAX_HISTORY = 100
"""Number of typed lines that are kept for Up; the oldest is dropped for another one."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A line that is being typed. The cursor is between `before` and `after`."""

    before: str = ""
    """Text before the cursor."""
    after: str = ""
    """Text after the cursor."""

    @property
    def text(self) -> str:
        """The whole line."""
        return self.before + self.after

    def press(self, key: Key) -> "Draft":
        """Return the line after a key was pressed or a text was pasted.

        Args:
            key: A key of `keys.keyboard`. A key without a meaning here leaves the line unchanged.
        """
        if isinstance(key, Paste):
            return Draft(self.before + key.text, self.after)
        if edit := _EDITS.get(key):
            return edit(self.before, self.after)
        return Draft(self.before + key, self.after) if len(key) == 1 else self


class LineEditor:
    """The line that is typed, with a history.

    Up and Down replace the line by one that was typed before, and back. What was typed or changed
    meanwhile is kept until a line is sent, so that Down returns to it.

    Attributes:
        draft: The line; None while nothing is typed and keys are commands.
    """

    def __init__(self) -> None:
        self.draft: Draft | None = None
        self._lines: deque[str] = deque(maxlen=MAX_HISTORY)
        self._back = 0
        """Number of lines from the shown line to the new one; 0 is the new line."""
        self._changed: dict[int, Draft] = {}
        """Lines as they were left by Up and Down, by how many lines back they are."""

    def open(self, text: str = "") -> None:
        """Begin a line.

        Args:
            text: Text that it has already.
        """
        self._back, self._changed = 0, {}
        self.draft = Draft(text)

    def press(self, key: Key) -> str:
        """Edit the line, or end it. To be called while there is a draft.

        Args:
            key: A key of `keys.keyboard`. Enter ends the line. Escape discards it; Up brings it
                back in the next one.

        Returns:
            The line to send; empty for none.
        """
        draft = self.draft or Draft()
        match key:
            case "Enter" | "Escape":
                return self._end(draft, sent=key == "Enter")
            case "Up":
                self._go(self._back + 1)
            case "Down":
                self._go(self._back - 1)
            case _:
                self.draft = draft.press(key)
        return ""

    def _end(self, draft: Draft, *, sent: bool) -> str:
        self.draft = None
        text = draft.text.strip()
        if text and (not self._lines or self._lines[-1] != text):
            self._lines.append(text)
        return text if sent else ""

    def _go(self, back: int) -> None:
        if not 0 <= back <= len(self._lines):
            return
        self._changed[self._back] = self.draft or Draft()
        self._back = back
        self.draft = self._changed.get(back) or Draft(self._lines[-back])


def _without_word(before: str) -> str:
    words = before.rstrip()
    return words[: max(words.rfind(space) for space in " \n\t") + 1]


_EDITS: dict[str, Callable[[str, str], Draft]] = {
    "Backspace": lambda before, after: Draft(before[:-1], after),
    "Delete": lambda before, after: Draft(before, after[1:]),
    "Left": lambda before, after: Draft(before[:-1], before[-1:] + after),
    "Right": lambda before, after: Draft(before + after[:1], after[1:]),
    "Home": lambda before, after: Draft("", before + after),
    "End": lambda before, after: Draft(before + after),
    "Ctrl-A": lambda before, after: Draft("", before + after),
    "Ctrl-E": lambda before, after: Draft(before + after),
    "Ctrl-K": lambda before, after: Draft(before),
    "Ctrl-U": lambda before, after: Draft("", after),
    "Ctrl-W": lambda before, after: Draft(_without_word(before), after),
}
"""Effect of each editing key on the text before and after the cursor."""
