"""Tracing: the spans, events and metrics of a conversation, for OpenTelemetry.

    tracing = Tracing(session, metrics)
    await converse(session, source, sink, tools, [metrics, tracing])
    tracing.close()

    user_speech               the user's speech, bounded by the positions that the service reports
    realtime_inference MODEL  one answer, from the moment at which the service noticed the end of
                              speech (or took the text, or a tool's result) to its end, to its
                              interruption, or to its call of a tool
    execute_tool NAME         a call, until its result is sent
    realtime_session.started, .ended    events, one pair for each service stream

The spans are siblings: a conversation lasts too long to be a span. `gen_ai.conversation.id` is the
same for all of them, and `gen_ai.realtime_session.id` for all of one service stream. Their parent
is the span that was current when the tracing was created.

The spans are on the clock of the session, which begins at the time of day of the tracing. A
recording that runs faster than real time therefore has spans as long as the speech in it.

`Tracing` needs `opentelemetry-api`, in the extra `otel`. Where the spans go is decided by the
providers that the application has configured. Source of the names: `conventions`.
"""

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from opentelemetry import context, metrics, trace
from opentelemetry._logs import LoggerProvider, get_logger_provider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from ..errors import fault_kind
from ..events import (
    AssistantText,
    Audio,
    Closed,
    Ended,
    Event,
    Heard,
    Interrupted,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    Usage,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from ..metrics import Metrics
from ..printable import printable, printable_json, printable_lines
from ..session import Session
from ..wire import Tokens
from . import conventions as names
from .instruments import Instruments, latency_parts
from .spans import Attributes, Generation, HeldSpan, SpanFactory

SCOPE = "sonic_voice"
"""Name of the instrumentation, by which a collector can filter."""


class Tracing:
    """An observer that reports a conversation to OpenTelemetry. Pass it to `converse`.

    It must come after `metrics` in the list of observers. `close` ends what is open.

    Args:
        session: The session.
        metrics: Its metrics, which measure the response latency.
        content: Whether the spans contain what was said, and arguments and results of tools.
        conversation: Id of the conversation; None for a new one.
        attributes: Further attributes of every span and event, such as `server.address`.
        tracer_provider: Provider of the spans; None for the global one.
        meter_provider: Provider of the metrics; None for the global one.
        logger_provider: Provider of the events; None for the global one.
    """

    def __init__(
        self,
        session: Session,
        metrics: Metrics,
        *,
        content: bool = False,
        conversation: str | None = None,
        attributes: Mapping[str, str] | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        self.conversation = conversation or str(uuid4())
        """Id of the conversation, the same for all its service streams."""
        self._session = session
        self._metrics = metrics
        self._content = content
        model = session.config.model
        self._model = {names.PROVIDER_NAME: names.PROVIDER, names.REQUEST_MODEL: model}
        self._attributes = {
            **self._model,
            **(attributes or {}),
            names.CONVERSATION_ID: self.conversation,
        }
        self._began = (session.now(), time.time_ns())
        self._spans = SpanFactory(
            trace.get_tracer(SCOPE, tracer_provider=tracer_provider),
            context.get_current(),
            self._wall_ns,
        )
        self._logger = (logger_provider or get_logger_provider()).get_logger(SCOPE)
        self._instruments = Instruments(_meter(meter_provider), self._model)
        self._stream = 1
        self._closed = False
        self._waiting_tokens = Tokens()
        """Tokens that were counted since the last answer, and belong to the next one."""
        self._newest_turn = 0
        self._asked_s: float | None = None
        """Time from which the service works on the next answer; None if none is expected."""
        self._detected_s: float | None = None
        """Time at which the service noticed the end of the newest speech."""
        self._speaking = False
        self._question: list[dict[str, Any]] = []
        self._generation: Generation | None = None
        self._speech: HeldSpan | None = None
        self._tools: dict[str, HeldSpan] = {}
        self._timed_turns: set[int] = set()
        self._emit(names.SESSION_STARTED, self._began[0])

    def __call__(self, event: Event, now: float) -> None:
        """Record one event.

        Args:
            event: The event.
            now: The time at which it came, in seconds of the session's clock.
        """
        if self._closed:
            return
        match event:
            case UserSpeechStarted() | UserSpeechEnded() | UserText():
                self._observe_user(event, now)
            case AssistantText() | Audio() | TurnEnded() | Interrupted() | Heard():
                self._observe_answer(event, now)
            case ToolCall() | ToolAnswered():
                self._observe_tool(event, now)
            case Usage(delta):
                self._count(delta)
            case Renewed(reason=reason):
                self._emit(names.SESSION_ENDED, now, {names.RENEWAL_REASON: printable(reason)})
                self._stream += 1
                self._emit(names.SESSION_STARTED, now)
            case Ended(error):
                self._end(now, fault_kind(error), str(error))
            case Closed():
                self._end(now)
            case _:
                pass

    def close(self) -> None:
        """End all that is open. Repeating it does nothing, nor does it after the last event."""
        self._end(self._session.now())

    @property
    def closed(self) -> bool:
        """True after the last event of the conversation, or `close`."""
        return self._closed

    # -- the user ------------------------------------------------------------------------------

    def _observe_user(
        self, event: UserSpeechStarted | UserSpeechEnded | UserText, now: float
    ) -> None:
        match event:
            case UserSpeechStarted(offset_ms):
                self._release_speech(now)
                self._speaking, self._detected_s = True, None
                attributes = self._operation(names.USER_SPEECH)
                began_s = self._audio_s(offset_ms)
                self._speech = self._spans.open(names.USER_SPEECH, began_s, attributes)
            case UserSpeechEnded(offset_ms, detected_ms):
                self._speaking = False
                self._detected_s = self._audio_s(detected_ms)
                if self._speech is not None:
                    self._speech.finish(self._audio_s(offset_ms))
            case UserText(turn, text, typed):
                self._newest_turn = turn
                spoken_until_s = None if typed else self._detected_s
                self._asked_s = now if spoken_until_s is None else spoken_until_s
                part = names.typed_part(text) if typed else names.spoken_part(text)
                said = names.message("user", [part])
                self._question.append(said)
                if self._content and self._speech is not None and not typed:
                    self._speech.set({names.INPUT_MESSAGES: printable_json([said])})

    def _release_speech(self, now: float) -> None:
        if self._speech is not None:
            if self._speech.ended_s is None:
                self._speech.set({names.SPEECH_END_REPORTED: False})
                self._speech.finish(now)
            self._speech.release()
            self._speech = None

    # -- the model -----------------------------------------------------------------------------

    def _observe_answer(
        self, event: AssistantText | Audio | TurnEnded | Interrupted | Heard, now: float
    ) -> None:
        match event:
            case AssistantText(turn, block, text, "SPECULATIVE"):
                self._answer(turn, now).texts[block] = text
            case AssistantText(turn, block, text):
                if (current := self._generation_of(turn)) is not None and block in current.texts:
                    current.texts[block] = text
            case Audio(turn):
                self._answer(turn, now)
            case TurnEnded(turn):
                self._finish(turn, now, names.END_TURN)
            case Interrupted(turn):
                self._finish(turn, now, names.INTERRUPTED_STOP)
                self._mark(turn, {names.INTERRUPTED: True})
            case Heard(turn, heard_ms):
                self._mark(turn, {names.HEARD_MS: heard_ms})

    def _generation_of(self, turn: int) -> Generation | None:
        """Return the newest answer if it belongs to a turn."""
        current = self._generation
        return current if current is not None and current.turn == turn else None

    def _answer(self, turn: int, now: float) -> Generation:
        """Return the answer that is going on, which begins with this event if there is none."""
        current = self._generation_of(turn)
        if current is not None and current.open:
            return current
        self._release_generation(now)
        model = self._session.config.model
        held = self._spans.open(
            f"{names.INFERENCE} {model}",
            now if self._asked_s is None else min(self._asked_s, now),
            {
                **self._operation(names.INFERENCE),
                names.RESPONSE_MODEL: model,
                names.OUTPUT_TYPE: "speech",
                names.TURN: turn,
            },
            client=True,
        )
        self._newest_turn = turn
        self._generation = Generation(
            held, turn, self._content, self._question, tokens=self._waiting_tokens
        )
        self._question, self._waiting_tokens = [], Tokens()
        self._asked_s = self._detected_s = None
        return self._generation

    def _finish(self, turn: int, now: float, stop: str) -> None:
        if (current := self._generation_of(turn)) is not None and current.open:
            current.finish(now, stop)

    def _mark(self, turn: int, attributes: Attributes) -> None:
        if (current := self._generation_of(turn)) is not None:
            current.held.set(attributes)

    def _release_generation(self, now: float) -> None:
        current, self._generation = self._generation, None
        if current is None:
            return
        if current.open:
            current.finish(now, names.END_TURN)
        turn = self._metrics.turn(current.turn)
        if turn.response_latency_s is not None and current.turn not in self._timed_turns:
            self._timed_turns.add(current.turn)
            self._instruments.record_latency(turn)
            parts = latency_parts(turn).items()
            current.held.set({f"{names.LATENCY_S}.{part}": seconds for part, seconds in parts})
            current.held.set({names.LATENCY_S: turn.response_latency_s})
        current.release()

    # -- tools ---------------------------------------------------------------------------------

    def _observe_tool(self, event: ToolCall | ToolAnswered, now: float) -> None:
        match event:
            case ToolCall(turn, tool_use, name, arguments_json):
                if not event.by_reasoner:
                    self._add_call(turn, tool_use, name, arguments_json, now)
                attributes = {
                    **self._operation(names.EXECUTE_TOOL),
                    names.TOOL_NAME: printable(name),
                    names.TOOL_TYPE: "function",
                    names.TOOL_CALL_ID: printable(tool_use),
                    names.TURN: turn,
                }
                if self._content:
                    attributes[names.TOOL_ARGUMENTS] = printable_lines(arguments_json)
                title = f"{names.EXECUTE_TOOL} {printable(name)}"
                self._tools[tool_use] = self._spans.open(title, now, attributes)
            case ToolAnswered(_, tool_use, _, result_json):
                if not event.by_reasoner:
                    self._question.append(
                        names.message("tool", [names.result_part(tool_use, result_json)])
                    )
                    if self._generation is None or not self._generation.open:
                        self._asked_s = now
                held = self._tools.pop(tool_use, None)
                if held is not None:
                    _finish_tool(held, now, result_json, content=self._content)

    def _add_call(
        self, turn: int, tool_use: str, name: str, arguments_json: str, now: float
    ) -> None:
        """Add a call to the answer that is going on. Several calls in a row are one answer."""
        current = self._generation_of(turn)
        if current is None or current.stop != names.TOOL_USE:
            current = self._answer(turn, now)
        current.call(tool_use, name, arguments_json)
        current.finish(now, names.TOOL_USE)

    # -- the whole -----------------------------------------------------------------------------

    def _count(self, new: Tokens) -> None:
        self._instruments.add_tokens(new)
        current = self._generation
        expected = self._speaking or self._asked_s is not None or self._detected_s is not None
        if current is not None and (current.open or not expected):
            current.tokens += new
        else:
            self._waiting_tokens += new

    def _end(self, now: float, error_kind: str = "", error: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        for held in self._tools.values():
            held.finish(now)
            held.fail("session_closed", "The conversation ended before the result was sent.")
            held.release()
        self._tools.clear()
        if self._asked_s is not None and error_kind:  # the answer that did not come
            self._answer(self._newest_turn, now)
        if self._generation is not None:
            self._generation.tokens += self._waiting_tokens
            if self._generation.open and error_kind:
                self._generation.finish(now, names.FAILED)
                self._generation.held.fail(error_kind, printable(error))
        self._release_generation(now)
        self._release_speech(now)
        self._emit(names.SESSION_ENDED, now, {names.ERROR_TYPE: error_kind} if error_kind else {})

    def _operation(self, name: str) -> dict[str, str | int]:
        stream = f"{self.conversation}/{self._stream}"
        return {**self._attributes, names.SESSION_ID: stream, names.OPERATION: name}

    def _emit(self, name: str, now: float, attributes: Attributes | None = None) -> None:
        stream = f"{self.conversation}/{self._stream}"
        self._logger.emit(
            event_name=name,
            timestamp=self._wall_ns(now),
            context=self._spans.context,
            attributes={**self._attributes, names.SESSION_ID: stream, **(attributes or {})},
        )

    def _audio_s(self, offset_ms: int) -> float:
        return self._session.audio_began_s + offset_ms / 1000

    def _wall_ns(self, now: float) -> int:
        began_s, wall_ns = self._began
        return wall_ns + round((now - began_s) * 1e9)


def _meter(provider: MeterProvider | None) -> metrics.Meter:
    return metrics.get_meter(SCOPE) if provider is None else provider.get_meter(SCOPE)


def _finish_tool(held: HeldSpan, now: float, result_json: str, *, content: bool) -> None:
    """Release the span of a tool whose result was sent; `{"error": ...}` is a failure."""
    held.finish(now)
    result = names.json_or_text(result_json)
    if isinstance(result, dict) and set(result) == {"error"}:  # pyright: ignore[reportUnknownArgumentType]
        held.fail("tool_error")
    if content:
        held.set({names.TOOL_RESULT: printable_lines(result_json)})
    held.release()
