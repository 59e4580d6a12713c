"""Readers of the values of a document, which note each mistake with its position.

Every reader returns a value of its type, so that reading continues after a mistake. A result must
not be used if `mistakes` is not empty.
"""

import difflib
import json
from collections.abc import Sequence
from typing import Any, cast

from ...errors import ScenarioError
from .located_yaml import Key, LocatedDocument


class ValueReader:
    """A reader of the plain values of one document."""

    def __init__(self, document: LocatedDocument) -> None:
        self._document = document
        self._mistakes: list[ScenarioError] = []

    @property
    def mistakes(self) -> list[ScenarioError]:
        """All mistakes so far, in the order of the file."""
        return sorted(self._mistakes, key=lambda mistake: (mistake.line, mistake.column))

    def wrong(self, at: Key, message: str, *, hint: str = "", key: bool = False) -> None:
        """Note a mistake.

        Args:
            at: Path of the value.
            message: What is wrong, without a full stop.
            hint: What to do about it.
            key: Whether the position is that of the key, not of the value.
        """
        line, column = self._document.position_of(at, key=key)
        mistake = ScenarioError(
            f"{message}.", path=self._document.path, line=line, column=column, hint=hint
        )
        self._mistakes.append(mistake)

    def table(
        self, at: Key, value: Any, what: str, keys: Sequence[str], *needs: Sequence[str]
    ) -> dict[str, Any]:
        """Read a mapping with known keys.

        Args:
            at: Path of the value.
            value: The value.
            what: What the mapping is, for messages.
            keys: The keys that it may have.
            needs: Groups of keys, of each of which it must have at least one.

        Returns:
            The known keys with their values.
        """
        if not isinstance(value, dict):
            self.wrong(at, f"{what} is a mapping with the keys {', '.join(keys)}")
            return {}
        table = cast("dict[str, Any]", value)
        unknown = [key for key in table if key not in keys]
        for key in unknown:
            hint = suggestion(key, keys) or f"Keys are {', '.join(keys)}."
            self.wrong((*at, key), f"{what} has no key `{key}`", hint=hint, key=True)
        for one_of in needs:  # an unknown key is probably a misspelling of the missing one
            if not (unknown or table.keys() & set(one_of)):
                self.wrong(at, f"{what} needs {' or '.join(f'`{key}`' for key in one_of)}")
        return {key: value for key, value in table.items() if key in keys}

    def mapping(self, at: Key, value: Any, what: str) -> dict[str, Any]:
        """Read a mapping from any names to JSON values.

        Args:
            at: Path of the value.
            value: The value.
            what: What the mapping is, for messages.
        """
        if not isinstance(value, dict):
            self.wrong(at, f"{what} must be a mapping of names to values")
            return {}
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            self.wrong(at, f"{what} must be JSON: {error}")
        return cast("dict[str, Any]", value)

    def sentences(self, at: Key, value: Any) -> tuple[str, ...]:
        """Read a text or a list of texts; nothing is an empty list.

        Args:
            at: Path of the value.
            value: The value.
        """
        if not isinstance(value, list | dict | None):
            return (self.text(at, value),)
        items = self.items(at, value, "a sentence or a list of sentences")
        return tuple(self.text((*at, i), item) for i, item in enumerate(items))

    def items(self, at: Key, value: Any, what: str) -> list[Any]:
        """Read a list; nothing is an empty list.

        Args:
            at: Path of the value.
            value: The value.
            what: What the list is, for messages.
        """
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(at, f"expected {what}")
            return []
        return cast("list[Any]", value)

    def text(self, at: Key, value: Any) -> str:
        """Read a text that is not blank.

        Args:
            at: Path of the value.
            value: The value.
        """
        if not isinstance(value, str) or not value.strip():
            self.wrong(at, f"expected a text, not {value!r}", hint="Quote it.")
            return ""
        return value

    def any_text(self, at: Key, value: Any) -> str:
        """Read a text that may be empty.

        Args:
            at: Path of the value.
            value: The value.
        """
        return "" if value == "" else self.text(at, value)

    def flag(self, at: Key, value: Any) -> bool:
        """Read true or false.

        Args:
            at: Path of the value.
            value: The value.
        """
        if not isinstance(value, bool):
            self.wrong(at, f"expected true or false, not {value!r}")
            return False
        return value

    def milliseconds(self, at: Key, value: Any, *, least: int = 0) -> int | None:
        """Read a duration of at most 60,000 ms, or nothing.

        Args:
            at: Path of the value.
            value: The value.
            least: Minimum, in milliseconds.
        """
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 60_000:
            self.wrong(at, f"expected {least} to 60000 milliseconds, not {value!r}")
            return None
        return value

    def share(self, at: Key, value: Any) -> float:
        """Read a number from 0 to 1.

        Args:
            at: Path of the value.
            value: The value.
        """
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            self.wrong(at, f"expected a number from 0 to 1, not {value!r}")
            return 0.0
        return value

    def one_of(self, at: Key, value: Any, names: Sequence[str]) -> str:
        """Read one of several names.

        Args:
            at: Path of the value.
            value: The value.
            names: The names that are allowed.

        Returns:
            The name; the first of `names` after a mistake.
        """
        if value not in names:
            hint = suggestion(value, names)
            self.wrong(at, f"{value!r} is none of {', '.join(names)}", hint=hint)
            return names[0]
        return cast("str", value)


def suggestion(name: object, names: Sequence[str]) -> str:
    """Return a hint that names what was probably meant.

    Args:
        name: What was written.
        names: What is allowed.

    Returns:
        A question, or an empty string if nothing is similar.
    """
    found = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    return f"Did you mean `{found[0]}`?" if found else ""
