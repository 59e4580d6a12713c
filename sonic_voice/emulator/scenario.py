"""Scenarios: what the emulator "hears" and answers, as a YAML or TOML file.

    name: two turns
    steps:
      - user: go forward ten meters          # the words of the transcript
        call:
          tool: go
          arguments: {direction: forward, meters: 10}
          meanwhile: One moment.             # said before the result, by models that do
          then: I went {result.meters} meters.
      - user: thank you
        say: [You are welcome., Goodbye.]    # each sentence is one text block and its speech

Step n belongs to the n-th utterance, spoken or typed. Keys of a step:

    user        the words; required
    say         a sentence, or a list of them
    call        a tool call: `tool`, `arguments`, `meanwhile`, `then`
    wav         a 16-bit WAV file that sounds instead of `say`'s one sentence; its path is
                relative to the scenario
    delay_ms    extra wait before the answer, in milliseconds of input audio
    error       `code` and `message` of an exception in the stream
    break       reset, cut, cut-mid-frame or goaway

`error` and `break` come where the answer would begin; with a `say`, in the middle of the speech
of its last sentence. Keys of the file: `name`, `steps`, `loop` (begin again after the last step),
`otherwise` (said to every utterance after the last step), `endpoint_ms` (silence that ends an
utterance, whatever the client asks for), `voice` (speaks instead of the client's choice).

Texts and arguments may hold `{user}`, the words, and `{result}` or `{result.field}`, the last
tool result. An argument that is nothing but one of these keeps its type.
"""

import difflib
import json
import re
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ..errors import ScenarioError
from .marks import Document, Key, read_toml, read_yaml

BreakHow = Literal["reset", "cut", "cut-mid-frame", "goaway"]

EXCEPTIONS = (
    "internalServerException",
    "modelStreamErrorException",
    "validationException",
    "throttlingException",
    "modelTimeoutException",
    "serviceUnavailableException",
)
"""Members of the output union: what an exception in the stream may be (reference 1.7)."""

LAST_WORDS = "That was all this scenario has to say."


@dataclass(frozen=True, slots=True)
class Recording:
    """Mono s16le samples of a WAV file."""

    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call, what is said while it runs, and what after its result."""

    tool: str
    arguments: Mapping[str, Any]
    meanwhile: tuple[str, ...] = ()
    then: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception in the stream."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """One utterance of the user and what it is answered with."""

    user: str
    say: tuple[str, ...] = ()
    call: Call | None = None
    wav: Recording | None = None
    delay_ms: int = 0
    error: Fault | None = None
    broken: BreakHow | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file. `endpoint_ms` None: what the client asks for; `voice` None: the client's."""

    name: str
    steps: tuple[Step, ...]
    loop: bool = False
    otherwise: tuple[str, ...] = (LAST_WORDS,)
    endpoint_ms: int | None = None
    voice: str | None = None


