"""The conversation as it was heard: what was planned, what was spoken, where it was cut.

The service sends an answer block by block: first its planned text (SPECULATIVE), then its sound,
then the text as it was spoken (FINAL). FINAL texts are paced by playback; they often come seconds
late, or never. The text of a turn is therefore

- not interrupted: for each block its FINAL text where one came, else its planned text;
- interrupted, and playback reported how much was heard: the planned text, cut there between two
  words;
- interrupted, and playback reported nothing: the FINAL texts alone, since the rest never sounded.

A conversation that ends in the middle of an answer interrupts it. `stop_playback` cuts each answer
that was not heard to its end where playback stopped, and no text that comes later counts as heard.
An answer without any sound is then reduced to its FINAL texts, or to nothing. (The service has no
answers of text alone, reference 2.3.)

Where playback stopped inside a block, `answer_blocks` estimates the words that were heard.

Source: protocol reference 3.11.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from .answer_blocks import AnswerBlock, cut_answer, joined_blocks, received_blocks
from .history import Message

TURNS_CONFIRMED = 16
"""Number of turns, the newest ones, that a FINAL text may belong to. FINAL texts come seconds
late."""

PLAYBACK_TAIL_MS = 20
"""Maximum sound that may be missing from a turn that was heard to its end, in ms. A resampler keeps
the last 3 ms back."""


@dataclass(frozen=True, slots=True)
class Line:
    """One side's part of a turn."""

    turn: int
    role: str
    """`USER` or `ASSISTANT`."""
    text: str
    """The words that were said and heard."""
    planned: str
    """The words that were meant to be said."""
    interrupted: bool = False


@dataclass(slots=True)
class _TurnRecord:
    user: list[str] = field(default_factory=list[str])
    blocks: list[AnswerBlock] = field(default_factory=list[AnswerBlock])
    interrupted: bool = False
    heard_ms: int | None = None
    """Position in the answer's sound at which playback stopped, in ms; None if not reported."""
    complete: bool = False
    """True once all sound of the answer has come."""
    played_ms: int = 0
    """Maximum that playback has reported of this turn, in ms; a sink forgets old turns."""

    @property
    def sound_ms(self) -> float:
        return sum(sum(block.runs_ms) for block in self.blocks)


