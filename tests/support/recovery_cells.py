"""The cells of the recovery table: which fault, in which phase, and what must become of it.

A fault is *transient* or *final* (`sonic_voice.recovery`). What must happen follows from this and
from the phase:

| phase | transient fault | final fault |
|---|---|---|
| `opening` | `Reconnecting`, then `Opened` | ends with its error |
| `user-speech` to `tool-call` | `Reconnecting`, then `Renewed` | ends with its error |
| `renewal` | `Renewed` without a gap, by a second preparation | ends with its error |
| `after renewal` | as in `user-speech`, in the second stream | ends with its error |
| `goodbye` | a good end, since nothing is missing any more | ends with its error |

A final fault of a preparation does not end the live stream. It comes again when the life of the
live stream is over, and then ends the conversation. A black hole at a preparation is found after
the life of the live stream, which is then replaced with a gap.

In each cell that does not end with an error the ledger must be clean (`ledger`): every word of the
user is transcribed once and in order, every answer reaches the sink, and every tool call has one
result. What breaks an opening (`Way`) meets a conversation that is going on when its stream is cut:
the opening of the new stream then fails. A goodbye opens no stream, so that it has no such cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Phase = Literal[
    "opening",
    "user-speech",
    "thinking",
    "answer",
    "tool-call",
    "renewal",
    "after renewal",
    "goodbye",
]
PHASES: tuple[Phase, ...] = get_args(Phase)

MOMENTS: Mapping[Phase, str] = MappingProxyType(
    {
        "opening": "event=opening,streams=1",
        "user-speech": "event=user-speech,n=2,after=0.4,streams=1",
        "thinking": "event=thinking,n=2,streams=1",
        "answer": "event=answer,n=2,streams=1",
        "tool-call": "event=tool-call,streams=1",
        "renewal": "event=opening,streams=2-2",
        "after renewal": "event=user-speech,after=0.4,streams=2-2",
        "goodbye": "event=goodbye,streams=1",
    }
)
"""The conditions of the emulator's fault (`--fault NAME@CONDITIONS`) in each phase. In the second
utterance there is a history already. `renewal` is the opening of the next stream, while the live
one works; `after renewal` is the first speech that the next stream hears."""

SOON_S = 5.0
"""Limit for a fault that the service or the network states, in seconds: the attempt is made at
once, and a busy machine needs time."""

BLACK_HOLE_S = 15.0
"""Limit for a network that is silent, in seconds: the keepalive finds it after 8 s, and a ping may
have waited for 4 s before."""

Way = Literal["stream", "refusal", "keys", "tls"]
"""What breaks: a `stream` that is open; its opening, by a `refusal` of the service, by `keys` that
have expired and are fresh at the next look-up, or by a failure of its `tls` handshake."""


@dataclass(frozen=True, slots=True)
class RecoveryFault:
    """One row of the table."""

    text: str
    """The emulator's fault, without its moment; empty where the fault lies elsewhere."""
    why: str
    """The reason for what is expected."""
    end: str = ""
    """The kind of the error that ends the conversation; empty for a transient fault."""
    way: Way = "stream"
    """What breaks."""
    opening_end: str = ""
    """The kind of the error that ends the conversation in the phase `opening` alone."""
    within_s: float = SOON_S
    """Time from the fault to what must happen, at most, in seconds."""
    speed: float = 4.0
    """Speed of the conversation, as a multiple of real time. It is less where a fault takes time of
    the clock, so that the user's 30 s of kept audio are not used up meanwhile."""


def _refusal(status: str, why: str, end: str = "") -> RecoveryFault:
    return RecoveryFault(f"http:{status}", why, end, "refusal")


def _exception(name: str, why: str) -> RecoveryFault:
    return RecoveryFault(f"exception:{name}", why)


ZERO_QUOTA = "exception:throttlingException:Your account has a quota of 0 streams."

