"""The learned echo path, on echoes of which everything is known."""

import numpy as np
from numpy.typing import NDArray

from sonic_voice.echo.echo_path import FRAME_SAMPLES, EchoPath

from ..support.simulated_room import RATE_HZ, at_level, recording

type Samples = NDArray[np.float32]

ECHO_LEVEL = 0.05


def echo_of(far: Samples, delay_ms: int = 100) -> Samples:
    """`far` in the room of tests/sounds, `delay_ms` later, all of it linear."""
    late = np.zeros(delay_ms * RATE_HZ // 1000, np.float32)
    impulse = np.concatenate([late, recording("sounds", "room-impulse")])
    size = 2 ** int(np.ceil(np.log2(len(far) + len(impulse))))
    echo = np.fft.irfft(np.fft.rfft(far, size) * np.fft.rfft(impulse, size), size)[: len(far)]
    return at_level(echo.astype(np.float32), ECHO_LEVEL)


def subtracted(near: Samples, far: Samples, frames: int = 3) -> Samples:
    """In chunks of so many frames."""
    path, step, whole = (
        EchoPath(),
        frames * FRAME_SAMPLES,
        len(far) // FRAME_SAMPLES * FRAME_SAMPLES,
    )
    chunks = [slice(k, min(k + step, whole)) for k in range(0, whole, step)]
    return np.concatenate([path.subtract(near[chunk], far[chunk]) for chunk in chunks])


def decibels(much: Samples, little: Samples) -> float:
    return float(10 * np.log10(np.sum(np.square(much)) / np.sum(np.square(little))))


def test_an_echo_of_speech_is_15_db_less_after_three_seconds_and_a_late_one_too() -> None:
    far = recording("speech", "jfk")
    for delay_ms in (20, 200):
        echo = echo_of(far, delay_ms)
        left = subtracted(echo, far)
        later = slice(3 * RATE_HZ, len(left))
        assert decibels(echo[later], left[later]) > 15


def test_who_speaks_over_the_echo_stays_whole_and_does_not_spoil_what_was_learned() -> None:
    far = recording("speech", "jfk")
    echo = echo_of(far)
    person = np.zeros_like(echo)
    said = at_level(recording("speech", "transfer"), ECHO_LEVEL)
    speaking = slice(5 * RATE_HZ, 5 * RATE_HZ + len(said))
    person[speaking] = said
    left = subtracted(echo + person, far)
    assert decibels(said, left[speaking] - said) > 14  # as sent without us: 0 dB
    after = slice(speaking.stop + RATE_HZ // 10, len(left))
    assert decibels(echo[after], left[after] - person[after]) > 18


def test_how_many_frames_come_at_a_time_makes_no_difference() -> None:
    far = recording("speech", "transfer")
    echo = echo_of(far)
    assert np.allclose(subtracted(echo, far, frames=1), subtracted(echo, far, frames=4), atol=1e-6)


def test_who_speaks_alone_passes_sample_by_sample() -> None:
    said = recording("speech", "transfer")
    left = subtracted(said, np.zeros_like(said))
    assert np.array_equal(left, said[: len(left)])


def test_another_path_is_learned_anew_when_somebody_moves_the_microphone() -> None:
    far = np.tile(recording("speech", "jfk"), 2)
    half = len(far) // 2
    echo = np.concatenate([echo_of(far, 30)[:half], echo_of(far, 60)[half:]])
    left = subtracted(echo, far)
    settled = slice(half + 6 * RATE_HZ, len(left))
    assert decibels(echo[settled], left[settled]) > 12
