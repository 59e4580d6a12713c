"""Two streams paired by their times: what is read of the loudspeaker must stay in step.

The loudspeaker's sound is its own position: sample k has the value k / `SCALE`, a ramp, so that
what comes back tells exactly which moment was read, between samples too.
"""

from collections.abc import Callable, Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sonic_voice.audio.pcm import to_pcm
from sonic_voice.echo.reference_alignment import (
    DEAD_BAND_S,
    JUMP_THRESHOLD_S,
    LEAD_S,
    RATE_HZ,
    ReferenceAlignment,
    StreamClock,
)

FRAME = 160
FRAME_S = FRAME / RATE_HZ
SCALE = 32_768.0
TURN = 30_000
"""The ramp begins anew after so many samples: 1.9 s."""
LATENCY_S = 0.03


def pcm(samples: NDArray[np.float64]) -> bytes:
    return to_pcm(samples.astype(np.float32))


def no_jitter() -> float:
    return 0.0


def read_positions(
    *,
    seconds: float,
    drift: float = 0.0,
    jitter: Callable[[], float] = no_jitter,
    lost_far: Collection[int] = (),
    lost_near: Collection[int] = (),
) -> list[float]:
    """By how many seconds what was read of the far end was off, for each chunk that sounded.

    The microphone's crystal is slow by `drift`; `lost_far` blocks never sounded, so that the next
    ones did so in their place, later than their number; `lost_near` blocks were not recorded.
    """
    alignment = ReferenceAlignment()
    frames = round(seconds / FRAME_S)
    off_s: list[float] = []
    next_far = 0
    for k in range(frames):
        began_s = k * FRAME_S * (1 + drift)
        while next_far * FRAME_S - LATENCY_S <= began_s + 2 * FRAME_S:
            if next_far not in lost_far:
                ramp = np.arange(next_far * FRAME, (next_far + 1) * FRAME) % TURN
                at_s = next_far * FRAME_S + jitter()
                alignment.add_played(pcm(ramp / SCALE), RATE_HZ, at_s)
            next_far += 1
        if k in lost_near:
            continue
        chunk = alignment.read(FRAME, began_s + jitter())
        assert len(chunk) == FRAME
        wanted = (began_s + LEAD_S) * RATE_HZ
        off = (float(chunk[0]) * SCALE - wanted + TURN / 2) % TURN - TURN / 2
        if (wanted + 100) % TURN > 200:  # where the ramp begins anew, a cubic looks across
            off_s.append(off / RATE_HZ)
    return off_s


def test_what_is_read_sounds_a_lead_later_than_what_was_heard() -> None:
    assert max(map(abs, read_positions(seconds=3))) < 1 / RATE_HZ


@pytest.mark.parametrize("ppm", [200, -200])
def test_clocks_that_drift_apart_are_followed_to_two_milliseconds(ppm: float) -> None:
    off_s = read_positions(seconds=60, drift=ppm * 1e-6)
    assert max(map(abs, off_s)) < JUMP_THRESHOLD_S  # not followed, they are 12 ms apart in the end
    late = off_s[len(off_s) // 2 :]
    assert max(late) - min(late) < 2 / RATE_HZ  # and then stay as they are


def test_times_that_are_uncertain_by_milliseconds_hardly_move_the_reading() -> None:
    random = np.random.default_rng(1)
    off_s = read_positions(seconds=30, jitter=lambda: random.uniform(-0.005, 0.005))
    late = off_s[len(off_s) // 2 :]
    assert max(map(abs, late)) < DEAD_BAND_S
    assert max(late) - min(late) < 0.001
    steps = np.diff(late)
    assert np.abs(steps).max() < 0.1 / RATE_HZ + 1 / SCALE  # a click would be a whole sample


@pytest.mark.parametrize(
    ("lost_far", "lost_near"), [((500, 501), ()), ((), (500, 501, 502))], ids=["played", "recorded"]
)
def test_a_lost_block_is_made_good_within_half_a_second(
    lost_far: Collection[int], lost_near: Collection[int]
) -> None:
    off_s = read_positions(seconds=10, lost_far=lost_far, lost_near=lost_near)
    assert max(map(abs, off_s[490:520])) > 0.015
    assert max(map(abs, off_s[560:])) < JUMP_THRESHOLD_S


def test_a_device_opened_anew_at_another_rate_is_in_step_again() -> None:
    alignment = ReferenceAlignment()
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * 48_000) / 48_000)
    for k in range(100):
        alignment.add_played(pcm(tone[k * 480 : (k + 1) * 480]), 48_000, k * FRAME_S)
    heard = np.zeros(0, np.float32)
    for k in range(130, 260):  # 0.3 s of nothing, then 24 kHz
        alignment.add_played(pcm(tone[k * 480 : (k + 1) * 480 : 2]), 24_000, k * FRAME_S)
        if k >= 160:
            heard = alignment.read(FRAME, (k - 5) * FRAME_S)
    at = (254 * FRAME + np.arange(FRAME)) / RATE_HZ + LEAD_S
    assert heard == pytest.approx(np.sin(2 * np.pi * 440 * at) / 2, abs=0.05)


