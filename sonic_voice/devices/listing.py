"""Selection of a device, and errors for devices that are missing, ambiguous or do not open."""

import difflib
import unicodedata
from collections.abc import Sequence

from ..errors import DeviceError
from .port import Backend, Device, DeviceOpening, Direction
from .server_state import RECORDINGS_COMMAND

DEVICE_NOUNS: dict[Direction, str] = {"input": "microphone", "output": "loudspeaker"}
"""Noun for a device of each direction, for messages."""

WITHOUT_DEVICES_HINT = (
    f"Without one, type (talk --text) or talk with recordings: {RECORDINGS_COMMAND}"
)
"""Hint on how to do without a microphone or a loudspeaker."""

COMMON_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
"""Sample rates, in Hz, that are tried in order to tell the user what a device accepts."""


def find_device(
    devices: Sequence[Device],
    direction: Direction,
    wanted: int | str | None,
    previous: Device | None = None,
) -> Device:
    """Return the device that is meant.

    Args:
        devices: The list of devices.
        direction: The direction in which the device is to be used.
        wanted: An index, a part of a name in upper or lower case, or None for the default device.
        previous: A device that was lost. If it is given together with `wanted`, the device of the
            same name is returned, wherever it is in the list now, or the default device if it is
            gone.

    Raises:
        DeviceError: There is no such device, or several match.
    """
    usable = [device for device in devices if device.channels(direction)]
    if not usable:
        raise DeviceError(f"There is no {DEVICE_NOUNS[direction]} here.", hint=WITHOUT_DEVICES_HINT)
    if previous is not None and wanted is not None:
        for device in usable:
            if device.identity == previous.identity:
                return device
        wanted = None
    if wanted is None:
        return next((device for device in usable if device.is_default(direction)), usable[0])
    if isinstance(wanted, int):
        return _by_index(usable, direction, wanted)
    return _by_name(usable, direction, wanted)


def _by_index(usable: list[Device], direction: Direction, wanted: int) -> Device:
    """Return the device with that index."""
    for device in usable:
        if device.index == wanted:
            return device
    raise DeviceError(
        f"No {DEVICE_NOUNS[direction]} has the number {wanted}.",
        hint=f"There are {_list_devices(usable)}.",
    )


def _by_name(usable: list[Device], direction: Direction, wanted: str) -> Device:
    """Return the device whose name contains `wanted`."""
    text = _folded(wanted)
    exact = [one for one in usable if text in (_folded(one.name), _folded(one.server_name))]
    partial = [
        one for one in usable if text in _folded(f"{one.name}, {one.host_api}, {one.server_name}")
    ]
    matches = exact or partial
    # The sound server holds the devices that ALSA lists, too. The name of a monitor contains that
    # of a loudspeaker, and is meant only where it is written out or nothing else matches.
    matches = [one for one in matches if one.server_name] or matches
    matches = [one for one in matches if not one.is_monitor] or matches
    if len(matches) > 1:  # one device on several interfaces: take the interface of the default
        preferred = {device.host_api for device in usable if device.is_default(direction)}
        matches = [device for device in matches if device.host_api in preferred] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DeviceError(
            f"{wanted!r} may be any of {len(matches)} {DEVICE_NOUNS[direction]}s.",
            hint=f"Give more of the name, or the number: {_list_devices(matches)}.",
        )
    names = {_folded(device.name): device.name for device in usable}
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    question = f"Did you mean {names[near[0]]!r}? " if near else ""
    raise DeviceError(
        f"No {DEVICE_NOUNS[direction]} is called {wanted!r}.",
        hint=f"{question}There are {_list_devices(usable)}.",
    )


def _folded(name: str) -> str:
    """Return a name in the form in which names are compared.

    Upper and lower case count as the same, and so do the two ways to write a letter with an accent.
    """
    return unicodedata.normalize("NFC", name).casefold().strip()


def candidate_formats(
    device: Device, direction: Direction, rate_hz: int | None, channels: int | None
) -> list[tuple[int, int]]:
    """Return the rates and numbers of channels with which to try to open a device, in order.

    A parameter that is None is chosen: the values that the device prefers come first. Of many
    channels two are enough for speech.

    Args:
        device: The device.
        direction: The direction in which it is opened.
        rate_hz: The only rate to try, in Hz.
        channels: The only number of channels to try.
    """
    max_channels = device.channels(direction)
    rates = [rate_hz] if rate_hz else [device.rate_hz, 48_000, 44_100]
    channel_counts = [channels] if channels else [min(max_channels, 2), max_channels, 1]
    return list(dict.fromkeys((rate, count) for rate in rates for count in channel_counts))


def opening_error(
    device: Device,
    direction: Direction,
    rate_hz: int | None,
    channels: int | None,
    backend: Backend,
    error: DeviceError,
) -> DeviceError:
    """Return the error for a device that does not open, with the formats that it accepts.

    Args:
        device: The device.
        direction: The direction in which it was opened.
        rate_hz: The requested rate in Hz, or None.
        channels: The requested number of channels, or None.
        backend: The library, which is asked for the rates that the device accepts.
        error: The last error of the library.
    """
    name = f"The {DEVICE_NOUNS[direction]} {device.name!r}"
    max_channels = device.channels(direction)
    count = min(max_channels, channels or 2)
    rates = [rate for rate in COMMON_RATES_HZ if _supports(backend, device, direction, rate, count)]
    requested = [f"{rate_hz} Hz"] if rate_hz else []
    requested += [f"{channels} channel{'s' * (channels > 1)}"] if channels else []
    if not requested or not rates:
        return DeviceError(
            f"{name} does not open. {error.message}",
            hint="Is another program using it, or is this one not allowed to? "
            f"{WITHOUT_DEVICES_HINT}",
        )
    return DeviceError(
        f"{name} does not open with {' and '.join(requested)}. {error.message}",
        hint=f"It takes {', '.join(map(str, rates))} Hz, and up to {max_channels} channels. "
        "Or leave the choice to the device.",
    )


def _supports(
    backend: Backend, device: Device, direction: Direction, rate_hz: int, channels: int
) -> bool:
    """Return whether the device accepts a format."""
    block = rate_hz // 100
    return backend.supports(DeviceOpening(direction, device, rate_hz, channels, block, "low"))


def _list_devices(devices: Sequence[Device]) -> str:
    """Return the devices as text, for a hint."""
    return "; ".join(map(str, devices))
