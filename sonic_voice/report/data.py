"""The data of a report on a conversation, computed from the records of its tape alone.

    Tape ──► report_data ──► ReportData ──► page

All times are seconds since the beginning of the tape. A tape is foreign: fields that are missing or
of another type are left out, and no record makes the report fail.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..catalog import Prices, voice_model
from ..errors import ConfigError
from ..recording.lines import TapeLine, tape_lines
from ..recording.payload_parts import split_payload
from ..recording.records import Played, Received, SessionEvent, StreamEnded, StreamOpened, Tape
from ..recording.tracks import audio_began_s
from ..wire import Tokens
from .latency import Latency, measured_latency
from .payload_facts import session_events


@dataclass(slots=True)
class TurnReport:
    """One turn: what the user said, and what was answered and heard."""

    turn: int
    user: str = ""
    typed: bool = False
    said_s: tuple[float, float] | None = None
    """Beginning and end of the user's speech; None without any."""
    planned: str = ""
    """The whole answer, as it was meant to be said."""
    heard: str = ""
    """The part of it that was heard."""
    answered_s: tuple[float, float] | None = None
    """Beginning and end of the sound of the answer; None without any."""
    interrupted: bool = False
    interrupted_s: float | None = None
    """Time of the interruption."""
    heard_ms: int | None = None
    """Sound of the interrupted answer that was played, in ms."""
    latency: Latency | None = None

    @property
    def begins_s(self) -> float:
        """Time at which the turn begins."""
        spans = [span for span in (self.said_s, self.answered_s) if span is not None]
        return min((span[0] for span in spans), default=0.0)


@dataclass(slots=True)
class ToolReport:
    """One call of a tool."""

    turn: int
    name: str
    arguments: str
    began_s: float
    ended_s: float | None = None
    """Time at which the result was sent; None if it never was."""
    result: str = ""
    failed: bool = False
    """True if the result is an error."""


@dataclass(slots=True)
class StreamReport:
    """One service stream."""

    number: int
    opened_s: float
    ended_s: float
    error: str = ""
    """The error that ended it; empty for a clean end."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment."""

    t_s: float
    kind: str
    """`renewal`, `fault`, `attempt`, `interruption` or `note`. A fault is followed by attempts to
    connect again."""
    text: str
    """The event, in a sentence."""


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """The tokens that were used up to a time, and their cost."""

    t_s: float
    tokens: Tokens
    cost_usd: float


@dataclass(slots=True)
class ReportData:
    """All that a report says of one conversation."""

    model: str
    model_name: str
    voice: str
    system: str
    """System prompt."""
    tool_names: tuple[str, ...]
    began_at: datetime
    duration_s: float
    software: Mapping[str, str]
    redacted: bool
    turns: list[TurnReport] = field(default_factory=list[TurnReport])
    tools: list[ToolReport] = field(default_factory=list[ToolReport])
    streams: list[StreamReport] = field(default_factory=list[StreamReport])
    marks: list[Mark] = field(default_factory=list[Mark])
    usage: list[UsagePoint] = field(default_factory=list[UsagePoint])

    @property
    def latencies(self) -> list[Latency]:
        """The response latencies that are known, in the order of the turns."""
        return [turn.latency for turn in self.turns if turn.latency is not None]

    @property
    def faults(self) -> int:
        """Number of service streams that ended with an error."""
        return sum(bool(stream.error) for stream in self.streams)

    @property
    def interruptions(self) -> int:
        """Number of answers that were interrupted."""
        return sum(turn.interrupted for turn in self.turns)

    @property
    def tokens(self) -> Tokens:
        """Tokens that the conversation used."""
        return self.usage[-1].tokens if self.usage else Tokens()

    @property
    def cost_usd(self) -> float:
        """Cost of the tokens, in USD."""
        return self.usage[-1].cost_usd if self.usage else 0.0


