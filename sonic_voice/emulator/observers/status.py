"""The content of the status page: the latest streams, their states, events and transcripts.

The numbers of streams, events, lines and characters are limited. No audio is kept, and credentials
never reach this module.
"""

import json
from collections import deque
from datetime import UTC, datetime
from typing import Any

from ...config import BYTES_PER_SAMPLE
from ...errors import WireError
from ...wire import (
    AudioBlock,
    AudioInput,
    AudioOutput,
    AudioStart,
    TextBlock,
    TextInput,
    TextOutput,
    ToolResult,
    ToolUse,
    UsageEvent,
    decode_input,
    decode_output,
)
from ..service.effects import Break, Effect, Emit, Fail, StreamRefusal
from . import StreamStatistics
from .conformance import ConformanceChecker, RuleViolation

_STREAMS = 30
"""Maximum number of streams that are shown."""
_EVENTS = 15
"""Maximum number of events, and of violations, that are shown of a stream."""
_LINES = 40
"""Maximum number of lines of a transcript."""
_LETTERS = 500
"""Maximum length of a line, in characters."""


class EmulatorStatus:
    """An `EmulatorObserver` that keeps the latest streams for the status page."""

    def __init__(self) -> None:
        self._streams: deque[StreamStatus] = deque(maxlen=_STREAMS)
        self._total = 0
        self._refused = 0

    def opened(self, statistics: StreamStatistics) -> "StreamStatus":
        """See `EmulatorObserver`."""
        self._total += 1
        shown = StreamStatus(statistics)
        self._streams.append(shown)
        return shown

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `EmulatorObserver`."""
        self._refused += 1

    def document(self, endpoint: str) -> dict[str, Any]:
        """Return the content of the page, for `json`; the newest stream is first.

        Args:
            endpoint: URL of the emulator.
        """
        streams = [shown.document() for shown in reversed(self._streams)]
        return {
            "endpoint": endpoint,
            "open": sum(one["end"] == "open" for one in streams),
            "total": self._total,
            "refused": self._refused,
            "streams": streams,
        }


class StreamStatus:
    """A `StreamObserver` that keeps the status of one stream."""

    def __init__(self, statistics: StreamStatistics) -> None:
        self._statistics = statistics
        self._opened_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._checker = ConformanceChecker()
        self._mistakes: deque[str] = deque(maxlen=_EVENTS)
        self._events: deque[tuple[str, int]] = deque(maxlen=_EVENTS)
        self._transcript: deque[dict[str, str]] = deque(maxlen=_LINES)
        self._stage: dict[str, str] = {}
        self._heard_s = 0.0
        self._said_s = 0.0
        self._in_hz = self._out_hz = 0

    def received(self, payload: bytes) -> None:
        """See `StreamObserver`."""
        self._add_violations(self._checker.received(payload))
        try:
            record = decode_input(payload)
        except WireError:
            self._add_event("→ unreadable")
            return
        match record:
            case AudioStart(rate_hz=rate_hz):
                self._in_hz = rate_hz
            case AudioInput(pcm=pcm):
                self._heard_s += _seconds(pcm, self._in_hz)
            case TextInput(text=text):
                self._add_line("USER", "typed", text)
            case ToolResult(result_json=result):
                self._add_line("TOOL", "result", result)
            case _:
                pass
        self._add_event(f"→ {_name(payload)}")

    def input_ended(self) -> None:
        """See `StreamObserver`."""
        self._add_violations(self._checker.input_ended())
        self._add_event("→ end of input")

    def answered(self, effect: Effect) -> None:
        """See `StreamObserver`."""
        self._add_violations(self._checker.answered(effect))
        match effect:
            case Emit(payload):
                self._show_output(payload)
            case Fail(code):
                self._add_event(f"← {code}")
            case Break(how):
                self._add_event(f"← {how}")
            case _:
                pass

    def over(self) -> None:
        """See `StreamObserver`."""

    def document(self) -> dict[str, Any]:
        """Return the status of this stream, for `json`."""
        statistics = self._statistics
        return {
            "request_id": statistics.request.request_id,
            "model": statistics.request.model_id,
            "opened_at": self._opened_at,
            "state": self._checker.state.name.lower(),
            "end": statistics.end or "open",
            "error": statistics.error,
            "heard_s": round(self._heard_s, 1),
            "said_s": round(self._said_s, 1),
            "mistakes": list(self._mistakes),
            "events": [f"{name} ×{n}" if n > 1 else name for name, n in self._events],
            "transcript": list(self._transcript),
        }

    def _show_output(self, payload: bytes) -> None:
        try:
            record = decode_output(payload)
        except WireError:
            return
        match record:
            case TextBlock(content_id=content, stage=stage):
                self._stage = {content: stage or ""}
            case TextOutput(content_id=content, text=text, role=role):
                self._add_service_line(role, self._stage.get(content, ""), text)
            case AudioBlock(rate_hz=rate_hz):
                self._out_hz = rate_hz
            case AudioOutput(pcm=pcm):
                self._said_s += _seconds(pcm, self._out_hz)
            case ToolUse(name=name, arguments_json=arguments):
                self._add_line("TOOL", "call", f"{name} {arguments}")
            case UsageEvent():
                return
            case _:
                pass
        self._add_event(f"← {_name(payload)}")

    def _add_service_line(self, role: str, stage: str, text: str) -> None:
        """Add a line of the service. A FINAL one replaces the SPECULATIVE one that it confirms."""
        if role == "ASSISTANT" and stage == "FINAL":
            for line in self._transcript:
                if line["stage"] == "SPECULATIVE" and line["text"] == text[:_LETTERS]:
                    line["stage"] = stage
                    return
        self._add_line(role, stage, text)

    def _add_line(self, role: str, stage: str, text: str) -> None:
        self._transcript.append({"role": role, "stage": stage, "text": text[:_LETTERS]})

    def _add_event(self, name: str) -> None:
        if self._events and self._events[-1][0] == name:
            self._events[-1] = (name, self._events[-1][1] + 1)
        else:
            self._events.append((name, 1))

    def _add_violations(self, mistakes: list[RuleViolation]) -> None:
        self._mistakes.extend(str(mistake)[:_LETTERS] for mistake in mistakes)


def _seconds(pcm: bytes, rate_hz: int) -> float:
    return len(pcm) / BYTES_PER_SAMPLE / rate_hz if rate_hz > 0 else 0.0


def _name(payload: bytes) -> str:
    return next(iter(json.loads(payload)["event"]))
