"""How an answer is given: its calls, its sentences as text and sound, and when it was played.

An answer is a generator over the input clock. It yields

- the position, in milliseconds of input, that it waits for;
- a `Sentence` whose sound it needs;
- None, to wait for the next thought: the answer is still being thought of (`effects.StartChatRequest`).

Sound goes out at `pace` times real time; it is taken to be *played* in real time from its first
chunk. FINAL texts repeat what was played, at the pace of playing, and once the turn's sound is all
out (protocol reference 3.11).
"""

import json
from collections import deque
from collections.abc import Generator

from ...catalog import VoiceModel
from .answers import (
    AnswerScript,
    GeneratedAnswer,
    InputClock,
    PendingCall,
    ScheduledSentence,
    ScriptWait,
    Sentence,
    Timing,
    chunks,
    pcm_bytes,
)
from .brain import Brain, Reply
from .effects import Break
from .output import ServiceOutput
from .usage import MS_PER_SPEECH_TOKEN, UsageCounter, speech_tokens

GENERATED_AHEAD_MS = 20 * MS_PER_SPEECH_TOKEN
"""Sound is generated before it is sent: a first step of usage comes before the audio block."""


class Delivery:
    """Gives the answers of one prompt, one after the other, and knows what of them was played."""

    def __init__(
        self,
        model: VoiceModel,
        brain: Brain,
        output: ServiceOutput,
        counter: UsageCounter,
        timing: Timing,
        clock: InputClock,
        rate_hz: int,
    ) -> None:
        self._model = model
        self._brain = brain
        self._out = output
        self._counter = counter
        self._timing = timing
        self._clock = clock
        self._rate_hz = rate_hz
        self.calls: dict[str, PendingCall] = {}
        """By `toolUseId`; whoever takes a result removes it."""
        self.finals: deque[tuple[ScheduledSentence, str]] = deque()
        """Sentences that are to be repeated as FINAL, with their stop reasons."""
        self.played_ms = 0.0
        """When all sound so far will have been played."""

    def reply(self, answer: GeneratedAnswer, at_ms: float) -> AnswerScript:
        """The answer to an utterance that ended at `at_ms`."""
        reply = answer.reply
        at_ms += reply.delay_ms
        texts = reply.say
        if reply.calls:
            yield at_ms + self._timing.tool_ms
            for request in reply.calls:
                text = json.dumps(request.arguments, ensure_ascii=False, separators=(",", ":"))
                call = self._out.tool_use(request.tool, text)
                answer.calls.add(call)
                self.calls[call] = PendingCall(request.number, self._clock.now_ms)
            texts = () if self._model.silent_tools else reply.meanwhile
        if not texts and reply.error is None and reply.broken is None:
            return  # silent until the result
        at_ms += self._timing.text_ms
        answer.lines.extendleft(Sentence(text, reply.wav) for text in reversed(texts))
        # Synthesis takes its time: its sound is asked for before the text is due.
        ready = (yield from self._sound(answer.lines[0])) if texts else b""
        yield at_ms
        if not texts and self._fault(reply):
            return
        yield from self.speech(answer, at_ms, ready)

    def thoughts(self, answer: GeneratedAnswer, at_ms: float) -> AnswerScript:
        """An answer whose lines come while it is given, at `at_ms` at the earliest."""
        yield at_ms
        yield from _thinking(answer)
        if answer.lines:
            yield from self.speech(answer, max(at_ms, self._clock.now_ms))

    def speech(self, answer: GeneratedAnswer, at_ms: float, ready: bytes = b"") -> AnswerScript:
        """Say the lines of `answer`, each as text and sound, and end the turn.

        `ready` is the sound of the first, if it is there already.
        """
        while answer.lines:
            line = answer.lines.popleft()
            text = self._show(answer, line)
            pcm, ready = ready or (yield from self._sound(line)), b""
            sound_ms = self._ms(pcm)
            counted = self._count(0, sound_ms, GENERATED_AHEAD_MS)
            at_ms += self._timing.sound_ms
            yield at_ms
            at_ms = min(at_ms, self._clock.now_ms)  # the clock stood still: what is flushed is now
            answer.block = self._out.audio_block(self._rate_hz)
            start_ms = max(at_ms, self.played_ms)
            self.played_ms = start_ms + sound_ms
            answer.spoken.append(ScheduledSentence(text, start_ms, self.played_ms))
            sent = 0
            for chunk in chunks(pcm, self._rate_hz, v1=not self._model.speech_events):
                if not answer.lines and sent * 2 >= len(pcm) and self._fault(answer.reply):
                    return
                self._out.audio(answer.block, chunk)
                sent += len(chunk)
                ahead_ms = self._ms(pcm[:sent]) + GENERATED_AHEAD_MS
                counted = self._count(counted, sound_ms, ahead_ms)
                at_ms += self._ms(chunk) / self._timing.pace
                yield at_ms
            if answer.thinking:  # whether this was the last line is not known yet
                yield from _thinking(answer)
                at_ms = max(at_ms, self._clock.now_ms)
            block, answer.block = answer.block, ""
            self._out.end(block, "AUDIO", "PARTIAL_TURN" if answer.lines else "END_TURN")
        self._end_turn(answer)

    def final(self) -> str | None:
        """Send the FINAL text of the next sentence, if it has been played; returns it."""
        if not self.finals or self.finals[0][0].end_ms > self._clock.now_ms:
            return None
        spoken, stop = self.finals.popleft()
        self._out.text("ASSISTANT", "FINAL", spoken.text, stop)
        return spoken.text

    def cut(self, answer: GeneratedAnswer | None) -> list[ScheduledSentence]:
        """Nothing more is played, of `answer` or before it; returns what was not told as FINAL."""
        spoken = [final for final, _ in self.finals]
        if answer is not None:
            spoken += answer.spoken
            self.close(answer)
        self.finals.clear()
        self.played_ms = self._clock.now_ms
        return spoken

    def close(self, answer: GeneratedAnswer) -> None:
        """Leave no block of `answer` open."""
        if answer.block:
            self._out.end(answer.block, "AUDIO", "INTERRUPTED")

    def _sound(self, line: Sentence) -> Generator[ScriptWait, bytes, bytes]:
        """The sound of `line`, never empty."""
        pcm = (yield line) if line.wav is None else self._brain.sound(line.wav, self._rate_hz)
        return pcm or bytes(pcm_bytes(MS_PER_SPEECH_TOKEN, self._rate_hz))

    def _count(self, counted: int, sound_ms: float, generated_ms: float) -> int:
        """Report sound generated up to there, of which `counted` tokens were; how many now."""
        tokens = speech_tokens(min(sound_ms, generated_ms))
        self._out.usage(self._counter.speech(tokens - counted))
        return tokens

    def _show(self, answer: GeneratedAnswer, line: Sentence) -> str:
        """Send the text of `line`; a later one of a turn begins with a space (3.6)."""
        text = f" {line.text.strip()}" if answer.shown else line.text.strip()
        self._out.usage(self._counter.sentence(text, first=not answer.shown))
        self._out.text("ASSISTANT", "SPECULATIVE", text)
        answer.shown = True
        return text

    def _end_turn(self, answer: GeneratedAnswer) -> None:
        self._out.usage(self._counter.end_of_turn())
        stops = ["END_TURN"] + ["PARTIAL_TURN"] * len(answer.spoken)
        self.finals.extend(zip(answer.spoken, stops, strict=False))

    def _fault(self, reply: Reply) -> bool:
        """The scenario's exception or break of the stream, if it has one."""
        if reply.error is not None:
            self._out.fail(reply.error.code, reply.error.message)
        if reply.broken is not None:
            self._out.put(Break(reply.broken))
        return self._out.closed

    def _ms(self, pcm: bytes) -> float:
        return len(pcm) / pcm_bytes(1000, self._rate_hz) * 1000


def _thinking(answer: GeneratedAnswer) -> AnswerScript:
    """Wait until there is a line to say, or none will come."""
    while answer.thinking and not answer.lines:
        yield None
