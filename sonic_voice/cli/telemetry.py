"""Tracing for the commands (`--trace`): spans, events and metrics go to an OpenTelemetry collector.

The collector is where the variables of OpenTelemetry say, over HTTP: `OTEL_EXPORTER_OTLP_ENDPOINT`
(http://localhost:4318 by default), `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and others.
Three threads of the SDK send them. A collector that does not answer is one notice, and costs at
most `FLUSH_S` at the end; the conversations go on.
"""

import logging
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ..conversation import Observer
from ..errors import ConfigError
from ..extras import install_command
from ..masked_events import masked
from ..metrics import Metrics, SessionObserver
from ..session import Session

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""Variable of OpenTelemetry's conventions that asks for the content of conversations."""

FLUSH_S = 5.0
"""Maximum time to wait for the collector at the end, in seconds."""

SERVICE_NAME = "sonic-voice"
"""Name of the service in the collector, unless `OTEL_SERVICE_NAME` has another."""


@contextmanager
def telemetry(
    wanted: bool, on_notice: Callable[[str], object], *, mask_pii: bool = False
) -> Generator[SessionObserver | None]:
    """Send the tracing of the sessions of this block to a collector, and the rest at its end.

    Args:
        wanted: Whether there is any.
        on_notice: Called with a sentence if the collector does not take it, from any thread.
        mask_pii: Whether personal data in the content is masked.

    Yields:
        A function that returns the observer of a session; None if it is not wanted.

    Raises:
        ConfigError: A package of the extra `otel` is missing.
    """
    if not wanted:
        yield None
        return
    try:
        from ..tracing import Tracing
        from .telemetry_export import exporting
    except ImportError as error:
        raise ConfigError(
            "--trace needs packages of OpenTelemetry.",
            hint=f"Install them: {install_command('otel')}",
        ) from error
    content = os.environ.get(CONTENT_VARIABLE, "").lower() in ("true", "1", "span_only")
    tracings: list[Tracing] = []

    def observer(session: Session, metrics: Metrics, conversation: str | None) -> Observer:
        tracings[:] = [tracing for tracing in tracings if not tracing.closed]
        options: dict[str, Any] = {**providers, "content": content}
        tracings.append(Tracing(session, metrics, conversation=conversation, **options))
        return masked(tracings[-1]) if mask_pii else tracings[-1]

    with _quiet_sdk(), exporting(SERVICE_NAME, FLUSH_S, on_notice) as providers:
        try:
            yield observer
        finally:
            for tracing in tracings:
                tracing.close()


@contextmanager
def _quiet_sdk() -> Generator[None]:
    """Keep the SDK from printing its log, because what is wrong is a notice."""
    log, handler = logging.getLogger("opentelemetry"), logging.NullHandler()
    log.addHandler(handler)
    propagates, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.propagate = propagates
        log.removeHandler(handler)
