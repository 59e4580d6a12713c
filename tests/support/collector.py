"""An OpenTelemetry collector in memory, with the providers that feed it."""

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Collector:
    """Three providers and what was exported through them."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()
        self._metrics = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.meter_provider = MeterProvider([self._metrics], shutdown_on_exit=False)

    @property
    def providers(self) -> dict[str, Any]:
        """The providers, as arguments of `Tracing`."""
        return {
            "tracer_provider": self.tracer_provider,
            "logger_provider": self.logger_provider,
            "meter_provider": self.meter_provider,
        }

    def spans(self, operation: str = "") -> list[ReadableSpan]:
        """The spans of an operation in the order of their beginnings; all of them without one."""
        found = [
            span
            for span in self._spans.get_finished_spans()
            if operation in ("", attributes(span).get("gen_ai.operation.name"))
        ]
        return sorted(found, key=lambda span: span.start_time or 0)

    @property
    def events(self) -> list[tuple[str, dict[str, Any], int]]:
        """The events: name, attributes and time in ns."""
        records = [data.log_record for data in self._logs.get_finished_logs()]
        return [
            (str(record.event_name), dict(record.attributes or {}), int(record.timestamp or 0))
            for record in records
        ]

    def points(self, metric: str) -> Iterator[tuple[dict[str, Any], Any]]:
        """Yield the data points of a metric: attributes and point."""
        data = self._metrics.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for found in scope.metrics:
                    if found.name == metric:
                        for point in found.data.data_points:
                            yield dict(point.attributes or {}), point


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})


def seconds(span: ReadableSpan) -> float:
    """Return the length of a span, in seconds."""
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9
