"""Local speech and ducking: decided by windows and times, with no sound and no clock."""

import numpy as np
import pytest

from sonic_voice.echo.local_speech import (
    ONSET_WINDOWS,
    PATIENCE_S,
    PAUSE_WINDOWS,
    SILENCE_DBFS,
    Ducking,
    SpeechSpan,
    dbfs,
)

WINDOW_S = 0.032
SPEECH, BREATH, SILENCE = 0.9, 0.4, 0.01


def test_a_person_speaks_after_three_windows_in_a_row() -> None:
    span = SpeechSpan()
    assert [span.hear(p) for p in [SPEECH] * ONSET_WINDOWS] == [False, False, True]


def test_a_click_is_no_speech_however_often_it_comes() -> None:
    span = SpeechSpan()
    assert not any(span.hear(p) for p in [SPEECH, SPEECH, SILENCE] * 20)


def test_a_person_has_stopped_after_a_third_of_a_second_and_a_breath_does_not_count() -> None:
    span = SpeechSpan()
    for p in [SPEECH] * ONSET_WINDOWS:
        span.hear(p)
    assert all(span.hear(p) for p in [SILENCE] * (PAUSE_WINDOWS - 1) + [BREATH])
    assert [span.hear(SILENCE) for _ in range(PAUSE_WINDOWS)] == [True] * 9 + [False]


def test_speech_over_the_model_ducks_at_once() -> None:
    assert Ducking().hear(speaking=True, sounding=True, now=5.0)


def test_speech_in_silence_does_not() -> None:
    ducking = Ducking()
    assert not ducking.hear(speaking=True, sounding=False, now=5.0)
    assert not ducking.hear(speaking=False, sounding=True, now=6.0)


def test_a_cough_that_nobody_confirms_comes_back_when_patience_ends() -> None:
    ducking = Ducking()
    ducking.hear(speaking=True, sounding=True, now=5.0)
    assert ducking.hear(speaking=False, sounding=True, now=5.0 + PATIENCE_S - 0.01)
    assert not ducking.hear(speaking=False, sounding=True, now=5.0 + PATIENCE_S)


def test_the_slowest_confirmation_seen_comes_before_patience_ends() -> None:
    slowest_s, quickest_duck_s = 0.856, 0.096
    assert slowest_s - quickest_duck_s < PATIENCE_S


def test_words_for_somebody_else_duck_once_and_not_again_until_they_end() -> None:
    ducking = Ducking()
    soft = [ducking.hear(speaking=True, sounding=True, now=k * WINDOW_S) for k in range(300)]
    assert soft == sorted(soft, reverse=True)
    assert sum(soft) * WINDOW_S == pytest.approx(PATIENCE_S, abs=WINDOW_S)
    ducking.hear(speaking=False, sounding=True, now=10.0)
    assert ducking.hear(speaking=True, sounding=True, now=10.1)


def test_a_confirmed_barge_in_is_soft_no_more_for_the_next_answer() -> None:
    ducking = Ducking()
    ducking.hear(speaking=True, sounding=True, now=5.0)
    ducking.confirm()
    assert not ducking.ducked
    assert not ducking.hear(speaking=True, sounding=True, now=5.1)


def test_a_confirmation_that_nothing_went_before_changes_nothing() -> None:
    ducking = Ducking()
    ducking.confirm()
    assert ducking.hear(speaking=True, sounding=True, now=1.0)


def test_levels_are_below_full_scale_and_silence_has_one_too() -> None:
    sine = np.sin(np.arange(800) * 2 * np.pi / 16).astype(np.float32)
    assert dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert dbfs(sine * np.float32(0.1)) == pytest.approx(-23.01, abs=0.01)
    assert dbfs(np.zeros(800, np.float32)) == dbfs(np.zeros(0, np.float32)) == SILENCE_DBFS
