"""The kinds of faults: what each does to a healthy service, and how it ends a stream at a trigger.

They are the switches of the protocol reference, 11.5, with the texts of section 6.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from ...catalog import voice_model
from ...other_models import without_region
from ..scenario import EXCEPTIONS
from ..service.checks import IDLE, LIFE
from ..service.effects import (
    Break,
    Breakage,
    Fail,
    Service,
    StreamRefusal,
    StreamRequest,
)
from .recorded import SilentBargeIn, SplitTranscript, SpuriousMarker
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
EXPIRED_TOKEN_TEXT = "The security token included in the request is expired"
"""Text of the refusal of the fault `expired-token`."""

STREAM_TEXTS = {
    "internalServerException": HTTP_ERRORS["500"][1],
    "modelStreamErrorException": "The model stream failed. Try your request again.",
    "validationException": "Invalid input request, please fix your input and try again.",
    "throttlingException": HTTP_ERRORS["429"][1],
    "modelTimeoutException": LIFE,
    "serviceUnavailableException": HTTP_ERRORS["503"][1],
}
"""Default text of each exception of a stream."""

_SECONDS = r"\d+(\.\d+)?"
_TURN = r"[1-9]\d*"

type Wrap = Callable[[Service, StreamRequest, str], Service]
"""A function `(service, request, argument)` that returns the faulty service."""

type End = Callable[[StreamRequest, str], Fail | Break]
"""A function `(request, argument)` that returns the last effect of a stream."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault."""

    description: str
    """Description of the effect, for `--help` and errors."""
    pattern: str
    """Regular expression that the argument must match."""
    default: str
    """Argument that is used if none is given."""
    wrap: Wrap | None = None
    """Function that wraps a service; None for a refusal at the opening."""
    end: End | None = None
    """Function that returns how the fault ends a stream at a trigger. None: it ends none, or
    only in its own way."""
    effect: str = ""
    """Description of the effect at a trigger. Empty: `description` fits there, too."""
    refuse: Callable[[str], StreamRefusal] | None = None
    """Function that returns the refusal of a stream for an argument. None: it refuses none."""

    @property
    def counts_turns(self) -> bool:
        """True if the argument is the number of a turn, which a trigger takes the place of."""
        return self.pattern == _TURN


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


def _breaks(how: Breakage) -> End:
    return lambda request, argument: Break(how)


def _fails(effect: Callable[[StreamRequest], Fail]) -> End:
    return lambda request, argument: effect(request)


def _broken_turn(effect: str, how: Breakage) -> FaultKind:
    """Return a kind that breaks the stream in the sound of a turn, or at a trigger."""
    description = f"{effect}, in the sound of this turn"
    return FaultKind(description, _TURN, "1", _in_answer(how), _breaks(how), effect)


def _failed_turn(effect: str, fail: Callable[[StreamRequest], Fail]) -> FaultKind:
    """Return a kind that fails in the place of the answer to a turn, or at a trigger."""
    description = f"{effect}, instead of the answer to this turn"
    return FaultKind(description, _TURN, "1", _at_answer(fail), _fails(fail), effect)


def _exception_text(request: StreamRequest, argument: str) -> Fail:
    code, _, text = argument.partition(":")
    return _fail(code, text or STREAM_TEXTS[code])(request)


def _exception(service: Service, request: StreamRequest, argument: str) -> Service:
    return CutAnswer(service, _exception_text(request, argument), 1, sounds=0)


def _idle_text(request: StreamRequest, argument: str, *, injected: bool = True) -> Fail:
    prefix = "InternalErrorCode=532::" if argument == "532" else ""
    seconds = "295" if argument == "532" else argument
    text = prefix + IDLE.format(seconds=seconds)
    if argument == "none":
        text = "Timed out waiting for input events"
    return _fail("validationException", text, injected=injected)(request)


def _idle(service: Service, request: StreamRequest, argument: str) -> Service:
    return ReplacedExpiry(service, "idle", _idle_text(request, argument, injected=False))


