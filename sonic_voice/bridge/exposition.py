"""The content of `/metrics`, written by `prometheus_client`.

Each bridge has its own registry, so that two bridges in one process do not collide. An application
can add a bridge to its own metrics with
`prometheus_client.REGISTRY.register(bridge.exposition.registry)`. The values are read from
`BridgeMetrics` on each request. No `_created` series are written.

Importing this module takes 0.2 s, for `prometheus_client`. A `Bridge` does so when it is created.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .metrics import LATENCY_BOUNDS_S, BridgeMetrics

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Content type of `/metrics`."""


class Exposition:
    """The metrics of one bridge.

    Args:
        metrics: The counters of the bridge.
        talking: Returns the number of conversations, including those that wait for their page.
        connected: Returns the number of WebSocket connections.
    """

    def __init__(
        self, metrics: BridgeMetrics, *, talking: Callable[[], int], connected: Callable[[], int]
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_BridgeCollector(metrics, talking, connected))

    def page(self) -> bytes:
        """Return the metrics in the text format of Prometheus, UTF-8."""
        return generate_latest(self.registry)


class _BridgeCollector(Collector):
    """A collector that reads `BridgeMetrics` whenever its registry is read."""

    def __init__(
        self, metrics: BridgeMetrics, talking: Callable[[], int], connected: Callable[[], int]
    ) -> None:
        self._metrics = metrics
        self._talking = talking
        self._connected = connected

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family, with its current values."""
        metrics = self._metrics
        yield _gauge("conversations", "Conversations now, kept ones included.", self._talking())
        yield _gauge("connections", "WebSocket connections now.", self._connected())
        for name, text, value in (
            ("conversations_started", "Conversations begun.", metrics.conversations),
            ("resumed", "Connections that resumed a conversation.", metrics.resumed),
            ("voice_seconds", "Users' sound.", metrics.voice_s),
            ("answer_seconds", "Answers' sound.", metrics.answer_s),
            (
                "voice_dropped_seconds",
                "Users' sound that came too fast for the service.",
                metrics.voice_dropped_s,
            ),
            (
                "answer_dropped_seconds",
                "Answers' sound that a page was too slow for.",
                metrics.answer_dropped_s,
            ),
        ):
            yield CounterMetricFamily(f"sonic_voice_{name}", text, value=value)
        for name, text, counts in (
            ("renewals", "Planned moves to a new stream, by reason.", metrics.renewals),
            ("reconnects", "Faults that a conversation survived, by kind.", metrics.reconnects),
            (
                "reconnect_attempts",
                "Attempts to connect again, by the kind of the fault before.",
                metrics.reconnect_attempts,
            ),
        ):
            family = CounterMetricFamily(f"sonic_voice_{name}", text, labels=["reason"])
            for reason, count in sorted(counts.items()):
                family.add_metric([reason], count)
            yield family
        closed = CounterMetricFamily(
            "sonic_voice_closed", "Connections closed by the server, by code.", labels=["code"]
        )
        for close, count in sorted(metrics.closed.items()):
            closed.add_metric([str(close.value)], count)
        yield closed
        bounds = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
        yield HistogramMetricFamily(
            "sonic_voice_response_latency_seconds",
            "From the end of the user's speech to the first audible sample of the answer.",
            buckets=list(zip(bounds, accumulate(metrics.response_latencies), strict=True)),
            sum_value=metrics.response_latency_sum_s,
        )


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(f"sonic_voice_{name}", text, value=value)
