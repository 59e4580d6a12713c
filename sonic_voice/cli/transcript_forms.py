"""The forms of a transcript file: plain text, or Markdown if its name ends in `.md`.

    Conversation of 2026-11-29 14:03:20 (UTC+01:00)
    Nova 2 Sonic (amazon.nova-2-sonic-v1:0) on Amazon Bedrock, voice tiffany

    [0:01] you: go forward
    [0:02] tool: go({"meters":10}) -> {"ok":true}
    [0:02] nova: Done, I [interrupted after 0.8 s]
    [0:09] you (typed): stop
    [0:31] note: Connected again after 0.6 s. The conversation goes on.

    End after 0:45.

In Markdown the first line is a heading, each entry is a paragraph (`**You** (0:01): go forward`),
and tool calls are code. A transcript without its last line was cut off: the process was killed.
Times count from the beginning of the conversation. Pure: no clock, no file.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Protocol

from .heard_turns import Answered, Called, Entry, Noted, Said

type Clean = Callable[[str], str]
"""Returns a text without control characters and line breaks; for all words of others."""

TOOL_CHARACTERS = 500
"""Maximum length of the arguments and of the result of a tool, in characters."""

MARKDOWN_SUFFIXES = frozenset({".md", ".markdown"})
"""Ends of names, in lower case, of transcripts in Markdown."""

_MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|~])")
"""Characters that Markdown would interpret inside a line."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The facts at the beginning of a conversation."""

    began: datetime
    """Its time, with the time zone."""
    service: str
    """Model, service and voice, in a line."""
    continuing: str = ""
    """The conversation that it continues, in a sentence; empty for a new one."""


class TranscriptForm(Protocol):
    """A form of transcripts. Each method returns whole lines."""

    def opening(self, opening: Opening) -> str:
        """Return the lines with which a conversation begins.

        Args:
            opening: The facts.
        """
        ...

    def entry(self, entry: Entry, at_s: float) -> str:
        """Return the lines of an entry.

        Args:
            entry: The entry.
            at_s: Its time since the beginning of the conversation, in seconds.
        """
        ...

    def ending(self, at_s: float) -> str:
        """Return the lines with which a conversation ends.

        Args:
            at_s: Its length, in seconds.
        """
        ...


def form_of(path: PurePath, clean: Clean) -> TranscriptForm:
    """Return the form of a transcript by the name of its file.

    Args:
        path: The file.
        clean: Removes control characters from the words of others.
    """
    is_markdown = path.suffix.lower() in MARKDOWN_SUFFIXES
    return MarkdownTranscript(clean) if is_markdown else TextTranscript(clean)


class TextTranscript:
    """A transcript in plain text.

    Args:
        clean: Removes control characters from the words of others.
    """

    def __init__(self, clean: Clean) -> None:
        self._clean = clean

    def opening(self, opening: Opening) -> str:
        """See `TranscriptForm`."""
        lines = [_title(opening), self._clean(opening.service), self._clean(opening.continuing)]
        return "\n".join(filter(None, lines)) + "\n\n"

    def entry(self, entry: Entry, at_s: float) -> str:
        """See `TranscriptForm`."""
        match entry:
            case Said(_, text, typed):
                line = f"you{' (typed)' if typed else ''}: {self._clean(text)}"
            case Answered():
                line = f"nova: {self._clean(entry.text)} {_bracketed(_cut(entry))}"
            case Called(_, name):
                parts = _call(entry, self._clean)
                line = f"tool: {' -> '.join([f'{self._clean(name)}{parts[0]}', *parts[1:]])}"
            case Noted(_, text):
                line = f"note: {self._clean(text)}"
        return f"[{offset(at_s)}] {' '.join(line.split())}\n"

    def ending(self, at_s: float) -> str:
        """See `TranscriptForm`."""
        return f"\nEnd after {offset(at_s)}.\n"


class MarkdownTranscript:
    """A transcript in Markdown. Each entry is a paragraph.

    Args:
        clean: Removes control characters from the words of others.
    """

    def __init__(self, clean: Clean) -> None:
        self._clean = clean

    def opening(self, opening: Opening) -> str:
        """See `TranscriptForm`."""
        lines = [f"# {_title(opening)}", self._text(opening.service)]
        return "\n\n".join([*lines, *filter(None, [self._text(opening.continuing)])]) + "\n\n"

    def entry(self, entry: Entry, at_s: float) -> str:
        """See `TranscriptForm`."""
        time = offset(at_s)
        match entry:
            case Said(_, text, typed):
                line = f"**You** ({time}{', typed' if typed else ''}): {self._text(text)}"
            case Answered():
                cut = self._text(_bracketed(_cut(entry)))
                line = f"**Nova** ({time}): {self._text(entry.text)}{f' *{cut}*' if cut else ''}"
            case Called(_, name):
                parts = _call(entry, self._clean)
                call = [_code(f"{self._clean(name)}{parts[0]}"), *map(_code, parts[1:])]
                line = f"*Tool* ({time}): {' → '.join(call)}"
            case Noted(_, text):
                line = f"*Note* ({time}): {self._text(text)}"
        return f"{' '.join(line.split())}\n\n"

    def ending(self, at_s: float) -> str:
        """See `TranscriptForm`."""
        return f"*End after {offset(at_s)}.*\n"

    def _text(self, text: str) -> str:
        escaped = _MARKDOWN_SIGNS.sub(r"\\\1", self._clean(text))
        return escaped.replace("&", "&amp;")


def offset(at_s: float) -> str:
    """Return a time as minutes and seconds, with hours if it has any: 0:07, 1:02:03.

    Args:
        at_s: The time, in seconds.
    """
    minutes, seconds = divmod(max(0, int(at_s)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _title(opening: Opening) -> str:
    zone = f"{opening.began:%z}"
    utc = f"UTC{zone[:3]}:{zone[3:5]}" if zone.strip("+-0") else "UTC"
    return f"Conversation of {opening.began:%Y-%m-%d %H:%M:%S} ({utc})"


def _cut(answer: Answered) -> str:
    """Return how an answer was cut off; empty if it was not."""
    if not answer.interrupted:
        return ""
    if not answer.text and not answer.heard_ms:
        return "interrupted before it was heard"
    after = "" if answer.heard_ms is None else f" after {answer.heard_ms / 1000:.1f} s"
    return f"interrupted{after}"


def _bracketed(text: str) -> str:
    return f"[{text}]" if text else ""


def _call(call: Called, clean: Clean) -> list[str]:
    """Return the arguments of a call in parentheses, and its result if there is one."""
    parts = ["" if call.arguments_json is None else f"({_shortened(clean(call.arguments_json))})"]
    return parts if call.result_json is None else [*parts, _shortened(clean(call.result_json))]


def _shortened(text: str) -> str:
    return text if len(text) <= TOOL_CHARACTERS else f"{text[:TOOL_CHARACTERS]}..."


def _code(text: str) -> str:
    """Return a text as code, fenced by more backticks than it has in a row."""
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * (max(runs, default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
