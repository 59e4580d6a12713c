"""When a line counts as too slow for speech: frames of 40 ms, on lines of some speed."""

from itertools import pairwise

import pytest

from sonic_voice.events import NetworkSlow
from sonic_voice.uplink_lag import REPEAT_NOTICE_AFTER_S, UplinkLag

FRAME_S = 0.04
OUTBOX_FRAMES = 16


def told(speed: float, *, seconds: float, stall_s: float = 0.0) -> list[tuple[float, NetworkSlow]]:
    """What is told, and when, on a line that takes `speed` seconds of speech a second.

    The outbox holds 16 frames; when it is full, the speaker waits.
    """
    lag, heard = UplinkLag(), list[tuple[float, NetworkSlow]]()
    sent_at_s: list[float] = []
    now = stall_s
    for number in range(round(seconds / FRAME_S)):
        freed_at_s = sent_at_s[number - OUTBOX_FRAMES] if number >= OUTBOX_FRAMES else 0.0
        queued_at_s = max(number * FRAME_S, freed_at_s)
        now = max(now, queued_at_s) + FRAME_S / speed
        sent_at_s.append(now)
        if (event := lag.sent(queued_at_s, FRAME_S, now)) is not None:
            heard.append((now, event))
    return heard


@pytest.mark.parametrize("speed", [1.05, 2, 100])
def test_a_line_that_keeps_up_with_speech_is_not_told(speed: float) -> None:
    assert told(speed, seconds=60) == []


def test_a_line_that_stalls_for_a_moment_and_catches_up_is_not_told() -> None:
    assert told(20, seconds=60, stall_s=3) == []


@pytest.mark.parametrize("speed", [0.05, 0.14, 0.5])
def test_a_line_slower_than_speech_is_told_with_figures(speed: float) -> None:
    (first_s, first), *_ = told(speed, seconds=20)
    assert first_s < 6
    assert first.speech_per_s == pytest.approx(speed, rel=0.15)
    assert 1 <= first.late_s <= OUTBOX_FRAMES * FRAME_S / speed + 0.1
    assert f"{first.late_s:.1f} s late" in first.notice


def test_it_is_told_again_only_now_and_then() -> None:
    times = [at_s for at_s, _ in told(0.14, seconds=8)]
    assert len(times) > 2
    assert all(later - earlier >= REPEAT_NOTICE_AFTER_S for earlier, later in pairwise(times))