class Transcript:
    """The transcript of a session, which grows with it.

    Turns are numbered from 1. Their parts may be added in any order of turns.
    """

    def __init__(self) -> None:
        self._turns = defaultdict[int, _TurnRecord](_TurnRecord)
        self._unsettled: set[int] = set()
        """Turns whose answer has begun and was neither heard to its end nor cut."""
        self._stopped = False

    def restore(self, lines: "Iterable[Line]") -> None:
        """Add the turns of an earlier part of the conversation. What comes later changes none.

        Args:
            lines: The lines of that part, as they were heard.
        """
        for line in lines:
            turn = self._turns[line.turn]
            if line.role == "USER":
                turn.user.append(line.text)
            else:
                block = AnswerBlock(line.planned, final=line.text, whole=True)
                turn.blocks.append(block)
                turn.interrupted, turn.complete = line.interrupted, True

    def user(self, turn: int, text: str) -> None:
        """Add words of the user to a turn. A turn may have several pieces.

        Args:
            turn: Number of the turn.
            text: The words.
        """
        self._turns[turn].user.append(text)

    def plan(self, turn: int, text: str) -> int:
        """Add a block of an answer as it was planned.

        Args:
            turn: Number of the turn.
            text: The planned words.

        Returns:
            The number of the block within its turn, from 0.
        """
        if self._stopped:
            return 0
        blocks = self._answer_of(turn).blocks
        blocks.append(AnswerBlock(text))
        return len(blocks) - 1

    def drop_plans(self, turn: int) -> None:
        """Drop the planned texts of a turn, because the user went on talking before any sound.

        Args:
            turn: Number of the turn.
        """
        self._turns[turn].blocks.clear()

    def retake(self, turn: int) -> None:
        """Drop the words of a turn and its planned answer, because its audio is sent again.

        Args:
            turn: Number of the turn.
        """
        self._turns[turn].user.clear()
        self.drop_plans(turn)

    def end_at_received(self, turn: int) -> None:
        """Cut an answer at the sound that was received, because the rest will not come.

        The rest may be answered anew, in further blocks of the same turn.

        Args:
            turn: Number of the turn.
        """
        self._turns[turn].blocks[:] = received_blocks(self._turns[turn].blocks)

    def sound(self, turn: int, pcm: bytes, rate_hz: int) -> None:
        """Add sound to the newest block of a turn.

        Args:
            turn: Number of the turn.
            pcm: s16le mono PCM.
            rate_hz: Its sample rate, in Hz.
        """
        if self._stopped:
            return
        blocks = self._answer_of(turn).blocks
        if not blocks:
            blocks.append(AnswerBlock(""))
        if blocks[-1].withheld is None:
            blocks[-1].add_sound(pcm, rate_hz)

    def sound_ended(self, turn: int) -> None:
        """Mark the sound of a turn's newest block as complete.

        Args:
            turn: Number of the turn.
        """
        blocks = self._turns[turn].blocks
        if blocks and not self._stopped:
            blocks[-1].whole = True

    def withhold(
        self, turn: int, block: int, text: str, replacement: str, sound_ms: float = 0.0
    ) -> None:
        """Put other words in place of a planned block, because a guard keeps it from being heard.

        The FINAL text that the service may send for the block is then ignored, and so is the sound
        of the block.

        Args:
            turn: Number of the turn.
            block: Number of the block, as `plan` returned it. It may have another number by now.
            text: The planned words of the block. If the turn has no such block any more, nothing
                is changed.
            replacement: The words in its place; empty for none.
            sound_ms: Length of the sound that is played in its place, in ms.
        """
        blocks = self._turns[turn].blocks
        for found in (*blocks[block : block + 1], *blocks):
            if found.withheld is None and found.planned.strip() and text.startswith(found.planned):
                found.withheld, found.planned = text, replacement
                found.final = None if found.final is None else replacement
                found.runs_ms, found.whole = [sound_ms], True
                return

    def answer_ended(self, turn: int) -> None:
        """Mark all sound of a turn's answer as received.

        Args:
            turn: Number of the turn.
        """
        self._turns[turn].complete = not self._stopped

    def final(self, text: str, current: int) -> tuple[int, int] | None:
        """Assign a FINAL text to the block that it confirms.

        The text may come after later turns have begun. It belongs to the oldest block without a
        FINAL text whose planned text begins with it, except for blocks of older interrupted turns,
        which expect no FINAL text any more: one that repeats only such a block is ignored, because
        its sound was not heard. If there is no block at all, the words were spoken differently than
        planned, and the text becomes a block of its own.

        Args:
            text: The FINAL text.
            current: Number of the newest turn that has sound, which a block of its own joins.

        Returns:
            The numbers of the turn and of the block; None if the text is ignored.
        """
        confirmed = self.confirm(text, current)
        if confirmed is not None:
            return confirmed
        if self._repeats_interrupted(text):
            return None
        if self._stopped:
            return current, 0
        blocks = self._answer_of(current).blocks
        blocks.append(AnswerBlock(planned="", final=text, whole=True))
        return current, len(blocks) - 1

    def confirm(self, text: str, current: int) -> tuple[int, int] | None:
        """Assign a FINAL text to the block that it confirms, if there is one.

        Args:
            text: The FINAL text.
            current: Number of the newest turn that has sound.

        Returns:
            The numbers of the turn and of the block; None if the text confirms none.
        """
        spoken = text.strip()
        for number in sorted(self._turns)[-TURNS_CONFIRMED:]:
            turn = self._turns[number]
            if turn.interrupted and number < current:
                continue
            for index, block in enumerate(turn.blocks):
                planned = block.planned if block.withheld is None else block.withheld
                if block.final is None and planned.strip().startswith(spoken):
                    block.final = text if block.withheld is None else block.planned
                    return number, index
        return None

    def _repeats_interrupted(self, text: str) -> bool:
        """Return whether a FINAL text repeats planned words of an answer that was cut off."""
        spoken = text.strip()
        recent = (self._turns[number] for number in sorted(self._turns)[-TURNS_CONFIRMED:])
        return any(
            (block.withheld or block.planned).strip().startswith(spoken)
            for turn in recent
            for block in turn.blocks
            if turn.interrupted or block.withheld is not None
        )

    def interrupt(self, turn: int) -> None:
        """Mark the answer of a turn as cut off by the user.

        Args:
            turn: Number of the turn.
        """
        self._turns[turn].interrupted = True

    def hear(self, turn: int, heard_ms: int) -> None:
        """Record where playback of a turn stopped.

        Args:
            turn: Number of the turn.
            heard_ms: How much of its sound was played, in ms.
        """
        self._turns[turn].heard_ms = heard_ms

    def follow_playback(self, played_ms: Callable[[int], int]) -> None:
        """Record which answers have been heard to their end, so that they are not cut later.

        Args:
            played_ms: Returns how many milliseconds of a turn have sounded. It may have forgotten
                turns that it reported as played before.
        """
        for number in sorted(self._unsettled):
            turn = self._turns[number]
            turn.played_ms = max(turn.played_ms, played_ms(number))
            heard = turn.complete and turn.played_ms + PLAYBACK_TAIL_MS >= turn.sound_ms
            dropped = not turn.blocks  # `drop_plans`, before any sound
            if dropped or turn.heard_ms is not None or (heard and not turn.interrupted):
                self._unsettled.discard(number)
            if heard and not turn.interrupted:
                for block in turn.blocks:  # it will not be cut: its pauses are no longer needed
                    block.runs_ms = [sum(block.runs_ms)]

    def stop_playback(self, played_ms: Callable[[int], int]) -> dict[int, int]:
        """Cut each answer that was not heard to its end, because playback is over.

        Later parts of answers are ignored. Repeating it changes nothing.

        Args:
            played_ms: Returns how many milliseconds of a turn have sounded.

        Returns:
            For each turn that was cut, how many milliseconds of it were heard.
        """
        self.follow_playback(played_ms)
        cut = {number: self._turns[number].played_ms for number in sorted(self._unsettled)}
        for number, heard_ms in cut.items():
            turn = self._turns[number]
            turn.interrupted = True
            if turn.sound_ms:
                turn.heard_ms = heard_ms
        self._unsettled.clear()
        self._stopped = True
        return cut

    def planned(self, turn: int) -> str:
        """Return the whole answer of a turn as it was planned.

        Args:
            turn: Number of the turn.
        """
        return joined_blocks(b.planned or b.final or "" for b in self._turns[turn].blocks)

    def heard(self, turn: int) -> str:
        """Return the answer of a turn as it was heard, by the rules of the module.

        Args:
            turn: Number of the turn.
        """
        entry = self._turns[turn]
        if not entry.interrupted:
            return joined_blocks(b.planned if b.final is None else b.final for b in entry.blocks)
        if entry.heard_ms is None:
            return joined_blocks(b.final or "" for b in entry.blocks)
        return cut_answer(entry.blocks, entry.heard_ms)

    def heard_by(self, turn: int, played_ms: int) -> str:
        """Return the words of an answer that were heard so far, while it sounds.

        Args:
            turn: Number of the turn.
            played_ms: How much of its sound was played, in milliseconds.
        """
        return cut_answer(self._turns[turn].blocks, played_ms)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The conversation so far, one line for each side of each turn.

        An answer that was cut before a word of it was heard has no line.
        """
        return tuple(line for number in sorted(self._turns) for line in self.turn_lines(number))

    def turn_lines(self, number: int) -> tuple[Line, ...]:
        """Return the lines of one turn so far, at most one for each side.

        Args:
            number: Number of the turn.
        """
        turn, lines = self._turns.get(number, _TurnRecord()), list[Line]()
        if turn.user:
            said = " ".join(text.strip() for text in turn.user).strip()
            lines.append(Line(number, "USER", said, said))
        if turn.blocks:
            heard, planned = self.heard(number), self.planned(number)
            if heard or not turn.interrupted:
                lines.append(Line(number, "ASSISTANT", heard, planned, turn.interrupted))
        return tuple(lines)

    def received_lines(self, newest: int) -> tuple[Line, ...]:
        """Return the newest lines, with an answer that is still coming cut at its received sound.

        They are what was heard at most if the conversation broke off now.

        Args:
            newest: Maximum number of turns, from the newest back.
        """
        received = Transcript()
        for number in sorted(self._turns)[-newest:]:
            turn = self._turns[number]
            coming = turn.blocks and not (turn.complete or turn.interrupted or self._stopped)
            received._turns[number] = (
                replace(turn, blocks=received_blocks(turn.blocks)) if coming else turn
            )
        return received.lines

    @property
    def turn_count(self) -> int:
        """Number of turns so far of which anything is known."""
        return len(self._turns)

    @property
    def stopped(self) -> bool:
        """True once playback is over: nothing that comes later is heard."""
        return self._stopped

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as it was heard, in the form of the `history` of another session."""
        return tuple(
            Message("USER" if line.role == "USER" else "ASSISTANT", line.text)
            for line in self.lines
            if line.text
        )

    def _answer_of(self, number: int) -> _TurnRecord:
        """Return the turn `number`, and note that its answer has begun."""
        turn = self._turns[number]
        if turn.heard_ms is None:
            self._unsettled.add(number)
        return turn
