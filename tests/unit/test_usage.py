"""The token arithmetic of the emulated service."""

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.emulator.service.usage import UsageCounter, speech_tokens, text_tokens
from sonic_voice.wire import Tokens


def test_a_session_costs_150_speech_and_66_text_tokens_before_anybody_speaks() -> None:
    meter = UsageCounter()
    assert meter.opening() == [Tokens(text_in=22), Tokens(speech_in=150), Tokens(text_in=1)]
    assert meter.first_turn() == [Tokens(text_in=43)]
    assert meter.total == Tokens(speech_in=150, text_in=66)
    assert meter.first_turn() == []


def test_the_first_utterance_counts_all_that_was_received_until_it_was_noticed() -> None:
    """Recorded: 2400 ms are 60 tokens, 3320 are 83, 3440 are 86."""
    for detected_ms, tokens in ((2400, 60), (3320, 83), (3440, 86)):
        assert UsageCounter().utterance(600, detected_ms)[0] == Tokens(speech_in=tokens)


def test_a_short_gap_is_counted_and_a_long_one_is_not() -> None:
    """Recorded: a second utterance after a gap of 1.2 s cost its gap too; long pauses are free."""
    meter = UsageCounter()
    meter.utterance(0, 2400)
    assert meter.utterance(3600, 6560)[0] == Tokens(speech_in=104)
    assert meter.utterance(60_000, 62_000)[0] == Tokens(speech_in=100)


def test_no_time_is_counted_twice() -> None:
    meter = UsageCounter()
    meter.utterance(0, 2400)
    assert meter.utterance(2400, 3600)[0] == Tokens(speech_in=30)


def test_the_prompt_is_counted_once_with_the_first_answer() -> None:
    meter = UsageCounter()
    meter.prompt("x" * 286 * 4)
    assert meter.reply() == [Tokens(text_in=1), Tokens(text_in=286)]
    assert meter.reply() == [Tokens(text_in=1)]


def test_a_typed_turn_is_its_text_and_three() -> None:
    assert UsageCounter().typed("12345678") == [Tokens(text_in=2), Tokens(text_in=3)]


def test_output_is_the_first_sentence_then_twenties_then_the_rest() -> None:
    meter = UsageCounter()
    assert meter.sentence("x" * 36, first=True) == [Tokens(text_out=9)]
    assert meter.speech(35) == [Tokens(speech_out=20)]
    assert meter.sentence("x" * 40, first=False) == [Tokens(speech_out=15, text_out=5)]
    assert meter.end_of_turn() == [Tokens(text_out=5)]
    assert meter.end_of_turn() == []


def test_begun_tokens_are_whole() -> None:
    assert (speech_tokens(1400), speech_tokens(1401), speech_tokens(0)) == (35, 36, 0)
    assert (text_tokens(""), text_tokens("abcd"), text_tokens("abcde")) == (1, 1, 2)


@given(st.lists(st.tuples(st.text(max_size=400), st.integers(0, 500)), max_size=12))
def test_steps_are_exactly_twenty_and_nothing_is_lost(sentences: list[tuple[str, int]]) -> None:
    meter = UsageCounter()
    reported = Tokens()
    for number, (text, sound) in enumerate(sentences):
        for delta in meter.sentence(text, first=number == 0):
            reported += delta
            assert number == 0 or delta.speech_out + delta.text_out == 20
        for delta in meter.speech(sound):
            reported += delta
            assert delta.speech_out + delta.text_out == 20
    for delta in meter.end_of_turn():
        reported += delta
        assert 0 < delta.speech_out + delta.text_out < 20
    assert reported == meter.total
    assert reported.speech_out == sum(sound for _, sound in sentences)
    assert reported.text_out == sum(text_tokens(text) for text, _ in sentences)