def report_data(tape: Tape) -> ReportData:
    """Return what a report says of a tape.

    Args:
        tape: The tape.
    """
    header = tape.header
    config = header.config
    model = header.model or _first_model(tape)
    name, prices = _model(model)
    data = ReportData(
        model=model,
        model_name=name,
        voice=_text(config, "voice"),
        system=_text(config, "system"),
        tool_names=_tool_names(config),
        began_at=header.began_at,
        duration_s=tape.duration_s,
        software={str(key): str(value) for key, value in header.software.items()},
        redacted=header.redacted,
    )
    _add_streams(data, tape)
    events = session_events(tape)
    _add_turns(data, tape, events)
    _add_tools(data, events)
    _add_marks(data, tape, events)
    _add_usage(data, events, prices)
    return data


# -- turns -----------------------------------------------------------------------------------------


def _add_turns(data: ReportData, tape: Tape, events: list[SessionEvent]) -> None:
    turns: dict[int, TurnReport] = {}
    played = {record.turn for record in tape.records if isinstance(record, Played)}
    for line in tape_lines(tape):
        turn = turns.setdefault(line.turn, TurnReport(line.turn))
        if line.role == "USER":
            turn.user, turn.typed = line.text, line.typed
            turn.said_s = line.begins_s, line.ends_s
        else:
            _add_answer(turn, line)
    for event in events:
        turn = turns.get(_whole(event.fields, "turn"))
        if turn is None:
            continue
        if event.name == "Interrupted":
            turn.interrupted, turn.interrupted_s = True, event.t_s
        elif event.name == "Heard":
            turn.interrupted = True
            turn.interrupted_s = turn.interrupted_s or event.t_s
            turn.heard_ms = _whole(event.fields, "heard_ms")
    _measure_latencies(turns, tape, events, played)
    data.turns = sorted(turns.values(), key=lambda turn: turn.turn)


def _add_answer(turn: TurnReport, line: TapeLine) -> None:
    turn.heard, turn.planned = line.text, line.planned
    turn.answered_s = line.begins_s, line.ends_s
    turn.interrupted = line.interrupted


def _measure_latencies(
    turns: Mapping[int, TurnReport], tape: Tape, events: list[SessionEvent], played: set[int]
) -> None:
    zero_s = audio_began_s(tape)
    sounds = [
        record.t_s
        for record in tape.records
        if isinstance(record, Received) and split_payload(record.payload) is not None
    ]
    speech: tuple[float, float] | None = None
    asked: dict[int, tuple[float, float | None]] = {}
    for event in events:
        match event.name:
            case "UserSpeechStarted":
                speech = None
            case "UserSpeechEnded":
                speech = (
                    zero_s + _whole(event.fields, "offset_ms") / 1000,
                    zero_s + _whole(event.fields, "detected_ms") / 1000,
                )
            case "UserText":
                known = speech is not None and event.fields.get("typed") is not True
                turn = _whole(event.fields, "turn")
                asked[turn] = speech if known and speech is not None else (event.t_s, None)
            case _:
                pass
    for number, (since_s, noticed_s) in asked.items():
        turn = turns.get(number)
        if turn is None or turn.answered_s is None:
            continue
        audible_s = turn.answered_s[0] if number in played else None
        turn.latency = measured_latency(since_s, noticed_s, sounds, audible_s)


# -- the rest --------------------------------------------------------------------------------------


def _add_streams(data: ReportData, tape: Tape) -> None:
    streams: dict[int, StreamReport] = {}
    for record in tape.records:
        if isinstance(record, StreamOpened):
            opened = StreamReport(record.stream, record.t_s, tape.duration_s)
            streams.setdefault(record.stream, opened)
        elif isinstance(record, StreamEnded) and record.stream in streams:
            streams[record.stream].ended_s = record.t_s
            streams[record.stream].error = record.error
    data.streams = list(streams.values())


