"""The transcript of a tape as it was heard, with the times of each line.

The words come from the session's events, where they were recorded: FINAL texts replace planned
ones, and `Heard` says what was heard of an answer that was cut off. A tape without them, which was
made by the transport alone, has its words from the payloads; what was heard of an interrupted
answer are then its FINAL texts.

The user's times are those that the service reports (`UserSpeechStarted`, `UserSpeechEnded`), those
of an answer are of its first and last sample that was played. Where they are missing they are
estimated from the time of the text, at `CHARACTERS_PER_S`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..config import BYTES_PER_SAMPLE
from .payload_events import payload_events
from .records import Played, SessionEvent, Tape
from .tracks import audio_began_s

CHARACTERS_PER_S = 15.0
"""Characters that are spoken in a second, where nothing better is known about the length."""


@dataclass(frozen=True, slots=True)
class TapeLine:
    """One side's part of a turn, as it was said and heard."""

    turn: int
    role: str
    """`USER` or `ASSISTANT`."""
    text: str
    """The words that were said and heard; empty if an answer was cut before a word of it was."""
    planned: str
    """The words that were meant to be said."""
    begins_s: float
    """Time of its first sound, in seconds since the beginning of the tape."""
    ends_s: float
    """Time of its last sound."""
    interrupted: bool = False
    typed: bool = False


@dataclass(slots=True)
class _Turn:
    user: list[str] = field(default_factory=list[str])
    user_text_s: float = 0.0
    typed: bool = False
    speech: tuple[float, float] | None = None
    planned: dict[int, str] = field(default_factory=dict[int, str])
    final: dict[int, str] = field(default_factory=dict[int, str])
    answer_text_s: float = 0.0
    heard: str | None = None
    whole: str = ""
    interrupted: bool = False
    resaid: bool = False
    """True if a new stream receives the user's words again: the next ones replace them."""


def tape_lines(tape: Tape) -> list[TapeLine]:
    """Return the transcript of a tape, in the order of time.

    Args:
        tape: The tape.
    """
    turns: dict[int, _Turn] = {}
    speech_began_s = speech_ended_s = None
    zero_s = audio_began_s(tape)
    for event in _events(tape):
        fields, number = event.fields, _whole(event.fields.get("turn"))
        match event.name:
            case "UserSpeechStarted":
                speech_began_s, speech_ended_s = zero_s + _ms(fields, "offset_ms"), None
            case "UserSpeechEnded":
                speech_ended_s = zero_s + _ms(fields, "offset_ms")
            case "UserText":
                turn = turns.setdefault(number, _Turn())
                _add_user_words(turn, event)
                if speech_began_s is not None and not turn.typed:
                    began_s = speech_began_s if turn.speech is None else turn.speech[0]
                    turn.speech = began_s, speech_ended_s or event.t_s
                    speech_began_s = None
            case "AssistantText":
                turn = turns.setdefault(number, _Turn())
                texts = turn.final if fields.get("stage") == "FINAL" else turn.planned
                texts[_whole(fields.get("block"))] = _text(fields, "text")
                turn.answer_text_s = turn.answer_text_s or event.t_s
            case "Interrupted":
                turns.setdefault(number, _Turn()).interrupted = True
            case "Heard":
                turn = turns.setdefault(number, _Turn())
                turn.heard, turn.whole = _text(fields, "heard"), _text(fields, "planned")
                turn.interrupted = True
            case "Renewed" if _whole(fields.get("replayed_ms")) and turns:
                turn = turns[max(turns)]
                turn.resaid = not turn.planned
            case _:
                pass
    played = _played_times(tape)
    lines = [line for number in turns for line in _lines_of(number, turns[number], played)]
    return sorted(lines, key=lambda line: line.begins_s)


def _add_user_words(turn: _Turn, event: SessionEvent) -> None:
    if turn.resaid:
        turn.user.clear()
        turn.resaid = False
    turn.user.append(_text(event.fields, "text").strip())
    turn.user_text_s = event.t_s
    turn.typed = event.fields.get("typed") is True


def _lines_of(
    number: int, turn: _Turn, played: dict[int, tuple[float, float]]
) -> Iterator[TapeLine]:
    if turn.user:
        text = " ".join(filter(None, turn.user))
        ends_s = turn.user_text_s
        begins_s = ends_s if turn.typed else max(0.0, ends_s - len(text) / CHARACTERS_PER_S)
        if turn.speech is not None:
            begins_s, ends_s = turn.speech
        yield TapeLine(
            number, "USER", text, text, begins_s, max(begins_s, ends_s), False, turn.typed
        )
    if turn.planned or turn.final:
        heard, planned = _answer(turn)
        begins_s = turn.answer_text_s
        times = begins_s, begins_s + len(heard) / CHARACTERS_PER_S
        if heard or not turn.interrupted:
            begins_s, ends_s = played.get(number, times)
            yield TapeLine(number, "ASSISTANT", heard, planned, begins_s, ends_s, turn.interrupted)


def _answer(turn: _Turn) -> tuple[str, str]:
    """Return what was heard of an answer, and the whole of it."""
    blocks = sorted({*turn.planned, *turn.final})
    planned = "".join(turn.planned.get(block) or turn.final.get(block, "") for block in blocks)
    if turn.heard is not None:
        return turn.heard.strip(), (turn.whole or planned).strip()
    if turn.interrupted:
        return "".join(turn.final.get(block, "") for block in blocks).strip(), planned.strip()
    spoken = "".join(turn.final.get(block, turn.planned.get(block, "")) for block in blocks)
    return spoken.strip(), planned.strip()


def _played_times(tape: Tape) -> dict[int, tuple[float, float]]:
    """Return when the first and the last sound of each turn were played."""
    times: dict[int, tuple[float, float]] = {}
    for record in tape.records:
        if isinstance(record, Played):
            length_s = len(record.pcm) / BYTES_PER_SAMPLE / tape.header.output_hz
            begins_s, _ = times.get(record.turn, (record.t_s, 0.0))
            times[record.turn] = begins_s, record.t_s + length_s
    return times


def _events(tape: Tape) -> Iterator[SessionEvent]:
    """Yield the session's events, or what stands for them in the payloads."""
    events = [record for record in tape.records if isinstance(record, SessionEvent)]
    if any(event.name in ("UserText", "AssistantText") for event in events):
        yield from events
    else:
        yield from payload_events(tape)


def _text(fields: Any, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _ms(fields: Any, name: str) -> float:
    return _whole(fields.get(name)) / 1000
