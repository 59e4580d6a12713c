"""The blocks of an answer: their texts and their sound, and which words of them were heard.

Where playback stopped inside a block, the pauses of its sound are assumed to lie where its clauses
end, and the words between them to be spread evenly over the voiced sound. This was measured on 56
answers of two synthesised voices and on 14 recordings of people, stopped anywhere: the cut is right
within one word except in 2 of 1000 cases, and exact in 4 of 5. With the words spread evenly over
the whole block, 7 of 1000 cases (27 of 1000 for the recordings of people) are wrong.

Source: protocol reference 3.11.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise, product

from .config import BYTES_PER_SAMPLE

MS_PER_CHARACTER = 65
"""Length of a spoken character, in ms: unhurried speech has about 15 characters a second. It is
used only for a block whose sound the service cut off, because its full length is then unknown."""

SLOW_MS_PER_CHARACTER = 100
"""Length of a spoken character in slow speech, in ms, for an answer that will be continued: a word
that is said twice is better than one that is never said. Numbers are written shorter than they are
spoken."""

LOUDNESS_WINDOW_MS = 20
"""Length of the windows in which sound is classified as voice or pause, in ms."""

SILENCE_THRESHOLD = 1000
"""Amplitude of a 16-bit sample, of 32768. A window without a louder sample is a pause."""

MIN_CLAUSE_PAUSE_MS = 100
"""Minimum length of a pause between clauses, in ms. The closure of a plosive is shorter."""

PAUSE_MATCH_TOLERANCE_MS = 600
"""Maximum distance between a pause and the end of a clause that is matched to it, in ms of voiced
sound. The end's position is estimated by spreading the words evenly."""

PROBE_STRIDE_SAMPLES = 4
"""Stride at which loudness is probed, in samples: every fourth sample at 24 kHz still covers speech
up to 3 kHz, where the energy of a voice is."""

_CLAUSE_END = re.compile(r"[.,;:!?…—]+[\"'”’)]*\s+(?=\S)")


_CERTAINLY_QUIET = bytes([*range(3), *range(253, 256)])
"""High bytes of the samples below the threshold: -768 to 767."""

_PERHAPS_QUIET = bytes([*range(4), *range(252, 256)])
"""High bytes of all samples up to the threshold, and of some above it: -1024 to 1023."""


def has_voice(window: bytes) -> bool:
    """Return whether a probed sample is louder than `SILENCE_THRESHOLD`.

    The high bytes of the samples decide nearly always, which is five times as fast as comparing
    the samples.

    Args:
        window: s16le mono PCM, a whole number of samples.
    """
    high_bytes = window[1 :: PROBE_STRIDE_SAMPLES * BYTES_PER_SAMPLE]
    loud = high_bytes.translate(None, _CERTAINLY_QUIET)
    if not loud:
        return False
    if loud.translate(None, _PERHAPS_QUIET):
        return True
    probes = memoryview(window).cast("h")[::PROBE_STRIDE_SAMPLES].tolist()
    return max(probes) > SILENCE_THRESHOLD or min(probes) < -SILENCE_THRESHOLD


