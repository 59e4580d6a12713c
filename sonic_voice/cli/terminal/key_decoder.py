"""Decoding of what a terminal sends: bytes become keys and pasted texts.

A key is a string: the character itself, or one of the names Enter, Escape, Backspace, Delete, Left,
Right, Up, Down, Home, End, Ctrl-A to Ctrl-Z. Keys with other escape sequences are ignored, as are
the answers of a terminal to queries.

    GROUND ── ESC ──► ESCAPE ── [ ──► CSI ── 200~ ──► PASTE ── ESC [ 201~ ──► GROUND
                        │ │ └── O ──► SS3
                        │ └──── P X ] ^ _ ──► STRING ── BEL, or ESC \\ ──► GROUND
                        └ nothing for `ESCAPE_S`: the key Escape

A terminal sends the key Escape as the same byte that begins every sequence, and the bytes of a
sequence or a character may come in several reads. The decoder therefore keeps its state between
reads: how the bytes were split has no effect. Only time tells Escape from a sequence. The owner
passes it in: it calls `expire` at `deadline_s`.

With bracketed paste (`PASTE_ON`) the terminal marks where a pasted text begins and ends, so that
its line ends are not taken for Enter.

Pure: no clock, no terminal.
"""

import codecs
from dataclasses import dataclass
from enum import Enum, auto

PASTE_ON = b"\x1b[?2004h"
"""Escape sequence with which a terminal begins to mark pasted texts."""

PASTE_OFF = b"\x1b[?2004l"
"""Escape sequence with which a terminal stops marking pasted texts, as shells expect it."""

ESCAPE_S = 0.1
"""Time after which an unfinished sequence is given up, and ESC alone is the key Escape, in seconds.
A sequence arrives at once unless a network splits it; a longer wait would be felt as a delay."""

PASTE_S = 1.0
"""Pause in a pasted text after which it counts as complete, in seconds. Its end marker may be lost,
and a keyboard that waits for it for ever would be dead."""

MAX_SEQUENCE = 4096
"""Maximum length of an escape sequence, in characters; longer ones are given up. The longest that
terminals send are answers to queries, of some hundred characters."""

MAX_PASTE = 100_000
"""Maximum length of a pasted text, in characters; the rest is dropped. It is far more than a turn
of a conversation, and small enough for memory."""

_ESC, _BEL = "\x1b", "\a"

_PASTE_END = "\x1b[201~"
"""Escape sequence that a terminal sends after a pasted text."""

_NAMED = {"\r": "Enter", "\n": "Enter", "\x1b": "Escape", "\x7f": "Backspace", "\b": "Backspace"}
"""Names of keys that are a control character."""

_SEQUENCES = {
    "A": "Up", "B": "Down", "C": "Right", "D": "Left", "H": "Home", "F": "End",
    "1~": "Home", "7~": "Home", "3~": "Delete", "4~": "End", "8~": "End",
}  # fmt: skip
"""Names of keys by the end of their escape sequence."""


@dataclass(frozen=True, slots=True)
class Paste:
    """A pasted text."""

    text: str
    """The text. Lines end with a newline character; other control characters but tabs are removed.
    """


type Key = str | Paste
"""A key by its name, or a pasted text."""


class _State(Enum):
    """The state of the decoder between two characters."""

    GROUND = auto()
    """No sequence has begun."""
    ESCAPE = auto()
    """ESC has come."""
    CSI = auto()
    """ESC [ has come."""
    SS3 = auto()
    """ESC O has come."""
    LINUX = auto()
    """ESC [ [ has come, with which the Linux console begins its function keys."""
    STRING = auto()
    """The beginning of a control string has come: the answer to a query."""
    STRING_ESCAPE = auto()
    """ESC has come in a control string."""
    PASTE = auto()
    """The beginning of a pasted text has come."""


