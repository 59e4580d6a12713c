"""Faults on demand: `--fault NAME[:ARGUMENT][@STREAMS]`, pure wrappers around a `Service`.

A fault changes one aspect of what a healthy service sends, and nothing else. Faults of the opening
are HTTP refusals; all others stand between the service and its host, read what passes, and change,
drop, add or cut it. They may be combined: the last one named is the outermost.

`@2` after a fault limits it to the first two streams; later streams are healthy, so that a client
that tries again can be seen to succeed. `FAULTS` lists all faults and what may follow the colon;
they are the switches of the protocol reference, 11.5, with the texts of section 6.

Time is the input audio, as in the service. A random choice is derived from the request id of the
stream, so that it is the same each time.
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
    FailsAfter,
    LateFinals,
    NoFinals,
    NoMarker,
    ReplacedExpiry,
    SilentService,
    SpuriousInterruption,
    TwoCalls,
    UnknownEvent,
    WithoutAnswers,
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
"""Text of the exception of the fault `instability`."""
FILTERED = "Error(s):\nError 1 : This request has been blocked by our content filters."
"""Text of the exception of the fault `content-filter`."""
RESET_531 = "InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR"
"""Text of the exception of the fault `life`."""

STREAM_TEXTS = {
    "internalServerException": HTTP_ERRORS["500"][1],
    "modelStreamErrorException": "The model stream failed. Try your request again.",
    "validationException": "Invalid input request, please fix your input and try again.",
    "throttlingException": HTTP_ERRORS["429"][1],
    "modelTimeoutException": HTTP_ERRORS["408"][1],
    "serviceUnavailableException": HTTP_ERRORS["503"][1],
}
"""Default text of each exception of a stream."""

type Wrap = Callable[[Service, StreamRequest, str], Service]
"""Returns the faulty service for `(service, request, argument)`."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault."""

    description: str
    """Description of the effect, for `--help` and errors."""
    pattern: str
    """Regular expression that the argument must match."""
    default: str
    """Argument that is used if none is given."""
    wrap: Wrap | None
    """Function that wraps a service; None for a refusal at the opening."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was requested."""

    name: str
    argument: str
    """Argument after the colon, or the default of its kind."""
    streams: int | None = None
    """Number of streams, from the first, that have the fault; None for all."""


_SECONDS = r"\d+(\.\d+)?"
_TURN = r"[1-9]\d*"


def _fail(
    code: str, text: str, *, modelled: bool = True, injected: bool = True
) -> Callable[[StreamRequest], Fail]:
    return lambda request: Fail(
        code, f"RequestId={request.request_id} : {text}", modelled, injected
    )


def _at_answer(effect: Callable[[StreamRequest], Fail]) -> Wrap:
    """Return a wrapper with an effect where the answer of a given turn would begin."""
    return lambda service, request, turn: CutAnswer(service, effect(request), int(turn), sounds=0)


def _in_answer(how: Breakage) -> Wrap:
    """Return a wrapper that breaks the stream in the middle of the sound of a given turn."""
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
    return ReplacedExpiry(service, "idle", fail)


def _life(service: Service, request: StreamRequest, _: str) -> Service:
    fail = _fail("validationException", RESET_531, injected=False)(request)
    return ReplacedExpiry(service, "life", fail)


def _instability(service: Service, request: StreamRequest, argument: str) -> Service:
    chance = int(request.request_id.replace("-", ""), 16) % 1000 / 1000
    fail = _fail("validationException", INSTABLE)(request)
    return FailsAfter(service, fail, after_ms=chance * float(argument) * 1000)


def _late(service: Service, _: StreamRequest, argument: str) -> Service:
    return LateFinals(service, delay_ms=float(argument) * 1000)


def _plain(made: Callable[[Service], Service]) -> Wrap:
    def wrap(service: Service, request: StreamRequest, argument: str) -> Service:
        return made(service)

    return wrap


