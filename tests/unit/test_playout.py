"""The playout buffer: every sample given is played, flushed, dropped or pending, never lost."""

import sys
import threading
import time
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sonic_voice.audio import playout
from sonic_voice.audio.playout import CAPACITY_S, TURNS_REMEMBERED, PlayoutBuffer, Prebuffer
from sonic_voice.config import AudioFormat
from sonic_voice.errors import AudioError

FORMAT = AudioFormat(1_000)  # one sample is one millisecond
FADE = 5
LEVEL = 10_000


def tone(samples: int, level: int = LEVEL) -> bytes:
    return np.full(samples, level, "<i2").tobytes()


def pulled(buffer: PlayoutBuffer, samples: int) -> NDArray[np.int16]:
    return np.frombuffer(buffer.pull(samples), "<i2")


def given_ms(buffer: PlayoutBuffer) -> int:
    stats = buffer.stats
    seconds = stats.played_s + stats.flushed_s + stats.dropped_s + buffer.pending_s
    return round(seconds * FORMAT.rate_hz)


PLAY = st.tuples(st.just("play"), st.integers(0, 3), st.integers(0, 30))
PULL = st.tuples(st.just("pull"), st.just(0), st.integers(0, 30))
FLUSH = st.tuples(st.just("flush"), st.just(0), st.just(0))


@given(
    st.lists(st.one_of(PLAY, PULL, FLUSH), max_size=60), st.integers(10, 100), st.integers(0, 20)
)
def test_any_order_of_calls_accounts_for_every_sample(
    calls: list[tuple[str, int, int]], capacity_ms: int, wait_ms: int
) -> None:
    prebuffer = Prebuffer(wait_ms, 4 * wait_ms)
    buffer = PlayoutBuffer(FORMAT, capacity_s=capacity_ms / 1000, prebuffer=prebuffer)
    put = 0
    for call, turn, samples in calls:
        if call == "play":
            buffer.play(turn, tone(samples))
            put += samples
        elif call == "pull":
            assert len(buffer.pull(samples)) == 2 * samples
        else:
            buffer.flush()
            assert buffer.pending_samples <= FADE
        assert given_ms(buffer) == put
        assert buffer.pending_samples <= capacity_ms
        heard = sum(buffer.played_ms(turn) for turn in range(4))
        assert heard == round(buffer.stats.played_s * 1000)


@given(st.lists(st.one_of(PLAY, PULL), max_size=40), st.integers(0, 40))
def test_after_a_flush_and_its_fade_there_are_only_zeros(
    calls: list[tuple[str, int, int]], fade_pulled: int
) -> None:
    buffer = PlayoutBuffer(FORMAT)
    for call, turn, samples in calls:
        if call == "play":
            buffer.play(turn, tone(samples))
        else:
            buffer.pull(samples)
    buffer.flush()
    after = np.concatenate([pulled(buffer, fade_pulled), pulled(buffer, 100)])
    assert not after[FADE:].any()
    assert buffer.pending_samples == 0


@given(st.lists(st.integers(1, 50), min_size=1), st.lists(st.integers(1, 50), min_size=1))
def test_without_gaps_what_is_pulled_is_what_was_played(puts: list[int], pulls: list[int]) -> None:
    buffer = PlayoutBuffer(FORMAT)
    wave = np.arange(1, sum(puts) + 1, dtype="<i2")
    at = 0
    for samples in puts:
        buffer.play(at % 2, wave[at : at + samples].tobytes())
        at += samples
    out = np.concatenate([pulled(buffer, samples) for samples in pulls])
    heard = min(len(out), len(wave))
    assert np.array_equal(out[:heard], wave[:heard])
    assert not out[heard:].any()


def test_a_flush_ramps_down_what_is_sounding_and_counts_the_ramp_as_played() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(7, tone(100))
    buffer.pull(20)
    buffer.flush()
    fade = pulled(buffer, 10).astype(int)
    assert fade[0] < LEVEL
    assert np.all(np.diff(fade[:FADE]) < 0)
    assert np.all(np.abs(np.diff(np.concatenate([[LEVEL], fade]))) < LEVEL * 0.35)
    assert not fade[FADE - 1 :].any()
    assert buffer.played_ms(7) == 20 + FADE
    assert buffer.stats.flushed_s == pytest.approx(0.075)


