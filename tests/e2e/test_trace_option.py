"""`--trace`: spans and metrics of a conversation arrive at a collector, over OTLP and HTTP."""

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import cast

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
HELLO = DEMO.parent / "hello.wav"
TALK = (
    *("talk", "--local", "--scenario", str(DEMO / "demo.yaml"), "--input", str(HELLO)),
    *("--speed", "50", "--no-save", "--trace"),
)


def talk(endpoint: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **environment}
    return subprocess.run(
        [sys.executable, "-m", "sonic_voice", *TALK, *options],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def collector() -> Generator[tuple[str, dict[str, list[bytes]]]]:
    """A collector: its URL, and the bodies that were posted, by their path."""
    bodies: dict[str, list[bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_collector_receives_spans_events_and_metrics_without_content() -> None:
    with collector() as (url, bodies):
        done = talk(url, OTEL_SERVICE_NAME="kiosk")
    assert (done.returncode, done.stderr) == (0, "")
    spans = [
        (
            span.name,
            {resource.key: resource.value.string_value for resource in found.resource.attributes},
        )
        for body in bodies["/v1/traces"]
        for found in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in found.scope_spans
        for span in scope.spans
    ]
    names = {name for name, _ in spans}
    assert {"user_speech", "realtime_inference amazon.nova-2-sonic-v1:0"} <= names
    assert {resource["service.name"] for _, resource in spans} == {"kiosk"}
    events = [
        record.event_name
        for body in bodies["/v1/logs"]
        for found in ExportLogsServiceRequest.FromString(body).resource_logs
        for scope in found.scope_logs
        for record in scope.log_records
    ]
    assert events == [
        "gen_ai.client.realtime_session.started",
        "gen_ai.client.realtime_session.ended",
    ]
    metrics = {
        metric.name
        for body in bodies["/v1/metrics"]
        for found in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in found.scope_metrics
        for metric in scope.metrics
    }
    assert {"gen_ai.client.inference.tokens", "sonic_voice.response_latency"} <= metrics
    assert b"hello" not in b"".join(body for posted in bodies.values() for body in posted)


PERSONAL = """
steps:
  - user: hello
    say: Mail jo@example.com or call 415-555-0123.
"""


def test_content_that_was_asked_for_is_masked_where_files_are(tmp_path: Path) -> None:
    (tmp_path / "personal.yaml").write_text(PERSONAL)
    options = ("--scenario", str(tmp_path / "personal.yaml"), "--mask-pii")
    with collector() as (url, bodies):
        done = talk(url, *options, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true")
    assert (done.returncode, done.stderr) == (0, "")
    sent = b"".join(body for posted in bodies.values() for body in posted)
    assert b"Mail [email] or call [phone]." in sent
    assert b"415-555" not in sent


def test_a_collector_that_is_not_there_is_one_notice_and_the_conversation_is_held() -> None:
    done = talk("http://127.0.0.1:9")
    assert done.returncode == 0
    assert "nova  Hello!" in done.stdout
    assert done.stderr.count("collector of OpenTelemetry") == 1
    assert "Traceback" not in done.stderr
