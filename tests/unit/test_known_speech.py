"""The recognition of what a test has said, by its sound."""

import random

import pytest

from sonic_voice.testing.known_speech import KnownSpeech

BYTES_PER_MS = 32


def sound(ms: int, seed: int) -> bytes:
    """Return noise, which does not repeat itself as silence does."""
    return random.Random(seed).randbytes(ms * BYTES_PER_MS)


def silence(ms: int) -> bytes:
    return bytes(ms * BYTES_PER_MS)


@pytest.fixture
def known() -> KnownSpeech:
    known = KnownSpeech()
    known.add(sound(900, 1), "what time is it")
    known.add(sound(600, 2), "stop please")
    return known


def test_words_are_known_by_their_sound(known: KnownSpeech) -> None:
    assert known.words_in(silence(300) + sound(900, 1) + silence(400)) == "what time is it"
    assert known.words_in(silence(310) + sound(600, 2)) == "stop please"


def test_two_utterances_without_a_pause_are_one_text(known: KnownSpeech) -> None:
    assert known.words_in(sound(600, 2) + sound(900, 1)) == "stop please what time is it"


def test_an_utterance_that_is_cut_has_the_words_of_its_part(known: KnownSpeech) -> None:
    whole = sound(900, 1)
    assert known.words_in(whole[: len(whole) // 2]) == "what time"
    assert known.words_in(whole[len(whole) // 2 :]) == "is it"
    assert known.words_in(whole[: len(whole) * 9 // 10]) == "what time is it"


def test_other_sound_has_no_known_words(known: KnownSpeech) -> None:
    assert known.words_in(sound(900, 3)) is None
    assert known.words_in(silence(900)) is None
    assert known.words_in(b"") is None


def test_a_piece_that_two_utterances_share_is_not_enough(known: KnownSpeech) -> None:
    """A synthesiser repeats short pieces of sound to the sample."""
    piece = sound(600, 2)[: 100 * BYTES_PER_MS]
    other = sound(400, 5) + piece + sound(400, 6)
    known.add(other, "something else")
    assert known.words_in(other + silence(100)) == "something else"


def test_a_recognizer_takes_audio_in_pieces_of_any_length(known: KnownSpeech) -> None:
    recognizer = known.recognizer(16_000)
    heard = silence(100) + sound(600, 2) + silence(100)
    for begin in range(0, len(heard), 1022):
        recognizer.feed(heard[begin : begin + 1022])
    assert recognizer.finish() == "stop please"


def test_what_was_forgotten_is_not_known(known: KnownSpeech) -> None:
    known.forget()
    assert known.words_in(sound(600, 2)) is None
