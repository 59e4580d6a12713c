"""The parts of an answer: how long each takes, what is said, when it is played, how it is cut."""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from ...config import BYTES_PER_SAMPLE
from ..scenario import Recording
from .brain import Reply
from .endpointing import ENDPOINT_MS

CHUNK_MS_V1 = (40,)
CHUNK_MS = (79, 100, 79, 160, 79, 200, 120)
"""v1 sends 40 ms at a time, v2 79 to 200 ms (reference 4)."""
TAIL_SAMPLES = 16
"""v2 ends each block with a chunk of 32 bytes."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the service takes, in milliseconds of input audio (reference 3.4, 3.12)."""

    notice_ms: int = 320
    """Onset to `userSpeechStart`; recorded 335 and 856."""
    high_ms: int = ENDPOINT_MS["HIGH"]
    medium_ms: int = ENDPOINT_MS["MEDIUM"]
    low_ms: int = ENDPOINT_MS["LOW"]
    tool_ms: int = 288
    """`userSpeechEnd` to `toolUse`; recorded 266 to 309."""
    text_ms: int = 608
    """`userSpeechEnd` to the first SPECULATIVE; recorded 560 to 755."""
    typed_ms: int = 800
    """A typed turn to the first SPECULATIVE; its first audio came after 573 to 1343."""
    sound_ms: int = 120
    """A SPECULATIVE to its first audio; recorded about 630 and 750 after the speech."""
    result_ms: int = 608
    """A tool's result is answered at the next multiple of this after the call, so that small
    differences in how fast the client's tool is do not move the answer on the clock."""
    pace: float = 5.0
    """Sound goes out this many times faster than it plays; 3 to 10 is realistic (11.4)."""

    def endpoint_ms(self, sensitivity: str | None) -> int:
        """Silence that ends an utterance; MEDIUM when the client did not say."""
        return {"HIGH": self.high_ms, "LOW": self.low_ms}.get(sensitivity or "", self.medium_ms)


@dataclass(slots=True)
class InputClock:
    """The input clock: how much audio came in, in milliseconds, of all containers."""

    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence to be spoken; by a recording if it has one."""

    text: str
    wav: Recording | None = None


@dataclass(frozen=True, slots=True)
class ScheduledSentence:
    """A sentence whose sound plays from `start_ms` to `end_ms` of the input clock."""

    text: str
    start_ms: float
    end_ms: float

    def heard(self, now_ms: float) -> str:
        """What of it was played by `now_ms`, cut after a whole word."""
        if now_ms >= self.end_ms:
            return self.text
        share = (now_ms - self.start_ms) / (self.end_ms - self.start_ms)
        reached = int(len(self.text) * max(0.0, share))
        if self.text[reached : reached + 1].isspace():
            return self.text[:reached].rstrip()
        return "".join(self.text[:reached].rpartition(" ")[:1]).rstrip()


@dataclass(slots=True)
class GeneratedAnswer:
    """A turn of the assistant while it is generated. Lines may join as long as it is."""

    reply: Reply
    lines: deque[Sentence]
    due_ms: float
    script: "AnswerScript | None" = None
    calls: set[str] = field(default_factory=lambda: set[str]())
    """`toolUseId`s; results that come while it is generated join its lines."""
    shown: bool = False
    """Whether any of it went out, so that an onset has something to interrupt."""
    block: str = ""
    """Content id of the audio block that is open."""
    spoken: list[ScheduledSentence] = field(default_factory=lambda: list[ScheduledSentence]())
    thinking: bool = False
    """More lines may come: a request to the host is under way."""
    waits: bool = False
    """For them, and not for the clock."""


@dataclass(slots=True)
class PendingCall:
    """A tool call of ours without a result yet."""

    number: int
    """The partner's own of it."""
    asked_ms: float


type ScriptWait = float | Sentence | None
type AnswerScript = Generator[ScriptWait, bytes, None]
"""See `delivery`."""


def chunks(pcm: bytes, rate_hz: int, *, v1: bool) -> Iterator[bytes]:
    """`pcm` as the service sends it: v1 in pieces of 40 ms; later in varying ones, and a tail."""
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
    """Bytes of `ms` of s16le mono."""
    return rate_hz * ms // 1000 * BYTES_PER_SAMPLE
