"""The conformance report: the rules that each stream's client kept and broke, as JSON.

    {"emulator": "...", "written_at": "...", "streams": 2, "conforming": 1, "refused": [...],
     "rules": {"open-audio": {"section": "6", "says": "...", "real_service": "..."}},
     "results": [{"request_id": "...", "model": "...", "conforms": true, "end": "finished",
                  "kept": ["order", ...], "deviates": [{"rule": "open-audio", "times": 1,
                  "details": [...]}], "broken": [], "untested": ["tool-id", ...]}]}

`conforms` means that `broken` is empty: there was nothing for which the real service ends a stream,
and no expectation of a scenario was disappointed. What is listed in `deviates` worked here and, as
far as is known, works there; `real_service` gives the details. The report keeps the latest streams
and refusals, and counts all.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from ..service.effects import Effect, StreamRefusal
from . import StreamStatistics
from .conformance import ConformanceChecker, Outcome, RuleViolation
from .conformance_rules import RULES

_KEPT = 200
"""Maximum number of streams, and of refusals, that the report keeps."""

type OnMistake = Callable[[StreamStatistics, RuleViolation], None]
"""Called with each violation as it happens, and the statistics of its stream."""


class ConformanceReport:
    """An `EmulatorObserver` that checks streams and reports on them."""

    def __init__(self, on_mistake: OnMistake, on_change: Callable[[], None]) -> None:
        """Start an empty report.

        Args:
            on_mistake: Called with each violation as it happens.
            on_change: Called when a stream is over and when one is refused: the report has changed.
        """
        self._on_mistake = on_mistake
        self._on_change = on_change
        self._streams: deque[StreamReport] = deque(maxlen=_KEPT)
        self._refused: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._over = 0
        self._conforming = 0

    def opened(self, statistics: StreamStatistics) -> "StreamReport":
        """See `EmulatorObserver`."""
        judged = StreamReport(statistics, self._on_mistake, self._ended)
        self._streams.append(judged)
        return judged

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `EmulatorObserver`."""
        self._refused.append(
            {
                "request_id": request_id,
                "model": model_id,
                "status": refusal.status,
                "code": refusal.code,
                "message": refusal.message,
            }
        )
        self._on_change()

    def document(self) -> dict[str, Any]:
        """Return the whole report, for `json`."""
        rules = {
            name: {"section": rule.section, "says": rule.says, "real_service": rule.real}
            for name, rule in RULES.items()
        }
        return {
            "emulator": f"sonic-voice {version('sonic-voice')}",
            "written_at": _now(),
            "streams": self._over,
            "conforming": self._conforming,
            "refused": list(self._refused),
            "rules": rules,
            "results": [judged.result() for judged in self._streams],
        }

    def _ended(self, judge: ConformanceChecker) -> None:
        self._over += 1
        self._conforming += judge.conforms
        self._on_change()


class StreamReport:
    """A `StreamObserver` that checks one stream."""

    def __init__(
        self,
        statistics: StreamStatistics,
        on_mistake: OnMistake,
        on_end: Callable[[ConformanceChecker], None],
    ) -> None:
        self._statistics = statistics
        self._on_mistake = on_mistake
        self._on_end = on_end
        self._checker = ConformanceChecker()
        self._opened_at = _now()

    def received(self, payload: bytes) -> None:
        """See `StreamObserver`."""
        self._report(self._checker.received(payload))

    def input_ended(self) -> None:
        """See `StreamObserver`."""
        self._report(self._checker.input_ended())

    def answered(self, effect: Effect) -> None:
        """See `StreamObserver`."""
        self._report(self._checker.answered(effect))

    def over(self) -> None:
        """See `StreamObserver`."""
        self._on_end(self._checker)

    def result(self) -> dict[str, Any]:
        """Return the entry of this stream, as far as it has come."""
        findings = self._checker.findings
        statistics = self._statistics
        return {
            "request_id": statistics.request.request_id,
            "model": statistics.request.model_id,
            "region": statistics.request.region,
            "opened_at": self._opened_at,
            "end": statistics.end or "open",
            "error": statistics.error,
            "received_events": statistics.received_events,
            "sent_events": statistics.sent_events,
            "conforms": self._checker.conforms,
            "broken": self._rules_with("broken"),
            "deviates": self._rules_with("deviates"),
            "kept": [name for name in RULES if name in findings and not findings[name].times],
            "untested": [name for name in RULES if name not in findings],
        }

    def _rules_with(self, outcome: Outcome) -> list[dict[str, Any]]:
        return [
            {"rule": name, "times": found.times, "details": list(found.details)}
            for name, found in self._checker.findings.items()
            if found.outcome == outcome
        ]

    def _report(self, mistakes: list[RuleViolation]) -> None:
        for mistake in mistakes:
            self._on_mistake(self._statistics, mistake)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
