"""The conversation as it was heard: what was planned, what was spoken, where it was cut.

The service tells an answer block by block: planned (SPECULATIVE), then its sound, then, paced by
playback and often seconds late or never, as spoken (FINAL). The text of a turn is therefore

- not interrupted: each block's FINAL where it came, else its plan;
- interrupted, and playback told how much was heard: the plan, cut there between two words;
- interrupted, and nobody told: the FINAL blocks alone, since the rest never sounded.

Where playback stopped inside a block, the words are taken to be spread evenly over its sound.

Source: protocol reference 3.11.
"""

import re
from dataclasses import dataclass, field

from .history import Message

MS_PER_CHARACTER = 65
"""Unhurried speech has about 15 characters a second. Used only for a block whose sound was cut
off by the service, so that nobody knows how long it would have been."""

TAIL_MS = 20
"""A turn is heard when less than this is missing: a resampler keeps the last 3 ms for itself."""


@dataclass(frozen=True, slots=True)
class Line:
    """One side's part of a turn. `text` is what was said and heard, `planned` what was meant."""

    turn: int
    role: str
    text: str
    planned: str
    interrupted: bool = False


@dataclass(slots=True)
class _Block:
    planned: str
    final: str | None = None
    sound_ms: float = 0.0
    whole: bool = False


@dataclass(slots=True)
class _Turn:
    user: list[str] = field(default_factory=list[str])
    blocks: list[_Block] = field(default_factory=list[_Block])
    interrupted: bool = False
    heard_ms: int | None = None


class Transcript:
    """Grows with the session; turns are numbered from 1 and may be told out of order."""

    def __init__(self) -> None:
        self._turns: dict[int, _Turn] = {}

    def user(self, turn: int, text: str) -> None:
        """Words of the user; several pieces of one turn belong together."""
        self._turn(turn).user.append(text)

    def plan(self, turn: int, text: str) -> int:
        """A block of the answer as planned; returns its number within the turn."""
        blocks = self._turn(turn).blocks
        blocks.append(_Block(text))
        return len(blocks) - 1

    def drop_plans(self, turn: int) -> None:
        """The user went on talking before any sound: what was planned was never spoken."""
        self._turn(turn).blocks.clear()

    def sound(self, turn: int, ms: float) -> None:
        """`ms` more of the sound of the turn's newest block."""
        blocks = self._turn(turn).blocks
        if not blocks:
            blocks.append(_Block(""))
        blocks[-1].sound_ms += ms

    def sound_ended(self, turn: int) -> None:
        """The newest block's sound is complete."""
        blocks = self._turn(turn).blocks
        if blocks:
            blocks[-1].whole = True

    def final(self, text: str, current: int) -> tuple[int, int]:
        """A FINAL block; returns the turn and the block it speaks of.

        It may come after later turns began, so it goes to the oldest block still waiting whose
        plan begins with it; else, spoken differently than planned, it is a block of its own of
        the turn `current`, the newest that sounded. Blocks of older interrupted turns wait for
        nothing any more.
        """
        spoken = text.strip()
        for number, turn in sorted(self._turns.items()):
            if turn.interrupted and number < current:
                continue
            for index, block in enumerate(turn.blocks):
                if block.final is None and block.planned.strip().startswith(spoken):
                    block.final = text
                    return number, index
        blocks = self._turn(current).blocks
        blocks.append(_Block(planned="", final=text, whole=True))
        return current, len(blocks) - 1

    def interrupt(self, turn: int) -> None:
        """The user cut this turn's answer off."""
        self._turn(turn).interrupted = True

    def hear(self, turn: int, heard_ms: int) -> None:
        """Playback stopped after `heard_ms` of the turn's sound."""
        self._turn(turn).heard_ms = heard_ms

    def planned(self, turn: int) -> str:
        """The whole answer as it was meant."""
        return "".join(b.planned or b.final or "" for b in self._turn(turn).blocks).strip()

    def heard(self, turn: int) -> str:
        """The answer as it was heard; see the module's rules."""
        entry = self._turn(turn)
        if not entry.interrupted:
            return "".join(b.planned if b.final is None else b.final for b in entry.blocks).strip()
        if entry.heard_ms is None:
            return "".join(b.final or "" for b in entry.blocks).strip()
        return _cut(entry.blocks, entry.heard_ms).strip()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The conversation so far, one line for each side of each turn."""
        lines: list[Line] = []
        for number, turn in sorted(self._turns.items()):
            if turn.user:
                said = " ".join(text.strip() for text in turn.user)
                lines.append(Line(number, "USER", said, said))
            if turn.blocks:
                heard, planned = self.heard(number), self.planned(number)
                lines.append(Line(number, "ASSISTANT", heard, planned, turn.interrupted))
        return tuple(lines)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as heard, to be the `history` of another session."""
        return tuple(
            Message("USER" if line.role == "USER" else "ASSISTANT", line.text)
            for line in self.lines
            if line.text
        )

    def _turn(self, number: int) -> _Turn:
        return self._turns.setdefault(number, _Turn())


def _cut(blocks: list[_Block], heard_ms: float) -> str:
    text = ""
    for block in blocks:
        words = block.planned or block.final or ""
        length_ms = block.sound_ms
        if not block.whole:
            length_ms = max(length_ms, len(words) * MS_PER_CHARACTER)
        if heard_ms >= length_ms:
            text += words
            heard_ms -= length_ms
            continue
        return text + _at_word(words, len(words) * heard_ms / length_ms)
    return text


def _at_word(text: str, reached: float) -> str:
    """The words of `text` whose middle lies before the character `reached`.

    Of 72 sentences of two synthesisers, stopped anywhere, 70 were right within a word, 38 exactly;
    with finished words alone 63 and 18.
    """
    end = 0
    for word in re.finditer(r"\S+", text):
        if word.start() + word.end() > 2 * reached:
            break
        end = word.end()
    return text[:end]
