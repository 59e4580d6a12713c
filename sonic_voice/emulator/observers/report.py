"""The conformance report: what each stream's client did right and wrong, rule by rule, as JSON.

    {"emulator": "...", "written_at": "...", "streams": 2, "conforming": 1, "refused": [...],
     "rules": {"open-audio": {"section": "6", "says": "...", "real_service": "..."}},
     "results": [{"request_id": "...", "model": "...", "conforms": true, "end": "finished",
                  "kept": ["order", ...], "deviates": [{"rule": "open-audio", "times": 1,
                  "details": [...]}], "broken": [], "untested": ["tool-id", ...]}]}

`conforms` means that nothing is in `broken`: nothing that the real service ends a stream for,
and nothing that a scenario expects in vain. What stands in `deviates` worked here and, as far as
known, works there; `real_service` says how far. The latest streams and refusals are kept, and the
counts of all.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from ..service.effects import Effect, StreamRefusal
from . import StreamStatistics
from .conformance import RULES, Judge, Mistake, Outcome

_KEPT = 200

type OnMistake = Callable[[StreamStatistics, Mistake], None]


class Report:
    """Satisfies `watch.Watch`. `on_mistake` hears of every mistake as it happens.

    `on_change` is called when a stream is over and when one is refused: time to write it again.
    """

    def __init__(self, on_mistake: OnMistake, on_change: Callable[[], None]) -> None:
        self._on_mistake = on_mistake
        self._on_change = on_change
        self._streams: deque[StreamJudged] = deque(maxlen=_KEPT)
        self._refused: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._over = 0
        self._conforming = 0

    def opened(self, statistics: StreamStatistics) -> "StreamJudged":
        """See `Watch`."""
        judged = StreamJudged(statistics, self._on_mistake, self._ended)
        self._streams.append(judged)
        return judged

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `Watch`."""
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
        """The whole report, for `json`."""
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

    def _ended(self, judge: Judge) -> None:
        self._over += 1
        self._conforming += judge.conforms
        self._on_change()


class StreamJudged:
    """One stream and its judge. Satisfies `watch.StreamWatch`."""

    def __init__(
        self, statistics: StreamStatistics, on_mistake: OnMistake, on_end: Callable[[Judge], None]
    ) -> None:
        self._statistics = statistics
        self._on_mistake = on_mistake
        self._on_end = on_end
        self._judge = Judge()
        self._opened_at = _now()

    def received(self, payload: bytes) -> None:
        """See `StreamWatch`."""
        self._tell(self._judge.received(payload))

    def input_ended(self) -> None:
        """See `StreamWatch`."""
        self._tell(self._judge.input_ended())

    def answered(self, effect: Effect) -> None:
        """See `StreamWatch`."""
        self._tell(self._judge.answered(effect))

    def over(self) -> None:
        """See `StreamWatch`."""
        self._on_end(self._judge)

    def result(self) -> dict[str, Any]:
        """This stream's entry, as far as it has come."""
        findings = self._judge.findings
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
            "conforms": self._judge.conforms,
            "broken": self._of("broken"),
            "deviates": self._of("deviates"),
            "kept": [name for name in RULES if name in findings and not findings[name].times],
            "untested": [name for name in RULES if name not in findings],
        }

    def _of(self, outcome: Outcome) -> list[dict[str, Any]]:
        return [
            {"rule": name, "times": found.times, "details": list(found.details)}
            for name, found in self._judge.findings.items()
            if found.outcome == outcome
        ]

    def _tell(self, mistakes: list[Mistake]) -> None:
        for mistake in mistakes:
            self._on_mistake(self._statistics, mistake)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
