"""The sentences that say what to change when a device has lost sound."""

from sonic_voice.devices.microphone import MicrophoneStats
from sonic_voice.devices.port import times


def test_a_count_of_one_is_once() -> None:
    assert [times(count) for count in (1, 2, 30)] == ["once", "2 times", "30 times"]
    assert "lost samples once," in MicrophoneStats(0.0, 1, 0).advice
    assert "lost samples 2 times," in MicrophoneStats(0.0, 2, 0).advice