def test_before_the_loudspeaker_and_after_it_there_is_silence() -> None:
    alignment = ReferenceAlignment()
    assert not alignment.read(FRAME, 0.0).any()
    alignment.add_played(pcm(np.full(FRAME, 0.5)), RATE_HZ, 1.0)
    assert not alignment.read(FRAME, 0.01).any()
    assert not np.concatenate([alignment.read(FRAME, 3 + k * FRAME_S) for k in range(50)]).any()


@given(st.lists(st.integers(1, 700), min_size=1, max_size=60))
def test_how_the_microphone_is_cut_into_chunks_makes_no_gap(sizes: list[int]) -> None:
    alignment, position = ReferenceAlignment(), 0
    ramp = np.arange(TURN) / SCALE
    alignment.add_played(pcm(ramp), RATE_HZ, 0.0)
    read = list[float]()
    for size in sizes:
        if position + size > TURN - 200:
            break
        read += alignment.read(size, position / RATE_HZ).tolist()
        position += size
    assert np.diff(read) * SCALE == pytest.approx(np.ones(max(0, len(read) - 1)), abs=0.01)


def test_one_block_that_is_out_of_step_moves_a_clock_by_next_to_nothing() -> None:
    clock = StreamClock()
    for k in range(1000):
        clock.update(k * FRAME_S, k * FRAME_S + (0.05 if k == 900 else 0.0))
        assert clock.origin_s == pytest.approx(0, abs=0.0001)


@pytest.mark.parametrize("step_s", [0.02, -0.02])
def test_three_blocks_that_are_out_of_step_make_a_clock_suspect(step_s: float) -> None:
    clock = StreamClock()
    told: list[bool] = []
    for k in range(110):
        late_s = step_s if k == 90 or k >= 105 else 0.0
        clock.update(k * FRAME_S, k * FRAME_S + late_s)
        told.append(clock.step_suspected)
    assert told == [False] * 107 + [True] * 3


def test_a_jump_of_the_alignment_or_a_suspected_one_is_reported() -> None:
    alignment = ReferenceAlignment()
    delay_changed: list[int] = []
    for k in range(200):
        late_s = 0.1 if k >= 100 else 0.0
        at_s = k * FRAME_S + LATENCY_S + late_s
        alignment.add_played(bytes(2 * FRAME), RATE_HZ, at_s, gap=k == 50)
        alignment.read(FRAME, k * FRAME_S)
        if alignment.delay_changed:
            delay_changed.append(k)
    assert delay_changed == [0, 50, *range(102, 120)]


@pytest.mark.parametrize("told_ms", [0, 1, 3])
def test_a_device_that_tells_its_samples_late_loses_none_of_them(told_ms: int) -> None:
    alignment = ReferenceAlignment()
    sound = (np.arange(1, 16_001) / SCALE).astype(np.float32)
    read: list[NDArray[np.float32]] = []
    for at in range(0, len(sound), 640):  # a chunk of 40 ms, and what was told by its end
        for block in range(at, at + 640, 160):
            pcm = to_pcm(sound[block : block + 160])
            alignment.add_played(pcm, RATE_HZ, (block / 16 + told_ms) / 1000)
        read.append(alignment.read(640, at / RATE_HZ))
    assert not np.concatenate(read[:3]).all()
    assert np.concatenate(read[8:]).all()
    assert 0 <= alignment.lead_s < LEAD_S


def test_a_device_that_tells_its_samples_early_keeps_the_lead() -> None:
    alignment, sound = ReferenceAlignment(), np.full(16_000, 0.1, np.float32)
    for at in range(0, len(sound), 640):
        for block in range(at, at + 640, 160):
            alignment.add_played(
                to_pcm(sound[block : block + 160]), RATE_HZ, block / RATE_HZ + 0.02
            )
        alignment.read(640, at / RATE_HZ)
    assert alignment.lead_s == LEAD_S
