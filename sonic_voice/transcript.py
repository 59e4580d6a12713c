"""The conversation as it was heard: what was planned, what was spoken, where it was cut.

The service tells an answer block by block: planned (SPECULATIVE), then its sound, then, paced by
playback and often seconds late or never, as spoken (FINAL). The text of a turn is therefore

- not interrupted: each block's FINAL where it came, else its plan;
- interrupted, and playback told how much was heard: the plan, cut there between two words;
- interrupted, and nobody told: the FINAL blocks alone, since the rest never sounded.

A conversation that ends in the middle of an answer interrupts it: `stop_playback` cuts each answer
that was not heard to its end where playback stopped, and nothing that comes later is taken for
heard. An answer without any sound is then its FINAL blocks, or nothing. (The service has no answers
of text alone, reference 2.3.)

Where playback stopped inside a block, its pauses are taken to be where its clauses end, and the
words between to be spread evenly over the voice. Stopped anywhere, what is told of 56 answers of
two synthesised voices and 14 recordings of people is then right within a word but for 2 of 1000
times, and to the word in 4 of 5; spread over the whole block, 7 and (people) 27 of 1000 are wrong.

Source: protocol reference 3.11.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, product

from .history import Message

MS_PER_CHARACTER = 65
"""Unhurried speech has about 15 characters a second. Used only for a block whose sound was cut
off by the service, so that nobody knows how long it would have been."""

LOUDNESS_WINDOW_MS = 20
SILENCE_THRESHOLD = 1000
"""Of 32768: a piece of sound without a sample as high is a pause."""

MIN_CLAUSE_PAUSE_MS = 100
"""As long at least is a pause between clauses; the closure of a plosive is shorter."""

PAUSE_MATCH_TOLERANCE_MS = 600
"""A pause of which the words, spread evenly, miss the clause's end by more is another one."""

PROBE_STRIDE_SAMPLES = 4
"""So many samples apart it is looked for: at 24 kHz, up to 3 kHz, where the voice is."""

PLAYBACK_TAIL_MS = 20
"""A turn is heard when less than this is missing: a resampler keeps the last 3 ms for itself."""


