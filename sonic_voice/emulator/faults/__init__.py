"""Faults on demand: `--fault NAME[:ARGUMENT][@STREAMS]`, pure decorators around a `Service`.

A fault changes what a healthy service says, in one place, and nothing else. Those of the opening
are HTTP refusals; the others stand between the service and its host, read what passes, and change,
drop, add or cut. They may be combined: the last one named is the outermost.

`@2` after a fault: the first two streams have it, later ones do not, so that a client which tries
again can be watched to succeed. Faults are listed in `FAULTS`, with what may follow the colon; they
are the switches of the protocol reference, 11.5, with the texts of section 6.

Time is the input audio, as in the service. What is said to come "by chance" is drawn from the
stream's request id.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from ...errors import ConfigError
from ..scenario import EXCEPTIONS
from ..service.checks import IDLE
from ..service.effects import (
    Break,
    Breakage,
    Fail,
    Service,
    ServiceFactory,
    StreamRefusal,
    StreamRequest,
)
from .wrappers import (
    BrokenGoodbye,
    CutAnswer,
    DoubleEncoded,
    EndTurnOnAudioOnly,
    LateFinals,
    NoFinals,
    NoMarker,
    OtherExpiry,
    SpuriousInterruption,
    TwoCalls,
    Unanswered,
    Unheard,
    UnknownEvent,
    Unstable,
    WithoutEvents,
)

HTTP_ERRORS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "400": ("ValidationException", "Invalid input request, please fix your input."),
        "403": ("AccessDeniedException", "You don't have access to the model with this id."),
        "404": ("ResourceNotFoundException", "The model could not be found."),
        "408": ("ModelTimeoutException", "Model has timed out in processing the request."),
        "424": ("ModelErrorException", "The model failed to process the request."),
        "429": ("ThrottlingException", "Too many requests, please wait before trying again."),
        "500": ("InternalServerException", "The server encountered an internal error."),
        "503": ("ServiceUnavailableException", "The service is temporarily unavailable."),
    }
)
"""Status, name and text of the refusals before a stream (reference 1.7)."""

INSTABLE = "System instability detected. Please retry your request."
FILTERED = "Error(s):\nError 1 : This request has been blocked by our content filters."
RESET_531 = "InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR"

STREAM_TEXTS = {
    "internalServerException": HTTP_ERRORS["500"][1],
    "modelStreamErrorException": "The model stream failed. Try your request again.",
    "validationException": "Invalid input request, please fix your input and try again.",
    "throttlingException": HTTP_ERRORS["429"][1],
    "modelTimeoutException": HTTP_ERRORS["408"][1],
    "serviceUnavailableException": HTTP_ERRORS["503"][1],
}
"""A text for each exception of a stream."""

type Wrap = Callable[[Service, StreamRequest, str], Service]
"""`(service, request, argument)` to the faulty service."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault that there is."""

    says: str
    """What it does, for `--help` and errors."""
    pattern: str
    """What the argument must look like."""
    default: str
    """The argument when none is given."""
    wrap: Wrap | None
    """None: a refusal at the opening."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was asked for."""

    name: str
    argument: str
    streams: int | None = None
    """How many streams have it, the first ones; None: all."""


_SECONDS = r"\d+(\.\d+)?"
_TURN = r"[1-9]\d*"


def _fail(
    code: str, text: str, *, modelled: bool = True, injected: bool = True
) -> Callable[[StreamRequest], Fail]:
    return lambda request: Fail(
        code, f"RequestId={request.request_id} : {text}", modelled, injected
    )


def _at_answer(effect: Callable[[StreamRequest], Fail]) -> Wrap:
    """Where the answer of the turn numbered by the argument would begin."""
    return lambda service, request, turn: CutAnswer(service, effect(request), int(turn), sounds=0)


def _in_answer(how: Breakage) -> Wrap:
    """In the middle of the sound of the turn numbered by the argument."""
    return lambda service, _, turn: CutAnswer(service, Break(how), int(turn), sounds=2)


def _exception(service: Service, request: StreamRequest, argument: str) -> Service:
    code, _, text = argument.partition(":")
    fail = _fail(code, text or STREAM_TEXTS[code])(request)
    return CutAnswer(service, fail, 1, sounds=0)


def _idle(service: Service, request: StreamRequest, argument: str) -> Service:
    prefix = "InternalErrorCode=532::" if argument == "532" else ""
    seconds = "295" if argument == "532" else argument
    text = prefix + IDLE.format(seconds=seconds)
    if argument == "none":
        text = "Timed out waiting for input events"
    fail = _fail("validationException", text, injected=False)(request)
    return OtherExpiry(service, "idle", fail)


def _life(service: Service, request: StreamRequest, _: str) -> Service:
    fail = _fail("validationException", RESET_531, injected=False)(request)
    return OtherExpiry(service, "life", fail)


def _instability(service: Service, request: StreamRequest, argument: str) -> Service:
    chance = int(request.request_id.replace("-", ""), 16) % 1000 / 1000
    fail = _fail("validationException", INSTABLE)(request)
    return Unstable(service, fail, after_ms=chance * float(argument) * 1000)


def _late(service: Service, _: StreamRequest, argument: str) -> Service:
    return LateFinals(service, delay_ms=float(argument) * 1000)


def _plain(made: Callable[[Service], Service]) -> Wrap:
    def wrap(service: Service, request: StreamRequest, argument: str) -> Service:
        return made(service)

    return wrap


