"""The doctor's verdicts about sound, from what was measured."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.audio.playout import PlayoutStats
from sonic_voice.devices import DeviceOpening, MicrophoneStats, SpeakerStats
from sonic_voice.devices.port import Device
from sonic_voice.doctor.sound_findings import (
    MAX_LATE_BLOCKS,
    Recording,
    echo_finding,
    microphone_finding,
    timing_finding,
)

DEVICE = Device(0, "USB Microphone", "Windows WASAPI", 1, 0, 48_000, True, False)
ROOM = Recording(
    opening=DeviceOpening("input", DEVICE, 48_000, 1, 960, "high"),
    room_level_db=-60.0,
    room_gain=0.0001,
    all_zeros=False,
    echo_gain=0.0,
)
MICROPHONE = MicrophoneStats(0.0, 0, 0)
SPEAKER = SpeakerStats(PlayoutStats(0.0, 0.0, 0.0, 0, 60.0), 0, 0)


@pytest.mark.parametrize(
    ("recording", "grade", "found"),
    [
        (ROOM, "ok", "the room is at -60 dB"),
        (replace(ROOM, echo_gain=1.0), "ok", "the room is at"),
        (replace(ROOM, room_level_db=-math.inf, echo_gain=1.0), "failure", "is no microphone"),
        (replace(ROOM, room_level_db=-math.inf, all_zeros=True), "failure", "but zeros"),
        (replace(ROOM, room_level_db=-90.0), "warning", "the room is at -90 dB"),
        (replace(ROOM, room_level_db=-math.inf, echo_gain=0.01), "warning", "digital silence"),
    ],
)
def test_a_microphone_is_judged_by_its_room_and_its_echo(
    recording: Recording, grade: str, found: str
) -> None:
    finding = microphone_finding(recording, None)
    assert (finding.grade, found in finding.found) == (grade, True), finding
    assert bool(finding.fix) == (grade != "ok")


@given(st.floats(-80, 0), st.floats(0, 4))
def test_a_room_that_is_not_silent_is_never_a_monitors(level_db: float, echo: float) -> None:
    recording = replace(ROOM, room_level_db=level_db, echo_gain=echo)
    assert not recording.is_monitor
    assert microphone_finding(recording, None).grade == "ok"


def test_an_echo_is_told_by_its_level() -> None:
    assert "at -20 dB" in echo_finding(replace(ROOM, echo_gain=0.1)).found
    assert "does not hear" in echo_finding(ROOM).found


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_a_machine_is_busy_when_more_than_a_few_blocks_were_late_or_lost(
    late: int, overruns: int, underruns: int
) -> None:
    microphone = replace(MICROPHONE, late_blocks=late, overruns=overruns)
    finding = timing_finding(microphone, replace(SPEAKER, underruns=underruns), "sounddevice")
    assert (finding is not None) == (late + overruns + underruns > MAX_LATE_BLOCKS)


def test_without_devices_nothing_was_late() -> None:
    assert timing_finding(None, None, "sounddevice") is None
