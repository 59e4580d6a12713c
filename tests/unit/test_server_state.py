"""What a sound server reports about devices: their list, their choice, their faults."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.devices.listing import find_device
from sonic_voice.devices.port import Device, Direction
from sonic_voice.devices.server_state import (
    LOW_VOLUME,
    ServerDevice,
    ServerState,
    device_fault,
    listed_devices,
    with_default_explained,
)
from sonic_voice.errors import DeviceError

MICROPHONE = ServerDevice("input", "alsa_input.pci", "Built-in Microphone", 1)
HEADSET_MICROPHONE = ServerDevice("input", "alsa_input.usb", "Jabra Mikrofon für Büros", 1)
SPEAKERS = ServerDevice("output", "alsa_output.pci", "Built-in Speakers")
HEADSET = ServerDevice("output", "alsa_output.usb", "Jabra Kopfhörer")
MONITOR = ServerDevice(
    "input", "alsa_output.pci.monitor", "Monitor of Built-in Speakers", monitor_of=SPEAKERS.name
)
STATE = ServerState(
    "pulseaudio",
    (MONITOR, MICROPHONE, HEADSET_MICROPHONE, SPEAKERS, HEADSET),
    MICROPHONE.name,
    SPEAKERS.name,
)

HARDWARE = Device(0, "Jabra: USB Audio (hw:1,0)", "ALSA", 1, 2, 48_000, False, False)
PULSE = Device(1, "pulse", "ALSA", 32, 32, 44_100, False, False)
DEFAULT = Device(2, "default", "ALSA", 32, 32, 44_100, True, True)
LISTED = (HARDWARE, PULSE, DEFAULT, *listed_devices(STATE, 3, 44_100))


def state(*devices: ServerDevice) -> ServerState:
    """The state with other devices, of which the first of each direction is the default."""
    first = {device.direction: device.name for device in reversed(devices)}
    return ServerState("pulseaudio", devices, first.get("input", ""), first.get("output", ""))


@pytest.mark.parametrize(
    ("direction", "wanted", "name"),
    [
        ("input", "Jabra", HEADSET_MICROPHONE.name),
        ("output", "Jabra", HEADSET.name),
        ("input", "mikrofon FÜR bu\N{COMBINING DIAERESIS}ros", HEADSET_MICROPHONE.name),
        ("input", "alsa_input.usb", HEADSET_MICROPHONE.name),
        ("output", "speakers", SPEAKERS.name),
        ("input", "monitor of built", MONITOR.name),
        ("input", None, ""),
        ("input", "default", ""),
        ("output", 0, ""),
    ],
)
def test_a_device_is_meant_by_any_part_of_its_names(
    direction: Direction, wanted: str | int | None, name: str
) -> None:
    assert find_device(LISTED, direction, wanted).server_name == name


def test_a_monitor_is_not_meant_by_the_name_of_its_loudspeaker_beside_a_microphone() -> None:
    assert find_device(LISTED, "input", "built-in").server_name == MICROPHONE.name


def test_a_part_that_fits_several_is_answered_with_those() -> None:
    with pytest.raises(DeviceError, match=r"may be any of 2 .*Built-in Mic.*Jabra Mik") as caught:
        find_device(LISTED, "input", "mi")
    assert "Monitor" not in caught.value.hint


@given(st.permutations(STATE.devices), st.sampled_from(STATE.devices))
def test_each_listed_device_is_found_by_number_name_and_identifier(
    devices: list[ServerDevice], one: ServerDevice
) -> None:
    listed = (
        HARDWARE,
        PULSE,
        DEFAULT,
        *listed_devices(replace(STATE, devices=tuple(devices)), 3, 8000),
    )
    assert [device.index for device in listed] == list(range(len(listed)))
    (meant,) = [device for device in listed if device.server_name == one.name]
    for wanted in (meant.index, meant.name, meant.server_name):
        assert find_device(listed, one.direction, wanted) == meant
    assert meant.channels(one.direction) == one.channels


def test_devices_of_one_description_are_told_apart_by_their_names() -> None:
    twins = (MICROPHONE, replace(MICROPHONE, name="alsa_input.pci.2"), SPEAKERS)
    names = [device.name for device in listed_devices(state(*twins), 0, 44_100)]
    assert names == [
        "Built-in Microphone (alsa_input.pci)",
        "Built-in Microphone (alsa_input.pci.2)",
        "Built-in Speakers",
    ]


def test_the_default_is_explained_and_what_is_behind_it_is_marked() -> None:
    explained = with_default_explained(STATE, DEFAULT)
    assert (explained.input_behind, explained.output_behind) == (
        MICROPHONE.description,
        SPEAKERS.description,
    )
    assert with_default_explained(STATE, HARDWARE) == HARDWARE
    assert {device.server_name for device in LISTED if device.behind_default} == {
        MICROPHONE.name,
        SPEAKERS.name,
    }


@pytest.mark.parametrize(
    ("devices", "direction", "problem", "fix"),
    [
        ((MICROPHONE, SPEAKERS), "input", None, ""),
        ((MICROPHONE, SPEAKERS), "output", None, ""),
        ((SPEAKERS,), "input", None, ""),
        (
            (MONITOR, SPEAKERS),
            "input",
            "records what the loudspeaker 'Built-in Speakers'",
            "--input",
        ),
        ((MONITOR, HEADSET_MICROPHONE), "input", "no microphone", "--microphone alsa_input.usb"),
        (
            (replace(MICROPHONE, muted=True),),
            "input",
            "is muted",
            "set-source-mute alsa_input.pci 0",
        ),
        ((replace(SPEAKERS, muted=True),), "output", "is muted", "set-sink-mute alsa_output.pci 0"),
        (
            (replace(MICROPHONE, volume=0.02),),
            "input",
            "is 2 %",
            "set-source-volume alsa_input.pci",
        ),
        ((replace(SPEAKERS, name="auto_null"),), "output", "plays nowhere", "--output answer.wav"),
    ],
)
def test_what_keeps_a_device_from_being_of_use_is_named_with_the_next_step(
    devices: tuple[ServerDevice, ...], direction: Direction, problem: str | None, fix: str
) -> None:
    fault = device_fault(state(*devices), DEFAULT, direction)
    assert (fault is None) == (problem is None)
    if fault is not None and problem is not None:
        assert problem in fault.problem
        assert fix in fault.fix


def test_a_device_that_the_server_does_not_have_has_no_fault() -> None:
    assert device_fault(state(replace(MICROPHONE, muted=True)), HARDWARE, "input") is None


@given(st.floats(0, 2))
def test_a_volume_is_a_fault_below_the_limit_alone(volume: float) -> None:
    fault = device_fault(state(replace(MICROPHONE, volume=volume)), DEFAULT, "input")
    assert (fault is not None) == (volume < LOW_VOLUME)
    assert fault is None or not fault.prevents_talking
