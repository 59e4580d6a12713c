"""The cells of the fault table: which fault, in which phase, and how the conversation must end.

A cell is right if the user is told the truth in a bounded time:

- the end is of the expected kind, with the exit code that belongs to it;
- it is reported within `Fault.within_s` of the fault;
- the transcript holds no words of which no sound was played;
- nothing but sentences is printed: no stack trace, no warning of asyncio's.

Later, when conversations survive faults, an expectation becomes "recovered".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from sonic_voice.emulator.faults import (
    FILTERED,
    HTTP_ERRORS,
    INSTABLE,
    RESET_531,
    STREAM_TEXTS,
)
from sonic_voice.emulator.service.effects import Break, Effect, Fail, Finish, StreamRefusal

from .phases import Phase

PHASES: tuple[Phase, ...] = get_args(Phase)

End = Literal["clean", "network", "deadline"] | str
"""How a conversation ends: `clean`, an error of the network, a deadline that nobody kept, else the
`ErrorKind` of a `ServiceError`."""

Surface = Literal["library", "command line", "page"]
"""Where a user meets the end of a conversation."""

SOON_S = 5.0
"""Limit for a fault that the service or the network states: it is reported at once, plus the time
that a busy machine with two cores needs."""

BLACK_HOLE_S = 13.0
"""Limit for a network that is silent: 10 s, plus the time that a busy machine needs."""

SILENCE_S = 45.0
"""Limit for a service that stays connected and says nothing: the time that an owed answer is
waited for, 30 s, and the goodbye."""

UTTERANCE_S = 125.0
"""Limit for a page whose user may still be speaking, as far as the silent service has told."""

CLOSE_S = 12.0
"""Limit for a goodbye that nobody answers: `Deadlines.close_s`, and the end of the program."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    end: End
    """How the conversation must end."""
    effects: Callable[[], list[Effect]] | None = None
    """The last effects of the service; None where the fault is elsewhere."""
    refusal: StreamRefusal | None = None
    """An HTTP error instead of a stream."""
    freezes: bool = False
    """True if the network carries nothing from then on."""
    within_s: float = SOON_S
    """Time from the fault to the report, at most, in seconds."""
    phases: tuple[Phase, ...] = PHASES


def _fails(code: str, text: str, *, modelled: bool = True) -> Callable[[], list[Effect]]:
    return lambda: [Fail(code, text, modelled, injected=True)]


def _refused(end: End, status: str, code: str = "", text: str = "") -> Fault:
    name, words = HTTP_ERRORS[status]
    refusal = StreamRefusal(int(status), code or name, text or words)
    return Fault(end, refusal=refusal, phases=("opening",))


EXPIRED = "The security token included in the request is expired"

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "HTTP 403 access denied": _refused("access", "403"),
        "HTTP 403 expired token": _refused("access", "403", "ExpiredTokenException", EXPIRED),
        "HTTP 404": _refused("not-found", "404"),
        "HTTP 429": _refused("throttled", "429"),
        "HTTP 503": _refused("capacity", "503"),
        "validation": Fault(
            "request", _fails("validationException", STREAM_TEXTS["validationException"])
        ),
        "throttling": Fault(
            "throttled", _fails("throttlingException", STREAM_TEXTS["throttlingException"])
        ),
        "8 minutes": Fault(
            "lifetime", _fails("modelTimeoutException", STREAM_TEXTS["modelTimeoutException"])
        ),
        "8 minutes (531)": Fault("lifetime", _fails("validationException", RESET_531)),
        "instability": Fault("capacity", _fails("validationException", INSTABLE)),
        "content filter": Fault("filtered", _fails("validationException", FILTERED)),
        "expired token in stream": Fault("access", _fails("expiredTokenException", EXPIRED)),
        "error frame": Fault(
            "capacity", _fails("InternalFailure", "An internal error occurred.", modelled=False)
        ),
        "end of stream": Fault("network", lambda: [Finish()]),
        "cut": Fault("network", lambda: [Break("cut")]),
        "cut in a frame": Fault("network", lambda: [Break("cut-mid-frame")]),
        "reset": Fault("network", lambda: [Break("reset")]),
        "goaway": Fault("network", lambda: [Break("goaway")]),
        "service silent": Fault("deadline", lambda: [Break("mute")], within_s=SILENCE_S),
        "black hole": Fault("network", list, freezes=True, within_s=BLACK_HOLE_S),
    }
)
"""The rows of the table by name."""


def expected_end(fault: Fault, phase: Phase, surface: Surface) -> End:
    """Return how a conversation with this fault in this phase must end, as `surface` shows it.

    After our `sessionEnd`, with every answer heard, a lost network is not the user's concern; an
    exception of the service is still reported, except on the page, which has left by then.
    """
    if phase == "goodbye" and (surface == "page" or fault.end in ("network", "deadline")):
        return "clean"
    return fault.end


def time_limit_s(fault: Fault, phase: Phase, surface: Surface) -> float:
    """Return the time from the fault to its report, at most, in seconds."""
    silent = fault.end == "deadline"
    if phase == "goodbye" and (fault.freezes or silent):
        return CLOSE_S
    if surface == "page" and phase == "user-speech" and silent:
        return UTTERANCE_S
    return fault.within_s