RECOVERY_FAULTS: Mapping[str, RecoveryFault] = MappingProxyType(
    {
        "HTTP 429": _refusal("429", "the account may open a stream a moment later"),
        "HTTP 500": _refusal("500", "an error inside the service"),
        "HTTP 503": _refusal("503", "the service lacks capacity for the moment"),
        "HTTP 403 expired token": RecoveryFault(
            "", "the credentials are looked up once more", way="keys"
        ),
        "HTTP 403 access denied": _refusal("403", "a permission does not change", "access"),
        "HTTP 404": _refusal("404", "the model does not exist there", "not-found"),
        "quota of zero": RecoveryFault(ZERO_QUOTA, "waiting does not raise it", "throttled"),
        "throttling": _exception("throttlingException", "as 429"),
        "internal server": _exception("internalServerException", "as 500"),
        "model stream error": _exception("modelStreamErrorException", "the service says: retry"),
        "service unavailable": _exception("serviceUnavailableException", "as 503"),
        "model timeout": _exception("modelTimeoutException", "the 8 minutes are over"),
        "531": RecoveryFault("life:531", "the 8 minutes are over, in another form"),
        "532": RecoveryFault("idle:532", "the idle limit, in another form"),
        "instability": RecoveryFault("instability", "the service says: retry"),
        "idle": RecoveryFault("idle:55", "a new stream hears the user again"),
        "content filter": RecoveryFault("content-filter", "the same words again", "filtered"),
        "validation": RecoveryFault(
            "exception:validationException", "the same request again", "request"
        ),
        "invalid event bytes": RecoveryFault("invalid-bytes", "damaged on its way"),
        "end of stream": RecoveryFault("eof", "no goodbye was said"),
        "TCP cut": RecoveryFault("cut", "the network broke"),
        "cut in a frame": RecoveryFault("cut-mid-frame", "the network broke"),
        "TLS failure": RecoveryFault(
            "",
            "the network broke; before the first stream the address may be wrong",
            way="tls",
            opening_end="network",
        ),
        "black hole": RecoveryFault(
            "stall", "the network is silent", within_s=BLACK_HOLE_S, speed=2.0
        ),
        "GOAWAY": RecoveryFault("goaway", "the server shuts down"),
        "RST_STREAM": RecoveryFault("reset", "the server gave the stream up"),
    }
)
"""The rows of the table by name."""


@dataclass(frozen=True, slots=True)
class RecoveryCell:
    """One cell of the table."""

    fault: str
    phase: Phase

    @property
    def row(self) -> RecoveryFault:
        """The fault."""
        return RECOVERY_FAULTS[self.fault]

    @property
    def exists(self) -> bool:
        """Whether the fault can happen in the phase."""
        return self.phase != "goodbye" or self.row.way == "stream"

    @property
    def end(self) -> str:
        """The kind of the error that must end the conversation; empty if none may."""
        return self.row.end or (self.row.opening_end if self.phase == "opening" else "")

    @property
    def meets_opening(self) -> bool:
        """Whether the fault comes while a stream is opened that nobody waits for yet."""
        return self.phase in ("opening", "renewal")

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults of the emulator."""
        row, moment = self.row, MOMENTS[self.phase]
        if row.way == "stream":
            if row.end and self.phase == "renewal":
                moment = moment.removesuffix("2")  # it comes again
            return (f"{row.text}@{moment}",)
        cut = () if self.meets_opening else (f"cut@{moment}",)
        if not row.text:
            return cut
        number = self.broken_opening
        return (*cut, f"{row.text}@streams={number}{'-' if row.end else f'-{number}'}")

    @property
    def broken_opening(self) -> int:
        """Number of the stream whose opening breaks, from 1."""
        return {"opening": 1, "after renewal": 3}.get(self.phase, 2)


def all_cells() -> list[RecoveryCell]:
    """Return the cells of the table, row by row."""
    cells = [RecoveryCell(name, phase) for name in RECOVERY_FAULTS for phase in PHASES]
    return [cell for cell in cells if cell.exists]
