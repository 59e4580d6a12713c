"""How a device of the sound server is opened through PortAudio's device `pulse`."""

import os

import pytest

from sonic_voice.devices.port import AudioCallback, Device, DeviceOpening, DeviceStream, Direction
from sonic_voice.devices.server_backend import SoundServerBackend
from sonic_voice.devices.server_state import ServerDevice, ServerState
from sonic_voice.errors import DeviceError

HARDWARE = Device(0, "USB Audio (hw:1,0)", "ALSA", 1, 2, 48_000, True, True)
PULSE = Device(1, "pulse", "ALSA", 32, 32, 44_100, False, False)
STATE = ServerState(
    "pulseaudio",
    (ServerDevice("input", "mic.usb", "USB"), ServerDevice("output", "speaker.usb", "USB")),
    "mic.usb",
    "speaker.usb",
)


class Stream:
    """A stream that does nothing."""

    latency_s = 0.0

    def start(self) -> None: ...

    def close(self) -> None: ...


class RecordingBackend:
    """A backend that notes what it is asked to open, and in which environment."""

    def __init__(self, *listed: Device, rejects: bool = False) -> None:
        self.listed = listed
        self.opened: list[tuple[str, str | None, str | None]] = []
        self._rejects = rejects

    def devices(self) -> tuple[Device, ...]:
        return self.listed

    def supports(self, opening: DeviceOpening) -> bool:
        return True

    def open(self, opening: DeviceOpening, callback: AudioCallback) -> DeviceStream:
        selected = os.environ.get("PULSE_SOURCE"), os.environ.get("PULSE_SINK")
        self.opened.append((opening.device.name, *selected))
        if self._rejects:
            raise DeviceError("busy")
        return Stream()

    def refresh(self) -> None: ...

    def terminate(self) -> None: ...


def opening(device: Device, direction: Direction) -> DeviceOpening:
    return DeviceOpening(direction, device, 44_100, 1, 441, "low")


def silence(captured: bytes, frames: int, offset_s: float, xrun: bool) -> bytes:
    return b""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULSE_SOURCE", raising=False)
    monkeypatch.setenv("PULSE_SINK", "of.the.user")


@pytest.mark.parametrize("rejects", [False, True])
def test_the_device_is_selected_while_it_is_opened_and_not_longer(rejects: bool) -> None:
    library = RecordingBackend(HARDWARE, PULSE, rejects=rejects)
    backend = SoundServerBackend(library, lambda: STATE)
    *_, microphone, speaker = backend.devices()
    for stream in (opening(microphone, "input"), opening(speaker, "output")):
        if rejects:
            with pytest.raises(DeviceError, match="busy"):
                backend.open(stream, silence)
        else:
            backend.open(stream, silence)
    if not rejects:
        backend.open(opening(HARDWARE, "output"), silence)
    assert library.opened[:2] == [
        ("pulse", "mic.usb", "of.the.user"),
        ("pulse", None, "speaker.usb"),
    ]
    assert library.opened[2:] == ([] if rejects else [(HARDWARE.name, None, "of.the.user")])
    assert (os.environ.get("PULSE_SOURCE"), os.environ["PULSE_SINK"]) == (None, "of.the.user")


@pytest.mark.parametrize(
    ("listed", "state"), [((HARDWARE, PULSE), None), ((HARDWARE,), STATE), ((), STATE)]
)
def test_without_a_server_or_a_way_to_it_the_list_is_the_librarys(
    listed: tuple[Device, ...], state: ServerState | None
) -> None:
    assert SoundServerBackend(RecordingBackend(*listed), lambda: state).devices() == listed


def test_a_device_whose_server_is_gone_does_not_open() -> None:
    library = RecordingBackend(HARDWARE, PULSE)
    backend = SoundServerBackend(library, lambda: STATE)
    microphone = backend.devices()[2]
    library.listed = (HARDWARE,)
    assert not backend.supports(opening(microphone, "input"))
    with pytest.raises(DeviceError, match="its sound server"):
        backend.open(opening(microphone, "input"), silence)
