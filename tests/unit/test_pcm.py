"""The resampler: a stream in any pieces gives the same samples, in tune, in time, unaliased."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sonic_voice.audio.pcm import Resampler, from_pcm, to_pcm
from sonic_voice.errors import AudioError

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 44_056, 44_100, 48_000, 96_000)
"""44,056 Hz, of old video recorders, is one that has no table."""


def sine(hz: float, rate_hz: int, seconds: float, level: float = 0.5) -> bytes:
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    return to_pcm((level * np.sin(2 * np.pi * hz * times)).astype(np.float32))


def noise(samples: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).integers(-20_000, 20_000, samples, "<i2").tobytes()


def converted(pcm: bytes, source_hz: int, target_hz: int, sizes: list[int]) -> NDArray[np.int16]:
    """`pcm` in chunks of `sizes` samples over and over."""
    resampler = Resampler(source_hz, target_hz)
    out, at, turn = b"", 0, 0
    while at < len(pcm):
        step = 2 * sizes[turn % len(sizes)]
        out += resampler.feed(pcm[at : at + step])
        at, turn = at + step, turn + 1
    return np.frombuffer(out + resampler.finish(), "<i2")


def level_db(samples: NDArray[np.floating]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples**2)) + 1e-12))


@given(
    st.sampled_from(RATES),
    st.sampled_from((16_000, 24_000, 48_000)),
    st.lists(st.integers(1, 700), min_size=1, max_size=20),
)
@example(48_000, 16_000, [960])
@example(96_000, 16_000, [1])
@example(44_056, 16_000, [1_500])
def test_any_chunking_gives_what_one_piece_gives(
    source: int, target: int, sizes: list[int]
) -> None:
    pcm = noise(5_000)
    whole = converted(pcm, source, target, [5_000])
    pieces = converted(pcm, source, target, sizes)
    assert len(pieces) == len(whole) == -(-5_000 * target // source)
    assert np.abs(pieces.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("target", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("source", RATES)
def test_a_tone_keeps_its_pitch_level_and_time(source: int, target: int) -> None:
    made = converted(sine(1_000, source, 1.0), source, target, [source // 50])
    wanted = np.frombuffer(sine(1_000, target, 1.0), "<i2")
    inner = slice(target // 10, -target // 10)
    error = (made[inner].astype(np.float32) - wanted[inner]) / 32_768
    assert level_db(error) < -75  # a shift of 1 us alone would be 53 dB below the tone's -9 dB


@pytest.mark.parametrize(("source", "hz"), [(48_000, 8_050), (44_100, 15_000), (44_056, 9_000)])
def test_what_the_lower_rate_cannot_hold_is_removed_not_folded(source: int, hz: int) -> None:
    made = converted(sine(hz, source, 1.0), source, 16_000, [480])
    assert level_db(made[1_600:-1_600].astype(np.float32) / 32_768) < -95


def test_what_the_lower_rate_can_hold_is_left() -> None:
    made = converted(sine(7_200, 48_000, 1.0), 48_000, 16_000, [480])
    assert level_db(made[1_600:-1_600].astype(np.float32) / 32_768) > -9.03 - 0.7


@pytest.mark.parametrize(
    ("source", "target"), [(48_000, 16_000), (8_000, 16_000), (16_000, 24_000)]
)
def test_no_more_than_the_stated_delay_is_held_back(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    given_s = got_s = worst_s = 0.0
    for _ in range(500):
        got_s += len(resampler.feed(noise(37))) / 2 / target
        given_s += 37 / source
        worst_s = max(worst_s, given_s - got_s)
    assert worst_s <= resampler.delay_s + 1 / target
    assert resampler.delay_s < 0.0065


def test_a_rate_that_no_device_has_takes_no_memory_for_it() -> None:
    tracemalloc.start()
    try:
        converted(noise(10_000), 1_000_025, 16_000, [1_000])
        assert tracemalloc.get_traced_memory()[1] < 30e6  # a table would be of 29 million taps
    finally:
        tracemalloc.stop()


def test_equal_rates_pass_through_untouched() -> None:
    resampler = Resampler(16_000, 16_000)
    assert resampler.feed(b"\x01\x80\xff\x7f") == b"\x01\x80\xff\x7f"
    assert resampler.finish() == b""
    assert resampler.delay_s == 0


def test_loud_sound_is_clipped_never_wrapped() -> None:
    square = np.tile(np.repeat(np.array([32_767, -32_768], "<i2"), 40), 50)
    made = converted(square.tobytes(), 16_000, 24_000, [100])
    halves = made.reshape(-1, 60)[1:-1, 3:-3]  # 40 samples have become 60; edges left out
    assert np.all(halves[::2] < -25_000)
    assert np.all(halves[1::2] > 25_000)
    assert (made.min(), made.max()) == (-32_768, 32_767)  # the overshoot
    assert to_pcm(np.array([1.5, -1.5], np.float32)) == b"\xff\x7f\x00\x80"


def test_floats_and_pcm_are_each_others_inverse() -> None:
    every = np.arange(-32_768, 32_768).astype("<i2").tobytes()
    assert to_pcm(from_pcm(every)) == every


def test_after_finish_a_new_stream_begins() -> None:
    resampler = Resampler(48_000, 16_000)
    first = resampler.feed(noise(999)) + resampler.finish()
    assert resampler.feed(noise(999)) + resampler.finish() == first


def test_finishing_nothing_gives_nothing() -> None:
    resampler = Resampler(8_000, 16_000)
    assert resampler.feed(b"") + resampler.finish() == b""


def test_what_came_out_stays_what_it_was() -> None:
    resampler = Resampler(48_000, 16_000)
    first = resampler.feed(noise(4_800))
    kept = bytes(bytearray(first))
    for seed in range(20):
        resampler.feed(noise(4_800, seed))
    assert first == kept


@pytest.mark.parametrize("source", [16_000, 48_000])
def test_half_a_sample_is_refused(source: int) -> None:
    with pytest.raises(AudioError, match="inside a sample"):
        Resampler(source, 16_000).feed(b"abc")


@pytest.mark.parametrize(("source", "target"), [(0, 16_000), (16_000, -1), (62, 16_000)])
def test_rates_too_far_apart_are_refused(source: int, target: int) -> None:
    with pytest.raises(AudioError, match="cannot be converted"):
        Resampler(source, target)
