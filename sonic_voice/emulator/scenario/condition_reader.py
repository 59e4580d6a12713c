"""The reader of the tests in conditions: what a value must be.

A test is written as `scenario` describes it: words or values, or a mapping with `matches`, `like`
or `present`.
"""

import re
from typing import Any, cast

from .conditions import WORD_ERRORS, Like, Matches, OneOf, Present, Says, Test
from .located_yaml import Key
from .values import ValueReader

TEST_KEYS = ("matches", "like", "errors", "present")
"""Keys of a test that is not a plain value."""


class ConditionReader(ValueReader):
    """A reader of tests. A subclass may note the templates and variables in them."""

    def test(self, at: Key, value: Any, *, words: bool) -> Test:
        """Read a test.

        Args:
            at: Path of the value.
            value: The value.
            words: Whether the test is of a text, in which words must occur.
        """
        if isinstance(value, dict):
            return self._written_test(at, cast("dict[str, Any]", value))
        if not value and (value is None or isinstance(value, list)) and words:
            self.wrong(at, "expected words")
        if words:
            return Says(self.said(at, value))
        values = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float | None) for one in values):
            self.wrong(at, f"expected a value or a list of values, not {value!r}")
        self.template(at, values)
        return OneOf(tuple(values))

    def said(self, at: Key, value: Any) -> tuple[str, ...]:
        """Read sentences, which may be templates.

        Args:
            at: Path of the value.
            value: The value.
        """
        found = self.sentences(at, value)
        for i, sentence in enumerate(found):
            self.template((*at, i) if isinstance(value, list) else at, sentence)
        return found

    def template(self, at: Key, template: Any) -> None:
        """Note a template. Does nothing here.

        Args:
            at: Path of the template.
            template: A text, or lists and mappings of texts.
        """

    def variable(self, at: Key, name: str) -> None:
        """Note a variable that a pattern sets. Does nothing here.

        Args:
            at: Path of the pattern.
            name: Name of the variable.
        """

    def _written_test(self, at: Key, value: dict[str, Any]) -> Test:
        table = self.table(at, value, "a condition", TEST_KEYS, ("matches", "like", "present"))
        if len(table.keys() - {"errors"}) > 1:
            self.wrong(at, "a condition is one of `matches`, `like` and `present`")
        if "errors" in table and "like" not in table:
            self.wrong((*at, "errors"), "`errors` goes with `like`", key=True)
        if "like" in table:
            errors = self.share((*at, "errors"), table.get("errors", WORD_ERRORS))
            text = self.text((*at, "like"), table["like"])
            self.template((*at, "like"), text)
            return Like(text, errors)
        if "matches" in table:
            return self._pattern((*at, "matches"), table["matches"])
        return Present(self.flag((*at, "present"), table.get("present", True)))

    def _pattern(self, at: Key, value: Any) -> Matches:
        text = self.text(at, value)
        try:
            pattern = re.compile(text, re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            self.wrong(at, f"this is no regular expression: {error}")
            return Matches(re.compile(""))
        for name in pattern.groupindex:
            self.variable(at, name)
        return Matches(pattern)
