"""When an utterance is decoded, and what: with a decoder that only tells what it was given."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.emulator.service.endpointing import ENDPOINT_MS, WINDOW_MS
from sonic_voice.emulator.speech.speculation import LEAD_WINDOWS, SpeculativeRecognition

RATE_HZ = 8_000
WINDOW = RATE_HZ * WINDOW_MS // 1000


class MarkedSound:
    """A detector that reads the probability, in hundredths, from the samples."""

    def probability(self, window: bytes) -> float:
        return int(np.frombuffer(window, "<i2")[0]) / 100


def windows(*runs: tuple[int, int]) -> bytes:
    """Sound of `(count, hundredths)` windows each."""
    return b"".join(np.full(n * WINDOW, level, "<i2").tobytes() for n, level in runs)


SPEECH, BREATH, SILENCE = 90, 40, 0


class Decoder:
    """Tells the lengths, in windows, of what it was asked to decode."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def __call__(self, pcm: bytes, rate_hz: int) -> str:
        assert rate_hz == RATE_HZ
        self.asked.append(len(pcm) / 2 / WINDOW)
        return f"{self.asked[-1]:g}"


class Inline(ThreadPoolExecutor):
    """Has done what it was given before it returns."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs):
        future = super().submit(fn, *args, **kwargs)
        future.exception()
        return future


def spoken(sound: bytes, chunk_bytes: int | None = None) -> tuple[str, list[float]]:
    """The words of `sound`, and all that was decoded on the way."""
    decode = Decoder()
    with Inline(1) as workers:
        utterance = SpeculativeRecognition(RATE_HZ, MarkedSound(), decode, workers)
        for at in range(0, len(sound), chunk_bytes or len(sound) or 1):
            utterance.feed(sound[at : at + (chunk_bytes or len(sound))])
        return utterance.finish(), decode.asked


def test_a_pause_is_decoded_at_once_and_is_the_answer_at_the_end() -> None:
    assert spoken(windows((10, SPEECH), (15, SILENCE))) == ("16", [16])


def test_the_guess_is_made_before_the_shortest_endpoint_time() -> None:
    shortest = min(ENDPOINT_MS.values()) // WINDOW_MS
    assert spoken(windows((10, SPEECH), (shortest, SILENCE))) == ("16", [16])


def test_a_guess_that_speech_overtakes_is_not_in_the_words() -> None:
    sound = windows((10, SPEECH), (7, SILENCE), (10, SPEECH), (15, SILENCE))
    assert spoken(sound) == ("33", [16, 33])


def test_a_breath_after_the_pause_is_not_speech_again() -> None:
    sound = windows((10, SPEECH), (7, SILENCE), (2, BREATH), (8, SILENCE))
    assert spoken(sound) == ("16", [16])


def test_speech_without_a_pause_at_the_end_is_decoded_whole() -> None:
    words, asked = spoken(windows((10, SPEECH), (3, SILENCE)) + b"\1\0")
    assert asked == [13 + 1 / WINDOW]
    assert words == f"{asked[0]:g}"


@pytest.mark.parametrize("sound", [b"", windows((90, SILENCE)), windows((2, SPEECH), (9, SILENCE))])
def test_silence_and_clicks_are_not_decoded(sound: bytes) -> None:
    assert spoken(sound) == ("", [])


def test_silence_before_speech_is_cut_to_what_a_decoder_needs() -> None:
    words, _ = spoken(windows((500, SILENCE), (10, SPEECH), (6, SILENCE)))
    assert LEAD_WINDOWS < int(words) <= LEAD_WINDOWS + 16


def test_long_speech_is_cut_at_a_pause_and_its_words_are_joined() -> None:
    sound = windows((260, SPEECH), (9, SILENCE), (20, SPEECH), (15, SILENCE))
    assert spoken(sound) == ("266 29", [266, 29])


def test_speech_that_never_pauses_is_cut_before_it_is_too_long() -> None:
    words, _ = spoken(windows((2_000, SPEECH), (15, SILENCE)))
    assert sum(map(int, words.split())) == 2_006
    assert max(map(int, words.split())) * WINDOW_MS <= 28_000


levels = st.sampled_from([SPEECH, SPEECH, SILENCE, SILENCE, BREATH])
runs = st.lists(st.tuples(st.integers(1, 300), levels), max_size=12)


@settings(max_examples=50)
@given(runs, st.integers(1, 40_000))
def test_the_words_depend_on_the_sound_and_not_on_its_pieces(
    parts: list[tuple[int, int]], chunk_bytes: int
) -> None:
    sound = windows(*parts)
    assert spoken(sound, chunk_bytes) == spoken(sound, 2 * WINDOW)


def test_the_words_do_not_depend_on_how_quick_the_decoder_is() -> None:
    sound = windows((10, SPEECH), (7, SILENCE), (10, SPEECH), (15, SILENCE))
    held = threading.Event()

    def decode(pcm: bytes, rate_hz: int) -> str:
        assert held.wait(30)
        return f"{len(pcm) / 2 / WINDOW:g}"

    with ThreadPoolExecutor(1) as workers:
        utterance = SpeculativeRecognition(RATE_HZ, MarkedSound(), decode, workers)
        utterance.feed(sound)  # returns while nothing can be decoded
        held.set()
        assert utterance.finish() == "33"


def test_what_is_cancelled_before_its_turn_is_never_decoded() -> None:
    decode = Decoder()
    held = threading.Event()
    with ThreadPoolExecutor(1) as workers:
        workers.submit(held.wait, 30)
        utterance = SpeculativeRecognition(RATE_HZ, MarkedSound(), decode, workers)
        utterance.feed(windows((260, SPEECH), (9, SILENCE), (20, SPEECH), (15, SILENCE)))
        utterance.cancel()
        held.set()
    assert decode.asked == []


def test_a_decoder_that_fails_is_heard_of_at_the_end() -> None:
    def decode(pcm: bytes, rate_hz: int) -> str:
        raise RuntimeError("out of order")

    with ThreadPoolExecutor(1) as workers:
        utterance = SpeculativeRecognition(RATE_HZ, MarkedSound(), decode, workers)
        utterance.feed(windows((10, SPEECH), (15, SILENCE)))
        with pytest.raises(RuntimeError, match="out of order"):
            utterance.finish()