def test_a_flush_before_anything_sounded_leaves_no_blip() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(100))
    buffer.flush()
    assert not pulled(buffer, 50).any()
    assert buffer.played_ms(1) == 0


def test_a_flush_fades_only_the_turn_that_sounds_not_the_next() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(10))
    buffer.play(2, tone(10))
    buffer.pull(10)
    buffer.flush()
    assert not pulled(buffer, 10).any()
    assert (buffer.played_ms(1), buffer.played_ms(2)) == (10, 0)


def test_a_fade_spans_chunks_of_one_turn() -> None:
    buffer = PlayoutBuffer(FORMAT)
    for _ in range(10):
        buffer.play(1, tone(2))
    buffer.pull(1)
    buffer.flush()
    assert np.count_nonzero(pulled(buffer, 10)) == FADE - 1
    assert buffer.played_ms(1) == 1 + FADE


def test_a_second_flush_does_not_disturb_the_fade_and_takes_what_came_after_it() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(100))
    buffer.pull(20)
    buffer.flush()
    first = pulled(buffer, 2)
    buffer.play(1, tone(50))
    buffer.flush()
    rest = pulled(buffer, 50)
    whole = np.concatenate([first, rest])
    assert np.all(np.diff(whole[:FADE].astype(int)) < 0)
    assert not whole[FADE - 1 :].any()


def test_running_dry_inside_a_turn_is_an_underrun_and_it_goes_on_without_a_click() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(10))
    buffer.pull(15)
    assert buffer.stats.underruns == 0
    buffer.play(1, tone(20))
    resumed = pulled(buffer, 3)
    assert buffer.stats.underruns == 1
    resumed = np.concatenate([resumed, pulled(buffer, 17)]).astype(int)
    assert 0 < resumed[0] < LEVEL * 0.35
    assert np.all(np.diff(resumed[:FADE]) > 0)
    assert np.all(resumed[FADE - 1 :] == LEVEL)
    assert buffer.played_ms(1) == 30


def test_running_dry_at_the_end_of_a_turn_is_no_underrun_and_the_next_starts_at_full_level() -> (
    None
):
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(10))
    buffer.pull(15)
    buffer.play(2, tone(10))
    assert np.all(pulled(buffer, 10) == LEVEL)
    assert buffer.stats.underruns == 0


def test_a_pull_that_takes_exactly_everything_is_no_underrun() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(10))
    buffer.pull(10)
    buffer.pull(0)
    buffer.play(1, tone(10))
    assert np.all(pulled(buffer, 10) == LEVEL)
    assert buffer.stats.underruns == 0


@pytest.mark.parametrize("heard", [5, 10, 15])
def test_a_turn_that_goes_on_after_a_flush_is_no_underrun_but_fades_in(heard: int) -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(10))
    buffer.pull(heard)
    buffer.flush()
    buffer.pull(20)
    buffer.play(1, tone(10))
    assert pulled(buffer, 1)[0] < LEVEL * 0.35
    assert buffer.stats.underruns == 0


def test_a_flush_during_a_fade_in_jumps_nowhere() -> None:
    buffer = PlayoutBuffer(FORMAT, fade_ms=20)
    buffer.play(1, tone(10))
    buffer.pull(11)
    buffer.play(1, tone(100))
    rising = pulled(buffer, 10)
    buffer.flush()
    wave = np.concatenate([rising, pulled(buffer, 30)]).astype(int)
    assert np.abs(np.diff(wave)).max() < LEVEL * 0.1
    assert wave[9] < LEVEL * 0.6


def test_a_full_buffer_drops_the_newest_and_counts_it() -> None:
    buffer = PlayoutBuffer(FORMAT, capacity_s=0.010)
    buffer.play(1, np.arange(1, 9, dtype="<i2").tobytes())
    buffer.play(1, np.arange(9, 17, dtype="<i2").tobytes())
    assert buffer.stats.dropped_s == pytest.approx(0.006)
    assert pulled(buffer, 12).tolist() == [*range(1, 11), 0, 0]


