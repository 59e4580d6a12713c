"""Local speech and ducking: decided by windows and times, with no sound and no clock."""

import numpy as np
import pytest

from sonic_voice.echo.local_speech import (
    ALERT_TIMEOUT_S,
    CONFIRMATION_TIMEOUT_S,
    IGNORE_S,
    ONSET_WINDOWS,
    PAUSE_THRESHOLD,
    PAUSE_WINDOWS,
    SILENCE_DBFS,
    SUDDEN_FRAMES,
    Ducking,
    SpeechSpan,
    SuddenSound,
    frame_powers,
    level_dbfs,
    power_dbfs,
)
from sonic_voice.echo.speech_detector import ONSETS, BargeInSensitivity, SpeechDetector
from sonic_voice.errors import ConfigError

from ..support.simulated_room import at_level, recording

WINDOW_S = 0.032
SPEECH, BREATH, SILENCE = 0.9, 0.4, 0.01


def test_a_person_speaks_after_three_windows_in_a_row() -> None:
    span = SpeechSpan()
    assert [span.update(p) for p in [SPEECH] * ONSET_WINDOWS] == [False, False, True]


def test_a_click_is_no_speech_however_often_it_comes() -> None:
    span = SpeechSpan()
    assert not any(span.update(p) for p in [SPEECH, SPEECH, SILENCE] * 20)


def test_a_person_has_stopped_after_a_third_of_a_second_and_a_breath_does_not_count() -> None:
    span = SpeechSpan()
    for p in [SPEECH] * ONSET_WINDOWS:
        span.update(p)
    assert all(span.update(p) for p in [SILENCE] * (PAUSE_WINDOWS - 1) + [BREATH])
    assert [span.update(SILENCE) for _ in range(PAUSE_WINDOWS)] == [True] * 9 + [False]


QUIET = (-62.0, -75.0)
"""A frame as heard and as sent, in dBFS: nobody here, noise suppressed."""
DOOR, FAN = (-17.0, -19.0), (-30.0, -32.0)
ECHO = (-15.0, -70.0)
LOUD_RESIDUE = (-12.0, -30.0)


def told(sudden: SuddenSound, *frames: tuple[float, float]) -> list[bool]:
    return [sudden.update(*frame) for frame in frames]


def test_a_door_is_sudden_after_sixty_milliseconds() -> None:
    sudden = SuddenSound()
    assert not any(told(sudden, *[QUIET] * 300))
    assert told(sudden, *[DOOR] * 6) == [False] * 5 + [True]


def test_typing_is_not_sudden() -> None:
    assert not any(told(SuddenSound(), *[DOOR, DOOR, *[QUIET] * 13] * 40))


def test_what_is_left_of_a_loud_echo_is_not_sudden() -> None:
    sudden = SuddenSound()
    assert not any(told(sudden, *[ECHO] * 300, *[LOUD_RESIDUE] * 100))


def test_what_is_hardly_heard_is_not_sudden() -> None:
    assert not any(told(SuddenSound(), *[QUIET] * 300, *[(-46.0, -46.0)] * 100))


def test_a_fan_is_sudden_for_a_second_at_most() -> None:
    sudden = SuddenSound()
    assert any(told(sudden, *[FAN] * 100))
    assert not any(told(sudden, *[FAN] * 300))


def test_a_fan_that_the_model_has_hidden_is_not_sudden_when_the_model_pauses() -> None:
    sudden = SuddenSound()
    told(sudden, *[FAN] * 200)
    assert not any(told(sudden, *[ECHO] * 500, *[FAN] * 50))


def test_a_door_over_a_fan_is_sudden() -> None:
    sudden = SuddenSound()
    told(sudden, *[FAN] * 300)
    assert any(told(sudden, *[(-9.0, -9.0)] * 10))


def test_a_door_soon_after_the_persons_own_words_is_sudden() -> None:
    sudden = SuddenSound()
    told(sudden, *[DOOR] * 200, *[QUIET] * 50)
    assert any(told(sudden, *[DOOR] * 10))


def test_speech_over_the_model_ducks_at_once() -> None:
    assert Ducking().update(sudden=False, speaking=True, playing=True, now=5.0)


def test_speech_in_silence_does_not_nor_does_a_door() -> None:
    ducking = Ducking()
    assert not ducking.update(sudden=True, speaking=True, playing=False, now=5.0)
    assert not ducking.update(sudden=False, speaking=False, playing=True, now=6.0)


def test_a_door_ducks_at_once_and_comes_back_when_it_is_decided() -> None:
    ducking = Ducking()
    assert ducking.update(sudden=True, speaking=False, playing=True, now=5.0)
    assert ducking.update(sudden=False, speaking=False, playing=True, now=4.99 + ALERT_TIMEOUT_S)
    assert not ducking.update(
        sudden=False, speaking=False, playing=True, now=5.01 + ALERT_TIMEOUT_S
    )


def test_a_sudden_sound_that_turns_out_to_be_speech_stays_ducked_for_patience() -> None:
    ducking = Ducking()
    ducking.update(sudden=True, speaking=False, playing=True, now=5.0)
    ducking.update(sudden=True, speaking=True, playing=True, now=5.0 + ALERT_TIMEOUT_S)
    assert ducking.update(
        sudden=True, speaking=True, playing=True, now=4.99 + CONFIRMATION_TIMEOUT_S
    )
    assert not ducking.update(
        sudden=True, speaking=True, playing=True, now=5.0 + CONFIRMATION_TIMEOUT_S
    )


