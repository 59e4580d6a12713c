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

from sonic_voice import audio
from sonic_voice.audio import CAPACITY_S, TURNS_REMEMBERED, PlayoutBuffer
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


@given(st.lists(st.one_of(PLAY, PULL, FLUSH), max_size=60), st.integers(10, 100))
def test_any_order_of_calls_accounts_for_every_sample(
    calls: list[tuple[str, int, int]], capacity_ms: int
) -> None:
    buffer = PlayoutBuffer(FORMAT, capacity_s=capacity_ms / 1000)
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
    if frame.f_code.co_filename != audio.__file__:
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
