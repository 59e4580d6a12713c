"""The instruments of a conversation: counters of tokens and histograms of the response latency."""

from collections.abc import Mapping

from opentelemetry.metrics import Meter

from ..metrics import TurnMetrics
from ..wire import Tokens
from .conventions import (
    LATENCY_PART,
    LATENCY_PART_S,
    LATENCY_S,
    TOKEN_MODALITY,
    TOKEN_TYPE,
    TOKENS_COUNTER,
    token_counts,
)

LATENCY_BOUNDS_S = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper bounds of the histograms of latencies, in seconds. Answers begin after 1 to 2 s."""


class Instruments:
    """The instruments of a meter.

    Args:
        meter: The meter.
        attributes: Attributes of each measurement: model and provider.
    """

    def __init__(self, meter: Meter, attributes: Mapping[str, str]) -> None:
        self._attributes = attributes
        self._tokens = meter.create_counter(
            TOKENS_COUNTER, unit="{token}", description="Tokens of the model, in and out."
        )
        self._latency = meter.create_histogram(
            LATENCY_S,
            unit="s",
            description="From the end of the user's speech to the first audible sample.",
            explicit_bucket_boundaries_advisory=LATENCY_BOUNDS_S,
        )
        self._parts = meter.create_histogram(
            LATENCY_PART_S,
            unit="s",
            description="Parts of the response latency: endpointing, answering, playout.",
            explicit_bucket_boundaries_advisory=LATENCY_BOUNDS_S,
        )

    def add_tokens(self, tokens: Tokens) -> None:
        """Count tokens.

        Args:
            tokens: The tokens since the last call.
        """
        for kind, modality, number in token_counts(tokens):
            self._tokens.add(
                number, {**self._attributes, TOKEN_TYPE: kind, TOKEN_MODALITY: modality}
            )

    def record_latency(self, turn: TurnMetrics) -> None:
        """Record the response latency of a turn, with those of its parts that are known.

        Args:
            turn: The figures of the turn.
        """
        if turn.response_latency_s is None:
            return
        self._latency.record(turn.response_latency_s, self._attributes)
        for part, seconds in latency_parts(turn).items():
            self._parts.record(seconds, {**self._attributes, LATENCY_PART: part})


def latency_parts(turn: TurnMetrics) -> dict[str, float]:
    """Return the known parts of a turn's response latency, in seconds, by their names.

    Args:
        turn: The figures of the turn.
    """
    parts = {
        "endpointing": turn.endpointing_s,
        "answering": turn.answering_s,
        "playout": turn.playout_s,
    }
    return {part: seconds for part, seconds in parts.items() if seconds is not None}
