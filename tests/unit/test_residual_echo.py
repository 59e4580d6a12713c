"""The residual echo and the gate, on powers and sounds of which everything is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.echo.echo_gate import CLIPPING_FRAMES, Clipping, EchoGate, Samples
from sonic_voice.echo.echo_path import FRAME_SAMPLES
from sonic_voice.echo.local_speech import level_dbfs
from sonic_voice.echo.residual_echo import LEAST_DB, MOST_DB, SETTLED_FRAMES, ResidualEcho

ECHO = 0.03
"""Power of a loud echo: -15 dBFS."""


def decibels(value: float) -> float:
    return 10 ** (value / 10)


def learned(share_db: float, frames: int = 1500) -> ResidualEcho:
    """Return an estimate that has heard an echo of which such a share is left."""
    residual = ResidualEcho()
    for _ in range(frames):
        residual.update(ECHO, ECHO * decibels(share_db), -60.0, clipped=False)
    return residual


@pytest.mark.parametrize("share_db", [-25.0, -15.0, -10.0])
def test_what_the_loudspeaker_distorts_is_no_person_and_a_person_is(share_db: float) -> None:
    residual = learned(share_db)
    own, _ = residual.update(ECHO, ECHO * decibels(share_db + 2), -3.0, clipped=False)
    assert own == 0
    own, _ = residual.update(ECHO, ECHO, -3.0, clipped=False)
    assert own > 0.9


def test_without_an_echo_everything_is_of_this_end() -> None:
    residual = learned(-10.0)
    reverberation = [residual.update(0.0, 1e-6, 0.0, clipped=False) for _ in range(100)]
    assert reverberation[-1] == (1, 1)


def test_a_person_hardly_changes_the_share() -> None:
    residual = learned(-20.0)
    for _ in range(300):
        residual.update(ECHO, ECHO, -3.0, clipped=False)
    assert residual.quantile_db < -14


def test_while_the_microphone_clips_the_share_counts_only_once_it_is_known() -> None:
    early, late = learned(-10.0, SETTLED_FRAMES // 2), learned(-10.0, 2 * SETTLED_FRAMES)
    assert early.update(ECHO, ECHO, -40.0, clipped=True)[1] == 0
    assert late.update(ECHO, ECHO, -40.0, clipped=True)[1] > 0.9


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(-90, 10), st.booleans())))
def test_shares_stay_in_their_ranges(frames: list[tuple[float, float, float, bool]]) -> None:
    residual = ResidualEcho()
    for echo, linear, agreement_db, clipped in frames:
        own, own_if_clipped = residual.update(echo, linear, agreement_db, clipped=clipped)
        assert 0 <= own <= 1
        assert 0 <= own_if_clipped <= 1
        assert LEAST_DB <= residual.quantile_db <= MOST_DB


def noise(level: float, seed: int, frames: int = 1) -> Samples:
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(frames * FRAME_SAMPLES)).astype(np.float32)


def sent(gate: EchoGate, leak: float, left_level: float, *, clips: bool = False) -> float:
    """Return the level of what is sent of an echo, in dBFS, after a second of it."""
    level = -96.0
    for k in range(100):
        echo, left = noise(0.18, 2 * k), noise(left_level, 2 * k + 1)
        aec3 = leak * left
        mixed = gate.mix(echo + left, left, left, aec3, clipping=[clips], shut=[False])
        level = level_dbfs(mixed)
    return level


def test_what_aec3_lets_through_of_a_distorted_echo_is_attenuated() -> None:
    gate = EchoGate()
    for _ in range(15):
        sent(gate, 0.001, 0.03)
    assert sent(gate, 0.8, 0.03) < -75  # both leave the same at -30 dBFS


def test_a_person_as_loud_as_the_echo_is_sent() -> None:
    gate = EchoGate()
    for _ in range(15):
        sent(gate, 0.001, 0.03)
    assert sent(gate, 0.8, 0.18) == pytest.approx(level_dbfs(noise(0.18, 0)), abs=2)


def test_after_a_person_nothing_is_attenuated_unless_the_path_has_just_changed() -> None:
    levels: list[float] = []
    for changed in (False, True):
        gate = EchoGate()
        for _ in range(15):
            sent(gate, 0.001, 0.03)
        if changed:
            gate.on_path_change()
        sent(gate, 0.8, 0.18)  # a person
        left = noise(0.01, 1, frames=8)
        mixed = gate.mix(
            noise(0.18, 0, frames=8) + left, left, left, 0.1 * left,
            clipping=[False] * 8, shut=[False] * 8,
        )  # fmt: skip
        levels.append(level_dbfs(mixed[-FRAME_SAMPLES:]))
    assert levels[0] > levels[1] + 20


def test_where_aec3_removes_the_person_because_the_microphone_clips_the_path_is_sent() -> None:
    levels: list[float] = []
    for clips in (False, True):
        gate = EchoGate()
        for _ in range(15):
            sent(gate, 0.001, 0.03, clips=True)
        levels.append(sent(gate, 0.001, 0.18, clips=clips))
    assert levels[0] < -60
    assert levels[1] > -20


def test_a_frame_that_is_shut_is_silent_even_if_a_person_spoke() -> None:
    gate = EchoGate()
    sent(gate, 0.8, 0.18)
    left = noise(0.18, 1, frames=2)
    near = noise(0.18, 0, frames=2) + left
    mixed = gate.mix(near, left, left, 0.8 * left, clipping=[False] * 2, shut=[True] * 2)
    assert level_dbfs(mixed[FRAME_SAMPLES:]) < -60


def test_clipping_is_remembered_for_half_a_second() -> None:
    clipping, loud = Clipping(), noise(0.1, 0)
    assert clipping.update(loud) == [False]
    loud[7] = -1.0
    assert clipping.update(loud) == [True]
    soft = clipping.update(noise(0.1, 1, frames=2 * CLIPPING_FRAMES))
    assert soft.index(False) == CLIPPING_FRAMES - 1
