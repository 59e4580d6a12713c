"""The transcript of a tape in four forms: text, JSON, SubRip (SRT) and WebVTT.

The words come from people and from a model: each function takes one that makes them safe to print.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from .lines import TapeLine
from .records import SessionEvent, Tape

type Clean = Callable[[str], str]
"""Returns a text without control characters and line breaks."""

MIN_CUE_S = 0.5
"""Minimum time for which a subtitle is shown, in seconds."""

SPEAKERS = {"USER": "You", "ASSISTANT": "Nova"}
"""Names of the two sides."""

INTERRUPTED = "[interrupted]"
"""Mark of an answer that was cut off."""


def as_text(lines: Sequence[TapeLine], clean: Clean) -> str:
    """Return a transcript as text, one line for each side of a turn.

    Args:
        lines: The transcript.
        clean: Makes words safe.
    """
    return "".join(
        f"[{_clock(line.begins_s, '.', 1)}] {SPEAKERS.get(line.role, line.role)}: "
        f"{_words(line, clean)}\n"
        for line in lines
    )


def as_srt(lines: Sequence[TapeLine], clean: Clean) -> str:
    """Return a transcript as SubRip subtitles.

    Args:
        lines: The transcript.
        clean: Makes words safe.
    """
    return "\n".join(
        f"{number}\n{_clock(line.begins_s, ',')} --> {_clock(_end_s(line), ',')}\n"
        f"{SPEAKERS.get(line.role, line.role)}: {_words(line, clean)}\n"
        for number, line in enumerate(lines, 1)
    )


def as_vtt(lines: Sequence[TapeLine], clean: Clean) -> str:
    """Return a transcript as WebVTT subtitles, with the speaker of each.

    Args:
        lines: The transcript.
        clean: Makes words safe.
    """
    cues = [
        f"{_clock(line.begins_s, '.')} --> {_clock(_end_s(line), '.')}\n"
        f"<v {SPEAKERS.get(line.role, line.role)}>{_escaped(_words(line, clean))}\n"
        for line in lines
    ]
    return "\n".join(["WEBVTT\n", *cues])


def as_json(tape: Tape, lines: Sequence[TapeLine]) -> str:
    """Return a transcript as a JSON object, with times in seconds and the tool calls.

    Control characters are escaped by JSON.

    Args:
        tape: The tape.
        lines: Its transcript.
    """
    document: dict[str, Any] = {
        "model": tape.header.model,
        "began_at": tape.header.began_at.isoformat(),
        "duration_s": round(tape.duration_s, 3),
        "lines": [
            {
                "turn": line.turn,
                "role": line.role,
                "text": line.text,
                "planned": line.planned,
                "begins_s": round(line.begins_s, 3),
                "ends_s": round(line.ends_s, 3),
                "interrupted": line.interrupted,
                "typed": line.typed,
            }
            for line in lines
        ],
        "tools": [
            {"t_s": round(record.t_s, 3), "event": record.name, **record.fields}
            for record in tape.records
            if isinstance(record, SessionEvent) and record.name in ("ToolCall", "ToolAnswered")
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _words(line: TapeLine, clean: Clean) -> str:
    words = " ".join(clean(line.text).split())
    return f"{words} {INTERRUPTED}" if line.interrupted else words


def _end_s(line: TapeLine) -> float:
    return max(line.ends_s, line.begins_s + MIN_CUE_S)


def _clock(seconds: float, point: str, digits: int = 3) -> str:
    """Return a time as hours, minutes, seconds and a fraction: 00:01:02.345."""
    parts = round(max(0.0, seconds) * 10**digits)
    whole, fraction = divmod(parts, 10**digits)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}{point}{fraction:0{digits}}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
