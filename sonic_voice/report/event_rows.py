"""The events of a tape as rows of a table: who, what, when, and the payload without its sound."""

import json
from dataclasses import dataclass

from ..config import BYTES_PER_SAMPLE
from ..printable import encodable, printable
from ..recording.payload_parts import split_payload
from ..recording.records import (
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeRecord,
)

MAX_PAYLOAD_CHARACTERS = 20_000
"""Maximum length of a payload in a report, in characters. A system prompt of 40 KB would be in it
once for each stream."""

MAX_ROWS = 50_000
"""Maximum number of rows of a report. Ten minutes have about 4,000."""

MAX_RUN_S = 10.0
"""Maximum time that one row of sound stands for, in seconds."""

SENT, RECEIVED, SESSION, STREAM, PLAYED = "sent", "received", "session", "stream", "played"
"""Sides on which an event happened."""


@dataclass(slots=True)
class EventRow:
    """A row of the table. Pieces of sound that follow each other are one row."""

    t_s: float
    side: str
    """`sent`, `received`, `session`, `stream` or `played`."""
    stream: int
    """Number of the service stream; 0 where it has none."""
    name: str
    text: str
    """The payload, or what it is."""
    pieces: int = 1
    """Number of events in the row."""
    sound_s: float = 0.0
    """Length of their sound, in seconds."""

    def value(self) -> list[object]:
        """Return the row as a JSON value."""
        text = self.text
        if self.sound_s:
            text = f"{self.sound_s:.2f} s of sound in {self.pieces}"
        return [round(self.t_s, 3), self.side, self.stream, self.name, text]


def event_rows(tape: Tape) -> list[EventRow]:
    """Return the rows of a tape, in the order of its records.

    Args:
        tape: The tape.
    """
    rows: list[EventRow] = []
    sound: dict[tuple[str, int], EventRow] = {}
    for record in tape.records:
        row = _row(record, tape.header.input_hz, tape.header.output_hz)
        key = row.side, row.stream
        run = sound.get(key)
        if not row.sound_s:
            sound.pop(key, None)
        elif run is not None and run.name == row.name and row.t_s - run.t_s < MAX_RUN_S:
            run.pieces += 1
            run.sound_s += row.sound_s
            continue
        else:
            sound[key] = row
        rows.append(row)
        if len(rows) == MAX_ROWS:
            text = f"The report has the first {MAX_ROWS} events."
            rows.append(EventRow(row.t_s, SESSION, 0, "RowsLeftOut", text))
            break
    return rows


def _row(record: TapeRecord, input_hz: int, output_hz: int) -> EventRow:
    match record:
        case Sent(t_s, stream, payload):
            return _payload_row(t_s, SENT, stream, payload, input_hz)
        case Received(t_s, stream, payload):
            return _payload_row(t_s, RECEIVED, stream, payload, output_hz)
        case SessionEvent(t_s, name, fields):
            text = json.dumps(dict(fields), ensure_ascii=False, default=str)
            return EventRow(t_s, SESSION, 0, printable(name), _shortened(text))
        case StreamOpened(t_s, stream, model):
            return EventRow(t_s, STREAM, stream, "opened", printable(model))
        case StreamEnded(t_s, stream, error):
            return EventRow(t_s, STREAM, stream, "ended", printable(error) or "a clean end")
        case Played(t_s, turn, pcm):
            sound_s = len(pcm) / BYTES_PER_SAMPLE / output_hz
            return EventRow(t_s, PLAYED, 0, f"turn {turn}", "", sound_s=sound_s)


def _payload_row(t_s: float, side: str, stream: int, payload: bytes, rate_hz: int) -> EventRow:
    if (parts := split_payload(payload)) is not None:
        name = "audioInput" if side == SENT else "audioOutput"
        sound_s = len(parts[1]) / BYTES_PER_SAMPLE / rate_hz
        return EventRow(t_s, side, stream, name, "", sound_s=sound_s)
    text = encodable(payload.decode("utf-8", "replace"))
    return EventRow(t_s, side, stream, _name(text), _shortened(text))


def _name(text: str) -> str:
    """Return the name of the event in a payload; `?` if it cannot be read."""
    try:
        names = iter(json.loads(text)["event"])
        return printable(str(next(names)))
    except (ValueError, KeyError, TypeError, RecursionError, StopIteration):
        return "?"


def _shortened(text: str) -> str:
    if len(text) <= MAX_PAYLOAD_CHARACTERS:
        return text
    return f"{text[:MAX_PAYLOAD_CHARACTERS]} ... ({len(text)} characters)"