def test_the_default_capacity_is_ten_minutes() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, bytes(2 * round(CAPACITY_S * FORMAT.rate_hz)))
    assert buffer.stats.dropped_s == 0
    buffer.play(1, bytes(2))
    assert buffer.stats.dropped_s == pytest.approx(0.001)


def test_played_time_is_kept_for_a_bounded_number_of_turns() -> None:
    buffer = PlayoutBuffer(FORMAT)
    for turn in range(TURNS_REMEMBERED + 1):
        buffer.play(turn, tone(3))
    buffer.pull(1_000)
    assert buffer.played_ms(0) == 0
    assert all(buffer.played_ms(turn) == 3 for turn in range(1, TURNS_REMEMBERED + 1))


def test_half_a_sample_is_refused_and_changes_nothing() -> None:
    buffer = PlayoutBuffer(FORMAT)
    with pytest.raises(AudioError, match="3 bytes end inside a sample"):
        buffer.play(1, b"abc")
    assert buffer.pending_samples == 0


def switching(frame: FrameType, event: str, arg: object) -> Any:
    """A trace function that lets the other thread run before every line of the buffer."""
    if frame.f_code.co_filename != playout.__file__:
        return None
    time.sleep(0)
    return switching


def test_a_player_and_a_puller_in_two_threads_lose_no_sample() -> None:
    buffer = PlayoutBuffer(FORMAT)
    stop = threading.Event()
    lengths: set[int] = set()
    broken: list[BaseException] = []

    def pull() -> None:
        sys.settrace(switching)
        try:
            while not stop.is_set():
                lengths.add(len(buffer.pull(7)))
        except BaseException as error:
            broken.append(error)

    traced = sys.gettrace()
    puller = threading.Thread(target=pull)
    puller.start()
    sys.settrace(switching)
    try:
        for count in range(240):
            buffer.play(count // 20, tone(11))
            if count % 3 == 2:
                buffer.flush()
    finally:
        sys.settrace(traced)
        stop.set()
        puller.join()
    assert (broken, lengths) == ([], {14})
    assert given_ms(buffer) == 240 * 11
    buffer.pull(buffer.pending_samples)
    assert (buffer.pending_samples, buffer.pull(50)) == (0, bytes(100))
    assert sum(buffer.played_ms(turn) for turn in range(30)) == round(buffer.stats.played_s * 1000)


def test_a_duck_goes_down_in_a_straight_line_and_comes_back() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(200))
    buffer.pull(10)
    buffer.duck(0.2, ramp_ms=20)
    down = np.concatenate([pulled(buffer, 7), pulled(buffer, 23)]).astype(int)
    assert np.allclose(down[:20], LEVEL * np.linspace(0.96, 0.2, 20), atol=2)
    assert np.all(down[20:] == LEVEL * 0.2)
    buffer.duck(1.0, ramp_ms=20)
    up = pulled(buffer, 30).astype(int)
    assert np.allclose(up[:20], LEVEL * np.linspace(0.24, 1.0, 20), atol=2)
    assert np.all(up[20:] == LEVEL)
    assert buffer.played_ms(1) == 70


def test_a_duck_that_is_taken_back_half_way_turns_without_a_step() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(100))
    buffer.duck(0.2, ramp_ms=20)
    first = pulled(buffer, 10)
    buffer.duck(1.0, ramp_ms=20)
    wave = np.concatenate([[LEVEL], first, pulled(buffer, 30)]).astype(int)
    assert np.abs(np.diff(wave)).max() < LEVEL * 0.05
    assert wave[-1] == LEVEL


@pytest.mark.parametrize("ducked_ms", [8, 40])
def test_a_flush_fades_from_the_ducked_level_and_ends_the_duck(ducked_ms: int) -> None:
    buffer = PlayoutBuffer(FORMAT, fade_ms=20)
    buffer.play(1, tone(200))
    buffer.duck(0.2, ramp_ms=20)
    before = pulled(buffer, ducked_ms)
    buffer.flush()
    wave = np.concatenate([before, pulled(buffer, 25)]).astype(int)
    assert np.abs(np.diff(wave)).max() < LEVEL * 0.09
    assert np.all(np.diff(wave) <= 0)
    buffer.play(2, tone(10))
    assert np.all(pulled(buffer, 10) == LEVEL)