def load_scenario(path: Path) -> Scenario:
    """The scenario in the file at `path`: TOML by its suffix, else YAML.

    Raises `ScenarioError` with the place of the mistake.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot be read: {error}.", path=str(path)) from error
    return parse_scenario(text, path)


def parse_scenario(text: str, path: Path) -> Scenario:
    """The scenario in `text`; `path` names it in errors and is where WAV files are beside."""
    read = read_toml if path.suffix.lower() == ".toml" else read_yaml
    return _Reader(read(text, str(path)), path).scenario()


_HOLDER = re.compile(r"\{(user|result)((?:\.[\w-]+)*)\}")


def fill(template: Any, values: Mapping[str, Any], missing: Callable[[str], None]) -> Any:
    """`template` with its holders replaced, in strings at any depth.

    A holder without a value stays as it is and is told to `missing`.
    """
    if isinstance(template, dict):
        items = cast("dict[str, Any]", template).items()
        return {key: fill(value, values, missing) for key, value in items}
    if isinstance(template, list):
        return [fill(value, values, missing) for value in cast("list[Any]", template)]
    if not isinstance(template, str):
        return template
    if alone := _HOLDER.fullmatch(template):
        return _value(alone, values, missing)
    return _HOLDER.sub(lambda found: _spoken(_value(found, values, missing)), template)


def _value(found: re.Match[str], values: Mapping[str, Any], missing: Callable[[str], None]) -> Any:
    value: Any = values
    for name in (found[1], *filter(None, found[2].split("."))):
        if not isinstance(value, Mapping) or name not in value:
            missing(found[0])
            return found[0]
        value = cast("Mapping[str, Any]", value)[name]
    return value


def _spoken(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class _Reader:
    """Judges a document: every value read by the key that names it, unknown keys refused."""

    def __init__(self, document: Document, path: Path) -> None:
        self._document = document
        self._path = path

    def scenario(self) -> Scenario:
        top = self._table((), self._document.value, "a scenario", _TOP)
        steps = self._list(("steps",), top.get("steps"), "a list of steps")
        if not steps:
            raise self._wrong((), "a scenario needs at least one step", hint="Add `steps:`.")
        return Scenario(
            name=self._string(("name",), top.get("name", self._path.stem)),
            steps=tuple(self._step(("steps", i), step) for i, step in enumerate(steps)),
            loop=self._flag(("loop",), top.get("loop", False)),
            otherwise=self._sentences(("otherwise",), top.get("otherwise", LAST_WORDS)),
            endpoint_ms=self._optional_ms(("endpoint_ms",), top.get("endpoint_ms"), least=32),
            voice=self._string(("voice",), top["voice"]) if "voice" in top else None,
        )

    def _step(self, at: Key, value: Any) -> Step:
        step = self._table(at, value, "a step", _STEP)
        if "user" not in step:
            raise self._wrong(at, "a step needs `user`, the words that were said")
        if step.keys() >= {"say", "call"}:
            raise self._wrong(
                (*at, "say"), "a step with a `call` says its answer in `then`", key=True
            )
        if not step.keys() & {"say", "call", "error", "break"}:
            raise self._wrong(at, "a step needs an answer: `say`, `call`, `error` or `break`")
        say = self._sentences((*at, "say"), step.get("say", ()))
        return Step(
            user=self._string((*at, "user"), step["user"]),
            say=say,
            call=self._call((*at, "call"), step["call"]) if "call" in step else None,
            wav=self._wav((*at, "wav"), step["wav"], say) if "wav" in step else None,
            delay_ms=self._optional_ms((*at, "delay_ms"), step.get("delay_ms"), least=0) or 0,
            error=self._fault((*at, "error"), step["error"]) if "error" in step else None,
            broken=self._broken((*at, "break"), step["break"]) if "break" in step else None,
        )

    def _call(self, at: Key, value: Any) -> Call:
        call = self._table(at, value, "a call", _CALL)
        if "tool" not in call:
            raise self._wrong(at, "a call needs `tool`, the tool's name")
        arguments = call.get("arguments", {})
        if not isinstance(arguments, dict):
            raise self._wrong((*at, "arguments"), "arguments must be a mapping of names to values")
        try:
            json.dumps(arguments, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise self._wrong((*at, "arguments"), f"arguments must be JSON: {error}") from error
        return Call(
            self._string((*at, "tool"), call["tool"]),
            cast("dict[str, Any]", arguments),
            self._sentences((*at, "meanwhile"), call.get("meanwhile", ())),
            self._sentences((*at, "then"), call.get("then", ())),
        )

    def _fault(self, at: Key, value: Any) -> Fault:
        fault = self._table(at, value, "an error", ("code", "message"))
        for key in ("code", "message"):
            if key not in fault:
                raise self._wrong(at, f"an error needs `{key}`")
        code = self._string((*at, "code"), fault["code"])
        self._one_of((*at, "code"), code, EXCEPTIONS)
        return Fault(code, self._string((*at, "message"), fault["message"]))

    def _broken(self, at: Key, value: Any) -> BreakHow:
        self._one_of(at, value, get_args(BreakHow))
        return cast(BreakHow, value)

    def _wav(self, at: Key, value: Any, say: tuple[str, ...]) -> Recording:
        if len(say) != 1:
            raise self._wrong(at, "a `wav` goes with a `say` of one sentence, the words in it")
        path = self._path.parent / self._string(at, value)
        try:
            return _read_wav(path)
        except (OSError, EOFError, wave.Error, ValueError) as error:
            raise self._wrong(at, f"{path} cannot be read as WAV: {error}") from error

    def _table(self, at: Key, value: Any, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(at, f"{what} is a mapping with the keys {', '.join(keys)}")
        table = cast("dict[Any, Any]", value)
        for key in table:
            if key not in keys:
                near = difflib.get_close_matches(str(key), keys, n=1, cutoff=0.4)
                hint = f"Did you mean `{near[0]}`?" if near else f"Keys are {', '.join(keys)}."
                raise self._wrong((*at, key), f"{what} has no key `{key}`", hint=hint, key=True)
        return cast("dict[str, Any]", table)

    def _sentences(self, at: Key, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            return (self._string(at, value),)
        items = self._list(at, value, "a sentence or a list of sentences")
        return tuple(self._string((*at, i), item) for i, item in enumerate(items))

    def _list(self, at: Key, value: Any, what: str) -> list[Any]:
        if value is None or value == ():
            return []
        if not isinstance(value, list):
            raise self._wrong(at, f"here must stand {what}")
        return cast("list[Any]", value)

    def _string(self, at: Key, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(at, f"here must stand a text, not {value!r}", hint="Quote it.")
        return value

    def _flag(self, at: Key, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(at, f"here must stand true or false, not {value!r}")
        return value

    def _optional_ms(self, at: Key, value: Any, *, least: int) -> int | None:
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 60_000:
            raise self._wrong(at, f"here must stand {least} to 60000 milliseconds, not {value!r}")
        return value

    def _one_of(self, at: Key, value: Any, names: tuple[str, ...]) -> None:
        if value not in names:
            near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.4)
            hint = f"Did you mean `{near[0]}`?" if near else ""
            raise self._wrong(at, f"{value!r} is none of {', '.join(names)}", hint=hint)

    def _wrong(self, at: Key, message: str, *, hint: str = "", key: bool = False) -> ScenarioError:
        line, column = self._document.place(at, key=key)
        return ScenarioError(
            f"{message}.", path=self._document.path, line=line, column=column, hint=hint
        )


_TOP = ("name", "steps", "loop", "otherwise", "endpoint_ms", "voice")
_STEP = ("user", "say", "call", "wav", "delay_ms", "error", "break")
_CALL = ("tool", "arguments", "meanwhile", "then")


def _read_wav(path: Path) -> Recording:
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2 or file.getnchannels() != 1:
            raise ValueError("it must be 16-bit, one channel")
        if not file.getnframes():
            raise ValueError("it holds no samples")
        return Recording(file.readframes(file.getnframes()), file.getframerate())