def test_hammering_ducks_once_and_again_only_after_a_pause() -> None:
    ducking, ducks, soft = Ducking(), 0, False
    for k in range(1000):
        before = soft
        soft = ducking.update(sudden=k % 60 < 6, speaking=False, playing=True, now=k * WINDOW_S)
        ducks += soft and not before
    assert ducks == 1
    assert ducking.update(sudden=True, speaking=False, playing=True, now=32.0 + IGNORE_S)


def test_speech_ducks_also_after_hammering() -> None:
    ducking = Ducking()
    ducking.update(sudden=True, speaking=False, playing=True, now=5.0)
    ducking.update(sudden=False, speaking=False, playing=True, now=5.0 + ALERT_TIMEOUT_S)
    assert ducking.update(sudden=True, speaking=True, playing=True, now=5.5)


def test_a_cough_that_nobody_confirms_comes_back_when_patience_ends() -> None:
    ducking = Ducking()
    ducking.update(sudden=False, speaking=True, playing=True, now=5.0)
    assert ducking.update(
        sudden=False, speaking=False, playing=True, now=4.99 + CONFIRMATION_TIMEOUT_S
    )
    assert not ducking.update(
        sudden=False, speaking=False, playing=True, now=5.0 + CONFIRMATION_TIMEOUT_S
    )


def test_the_slowest_confirmation_seen_comes_before_patience_ends() -> None:
    slowest_s, quickest_duck_s = 0.856, SUDDEN_FRAMES * 0.01
    assert slowest_s - quickest_duck_s < CONFIRMATION_TIMEOUT_S


def test_words_for_somebody_else_duck_once_and_not_again_until_they_end() -> None:
    ducking = Ducking()
    soft = [
        ducking.update(sudden=True, speaking=True, playing=True, now=k * WINDOW_S)
        for k in range(300)
    ]
    assert soft == sorted(soft, reverse=True)
    assert sum(soft) * WINDOW_S == pytest.approx(CONFIRMATION_TIMEOUT_S, abs=WINDOW_S)
    ducking.update(sudden=False, speaking=False, playing=True, now=10.0)
    assert ducking.update(sudden=False, speaking=True, playing=True, now=10.1)


@pytest.mark.parametrize("speaking", [True, False])
def test_a_confirmed_barge_in_is_soft_no_more_for_the_next_answer(speaking: bool) -> None:
    ducking = Ducking()
    ducking.update(sudden=True, speaking=speaking, playing=True, now=5.0)
    ducking.confirm()
    assert not ducking.ducked
    assert not ducking.update(sudden=True, speaking=True, playing=True, now=5.1)


def test_a_confirmation_that_nothing_went_before_changes_nothing() -> None:
    ducking = Ducking()
    ducking.confirm()
    assert ducking.update(sudden=False, speaking=True, playing=True, now=1.0)


def test_levels_are_below_full_scale_and_silence_has_one_too() -> None:
    sine = np.sin(np.arange(800) * 2 * np.pi / 16).astype(np.float32)
    assert level_dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(sine * np.float32(0.1)) == pytest.approx(-23.01, abs=0.01)
    assert (
        level_dbfs(np.zeros(800, np.float32)) == level_dbfs(np.zeros(0, np.float32)) == SILENCE_DBFS
    )


def test_each_frame_of_10_ms_has_a_power_of_its_own() -> None:
    loud, soft = np.full(160, 0.5, np.float32), np.full(160, 0.05, np.float32)
    levels = [power_dbfs(power) for power in frame_powers(np.concatenate([loud, soft, 0 * loud]))]
    assert levels == pytest.approx([level_dbfs(loud), level_dbfs(soft), SILENCE_DBFS])
    assert levels[0] == pytest.approx(-6.02, abs=0.01)


@pytest.mark.parametrize(("sensitivity", "windows"), [("low", 5), ("normal", 3), ("high", 2)])
def test_the_sensitivity_decides_how_long_a_voice_must_last(
    sensitivity: BargeInSensitivity, windows: int
) -> None:
    onset = ONSETS[sensitivity]
    span = SpeechSpan(onset.threshold, onset.windows)
    assert [span.update(SPEECH) for _ in range(windows)] == [False] * (windows - 1) + [True]
    assert onset.threshold > PAUSE_THRESHOLD


def test_doubtful_speech_begins_a_span_only_where_the_sensitivity_is_high() -> None:
    speaking: list[bool] = []
    for onset in (ONSETS["low"], ONSETS["normal"], ONSETS["high"]):
        span = SpeechSpan(onset.threshold, onset.windows)
        speaking.append(any(span.update(0.45) for _ in range(10)))
    assert speaking == [False, False, True]


@pytest.mark.parametrize("level_dbfs", [-91.0, -19.0, float("nan")])
def test_a_minimum_level_out_of_range_is_refused_with_the_usual_one(level_dbfs: float) -> None:
    with pytest.raises(ConfigError) as refused:
        SpeechDetector(min_level_dbfs=level_dbfs)
    assert "-60" in refused.value.hint


def test_an_unknown_sensitivity_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        SpeechDetector("medium")  # pyright: ignore[reportArgumentType]
    assert "low, normal, high" in refused.value.hint


@pytest.mark.skipif(not SpeechDetector().available, reason="Silero has no wheel here")
@pytest.mark.parametrize(("min_level_dbfs", "heard"), [(-60.0, True), (-20.0, False)])
def test_speech_below_the_minimum_level_is_not_heard(min_level_dbfs: float, heard: bool) -> None:
    detector, heard_at = SpeechDetector(min_level_dbfs=min_level_dbfs), list[bool]()
    said = at_level(recording("speech", "tt-weasels"), 0.02)
    for at in range(0, len(said), 640):
        detector.feed(said[at : at + 640])
        heard_at.append(detector.speaking)
    assert any(heard_at) == heard
