"""A line of text as it is typed: what stands before the cursor and after it, and what keys do."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draft:
    """A line that is being typed. The cursor stands between `before` and `after`."""

    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """The whole line."""
        return self.before + self.after

    def press(self, key: str) -> "Draft":
        """The line after one key of `keys.keyboard`; one that means nothing here changes none."""
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
