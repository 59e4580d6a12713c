"""The text of a fault: `NAME[:ARGUMENT][@CONDITION[,CONDITION...]]`.

| condition | meaning |
|---|---|
| `2`, `streams=2` | only in the first two streams |
| `streams=3-5`, `streams=3-` | only in the streams from the third (to the fifth) |
| `for=20` | only in streams opened within 20 s of wall time, counted from the first of them |
| `t=12.5` | after 12.5 s of the stream's input audio |
| `event=answer` | at an event of the conversation (`phases`) |
| `n=3` | with `event`: at its third time in the stream |
| `after=0.5` | with `event`: 0.5 s of input audio later |
| `p=0.02` | with this probability: at the time, at each event, else in each second of input audio |
| `seed=7` | with `p`: another seed gives other moments; the default is 0 |

For a fault that does not end a stream at a moment, `p` is the probability that a stream has it.
An argument may itself contain an `@`: only conditions at the end of the text are taken for such.
"""

import difflib
import re
from dataclasses import dataclass
from typing import NoReturn, cast

from ...errors import ConfigError
from .kinds import FAULTS, FaultKind
from .phases import PHASE_EVENTS, PhaseEvent
from .triggers import Trigger


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was requested."""

    name: str
    argument: str
    """Argument after the colon, or the default of its kind."""
    streams: int | None = None
    """Number of the last stream that has the fault; None: no last one."""
    first_stream: int = 1
    """Number of the first stream that has the fault."""
    for_s: float | None = None
    """Wall time in which opened streams have the fault, from the first of them, in seconds. None:
    without end."""
    trigger: Trigger | None = None
    """The moment at which it ends a stream. None: the kind of the fault says when it comes."""
    probability: float | None = None
    """Probability that a stream has the fault. None: it has it for certain."""
    seed: int = 0
    """Seed of the draws."""

    def __str__(self) -> str:
        name = f"{self.name}:{self.argument}" if self._shows_argument else self.name
        conditions = ",".join(self._conditions())
        return f"{name}@{conditions}" if conditions else name

    @property
    def description(self) -> str:
        """A description of the effect."""
        kind = FAULTS[self.name]
        return (self.trigger and kind.effect) or kind.description

    @property
    def _shows_argument(self) -> bool:
        return bool(self.argument) and not (self.trigger and FAULTS[self.name].counts_turns)

    def _conditions(self) -> list[str]:
        """Return the conditions as `parse_fault` reads them."""
        trigger = self.trigger or Trigger()
        probability = self.probability if self.probability is not None else trigger.probability
        last = "" if self.streams is None else str(self.streams)
        texts = [
            ("t", trigger.time_s),
            ("event", trigger.event),
            ("n", trigger.occurrence),
            ("after", trigger.after_s or None),
            ("p", probability),
            ("seed", self.seed or None),
            ("streams", f"{self.first_stream}-{last}" if self.first_stream > 1 else last or None),
            ("for", self.for_s),
        ]
        return [
            f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in texts
            if value is not None
        ]


_CONDITION = r"(\d+|[a-z]+=[^,@=]*)"
_ASKED = re.compile(
    r"(?P<name>[a-z-]+)(:(?P<argument>.*?))?"
    rf"(@(?P<conditions>{_CONDITION}(,{_CONDITION})*))?",
    re.DOTALL,
)
_NUMBER = r"\d+(\.\d+)?"
_COUNT = r"[1-9]\d*"
_FORMS: dict[str, tuple[str, str]] = {
    "streams": (rf"\d+|{_COUNT}-\d*", "streams=3, streams=3-5 or streams=3-"),
    "for": (_NUMBER, "for=20, in seconds"),
    "t": (_NUMBER, "t=12.5, in seconds"),
    "event": ("|".join(PHASE_EVENTS), f"event={'|'.join(PHASE_EVENTS)}"),
    "n": (_COUNT, "n=3"),
    "after": (_NUMBER, "after=0.5, in seconds"),
    "p": (r"0(\.\d+)?|1(\.0+)?", "p=0.02, at most 1"),
    "seed": (r"\d+", "seed=7"),
}
"""Pattern and example of the value of each condition."""

FORMS_HINT = (
    "Conditions are t=SECONDS, event=EVENT with n=NUMBER and after=SECONDS, p=PROBABILITY with "
    "seed=NUMBER, streams=FIRST-LAST and for=SECONDS, divided by commas."
)
"""Hint that names all forms of conditions."""


def parse_fault(text: str) -> Fault:
    """Return the fault that an option requests.

    Args:
        text: `NAME[:ARGUMENT][@CONDITION,...]`; see the module.

    Raises:
        ConfigError: The name is unknown, or the argument or a condition does not suit it.
    """
    found = _ASKED.fullmatch(text)
    name = re.split("[:@]", text, maxsplit=1)[0]
    kind = FAULTS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.4)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"There is no fault {name!r}.", hint=f"{meant}There are {', '.join(FAULTS)}."
        )
    if found is None:
        wrong = text.partition("@")[2]
        raise ConfigError(f"The fault {name} has no condition {wrong!r}.", hint=FORMS_HINT)
    argument = kind.default if found["argument"] is None else found["argument"]
    if not re.fullmatch(kind.pattern, argument, re.DOTALL):
        raise ConfigError(
            f"The fault {name} does not take {argument!r}: {kind.description}.",
            hint=f"For instance {name}:{kind.default}."
            if kind.default
            else "It takes no argument.",
        )
    given = _conditions(name, found["conditions"] or "")
    _check(name, kind, given, numbered=found["argument"] is not None)
    return _fault(name, kind, argument, given)


def _conditions(name: str, text: str) -> dict[str, str]:
    """Return the conditions by their keys; a number alone is that of the streams."""
    given: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, _, value = part.rpartition("=") if "=" in part else ("streams", "", part)
        if key not in _FORMS:
            raise ConfigError(f"The fault {name} has no condition {part!r}.", hint=FORMS_HINT)
        pattern, example = _FORMS[key]
        if not re.fullmatch(pattern, value):
            raise ConfigError(
                f"The condition {part!r} of the fault {name} has a wrong value.",
                hint=f"For instance {example}.",
            )
        if key in given:
            raise ConfigError(f"The fault {name} has the condition {key} twice.", hint=FORMS_HINT)
        given[key] = value
    return given


def _check(name: str, kind: FaultKind, given: dict[str, str], *, numbered: bool) -> None:
    """Raise an error for conditions that do not go together, or not with the fault."""

    def wrong(text: str, hint: str = FORMS_HINT) -> NoReturn:
        raise ConfigError(f"The fault {name} {text}.", hint=hint)

    begin, dash, end = given.get("streams", "").partition("-")
    if dash and end and int(end) < int(begin):
        wrong("has streams that end before they begin", "For instance streams=3-5.")
    opening = kind.refuse is not None and given.get("event", "opening") == "opening"
    if "t" in given and "event" in given:
        wrong("has both a time and an event", "Give t or event.")
    if kind.refuse is not None and ("t" in given or not opening):
        wrong("refuses streams, so it comes at the opening only", "Give no t and no event.")
    if kind.end is None and kind.refuse is None and ("t" in given or "event" in given):
        ends = ", ".join(other for other, one in FAULTS.items() if one.end is not None)
        wrong("does not come at a moment", f"These do: {ends}.")
    if kind.refuse is not None and ("n" in given or "after" in given):
        wrong("refuses streams, so it has no n and no after")
    if ("n" in given or "after" in given) and "event" not in given:
        wrong("has n or after without an event")
    if "seed" in given and "p" not in given:
        wrong("has a seed without a probability")
    moment = kind.end is not None and given.keys() & {"t", "event", "p"}
    if moment and numbered and kind.counts_turns:
        wrong("has both a turn and a moment", f"For instance {name}@event=answer,n=2.")


def _fault(name: str, kind: FaultKind, argument: str, given: dict[str, str]) -> Fault:
    def number(key: str) -> float | None:
        return float(given[key]) if key in given else None

    first, last = 1, None
    if "streams" in given:
        begin, dash, end = given["streams"].partition("-")
        first, last = (int(begin), int(end) if end else None) if dash else (1, int(begin))
    probability = number("p")
    trigger = None
    if kind.end is not None and given.keys() & {"t", "event", "p"}:
        trigger = Trigger(
            time_s=number("t"),
            event=cast("PhaseEvent | None", given.get("event")),
            occurrence=int(given["n"]) if "n" in given else None,
            after_s=number("after") or 0.0,
            probability=probability,
        )
    return Fault(
        name,
        argument,
        last,
        first,
        number("for"),
        trigger,
        None if trigger else probability,
        int(given.get("seed", "0")),
    )
