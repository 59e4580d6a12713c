"""The output of a conversation while it happens: a printed transcript, or JSON lines.

Both are observers of `converse`. Sound is represented by its length, never by its samples.
"""

from collections import deque
from dataclasses import asdict
from typing import Any, Protocol

from ..config import SessionConfig
from ..events import (
    AssistantText,
    Audio,
    Closed,
    Ended,
    Event,
    Guarded,
    GuardFailed,
    Heard,
    Interrupted,
    NetworkSlow,
    PictureShown,
    Reconnecting,
    Renewed,
    StreamExpiring,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    ToolProgress,
    TurnEnded,
    UserText,
)
from ..masking import mask_value
from ..metrics import Metrics, Snapshot
from ..printable import printable, printable_json

MARGIN = 10
"""Width of the columns before the text, in characters: the number of the turn and the speaker."""

TURNS_REMEMBERED = 64
"""Number of turns of which the transcript remembers that they were cut off, or had their latency
printed. Later events belong to the last few turns."""

RESULT_CHARACTERS = 200
"""Maximum length of arguments and results of tools in the transcript, in characters."""


_IDS = frozenset({"tool_use", "name"})
"""Names of the fields that are no words of anybody."""


class TextOutput(Protocol):
    """A receiver of lines: a text file, or an output of `cli.output`."""

    def write(self, text: str, /) -> object:
        """Write one or more lines, or a part of one.

        Args:
            text: The text.
        """
        ...

    def flush(self) -> None:
        """Pass on buffered text."""
        ...