_CLAUSE_END = re.compile(r"[.,;:!?…—]+[\"'”’)]*\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Line:
    """One side's part of a turn. `text` is what was said and heard, `planned` what was meant."""

    turn: int
    role: str
    text: str
    planned: str
    interrupted: bool = False


@dataclass(slots=True)
class _AnswerBlock:
    planned: str
    final: str | None = None
    runs_ms: list[float] = field(default_factory=lambda: [0.0])
    """Of its sound: a voice, a pause, a voice, and so on."""
    whole: bool = False

    def add_sound(self, voice: bool, ms: float) -> None:
        """`ms` more of its sound."""
        if voice == len(self.runs_ms) % 2:
            self.runs_ms[-1] += ms
        else:
            self.runs_ms.append(ms)

    def voiced_ms(self, heard_ms: float) -> float:
        """How much of the first `heard_ms` is no pause."""
        voiced_ms = 0.0
        for index, run_ms in enumerate(self.runs_ms):
            part_ms = min(run_ms, heard_ms)
            heard_ms -= part_ms
            voiced_ms += part_ms * (index % 2 == 0)
        return voiced_ms

    def pauses_ms(self) -> list[float]:
        """How much voice is before each pause that may be one between clauses."""
        inner = zip(accumulate(self.runs_ms[::2]), self.runs_ms[1:-1:2], strict=False)
        return [voiced_ms for voiced_ms, ms in inner if voiced_ms and ms >= MIN_CLAUSE_PAUSE_MS]


@dataclass(slots=True)
class _TurnRecord:
    user: list[str] = field(default_factory=list[str])
    blocks: list[_AnswerBlock] = field(default_factory=list[_AnswerBlock])
    interrupted: bool = False
    heard_ms: int | None = None
    complete: bool = False
    """Whether all sound of the answer has come."""
    played_ms: int = 0
    """The most that playback said of this turn; a sink forgets old turns."""

    @property
    def sound_ms(self) -> float:
        return sum(sum(block.runs_ms) for block in self.blocks)


class Transcript:
    """Grows with the session; turns are numbered from 1 and may be told out of order."""

    def __init__(self) -> None:
        self._turns: dict[int, _TurnRecord] = {}
        self._unsettled: set[int] = set()
        """Turns whose answer may still be cut: begun, and neither heard to the end nor cut."""
        self._stopped = False

    def user(self, turn: int, text: str) -> None:
        """Words of the user; several pieces of one turn belong together."""
        self._turn(turn).user.append(text)

    def plan(self, turn: int, text: str) -> int:
        """A block of the answer as planned; returns its number within the turn."""
        if self._stopped:
            return 0
        blocks = self._answer_of(turn).blocks
        blocks.append(_AnswerBlock(text))
        return len(blocks) - 1

    def drop_plans(self, turn: int) -> None:
        """The user went on talking before any sound: what was planned was never spoken."""
        self._turn(turn).blocks.clear()

    def sound(self, turn: int, pcm: bytes, rate_hz: int) -> None:
        """More of the sound of the turn's newest block, s16le mono."""
        if self._stopped:
            return
        blocks = self._answer_of(turn).blocks
        if not blocks:
            blocks.append(_AnswerBlock(""))
        samples = memoryview(pcm)[: len(pcm) // 2 * 2].cast("h")
        step = max(1, rate_hz * LOUDNESS_WINDOW_MS // 1000)
        for begin in range(0, len(samples), step):
            window = samples[begin : begin + step]
            probes = window[::PROBE_STRIDE_SAMPLES].tolist()
            voice = max(probes) > SILENCE_THRESHOLD or min(probes) < -SILENCE_THRESHOLD
            blocks[-1].add_sound(voice, 1000 * len(window) / rate_hz)

    def sound_ended(self, turn: int) -> None:
        """The newest block's sound is complete."""
        blocks = self._turn(turn).blocks
        if blocks and not self._stopped:
            blocks[-1].whole = True

    def answer_ended(self, turn: int) -> None:
        """All sound of the turn's answer has come."""
        self._turn(turn).complete = not self._stopped

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
        if self._stopped:
            return current, 0
        blocks = self._answer_of(current).blocks
        blocks.append(_AnswerBlock(planned="", final=text, whole=True))
        return current, len(blocks) - 1

    def interrupt(self, turn: int) -> None:
        """The user cut this turn's answer off."""
        self._turn(turn).interrupted = True

    def hear(self, turn: int, heard_ms: int) -> None:
        """Playback stopped after `heard_ms` of the turn's sound."""
        self._turn(turn).heard_ms = heard_ms

    def follow_playback(self, played_ms: Callable[[int], int]) -> None:
        """Note which answers have been heard to their end: they are cut no more.

        Args:
            played_ms: Returns how many milliseconds of a turn have sounded. It need not know turns
                that it called heard before.
        """
        for number in sorted(self._unsettled):
            turn = self._turns[number]
            turn.played_ms = max(turn.played_ms, played_ms(number))
            heard = turn.complete and turn.played_ms + PLAYBACK_TAIL_MS >= turn.sound_ms
            dropped = not turn.blocks  # its plans, before any sound
            if dropped or turn.heard_ms is not None or (heard and not turn.interrupted):
                self._unsettled.discard(number)

    def stop_playback(self, played_ms: Callable[[int], int]) -> dict[int, int]:
        """Cut each answer that was not heard to its end; nothing sounds any more.

        What the service still tells of answers is not taken. Repeating it changes nothing.

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
        """The whole answer as it was meant."""
        return "".join(b.planned or b.final or "" for b in self._turn(turn).blocks).strip()

    def heard(self, turn: int) -> str:
        """The answer as it was heard; see the module's rules."""
        entry = self._turn(turn)
        if not entry.interrupted:
            return "".join(b.planned if b.final is None else b.final for b in entry.blocks).strip()
        if entry.heard_ms is None:
            return "".join(b.final or "" for b in entry.blocks).strip()
        return _cut_answer(entry.blocks, entry.heard_ms).strip()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The conversation so far, one line for each side of each turn.

        An answer that was cut before a word of it was heard has none.
        """
        lines: list[Line] = []
        for number, turn in sorted(self._turns.items()):
            if turn.user:
                said = " ".join(text.strip() for text in turn.user)
                lines.append(Line(number, "USER", said, said))
            if turn.blocks:
                heard, planned = self.heard(number), self.planned(number)
                if heard or not turn.interrupted:
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

    def _turn(self, number: int) -> _TurnRecord:
        return self._turns.setdefault(number, _TurnRecord())

    def _answer_of(self, number: int) -> _TurnRecord:
        """The turn `number`, whose answer goes on."""
        turn = self._turn(number)
        if turn.heard_ms is None:
            self._unsettled.add(number)
        return turn


def _cut_answer(blocks: list[_AnswerBlock], heard_ms: float) -> str:
    text = ""
    for block in blocks:
        words = block.planned or block.final or ""
        sound_ms = sum(block.runs_ms)
        if block.whole and heard_ms >= sound_ms:
            text += words
            heard_ms -= sound_ms
            continue
        return text + _words_before(words, _character_reached(block, words, heard_ms))
    return text


def _character_reached(block: _AnswerBlock, words: str, heard_ms: float) -> float:
    """The character of `words` that is said after `heard_ms` of a block's sound."""
    voiced_ms, all_ms = block.voiced_ms(heard_ms), block.voiced_ms(sum(block.runs_ms))
    if not all_ms:  # nothing but a pause, as far as can be told
        voiced_ms, all_ms = heard_ms, sum(block.runs_ms)
    if not block.whole:
        all_ms = max(all_ms, len(words) * MS_PER_CHARACTER)
    if voiced_ms >= all_ms:
        return len(words)
    known = [(0, 0.0), *_match_pauses(block, words, all_ms), (len(words), all_ms)]
    for (begin, begin_ms), (end, end_ms) in pairwise(known):
        if voiced_ms < end_ms:
            return begin + (end - begin) * (voiced_ms - begin_ms) / (end_ms - begin_ms)
    return len(words)


def _match_pauses(block: _AnswerBlock, words: str, all_ms: float) -> list[tuple[int, float]]:
    """Which ends of clauses in `words` are which pauses: character, and voice before it in ms.

    Those that are nearest to where they are expected are matched first.
    """
    ends = [clause.end() for clause in _CLAUSE_END.finditer(words)]
    matches = sorted(
        (abs(pause_ms - all_ms * end / len(words)), end, pause_ms)
        for end, pause_ms in product(ends, block.pauses_ms())
    )
    found: list[tuple[int, float]] = []
    for off_ms, end, pause_ms in matches:
        fits = all((end - e) * (pause_ms - ms) > 0 for e, ms in found)
        if off_ms < PAUSE_MATCH_TOLERANCE_MS and fits:
            found.append((end, pause_ms))
    return sorted(found)


def _words_before(text: str, reached: float) -> str:
    """The words of `text` whose middle lies before the character `reached`."""
    end = 0
    for word in re.finditer(r"\S+", text):
        if word.start() + word.end() > 2 * reached:
            break
        end = word.end()
    return text[:end]
