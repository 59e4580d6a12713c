"""Fault wrappers for recorded behaviour of the service that a scenario alone does not show.

    SilentBargeIn      userSpeechStart, two more chunks, AUDIO PARTIAL_TURN; no marker, no FINAL
    SplitTranscript    the words of one utterance in two USER texts
    SpuriousMarker     a FINAL text and the marker although nobody spoke; the answer goes on

Clients must come through all three without losing or repeating a word (reference 3.11).
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from ...wire import (
    AudioOutput,
    BlockEnd,
    Output,
    TextBlock,
    TextOutput,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from ..service.answers import Timing
from ..service.effects import Effect, Emit, Service
from ..service.turns import INTERRUPTED_MARKER
from ..service.usage import MS_PER_SPEECH_TOKEN, whole_tokens
from .pass_through import ClockedPassThrough, PassThrough, TurnPassThrough
from .wrappers import FinalBlocks, emitted, other_id

CHUNKS_AFTER_ONSET = 2
"""Number of chunks of sound that were recorded between `userSpeechStart` and the end of the block
(reference 11.4)."""

SOUNDS_BEFORE_MARKER = 2
"""Number of chunks of sound before a spurious marker: the answer has begun to be heard."""

NOTICE_MS = Timing().notice_ms
"""Delay from an onset of speech to `userSpeechStart`, in milliseconds."""


class SilentBargeIn(FinalBlocks):
    """A wrapper in which a spoken barge-in is reported by `userSpeechStart` alone.

    The newest two chunks of a block of sound are kept back, so that they can follow the onset. An
    interruption by a typed text is passed on unchanged: it has no `userSpeechStart`.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._kept: deque[Effect] = deque()
        self._user_speaks = False
        self._cut = False
        """True from the marker of a spoken barge-in to the next event that is no FINAL text."""

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        self._cut = self._cut or (marker and self._user_speaks)
        return () if self._cut else super()._final(block, marker=marker)

    def _other(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if isinstance(record, UsageEvent):
            return (effect,)
        self._cut = False
        match record:
            case UserSpeechStart():
                self._user_speaks = True
            case UserSpeechEnd():
                self._user_speaks = False
            case AudioOutput():
                self._kept.append(effect)
                return (self._kept.popleft(),) if len(self._kept) > CHUNKS_AFTER_ONSET else ()
            case BlockEnd(kind="AUDIO", stop=stop):
                kept, self._kept = self._kept, deque()
                if stop == "INTERRUPTED" and self._user_speaks:
                    return (*kept, emitted(replace(record, stop="PARTIAL_TURN")))
                return (*kept, effect)
            case _:
                pass
        return (effect,)


class SplitTranscript(PassThrough):
    """A wrapper that sends the words of each utterance in two USER texts, cut between two words."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._block: list[Output] = []

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        begins = isinstance(record, TextBlock) and record.role == "USER"
        if not self._block and not begins:
            return (effect,)
        self._block.append(record)
        if not isinstance(record, BlockEnd):
            return ()
        block, self._block = self._block, []
        return [emitted(part) for half in (0, 1) for part in _half(block, half)]


def _half(block: list[Output], half: int) -> Iterable[Output]:
    """Yield one half of a block of text: 0 is the first, which has all words if there is one."""
    text = next((record.text for record in block if isinstance(record, TextOutput)), "")
    words = text.split()
    middle = (len(words) + 1) // 2
    part = " ".join(words[middle:] if half else words[:middle])
    if half and not part:
        return
    for record in block:
        if isinstance(record, TextOutput):
            record = replace(record, text=part)
        if half and isinstance(record, TextBlock | TextOutput | BlockEnd):
            record = replace(record, content_id=other_id(record.content_id, "rest"))
        yield record


class SpuriousMarker(TurnPassThrough, ClockedPassThrough):
    """A wrapper that reports answer number `turn` as interrupted, and lets it go on.

    Nobody spoke: `userSpeechStart` has no `userSpeechEnd`. FINAL texts come before the marker; that
    of the newest sentence has only its first words.
    """

    def __init__(self, service: Service, turn: int, *, speech_events: bool) -> None:
        """Wrap a service.

        Args:
            service: The service.
            turn: Number of the answer, from 1.
            speech_events: Whether the model sends `userSpeechStart`.
        """
        super().__init__(service)
        self._at = turn
        self._speech_events = speech_events
        self._left = SOUNDS_BEFORE_MARKER
        self._reached_ms = 0
        """Latest position in the input that the service has reported, in milliseconds."""
        self._sentences: list[str] = []
        """Planned sentences of the answer so far."""
        self._planned: str | None = None
        """Id of the newest SPECULATIVE block."""

    def _in_turn(self, effect: Emit, record: Output) -> Iterable[Effect]:
        match record:
            case TextBlock(role="ASSISTANT", stage="SPECULATIVE", content_id=content_id):
                self._planned = content_id
            case TextOutput(content_id=content_id, text=text) if content_id == self._planned:
                if self._turn == self._at:
                    self._sentences.append(text)
            case UserSpeechStart(offset_ms=offset_ms):
                self._reached_ms = offset_ms
            case UserSpeechEnd(detected_ms=detected_ms):
                self._reached_ms = detected_ms
            case AudioOutput() if self._turn == self._at and self._left:
                self._left -= 1
                if not self._left:
                    return (effect, *map(emitted, self._interruption(record)))
            case _:
                pass
        return (effect,)

    def _interruption(self, record: AudioOutput) -> Iterable[Output]:
        ids, speech = record.ids, replace(record.ids, completion="")
        if self._speech_events:
            onset_ms = whole_tokens(int(self._now_ms) - NOTICE_MS) * MS_PER_SPEECH_TOKEN
            yield UserSpeechStart(speech, max(onset_ms, self._reached_ms))
        *spoken, last = self._sentences or [""]
        words = list(re.finditer(r"\S+", last))
        spoken.append(last[: words[(len(words) - 1) // 2].end()] if words else last)
        texts = [(text, "PARTIAL_TURN") for text in spoken] + [(INTERRUPTED_MARKER, "INTERRUPTED")]
        for number, (text, stop) in enumerate(texts):
            content = other_id(record.content_id, f"final {number}")
            yield TextBlock(ids, content, "ASSISTANT", "FINAL")
            yield TextOutput(ids, content, text, "ASSISTANT")
            yield BlockEnd(ids, content, "TEXT", stop)