def _add_tools(data: ReportData, events: list[SessionEvent]) -> None:
    calls: dict[str, ToolReport] = {}
    for event in events:
        fields, tool_use = event.fields, _text(event.fields, "tool_use")
        if event.name == "ToolCall":
            turn, name = _whole(fields, "turn"), _text(fields, "name")
            call = ToolReport(turn, name, _text(fields, "arguments_json"), event.t_s)
            calls[tool_use] = call
            data.tools.append(call)
        elif event.name == "ToolAnswered" and tool_use in calls:
            call = calls[tool_use]
            call.ended_s, call.result = event.t_s, _text(fields, "result_json")
            call.failed = call.result.lstrip().startswith('{"error"')


def _add_marks(data: ReportData, tape: Tape, events: list[SessionEvent]) -> None:
    for event in events:
        mark = _mark(event)
        if mark is not None:
            data.marks.append(Mark(event.t_s, *mark))
    for stream in data.streams:
        if stream.error:
            data.marks.append(
                Mark(stream.ended_s, "fault", f"Stream {stream.number}: {stream.error}")
            )
    for damage in tape.damage:
        text = f"{damage.length} bytes of the tape cannot be read at {damage.offset}"
        data.marks.append(Mark(0.0, "note", f"{text}: {damage.reason}."))
    if tape.missing:
        data.marks.append(Mark(0.0, "note", f"{tape.missing} records of the tape are missing."))
    data.marks.sort(key=lambda mark: mark.t_s)


def _mark(event: SessionEvent) -> tuple[str, str] | None:
    """Return kind and text of the mark for an event; None if it has none."""
    fields = event.fields
    match event.name:
        case "Renewed":
            gap_ms, reason = _whole(fields, "gap_ms"), _text(fields, "reason")
            gap = f" after {gap_ms / 1000:.1f} s without one" if gap_ms else ""
            return "renewal", f"The conversation moved to a new stream{gap}: {reason.rstrip('.')}."
        case "Reconnecting":
            attempt, reason = _whole(fields, "attempt"), _text(fields, "reason")
            return "attempt", f"Attempt {attempt} to connect again: {reason}"
        case "Interrupted":
            return "interruption", f"Turn {_whole(fields, 'turn')} was interrupted."
        case "Ended":
            return "fault", f"The conversation ended: {_text(fields, 'error')}"
        case "NetworkSlow":
            return "fault", "The network took the speech more slowly than it was spoken."
        case "Guarded":
            whose = "words of the user" if fields.get("role") == "USER" else "a sentence"
            reason = _text(fields, "reason")
            because = f": {reason}" if reason else ""
            return "note", f"The guard flagged {whose} in turn {_whole(fields, 'turn')}{because}."
        case "GuardFailed":
            return "note", f"The guard gave no verdict: {_text(fields, 'reason')}"
        case "StreamExpiring":
            return "note", "The service announced the end of the stream."
        case "RecordingStopped" | "RecordsDropped":
            return "note", "The recording is incomplete from here on."
        case _:
            return None


def _add_usage(data: ReportData, events: list[SessionEvent], prices: Prices | None) -> None:
    for event in events:
        total = event.fields.get("total")
        if event.name != "Usage" or not isinstance(total, Mapping):
            continue
        counts = {
            name: max(0, _whole(total, name))  # pyright: ignore[reportUnknownArgumentType]
            for name in ("speech_in", "text_in", "speech_out", "text_out")
        }
        cost_usd = 0.0 if prices is None else prices.cost(**counts)
        point = UsagePoint(event.t_s, Tokens(**counts), cost_usd)
        if data.usage and data.usage[-1].t_s == event.t_s:
            data.usage.pop()
        data.usage.append(point)


def _model(model: str) -> tuple[str, Prices | None]:
    """Return the name of a model and its prices, where it is known."""
    try:
        known = voice_model(model)
    except ConfigError:
        return model, None
    return known.name, known.prices


def _first_model(tape: Tape) -> str:
    opened = (record.model for record in tape.records if isinstance(record, StreamOpened))
    return next(opened, "")


def _tool_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_names_in(config.get("tools")))


def _names_in(tools: Any) -> Iterator[str]:
    if isinstance(tools, list):
        for tool in tools:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(tool, Mapping):
                yield _text(tool, "name")  # pyright: ignore[reportUnknownArgumentType]


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _whole(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0
