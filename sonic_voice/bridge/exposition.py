"""The metrics of a bridge for Prometheus, in a registry of its own or over several processes.

`Exposition` publishes one bridge. Each bridge has its own registry, so that several in one process
do not collide. An application adds them to its own page with
`prometheus_client.REGISTRY.register(bridge.exposition.registry)`. The values are read from
`BridgeMetrics` on each request. No `_created` series are written.

`SharedExposition` publishes the bridges of several processes, with the multiprocess mode of
`prometheus_client`: each process writes its values to files in the folder that the environment
variable `PROMETHEUS_MULTIPROC_DIR` names, and any of them returns the sums. It must be set before
`prometheus_client` is imported. Counters of a process that has ended are kept; its gauges are
removed by the supervisor of the processes, with `remove_process`.

Importing this module takes 0.2 s, for `prometheus_client`. A `Bridge` does so when it is created.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
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

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder of the multiprocess mode."""

_LATENCY = "sonic_voice_response_latency_seconds"
_LATENCY_TEXT = "From the end of the user's speech to the first audible sample of the answer."


@dataclass(frozen=True, slots=True)
class _Total:
    """A counter of a bridge, with its present values."""

    name: str
    """Name of the metric, without `sonic_voice_` and `_total`."""
    text: str
    """Description of the metric, for its help line."""
    label: str
    """Name of the label; empty if there is one value."""
    values: Mapping[str, float]
    """Values by label."""


def _totals(metrics: BridgeMetrics) -> Iterable[_Total]:
    """Yield the counters of a bridge, in the order of the page."""
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
        yield _Total(name, text, "", {"": value})
    for name, text, counts in (
        ("renewals", "Planned moves to a new stream, by reason.", metrics.renewals),
        ("reconnects", "Faults that a conversation survived, by kind.", metrics.reconnects),
        (
            "reconnect_attempts",
            "Attempts to connect again, by the kind of the fault before.",
            metrics.reconnect_attempts,
        ),
    ):
        yield _Total(name, text, "reason", dict(sorted(counts.items())))
    for name, text, closes in (
        ("closed", "Conversations that have ended, by code.", metrics.closed),
        ("rejected", "Connections rejected before a conversation.", metrics.rejected),
    ):
        by_code = {str(close.value): count for close, count in sorted(closes.items())}
        yield _Total(name, text, "code", by_code)


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
        self._collector = _BridgeCollector(metrics, talking, connected)
        self.registry.register(self._collector)

    def page(self) -> bytes:
        """Return the metrics in the text format of Prometheus, UTF-8."""
        return generate_latest(self.registry)

    def write(self) -> None:
        """Do nothing: the values are read when the page is asked for."""


class SharedExposition(Exposition):
    """The metrics of all processes that write to the folder of `PROMETHEUS_MULTIPROC_DIR`.

    Its registry has those of this process. `write` must be called from time to time.

    Args:
        metrics: The counters of the bridge of this process.
        talking: As for `Exposition`.
        connected: As for `Exposition`.
    """

    def __init__(
        self, metrics: BridgeMetrics, *, talking: Callable[[], int], connected: Callable[[], int]
    ) -> None:
        super().__init__(metrics, talking=talking, connected=connected)
        files: dict[str, Any] = {"registry": CollectorRegistry()}
        self._metrics = metrics
        self._gauges = [
            (
                Gauge(f"sonic_voice_{name}", text, multiprocess_mode="livesum", **files),
                current,
            )
            for name, text, current in self._collector.gauges
        ]
        self._counters = {
            total.name: Counter(
                f"sonic_voice_{total.name}",
                total.text,
                [total.label] if total.label else [],
                **files,
            )
            for total in _totals(metrics)
        }
        self._latency = Histogram(_LATENCY, _LATENCY_TEXT, buckets=LATENCY_BOUNDS_S, **files)
        self._written: dict[tuple[str, str], float] = {}
        self.write()

    def write(self) -> None:
        """Write the present values to the files. It takes about 20 µs."""
        for gauge, current in self._gauges:
            gauge.set(current())
        for total in _totals(self._metrics):
            for label, value in total.values.items():
                counter = self._counters[total.name]
                more = self._growth(total.name, label, value)
                (counter.labels(label) if total.label else counter).inc(more)
        # A histogram is fed with single observations only; its parts are counted here one by one.
        parts = cast(Any, self._latency)
        for bucket, (count, part) in enumerate(
            zip(self._metrics.response_latencies, parts._buckets, strict=True)
        ):
            part.inc(self._growth("latency bucket", str(bucket), count))
        parts._sum.inc(self._growth("latency sum", "", self._metrics.response_latency_sum_s))

    def page(self) -> bytes:
        """Return the sums over all processes in the text format of Prometheus, UTF-8."""
        from prometheus_client.multiprocess import MultiProcessCollector

        self.write()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)

    def _growth(self, name: str, label: str, value: float) -> float:
        """Return by how much a value has grown since it was written, and note that it is."""
        before = self._written.get((name, label), 0.0)
        self._written[name, label] = value
        return value - before


def exposition(
    metrics: BridgeMetrics, *, talking: Callable[[], int], connected: Callable[[], int]
) -> Exposition:
    """Return the metrics of this bridge, or of all processes if the environment names a folder.

    Args:
        metrics: The counters of the bridge.
        talking: Returns the number of conversations, including those that wait for their page.
        connected: Returns the number of WebSocket connections.
    """
    kind = SharedExposition if os.environ.get(FOLDER_VARIABLE) else Exposition
    return kind(metrics, talking=talking, connected=connected)


def remove_process(pid: int) -> None:
    """Remove the gauges of a process that has ended, so that they are counted no longer.

    Args:
        pid: The id of the process.
    """
    from prometheus_client import multiprocess

    cast(Any, multiprocess).mark_process_dead(pid)


class _BridgeCollector(Collector):
    """A collector that reads `BridgeMetrics` whenever its registry is read."""

    def __init__(
        self, metrics: BridgeMetrics, talking: Callable[[], int], connected: Callable[[], int]
    ) -> None:
        self._metrics = metrics
        self.gauges = (
            ("conversations", "Conversations now, kept ones included.", talking),
            ("connections", "WebSocket connections now.", connected),
        )

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family, with its current values."""
        metrics = self._metrics
        for name, text, current in self.gauges:
            yield GaugeMetricFamily(f"sonic_voice_{name}", text, value=current())
        for total in _totals(metrics):
            labels = [total.label] if total.label else []
            family = CounterMetricFamily(f"sonic_voice_{total.name}", total.text, labels=labels)
            for label, value in total.values.items():
                family.add_metric([label] if total.label else [], value)
            yield family
        bounds = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
        yield HistogramMetricFamily(
            _LATENCY,
            _LATENCY_TEXT,
            buckets=list(zip(bounds, accumulate(metrics.response_latencies), strict=True)),
            sum_value=metrics.response_latency_sum_s,
        )
