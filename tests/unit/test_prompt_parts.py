"""The parts of a prompt's conversation alone: clock, utterance, chat request, answer queue."""

import itertools
from collections import deque

import pytest

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.scenario import Scenario, ScenarioStep
from sonic_voice.emulator.service.answer_queue import AnswerQueue
from sonic_voice.emulator.service.answers import GeneratedAnswer, Sentence, Timing
from sonic_voice.emulator.service.brain import ChatRequest, Reply
from sonic_voice.emulator.service.chat_request import CurrentChatRequest
from sonic_voice.emulator.service.delivery import Delivery
from sonic_voice.emulator.service.effects import (
    CancelChatRequest,
    Listen,
    Recognize,
    Speak,
    StartChatRequest,
)
from sonic_voice.emulator.service.endpointing import WINDOW_MS, SpeechBegan, SpeechEnded
from sonic_voice.emulator.service.input_clock import InputClock, InputWindow
from sonic_voice.emulator.service.output import ServiceOutput
from sonic_voice.emulator.service.usage import UsageCounter
from sonic_voice.emulator.service.utterance import PREROLL_MS, UserUtterances, UtteranceState

from ..support.service_host import BYTES_PER_MS, RATE_HZ, V2, ListedSpeech, no_resampling, spoken

NOTICE_MS = 320
ENDPOINT_MS = 480


def new_output() -> ServiceOutput:
    ids = (f"id-{n}" for n in itertools.count())
    return ServiceOutput(lambda: next(ids), "request-1")


def new_clock(*spans_ms: tuple[int, int]) -> InputClock:
    clock = InputClock(ENDPOINT_MS, NOTICE_MS)
    clock.open_container(RATE_HZ, ListedSpeech(spoken(*spans_ms)))
    return clock


def windows(clock: InputClock, ms: int) -> list[InputWindow]:
    """The windows that so much more audio gives."""
    clock.receive(bytes(ms * BYTES_PER_MS))
    return list(iter(clock.take_window, None))


def new_answer() -> GeneratedAnswer:
    return GeneratedAnswer(Reply(), deque(), 0.0)


# --- the input clock