FAULTS: Mapping[str, Kind] = MappingProxyType(
    {
        "http": Kind("refuse with this status", "|".join(HTTP_ERRORS), "429", None),
        "idle": Kind(
            "the idle timeout says 55, 59 or 295 seconds, has the prefix 532, or no reason (none)",
            "55|59|295|532|none",
            "295",
            _idle,
        ),
        "life": Kind("the 8 minutes end as error 531, a ValidationException", "531", "531", _life),
        "instability": Kind(
            "`System instability detected` within so many seconds", _SECONDS, "30", _instability
        ),
        "content-filter": Kind(
            "the filter blocks the answer to this turn",
            _TURN,
            "1",
            _at_answer(_fail("validationException", FILTERED)),
        ),
        "exception": Kind(
            "this exception instead of the first answer, with a text of yours after a colon",
            rf"({'|'.join(EXCEPTIONS)})(:.+)?",
            "modelStreamErrorException",
            _exception,
        ),
        "error-frame": Kind(
            "an `error` frame, no exception, instead of the answer to this turn",
            _TURN,
            "1",
            _at_answer(_fail("InternalFailure", "An internal error occurred.", modelled=False)),
        ),
        "cut": Kind("the network ends in the sound of this turn", _TURN, "1", _in_answer("cut")),
        "cut-mid-frame": Kind(
            "the network ends within a frame of this turn",
            _TURN,
            "1",
            _in_answer("cut-mid-frame"),
        ),
        "reset": Kind(
            "RST_STREAM NO_ERROR in the sound of this turn", _TURN, "1", _in_answer("reset")
        ),
        "goaway": Kind("GOAWAY in the sound of this turn", _TURN, "1", _in_answer("goaway")),
        "mute": Kind("nothing is ever answered", "", "", _plain(Unheard)),
        "no-events": Kind(
            "the stream is accepted, and no event is ever sent", "", "", _plain(WithoutEvents)
        ),
        "no-answer": Kind("what is said is heard and never answered", "", "", _plain(Unanswered)),
        "goodbye": Kind(
            "after the client's goodbye the stream does not end, but breaks like this",
            "cut|reset|goaway|mute",
            "mute",
            lambda service, _, how: BrokenGoodbye(service, cast(Breakage, how)),
        ),
        "late-final": Kind("FINAL texts come so many seconds late", _SECONDS, "5", _late),
        "no-final": Kind("FINAL texts of the answer never come", "", "", _plain(NoFinals)),
        "no-marker": Kind("a barge-in has no marker", "", "", _plain(NoMarker)),
        "spurious-interruption": Kind(
            "nobody spoke, and the answer to this turn is interrupted, with an empty transcript",
            _TURN,
            "1",
            lambda service, _, turn: SpuriousInterruption(service, int(turn)),
        ),
        "double-encoded": Kind("tool arguments are JSON in JSON", "", "", _plain(DoubleEncoded)),
        "two-calls": Kind("every tool is called twice at once", "", "", _plain(TwoCalls)),
        "unknown-event": Kind(
            "an event of this name before every text",
            r"[A-Za-z]+",
            "sentimentEvent",
            lambda service, _, name: UnknownEvent(service, name),
        ),
        "end-turn-on-audio-only": Kind(
            "FINAL texts never say END_TURN", "", "", _plain(EndTurnOnAudioOnly)
        ),
    }
)
"""All faults, by name."""

_ASKED = re.compile(r"(?P<name>[a-z-]+)(:(?P<argument>.*?))?(@(?P<streams>\d+))?", re.DOTALL)


def parse_fault(text: str) -> Fault:
    """The fault that `NAME[:ARGUMENT][@STREAMS]` asks for. Raises `ConfigError`."""
    found = _ASKED.fullmatch(text)
    name = found["name"] if found else text
    kind = FAULTS.get(name)
    if found is None or kind is None:
        near = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.4)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"There is no fault {name!r}.",
            hint=f"{meant}There are {', '.join(FAULTS)}.",
        )
    argument = kind.default if found["argument"] is None else found["argument"]
    if not re.fullmatch(kind.pattern, argument, re.DOTALL):
        raise ConfigError(
            f"The fault {name} does not take {argument!r}: {kind.says}.",
            hint=f"For instance {name}:{kind.default}." if kind.default else "It takes nothing.",
        )
    return Fault(name, argument, int(found["streams"]) if found["streams"] else None)


def with_faults(factory: ServiceFactory, faults: Sequence[Fault]) -> ServiceFactory:
    """`factory` with `faults` in what it makes. It counts the streams, so make it once."""
    asked = [0] * len(faults)

    def new_service(request: StreamRequest) -> Service | StreamRefusal:
        made = factory(request)
        for number, fault in enumerate(faults):
            if isinstance(made, StreamRefusal):
                return made
            if fault.streams is None or asked[number] < fault.streams:
                asked[number] += 1
                made = _apply(fault, made, request)
        return made

    return new_service if faults else factory


def _apply(fault: Fault, service: Service, request: StreamRequest) -> Service | StreamRefusal:
    wrap = FAULTS[fault.name].wrap
    if wrap is None:
        code, text = HTTP_ERRORS[fault.argument]
        return StreamRefusal(int(fault.argument), code, text)
    return wrap(service, request, fault.argument)
