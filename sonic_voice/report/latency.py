"""The response latency of a turn, measured on a tape, and percentiles of it.

The *response latency* of a turn and its parts are those of `metrics`, measured on the tape:

    end of speech ── endpointing ──► the service noticed it     UserSpeechEnded
                  ── answering ────► the first sound came       the first `audioOutput` after it
                  ── playout ──────► it was audible             the first sound that was played
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

EARLY_S = 0.05
"""Time by which sound may come before the service noticed the end of speech, in seconds. The
position of the notice is counted in whole tokens of 40 ms."""


@dataclass(frozen=True, slots=True)
class Latency:
    """The response latency of a turn with its parts, in seconds."""

    total_s: float
    endpointing_s: float | None = None
    """Until the service noticed the end of speech; None if it did not report it."""
    answering_s: float | None = None
    """From there until the first sound came; None if the sound is not on the tape."""
    playout_s: float | None = None
    """From there until it was audible; None if what was played is not on the tape."""

    @property
    def parts(self) -> dict[str, float]:
        """The known parts by their names, in their order."""
        parts = {
            "endpointing": self.endpointing_s,
            "answering": self.answering_s,
            "playout": self.playout_s,
        }
        return {name: part for name, part in parts.items() if part is not None}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return median, 90th and 95th percentile, and maximum; empty without values.

    Between two values a percentile is interpolated.

    Args:
        values: The values, in any order.
    """
    if not values:
        return {}
    if len(values) == 1:
        return dict.fromkeys(("median", "p90", "p95", "max"), values[0])
    hundredths = quantiles(values, n=100, method="inclusive")
    return {
        "median": hundredths[49],
        "p90": hundredths[89],
        "p95": hundredths[94],
        "max": max(values),
    }


def measured_latency(
    since_s: float, noticed_s: float | None, sounds: Sequence[float], audible_s: float | None
) -> Latency | None:
    """Return a response latency; None if no sound came.

    Args:
        since_s: The end of the user's speech, or the time of the text.
        noticed_s: Time at which the service noticed the end of speech; None if unknown.
        sounds: Times at which sound came.
        audible_s: Time at which the answer was audible; None if unknown.
    """
    from_s = since_s if noticed_s is None else noticed_s
    until_s = float("inf") if audible_s is None else audible_s + EARLY_S
    came_s = next((t_s for t_s in sounds if from_s - EARLY_S <= t_s <= until_s), None)
    ends_s = came_s if audible_s is None else audible_s
    if ends_s is None or ends_s < since_s:
        return None
    endpointing_s = None if noticed_s is None else max(0.0, noticed_s - since_s)
    if came_s is None:
        return Latency(ends_s - since_s, endpointing_s)
    playout_s = None if audible_s is None else max(0.0, audible_s - came_s)
    answering_s = ends_s - since_s - (endpointing_s or 0.0) - (playout_s or 0.0)
    return Latency(ends_s - since_s, endpointing_s, max(0.0, answering_s), playout_s)
