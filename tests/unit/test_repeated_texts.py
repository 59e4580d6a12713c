"""Which texts of the service are repetitions of what was sent, and not words of the user."""

import pytest

from sonic_voice.repeated_texts import TEXTS_KEPT, RepeatedTexts


def test_a_text_that_was_sent_is_repeated_once() -> None:
    texts = RepeatedTexts()
    texts.text_sent("Is it open?")
    assert texts.is_repetition("is  it open")
    assert not texts.is_repetition("Is it open?")


def test_texts_before_a_repeated_one_are_not_repeated_any_more() -> None:
    texts = RepeatedTexts()
    for text in ("one", "two", "three"):
        texts.text_sent(text)
    assert texts.is_repetition("two")
    assert not texts.is_repetition("one")
    assert texts.is_repetition("three")


def test_the_words_of_the_user_change_nothing() -> None:
    texts = RepeatedTexts()
    texts.text_sent("one")
    assert not texts.is_repetition("something else")
    assert texts.is_repetition("one")


def test_only_the_newest_texts_are_kept() -> None:
    texts = RepeatedTexts()
    for number in range(TEXTS_KEPT + 1):
        texts.text_sent(f"text {number}")
    assert not texts.is_repetition("text 0")
    assert texts.is_repetition("text 1")


def test_without_a_recording_every_transcription_is_of_the_user() -> None:
    assert RepeatedTexts().without_recording("Hello there.") == "Hello there."


@pytest.mark.parametrize(
    ("transcription", "spoke", "words"),
    [
        ("Hello.", False, ""),
        ("Yellow.", False, ""),
        ("Hello. What is the time?", True, "What is the time?"),
        ("What is the time?", True, "What is the time?"),
        ("hello", True, ""),
    ],
)
def test_the_first_transcription_after_a_recording_loses_its_words(
    transcription: str, spoke: bool, words: str
) -> None:
    texts = RepeatedTexts()
    texts.recording_sent(lambda: spoke)
    assert texts.without_recording(transcription) == words
    assert texts.without_recording("Hello again.") == "Hello again."
