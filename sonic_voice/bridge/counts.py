"""What has happened so far, as Prometheus reads it (text format 0.0.4). No names, no words."""

from collections import Counter
from dataclasses import dataclass, field

from .closing import Close

LATENCY_BOUNDS_S = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass(slots=True)
class Counts:
    """Grows with the server's life; belongs to its event loop."""

    conversations: int = 0
    """Begun so far."""
    resumed: int = 0
    voice_s: float = 0.0
    """Seconds of the users' sound that came."""
    answer_s: float = 0.0
    """Seconds of answers that were queued."""
    voice_dropped_s: float = 0.0
    answer_dropped_s: float = 0.0
    closed: Counter[Close] = field(default_factory=Counter[Close])
    felt_s: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    felt_sum_s: float = 0.0

    def felt(self, latency_s: float) -> None:
        """An answer was audible so long after the end of speech."""
        index = sum(latency_s > bound for bound in LATENCY_BOUNDS_S)
        self.felt_s[index] += 1
        self.felt_sum_s += latency_s

    def text(self, *, talking: int, connected: int) -> str:
        """The page of `/metrics`."""
        lines = [
            *_metric("conversations", "gauge", "Conversations now, kept ones included.", talking),
            *_metric("connections", "gauge", "WebSocket connections now.", connected),
            *_metric("conversations_total", "counter", "Begun so far.", self.conversations),
            *_metric("resumed_total", "counter", "Connections that resumed.", self.resumed),
            *_metric("voice_seconds_total", "counter", "Users' sound.", self.voice_s),
            *_metric("answer_seconds_total", "counter", "Answers' sound.", self.answer_s),
            *_metric(
                "voice_dropped_seconds_total",
                "counter",
                "Users' sound that came too fast for the service.",
                self.voice_dropped_s,
            ),
            *_metric(
                "answer_dropped_seconds_total",
                "counter",
                "Answers' sound that a page was too slow for.",
                self.answer_dropped_s,
            ),
            *_head("closed_total", "counter", "Connections closed by us, by code."),
        ]
        closed = [
            f'sonic_voice_closed_total{{code="{close.value}"}} {count}'
            for close, count in sorted(self.closed.items())
        ]
        return "\n".join([*lines, *closed, *self._histogram(), ""])

    def _histogram(self) -> list[str]:
        name = "sonic_voice_felt_latency_seconds"
        lines = _head("felt_latency_seconds", "histogram", "End of speech to audible answer.")
        so_far = 0
        for bound, count in zip((*LATENCY_BOUNDS_S, "+Inf"), self.felt_s, strict=True):
            so_far += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {so_far}')
        return [*lines, f"{name}_sum {self.felt_sum_s:.3f}", f"{name}_count {so_far}"]


def _head(name: str, kind: str, what: str) -> list[str]:
    return [f"# HELP sonic_voice_{name} {what}", f"# TYPE sonic_voice_{name} {kind}"]


def _metric(name: str, kind: str, what: str, value: float) -> list[str]:
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    return [*_head(name, kind, what), f"sonic_voice_{name} {shown}"]