FAULTS: Mapping[str, FaultKind] = MappingProxyType(
    {
        "http": FaultKind("refuse with this status", "|".join(HTTP_ERRORS), "429", None),
        "idle": FaultKind(
            "the idle timeout says 55, 59 or 295 seconds, has the prefix 532, or no reason (none)",
            "55|59|295|532|none",
            "295",
            _idle,
        ),
        "life": FaultKind(
            "the 8 minutes end as error 531, a ValidationException", "531", "531", _life
        ),
        "instability": FaultKind(
            "`System instability detected` within this number of seconds",
            _SECONDS,
            "30",
            _instability,
        ),
        "content-filter": FaultKind(
            "the filter blocks the answer to this turn",
            _TURN,
            "1",
            _at_answer(_fail("validationException", FILTERED)),
        ),
        "exception": FaultKind(
            "this exception instead of the first answer, with your own text after a second colon",
            rf"({'|'.join(EXCEPTIONS)})(:.+)?",
            "modelStreamErrorException",
            _exception,
        ),
        "error-frame": FaultKind(
            "an `error` frame, not an exception, instead of the answer to this turn",
            _TURN,
            "1",
            _at_answer(_fail("InternalFailure", "An internal error occurred.", modelled=False)),
        ),
        "cut": FaultKind(
            "the network ends in the sound of this turn", _TURN, "1", _in_answer("cut")
        ),
        "cut-mid-frame": FaultKind(
            "the network ends within a frame of this turn",
            _TURN,
            "1",
            _in_answer("cut-mid-frame"),
        ),
        "reset": FaultKind(
            "RST_STREAM NO_ERROR in the sound of this turn", _TURN, "1", _in_answer("reset")
        ),
        "goaway": FaultKind("GOAWAY in the sound of this turn", _TURN, "1", _in_answer("goaway")),
        "mute": FaultKind("nothing is ever answered", "", "", _plain(SilentService)),
        "no-events": FaultKind(
            "the stream is accepted, and no event is ever sent", "", "", _plain(WithoutEvents)
        ),
        "no-answer": FaultKind(
            "speech is transcribed and never answered", "", "", _plain(WithoutAnswers)
        ),
        "goodbye": FaultKind(
            "after the client's goodbye the stream breaks in this way instead of ending",
            "cut|reset|goaway|mute",
            "mute",
            lambda service, _, how: BrokenGoodbye(service, cast(Breakage, how)),
        ),
        "late-final": FaultKind(
            "FINAL texts come this number of seconds late", _SECONDS, "5", _late
        ),
        "no-final": FaultKind("FINAL texts of the answer never come", "", "", _plain(NoFinals)),
        "no-marker": FaultKind("a barge-in has no marker", "", "", _plain(NoMarker)),
        "spurious-interruption": FaultKind(
            "nobody spoke, and the answer to this turn is interrupted, with an empty transcript",
            _TURN,
            "1",
            lambda service, _, turn: SpuriousInterruption(service, int(turn)),
        ),
        "double-encoded": FaultKind(
            "tool arguments are JSON in JSON", "", "", _plain(DoubleEncoded)
        ),
        "two-calls": FaultKind("every tool is called twice at once", "", "", _plain(TwoCalls)),
        "unknown-event": FaultKind(
            "an event of this name before every text",
            r"[A-Za-z]+",
            "sentimentEvent",
            lambda service, _, name: UnknownEvent(service, name),
        ),
        "end-turn-on-audio-only": FaultKind(
            "FINAL texts never say END_TURN", "", "", _plain(EndTurnOnAudioOnly)
        ),
    }
)
"""All kinds of faults, by name."""

_ASKED = re.compile(r"(?P<name>[a-z-]+)(:(?P<argument>.*?))?(@(?P<streams>\d+))?", re.DOTALL)


def parse_fault(text: str) -> Fault:
    """Return the fault that an option requests.

    Args:
        text: `NAME[:ARGUMENT][@STREAMS]`.

    Raises:
        ConfigError: The name is unknown, or the argument does not suit it.
    """
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
            f"The fault {name} does not take {argument!r}: {kind.description}.",
            hint=f"For instance {name}:{kind.default}."
            if kind.default
            else "It takes no argument.",
        )
    return Fault(name, argument, int(found["streams"]) if found["streams"] else None)


def with_faults(factory: ServiceFactory, faults: Sequence[Fault]) -> ServiceFactory:
    """Return a factory whose services have faults.

    The factory counts its streams for `@STREAMS`, so make it once.

    Args:
        factory: Makes healthy services.
        faults: The faults, the outermost last.
    """
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
