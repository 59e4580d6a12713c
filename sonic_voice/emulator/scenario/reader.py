"""The reader of scenario files: it returns records, or all mistakes of the file.

A file is judged as a whole: first its keys and values, then what only the whole file shows: that
every `goto` names a step, every placeholder a variable, and that every step can be reached.
"""

import wave
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from ...errors import ScenarioError
from .condition_reader import ConditionReader
from .conditions import Condition
from .located_yaml import Key, LocatedDocument, parse_document, read_document_text
from .records import (
    END,
    EXCEPTIONS,
    LAST_WORDS,
    Branch,
    BreakKind,
    Recording,
    Scenario,
    ScenarioCall,
    ScenarioStep,
    StreamException,
)
from .step_graph import reachable_steps
from .templates import NAME, PATH, names_in
from .values import suggestion

FILE_KEYS = ("name", "set", "steps", "loop", "otherwise", "endpoint_ms", "voice")
"""Keys of the file."""
ANSWER_KEYS = ("say", "call", "wav", "delay_ms", "error", "break", "set", "goto")
"""Keys of an answer."""
STEP_KEYS = ("name", "user", "expect", "else", "when", *ANSWER_KEYS)
"""Keys of a step."""
RESULT_KEYS = ("say", "delay_ms", "set", "goto")
"""Keys of an answer to a tool's result, which may be silence."""
CALL_KEYS = ("tool", "arguments", "meanwhile", "then", "expect", "else", "when", *RESULT_KEYS[1:])
"""Keys of a tool call."""
EXCEPTION_KEYS = ("code", "message")
"""Keys of an exception."""
_ANSWER_KINDS = ("say", "call", "error", "break")
"""Keys of which an answer has at least one."""

