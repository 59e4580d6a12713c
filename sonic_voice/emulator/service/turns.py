"""The service's side of the conversation itself: hearing, answering, barge-in, on the input clock.

Time is the input audio. It is cut into windows of 32 ms, and between two windows nothing happens
by itself: all that is due goes out at the first window boundary that the clock has passed, in the
order of its due time. So one recording gives one sequence of events, however it is chunked and
however fast it comes.

An answer is a generator over that clock (`delivery`): it goes on when the clock has passed the
position it waits for, or the host has brought the sound it needs. An onset while something is
unplayed is a barge-in.

An answer that the host has to ask a chat endpoint for is given while it is thought of; thoughts
come when they come, whatever the clock says. One request at a time: the next dismisses the last.

When the client sends nothing the clock stands still. `flush` lets generation run on without it,
as the real service does; FINAL texts stay behind, as they do there.
"""

from collections import deque
from typing import Any

from ...catalog import VoiceModel
from ...config import BYTES_PER_SAMPLE
from .answers import GeneratedAnswer, InputClock, Sentence, Timing, pcm_bytes
from .brain import NO_WORDS, Brain, ChatRequest, ConversationSetup, Reply
from .delivery import Delivery
from .effects import CancelChatRequest, StartChatRequest
from .endpointing import WINDOW_MS, Endpointer, SpeechBegan, SpeechDetector, SpeechEnded
from .output import ServiceOutput
from .usage import MS_PER_SPEECH_TOKEN, UsageCounter, whole_tokens

PREROLL_MS = 320
"""What a recogniser is given of the time before the onset: a soft consonant is heard late."""

INTERRUPTED_MARKER = '{ "interrupted" : true }'

TYPED_AFTER_MS = 68
"""Audio that must be in before a typed turn is answered: 66 ms are not enough (2.10)."""