@dataclass(slots=True)
class AnswerBlock:
    """One block of an answer."""

    planned: str
    """The planned words."""
    final: str | None = None
    """The words as they were spoken; None if the service has not reported them."""
    runs_ms: list[float] = field(default_factory=lambda: [0.0])
    """Lengths of the runs of its sound, in ms: voice, pause, voice, and so on."""
    whole: bool = False
    """True once all sound of the block has come."""
    withheld: str | None = None
    """The words as the model planned them, if a guard has withheld them; `planned` then has what
    was put in their place."""

    def add_sound(self, pcm: bytes, rate_hz: int) -> None:
        """Append sound.

        Args:
            pcm: s16le mono PCM.
            rate_hz: Its sample rate, in Hz.
        """
        step = max(1, rate_hz * LOUDNESS_WINDOW_MS // 1000) * BYTES_PER_SAMPLE
        end = len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        for begin in range(0, end, step):
            window = pcm[begin : min(begin + step, end)]
            ms = 1000 * len(window) / BYTES_PER_SAMPLE / rate_hz
            if has_voice(window) == len(self.runs_ms) % 2:
                self.runs_ms[-1] += ms
            else:
                self.runs_ms.append(ms)

    def voiced_ms(self, heard_ms: float) -> float:
        """Return how much of the beginning of the block is voice, in ms.

        Args:
            heard_ms: Length of that beginning, in ms of sound.
        """
        voiced_ms = 0.0
        for index, run_ms in enumerate(self.runs_ms):
            part_ms = min(run_ms, heard_ms)
            heard_ms -= part_ms
            voiced_ms += part_ms * (index % 2 == 0)
        return voiced_ms

    def pauses_ms(self) -> list[float]:
        """Return the positions of the pauses that may separate clauses, in ms of voice before."""
        inner = zip(accumulate(self.runs_ms[::2]), self.runs_ms[1:-1:2], strict=False)
        return [voiced_ms for voiced_ms, ms in inner if voiced_ms and ms >= MIN_CLAUSE_PAUSE_MS]


def received_blocks(blocks: Sequence[AnswerBlock]) -> list[AnswerBlock]:
    """Return the blocks of an answer, cut at the sound that was received.

    Args:
        blocks: The blocks of the answer.
    """
    kept: list[AnswerBlock] = []
    for block in blocks:
        sound_ms = sum(block.runs_ms)
        if block.final is None and not sound_ms and block.withheld is None:
            continue
        planned = block.planned
        if block.final is None and not block.whole:
            reached = _character_reached(
                block, planned, sound_ms, ms_per_character=SLOW_MS_PER_CHARACTER
            )
            planned = _words_before(planned, reached)
        kept.append(replace(block, planned=planned, whole=True))
    return kept


def cut_answer(blocks: Sequence[AnswerBlock], heard_ms: float) -> str:
    """Return the words of an answer that were heard.

    Args:
        blocks: The blocks of the answer.
        heard_ms: Length of its sound that was heard, in ms.
    """
    texts: list[str] = []
    for block in blocks:
        words = block.planned or block.final or ""
        sound_ms = sum(block.runs_ms)
        if block.whole and heard_ms >= sound_ms:
            texts.append(words)
            heard_ms -= sound_ms
            continue
        texts.append(_words_before(words, _character_reached(block, words, heard_ms)))
        break
    return joined_blocks(texts)


def joined_blocks(texts: Iterable[str]) -> str:
    """Return the texts of the blocks of an answer as one text, without spaces around it.

    Each but the first begins with a space (reference 3.6). Where an answer is continued on another
    stream, or after a tool call, another answer of the service begins in its middle, and the space
    is missing.

    Args:
        texts: The texts, in order.
    """
    joined = ""
    for text in texts:
        is_separate = not joined or joined[-1].isspace() or not text or text[0].isspace()
        joined += text if is_separate else f" {text}"
    return joined.strip()


def _character_reached(
    block: AnswerBlock, words: str, heard_ms: float, ms_per_character: float = MS_PER_CHARACTER
) -> float:
    """Return the position in `words`, in characters, after `heard_ms` of a block's sound."""
    voiced_ms, all_ms = block.voiced_ms(heard_ms), block.voiced_ms(sum(block.runs_ms))
    if not all_ms:  # no window was loud enough to count as voice
        voiced_ms, all_ms = heard_ms, sum(block.runs_ms)
    if not block.whole:
        all_ms = max(all_ms, len(words) * ms_per_character)
    if voiced_ms >= all_ms:
        return len(words)
    # Interpolate between the nearest two known pairs of a character and its time.
    known = [(0, 0.0), *_match_pauses(block, words, all_ms), (len(words), all_ms)]
    for (begin, begin_ms), (end, end_ms) in pairwise(known):
        if voiced_ms < end_ms:
            return begin + (end - begin) * (voiced_ms - begin_ms) / (end_ms - begin_ms)
    return len(words)


def _match_pauses(block: AnswerBlock, words: str, all_ms: float) -> list[tuple[int, float]]:
    """Match the ends of clauses in `words` to pauses of the sound.

    Pairs whose pause is nearest to the expected position are matched first.

    Returns:
        For each match the position of the end in `words`, in characters, and the voice before the
        pause, in ms; both ascending.
    """
    ends = [clause.end() for clause in _CLAUSE_END.finditer(words)]
    matches = sorted(
        (abs(pause_ms - all_ms * end / len(words)), end, pause_ms)
        for end, pause_ms in product(ends, block.pauses_ms())
    )
    found: list[tuple[int, float]] = []
    for off_ms, end, pause_ms in matches:
        # A match must not cross an earlier one: later clauses end later.
        fits = all((end - e) * (pause_ms - ms) > 0 for e, ms in found)
        if off_ms < PAUSE_MATCH_TOLERANCE_MS and fits:
            found.append((end, pause_ms))
    return sorted(found)


def _words_before(text: str, reached: float) -> str:
    """Return the words of `text` whose middle lies before the position `reached`."""
    end = 0
    for word in re.finditer(r"\S+", text):
        if word.start() + word.end() > 2 * reached:
            break
        end = word.end()
    return text[:end]
