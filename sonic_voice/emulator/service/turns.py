"""The conversation of one prompt: speech in, answers, barge-in, all on the input clock.

    audio ─► InputClock ─► windows ─► UserUtterances ─► (host) ─► words ─┐
                  └─► onsets, ends of speech ─► PromptTurns ◄────────────┘ ◄─ typed texts, results
                                                     │
               CurrentChatRequest ─► pieces ─► AnswerQueue ─► Delivery ─► ServiceOutput

Time is the input audio (`input_clock`). Between two windows nothing happens: everything that is due
is sent at the first window boundary that the clock has passed, in the order of its due time.
Therefore one recording gives one sequence of events, however it is cut into chunks and however
fast it comes.

An onset of speech while any sound is still to be played is a barge-in.

When the client sends nothing, the clock stands still. `flush` lets generation go on without it, as
the real service does. FINAL texts are not sent during that time, as they are not there.
"""

from collections import deque
from dataclasses import replace
from typing import Any

from ...catalog import VoiceModel
from ...wire import PromptStart
from .answer_queue import AnswerQueue
from .answers import GeneratedAnswer, PendingCall, Sentence, Timing
from .brain import NO_WORDS, Brain, ConversationSetup, Reply
from .chat_request import CurrentChatRequest
from .delivery import Delivery
from .endpointing import SpeechBegan, SpeechDetector, SpeechEnded
from .expert import ExpertSession, has_expert
from .input_clock import InputClock
from .output import ServiceOutput
from .typed_text import dictated_words, is_description
from .usage import MS_PER_SPEECH_TOKEN, UsageCounter, whole_tokens
from .utterance import UserUtterances, UtteranceState

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
        prompt: The beginning of the prompt, with the voice that the client asked for (the brain
            may have another one) and the format of the output.
        setup: The settings of the conversation, for the brain.
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
        prompt: PromptStart,
        setup: ConversationSetup,
        recognizes: bool = False,
    ) -> None:
        self._model = model
        self._out = output
        self._counter = counter
        self._timing = timing
        session = brain.begin(setup)
        self._expert = has_expert(model, setup)
        self._brain_session = ExpertSession(session) if self._expert else session
        self._abandoned: set[str] = set()
        """Calls of `ExpertTool` whose sentences are not spoken any more."""
        endpoint_ms = brain.endpoint_ms or timing.endpoint_ms(setup.session.endpointing)
        self._clock = InputClock(endpoint_ms, timing.notice_ms)
        self._utterances = (
            UserUtterances(output, timing.notice_ms, setup.locale.partition("-")[0])
            if recognizes
            else None
        )
        rate_hz = prompt.rate_hz
        self._delivery = Delivery(model, brain, output, counter, timing, self._clock, rate_hz)
        voice = brain.voice or prompt.voice
        self._answers = AnswerQueue(self._delivery, output, self._clock, voice, rate_hz)
        self._chat_request = CurrentChatRequest(output)
        self._typed: deque[tuple[int, str]] = deque()
        self._held: dict[float, list[str]] = {}
        """Sentences about results that wait for the other results of the same turn, by the moment
        at which the calls were made."""

    # Input.

    def open_audio(self, rate_hz: int, detector: SpeechDetector) -> None:
        """Begin an audio container.

        Args:
            rate_hz: The sample rate of its audio, in hertz.
            detector: A new voice activity detector for that rate.
        """
        self._clock.open_container(rate_hz, detector)

    def audio(self, pcm: bytes) -> None:
        """Take audio of the user, which moves the clock.

        Args:
            pcm: Mono s16le samples at the rate of the container.
        """
        self._clock.resume()
        self._clock.receive(pcm)
        self._run()

    def typed(self, text: str) -> None:
        """Take an interactive text of the user. It is answered when the user is not speaking.

        Args:
            text: The text.
        """
        self._clock.resume()
        if self._model.silent_tools and dictated_words(text, only_quoted=False) is not None:
            self._check_silence(text)
        self._typed.append((max(self._clock.now_ms, TYPED_AFTER_MS), text))
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
        self._clock.resume()
        pending = self._delivery.calls.pop(call)
        reply = self._brain_session.result(pending.number, result)
        self._note(reply)
        if result.get("speak") == "" and reply.ask is None:  # the client asks for silence
            reply = replace(reply, say=())
        # Calls that were made together were sent at one moment.
        others = {
            other for other, one in self._delivery.calls.items() if one.asked_ms == pending.asked_ms
        }
        if self._model.silent_tools:  # such a model says nothing before it has all results
            say = (*self._held.pop(pending.asked_ms, ()), *reply.say)
            if others:
                self._held[pending.asked_ms], say = list(say), ()
            reply = replace(reply, say=say)
        if reply.say or reply.ask is not None:
            # The turn that made the call goes on with the reply while it lasts. Afterwards the
            # reply is a turn of its own, on the grid of `Timing.result_ms`.
            answer = self._answers.answer_to(call)
            if answer is None:
                answer = self._answers.plan(reply, self._due_ms(pending) + reply.delay_ms)
                answer.calls |= others
            self._extend(answer, reply)
        self._run()

    def speaks_result(self, call: str) -> bool:
        """Return whether the result of a call is spoken sentence by sentence (reference 8.6).

        Args:
            call: A `toolUseId` for which `expects` is true.
        """
        return self._expert and call in self._delivery.calls

    def result_sentence(self, call: str, sentence: str) -> None:
        """Speak a sentence of the result of an `ExpertTool` call, unless the user has gone on.

        Args:
            call: A `toolUseId` for which `speaks_result` is true.
            sentence: The sentence.
        """
        self._clock.resume()
        if call not in self._abandoned:
            answer = self._answers.answer_to(call)
            if answer is None:
                answer = self._answers.plan(Reply(), self._due_ms(self._delivery.calls[call]))
                answer.calls.add(call)
                answer.more_may_come = True
            answer.waits_for_more = False
            answer.sentences.append(Sentence(sentence))
        self._run()

    def end_result(self, call: str) -> None:
        """End the result of an `ExpertTool` call. Its answer ends with the sentences it has.

        Args:
            call: A `toolUseId` for which `speaks_result` is true.
        """
        self._clock.resume()
        del self._delivery.calls[call]
        self._abandoned.discard(call)
        answer = self._answers.answer_to(call)
        if answer is not None:
            answer.more_may_come = answer.waits_for_more = False
        self._run()

    def _due_ms(self, call: PendingCall) -> float:
        """Return when the result of a call is answered, on the grid of `Timing.result_ms`."""
        periods = int((self._clock.now_ms - call.asked_ms) // self._timing.result_ms) + 1
        return call.asked_ms + periods * self._timing.result_ms

    def chat_piece(self, key: int, piece: str | None) -> None:
        """Take a piece of a chat endpoint's answer. Ignored if its request was cancelled.

        Args:
            key: The number of the request.
            piece: The piece, or None after the last one.
        """
        answer = self._chat_request.answer_of(key)
        if answer is None:
            return
        if piece is None:
            self._chat_request.finish()  # the host has ended it
        reply = self._brain_session.thought(piece)
        self._note(reply)
        answer.waits_for_more = False
        self._extend(answer, reply)
        if reply.ask is None and not reply.more:
            self._chat_request.cancel()
        if reply.calls:  # calls are sent before speech, so these belong to a turn after this one
            self._answers.plan(reply, self._clock.now_ms - self._timing.tool_ms)
        self._run()

    def sound(self, key: int, pcm: bytes) -> None:
        """Take the sound that a `Speak` asked for. Ignored if it is not needed any more.

        Args:
            key: The number of the request.
            pcm: Mono s16le samples at the output rate.
        """
        if self._answers.take_sound(key, pcm):
            self._run()

    def words(self, key: int, text: str | None) -> None:
        """Take the words of an utterance, and answer it.

        Args:
            key: The number of the utterance.
            text: The words. Empty for a noise that was taken for speech, which is not answered.
                None for speech whose words cannot be recognised.
        """
        if self._utterances is None or not self._utterances.take_words(key):
            return
        if text is None or text.strip():
            self._answer_speech(text)
        self._run()

    def flush(self) -> None:
        """Let generation go on without the clock, until audio, a text or a tool result comes."""
        self._clock.flush()
        self._run()

    def stop(self) -> None:
        """End the prompt: drop everything unsent (reference 1.8) and close the open block."""
        if self._answers.current is not None:
            self._delivery.close(self._answers.current)
        self._chat_request.cancel()
        self._answers.clear()
        self._clock.close()
        self._delivery.finals.clear()
        self._typed.clear()

    # The clock.

    def _run(self) -> None:
        """Do everything that is due, and move the clock, until input or the host is needed."""
        while not self._waits_for_host and not self._out.closed:
            if not (
                self._answers.advance()
                or self._send_final()
                or self._next_user_event()
                or self._take_window()
            ):
                return

    @property
    def _waits_for_host(self) -> bool:
        """True while a sound or the words of an utterance are awaited."""
        recognizing = (
            self._utterances is not None and self._utterances.state is UtteranceState.RECOGNIZING
        )
        return recognizing or self._answers.awaits_sound

    def _take_window(self) -> bool:
        """Move the clock by one window, if a whole one was received."""
        window = self._clock.take_window()
        if window is not None and self._utterances is not None:
            self._utterances.add_window(window)
        return window is not None

    def _next_user_event(self) -> bool:
        """Handle the next onset, end of speech or typed turn, and return whether there was one.

        `_run` calls this after everything that was due before the end of the last window.
        """
        match self._clock.take_event():
            case SpeechBegan(onset_ms):
                self._on_speech_began(onset_ms)
                return True
            case SpeechEnded() as ended:
                self._on_speech_ended(ended)
                return True
            case None:
                pass
        # A text that was typed while the user speaks is a turn of its own, after the spoken one.
        fed = self._clock.received_ms >= TYPED_AFTER_MS
        if self._typed and fed and not self._clock.user_speaks:
            self._answer_typed(*self._typed.popleft())
            return True
        return False

    def _send_final(self) -> bool:
        """Send the FINAL text of the next sentence, if it has been played."""
        played = self._delivery.final()
        if played is not None:
            self._brain_session.played(played.strip())
        return played is not None

    # The user's turn.

    def _on_speech_began(self, onset_ms: int) -> None:
        if self._model.speech_events:
            self._out.speech_start(_whole_tokens_ms(onset_ms))
        self._out.usage(self._counter.first_turn())
        self._interrupt()

    def _on_speech_ended(self, ended: SpeechEnded) -> None:
        onset_ms = self._clock.position_ms(ended.onset_ms)
        detected_ms = self._clock.position_ms(ended.detected_ms)
        self._out.usage(self._counter.utterance(onset_ms, detected_ms))
        self._out.completion_start()
        if self._model.speech_events:
            self._out.speech_end(
                _whole_tokens_ms(ended.end_ms), _whole_tokens_ms(ended.detected_ms)
            )
        if self._utterances is not None:
            self._utterances.recognize()
        else:
            self._answer_speech(None)

    def _answer_speech(self, words: str | None) -> None:
        now_ms = self._clock.now_ms
        reply = self._brain_session.hear(words)
        transcript = reply.words if reply.words is not None else words or NO_WORDS
        self._out.text("USER", "FINAL", self._transcript(transcript))
        self._out.usage(self._counter.reply())
        self._answer_utterance(reply, now_ms)
        self._typed = deque((max(at_ms, now_ms), text) for at_ms, text in self._typed)

    def _answer_typed(self, at_ms: int, text: str) -> None:
        self._interrupt()
        self._out.usage([*self._counter.first_turn(), *self._counter.typed(text)])
        if not self._model.answers_descriptions and is_description(text):
            self._out.note("descriptive-text", f"{self._model.name} does not answer: {text[:60]}")
            self._brain_session.told("USER", text)
            return
        self._out.completion_start()
        # While a tool runs, the brain has nothing to say, and an instruction is carried out.
        waits_for_tool = self._model.silent_tools and bool(self._delivery.calls)
        words = dictated_words(text, only_quoted=not waits_for_tool)
        if self._expert:  # every turn is a call, and the client knows its own instructions
            words = None
        reply = Reply((words,)) if words else self._brain_session.hear(text, typed=True)
        self._out.usage(self._counter.reply())
        self._answer_utterance(reply, at_ms + self._timing.typed_ms - self._timing.text_ms)

    def _check_silence(self, text: str) -> None:
        """Note an instruction that comes while one of the sides speaks."""
        current = self._answers.current
        speaks = self._clock.now_ms < self._delivery.played_ms or (
            current is not None and current.shown
        )
        if speaks or self._clock.user_speaks:
            who = "the model" if speaks else "the user"
            self._out.note("injected-text", f"sent while {who} speaks: {text[:60]}")

    def _transcript(self, words: str) -> str:
        """Return a transcript as the service writes it (reference 3.6).

        It is in lower case. v1 removes the punctuation; later models keep it.
        """
        words = words.lower()
        if self._model.speech_events:
            return words
        return " ".join("".join(" " if c in '.,;:!?"()' else c for c in words).split())

    def _interrupt(self) -> None:
        """Drop the answer in progress, and report a barge-in if part of it was sent but not played.

        An answer of which nothing was sent is dropped without any event.
        """
        now_ms = self._clock.now_ms
        if self._expert:  # the next turn makes a call of its own
            self._abandoned |= self._delivery.calls.keys()
            self._answers.unplan()
        answer = self._answers.drop_current()
        if answer is not None:
            self._chat_request.cancel_for(answer)
        shown = answer is not None and answer.shown
        if not shown and now_ms >= self._delivery.played_ms:
            return
        spoken = self._delivery.cut(answer)
        self._out.text("ASSISTANT", "FINAL", INTERRUPTED_MARKER, "INTERRUPTED")
        for sentence in spoken:
            if heard := sentence.heard(now_ms):
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
            self._answers.unplan_chat_answers()
            self._chat_request.start(answer, reply.ask)
            answer.script = self._delivery.chat_answer(answer, from_ms + self._timing.text_ms)
        self._answers.begin(answer)

    def _extend(self, answer: GeneratedAnswer, reply: Reply) -> None:
        """Add the sentences of a further reply to an answer, and make its chat request."""
        answer.sentences.extend(Sentence(sentence) for sentence in reply.say)
        if reply.ask is not None:
            self._chat_request.start(answer, reply.ask)

    def _note(self, reply: Reply) -> None:
        for rule, text in reply.notes:
            self._out.note(rule, text)


def _whole_tokens_ms(ms: int) -> int:
    """Return the length of the whole speech tokens in a length of audio, both in milliseconds."""
    return whole_tokens(ms) * MS_PER_SPEECH_TOKEN