class PromptTurns:
    """One prompt's conversation. Feed it, then `take` from the outbox.

    After a `Speak` nothing but `sound` may be called; whatever came with it waits.
    """

    def __init__(
        self,
        model: VoiceModel,
        brain: Brain,
        output: ServiceOutput,
        counter: UsageCounter,
        timing: Timing,
        *,
        voice: str,
        rate_hz: int,
        opening: ConversationSetup,
        sensitivity: str | None,
        recognizes: bool = False,
    ) -> None:
        self._model = model
        self._out = output
        self._counter = counter
        self._timing = timing
        self._voice = brain.voice or voice
        self._rate_hz = rate_hz
        self._brain_session = brain.begin(opening)
        self._endpoint_ms = brain.endpoint_ms or timing.endpoint_ms(sensitivity)
        self._clock = (
            InputClock()
        )  # of all containers; offsets count from the container's beginning
        self._delivery = Delivery(model, brain, output, counter, timing, self._clock, rate_hz)
        self._pcm = bytearray()
        self._speech_events: deque[SpeechBegan | SpeechEnded] = deque()
        self._typed: deque[tuple[int, str]] = deque()
        self._answer: GeneratedAnswer | None = None
        self._queue: deque[GeneratedAnswer] = deque()
        self._asked: int | None = None  # the request under way, by its number
        self._asks = 0
        self._thinker: GeneratedAnswer | None = None  # the answer it is for
        self._speaking = 0
        self._awaited: int | None = None
        self._recognizes = recognizes
        before_onset = (timing.notice_ms + PREROLL_MS) // WINDOW_MS + 1
        self._recent: deque[bytes] = deque(maxlen=before_onset)
        self._utterance = 0
        self._listening = False
        self._awaited_words: int | None = None
        self._flushing = False
        self._endpointer: Endpointer | None = None

    # What comes in.

    def open_audio(self, rate_hz: int, detector: SpeechDetector) -> None:
        """The audio container began; its samples have `rate_hz`."""
        self._pcm.clear()
        self._window_bytes = pcm_bytes(WINDOW_MS, rate_hz)
        self._detector = detector
        self._input_hz = rate_hz
        self._began_ms = self._now_ms
        self._endpointer = Endpointer(self._endpoint_ms, self._timing.notice_ms)

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
        self._brain_session.told(role, text)

    def expects(self, call: str) -> bool:
        """Whether a result for this `toolUseId` is still to come."""
        return call in self._delivery.calls

    def result(self, call: str, result: dict[str, Any]) -> None:
        """The result of a tool call that was expected."""
        self._flushing = False
        pending = self._delivery.calls.pop(call)
        reply = self._brain_session.result(pending.number, result)
        self._note(reply)
        if reply.say or reply.ask is not None:
            answer = self._answer
            if answer is None or call not in answer.calls:
                periods = int((self._now_ms - pending.asked_ms) // self._timing.result_ms) + 1
                due_ms = pending.asked_ms + periods * self._timing.result_ms
                answer = self._plan(reply, due_ms + reply.delay_ms)
            answer.lines.extend(Sentence(line) for line in reply.say)
            if reply.ask is not None:
                self._think(answer, reply.ask)
        self._run()

    def chat_piece(self, key: int, piece: str | None) -> None:
        """A piece of the answer to request `key`; of a dismissed one it is ignored."""
        answer = self._thinker
        if key != self._asked or answer is None:
            return
        if piece is None:
            self._asked = None  # the host has ended it
        reply = self._brain_session.thought(piece)
        self._note(reply)
        answer.waits = False
        answer.lines.extend(Sentence(line) for line in reply.say)
        if reply.ask is not None:
            self._think(answer, reply.ask)
        elif piece is None or not reply.more:
            self._dismiss()
        if reply.calls:  # go out before speech, so after this turn
            self._plan(reply, self._now_ms - self._timing.tool_ms)
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
        if self._answer is not None:
            self._delivery.close(self._answer)
        self._dismiss()
        self._answer, self._awaited, self._endpointer = None, None, None
        self._queue.clear()
        self._delivery.finals.clear()
        self._typed.clear()

    # The clock.

    def _run(self) -> None:
        while self._awaited is None and self._awaited_words is None and not self._out.closed:
            if not (self._generation() or self._playing() or self._hearing() or self._window()):
                return

    def _window(self) -> bool:
        """Move the clock by a window, if one is in."""
        if self._endpointer is None or len(self._pcm) < self._window_bytes:
            return False
        window = bytes(self._pcm[: self._window_bytes])
        del self._pcm[: self._window_bytes]
        self._clock.now_ms += WINDOW_MS
        told = self._endpointer.feed(self._detector.probability(window))
        self._speech_events.extend(told)
        if self._recognizes:
            self._listen(window, told)
        return True

    def _listen(self, window: bytes, told: list[SpeechBegan | SpeechEnded]) -> None:
        """Give the host what is spoken, from a little before the onset to the end."""
        self._recent.append(window)
        if any(isinstance(event, SpeechBegan) for event in told):
            self._listening = True
            self._utterance += 1
            self._out.listen(self._utterance, b"".join(self._recent), self._input_hz)
        elif self._listening:
            self._out.listen(self._utterance, window, self._input_hz)
        if any(isinstance(event, SpeechEnded) for event in told):
            self._listening = False
            self._recent.clear()

    def _hearing(self) -> bool:
        """What was heard in the last window, after all that was due before its end."""
        if self._speech_events:
            match self._speech_events.popleft():
                case SpeechBegan(onset_ms):
                    self._began(onset_ms)
                case SpeechEnded() as ended:
                    self._ended(ended)
            return True
        # What was typed while the user speaks is a turn of its own, after this one.
        fed = self._now_ms + self._left_ms() >= TYPED_AFTER_MS
        if self._typed and fed and not self._user_speaks:
            self._answer_typed(*self._typed.popleft())
            return True
        return False

    @property
    def _now_ms(self) -> int:
        return self._clock.now_ms

    @property
    def _user_speaks(self) -> bool:
        return self._endpointer is not None and self._endpointer.speaking

    def _left_ms(self) -> float:
        if self._endpointer is None or len(self._pcm) >= self._window_bytes:
            return 0.0
        return len(self._pcm) * WINDOW_MS / self._window_bytes

    def _generation(self) -> bool:
        """The answer's next step, or a waiting answer's first, if due."""
        answer = self._answer
        if answer is None:
            if not self._queue or self._speech_events or self._user_speaks:
                return False
            if not self._due(self._queue[0].due_ms):
                return False
            self._begin(self._queue.popleft())
            return True
        if answer.waits or not self._due(answer.due_ms):
            return False
        self._resume(answer, None)
        return True

    def _playing(self) -> bool:
        """The FINAL text of a sentence that has been played."""
        played = self._delivery.final()
        if played is not None:
            self._brain_session.played(played.strip())
        return played is not None

    def _due(self, due_ms: float) -> bool:
        return self._flushing or due_ms <= self._now_ms

    # The user's turn.

    def _began(self, onset_ms: int) -> None:
        if self._model.speech_events:
            self._out.speech_start(self._offset(onset_ms))
        self._out.usage(self._counter.first_turn())
        self._interrupt()

    def _ended(self, ended: SpeechEnded) -> None:
        onset_ms, detected_ms = self._began_ms + ended.onset_ms, self._began_ms + ended.detected_ms
        self._out.usage(self._counter.utterance(onset_ms, detected_ms))
        self._out.completion_start()
        if self._model.speech_events:
            self._out.speech_end(self._offset(ended.end_ms), self._offset(ended.detected_ms))
        if self._recognizes:
            self._awaited_words = self._utterance
            self._out.recognize(self._utterance)
        else:
            self._answer_speech(None)

    def _answer_speech(self, words: str | None) -> None:
        reply = self._brain_session.hear(words)
        self._out.text("USER", "FINAL", self._transcript(reply.words or words or NO_WORDS))
        self._out.usage(self._counter.reply())
        self._reply(reply, self._now_ms)
        self._typed = deque((max(at_ms, self._now_ms), text) for at_ms, text in self._typed)

    def _answer_typed(self, at_ms: int, text: str) -> None:
        self._interrupt()
        self._out.usage([*self._counter.first_turn(), *self._counter.typed(text)])
        self._out.completion_start()
        reply = self._brain_session.hear(text, typed=True)
        self._out.usage(self._counter.reply())
        self._reply(reply, at_ms + self._timing.typed_ms - self._timing.text_ms)

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
        if answer is not None and answer is self._thinker:
            self._dismiss()
        shown = answer is not None and answer.shown
        if not shown and self._now_ms >= self._delivery.played_ms:
            return
        spoken = self._delivery.cut(answer)
        self._out.text("ASSISTANT", "FINAL", INTERRUPTED_MARKER, "INTERRUPTED")
        for sentence in spoken:
            if heard := sentence.heard(self._now_ms):
                self._out.text("ASSISTANT", "FINAL", heard)
                self._brain_session.played(heard.strip())
        self._out.usage(self._counter.end_of_turn())

    # The assistant's turn.

    def _reply(self, reply: Reply, from_ms: float) -> None:
        """Begin the answer to an utterance that ended at `from_ms`."""
        self._note(reply)
        answer = GeneratedAnswer(reply, deque(), from_ms)
        if reply.ask is None:
            answer.script = self._delivery.reply(answer, from_ms)
        else:  # what was asked before, and not said yet, is asked again with it
            self._queue = deque(planned for planned in self._queue if planned.reply.ask is None)
            self._think(answer, reply.ask)
            answer.script = self._delivery.thoughts(answer, from_ms + self._timing.text_ms)
        self._begin(answer)

    def _plan(self, reply: Reply, due_ms: float) -> GeneratedAnswer:
        """An answer of its own, from when it is due and nobody speaks."""
        answer = GeneratedAnswer(reply, deque(), due_ms)
        if reply.calls:
            answer.script = self._delivery.reply(answer, due_ms)
        elif reply.ask is not None:
            answer.script = self._delivery.thoughts(answer, due_ms)
        else:
            answer.script = self._delivery.speech(answer, due_ms)
        self._queue.append(answer)
        return answer

    def _begin(self, answer: GeneratedAnswer) -> None:
        self._answer = answer
        self._resume(answer, None)

    def _resume(self, answer: GeneratedAnswer, pcm: bytes | None) -> None:
        """Run the answer to its next wait."""
        assert answer.script is not None
        try:
            wanted = next(answer.script) if pcm is None else answer.script.send(pcm)
        except StopIteration:
            if self._answer is answer:
                self._answer = None
            return
        if isinstance(wanted, Sentence):
            self._speaking += 1
            self._awaited = self._speaking
            self._out.speak(self._speaking, wanted.text.strip(), self._voice, self._rate_hz)
        elif wanted is None:
            answer.waits = True
        else:
            answer.due_ms = wanted

    def _think(self, answer: GeneratedAnswer, ask: ChatRequest) -> None:
        """Have the host ask for what `answer` says next."""
        self._dismiss()
        self._asks += 1
        self._asked, self._thinker = self._asks, answer
        answer.thinking = True
        self._out.put(StartChatRequest(self._asks, ask.body_json))

    def _dismiss(self) -> None:
        """No more thoughts are waited for."""
        if self._asked is not None:
            self._out.put(CancelChatRequest(self._asked))
        if self._thinker is not None:
            self._thinker.thinking = self._thinker.waits = False
        self._asked = self._thinker = None

    def _note(self, reply: Reply) -> None:
        for rule, text in reply.notes:
            self._out.note(rule, text)