def test_a_flush_during_a_fade_that_was_ducked_since_steps_nowhere() -> None:
    buffer = PlayoutBuffer(FORMAT, fade_ms=20)
    buffer.play(1, tone(100))
    first = pulled(buffer, 10)
    buffer.flush()
    buffer.duck(0.2, ramp_ms=10)
    fading = pulled(buffer, 5)
    buffer.flush()
    wave = np.concatenate([first, fading, pulled(buffer, 30)]).astype(int)
    assert np.abs(np.diff(wave)).max() < LEVEL * 0.12
    assert np.all(np.diff(wave) <= 0)


def test_what_lies_in_the_device_has_not_been_heard() -> None:
    buffer = PlayoutBuffer(FORMAT)
    buffer.play(1, tone(10))
    buffer.pull(10)
    buffer.play(2, tone(30))
    buffer.pull(8)
    assert [buffer.played_ms(turn, late=12) for turn in (1, 2)] == [6, 0]
    assert [buffer.played_ms(turn, late=5) for turn in (1, 2)] == [10, 3]
    assert buffer.unheard_s(12) == pytest.approx(0.034)
    buffer.pull(30)  # 22 of the turn, 8 of silence
    assert buffer.played_ms(2, late=10) == 28
    assert buffer.unheard_s(10) == pytest.approx(0.002)
    assert buffer.played_ms(2, late=10_000) == 0


def jittery(least_ms: float = 10, most_ms: float = 80) -> PlayoutBuffer:
    return PlayoutBuffer(FORMAT, prebuffer=Prebuffer(least_ms, most_ms))


def test_a_turn_waits_until_enough_of_it_is_there() -> None:
    buffer = jittery(least_ms=20)
    buffer.play(1, tone(12))
    assert not pulled(buffer, 5).any()
    buffer.play(1, tone(12))
    assert np.all(pulled(buffer, 24) == LEVEL)
    assert buffer.stats.underruns == 0


def test_a_turn_too_short_to_wait_for_sounds_after_that_time() -> None:
    buffer = jittery(least_ms=20)
    buffer.play(1, tone(12))
    out = np.concatenate([pulled(buffer, 5) for _ in range(8)])
    assert np.flatnonzero(out)[0] == 20
    assert np.count_nonzero(out) == 12


def test_each_gap_inside_a_turn_doubles_the_wait_up_to_a_bound() -> None:
    buffer = jittery(least_ms=10, most_ms=50)
    waits: list[int] = []
    for _ in range(4):
        buffer.play(1, tone(8))
        out = np.concatenate([pulled(buffer, 1) for _ in range(80)])
        waits.append(int(np.flatnonzero(out)[0]))
    assert waits == [10, 20, 40, 50]
    assert buffer.stats.underruns == 3
    assert buffer.stats.prebuffer_ms == 50


def test_turns_without_a_gap_shorten_the_wait_again() -> None:
    buffer = jittery(least_ms=10, most_ms=80)
    for _ in range(3):
        buffer.play(0, tone(40))
        buffer.pull(200)
    assert buffer.stats.prebuffer_ms == 40
    for turn in range(1, 9):
        buffer.play(turn, tone(100))
        buffer.pull(300)
    assert buffer.stats.prebuffer_ms == 10
    assert buffer.stats.underruns == 2


def test_a_flush_while_a_turn_waits_leaves_silence_and_the_next_waits_anew() -> None:
    buffer = jittery(least_ms=20)
    buffer.play(1, tone(10))
    buffer.pull(15)
    buffer.flush()
    buffer.play(2, tone(10))
    assert not pulled(buffer, 15).any()
    assert (buffer.played_ms(1), buffer.stats.flushed_s) == (0, pytest.approx(0.010))
