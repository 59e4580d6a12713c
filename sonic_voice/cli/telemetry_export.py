"""The providers of OpenTelemetry's SDK that send to a collector over HTTP."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


@contextmanager
def exporting(
    service: str, flush_s: float, on_notice: Callable[[str], object]
) -> Generator[dict[str, Any]]:
    """Send what the providers receive to the collector, and the rest at the end of the block.

    Args:
        service: Name of the service, unless the environment has one.
        flush_s: Maximum time to wait for the collector at the end, in seconds.
        on_notice: Called with a sentence, once, if the collector does not take the spans.

    Yields:
        The providers, as arguments of `Tracing`.
    """
    resource = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = _NoticingExporter(OTLPSpanExporter(timeout=flush_s), on_notice)
    tracers.add_span_processor(BatchSpanProcessor(exporter))
    loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(timeout=flush_s)))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=flush_s))
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    try:
        yield {"tracer_provider": tracers, "logger_provider": loggers, "meter_provider": meters}
    finally:
        tracers.shutdown()
        if not exporter.failed:  # the others would wait for the same collector
            loggers.shutdown()
            meters.shutdown(timeout_millis=1000 * flush_s)


class _NoticingExporter(SpanExporter):
    """An exporter that reports the first failure of another one."""

    def __init__(self, exporter: SpanExporter, on_notice: Callable[[str], object]) -> None:
        self.failed = False
        self._exporter = exporter
        self._notice = on_notice
        self._lock = Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter`."""
        result = self._exporter.export(spans)
        with self._lock:
            first = result is SpanExportResult.FAILURE and not self.failed
            self.failed = self.failed or first
        if first:
            self._notice(
                "The collector of OpenTelemetry does not take the spans. Check "
                "OTEL_EXPORTER_OTLP_ENDPOINT; http://localhost:4318 is its default."
            )
        return result

    def shutdown(self) -> None:
        """See `SpanExporter`."""
        self._exporter.shutdown()
