"""The reader of caller files: it returns a record, or all mistakes of the file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from ..emulator.scenario import Condition, ConditionReader, read_document
from ..errors import ScenarioError
from .records import (
    DEFAULT_MAX_TURNS,
    DEFAULT_VOICE,
    CallerScript,
    Expectations,
    ExpectedCall,
    Moment,
    Persona,
    ScriptedTurn,
)

FILE_KEYS = (
    *("name", "scenario", "tools", "system", "greeting", "model", "voice"),
    *("turns", "caller", "expect", "judge"),
)
"""Keys of the file."""
TURN_KEYS = ("say", "play", "when", "expect")
"""Keys of a turn."""
MOMENT_KEYS = ("word", "silence_ms")
"""Keys of the moment at which a turn begins."""
WHOLE_KEYS = ("user", "assistant", "calls", "never")
"""Keys of what is expected of the whole conversation."""
EXPECT_KEYS = (*WHOLE_KEYS, "within_ms", "interrupted")
"""Keys of what is expected of a turn."""
NEVER_KEYS = ("assistant", "calls")
"""Keys of what must not occur."""
CALL_KEYS = ("tool", "arguments")
"""Keys of an expected call."""
PERSONA_KEYS = ("persona", "goal", "opening", "max_turns")
"""Keys of a simulated caller."""

MAX_TURNS = 100
"""Maximum number of turns of a simulated caller."""
MAX_WORD = 1000
"""Maximum number of the word at which a turn may begin."""

type Key = tuple[str | int, ...]


def load_caller(path: Path) -> CallerScript:
    """Return the caller in a file.

    Args:
        path: The file: TOML if its suffix is `.toml`, else YAML.

    Raises:
        ScenarioError: The file cannot be read or has mistakes; names the first one.
    """
    script, found = read_caller(path)
    if found:
        raise found[0]
    return script


def caller_mistakes(path: Path) -> list[ScenarioError]:
    """Return all mistakes of a file in their order; a single one if it cannot be read.

    Args:
        path: The file.
    """
    try:
        return read_caller(path)[1]
    except ScenarioError as error:
        return [error]


def read_caller(path: Path) -> tuple[CallerScript, list[ScenarioError]]:
    """Return the caller in a file, and its mistakes.

    Args:
        path: The file.

    Returns:
        The caller, which must not be used if there are mistakes, and the mistakes.

    Raises:
        ScenarioError: The file cannot be read, or is neither TOML nor YAML.
    """
    document = read_document(path)
    reader = _Reader(document)
    return reader.script(path, document.value), reader.mistakes


class _Reader(ConditionReader):
    """A reader of one document, with a method for each kind of value."""

    def script(self, path: Path, whole: Any) -> CallerScript:
        """Read the whole file."""
        self._folder = path.parent
        top = self.table((), whole, "a caller", FILE_KEYS)
        turns = self.items(("turns",), top.get("turns"), "a list of turns")
        if "turns" in top and "caller" in top:
            self.wrong(("caller",), "a file has `turns` or a simulated `caller`", key=True)
        elif not turns and "caller" not in top and not self.mistakes:
            self.wrong((), "a caller needs at least one turn", hint="Add `turns:`.")
        return CallerScript(
            name=self._optional_text(top, "name") or path.stem,
            path=path,
            turns=tuple(
                self._turn(("turns", i), turn, first=i == 0 and "greeting" not in top)
                for i, turn in enumerate(turns)
            ),
            persona=self._persona(top["caller"]) if "caller" in top else None,
            expect=self._expectations(("expect",), top.get("expect", {}), WHOLE_KEYS),
            judge=self.sentences(("judge",), top.get("judge")),
            scenario=self._file(("scenario",), top.get("scenario")),
            tools=self._file(("tools",), top.get("tools")),
            system=self._optional_text(top, "system"),
            greeting=self._optional_text(top, "greeting"),
            model=self._optional_text(top, "model"),
            voice=self._optional_text(top, "voice") or DEFAULT_VOICE,
        )

    def _optional_text(self, table: dict[str, Any], key: str, at: Key = ()) -> str:
        return self.text((*at, key), table[key]) if key in table else ""

    def _file(self, at: Key, value: Any) -> Path | None:
        """Read the path of a file, which must exist."""
        if value is None:
            return None
        name = self.text(at, value)
        path = self._folder / name
        if name and not _is_file(path):
            self.wrong(at, f"there is no file {path}", hint="Paths are relative to this file.")
        return path

    # Turns.

    def _turn(self, at: Key, value: Any, *, first: bool) -> ScriptedTurn:
        table = self.table(at, value, "a turn", TURN_KEYS, ("say", "play"))
        return ScriptedTurn(
            say=self._optional_text(table, "say", at),
            play=self._file((*at, "play"), table.get("play")),
            moment=self._moment((*at, "when"), table["when"], first=first)
            if "when" in table
            else Moment(),
            expect=self._expectations(
                (*at, "expect"), table.get("expect", {}), EXPECT_KEYS, first=first
            ),
        )

    def _moment(self, at: Key, value: Any, *, first: bool) -> Moment:
        table = self.table(at, value, "a moment", MOMENT_KEYS, MOMENT_KEYS)
        if len(table) > 1:
            self.wrong(at, "a moment is one of `word` and `silence_ms`")
        if "word" in table:
            if first:
                self.wrong((*at, "word"), "before the first turn there is no answer", key=True)
            return Moment(word=self._number((*at, "word"), table["word"], MAX_WORD))
        silence = table.get("silence_ms")
        return Moment(silence_ms=self.milliseconds((*at, "silence_ms"), silence))

    def _persona(self, value: Any) -> Persona:
        at: Key = ("caller",)
        table = self.table(at, value, "a simulated caller", PERSONA_KEYS, ("persona",), ("goal",))
        most = table.get("max_turns", DEFAULT_MAX_TURNS)
        return Persona(
            persona=self._optional_text(table, "persona", at),
            goal=self._optional_text(table, "goal", at),
            opening=self._optional_text(table, "opening", at),
            max_turns=self._number((*at, "max_turns"), most, MAX_TURNS),
        )

    def _number(self, at: Key, value: Any, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            self.wrong(at, f"expected a number from 1 to {most}, not {value!r}")
            return 1
        return value

    # What is expected.

    def _expectations(
        self, at: Key, value: Any, keys: Sequence[str], *, first: bool = False
    ) -> Expectations:
        table = self.table(at, value, "what is expected", keys)
        said = self._never_said((*at, "never"), table.get("never"))
        called: tuple[ExpectedCall, ...] = ()
        if isinstance(never := table.get("never"), dict):
            never = self.table((*at, "never"), never, "what must not occur", NEVER_KEYS)
            called = self._calls((*at, "never", "calls"), never.get("calls"))
        if first and table.get("interrupted") is True:
            self.wrong((*at, "interrupted"), "before the first turn there is no answer", key=True)
        return Expectations(
            texts=tuple(
                Condition(of, self.test((*at, of), table[of], words=True))
                for of in ("user", "assistant")
                if of in table
            ),
            calls=self._calls((*at, "calls"), table["calls"]) if "calls" in table else None,
            within_ms=self.milliseconds((*at, "within_ms"), table.get("within_ms"), least=1),
            interrupted=self.flag((*at, "interrupted"), table["interrupted"])
            if "interrupted" in table
            else None,
            never_said=said,
            never_called=called,
        )

    def _never_said(self, at: Key, value: Any) -> tuple[Condition, ...]:
        """Read words that must not be said; a condition each, so that the one is named."""
        if isinstance(value, dict):
            at, value = (*at, "assistant"), cast("dict[str, Any]", value).get("assistant")
        if value is None:
            return ()
        listed = cast("list[Any]", value) if isinstance(value, list) else [value]
        return tuple(
            Condition("assistant", self.test((*at, i) if listed is value else at, one, words=True))
            for i, one in enumerate(listed)
        )

    def _calls(self, at: Key, value: Any) -> tuple[ExpectedCall, ...]:
        calls = self.items(at, value, "a list of calls")
        return tuple(self._call((*at, i), call) for i, call in enumerate(calls))

    def _call(self, at: Key, value: Any) -> ExpectedCall:
        if isinstance(value, str):
            return ExpectedCall(self.text(at, value))
        table = self.table(at, value, "an expected call", CALL_KEYS, ("tool",))
        at_arguments = (*at, "arguments")
        arguments = self.mapping(at_arguments, table.get("arguments", {}), "arguments")
        return ExpectedCall(
            self._optional_text(table, "tool", at),
            tuple(
                Condition(f"arguments.{name}", self.test((*at_arguments, name), test, words=False))
                for name, test in arguments.items()
            ),
        )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a null byte in the name
        return False
