"""The service's side of the conversation itself: hearing, answering, barge-in, on the input clock.

Time is the input audio. It is cut into windows of 32 ms, and between two windows nothing happens
by itself: all that is due goes out at the first window boundary that the clock has passed, in the
order of its due time. So one recording gives one sequence of events, however it is chunked and
however fast it comes.

An answer is a generator over that clock. It yields the position (in milliseconds of input) that
it waits for, or a line whose sound it needs, and goes on when the clock has passed the one or the
host has brought the other. Sound goes out at `pace` times real time; it is taken to be *played*
in real time from its first chunk. FINAL texts repeat what was played, at the pace of playing, and
once the turn's sound is all out (protocol reference 3.11). An onset while something is unplayed is
a barge-in.

When the client sends nothing the clock stands still. `flush` lets generation run on without it,
as the real service does; FINAL texts stay behind, as they do there.
"""

import json
from collections import deque
from typing import Any

from ..catalog import VoiceModel
from ..config import BYTES_PER_SAMPLE
from .answers import Answer, Line, PendingCall, Script, Spoken, Timing, chunks, pcm_bytes
from .effects import Break
from .hearing import WINDOW_MS, Began, Ears, Ended, SpeechDetector
from .outbox import Outbox
from .partner import NO_WORDS, Brain, Opening, Reply
from .usage import MS_PER_SPEECH_TOKEN, Meter, speech_tokens, whole_tokens

PREROLL_MS = 320
"""What a recogniser is given of the time before the onset: a soft consonant is heard late."""

INTERRUPTED_MARKER = '{ "interrupted" : true }'

GENERATED_AHEAD_MS = 20 * MS_PER_SPEECH_TOKEN
"""Sound is generated before it is sent: a first step of usage comes before the audio block."""

TYPED_AFTER_MS = 68
"""Audio that must be in before a typed turn is answered: 66 ms are not enough (2.10)."""


