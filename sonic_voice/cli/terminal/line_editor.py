"""A line of text that is being typed, and the keys that edit it."""

from collections.abc import Callable
from dataclasses import dataclass


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

    def press(self, key: str) -> "Draft":
        """Return the line after a key was pressed.

        Args:
            key: A key of `keys.keyboard`. A key without a meaning here leaves the line unchanged.
        """
        if edit := _EDITS.get(key):
            return edit(self.before, self.after)
        return Draft(self.before + key, self.after) if len(key) == 1 else self


def _without_word(before: str) -> str:
    return before[: before.rstrip().rfind(" ") + 1]


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
