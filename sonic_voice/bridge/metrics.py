"""What has happened so far, in plain numbers. No names, no words. `exposition` shows them.

Sound is counted for each frame, so the numbers are plain: adding to one takes 0.1 µs, where a
counter of `prometheus_client` takes a lock and 1.4 µs.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from .closing import Close

LATENCY_BOUNDS_S = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
"""Upper bounds of the histogram of response latencies, in seconds."""


@dataclass(slots=True)
class BridgeMetrics:
    """Grows with the server's life; belongs to its event loop."""

    conversations: int = 0
    """Conversations begun."""
    resumed: int = 0
    """Connections that resumed a conversation."""
    voice_s: float = 0.0
    """Seconds of the users' sound that came."""
    answer_s: float = 0.0
    """Seconds of answers that were queued."""
    voice_dropped_s: float = 0.0
    """Seconds of the users' sound that came too fast for the service."""
    answer_dropped_s: float = 0.0
    """Seconds of answers that a page was too slow for."""
    closed: Counter[Close] = field(default_factory=Counter[Close])
    """Connections that the server closed, by code."""
    response_latencies: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    """Answers by response latency: one number for each of `LATENCY_BOUNDS_S`, and one above."""
    response_latency_sum_s: float = 0.0
    """Sum of all response latencies, in seconds."""

    def add_response_latency(self, latency_s: float) -> None:
        """Count one answer.

        Args:
            latency_s: From the end of the user's speech to the first audible sample, in seconds.
        """
        self.response_latencies[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
        self.response_latency_sum_s += latency_s