@pytest.mark.parametrize("chunk_ms", [1, 20, 32, 33, 960])
def test_the_clock_moves_by_whole_windows_however_the_audio_is_cut(chunk_ms: int) -> None:
    clock = new_clock((0, 320))
    seen = [w for _ in range(960 // chunk_ms) for w in windows(clock, chunk_ms)]
    assert len(seen) == 960 // chunk_ms * chunk_ms // WINDOW_MS
    assert clock.now_ms == len(seen) * WINDOW_MS
    assert clock.received_ms == 960 // chunk_ms * chunk_ms
    assert [event for window in seen for event in window.events] == [
        SpeechBegan(0),
        SpeechEnded(0, 320, 800),
    ]
    assert [clock.take_event(), clock.take_event(), clock.take_event()] == [
        SpeechBegan(0),
        SpeechEnded(0, 320, 800),
        None,
    ]


def test_a_part_of_a_window_counts_once_it_is_all_that_is_left() -> None:
    clock = new_clock()
    clock.receive(bytes(50 * BYTES_PER_MS))
    assert clock.received_ms == 0
    assert clock.take_window() is not None
    assert clock.received_ms == 50


def test_the_clock_counts_all_containers_and_endpointing_only_its_own() -> None:
    clock = new_clock((0, 320))
    assert not clock.user_speaks
    windows(clock, 96)
    assert clock.user_speaks
    windows(clock, 20)
    clock.open_container(RATE_HZ, ListedSpeech([]))
    assert (clock.now_ms, clock.received_ms, clock.user_speaks) == (96, 96, False)
    assert clock.position_ms(32) == 128


def test_a_clock_without_a_container_stands_still() -> None:
    clock = InputClock(ENDPOINT_MS, NOTICE_MS)
    assert windows(clock, 640) == []
    clock.open_container(RATE_HZ, ListedSpeech([]))
    assert len(windows(clock, 320)) == 10
    clock.close()
    assert windows(clock, 640) == []
    assert (clock.now_ms, clock.received_ms) == (320, 320)


def test_every_position_is_due_while_the_clock_is_flushed() -> None:
    clock = new_clock()
    windows(clock, 64)
    assert (clock.is_due(64), clock.is_due(64.1)) == (True, False)
    clock.flush()
    assert clock.is_due(1e9)
    clock.resume()
    assert not clock.is_due(64.1)


# --- the utterance


def test_an_utterance_goes_through_its_states_and_its_audio_to_the_host() -> None:
    output, clock = new_output(), new_clock((640, 1280), (2560, 2880))
    utterances = UserUtterances(output, NOTICE_MS)
    assert utterances.state is UtteranceState.QUIET
    states = [utterances.state]
    for window in windows(clock, 1920):
        utterances.add_window(window)
        states += [utterances.state] * (utterances.state is not states[-1])
    assert states == [UtteranceState.QUIET, UtteranceState.SPEAKING, UtteranceState.ENDED]
    listened = [effect for effect in output.take() if isinstance(effect, Listen)]
    assert {effect.key for effect in listened} == {1}
    sent_ms = sum(len(effect.pcm) for effect in listened) // BYTES_PER_MS
    assert sent_ms == PREROLL_MS + WINDOW_MS + (1280 - 640) + ENDPOINT_MS

    assert not utterances.take_words(1), "they were not asked for"
    utterances.recognize()
    assert output.take() == [Recognize(1)]
    assert not utterances.take_words(2)
    assert utterances.state is UtteranceState.RECOGNIZING
    assert utterances.take_words(1)
    assert not utterances.take_words(1), "they have come"
    assert utterances.state is UtteranceState.QUIET

    for window in windows(clock, 1920):
        utterances.add_window(window)
    assert {effect.key for effect in output.take() if isinstance(effect, Listen)} == {2}


# --- the chat request


def test_a_new_chat_request_cancels_the_earlier_one() -> None:
    output = new_output()
    request = CurrentChatRequest(output)
    first, second = new_answer(), new_answer()
    request.start(first, ChatRequest("1"))
    first.waits_for_more = True
    request.start(second, ChatRequest("2"))
    assert output.take() == [
        StartChatRequest(1, "1"),
        CancelChatRequest(1),
        StartChatRequest(2, "2"),
    ]
    assert not first.more_may_come
    assert not first.waits_for_more
    assert (request.answer_of(1), request.answer_of(2)) == (None, second)


def test_a_finished_chat_request_is_not_cancelled() -> None:
    output = new_output()
    request = CurrentChatRequest(output)
    answer = new_answer()
    request.start(answer, ChatRequest("1"))
    assert answer.more_may_come
    request.finish()
    assert not answer.more_may_come
    request.cancel()
    request.cancel_for(answer)
    assert output.take() == [StartChatRequest(1, "1")]


def test_a_chat_request_is_cancelled_for_its_own_answer_only() -> None:
    output = new_output()
    request = CurrentChatRequest(output)
    answer = new_answer()
    request.start(answer, ChatRequest("1"))
    other = new_answer()
    other.more_may_come = True
    assert other == answer  # an answer that looks the same is another one
    request.cancel_for(other)
    assert request.answer_of(1) is answer
    request.cancel_for(answer)
    assert output.take() == [StartChatRequest(1, "1"), CancelChatRequest(1)]


# --- the answer queue


class Answers:
    """An answer queue over a clock that the test moves."""

    def __init__(self, *spans_ms: tuple[int, int]) -> None:
        self.output = new_output()
        self.clock = new_clock(*spans_ms)
        brain = ScriptedBrain(Scenario("test", (ScenarioStep("a", ("Hi.",)),)), no_resampling)
        delivery = Delivery(
            voice_model(V2), brain, self.output, UsageCounter(), Timing(), self.clock, RATE_HZ
        )
        self.queue = AnswerQueue(delivery, self.output, self.clock, "matthew", RATE_HZ)

    def spoken(self) -> list[str]:
        """The texts whose sound was asked for since the last call."""
        return [effect.text for effect in self.output.take() if isinstance(effect, Speak)]


def test_a_planned_answer_begins_when_it_is_due() -> None:
    answers = Answers()
    planned = answers.queue.plan(Reply(("Later.",)), 64.0)
    planned.sentences.append(Sentence("Later."))
    windows(answers.clock, 32)
    assert not answers.queue.advance()
    windows(answers.clock, 32)
    assert answers.queue.advance()
    assert answers.queue.current is planned
    assert answers.queue.awaits_sound
    assert answers.spoken() == ["Later."]


def test_a_planned_answer_waits_until_the_user_has_spoken() -> None:
    answers = Answers((0, 320))
    answers.queue.plan(Reply(("Later.",)), 0.0).sentences.append(Sentence("Later."))
    windows(answers.clock, 96)
    assert not answers.queue.advance(), "the user speaks"
    windows(answers.clock, 704)
    assert not answers.queue.advance(), "the end of the speech was not handled yet"
    while answers.clock.take_event() is not None:
        pass
    assert answers.queue.advance()


def test_only_the_awaited_sound_is_taken_and_once() -> None:
    answers = Answers()
    answers.queue.plan(Reply(("Now.",)), 0.0).sentences.append(Sentence("Now."))
    assert not answers.queue.take_sound(1, b"\0\0")
    assert answers.queue.advance()
    assert not answers.queue.take_sound(2, b"\0\0")
    assert answers.queue.awaits_sound
    assert answers.queue.take_sound(1, b"\0\0\0")  # half a sample is dropped
    assert not answers.queue.awaits_sound
    assert not answers.queue.take_sound(1, b"\0\0")


def test_only_planned_answers_of_a_chat_request_are_dropped() -> None:
    answers = Answers()
    answers.queue.plan(Reply(ask=ChatRequest("{}")), 0.0)
    kept = answers.queue.plan(Reply(("Kept.",)), 0.0)
    kept.sentences.append(Sentence("Kept."))
    answers.queue.unplan_chat_answers()
    assert answers.queue.advance()
    assert answers.queue.current is kept


def test_a_dropped_answer_leaves_the_planned_ones() -> None:
    answers = Answers()
    first, second = (answers.queue.plan(Reply((text,)), 0.0) for text in ("One.", "Two."))
    for each in (first, second):
        each.sentences.append(Sentence(each.reply.say[0]))
    assert answers.queue.advance()
    assert answers.queue.take_sound(1, bytes(BYTES_PER_MS * 400))
    assert answers.queue.drop_current() is first
    assert answers.queue.current is None
    assert answers.queue.advance()
    assert answers.queue.current is second
    answers.queue.clear()
    assert answers.queue.current is None
    assert not answers.queue.awaits_sound
    assert not answers.queue.advance()
