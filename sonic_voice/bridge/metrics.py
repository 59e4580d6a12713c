"""The counters of a bridge, which `exposition` publishes. They contain no names and no texts.

Sound is counted on each frame. The counters are therefore plain numbers: adding to one takes
0.1 µs, while a counter of `prometheus_client` takes a lock and 1.4 µs.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from .closing import Close

LATENCY_BOUNDS_S = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
"""Upper bounds of the histogram of response latencies, in seconds."""


@dataclass(slots=True)
class BridgeMetrics:
    """The counters of one bridge since it was created. They belong to its event loop."""

    conversations: int = 0
    """Conversations that were started."""
    resumed: int = 0
    """Connections that resumed a conversation."""
    voice_s: float = 0.0
    """Users' sound that was received, in seconds."""
    answer_s: float = 0.0
    """Sound of answers that was queued, in seconds."""
    voice_dropped_s: float = 0.0
    """Users' sound that was dropped because it came too fast for the service, in seconds."""
    answer_dropped_s: float = 0.0
    """Sound of answers that was dropped because a page was too slow, in seconds."""
    renewals: Counter[str] = field(default_factory=Counter[str])
    """Planned moves of a conversation to a new stream of the service, by reason: one of
    `events.PLANNED_RENEWALS`."""
    reconnects: Counter[str] = field(default_factory=Counter[str])
    """Faults after which a conversation went on, by kind: a word of `errors.fault_kind`."""
    reconnect_attempts: Counter[str] = field(default_factory=Counter[str])
    """Attempts to connect to the service again, by the kind of the fault before each."""
    closed: Counter[Close] = field(default_factory=Counter[Close])
    """Conversations that have ended, by code: each one once."""
    rejected: Counter[Close] = field(default_factory=Counter[Close])
    """Connections that were closed before they belonged to a conversation, by code."""
    response_latencies: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    """Number of answers by response latency: one element for each of `LATENCY_BOUNDS_S`, and one
    for answers above the last bound."""
    response_latency_sum_s: float = 0.0
    """Sum of all response latencies, in seconds."""

    def add_response_latency(self, latency_s: float) -> None:
        """Add the response latency of one answer.

        Args:
            latency_s: From the end of the user's speech to the first audible sample, in seconds.
        """
        self.response_latencies[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
        self.response_latency_sum_s += latency_s
