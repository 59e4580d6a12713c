"""Turns of the emulated service: the shapes of the golden conversations, on the input clock."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.emulator.scenario import Recording, ScenarioCall, ScenarioStep, StreamException
from sonic_voice.emulator.service.effects import Break, Emit, Fail, Finish
from sonic_voice.emulator.service.endpointing import Endpointer, SpeechBegan, SpeechEnded
from sonic_voice.wire import (
    AudioInput,
    AudioOutput,
    AudioStart,
    BlockEnd,
    CompletionEnd,
    ContentEnd,
    PromptEnd,
    TextBlock,
    ToolUse,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
    decode_output,
)

from ..support.service_host import (
    BYTES_PER_MS,
    GO,
    RATE_HZ,
    V1,
    V2,
    V25,
    Host,
    golden,
    spoken,
    without_words,
)

QUESTION = spoken((0, 1920))
TWO = ScenarioStep("one two.", ("Of course.", "Which city do you mean?"))
STORY = ScenarioStep("tell me a long story.", ("Once upon a time there was a lighthouse.",))
SHORT = ScenarioStep("stop, something shorter.", ("Sure.",))


def going(meanwhile: tuple[str, ...] = ()) -> ScenarioStep:
    call = ScenarioCall(
        "go", {"meters": 10, "words": "{user}"}, meanwhile, ("I went {result.meters}.",)
    )
    return ScenarioStep("go ten meters.", calls=(call,))


def test_a_single_turn_has_the_golden_shape_and_the_golden_input_tokens() -> None:
    """Speech from 0 to 1920 ms, noticed at 2400; the system prompt had 286 tokens."""
    sentence = "We’re open from nine on Sundays."
    host = Host(ScenarioStep("What time do you open on Sundays?", (sentence,)), speech=QUESTION)
    host.begin(system="x" * 286 * 4)
    host.audio(4000)
    host.end()
    assert without_words(host.shape(usage=True)) == golden("v2-single-turn", usage=True)
    totals = [record.total for record in host.outputs if isinstance(record, UsageEvent)]
    assert [(t.speech_in, t.text_in) for t in totals] == [
        (0, 22), (150, 22), (150, 23), (150, 66), (210, 66), (210, 69), (210, 70), (210, 356),
        (210, 356), (210, 356), (210, 356),
    ]  # fmt: skip
    assert (totals[-3].text_out, totals[-2].text_out + totals[-2].speech_out) == (9, 29)


def test_offsets_are_those_of_the_input_in_steps_of_40_ms() -> None:
    host = Host(speech=spoken((608, 2016)))
    host.begin()
    host.audio(4000)
    start, end = (r for r in host.outputs if isinstance(r, (UserSpeechStart, UserSpeechEnd)))
    assert isinstance(start, UserSpeechStart)
    assert isinstance(end, UserSpeechEnd)
    assert (start.offset_ms, end.offset_ms, end.detected_ms) == (600, 2000, 2480)
    assert (start.ids.completion, end.ids.completion) == ("", "")


def test_v1_sends_no_speech_events_and_no_punctuation_and_finals_at_last() -> None:
    host = Host(TWO, speech=QUESTION, model=V1)
    host.begin()
    host.audio(8000)
    wanted = golden("v1-multi-sentence-turn")
    # The recording has the user's words in two blocks; a scenario has one.
    assert without_words(host.shape()) == wanted[:4] + wanted[7:]
    assert host.shape()[2] == 'textOutput "one two"'
    assert host.said("FINAL") == ["Of course.", " Which city do you mean?"]


def test_a_tool_is_called_before_speech_and_its_result_joins_the_turn() -> None:
    host = Host(going(("Let me look.",)), speech=spoken((0, 2480)), endpoint_ms=280)
    host.begin(tools=(GO,))
    while not host.calls:
        host.audio(32)
    host.result(host.calls[0].tool_use, '{"meters":9.5}')
    host.audio(900)
    host.end()
    assert without_words(host.shape()) == golden("v2-tool-turn")
    assert host.calls[0].arguments_json == '{"meters":10,"words":"go ten meters."}'
    assert host.said("SPECULATIVE") == ["Let me look.", " I went 9.5."]


def test_v2_ends_its_turn_without_a_result_and_answers_it_in_another() -> None:
    host = Host(going(("Let me look.",)), speech=QUESTION)
    host.begin(tools=(GO,))
    host.audio(8000)
    assert host.shape()[-3:] == [
        "contentStart ASSISTANT TEXT FINAL",
        'textOutput "Let me look."',
        "contentEnd TEXT END_TURN",
    ]
    host.result(host.calls[0].tool_use, '{"meters":1}')
    host.audio(3000)
    assert host.said("SPECULATIVE") == ["Let me look.", "I went 1."]
    assert host.said("FINAL") == ["Let me look.", "I went 1."]


@pytest.mark.parametrize("model", [V1, V25])
def test_models_without_asynchronous_calls_are_silent_until_the_result(model: str) -> None:
    host = Host(going(("Let me look.",)), speech=QUESTION, model=model)
    host.begin(tools=(GO,))
    host.audio(8000)
    assert host.spoken == []
    host.result(host.calls[0].tool_use, '{"meters":1}')
    host.audio(3000)
    assert host.said("SPECULATIVE") == ["I went 1."]


@pytest.mark.parametrize("late_ms", [0, 32, 288, 576])
def test_how_fast_a_tool_was_does_not_move_its_answer(late_ms: int) -> None:
    host = Host(going(), speech=QUESTION)
    host.begin(tools=(GO,))
    while not host.calls:
        host.audio(32)
    host.audio(late_ms)
    host.result(host.calls[0].tool_use, '{"meters":1}')
    host.audio(608 - late_ms - 32)
    assert host.spoken == []
    host.audio(32)
    assert [effect.text for effect in host.spoken] == ["I went 1."]


def test_a_tool_that_was_not_offered_is_spoken_of() -> None:
    host = Host(going(), speech=QUESTION)
    host.begin()
    host.audio(5000)
    assert host.calls == []
    assert "tool-not-offered" in host.notes
    assert "go" in host.spoken[0].text


def test_a_result_that_comes_while_the_user_speaks_waits_for_the_answer_to_that() -> None:
    host = Host(
        going(), ScenarioStep("and now?", ("Soon.",)), speech=spoken((0, 1920), (3008, 4000))
    )
    host.begin(tools=(GO,))
    host.audio(3500)
    host.result(host.calls[0].tool_use, '{"meters":1}')
    host.audio(500)
    assert host.spoken == []
    host.audio(4000)
    assert [effect.text for effect in host.spoken] == ["Soon.", "I went 1."]


def test_a_barge_in_while_sound_is_sent_has_the_golden_shape() -> None:
    host = Host(STORY, SHORT, speech=spoken((0, 1920), (4000, 5024)), word_ms=1000)
    host.begin()
    host.audio(8000)
    host.end()
    ours, wanted = without_words(host.shape()), golden("v2-barge-in")
    user = "contentStart USER TEXT FINAL"
    ours, wanted = ours[ours.index(user) :], wanted[wanted.index(user) :]
    # Golden ends with the last audio; ours goes on to the transcript of it and the close.
    assert ours[: len(wanted)] == wanted


def test_what_was_heard_of_an_interrupted_turn_is_cut_at_a_word() -> None:
    """The story plays from 3128 to 4728 ms; the barge-in is told at 4000 + 320 ms."""
    host = Host(STORY, SHORT, speech=spoken((0, 1920), (4000, 5024)))
    host.begin()
    host.audio(4320)
    assert host.said("FINAL") == ['{ "interrupted" : true }', "Once upon a time there was a"]
    assert [r.stop for r in host.outputs if isinstance(r, BlockEnd)][-2:] == [
        "INTERRUPTED",
        "PARTIAL_TURN",
    ]
    host.audio(8000)
    assert host.said("FINAL")[2:] == ["Sure."]


def test_nothing_is_interrupted_once_all_was_played() -> None:
    host = Host(STORY, SHORT, speech=spoken((0, 1920), (6016, 7008)))
    host.begin()
    host.audio(9000)
    assert host.said("FINAL") == ["Once upon a time there was a lighthouse.", "Sure."]


def test_an_answer_of_which_nothing_went_out_is_superseded_in_silence() -> None:
    host = Host(STORY, SHORT, speech=spoken((0, 1920), (2496, 3520)))
    host.begin()
    host.audio(9000)
    assert host.said("SPECULATIVE") == ["Sure."]
    assert host.said("FINAL") == ["Sure."]


def test_an_answer_whose_text_alone_went_out_is_interrupted_unheard() -> None:
    host = Host(STORY, SHORT, speech=spoken((0, 1920), (2720, 3712)))
    host.begin()
    host.audio(3040)
    assert host.said("SPECULATIVE") == [*STORY.say]
    assert host.said("FINAL") == ['{ "interrupted" : true }']
    assert host.pcm == b""


def test_sentences_play_one_after_the_other() -> None:
    """Sound goes out from 3128 ms on: one second of it, then two and a half, to 6628."""
    host = Host(TWO, speech=QUESTION, word_ms=500)
    host.begin()
    host.audio(6624)
    assert host.said("FINAL") == ["Of course."]
    host.audio(32)
    assert host.said("FINAL") == ["Of course.", " Which city do you mean?"]


def test_offsets_begin_anew_with_another_audio_container_and_tokens_do_not() -> None:
    host = Host(speech=spoken((0, 1920), (8320, 8960)))
    host.begin()
    host.audio(8000)
    host.send(ContentEnd("P", "A"), AudioStart("P", "B", RATE_HZ))
    host.send(AudioInput("P", "B", bytes(4000 * BYTES_PER_MS)))
    end = [record for record in host.outputs if isinstance(record, UserSpeechEnd)][-1]
    assert (end.offset_ms, end.detected_ms) == (960, 1440)
    speech_in = [r.delta.speech_in for r in host.outputs if isinstance(r, UsageEvent)]
    lead_ms = 2000
    assert [tokens for tokens in speech_in if tokens][-1] == (9440 - (8320 - lead_ms)) // 40
    assert host.notes == ["second-audio"]


def heard(*probabilities: float) -> list[SpeechBegan | SpeechEnded]:
    ears = Endpointer(endpoint_ms=320, notice_ms=96)
    return [event for probability in probabilities for event in ears.feed(probability)]


def test_two_loud_windows_are_a_click_and_three_are_speech() -> None:
    assert heard(1, 1, 0, 1, 1, 0, 0.5, 1, 0.5) == []
    assert heard(0, 1, 1, 1) == [SpeechBegan(32)]


def test_speech_ends_after_silence_that_no_window_breaks() -> None:
    pause = [0.0] * 9
    assert heard(1, 1, 1, *pause, 0.4, *pause) == [SpeechBegan(0)]
    assert heard(1, 1, 1, *pause, 0.34) == [SpeechBegan(0), SpeechEnded(0, 96, 416)]


def test_after_an_end_speech_begins_with_three_windows_again() -> None:
    silence = [0.0] * 10
    assert heard(1, 1, 1, *silence, 1, 1, 0) == heard(1, 1, 1, *silence)


def test_speech_that_ends_before_it_was_told_is_told_first() -> None:
    ears = Endpointer(endpoint_ms=64, notice_ms=320)
    told = [event for p in (1, 1, 1, 0, 0) for event in ears.feed(p)]
    assert told == [SpeechBegan(0), SpeechEnded(0, 96, 160)]


def test_finals_are_paced_by_the_input_and_do_not_come_without_it() -> None:
    host = Host(TWO, speech=QUESTION)
    host.begin()
    host.audio(2400)
    host.do(host.service.stalled())
    assert host.said("SPECULATIVE") == ["Of course.", " Which city do you mean?"]
    assert host.shape()[-1] == "contentEnd AUDIO END_TURN"
    host.do(host.service.stalled())
    assert host.said("FINAL") == []
    host.audio(416)  # what was flushed plays from where the clock stood
    assert host.said("FINAL") == ["Of course."]
    host.audio(1000)
    assert host.said("FINAL") == ["Of course.", " Which city do you mean?"]


def test_a_result_sent_without_audio_is_answered_in_the_next_pause() -> None:
    host = Host(going(), speech=QUESTION)
    host.begin(tools=(GO,))
    host.audio(2400)
    host.do(host.service.stalled())
    host.result(host.calls[0].tool_use, '{"meters":3}')
    assert host.spoken == []
    host.do(host.service.stalled())
    assert host.said("SPECULATIVE") == ["I went 3."]


def test_speech_without_silence_after_it_is_never_transcribed() -> None:
    host = Host(speech=QUESTION)
    host.begin()
    host.audio(1920)
    host.do(host.service.stalled())
    host.end()
    assert not [record for record in host.outputs if isinstance(record, TextBlock)]


def test_the_endpoint_time_is_the_clients_choice() -> None:
    detected: dict[str, int] = {}
    for sensitivity in ("HIGH", "MEDIUM", "LOW"):
        host = Host(speech=QUESTION)
        host.begin(endpointing=sensitivity)
        host.audio(4000)
        (end,) = (record for record in host.outputs if isinstance(record, UserSpeechEnd))
        detected[sensitivity] = end.detected_ms
    assert detected == {"HIGH": 2240, "MEDIUM": 2400, "LOW": 2720}


def test_typed_text_is_answered_once_68_ms_of_audio_are_in() -> None:
    host = Host(ScenarioStep("ignored", ("We open at nine: {user}",)))
    host.begin()
    host.send(AudioInput("P", "A", bytes(66 * BYTES_PER_MS)))
    host.text("X", "USER", "When?", interactive=True)
    host.do(host.service.stalled())
    assert "completionStart" not in host.shape()
    host.send(AudioInput("P", "A", bytes(2 * BYTES_PER_MS)))
    assert "completionStart" in host.shape()
    host.audio(3000)
    assert host.said("SPECULATIVE") == ["We open at nine: When?"]


def test_typed_text_is_answered_800_ms_after_it_could_be() -> None:
    host = Host()
    host.begin()
    host.text("X", "USER", "Hello?", interactive=True)
    host.audio(864)  # 68 + 800 are in the next window
    assert host.said("SPECULATIVE") == []
    host.audio(32)
    assert host.said("SPECULATIVE") == ["Hi."]


def test_typed_text_interrupts_and_context_does_not() -> None:
    host = Host(STORY, SHORT, speech=QUESTION)
    host.begin()
    host.audio(3500)
    host.text("X", "USER", "By the way.")
    host.text("Y", "ASSISTANT", "I see.", interactive=True)
    host.audio(32)
    assert host.said("FINAL") == []
    host.text("Z", "USER", "Stop!", interactive=True)
    assert host.said("FINAL")[0] == '{ "interrupted" : true }'
    host.audio(3000)
    assert host.said("SPECULATIVE")[1:] == ["Sure."]


def test_v1_ignores_typed_text() -> None:
    host = Host(model=V1)
    host.begin()
    host.audio(200)
    host.text("X", "USER", "Hello?", interactive=True)
    host.audio(3000)
    assert host.notes == ["text-ignored"]
    assert "completionStart" not in host.shape()


def test_after_the_last_step_it_says_otherwise_unless_it_loops() -> None:
    speech = spoken((0, 640), (8000, 8640))
    for loop, words in ((False, "hello"), (True, "hi there")):
        host = Host(
            ScenarioStep("a", ("Hi there",)), speech=speech, loop=loop, otherwise=("hello",)
        )
        host.begin()
        host.audio(12000)
        assert host.said("SPECULATIVE")[1].lower() == words


def test_a_delay_moves_the_answer() -> None:
    host = Host(ScenarioStep("a", ("Hi.",), delay_ms=960), speech=QUESTION)
    host.begin()
    host.audio(2400 + 608 + 960 - 32)
    assert host.said("SPECULATIVE") == []
    host.audio(32)
    assert host.said("SPECULATIVE") == ["Hi."]


@pytest.mark.parametrize("say", [(), ("One two.", "three four.")])
def test_a_fault_of_the_scenario_comes_instead_of_the_answer_or_in_its_last_sound(
    say: tuple[str, ...],
) -> None:
    fault = StreamException("throttlingException", "Too many.")
    for step in (
        ScenarioStep("a", say, error=fault),
        ScenarioStep("a", say, broken="cut-mid-frame"),
    ):
        host = Host(step, speech=QUESTION)
        host.begin()
        host.audio(6000)
        end = host.effects[-1]
        assert end in (
            Fail("throttlingException", "RequestId=request-1 : Too many."),
            Break("cut-mid-frame"),
        )
        assert host.said("SPECULATIVE") == ["One two.", " three four."][: len(say)]
        if say:
            before = host.effects[-2]
            assert isinstance(before, Emit)
            assert isinstance(decode_output(before.payload), AudioOutput)


def test_a_recording_is_sent_as_it_is() -> None:
    recording = Recording(bytes(range(256)) * 100, 16_000)
    host = Host(ScenarioStep("a", ("Listen.",), wav=recording), speech=QUESTION)
    host.begin()
    host.audio(6000)
    assert host.spoken == []
    assert host.pcm == recording.pcm


def test_v2_sends_chunks_of_79_to_200_ms_and_a_tail_and_v1_of_40() -> None:
    for model, least_ms, most_ms, tail in ((V2, 79, 200, 32), (V1, 40, 40, 0)):
        host = Host(STORY, speech=QUESTION, model=model)
        host.begin()
        host.audio(6000)
        sizes = [len(record.pcm) for record in host.outputs if isinstance(record, AudioOutput)]
        assert sum(sizes) == 8 * 200 * BYTES_PER_MS
        if tail:
            assert sizes.pop() == tail
            sizes.pop()  # what was left before it
        assert {least_ms * BYTES_PER_MS, most_ms * BYTES_PER_MS} <= set(sizes)
        assert all(least_ms <= size / BYTES_PER_MS <= most_ms for size in sizes)


def test_sound_comes_faster_than_it_plays() -> None:
    host = Host(STORY, speech=QUESTION)
    host.begin()
    host.audio(2400 + 608 + 120 + 8 * 200 // 5 + 2 * 32)
    assert host.shape()[-1] == "contentEnd AUDIO END_TURN"


def test_a_sentence_of_no_sound_is_a_moment_of_silence() -> None:
    host = Host(speech=QUESTION, word_ms=0)
    host.begin()
    host.audio(6000)
    assert len(host.pcm) == 40 * BYTES_PER_MS


def test_the_end_comes_in_its_order() -> None:
    host = Host(speech=QUESTION)
    host.begin()
    host.audio(6000)
    host.send(ContentEnd("P", "A"))
    before = len(host.effects)
    host.send(PromptEnd("P"))
    (end,) = host.effects[before:]
    assert isinstance(end, Emit)
    assert isinstance(decode_output(end.payload), CompletionEnd)
    host.do(host.service.end_of_input())
    assert isinstance(host.effects[-1], Finish)
    assert host.notes == ["no-goodbye"]


def test_a_prompt_ended_right_after_the_speech_is_answered_by_nothing() -> None:
    host = Host(speech=QUESTION)
    host.begin()
    host.audio(1920)
    host.end()
    assert host.shape() == ["userSpeechStart"]
    assert isinstance(host.effects[-1], Finish)


def test_every_step_of_output_tokens_is_twenty_and_the_sum_is_the_total() -> None:
    host = Host(STORY, speech=QUESTION, word_ms=600)
    host.begin()
    host.audio(9000)
    usage = [record for record in host.outputs if isinstance(record, UsageEvent)]
    out = [u.delta.speech_out + u.delta.text_out for u in usage]
    steps = [tokens for tokens in out if tokens]
    assert steps[0] == 10  # the sentence of 40 bytes
    assert steps[1:] == [20] * 6
    last = usage[-1].total
    assert (last.speech_out, last.text_out) == (120, 10)


UNCHUNKED_MS = 9600


def played(chunks_ms: list[int], model: str) -> list[object]:
    steps = (STORY, going(), TWO)
    host = Host(*steps, speech=spoken((320, 1600), (3200, 4000), (6400, 7008)), model=model)
    host.begin()
    left = UNCHUNKED_MS
    for ms in [*chunks_ms, UNCHUNKED_MS]:
        host.audio(min(ms, left), chunk_ms=ms)
        left -= min(ms, left)
    return list(host.effects)


@cache
def played_evenly(model: str) -> list[object]:
    return played([32] * (UNCHUNKED_MS // 32), model)


@given(st.lists(st.integers(1, 2000), max_size=12), st.sampled_from([V1, V2]))
def test_chunking_changes_nothing(chunks_ms: list[int], model: str) -> None:
    assert played(chunks_ms, model) == played_evenly(model)


def test_typed_text_is_answered_at_the_same_place_however_audio_comes() -> None:
    """The user speaks just before the answer: 4 ms decide whether it is heard of."""

    def answered(chunk_ms: int) -> list[object]:
        host = Host(speech=spoken((544, 1504)))
        host.begin()
        host.text("X", "USER", "Hello?", interactive=True)
        host.audio(4000, chunk_ms)
        return list(host.effects)

    assert answered(10) == answered(32) == answered(4000)


def test_a_second_answer_plays_after_the_first() -> None:
    """A result's answer may be sent while the words before it still play."""
    host = Host(going(("one two three four five six",)), speech=QUESTION, word_ms=500)
    host.begin(tools=(GO,))
    while not any(isinstance(r, BlockEnd) and r.kind == "AUDIO" for r in host.outputs):
        host.audio(32)
    (call,) = (record for record in host.outputs if isinstance(record, ToolUse))
    host.result(call.tool_use, '{"meters":1}')
    host.audio(1000)
    assert host.shape()[-1] == "contentEnd AUDIO END_TURN"
    assert host.said("FINAL") == []
    host.audio(4000)
    assert host.said("FINAL") == ["one two three four five six", "I went 1."]
