"""Delivery of an answer: its tool calls, its sentences as text and sound, and their playback.

An answer is a generator over the input clock. It yields

- the position that it waits for, in milliseconds of input;
- a `Sentence` whose sound it needs;
- None, to wait for the next sentence of a chat endpoint's answer (`effects.StartChatRequest`) or
  of the client (`expert`).

Sound is sent at `Timing.pace` times real time. It is assumed to be *played* in real time from its
first chunk. FINAL texts repeat the sentences that were played. They are sent at the pace of
playback, and only after all sound of the turn was sent (reference 3.11).
"""

import json
from collections import deque
from collections.abc import Generator

from ...catalog import VoiceModel
from .answers import (
    AnswerScript,
    GeneratedAnswer,
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
from .input_clock import InputClock
from .output import ServiceOutput
from .usage import MS_PER_SPEECH_TOKEN, UsageCounter, speech_tokens

GENERATED_AHEAD_MS = 20 * MS_PER_SPEECH_TOKEN
"""Sound, in milliseconds, that is generated before it is sent: a first step of usage is reported
before the audio block begins."""


class Delivery:
    """The delivery of one prompt's answers, one after the other.

    It also knows which of their sentences were played.
    """

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
        """Calls without a result, by `toolUseId`. The caller that receives a result removes its
        call."""
        self.finals: deque[tuple[ScheduledSentence, str]] = deque()
        """Sentences that will be repeated as FINAL, with their stop reasons."""
        self.played_ms = 0.0
        """Position on the input clock at which all sound sent so far has been played."""

    def reply(self, answer: GeneratedAnswer, at_ms: float) -> AnswerScript:
        """Return the script of an answer to an utterance: its calls, then its sentences.

        Args:
            answer: The answer.
            at_ms: Position at which the utterance ended.
        """
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
            return  # the model is silent until the result comes
        at_ms += self._timing.text_ms
        answer.sentences.extendleft(Sentence(text, reply.wav) for text in reversed(texts))
        # Synthesis takes time, so the sound is requested before the text is due.
        ready = (yield from self._sound(answer.sentences[0])) if texts else b""
        yield at_ms
        if not texts and self._fault(reply):
            return
        yield from self.speech(answer, at_ms, ready)

    def chat_answer(self, answer: GeneratedAnswer, at_ms: float) -> AnswerScript:
        """Return the script of an answer whose sentences come from a chat endpoint meanwhile.

        Args:
            answer: The answer.
            at_ms: The earliest position at which it may begin.
        """
        yield at_ms
        yield from _wait_for_sentence(answer)
        if answer.sentences:
            yield from self.speech(answer, max(at_ms, self._clock.now_ms))

    def speech(self, answer: GeneratedAnswer, at_ms: float, ready: bytes = b"") -> AnswerScript:
        """Return a script that says an answer's sentences, as text and sound, and ends the turn.

        Args:
            answer: The answer.
            at_ms: Position at which the first text is due.
            ready: The sound of the first sentence, if it is there already.
        """
        while answer.sentences:
            sentence = answer.sentences.popleft()
            text = self._show(answer, sentence)
            pcm, ready = ready or (yield from self._sound(sentence)), b""
            sound_ms = self._ms(pcm)
            counted = self._count(0, sound_ms, GENERATED_AHEAD_MS)
            at_ms += self._timing.sound_ms
            yield at_ms
            # While the client pauses, the clock stands still and generation runs ahead of it
            # (`PromptTurns.flush`): sound that is sent then begins to play now.
            at_ms = min(at_ms, self._clock.now_ms)
            answer.block = self._out.audio_block(self._rate_hz)
            start_ms = max(at_ms, self.played_ms)
            self.played_ms = start_ms + sound_ms
            answer.spoken.append(ScheduledSentence(text, start_ms, self.played_ms))
            sent = 0
            for chunk in chunks(pcm, self._rate_hz, v1=not self._model.speech_events):
                # A fault of a scenario happens in the middle of the last sentence.
                if not answer.sentences and sent * 2 >= len(pcm) and self._fault(answer.reply):
                    return
                self._out.audio(answer.block, chunk)
                sent += len(chunk)
                ahead_ms = self._ms(pcm[:sent]) + GENERATED_AHEAD_MS
                counted = self._count(counted, sound_ms, ahead_ms)
                at_ms += self._ms(chunk) / self._timing.pace
                yield at_ms
            # The stop reason depends on whether this was the last sentence, which is not known
            # while more may come.
            if answer.more_may_come:
                yield from _wait_for_sentence(answer)
                at_ms = max(at_ms, self._clock.now_ms)
            block, answer.block = answer.block, ""
            self._out.end(block, "AUDIO", "PARTIAL_TURN" if answer.sentences else "END_TURN")
        self._end_turn(answer)

    def final(self) -> str | None:
        """Send the FINAL text of the next sentence, if it has been played, and return it."""
        if not self.finals or self.finals[0][0].end_ms > self._clock.now_ms:
            return None
        spoken, stop = self.finals.popleft()
        self._out.text("ASSISTANT", "FINAL", spoken.text, stop)
        return spoken.text

    def cut(self, answer: GeneratedAnswer | None) -> list[ScheduledSentence]:
        """Stop the playback at a barge-in.

        Args:
            answer: The answer in progress, or None.

        Returns:
            The sentences that have not been repeated as FINAL, those of earlier answers first.
        """
        spoken = [final for final, _ in self.finals]
        if answer is not None:
            spoken += answer.spoken
            self.close(answer)
        self.finals.clear()
        self.played_ms = self._clock.now_ms
        return spoken

    def close(self, answer: GeneratedAnswer) -> None:
        """Close the audio block of an answer, if one is open.

        Args:
            answer: The answer.
        """
        if answer.block:
            self._out.end(answer.block, "AUDIO", "INTERRUPTED")

    def _sound(self, sentence: Sentence) -> Generator[ScriptWait, bytes, bytes]:
        """Return the sound of a sentence, at least one speech token long."""
        pcm = (
            (yield sentence)
            if sentence.wav is None
            else self._brain.sound(sentence.wav, self._rate_hz)
        )
        return pcm or bytes(pcm_bytes(MS_PER_SPEECH_TOKEN, self._rate_hz))

    def _count(self, counted: int, sound_ms: float, generated_ms: float) -> int:
        """Report the usage of generated sound, and return the tokens reported so far.

        Args:
            counted: The tokens of this sentence that were reported before.
            sound_ms: Length of the sentence's sound.
            generated_ms: How much of it has been generated now.
        """
        tokens = speech_tokens(min(sound_ms, generated_ms))
        self._out.usage(self._counter.speech(tokens - counted))
        return tokens

    def _show(self, answer: GeneratedAnswer, sentence: Sentence) -> str:
        """Send the SPECULATIVE text of a sentence, and return it.

        The texts after the first of a turn begin with a space (reference 3.6).
        """
        text = f" {sentence.text.strip()}" if answer.shown else sentence.text.strip()
        self._out.usage(self._counter.sentence(text, first=not answer.shown))
        self._out.text("ASSISTANT", "SPECULATIVE", text)
        answer.shown = True
        return text

    def _end_turn(self, answer: GeneratedAnswer) -> None:
        self._out.usage(self._counter.end_of_turn())
        stops = ["END_TURN"] + ["PARTIAL_TURN"] * len(answer.spoken)
        self.finals.extend(zip(answer.spoken, stops, strict=False))

    def _fault(self, reply: Reply) -> bool:
        """Send the exception of a scenario or break the stream, if the reply says so.

        Returns:
            Whether the stream is over.
        """
        if reply.error is not None:
            self._out.fail(reply.error.code, reply.error.message)
        if reply.broken is not None:
            self._out.put(Break(reply.broken))
        return self._out.closed

    def _ms(self, pcm: bytes) -> float:
        return len(pcm) / pcm_bytes(1000, self._rate_hz) * 1000


def _wait_for_sentence(answer: GeneratedAnswer) -> AnswerScript:
    """Wait until there is a sentence to say, or no more may come."""
    while answer.more_may_come and not answer.sentences:
        yield None
