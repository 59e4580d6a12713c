"""Which of several devices is meant, and what to install. No device is touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from sonic_voice.devices.listing import candidate_formats, find_device
from sonic_voice.devices.port import Device, Direction
from sonic_voice.errors import DeviceError


def device(index: int, name: str, api: str = "Core Audio", **facts: int) -> Device:
    default = facts.get("default", 0)
    inputs, outputs = facts.get("inputs", 2), facts.get("outputs", 0)
    return Device(
        index, name, api, inputs, outputs, facts.get("rate_hz", 48_000), default == 1, default == 2
    )


LAPTOP = device(0, "MacBook Microphone", inputs=1, default=1)
HEADSET = device(1, "USB Headset", inputs=1, rate_hz=16_000)
SECOND = device(2, "USB Headset Pro")
SPEAKERS = device(3, "MacBook Speakers", inputs=0, outputs=2, default=2)
ALL = [LAPTOP, HEADSET, SECOND, SPEAKERS]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (None, LAPTOP),
        (1, HEADSET),
        ("macbook", LAPTOP),
        ("usb headset", HEADSET),
        ("Pro", SECOND),
        ("pro, core", SECOND),
    ],
)
def test_a_device_is_meant_by_number_by_part_of_its_name_or_by_default(
    wanted: int | str | None, meant: Device
) -> None:
    assert find_device(ALL, "input", wanted) == meant


def test_an_output_is_never_taken_for_a_microphone() -> None:
    assert find_device(ALL, "output", "macbook") == SPEAKERS
    with pytest.raises(DeviceError, match=r"No microphone has the number 3\..*\[0\] MacBook Mic"):
        find_device(ALL, "input", 3)


def test_a_name_that_fits_several_is_answered_with_those() -> None:
    with pytest.raises(DeviceError, match=r"'usb' may be any of 2 .*\[1\] USB H.*\[2\] USB H"):
        find_device(ALL, "input", "usb")


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(DeviceError, match=r"'USB Hedset'.*Did you mean 'USB Headset'\?.*\[0\] Mac"):
        find_device(ALL, "input", "USB Hedset")


def test_of_one_device_under_several_interfaces_the_default_ones_is_meant() -> None:
    usual = device(0, "USB Mic", "MME")
    other = [device(1, "USB Mic", "Windows WASAPI"), device(2, "Array", "MME", default=1)]
    assert find_device([usual, *other], "input", "usb mic") == usual


def test_without_devices_a_file_is_offered() -> None:
    with pytest.raises(DeviceError, match=r"There is no microphone here\..*--input"):
        find_device([SPEAKERS], "input", None)


def test_a_lost_device_is_found_again_under_another_number_or_replaced_by_the_default() -> None:
    moved = device(7, "USB Headset", inputs=1)
    assert find_device([LAPTOP, moved], "input", 1, previous=HEADSET) == moved
    assert find_device([LAPTOP, SECOND], "input", "usb headset", previous=HEADSET) == LAPTOP


def test_whoever_took_the_default_before_takes_what_is_the_default_now() -> None:
    assert find_device(ALL, "input", None, previous=HEADSET) == LAPTOP


@pytest.mark.parametrize(
    ("direction", "rate_hz", "channels", "first", "count"),
    [
        ("input", None, None, (16_000, 1), 3),
        ("input", 44_100, None, (44_100, 1), 1),
        ("input", None, 2, (16_000, 2), 3),
        ("input", 8_000, 4, (8_000, 4), 1),
    ],
)
def test_a_device_is_opened_as_it_prefers_unless_asked_otherwise(
    direction: Direction, rate_hz: int | None, channels: int | None, first: object, count: int
) -> None:
    tried = candidate_formats(HEADSET, direction, rate_hz, channels)
    assert (tried[0], len(tried)) == (first, count)


def test_of_many_channels_two_are_taken_first() -> None:
    many = device(0, "pulse", inputs=32, rate_hz=48_000)
    assert candidate_formats(many, "input", None, None)[:3] == [
        (48_000, 2),
        (48_000, 32),
        (48_000, 1),
    ]


@pytest.mark.parametrize("backend", ["sounddevice", "pyaudio"])
@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("ModuleNotFoundError('not there')", "is not installed. Run: "),
        ("OSError('PortAudio library not found')", "does not find the PortAudio library"),
        ("ImportError('libportaudio.so.2: cannot open')", "does not find the PortAudio library"),
    ],
)
def test_a_missing_library_is_named_with_what_installs_it(
    tmp_path: Path, backend: str, trouble: str, said: str
) -> None:
    (tmp_path / f"{backend}.py").write_text(f"raise {trouble}")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    script += f"from sonic_voice.devices import devices\ndevices({backend!r})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"sonic_voice.errors.DeviceError: {backend} {said}")
    assert "nstall" in last.partition(said)[2] + said