def _life(service: Service, request: StreamRequest, _: str) -> Service:
    fail = _fail("validationException", RESET_531, injected=False)(request)
    return ReplacedExpiry(service, "life", fail)


def _http(argument: str) -> StreamRefusal:
    code, text = HTTP_ERRORS[argument]
    return StreamRefusal(int(argument), code, text)


def _instability(service: Service, request: StreamRequest, argument: str) -> Service:
    chance = int(request.request_id.replace("-", ""), 16) % 1000 / 1000
    fail = _fail("validationException", INSTABLE)(request)
    return FailsAfter(service, fail, after_ms=chance * float(argument) * 1000)


def _late(service: Service, _: StreamRequest, argument: str) -> Service:
    return LateFinals(service, delay_ms=float(argument) * 1000)


def _spurious_marker(service: Service, request: StreamRequest, turn: str) -> Service:
    model = voice_model(without_region(request.model_id))
    return SpuriousMarker(service, int(turn), speech_events=model.speech_events)


def _plain(made: Callable[[Service], Service]) -> Wrap:
    def wrap(service: Service, request: StreamRequest, argument: str) -> Service:
        return made(service)

    return wrap


FAULTS: Mapping[str, FaultKind] = MappingProxyType(
    {
        "http": FaultKind("refuse with this status", "|".join(HTTP_ERRORS), "429", refuse=_http),
        "idle": FaultKind(
            "the idle timeout says 55, 59 or 295 seconds, has the prefix 532, or no reason (none)",
            "55|59|295|532|none",
            "295",
            _idle,
            _idle_text,
        ),
        "life": FaultKind(
            "the 8 minutes end as error 531, a ValidationException",
            "531",
            "531",
            _life,
            _fails(_fail("validationException", RESET_531)),
        ),
        "instability": FaultKind(
            "`System instability detected` within this number of seconds",
            _SECONDS,
            "30",
            _instability,
            _fails(_fail("validationException", INSTABLE)),
            "`System instability detected`",
        ),
        "content-filter": _failed_turn(
            "the content filter blocks the conversation", _fail("validationException", FILTERED)
        ),
        "exception": FaultKind(
            "this exception instead of the first answer, with your own text after a second colon",
            rf"({'|'.join(EXCEPTIONS)})(:.+)?",
            "modelStreamErrorException",
            _exception,
            _exception_text,
            "this exception",
        ),
        "error-frame": _failed_turn(
            "an `error` frame, not an exception",
            _fail("InternalFailure", "An internal error occurred.", modelled=False),
        ),
        "expired-token": FaultKind(
            "refuse with status 403 and `ExpiredTokenException`",
            "",
            "",
            refuse=lambda _: StreamRefusal(403, "ExpiredTokenException", EXPIRED_TOKEN_TEXT),
        ),
        "cut": _broken_turn("the network ends", "cut"),
        "cut-mid-frame": _broken_turn("the network ends within a frame", "cut-mid-frame"),
        "eof": _broken_turn("END_STREAM without `completionEnd`", "eof"),
        "reset": _broken_turn("RST_STREAM NO_ERROR", "reset"),
        "goaway": _broken_turn("GOAWAY, and the connection closes", "goaway"),
        "invalid-bytes": _broken_turn("a frame with a wrong checksum", "invalid-bytes"),
        "stall": _broken_turn(
            "the server stops reading and writing while the socket stays open", "stall"
        ),
        "mute": FaultKind(
            "nothing is ever answered", "", "", _plain(SilentService), _breaks("mute")
        ),
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
        "silent-barge-in": FaultKind(
            "a spoken barge-in has no marker and no FINAL text, only `userSpeechStart` and two more"
            " chunks of sound",
            "",
            "",
            _plain(SilentBargeIn),
        ),
        "split-transcript": FaultKind(
            "what the user says in a turn comes in two texts", "", "", _plain(SplitTranscript)
        ),
        "spurious-marker": FaultKind(
            "nobody spoke: the answer to this turn is reported as interrupted, and goes on",
            _TURN,
            "1",
            _spurious_marker,
        ),
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
