"""The sides of a stereo recording: dates decide where sound lies, and nobody hears corrections."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sonic_voice.audio.dated_track import MAX_GAP_S, DatedSound, DatedTrack, edited
from sonic_voice.audio.stereo_mix import MAX_LAG_S, StereoMix

RATE = 24_000


def pcm_of(samples: NDArray[np.float64]) -> bytes:
    return np.rint(samples).astype("<i2").tobytes()


def tone(seconds: float, rate_hz: int, hz: float = 440.0) -> NDArray[np.float64]:
    return 8_000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def clicks_s(samples: NDArray[np.int16], rate_hz: int = RATE) -> list[float]:
    """Return the times of the loudest samples, one for each group that is close together."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 4_000)
    firsts = loud[np.flatnonzero(np.diff(loud, prepend=-RATE) > RATE // 10)] if len(loud) else loud
    return [float(first) / rate_hz for first in firsts]


def clicking_second(rate_hz: int) -> bytes:
    """Return a second of noise with a click at its beginning."""
    samples = np.random.default_rng(3).normal(0, 300, rate_hz)
    samples[:4] = 20_000
    return pcm_of(samples)


def taken(track: DatedTrack) -> NDArray[np.int16]:
    track.finish()
    return track.take(track.end)


@pytest.mark.parametrize("source_hz", [16_000, 24_000, 44_100, 48_000])
def test_sound_lies_where_its_date_says(source_hz: int) -> None:
    track = DatedTrack(RATE, 100.0)
    click = np.zeros(source_hz // 2)
    click[:4] = 20_000
    track.add([DatedSound(pcm_of(click), source_hz, 101.5)])
    track.add([DatedSound(pcm_of(click), source_hz, 104.25)])
    assert clicks_s(taken(track)) == pytest.approx([1.5, 4.25], abs=0.001)


def test_what_sounded_before_the_beginning_is_dropped() -> None:
    track = DatedTrack(RATE, 100.0)
    track.add([DatedSound(clicking_second(RATE), RATE, 99.5)])
    samples = taken(track)
    assert len(samples) == RATE // 2
    assert clicks_s(samples) == []


def test_an_overlap_is_removed_from_the_later_piece() -> None:
    track = DatedTrack(RATE, 0.0)
    track.add([DatedSound(pcm_of(tone(1.0, RATE)), RATE, 0.0)])
    track.add([DatedSound(clicking_second(RATE), RATE, 0.75)])
    track.add([DatedSound(clicking_second(RATE), RATE, 1.75)])
    samples = taken(track)
    assert len(samples) == round(2.75 * RATE)
    assert clicks_s(samples[RATE:]) == pytest.approx([0.75], abs=0.002)


def test_one_wrong_date_among_others_moves_nothing() -> None:
    pieces = [DatedSound(bytes(1_920), RATE, 0.04 * n) for n in range(25)]
    pieces[7] = pieces[7]._replace(at_s=pieces[7].at_s + 0.3)
    track = DatedTrack(RATE, 0.0)
    track.add(pieces)
    assert track.end == RATE


def test_a_gap_within_a_second_is_filled_with_silence() -> None:
    sound = pcm_of(np.full(960, 5_000))
    pieces = [DatedSound(sound, RATE, 0.04 * n + (0.5 if n >= 10 else 0)) for n in range(25)]
    track = DatedTrack(RATE, 0.0)
    track.add(pieces)
    samples = taken(track)
    assert len(samples) == pytest.approx(1.5 * RATE, abs=2)
    silent = np.flatnonzero(samples == 0)
    assert silent[0] == pytest.approx(0.4 * RATE, abs=2)
    assert len(silent) == pytest.approx(0.5 * RATE, abs=4)


def test_a_gap_of_hours_takes_bounded_memory_at_a_time() -> None:
    track = DatedTrack(RATE, 0.0)
    for n in range(4):
        before = track.end
        track.add([DatedSound(bytes(2 * RATE), RATE, 3_600.0 + n)])
        assert track.end - before <= (MAX_GAP_S + 1) * RATE
        track.take(track.end)


@pytest.mark.parametrize(("ppm", "source_hz"), [(-300, 48_000), (0, 16_000), (200, 16_000)])
def test_four_minutes_of_a_drifting_clock_stay_aligned(ppm: int, source_hz: int) -> None:
    """The device is too fast or too slow, and its dates jitter; a click marks each minute."""
    chance = np.random.default_rng(7)
    track, second, quiet = DatedTrack(RATE, 0.0), clicking_second(source_hz), bytes(2 * source_hz)
    true_s = (1 - ppm * 1e-6) / 25
    step = 2 * source_hz // 25
    found: list[float] = []
    done_s, worst_s = 0.0, 0.0
    for minute in range(4):
        for part in range(60):
            sound = quiet if part % 2 else second
            track.add(
                [
                    DatedSound(
                        sound[n * step : (n + 1) * step],
                        source_hz,
                        ((minute * 60 + part) * 25 + n) * true_s + chance.normal(0, 0.004),
                    )
                    for n in range(25)
                ]
            )
        samples = track.take(track.end)
        found = [done_s + at_s for at_s in clicks_s(samples)]
        done_s += len(samples) / RATE
        expected = [(minute * 60 + part) * 25 * true_s for part in range(0, 60, 2)]
        assert len(found) in (29, 30)
        worst_s = max(worst_s, *(min(abs(f - e) for e in expected) for f in found))
    assert worst_s < 0.01


def test_a_correction_is_not_heard() -> None:
    """Its largest step is no larger than those of the sound itself."""
    sound = np.rint(tone(1.0, RATE, 300.0)).astype(np.int16)
    steps = np.abs(np.diff(sound.astype(int))).max()
    for count in (-20, -1, 1, 20):
        changed = edited(sound, count)
        assert len(changed) == len(sound) + count
        assert np.abs(np.diff(changed.astype(int))).max() <= 2 * steps


PIECES = st.lists(
    st.tuples(
        st.integers(0, 3_000),
        st.sampled_from([8_000, 16_000, 24_000]),
        st.floats(-2, 5, allow_nan=False),
    ),
    max_size=12,
)


@given(PIECES, PIECES, st.integers(1, 4))
def test_whatever_comes_the_frames_are_whole_and_as_long_as_the_dates_say(
    left: list[tuple[int, int, float]], right: list[tuple[int, int, float]], batches: int
) -> None:
    mix = StereoMix(RATE, 0.0)
    sides = [
        [DatedSound(bytes(2 * samples), rate_hz, at_s) for samples, rate_hz, at_s in side]
        for side in (left, right)
    ]
    frames = b""
    for batch in range(batches):
        frames += mix.add(sides[0][batch::batches], sides[1][batch::batches])
    frames += mix.finish()
    assert len(frames) % 4 == 0
    last_s = max((piece.at_s + piece.length_s for side in sides for piece in side), default=0.0)
    total_s = sum(piece.length_s for side in sides for piece in side)
    assert len(frames) / 4 / RATE <= max(0.0, last_s) + total_s + 0.1


def test_both_sides_keep_their_channel_and_their_time() -> None:
    mix = StereoMix(RATE, 10.0)
    left, right = np.zeros(16_000), np.zeros(48_000)
    left[8_000:8_004], right[12_000:12_012] = 20_000, 20_000
    frames = mix.add(
        [DatedSound(pcm_of(left), 16_000, 10.0)], [DatedSound(pcm_of(right), 48_000, 10.0)]
    )
    frames += mix.finish()
    both = np.frombuffer(frames, "<i2").reshape(-1, 2)
    assert len(both) == RATE
    assert clicks_s(both[:, 0]) == pytest.approx([0.5], abs=0.001)
    assert clicks_s(both[:, 1]) == pytest.approx([0.25], abs=0.001)


def test_a_side_that_is_gone_holds_nothing_up_and_its_return_is_in_time() -> None:
    mix = StereoMix(RATE, 0.0)
    frames = 0
    for second in range(10):
        frames += len(mix.add([DatedSound(bytes(32_000), 16_000, float(second))], []))
    assert frames / 4 / RATE == pytest.approx(10 - MAX_LAG_S, abs=0.01)
    late = DatedSound(clicking_second(RATE), RATE, 6.5)  # 7 s are written
    rest = mix.add([], [late])
    user, heard = DatedSound(bytes(32_000), 16_000, 10.0), late._replace(at_s=10.0)
    rest += mix.add([user], [heard]) + mix.finish()
    right = np.frombuffer(rest, "<i2").reshape(-1, 2)[:, 1]
    assert len(right) / RATE == pytest.approx(11 - 7, abs=0.01)
    assert clicks_s(right) == pytest.approx([3.0], abs=0.005)


def test_the_mix_holds_no_more_than_the_lag() -> None:
    mix = StereoMix(RATE, 0.0)
    written = sum(len(mix.add([], [DatedSound(bytes(48_000), RATE, float(n))])) for n in range(60))
    assert math.isclose(written / 4 / RATE, 60 - MAX_LAG_S, abs_tol=0.01)


def test_hours_in_which_the_program_was_suspended_are_left_out_on_both_sides() -> None:
    mix, frames = StereoMix(RATE, 0.0), b""
    for at_s in (0.0, 1.0, 36_000.0, 36_001.0, 36_002.0):
        click = DatedSound(clicking_second(RATE), RATE, at_s)
        frames += mix.add([click], [click])
    frames += mix.finish()
    both = np.frombuffer(frames, "<i2").reshape(-1, 2)
    assert clicks_s(both[:, 0]) == pytest.approx([0, 1, 62, 63, 64], abs=0.01)
    assert clicks_s(both[:, 1]) == clicks_s(both[:, 0])
