"""What a fault does to a stream: each class here is a `Service` around a `Service` (see `faults`).

`Passing` lets everything pass, one effect at a time; the others override what they change. After
a last effect of their own nothing passes any more.
"""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

from ...config import BYTES_PER_SAMPLE
from ...errors import WireError
from ...wire import (
    AudioBlock,
    AudioInput,
    AudioOutput,
    AudioStart,
    BlockEnd,
    CompletionEnd,
    ContentEnd,
    Input,
    Output,
    TextBlock,
    TextOutput,
    ToolBlock,
    ToolResult,
    ToolResultStart,
    ToolUse,
    UnknownOutput,
    UserSpeechEnd,
    UserSpeechStart,
    decode_input,
    decode_output,
    encode_output,
)
from ..service.effects import Break, Breakage, Effect, Emit, Expiry, Fail, Finish, Service
from ..service.turns import INTERRUPTED_MARKER
from ..service.usage import MS_PER_SPEECH_TOKEN


class Passing:
    """Lets everything pass. Satisfies `effects.Service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._over = False

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        return self._through(self._service.receive(payload))

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """See `Service`."""
        return self._through(self._service.speech(key, pcm))

    def words(self, key: int, text: str) -> list[Effect]:
        """See `Service`."""
        return self._through(self._service.words(key, text))

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        """See `Service`."""
        return self._through(self._service.chat_piece(key, piece))

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        return self._through(self._service.end_of_input())

    def stalled(self) -> list[Effect]:
        """See `Service`."""
        return self._through(self._service.stalled())

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service`."""
        return self._through(self._service.expire(which))

    def _through(self, effects: Iterable[Effect]) -> list[Effect]:
        passed: list[Effect] = []
        for effect in effects:
            for out in self._effect(effect):
                if not self._over:
                    passed.append(out)
                    self._over = isinstance(out, (Fail, Break, Finish))
        return passed

    def _effect(self, effect: Effect) -> Iterable[Effect]:
        """What goes out in place of `effect`."""
        if not isinstance(effect, Emit):
            return (effect,)
        return self._event(effect, decode_output(effect.payload))

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        """What goes out in place of `effect`, which sends `record`."""
        return (effect,)


class _Clocked(Passing):
    """Knows how much sound came in, in milliseconds."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._now_ms = 0.0
        self._rate_hz = 0

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        effects = super().receive(payload)
        match _read(payload):
            case AudioStart(rate_hz=rate_hz):
                self._rate_hz = rate_hz
            case AudioInput(pcm=pcm) if self._rate_hz > 0:
                self._now_ms += len(pcm) * 1000 / (self._rate_hz * BYTES_PER_SAMPLE)
            case _:
                return effects
        return effects + self._through(self._due())

    def _due(self) -> Iterable[Effect]:
        """What time brings."""
        return ()


class _Answers(Passing):
    """Tells a turn of the assistant from the next."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._turn = 0
        self._answering = False

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        match record:
            case TextBlock(role="ASSISTANT", stage="SPECULATIVE") if not self._answering:
                self._answering = True
                self._turn += 1
            case TextBlock(role="USER") | BlockEnd(kind="AUDIO", stop="END_TURN" | "INTERRUPTED"):
                self._answering = False
            case _:
                pass
        return self._in_turn(effect, record)

    def _in_turn(self, effect: Emit, record: Output) -> Iterable[Effect]:
        return (effect,)


