"""The spans of a conversation, each of which learns of its end before all is known of it.

Tokens, texts and the response latency come after the end of what they belong to. A span is
therefore *finished* when its end is known, and *released* to the exporter when nothing more can
come of it. OpenTelemetry takes the earlier time as its end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from ..printable import printable_json
from ..wire import Tokens
from .conventions import (
    END_TURN,
    ERROR_TYPE,
    FINISH_REASONS,
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    call_part,
    message,
    spoken_part,
    token_attributes,
)

type Attributes = Mapping[str, str | int | float | bool | Sequence[str]]
"""Attributes of a span."""


@dataclass(slots=True)
class SpanFactory:
    """A factory of spans that begin and end at times of the conversation."""

    tracer: Tracer
    context: Context
    """Context that all spans of the conversation have as their parent."""
    wall_ns: Callable[[float], int]
    """Returns the time of day, in ns since 1970, for seconds of the session's clock."""

    def open(
        self, name: str, began_s: float, attributes: Attributes, *, client: bool = False
    ) -> "HeldSpan":
        """Return a span that has begun.

        Args:
            name: Its name.
            began_s: Its beginning, in seconds of the session's clock.
            attributes: Its attributes.
            client: Whether it is a request to the service.
        """
        span = self.tracer.start_span(
            name,
            context=self.context,
            kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
            attributes=attributes,
            start_time=self.wall_ns(began_s),
        )
        return HeldSpan(span, began_s, self.wall_ns)


@dataclass(slots=True)
class HeldSpan:
    """A span that is released to the exporter some time after its end."""

    span: Span
    began_s: float
    """Its beginning, in seconds of the session's clock."""
    wall_ns: Callable[[float], int]
    ended_s: float | None = None
    """Its end, in seconds of the session's clock; None while it lasts."""

    def finish(self, ended_s: float) -> None:
        """Set the end. It is never before the beginning.

        Args:
            ended_s: The end, in seconds of the session's clock.
        """
        self.ended_s = max(ended_s, self.began_s)

    def set(self, attributes: Attributes) -> None:
        """Add attributes.

        Args:
            attributes: The attributes.
        """
        self.span.set_attributes(attributes)

    def fail(self, kind: str, text: str = "") -> None:
        """Mark the span as failed.

        Args:
            kind: The error in a word, for `error.type`.
            text: The error in a sentence.
        """
        self.span.set_attribute(ERROR_TYPE, kind)
        self.span.set_status(Status(StatusCode.ERROR, text or None))

    def release(self) -> None:
        """Give the span to the exporter."""
        ended_s = self.began_s if self.ended_s is None else self.ended_s
        self.span.end(self.wall_ns(ended_s))


@dataclass(slots=True)
class Generation:
    """One answer of the model, up to its end, its interruption or its call of a tool."""

    held: HeldSpan
    turn: int
    content: bool
    """True to write the words into the span."""
    question: list[dict[str, Any]]
    """Messages that it answers."""
    tokens: Tokens = field(default_factory=Tokens)
    stop: str = ""
    """Reason of its end; empty while it lasts."""
    texts: dict[int, str] = field(default_factory=dict[int, str])
    """Its texts by their blocks; a final text replaces the planned one."""
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Its calls of tools, as parts of a message."""

    @property
    def open(self) -> bool:
        """True while the answer lasts."""
        return not self.stop

    def call(self, tool_use: str, name: str, arguments_json: str) -> None:
        """Add a call of a tool.

        Args:
            tool_use: Id of the call.
            name: Name of the tool.
            arguments_json: The arguments, as the model wrote them.
        """
        self.calls.append(call_part(tool_use, name, arguments_json))

    def finish(self, ended_s: float, stop: str) -> None:
        """Set the end of the answer.

        Args:
            ended_s: The end, in seconds of the session's clock.
            stop: Its reason.
        """
        self.stop = stop
        self.held.finish(ended_s)

    def release(self) -> None:
        """Give the span to the exporter, with all that is known."""
        stop = self.stop or END_TURN
        self.held.set({FINISH_REASONS: (stop,), **token_attributes(self.tokens)})
        if self.content:
            spoken = "".join(text for _, text in sorted(self.texts.items()))
            parts = [*([spoken_part(spoken)] if spoken else []), *self.calls]
            self.held.set(
                {
                    INPUT_MESSAGES: printable_json(self.question),
                    OUTPUT_MESSAGES: printable_json([message("assistant", parts, stop)]),
                }
            )
        self.held.release()
