"""The chaos profile: a mixture of faults, of which each stream draws one or none from a seed.

A stream's fault depends on the seed and on the number of the stream alone, so `chaos_plan` lists in
advance what an emulator will do. Streams are numbered from 1, in the order of their opening.
Only faults after which a client may try again are mixed. A fault whose event never comes in its
stream does not happen.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ..behaviour import ChaosProfile
from .draws import draw, draw_one
from .grammar import Fault, parse_fault
from .phases import PHASE_EVENTS

CHAOS_ENDS: Mapping[str, int] = MappingProxyType(
    {
        "cut": 3,
        "cut-mid-frame": 2,
        "eof": 2,
        "reset": 2,
        "goaway": 2,
        "invalid-bytes": 1,
        "stall": 1,
        "exception:modelTimeoutException": 2,
        "exception:throttlingException": 2,
        "exception:internalServerException": 1,
        "exception:modelStreamErrorException": 1,
        "exception:serviceUnavailableException": 1,
        "instability": 2,
        "life": 1,
        "idle:532": 1,
    }
)
"""Faults that end a stream at a moment, with their weights in the mixture."""

CHAOS_REFUSALS: Mapping[str, int] = MappingProxyType(
    {"http:429": 3, "http:500": 1, "http:503": 2, "expired-token": 1}
)
"""Refusals at the opening, with their weights in the mixture."""

_MAX_OCCURRENCE = 6
"""Highest number of an event at which a fault comes: about a minute of short turns."""
_MAX_AFTER_S = 0.6
"""Longest input audio from an event to its fault, in seconds: shorter than most utterances and
answers, so that most faults come in the phase that the event begins."""
_MAX_TIME_S = 120.0
"""Latest time of a fault that comes at a time, in seconds of input audio."""


def chaos_fault(profile: ChaosProfile, stream: int) -> Fault | None:
    """Return the fault of a stream under a profile, or None.

    Args:
        profile: The profile.
        stream: Number of the stream, from 1.
    """
    key = ("chaos", profile.seed, stream)
    kind = draw(*key, "kind")
    if kind < profile.calm:
        return None
    kind -= profile.calm
    if kind < profile.refused:
        return _one(CHAOS_REFUSALS, profile, key, "")
    if kind < profile.refused + profile.timed:
        time_s = round(draw(*key, "time") * _MAX_TIME_S, 2)
        return _one(CHAOS_ENDS, profile, key, f"@t={time_s:g}")
    event = draw_one(PHASE_EVENTS, *key, "event")
    if event in ("opening", "goodbye"):  # each comes once
        return _one(CHAOS_ENDS, profile, key, f"@event={event}")
    occurrence = 1 + int(draw(*key, "occurrence") * _MAX_OCCURRENCE)
    after_s = round(draw(*key, "after") * _MAX_AFTER_S, 2)
    return _one(CHAOS_ENDS, profile, key, f"@event={event},n={occurrence},after={after_s:g}")


def chaos_plan(profile: ChaosProfile, streams: int) -> list[Fault | None]:
    """Return the faults of the first streams under a profile; None for a stream without one.

    Args:
        profile: The profile.
        streams: The number of streams.
    """
    return [chaos_fault(profile, stream) for stream in range(1, streams + 1)]


def _one(
    weights: Mapping[str, int], profile: ChaosProfile, key: tuple[object, ...], when: str
) -> Fault | None:
    """Return a fault drawn by its weight, or None if all are left out."""
    names = [
        name
        for name, weight in weights.items()
        if name not in profile.without
        for _ in range(weight)
    ]
    return parse_fault(draw_one(names, *key, "fault") + when) if names else None