class KeyDecoder:
    """An incremental decoder of the bytes of a terminal.

    Attributes:
        deadline_s: Time at which `expire` is to be called, in seconds of the clock that is passed
            in; None if nothing has begun.
    """

    def __init__(self) -> None:
        self.deadline_s: float | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")("ignore")
        self._state = _State.GROUND
        self._sequence = ""
        self._sequence_length = 0
        self._pasted: list[str] = []
        self._pasted_length = 0
        self._paste_tail = ""

    def feed(self, typed: bytes, now: float) -> list[Key]:
        """Return the keys that the bytes complete.

        Args:
            typed: The next bytes of the terminal.
            now: The time, in seconds.
        """
        keys: list[Key] = []
        for character in self._utf8.decode(typed):
            keys += self._next(character)
        if self._state is _State.GROUND:
            self.deadline_s = None
        else:
            self.deadline_s = now + (PASTE_S if self._state is _State.PASTE else ESCAPE_S)
        return keys

    def expire(self, now: float) -> list[Key]:
        """Return the keys that are complete because nothing has followed them in time.

        Args:
            now: The time, in seconds. Before `deadline_s` nothing happens.
        """
        if self.deadline_s is None or now < self.deadline_s:
            return []
        self.deadline_s = None
        state, self._state = self._state, _State.GROUND
        match state:
            case _State.ESCAPE:
                return ["Escape"]
            case _State.PASTE:
                return [self._end_paste(marker=0)]
            case _:
                return []

    def _next(self, character: str) -> list[Key]:
        match self._state:
            case _State.GROUND:
                return self._ground(character)
            case _State.ESCAPE:
                return self._escaped(character)
            case _State.CSI | _State.SS3:
                return self._in_sequence(character)
            case _State.LINUX:
                self._state = _State.GROUND
                return []
            case _State.STRING | _State.STRING_ESCAPE:
                return self._in_string(character)
            case _State.PASTE:
                return self._in_paste(character)

    def _ground(self, character: str) -> list[Key]:
        if character == _ESC:
            self._state = _State.ESCAPE
            return []
        self._state = _State.GROUND
        key = key_of(character)
        return [key] if key else []

    def _escaped(self, character: str) -> list[Key]:
        self._sequence, self._sequence_length = "", 0
        match character:
            case "[":
                self._state = _State.CSI
            case "O":
                self._state = _State.SS3
            case "P" | "X" | "]" | "^" | "_":
                self._state = _State.STRING
            case _ if " " <= character <= "~":  # Alt with a key
                self._state = _State.GROUND
            case _:
                return ["Escape", *self._ground(character)]
        return []

    def _in_sequence(self, character: str) -> list[Key]:
        if " " <= character <= "?":
            self._sequence += character
            if len(self._sequence) > MAX_SEQUENCE:
                self._state = _State.GROUND
            return []
        if not "@" <= character <= "~":  # the sequence was cut off
            return self._ground(character)
        if character == "[" and self._state is _State.CSI and not self._sequence:
            self._state = _State.LINUX
            return []
        sequence = self._sequence + character
        if sequence == "200~" and self._state is _State.CSI:
            self._state = _State.PASTE
            return []
        self._state = _State.GROUND
        name = _SEQUENCES.get(sequence)
        return [name] if name else []

    def _in_string(self, character: str) -> list[Key]:
        self._sequence_length += 1
        escaped = self._state is _State.STRING_ESCAPE
        if (
            character == _BEL
            or (escaped and character == "\\")
            or self._sequence_length > MAX_SEQUENCE
        ):
            self._state = _State.GROUND
        elif escaped and character != _ESC:  # the string was cut off, and another sequence began
            return self._escaped(character)
        else:
            self._state = _State.STRING_ESCAPE if character == _ESC else _State.STRING
        return []

    def _in_paste(self, character: str) -> list[Key]:
        self._paste_tail = (self._paste_tail + character)[-len(_PASTE_END) :]
        self._pasted_length += 1
        if len(self._pasted) < MAX_PASTE:
            self._pasted.append(character)
        if self._paste_tail != _PASTE_END:
            return []
        self._state = _State.GROUND
        return [self._end_paste(marker=len(_PASTE_END))]

    def _end_paste(self, marker: int) -> Paste:
        text = "".join(self._pasted[: self._pasted_length - marker])
        self._pasted, self._pasted_length, self._paste_tail = [], 0, ""
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        return Paste("".join(c for c in lines if c.isprintable() or c in "\n\t"))


def key_of(character: str) -> str:
    """Return the key of a character; empty if there is none.

    Args:
        character: One character that is not part of an escape sequence.
    """
    if name := _NAMED.get(character):
        return name
    if "\x01" <= character <= "\x1a":
        return f"Ctrl-{chr(ord(character) + 64)}"
    return character if character.isprintable() else ""
