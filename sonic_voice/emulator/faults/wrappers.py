"""Fault wrappers: each class here is a `Service` around a `Service` (see `faults`).

Each overrides what it changes of `PassThrough`, which passes everything on.
"""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

from ...wire import (
    AudioBlock,
    AudioOutput,
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
    encode_output,
)
from ..service.effects import Break, Breakage, Effect, Emit, Expiry, Fail, Finish, Service
from ..service.turns import INTERRUPTED_MARKER
from ..service.usage import MS_PER_SPEECH_TOKEN
from .pass_through import ClockedPassThrough, PassThrough, TurnPassThrough, read_input


class ReplacedExpiry(PassThrough):
    """A wrapper in which one of the timers ends the stream with another exception, `fail`."""

    def __init__(self, service: Service, which: Expiry, fail: Fail) -> None:
        super().__init__(service)
        self._which = which
        self._fail = fail

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service`."""
        return self._pass_on([self._fail]) if which == self._which else super().expire(which)


class FailsAfter(ClockedPassThrough):
    """A wrapper that fails when `after_ms` of input audio were received."""

    def __init__(self, service: Service, fail: Fail, *, after_ms: float) -> None:
        super().__init__(service)
        self._fail = fail
        self._after_ms = after_ms

    def _due(self) -> Iterable[Effect]:
        return (self._fail,) if self._now_ms >= self._after_ms else ()


class CutAnswer(TurnPassThrough):
    """A wrapper that ends answer number `turn`.

    It ends before its first event, or after `sounds` chunks of sound.
    """

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


class SilentService(PassThrough):
    """A wrapper that sends nothing, not even the response headers that open the stream."""

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        return [Break("mute")]


class WithoutEvents(PassThrough):
    """A wrapper that sends no event; the stream is accepted and ends as it should."""

    def _effect(self, effect: Effect) -> Iterable[Effect]:
        return () if isinstance(effect, Emit) else (effect,)


class WithoutAnswers(PassThrough):
    """A wrapper that sends what the user said, and never begins an answer."""

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


class BrokenGoodbye(PassThrough):
    """A wrapper that breaks the stream after the client's goodbye instead of ending it."""

    def __init__(self, service: Service, how: Breakage) -> None:
        super().__init__(service)
        self._how: Breakage = how

    def end_of_input(self) -> list[Effect]:
        """See `Service`."""
        return super().end_of_input() + self._pass_on([Finish()])

    def _effect(self, effect: Effect) -> Iterable[Effect]:
        return (Break(self._how),) if isinstance(effect, Finish) else super()._effect(effect)


def _is_final(record: Output) -> bool:
    return isinstance(record, TextBlock) and (record.role, record.stage) == ("ASSISTANT", "FINAL")


class FinalBlocks(ClockedPassThrough):
    """A wrapper that collects each FINAL block of the assistant, to decide on it as a whole."""

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


class NoFinals(FinalBlocks):
    """A wrapper that drops FINAL texts, except the marker of a barge-in."""

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        return super()._final(block, marker=marker) if marker else ()


class NoMarker(FinalBlocks):
    """A wrapper that drops the marker of a barge-in only."""

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        return () if marker else super()._final(block, marker=marker)


class EndTurnOnAudioOnly(FinalBlocks):
    """A wrapper in which all FINAL texts end with `PARTIAL_TURN`."""

    def _final(self, block: list[tuple[Emit, Output]], *, marker: bool) -> Iterable[Effect]:
        for effect, record in block:
            if isinstance(record, BlockEnd) and record.stop == "END_TURN":
                yield emitted(replace(record, stop="PARTIAL_TURN"))
            else:
                yield effect


class LateFinals(FinalBlocks):
    """A wrapper that delays FINAL texts by `delay_ms` of input audio.

    Texts that still wait at the end of the prompt are sent before it.
    """

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
            return [*self._pop_due(float("inf")), effect]
        return (effect,)

    def _due(self) -> Iterable[Effect]:
        return () if self._block else self._pop_due(self._now_ms)

    def _pop_due(self, now_ms: float) -> list[Effect]:
        taken: list[Effect] = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            taken += self._waiting.popleft()[1]
        return taken


class SpuriousInterruption(TurnPassThrough, ClockedPassThrough):
    """A wrapper that interrupts answer number `turn` in its sound although nobody spoke."""

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
        return (effect, *map(emitted, self._interruption(record)))

    def _rest(self, effect: Emit, record: Output) -> Iterable[Effect]:
        """Drop the rest of the interrupted turn."""
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
        marker, words = other_id(record.content_id, "marker"), other_id(record.content_id, "user")
        yield TextBlock(ids, marker, "ASSISTANT", "FINAL")
        yield TextOutput(ids, marker, INTERRUPTED_MARKER, "ASSISTANT")
        yield BlockEnd(ids, marker, "TEXT", "INTERRUPTED")
        yield UserSpeechEnd(speech, heard_ms, heard_ms)
        yield TextBlock(ids, words, "USER", "FINAL")
        yield TextOutput(ids, words, "", "USER")
        yield BlockEnd(ids, words, "TEXT", "PARTIAL_TURN")


class DoubleEncoded(PassThrough):
    """A wrapper in which the arguments of a tool call are a JSON string that contains JSON."""

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if isinstance(record, ToolUse):
            return (emitted(replace(record, arguments_json=json.dumps(record.arguments_json))),)
        return (effect,)


class TwoCalls(PassThrough):
    """A wrapper that adds a second, equal call to every call.

    The result of the second call is accepted and dropped.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._block: list[Output] = []
        self._calls: set[str] = set()
        """Ids of second calls without a result."""
        self._results: set[str] = set()
        """Names of open content blocks that hold results of second calls."""

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        return [] if self._is_ours(read_input(payload)) else super().receive(payload)

    def _is_ours(self, record: Input | None) -> bool:
        match record:
            case ToolResultStart(content=content, tool_use=call) if call in self._calls:
                self._calls.remove(call)  # a second result is for a call that was not made
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
        return (effect, *map(emitted, map(self._second, block)))

    def _second(self, record: Output) -> Output:
        match record:
            case ToolUse(ids, content, call, name, arguments):
                again = other_id(call, "second")
                self._calls.add(again)
                return ToolUse(ids, other_id(content, "second"), again, name, arguments)
            case ToolBlock() | BlockEnd():
                return replace(record, content_id=other_id(record.content_id, "second"))
            case _:
                return record


class UnknownEvent(PassThrough):
    """A wrapper that sends an event of an unknown name before every text block."""

    def __init__(self, service: Service, name: str) -> None:
        super().__init__(service)
        self._name = name

    def _event(self, effect: Emit, record: Output) -> Iterable[Effect]:
        if isinstance(record, TextBlock):
            return (emitted(UnknownOutput(self._name, {"value": 1})), effect)
        return (effect,)


def emitted(record: Output) -> Emit:
    """Return the effect that sends a record.

    Args:
        record: The record of an output event.
    """
    return Emit(encode_output(record))


def other_id(content: str, what: str) -> str:
    """Return a new id, a UUID as the service's are, which is always the same for the same stream.

    Args:
        content: The id that it is derived from.
        what: What it is for, so that one id gives several.
    """
    return str(uuid5(NAMESPACE_OID, f"{content} {what}"))