class Turns:
    """One prompt's conversation. Feed it, then `take` from the outbox.

    After a `Speak` nothing but `sound` may be called; whatever came with it waits.
    """

    def __init__(
        self,
        model: VoiceModel,
        brain: Brain,
        outbox: Outbox,
        meter: Meter,
        timing: Timing,
        *,
        voice: str,
        rate_hz: int,
        opening: Opening,
        sensitivity: str | None,
        recognizes: bool = False,
    ) -> None:
        self._model = model
        self._brain = brain
        self._out = outbox
        self._meter = meter
        self._timing = timing
        self._voice = brain.voice or voice
        self._rate_hz = rate_hz
        self._partner = brain.begin(opening)
        self._endpoint_ms = brain.endpoint_ms or timing.endpoint_ms(sensitivity)
        self._now_ms = 0  # of all containers; offsets count from the container's beginning
        self._pcm = bytearray()
        self._told: deque[Began | Ended] = deque()
        self._typed: deque[tuple[int, str]] = deque()
        self._answer: Answer | None = None
        self._queue: deque[tuple[float, Reply]] = deque()
        self._finals: deque[tuple[Spoken, str]] = deque()
        self._played_ms = 0.0  # when all sound so far will have been played
        self._calls: dict[str, PendingCall] = {}
        self._speaking = 0
        self._awaited: int | None = None
        self._recognizes = recognizes
        before_onset = (timing.notice_ms + PREROLL_MS) // WINDOW_MS + 1
        self._recent: deque[bytes] = deque(maxlen=before_onset)
        self._utterance = 0
        self._listening = False
        self._awaited_words: int | None = None
        self._flushing = False
        self._ears: Ears | None = None

    # What comes in.

    def open_audio(self, rate_hz: int, detector: SpeechDetector) -> None:
        """The audio container began; its samples have `rate_hz`."""
        self._pcm.clear()
        self._window_bytes = pcm_bytes(WINDOW_MS, rate_hz)
        self._detector = detector
        self._input_hz = rate_hz
        self._began_ms = self._now_ms
        self._ears = Ears(self._endpoint_ms, self._timing.notice_ms)

    def audio(self, pcm: bytes) -> None:
        """More samples: the clock moves."""
        self._flushing = False
        self._pcm += pcm
        self._run()

    def typed(self, text: str) -> None:
        """An interactive text of the user."""
        self._flushing = False
        self._typed.append((max(self._now_ms, TYPED_AFTER_MS), text))
        self._run()

    def told(self, role: str, text: str) -> None:
        """A text of the client that wants no answer: system prompt or history."""
        self._partner.told(role, text)

    def expects(self, call: str) -> bool:
        """Whether a result for this `toolUseId` is still to come."""
        return call in self._calls

    def result(self, call: str, result: dict[str, Any]) -> None:
        """The result of a tool call that was expected."""
        self._flushing = False
        pending = self._calls.pop(call)
        reply = self._partner.result(pending.number, result)
        self._note(reply)
        if self._answer is not None and call in self._answer.calls:
            self._answer.lines.extend(Line(line) for line in reply.say)
        elif reply.say:
            periods = int((self._now_ms - pending.asked_ms) // self._timing.result_ms) + 1
            self._queue.append((pending.asked_ms + periods * self._timing.result_ms, reply))
        self._run()

    def sound(self, key: int, pcm: bytes) -> None:
        """The sound of the `Speak` with that key; any other is too late and ignored."""
        if key != self._awaited or self._answer is None:
            return
        self._awaited = None
        self._resume(self._answer, pcm[: len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE])
        self._run()

    def words(self, key: int, text: str) -> None:
        """The words of utterance `key`; none: a noise that was taken for speech."""
        if key != self._awaited_words:
            return
        self._awaited_words = None
        if text.strip():
            self._answer_speech(text)
        self._run()

    def flush(self) -> None:
        """Let generation run on without the clock, until the next call of another kind."""
        self._flushing = True
        self._run()

    def stop(self) -> None:
        """The prompt ended: what was not sent yet never comes (1.8); no block is left open."""
        if self._answer is not None and self._answer.block:
            self._out.end(self._answer.block, "AUDIO", "INTERRUPTED")
        self._answer, self._awaited, self._ears = None, None, None
        self._queue.clear()
        self._finals.clear()
        self._typed.clear()

    # The clock.

    def _run(self) -> None:
        while self._awaited is None and self._awaited_words is None and not self._out.closed:
            if not (self._generation() or self._playing() or self._hearing() or self._window()):
                return

    def _window(self) -> bool:
        """Move the clock by a window, if one is in."""
        if self._ears is None or len(self._pcm) < self._window_bytes:
            return False
        window = bytes(self._pcm[: self._window_bytes])
        del self._pcm[: self._window_bytes]
        self._now_ms += WINDOW_MS
        told = self._ears.hear(self._detector.probability(window))
        self._told.extend(told)
        if self._recognizes:
            self._listen(window, told)
        return True

    def _listen(self, window: bytes, told: list[Began | Ended]) -> None:
        """Give the host what is spoken, from a little before the onset to the end."""
        self._recent.append(window)
        if any(isinstance(event, Began) for event in told):
            self._listening = True
            self._utterance += 1
            self._out.listen(self._utterance, b"".join(self._recent), self._input_hz)
        elif self._listening:
            self._out.listen(self._utterance, window, self._input_hz)
        if any(isinstance(event, Ended) for event in told):
            self._listening = False
            self._recent.clear()

    def _hearing(self) -> bool:
        """What was heard in the last window, after all that was due before its end."""
        if self._told:
            match self._told.popleft():
                case Began(onset_ms):
                    self._began(onset_ms)
                case Ended() as ended:
                    self._ended(ended)
            return True
        # What was typed while the user speaks is a turn of its own, after this one.
        fed = self._now_ms + self._left_ms() >= TYPED_AFTER_MS
        if self._typed and fed and not self._user_speaks:
            self._answer_typed(*self._typed.popleft())
            return True
        return False

    @property
    def _user_speaks(self) -> bool:
        return self._ears is not None and self._ears.speaking

    def _left_ms(self) -> float:
        if self._ears is None or len(self._pcm) >= self._window_bytes:
            return 0.0
        return len(self._pcm) * WINDOW_MS / self._window_bytes

    def _generation(self) -> bool:
        """The answer's next step, or a waiting answer's first, if due."""
        answer = self._answer
        if answer is None:
            if not self._queue or self._told or self._user_speaks:
                return False
            due_ms, reply = self._queue[0]
            if not self._due(due_ms):
                return False
            self._queue.popleft()
            self._begin(reply, min(due_ms, self._now_ms), of_result=True)
            return True
        if not self._due(answer.due_ms):
            return False
        self._resume(answer, None)
        return True

    def _playing(self) -> bool:
        """The FINAL text of a sentence that has been played."""
        if not self._finals or self._finals[0][0].end_ms > self._now_ms:
            return False
        spoken, stop = self._finals.popleft()
        self._out.text("ASSISTANT", "FINAL", spoken.text, stop)
        self._partner.played(spoken.text.strip())
        return True

    def _due(self, due_ms: float) -> bool:
        return self._flushing or due_ms <= self._now_ms

    # The user's turn.

    def _began(self, onset_ms: int) -> None:
        if self._model.speech_events:
            self._out.speech_start(self._offset(onset_ms))
        self._out.usage(self._meter.first_turn())
        self._interrupt()

    def _ended(self, ended: Ended) -> None:
        onset_ms, detected_ms = self._began_ms + ended.onset_ms, self._began_ms + ended.detected_ms
        self._out.usage(self._meter.utterance(onset_ms, detected_ms))
        self._out.completion_start()
        if self._model.speech_events:
            self._out.speech_end(self._offset(ended.end_ms), self._offset(ended.detected_ms))
        if self._recognizes:
            self._awaited_words = self._utterance
            self._out.recognize(self._utterance)
        else:
            self._answer_speech(None)

    def _answer_speech(self, words: str | None) -> None:
        reply = self._partner.hear(words)
        self._out.text("USER", "FINAL", self._transcript(reply.words or words or NO_WORDS))
        self._out.usage(self._meter.reply())
        self._begin(reply, self._now_ms)
        self._typed = deque((max(at_ms, self._now_ms), text) for at_ms, text in self._typed)

    def _answer_typed(self, at_ms: int, text: str) -> None:
        self._interrupt()
        self._out.usage([*self._meter.first_turn(), *self._meter.typed(text)])
        self._out.completion_start()
        reply = self._partner.hear(text, typed=True)
        self._out.usage(self._meter.reply())
        self._begin(reply, at_ms + self._timing.typed_ms - self._timing.text_ms)

    def _transcript(self, words: str) -> str:
        """Lower-case; with punctuation, but for v1 (reference 3.6)."""
        words = words.lower()
        if self._model.speech_events:
            return words
        return " ".join("".join(" " if c in '.,;:!?"()' else c for c in words).split())

    def _offset(self, ms: int) -> int:
        return whole_tokens(ms) * MS_PER_SPEECH_TOKEN

    def _interrupt(self) -> None:
        """The user began to speak: a barge-in, if anything said is not played yet.

        An answer of which nothing has gone out is silently superseded.
        """
        answer, self._answer = self._answer, None
        shown = answer is not None and answer.shown
        if not shown and self._now_ms >= self._played_ms:
            return
        spoken = [final for final, _ in self._finals]
        if answer is not None:
            spoken += answer.spoken
            if answer.block:
                self._out.end(answer.block, "AUDIO", "INTERRUPTED")
        self._finals.clear()
        self._played_ms = self._now_ms
        self._out.text("ASSISTANT", "FINAL", INTERRUPTED_MARKER, "INTERRUPTED")
        for sentence in spoken:
            if heard := sentence.heard(self._now_ms):
                self._out.text("ASSISTANT", "FINAL", heard)
                self._partner.played(heard.strip())
        self._out.usage(self._meter.end_of_turn())

    # The assistant's turn.

    def _begin(self, reply: Reply, from_ms: float, *, of_result: bool = False) -> None:
        """Start the answer; that to a tool's result comes without another wait."""
        answer = Answer(reply, deque(), from_ms)
        if of_result:
            answer.lines.extend(Line(line) for line in reply.say)
            answer.script = self._speech(answer, from_ms)
        else:
            self._note(reply)
            answer.script = self._reply(answer, from_ms)
        self._answer = answer
        self._resume(answer, None)

    def _resume(self, answer: Answer, pcm: bytes | None) -> None:
        """Run the answer to its next wait."""
        assert answer.script is not None
        try:
            wanted = next(answer.script) if pcm is None else answer.script.send(pcm)
        except StopIteration:
            if self._answer is answer:
                self._answer = None
            return
        if isinstance(wanted, Line):
            self._speaking += 1
            self._awaited = self._speaking
            self._out.speak(self._speaking, wanted.text.strip(), self._voice, self._rate_hz)
        else:
            answer.due_ms = wanted

    def _reply(self, answer: Answer, at_ms: float) -> Script:
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
                self._calls[call] = PendingCall(request.number, self._now_ms)
            texts = () if self._model.silent_tools else reply.meanwhile
        if not texts and reply.error is None and reply.broken is None:
            return  # silent until the result
        at_ms += self._timing.text_ms
        yield at_ms
        if not texts and self._fault(reply):
            return
        answer.lines.extendleft(Line(text, reply.wav) for text in reversed(texts))
        yield from self._speech(answer, at_ms)

    def _note(self, reply: Reply) -> None:
        for rule, text in reply.notes:
            self._out.note(rule, text)

    def _speech(self, answer: Answer, at_ms: float) -> Script:
        """Say the lines of `answer`, each as text and sound, and end the turn."""
        while answer.lines:
            line = answer.lines.popleft()
            text = self._show(answer, line)
            pcm = (yield line) if line.wav is None else self._brain.sound(line.wav, self._rate_hz)
            pcm = pcm or bytes(pcm_bytes(MS_PER_SPEECH_TOKEN, self._rate_hz))
            sound_ms = self._ms(pcm)
            counted = self._count(0, sound_ms, GENERATED_AHEAD_MS)
            at_ms += self._timing.sound_ms
            yield at_ms
            at_ms = min(at_ms, self._now_ms)  # the clock stood still: what is flushed is now
            answer.block = self._out.audio_block(self._rate_hz)
            start_ms = max(at_ms, self._played_ms)
            self._played_ms = start_ms + sound_ms
            answer.spoken.append(Spoken(text, start_ms, self._played_ms))
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
            block, answer.block = answer.block, ""
            self._out.end(block, "AUDIO", "PARTIAL_TURN" if answer.lines else "END_TURN")
        self._end_turn(answer)

    def _count(self, counted: int, sound_ms: float, generated_ms: float) -> int:
        """Report sound generated up to there, of which `counted` tokens were; how many now."""
        tokens = speech_tokens(min(sound_ms, generated_ms))
        self._out.usage(self._meter.speech(tokens - counted))
        return tokens

    def _show(self, answer: Answer, line: Line) -> str:
        """Send the text of `line`; a later one of a turn begins with a space (3.6)."""
        text = f" {line.text.strip()}" if answer.shown else line.text.strip()
        self._out.usage(self._meter.sentence(text, first=not answer.shown))
        self._out.text("ASSISTANT", "SPECULATIVE", text)
        answer.shown = True
        return text

    def _end_turn(self, answer: Answer) -> None:
        self._out.usage(self._meter.end_of_turn())
        stops = ["END_TURN"] + ["PARTIAL_TURN"] * len(answer.spoken)
        self._finals.extend(zip(answer.spoken, stops, strict=False))

    def _fault(self, reply: Reply) -> bool:
        """The scenario's exception or break of the stream, if it has one."""
        if reply.error is not None:
            self._out.fail(reply.error.code, reply.error.message)
        if reply.broken is not None:
            self._out.put(Break(reply.broken))
        return self._out.closed

    def _ms(self, pcm: bytes) -> float:
        return len(pcm) / pcm_bytes(1000, self._rate_hz) * 1000