class OtherExpiry(Passing):
    """One of the timers ends the stream with `fail` instead."""

    def __init__(self, service: Service, which: Expiry, fail: Fail) -> None:
        super().__init__(service)
        self._which = which
        self._fail = fail

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service`."""
        return self._through([self._fail]) if which == self._which else super().expire(which)


class Unstable(_Clocked):
    """Fails when so much sound came in."""

    def __init__(self, service: Service, fail: Fail, *, after_ms: float) -> None:
        super().__init__(service)
        self._fail = fail
        self._after_ms = after_ms

    def _due(self) -> Iterable[Effect]:
        return (self._fail,) if self._now_ms >= self._after_ms else ()


class CutAnswer(_Answers):
    """Ends in answer number `turn`: before its first event, or after `sounds` chunks of sound."""

    def __init__(self, service: Service, end: Fail | Break, turn: int, *, sounds: int) -> None:
        super().__init__(service)
        self._end = end
        self._at = turn
        self._left = sounds

    def _in_turn(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if self._turn != self._at:
            return (effect,)
        if not self._left:
            return (self._end,)
        self._left -= isinstance(record, AudioOutput)
        return (effect,) if self._left else (effect, self._end)


class Unheard(Passing):
    """Says nothing, not even that the stream was opened."""

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        return [Break("mute")]


class WithoutEvents(Passing):
    """Sends no event; the stream is accepted, and ends as it should."""

    def _effect(self, effect: Effect) -> Iterable[Effect]:
        return () if isinstance(effect, Emit) else (effect,)


class Unanswered(Passing):
    """Tells what the user said, and never begins an answer."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._dropped: set[str] = set()

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        match record:
            case TextBlock(content_id=content_id, role="ASSISTANT"):
                self._dropped.add(content_id)
            case AudioBlock(content_id=content_id) | ToolBlock(content_id=content_id):
                self._dropped.add(content_id)
            case _:
                pass
        return () if getattr(record, "content_id", None) in self._dropped else (effect,)


class BrokenGoodbye(Passing):
    """Breaks the stream instead of ending it after the client's goodbye."""

    def __init__(self, service: Service, how: Breakage) -> None:
        super().__init__(service)
        self._how: Breakage = how

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        return super().end_of_input() + self._through([Finish()])

    def _effect(self, effect: Effect) -> Iterable[Effect]:
        return (Break(self._how),) if isinstance(effect, Finish) else super()._effect(effect)


def _is_final(record: Output) -> bool:
    return isinstance(record, TextBlock) and (record.role, record.stage) == ("ASSISTANT", "FINAL")


class _Finals(_Clocked):
    """Collects each FINAL block of the assistant's, to decide on it as a whole."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._block: list[tuple[Emit, Output]] = []

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if not self._block and not _is_final(record):
            return self._other(effect, record)
        self._block.append((effect, record))
        if not isinstance(record, BlockEnd):
            return ()
        block, self._block = self._block, []
        marker = any(isinstance(r, TextOutput) and r.is_interruption for _, r in block)
        return self._final(block, marker=marker)

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        return [effect for effect, _ in block]

    def _other(self, effect: Emit, record: Output) -> Iterable[Effect]:
        return (effect,)


class NoFinals(_Finals):
    """Only the marker of a barge-in is left of them."""

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        return super()._final(block, marker=marker) if marker else ()


class NoMarker(_Finals):
    """Only the marker of a barge-in is missing."""

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        return () if marker else super()._final(block, marker=marker)


class EndTurnOnAudioOnly(_Finals):
    """FINAL texts end with `PARTIAL_TURN`, all of them."""

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        for effect, record in block:
            if isinstance(record, BlockEnd) and record.stop == "END_TURN":
                yield _emit(replace(record, stop="PARTIAL_TURN"))
            else:
                yield effect


class LateFinals(_Finals):
    """They wait `delay_ms` of sound; those that wait at the end of the prompt go out with it."""

    def __init__(self, service: Service, *, delay_ms: float) -> None:
        super().__init__(service)
        self._delay_ms = delay_ms
        self._waiting: deque[tuple[float, list[Effect]]] = deque()

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        effects = super()._final(block, marker=marker)
        if marker:
            return effects
        self._waiting.append((self._now_ms + self._delay_ms, list(effects)))
        return ()

    def _other(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if isinstance(record, CompletionEnd):
            return [*self._take(float("inf")), effect]
        return (effect,)

    def _due(self) -> Iterable[Effect]:
        return () if self._block else self._take(self._now_ms)

    def _take(self, now_ms: float) -> list[Effect]:
        taken: list[Effect] = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            taken += self._waiting.popleft()[1]
        return taken


class SpuriousInterruption(_Answers, _Clocked):
    """In the sound of answer number `turn` somebody is heard who was not there."""

    def __init__(self, service: Service, turn: int) -> None:
        super().__init__(service)
        self._at = turn
        self._left = 2
        self._dropped: set[str] = set()

    def _in_turn(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if self._turn != self._at:
            return (effect,)
        if not self._left:
            return self._rest(effect, record)
        self._left -= isinstance(record, AudioOutput)
        if self._left or not isinstance(record, AudioOutput):
            return (effect,)
        self._dropped.add(record.content_id)
        return (effect, *map(_emit, self._interruption(record)))

    def _rest(self, effect: Emit, record: Output) -> Iterable[Effect]:
        """Of the interrupted turn nothing more is said."""
        match record:
            case AudioBlock() | TextBlock(role="ASSISTANT"):
                self._dropped.add(record.content_id)
            case _:
                pass
        return () if getattr(record, "content_id", "") in self._dropped else (effect,)

    def _interruption(self, record: AudioOutput) -> Iterable[Output]:
        ids, speech = record.ids, replace(record.ids, completion="")
        heard_ms = int(self._now_ms) // MS_PER_SPEECH_TOKEN * MS_PER_SPEECH_TOKEN
        yield UserSpeechStart(speech, heard_ms)
        yield BlockEnd(ids, record.content_id, "AUDIO", "INTERRUPTED")
        marker, words = _other_id(record.content_id, "marker"), _other_id(record.content_id, "user")
        yield TextBlock(ids, marker, "ASSISTANT", "FINAL")
        yield TextOutput(ids, marker, INTERRUPTED_MARKER, "ASSISTANT")
        yield BlockEnd(ids, marker, "TEXT", "INTERRUPTED")
        yield UserSpeechEnd(speech, heard_ms, heard_ms)
        yield TextBlock(ids, words, "USER", "FINAL")
        yield TextOutput(ids, words, "", "USER")
        yield BlockEnd(ids, words, "TEXT", "PARTIAL_TURN")


class DoubleEncoded(Passing):
    """The arguments of a tool call are a JSON string that holds JSON."""

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if isinstance(record, ToolUse):
            return (_emit(replace(record, arguments_json=json.dumps(record.arguments_json))),)
        return (effect,)


class TwoCalls(Passing):
    """Every call is followed by another of the same; the second's result is taken and dropped."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._block: list[Output] = []
        self._calls: set[str] = set()
        """Second calls without a result."""
        self._results: set[str] = set()
        """Content blocks, open, that hold results of second calls."""

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        return [] if self._is_ours(_read(payload)) else super().receive(payload)

    def _is_ours(self, record: Input | None) -> bool:
        match record:
            case ToolResultStart(content=content, tool_use=call) if call in self._calls:
                self._calls.remove(call)  # a second result is one of a call that nobody made
                self._results.add(content)
            case ToolResult(content=content) if content in self._results:
                pass
            case ContentEnd(content=content) if content in self._results:
                self._results.remove(content)
            case _:
                return False
        return True

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if not isinstance(record, ToolBlock) and not self._block:
            return (effect,)
        self._block.append(record)
        if not isinstance(record, BlockEnd):
            return (effect,)
        block, self._block = self._block, []
        return (effect, *map(_emit, map(self._second, block)))

    def _second(self, record: Output) -> Output:
        match record:
            case ToolUse(ids, content, call, name, arguments):
                again = _other_id(call, "second")
                self._calls.add(again)
                return ToolUse(ids, _other_id(content, "second"), again, name, arguments)
            case ToolBlock() | BlockEnd():
                return replace(record, content_id=_other_id(record.content_id, "second"))
            case _:
                return record


class UnknownEvent(Passing):
    """An event that nobody has heard of stands before every text block."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(service)
        self._name = name

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if isinstance(record, TextBlock):
            return (_emit(UnknownOutput(self._name, {"value": 1})), effect)
        return (effect,)


def _read(payload: bytes) -> Input | None:
    """The record in `payload`; None for what the service will refuse."""
    try:
        return decode_input(payload)
    except WireError:
        return None


def _emit(record: Output) -> Emit:
    return Emit(encode_output(record))


def _other_id(content: str, what: str) -> str:
    """A new id, a UUID as the service's are, and the same one for the same stream."""
    return str(uuid5(NAMESPACE_OID, f"{content} {what}"))
