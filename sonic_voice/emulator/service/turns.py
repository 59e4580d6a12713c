"""The conversation of one prompt: speech in, answers, barge-in, all on the input clock.

Time is the input audio. It is cut into windows of 32 ms, and between two windows nothing happens:
everything that is due is sent at the first window boundary that the clock has passed, in the order
of its due time. Therefore one recording gives one sequence of events, however it is cut into
chunks and however fast it comes.

An answer is a generator over that clock (`delivery`). It goes on when the clock has passed the
position that it waits for, or when the host has delivered the sound that it needs. An onset of
speech while any sound is still to be played is a barge-in.

An answer for which the host asks a chat endpoint is given while it is generated. The pieces of the
endpoint's answer are taken when they come, whatever the clock says. Only one request is in
progress at a time: a new one cancels the earlier one.

When the client sends nothing, the clock stands still. `flush` lets generation go on without it, as
the real service does. FINAL texts are not sent during that time, as they are not there.
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
"""Audio before the onset that a recogniser is given, in milliseconds: a soft consonant at the
beginning of a word is detected late."""

INTERRUPTED_MARKER = '{ "interrupted" : true }'
"""Text of the FINAL block that reports a barge-in."""

TYPED_AFTER_MS = 68
"""Audio, in milliseconds, that must have been received before a typed turn is answered: 66 ms are
not enough (reference 2.10)."""


class PromptTurns:
    """The conversation of one prompt. Its effects are added to the `ServiceOutput`.

    After a `Speak`, `sound` must be called before any other method, and after a `Recognize`,
    `words`. Until then the conversation stands still.

    Args:
        model: The model of the stream.
        brain: Decides the answers.
        output: Receives the effects.
        counter: Counts the tokens of the session.
        timing: The delays of the service.
        voice: The voice that the client asked for; the brain may have another one.
        rate_hz: The sample rate of the output, in hertz.
        opening: The settings of the conversation, for the brain.
        sensitivity: The endpointing sensitivity, or None for the default.
        recognizes: Whether the host recognises words.
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
        # The clock counts the audio of all containers; offsets of speech count from the beginning
        # of their container.
        self._clock = InputClock()
        self._delivery = Delivery(model, brain, output, counter, timing, self._clock, rate_hz)
        self._pcm = bytearray()
        self._speech_events: deque[SpeechBegan | SpeechEnded] = deque()
        self._typed: deque[tuple[int, str]] = deque()
        self._answer: GeneratedAnswer | None = None
        self._queue: deque[GeneratedAnswer] = deque()
        self._chat_request: int | None = None  # number of the request in progress
        self._chat_requests_sent = 0
        self._chat_answer: GeneratedAnswer | None = None  # the answer that it belongs to
        self._speech_requests_sent = 0
        self._awaited_speech: int | None = None
        self._recognizes = recognizes
        before_onset = (timing.notice_ms + PREROLL_MS) // WINDOW_MS + 1
        self._recent: deque[bytes] = deque(maxlen=before_onset)
        self._utterances = 0
        self._listening = False
        self._awaited_words: int | None = None
        self._flushing = False
        self._endpointer: Endpointer | None = None

    # Input.

    def open_audio(self, rate_hz: int, detector: SpeechDetector) -> None:
        """Begin an audio container.

        Args:
            rate_hz: The sample rate of its audio, in hertz.
            detector: A new voice activity detector for that rate.
        """
        self._pcm.clear()
        self._window_bytes = pcm_bytes(WINDOW_MS, rate_hz)
        self._detector = detector
        self._input_hz = rate_hz
        self._container_began_ms = self._now_ms
        self._endpointer = Endpointer(self._endpoint_ms, self._timing.notice_ms)

    def audio(self, pcm: bytes) -> None:
        """Take audio of the user, which moves the clock.

        Args:
            pcm: Mono s16le samples at the rate of the container.
        """
        self._flushing = False
        self._pcm += pcm
        self._run()

    def typed(self, text: str) -> None:
        """Take an interactive text of the user. It is answered when the user is not speaking.

        Args:
            text: The text.
        """
        self._flushing = False
        self._typed.append((max(self._now_ms, TYPED_AFTER_MS), text))
        self._run()

    def add_context(self, role: str, text: str) -> None:
        """Pass a text that needs no answer to the brain.

        Args:
            role: SYSTEM, SYSTEM_SPEECH, USER or ASSISTANT.
            text: The system prompt, or a message of the history.
        """
        self._brain_session.told(role, text)

    def expects(self, call: str) -> bool:
        """Return whether a tool call has no result yet.

        Args:
            call: A `toolUseId`.
        """
        return call in self._delivery.calls

    def result(self, call: str, result: dict[str, Any]) -> None:
        """Take the result of a tool call.

        Args:
            call: A `toolUseId` for which `expects` is true.
            result: The JSON object of the result.
        """
        self._flushing = False
        pending = self._delivery.calls.pop(call)
        reply = self._brain_session.result(pending.number, result)
        self._note(reply)
        if reply.say or reply.ask is not None:
            answer = self._answer
            # The turn that made the call goes on with the reply while it lasts. Afterwards the
            # reply is a turn of its own, on the grid of `Timing.result_ms`.
            if answer is None or call not in answer.calls:
                periods = int((self._now_ms - pending.asked_ms) // self._timing.result_ms) + 1
                due_ms = pending.asked_ms + periods * self._timing.result_ms
                answer = self._plan(reply, due_ms + reply.delay_ms)
            answer.sentences.extend(Sentence(sentence) for sentence in reply.say)
            if reply.ask is not None:
                self._start_chat_request(answer, reply.ask)
        self._run()

    def chat_piece(self, key: int, piece: str | None) -> None:
        """Take a piece of a chat endpoint's answer. Ignored if its request was cancelled.

        Args:
            key: The number of the request.
            piece: The piece, or None after the last one.
        """
        answer = self._chat_answer
        if key != self._chat_request or answer is None:
            return
        if piece is None:
            self._chat_request = None  # the host has ended it
        reply = self._brain_session.thought(piece)
        self._note(reply)
        answer.waits_for_chat = False
        answer.sentences.extend(Sentence(sentence) for sentence in reply.say)
        if reply.ask is not None:
            self._start_chat_request(answer, reply.ask)
        elif piece is None or not reply.more:
            self._cancel_chat_request()
        if reply.calls:  # calls are sent before speech, so these belong to a turn after this one
            self._plan(reply, self._now_ms - self._timing.tool_ms)
        self._run()

    def sound(self, key: int, pcm: bytes) -> None:
        """Take the sound that a `Speak` asked for. Ignored if it is not needed any more.

        Args:
            key: The number of the request.
            pcm: Mono s16le samples at the output rate.
        """
        if key != self._awaited_speech or self._answer is None:
            return
        self._awaited_speech = None
        self._resume(self._answer, pcm[: len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE])
        self._run()

    def words(self, key: int, text: str) -> None:
        """Take the words of an utterance, and answer it.

        Args:
            key: The number of the utterance.
            text: The words. Empty for a noise that was taken for speech, which is not answered.
        """
        if key != self._awaited_words:
            return
        self._awaited_words = None
        if text.strip():
            self._answer_speech(text)
        self._run()

    def flush(self) -> None:
        """Let generation go on without the clock, until audio, a text or a tool result comes."""
        self._flushing = True
        self._run()

    def stop(self) -> None:
        """End the prompt: drop everything unsent (reference 1.8) and close the open block."""
        if self._answer is not None:
            self._delivery.close(self._answer)
        self._cancel_chat_request()
        self._answer, self._awaited_speech, self._endpointer = None, None, None
        self._queue.clear()
        self._delivery.finals.clear()
        self._typed.clear()

    # The clock.

    def _run(self) -> None:
        """Do everything that is due, and move the clock, until input or the host is needed."""
        while self._awaited_speech is None and self._awaited_words is None and not self._out.closed:
            if not (
                self._continue_answer()
                or self._send_final()
                or self._next_user_event()
                or self._take_window()
            ):
                return

    def _take_window(self) -> bool:
        """Move the clock by one window, if a whole one was received."""
        if self._endpointer is None or len(self._pcm) < self._window_bytes:
            return False
        window = bytes(self._pcm[: self._window_bytes])
        del self._pcm[: self._window_bytes]
        self._clock.now_ms += WINDOW_MS
        events = self._endpointer.feed(self._detector.probability(window))
        self._speech_events.extend(events)
        if self._recognizes:
            self._listen(window, events)
        return True

    def _listen(self, window: bytes, events: list[SpeechBegan | SpeechEnded]) -> None:
        """Give the host an utterance's audio, from `PREROLL_MS` before the onset to the end."""
        self._recent.append(window)
        if any(isinstance(event, SpeechBegan) for event in events):
            self._listening = True
            self._utterances += 1
            self._out.listen(self._utterances, b"".join(self._recent), self._input_hz)
        elif self._listening:
            self._out.listen(self._utterances, window, self._input_hz)
        if any(isinstance(event, SpeechEnded) for event in events):
            self._listening = False
            self._recent.clear()

    def _next_user_event(self) -> bool:
        """Handle the next onset, end of speech or typed turn, and return whether there was one.

        `_run` calls this after everything that was due before the end of the last window.
        """
        if self._speech_events:
            match self._speech_events.popleft():
                case SpeechBegan(onset_ms):
                    self._on_speech_began(onset_ms)
                case SpeechEnded() as ended:
                    self._on_speech_ended(ended)
            return True
        # A text that was typed while the user speaks is a turn of its own, after the spoken one.
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
        """Return the audio that does not fill a window yet, in milliseconds."""
        if self._endpointer is None or len(self._pcm) >= self._window_bytes:
            return 0.0
        return len(self._pcm) * WINDOW_MS / self._window_bytes

    def _continue_answer(self) -> bool:
        """Run the answer's next step, or the first of a planned answer, if it is due."""
        answer = self._answer
        if answer is None:
            if not self._queue or self._speech_events or self._user_speaks:
                return False
            if not self._due(self._queue[0].due_ms):
                return False
            self._begin_answer(self._queue.popleft())
            return True
        if answer.waits_for_chat or not self._due(answer.due_ms):
            return False
        self._resume(answer, None)
        return True

    def _send_final(self) -> bool:
        """Send the FINAL text of the next sentence, if it has been played."""
        played = self._delivery.final()
        if played is not None:
            self._brain_session.played(played.strip())
        return played is not None

    def _due(self, due_ms: float) -> bool:
        return self._flushing or due_ms <= self._now_ms

    # The user's turn.

    def _on_speech_began(self, onset_ms: int) -> None:
        if self._model.speech_events:
            self._out.speech_start(self._offset(onset_ms))
        self._out.usage(self._counter.first_turn())
        self._interrupt()

    def _on_speech_ended(self, ended: SpeechEnded) -> None:
        began_ms = self._container_began_ms
        self._out.usage(
            self._counter.utterance(began_ms + ended.onset_ms, began_ms + ended.detected_ms)
        )
        self._out.completion_start()
        if self._model.speech_events:
            self._out.speech_end(self._offset(ended.end_ms), self._offset(ended.detected_ms))
        if self._recognizes:
            self._awaited_words = self._utterances
            self._out.recognize(self._utterances)
        else:
            self._answer_speech(None)

    def _answer_speech(self, words: str | None) -> None:
        reply = self._brain_session.hear(words)
        self._out.text("USER", "FINAL", self._transcript(reply.words or words or NO_WORDS))
        self._out.usage(self._counter.reply())
        self._answer_utterance(reply, self._now_ms)
        self._typed = deque((max(at_ms, self._now_ms), text) for at_ms, text in self._typed)

    def _answer_typed(self, at_ms: int, text: str) -> None:
        self._interrupt()
        self._out.usage([*self._counter.first_turn(), *self._counter.typed(text)])
        self._out.completion_start()
        reply = self._brain_session.hear(text, typed=True)
        self._out.usage(self._counter.reply())
        self._answer_utterance(reply, at_ms + self._timing.typed_ms - self._timing.text_ms)

    def _transcript(self, words: str) -> str:
        """Return a transcript as the service writes it (reference 3.6).

        It is in lower case. v1 removes the punctuation; later models keep it.
        """
        words = words.lower()
        if self._model.speech_events:
            return words
        return " ".join("".join(" " if c in '.,;:!?"()' else c for c in words).split())

    def _offset(self, ms: int) -> int:
        return whole_tokens(ms) * MS_PER_SPEECH_TOKEN

    def _interrupt(self) -> None:
        """Drop the answer in progress, and report a barge-in if part of it was sent but not played.

        An answer of which nothing was sent is dropped without any event.
        """
        answer, self._answer = self._answer, None
        if answer is not None and answer is self._chat_answer:
            self._cancel_chat_request()
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

    def _answer_utterance(self, reply: Reply, from_ms: float) -> None:
        """Begin the answer to an utterance that ended at `from_ms` of the input clock."""
        self._note(reply)
        answer = GeneratedAnswer(reply, deque(), from_ms)
        if reply.ask is None:
            answer.script = self._delivery.reply(answer, from_ms)
        else:  # an earlier request that was not answered yet is asked again with this one
            self._queue = deque(planned for planned in self._queue if planned.reply.ask is None)
            self._start_chat_request(answer, reply.ask)
            answer.script = self._delivery.chat_answer(answer, from_ms + self._timing.text_ms)
        self._begin_answer(answer)

    def _plan(self, reply: Reply, due_ms: float) -> GeneratedAnswer:
        """Queue an answer, which begins when it is due and the user is not speaking."""
        answer = GeneratedAnswer(reply, deque(), due_ms)
        if reply.calls:
            answer.script = self._delivery.reply(answer, due_ms)
        elif reply.ask is not None:
            answer.script = self._delivery.chat_answer(answer, due_ms)
        else:
            answer.script = self._delivery.speech(answer, due_ms)
        self._queue.append(answer)
        return answer

    def _begin_answer(self, answer: GeneratedAnswer) -> None:
        self._answer = answer
        self._resume(answer, None)

    def _resume(self, answer: GeneratedAnswer, pcm: bytes | None) -> None:
        """Run an answer to its next wait, with the sound that it waited for, if any."""
        assert answer.script is not None
        try:
            wanted = next(answer.script) if pcm is None else answer.script.send(pcm)
        except StopIteration:
            if self._answer is answer:
                self._answer = None
            return
        if isinstance(wanted, Sentence):
            self._speech_requests_sent += 1
            self._awaited_speech = self._speech_requests_sent
            self._out.speak(
                self._speech_requests_sent, wanted.text.strip(), self._voice, self._rate_hz
            )
        elif wanted is None:
            answer.waits_for_chat = True
        else:
            answer.due_ms = wanted

    def _start_chat_request(self, answer: GeneratedAnswer, ask: ChatRequest) -> None:
        """Let the host ask the chat endpoint for the next sentences of an answer."""
        self._cancel_chat_request()
        self._chat_requests_sent += 1
        self._chat_request, self._chat_answer = self._chat_requests_sent, answer
        answer.chat_in_progress = True
        self._out.put(StartChatRequest(self._chat_requests_sent, ask.body_json))

    def _cancel_chat_request(self) -> None:
        """Cancel the chat request in progress; its answer goes on without more sentences."""
        if self._chat_request is not None:
            self._out.put(CancelChatRequest(self._chat_request))
        if self._chat_answer is not None:
            self._chat_answer.chat_in_progress = self._chat_answer.waits_for_chat = False
        self._chat_request = self._chat_answer = None

    def _note(self, reply: Reply) -> None:
        for rule, text in reply.notes:
            self._out.note(rule, text)
