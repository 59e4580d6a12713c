"""The parts of an answer: its timing, its sentences, their playback, and the size of its chunks."""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from ...config import BYTES_PER_SAMPLE
from ..scenario import Recording
from .brain import Reply
from .endpointing import ENDPOINT_MS

CHUNK_MS_V1 = (40,)
"""Length of the audio chunks of v1, in milliseconds (reference 4)."""
CHUNK_MS = (79, 100, 79, 160, 79, 200, 120)
"""Lengths of the audio chunks of v2, in milliseconds, repeated in this order. The service sends
79 to 200 ms at a time (reference 4)."""
TAIL_SAMPLES = 16
"""Samples in the last chunk of each audio block of v2, which has 32 bytes."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The delays of the service, in milliseconds of input audio (reference 3.4, 3.12)."""

    notice_ms: int = 320
    """Delay from the onset to `userSpeechStart`; 335 and 856 were recorded."""
    high_ms: int = ENDPOINT_MS["HIGH"]
    """Silence that ends an utterance at the sensitivity HIGH."""
    medium_ms: int = ENDPOINT_MS["MEDIUM"]
    """Silence that ends an utterance at the sensitivity MEDIUM."""
    low_ms: int = ENDPOINT_MS["LOW"]
    """Silence that ends an utterance at the sensitivity LOW."""
    tool_ms: int = 288
    """Delay from `userSpeechEnd` to `toolUse`; 266 to 309 were recorded."""
    text_ms: int = 608
    """Delay from `userSpeechEnd` to the first SPECULATIVE text; 560 to 755 were recorded."""
    typed_ms: int = 800
    """Delay from a typed turn to the first SPECULATIVE text. In recordings the first audio came
    after 573 to 1343."""
    sound_ms: int = 120
    """Delay from a SPECULATIVE text to its first audio, which was recorded about 630 and 750 after
    the end of the speech."""
    result_ms: int = 608
    """Grid for answers to tool results: a result is answered at the next multiple of this after
    the call, so that small differences in the speed of the client's tool do not move the answer
    on the clock."""
    pace: float = 5.0
    """Factor by which audio is sent faster than it plays; 3 to 10 is realistic
    (reference 11.4)."""

    def endpoint_ms(self, sensitivity: str | None) -> int:
        """Return the silence that ends an utterance, in milliseconds.

        Args:
            sensitivity: HIGH, MEDIUM or LOW. None, when the client did not say, is MEDIUM.
        """
        return {"HIGH": self.high_ms, "LOW": self.low_ms}.get(sensitivity or "", self.medium_ms)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that is to be spoken."""

    text: str
    wav: Recording | None = None
    """A recording that replaces the synthesised speech."""


@dataclass(frozen=True, slots=True)
class ScheduledSentence:
    """A sentence whose sound has been sent, and the time at which it plays."""

    text: str
    start_ms: float
    """Position on the input clock at which its sound begins to play."""
    end_ms: float
    """Position on the input clock at which its sound has been played."""

    def heard(self, now_ms: float) -> str:
        """Return the part of the sentence that has been played, cut after a whole word.

        Args:
            now_ms: A position on the input clock.
        """
        if now_ms >= self.end_ms:
            return self.text
        share = (now_ms - self.start_ms) / (self.end_ms - self.start_ms)
        reached = int(len(self.text) * max(0.0, share))
        if self.text[reached : reached + 1].isspace():
            return self.text[:reached].rstrip()
        return "".join(self.text[:reached].rpartition(" ")[:1]).rstrip()


@dataclass(slots=True)
class GeneratedAnswer:
    """A turn of the assistant while it is generated. Sentences may be added until it ends."""

    reply: Reply
    sentences: deque[Sentence]
    """Sentences that have not been said yet."""
    due_ms: float
    """Position on the input clock at which the answer goes on."""
    script: "AnswerScript | None" = None
    """The generator that gives the answer."""
    calls: set[str] = field(default_factory=lambda: set[str]())
    """The `toolUseId`s of the answer's calls, or of those that were made together with the one that
    it answers. The replies to results that come while the answer is planned or generated join its
    sentences."""
    shown: bool = False
    """True once any part of the answer was sent, so that a barge-in has something to interrupt."""
    block: str = ""
    """Content id of the open audio block, or empty."""
    spoken: list[ScheduledSentence] = field(default_factory=lambda: list[ScheduledSentence]())
    """Sentences whose sound was sent, or is being sent."""
    more_may_come: bool = False
    """True while more sentences may come: a chat request is in progress, or the client has not
    ended the result of an `ExpertTool` call."""
    waits_for_more: bool = False
    """True while the answer waits for such sentences, and not for the clock."""


@dataclass(slots=True)
class PendingCall:
    """A tool call of the assistant that has no result yet."""

    number: int
    """The brain's own number of the call."""
    asked_ms: float
    """Position on the input clock at which the call was sent."""


type ScriptWait = float | Sentence | None
"""What an answer waits for: a position on the input clock in milliseconds, the sound of a
sentence, or None for the next sentence of a chat endpoint's answer or of the client."""

type AnswerScript = Generator[ScriptWait, bytes, None]
"""A generator that gives an answer; see `delivery`."""


def chunks(pcm: bytes, rate_hz: int, *, v1: bool) -> Iterator[bytes]:
    """Yield a sentence's audio in the chunks in which the service sends it.

    Args:
        pcm: Mono s16le samples.
        rate_hz: Their sample rate, in hertz.
        v1: Whether to cut as v1 does, in chunks of 40 ms. Later models send chunks of varying
            length and a short one at the end.
    """
    sizes = CHUNK_MS_V1 if v1 else CHUNK_MS
    tail = 0 if v1 else TAIL_SAMPLES * BYTES_PER_SAMPLE
    end, at, turn = max(0, len(pcm) - tail), 0, 0
    while at < end:
        size = min(pcm_bytes(sizes[turn % len(sizes)], rate_hz), end - at)
        yield pcm[at : at + size]
        at, turn = at + size, turn + 1
    if tail:
        yield pcm[end:]


def pcm_bytes(ms: int, rate_hz: int) -> int:
    """Return the number of bytes of a length of mono s16le audio.

    Args:
        ms: The length, in milliseconds.
        rate_hz: The sample rate, in hertz.
    """
    return rate_hz * ms // 1000 * BYTES_PER_SAMPLE