class PrintedTranscript:
    """An observer that prints the text of both sides, with the response latency of each answer.

    Args:
        out: Receiver of the lines.
        metrics: Metrics of the conversation, which must be notified of each event first.
        planned_renewals: Whether to print planned renewals, too. The user does not notice them.
    """

    def __init__(
        self, out: TextOutput, metrics: Metrics, *, planned_renewals: bool = False
    ) -> None:
        self._out = out
        self._metrics = metrics
        self._planned_renewals = planned_renewals
        self._answering = 0
        """The turn whose answer is on the current line; 0 at the start of a line."""
        self._cut: deque[int] = deque(maxlen=TURNS_REMEMBERED)
        """Turns whose answer was cut off. The service may go on sending it, which is not heard."""
        self._hearing = False
        """True once it was printed that the user is heard, until their text comes."""
        self._timed: deque[int] = deque(maxlen=TURNS_REMEMBERED)
        """Turns whose response latency was printed."""

    def __call__(self, event: Event, now: float) -> None:
        """Print an event, if it belongs in the transcript.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds; not used.
        """
        match event:
            case UserText(turn, text, typed):
                self._hearing = False
                self._line("you", f"{text}{' (typed)' if typed else ''}", turn)
            case AssistantText(turn, _, text, "SPECULATIVE") if turn not in self._cut:
                self._answer(turn, text)
            case ToolCall() | ToolProgress() | ToolHeld() | ToolAnswered():
                self._tool(event)
            case PictureShown():
                self._line("note", event.notice)
            # An answer that was heard, or read, to its last word was not interrupted.
            case Heard(turn, heard_ms, heard, planned) if (
                heard != planned and turn not in self._cut
            ):
                self._cut.append(turn)
                self._line(
                    "", f"interrupted after {heard_ms / 1000:.1f} s, heard: {heard or 'nothing'}"
                )
            case StreamExpiring() | NetworkSlow() | Reconnecting() | Guarded() | GuardFailed():
                self._line("note", event.notice)
            case Renewed() if self._planned_renewals or not event.planned:
                self._line("note", event.notice)
            case TurnEnded(turn) | Interrupted(turn):
                self._time(turn)
                self._end_line()
            case Closed():
                self._end_line()
            case _:
                pass

    def note(self, text: str) -> None:
        """Print a sentence for the user on a line of its own.

        Args:
            text: The sentence.
        """
        self._line("note", text)

    def hear(self) -> None:
        """Print that the user is heard, once before their text comes, and not into an answer."""
        if not self._hearing and not self._answering:
            self._hearing = True
            self._line("", "hearing you")

    def _answer(self, turn: int, text: str) -> None:
        if self._answering != turn:
            self._end_line()
            self._write(f"{'nova':>{MARGIN - 2}}  {printable(text).strip()}")
            self._answering = turn
        else:
            self._write(f" {printable(text).strip()}")

    def _tool(self, event: ToolCall | ToolProgress | ToolHeld | ToolAnswered) -> None:
        match event:
            case ToolCall() | ToolAnswered() if event.reserved:
                pass
            case ToolCall(turn, _, name, arguments):
                self._line("tool", f"{name}({_shortened(arguments)})", turn)
            case ToolProgress(_, _, name, text):
                self._line("", f"{name}: {_shortened(text)}")
            case ToolHeld(_, _, name):
                self._line("", f"{name}: {event.notice}")
            case ToolAnswered(_, _, name, result):
                self._line("", f"{name} -> {_shortened(result)}")

    def _time(self, turn: int) -> None:
        latency_s = self._metrics.turn(turn).response_latency_s
        if latency_s is not None and self._answering == turn and turn not in self._timed:
            self._timed.append(turn)
            self._write(f"  [{latency_s:.2f} s]")

    def _line(self, speaker: str, text: str, turn: int = 0) -> None:
        self._end_line()
        number = f"{turn if turn and speaker == 'you' else '':>3}"
        self._write(f"{number} {speaker:>{MARGIN - 6}}  {printable(text)}\n")

    def _end_line(self) -> None:
        if self._answering:
            self._answering = 0
            self._write("\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class JsonLines:
    """An observer that writes each event as a JSON object in one line.

    The object has the keys `event` and `at_s` and the fields of the event. `Ended` is not written:
    the last record of a conversation has that name, and says more (see `ending`).

    Args:
        out: Receiver of the lines.
        mask_pii: Whether personal data in the fields is masked; see `masking`.
        start_s: Time on the session's clock from which `at_s` counts, in seconds.
    """

    def __init__(self, out: TextOutput, *, mask_pii: bool = False, start_s: float = 0.0) -> None:
        self._out = out
        self._mask_pii = mask_pii
        self._start_s = start_s

    def __call__(self, event: Event, now: float) -> None:
        """Write an event.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        if isinstance(event, Ended):
            return
        fields = event_fields(event)
        if self._mask_pii:
            fields = mask_value(fields, keep=_IDS.__contains__)
        line = {"event": type(event).__name__, "at_s": round(now - self._start_s, 3)} | fields
        self._out.write(printable_json(line) + "\n")
        self._out.flush()


def event_fields(event: Event) -> dict[str, Any]:
    """Return the fields of an event as a JSON object.

    Args:
        event: The event. Of `Audio`, the field `pcm` is replaced by `sound_ms`, and of
            `PictureShown` the field `data` by `size_bytes`.
    """
    if isinstance(event, Audio):
        sound_ms = round(len(event.pcm) / 2 / event.rate_hz * 1000)
        return {"turn": event.turn, "rate_hz": event.rate_hz, "sound_ms": sound_ms}
    return event.facts if isinstance(event, PictureShown) else asdict(event)


def summary(snapshot: Snapshot, config: SessionConfig) -> dict[str, Any]:
    """Return the metrics of a conversation as a JSON object.

    If it continues another one, `with_continued` has the tokens and the cost of both.

    Args:
        snapshot: The metrics.
        config: Configuration of the session.
    """
    latencies = [t.response_latency_s for t in snapshot.turns if t.response_latency_s is not None]
    facts = {
        "model": config.model,
        "voice": config.voice,
        "duration_s": round(snapshot.duration_s, 3),
        "turns": [asdict(turn) for turn in snapshot.turns],
        "interruptions": sum(turn.interrupted for turn in snapshot.turns),
        "tool_calls": sum(turn.tool_calls for turn in snapshot.turns),
        "unanswered": len(snapshot.turns) - len(latencies),
        "response_latency_s": {"mean": sum(latencies) / len(latencies), "max": max(latencies)}
        if latencies
        else None,
        "tokens": asdict(snapshot.new_tokens),
        "cost_usd": round(snapshot.new_cost_usd, 6),
    }
    if snapshot.tokens != snapshot.new_tokens:
        facts["with_continued"] = {
            "tokens": asdict(snapshot.tokens),
            "cost_usd": round(snapshot.cost_usd, 6),
        }
    return facts


def summary_lines(snapshot: Snapshot, config: SessionConfig) -> str:
    """Return the metrics of a conversation as lines of text.

    Args:
        snapshot: The metrics.
        config: Configuration of the session.
    """
    facts = summary(snapshot, config)
    tokens, latency_s = snapshot.new_tokens, facts["response_latency_s"]
    latency = "no answer"
    if latency_s:
        latency = f"{latency_s['mean']:.2f} s mean, {latency_s['max']:.2f} s at most"
    rows = {
        "Turns": f"{len(snapshot.turns)} in {snapshot.duration_s:.1f} s",
        "Interrupted": str(facts["interruptions"]),
        "Tool calls": str(facts["tool_calls"]),
        "Latency": latency,
        "Tokens in": f"{tokens.speech_in} speech, {tokens.text_in} text",
        "Tokens out": f"{tokens.speech_out} speech, {tokens.text_out} text",
        "Cost": f"{snapshot.new_cost_usd:.4f} USD at us-east-1 prices",
    }
    if "with_continued" in facts:
        rows["Cost"] += f"; {snapshot.cost_usd:.4f} USD with what it continues"
    if facts["unanswered"]:
        rows["Unanswered"] = f"{facts['unanswered']} (the answer did not come, or without sound)"
    return "\n".join(f"{name:<14}{text}" for name, text in rows.items())


def _shortened(text: str) -> str:
    return text if len(text) <= RESULT_CHARACTERS else f"{text[:RESULT_CHARACTERS]}..."