_RESERVED = ("user", "result")
"""Names that no variable may have."""


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file.

    Args:
        path: The file: TOML if its suffix is `.toml`, else YAML.

    Raises:
        ScenarioError: The file cannot be read or has mistakes; names the first one.
    """
    return parse_scenario(read_document_text(path), path)


def parse_scenario(text: str, path: Path) -> Scenario:
    """Return the scenario in a text.

    Args:
        text: The text of the file.
        path: Its name, for errors; paths of WAV files are relative to its folder.

    Raises:
        ScenarioError: The text has mistakes; names the first one.
    """
    scenario, found = read_scenario(text, path)
    if found:
        raise found[0]
    return scenario


def read_scenario(text: str, path: Path) -> tuple[Scenario, list[ScenarioError]]:
    """Return the scenario in a text, and its mistakes.

    Args:
        text: The text of the file.
        path: Its name, for errors; paths of WAV files are relative to its folder.

    Returns:
        The scenario, which must not be used if there are mistakes, and the mistakes.

    Raises:
        ScenarioError: The text is neither TOML nor YAML.
    """
    document = parse_document(text, path)
    reader = _Reader(document, path)
    return reader.scenario(), reader.mistakes


def mistakes(path: Path) -> list[ScenarioError]:
    """Return all mistakes of a file in their order; a single one if it cannot be read.

    Args:
        path: The file.
    """
    try:
        return read_scenario(read_document_text(path), path)[1]
    except ScenarioError as error:
        return [error]


class _Reader(ConditionReader):
    """A reader of one document, with a method for each kind of value."""

    def __init__(self, document: LocatedDocument, path: Path) -> None:
        super().__init__(document)
        self._whole = document.value
        self._path = path
        self._variables: set[str] = set()
        self._placeholders: list[tuple[Key, str]] = []
        self._gotos: list[tuple[Key, str]] = []

    def scenario(self) -> Scenario:
        """Read the whole file."""
        top = self.table((), self._whole, "a scenario", FILE_KEYS)
        listed = self.items(("steps",), top.get("steps"), "a list of steps")
        if not listed and not self.mistakes:
            self.wrong((), "a scenario needs at least one step", hint="Add `steps:`.")
        scenario = Scenario(
            name=self.text(("name",), top.get("name", self._path.stem)),
            steps=tuple(self._step(("steps", i), step) for i, step in enumerate(listed)),
            loop=self.flag(("loop",), top.get("loop", False)),
            otherwise=self.said(("otherwise",), top.get("otherwise", LAST_WORDS)),
            endpoint_ms=self.milliseconds(("endpoint_ms",), top.get("endpoint_ms"), least=32),
            voice=self.text(("voice",), top["voice"]) if "voice" in top else None,
            assign=self._assign(("set",), top.get("set", {})),
        )
        if any(names_in(dict(scenario.assign))):
            self.wrong(("set",), "placeholders have no value before the first utterance")
        self._check_names(scenario)
        if not self.mistakes:
            self._check_reachability(scenario)
        return scenario

    # Steps and answers.

    def _step(self, at: Key, value: Any) -> ScenarioStep:
        table = self.table(at, value, "a step", STEP_KEYS, ("user",), _ANSWER_KINDS)
        user = self.any_text((*at, "user"), table.get("user", ""))
        return replace(
            self._answer(at, table, user),
            name=self._step_name((*at, "name"), table["name"]) if "name" in table else "",
            **self._choice(at, table, user, ANSWER_KEYS),
        )

    def _step_name(self, at: Key, value: Any) -> str:
        name = self.text(at, value)
        if name == END:
            self.wrong(
                at,
                f"`{END}` is reserved for the end in `goto`",
                hint="Choose another name.",
            )
        return name

    def _choice(
        self, at: Key, table: Mapping[str, Any], user: str, keys: tuple[str, ...]
    ) -> dict[str, Any]:
        """Read the conditions of a step or a call, and the answers that depend on them."""
        found: dict[str, Any] = {}
        if "expect" in table:
            found["expect"] = self._conditions((*at, "expect"), table["expect"])
        if "else" in table:
            if "expect" not in table:
                self.wrong((*at, "else"), "an `else` goes with an `expect`", key=True)
            found["fallback"] = self._else((*at, "else"), table["else"], user, keys)
        if "when" in table:
            at = (*at, "when")
            branches = self.items(at, table["when"], "a list of answers, each with an `if`")
            found["when"] = tuple(
                self._branch((*at, i), branch, user, keys) for i, branch in enumerate(branches)
            )
        return found

    def _else(self, at: Key, value: Any, user: str, keys: tuple[str, ...]) -> ScenarioStep:
        if isinstance(value, str | list):
            return ScenarioStep(user, self.said(at, value))
        return self._answer(
            at, self.table(at, value, "an answer", keys, *_required_kinds(keys)), user
        )

    def _branch(self, at: Key, value: Any, user: str, keys: tuple[str, ...]) -> Branch:
        needs = (("if",), *_required_kinds(keys))
        table = self.table(at, value, "an answer under `when`", ("if", *keys), *needs)
        conditions = self._conditions((*at, "if"), table["if"]) if "if" in table else ()
        return Branch(conditions, self._answer(at, table, user))

    def _answer(self, at: Key, table: Mapping[str, Any], user: str) -> ScenarioStep:
        """Read the keys of an answer."""
        if table.keys() >= {"say", "call"}:
            self.wrong(
                (*at, "say"), "an answer with a `call` has its sentences in `then`", key=True
            )
        say = self.said((*at, "say"), table.get("say"))
        return ScenarioStep(
            user,
            say,
            calls=self._calls((*at, "call"), table["call"], user) if "call" in table else (),
            wav=self._wav((*at, "wav"), table["wav"], say) if "wav" in table else None,
            error=self._fault((*at, "error"), table["error"]) if "error" in table else None,
            broken=self._broken((*at, "break"), table["break"]) if "break" in table else None,
            **self._what_follows(at, table),
        )

    def _what_follows(self, at: Key, table: Mapping[str, Any]) -> dict[str, Any]:
        """Read what the answer of a step and an answer to a tool's result have in common."""
        goto = self.text((*at, "goto"), table["goto"]) if "goto" in table else ""
        if goto:
            self._gotos.append(((*at, "goto"), goto))
        return {
            "delay_ms": self.milliseconds((*at, "delay_ms"), table.get("delay_ms")) or 0,
            "assign": self._assign((*at, "set"), table.get("set", {})),
            "goto": goto,
        }

    def _calls(self, at: Key, value: Any, user: str) -> tuple[ScenarioCall, ...]:
        """Read a call, or a list of calls that are made together."""
        if not isinstance(value, list):
            return (self._call(at, value, user),)
        calls = self.items(at, cast("list[Any]", value), "a call or a list of calls")
        if not calls:
            self.wrong(at, "expected a call", hint="Name its `tool`.")
        return tuple(self._call((*at, i), call, user) for i, call in enumerate(calls))

    def _call(self, at: Key, value: Any, user: str) -> ScenarioCall:
        call = self.table(at, value, "a call", CALL_KEYS, ("tool",))
        arguments = self.mapping((*at, "arguments"), call.get("arguments", {}), "arguments")
        self.template((*at, "arguments"), arguments)
        return ScenarioCall(
            self.text((*at, "tool"), call["tool"]) if "tool" in call else "",
            arguments,
            self.said((*at, "meanwhile"), call.get("meanwhile")),
            self.said((*at, "then"), call.get("then")),
            **self._what_follows(at, call),
            **self._choice(at, call, user, RESULT_KEYS),
        )

    def _fault(self, at: Key, value: Any) -> StreamException | None:
        table = self.table(at, value, "an error", EXCEPTION_KEYS, ("code",), ("message",))
        if table.keys() < set(EXCEPTION_KEYS):
            return None
        code = self.one_of((*at, "code"), table["code"], EXCEPTIONS)
        return StreamException(code, self.text((*at, "message"), table["message"]))

    def _broken(self, at: Key, value: Any) -> BreakKind:
        return cast("BreakKind", self.one_of(at, value, get_args(BreakKind)))

    def _wav(self, at: Key, value: Any, say: tuple[str, ...]) -> Recording | None:
        if len(say) != 1:
            self.wrong(at, "a `wav` goes with a `say` of one sentence, the words in it")
        name = self.text(at, value)
        if not name:
            return None
        path = self._path.parent / name
        try:
            return _read_wav(path)
        except (OSError, EOFError, wave.Error, ValueError) as error:
            self.wrong(at, f"{path} cannot be read as WAV: {error}")
            return None

    # Conditions and placeholders.

    def _conditions(self, at: Key, value: Any) -> tuple[Condition, ...]:
        table = self.mapping(at, value, "a condition")
        if isinstance(value, dict) and not table:
            self.wrong(at, "expected a condition", hint="Say what `user` must hold.")
        return tuple(self._condition((*at, of), of, test) for of, test in table.items())

    def _condition(self, at: Key, of: str, value: Any) -> Condition:
        path = PATH.fullmatch(of)
        if path is None:
            hint = "It is about `user`, `result`, `result.field` or a variable."
            self.wrong(at, f"`{of}` names no value", hint=hint, key=True)
        else:
            self._placeholders.append((at, path[1]))
        return Condition(of, self.test(at, value, words=of == "user"))

    def _assign(self, at: Key, value: Any) -> dict[str, Any]:
        assigned = self.mapping(at, value, "what is set")
        for name, new in assigned.items():
            self.variable((*at, name), name)
            self.template((*at, name), new)
        return assigned

    def variable(self, at: Key, name: str) -> None:
        """Note a variable that the file sets."""
        if not NAME.fullmatch(name) or name in _RESERVED:
            hint = "Letters, figures and underscores; not `user` and `result`."
            self.wrong(at, f"`{name}` cannot be a variable", hint=hint, key=True)
        self._variables.add(name)

    def template(self, at: Key, template: Any) -> None:
        """Note the placeholders of a template, which are checked at the end of the file."""
        self._placeholders += [(at, name) for name in names_in(template)]

    # Checks of the whole file.

    def _check_names(self, scenario: Scenario) -> None:
        for at, name in self._placeholders:
            if name not in (*_RESERVED, *self._variables):
                hint = f"Names are {', '.join((*_RESERVED, *sorted(self._variables)))}."
                self.wrong(at, f"nothing sets `{name}`", hint=hint)
        names = [step.name for step in scenario.steps]
        for i, name in enumerate(names):
            if name and name in names[:i]:
                self.wrong(("steps", i, "name"), f"another step is called `{name}`")
        for at, goto in self._gotos:
            if goto not in (*names, END):
                self.wrong(at, f"no step is called `{goto}`", hint=suggestion(goto, (*names, END)))

    def _check_reachability(self, scenario: Scenario) -> None:
        found = reachable_steps(scenario.steps)
        for i, step in enumerate(scenario.steps):
            if i not in found:
                hint = f"Let a `goto` name it: `{step.name}`." if step.name else ""
                self.wrong(("steps", i), "this step cannot be reached", hint=hint)
        if scenario.loop and len(scenario.steps) not in found:
            self.wrong(("loop",), "`loop` has no effect: the end cannot be reached", key=True)


def _required_kinds(keys: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the keys of which an answer with these `keys` must have one each."""
    return () if keys is RESULT_KEYS else (_ANSWER_KINDS,)


def _read_wav(path: Path) -> Recording:
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2 or file.getnchannels() != 1:
            raise ValueError("it must be 16-bit, one channel")
        if not file.getnframes():
            raise ValueError("it holds no samples")
        return Recording(file.readframes(file.getnframes()), file.getframerate())
