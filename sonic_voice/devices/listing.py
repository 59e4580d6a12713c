"""Which device is meant, and what is said when it is none, several, or will not open."""

import difflib
from collections.abc import Sequence

from ..errors import DeviceError
from .port import Backend, Device, DeviceOpening, Direction

DEVICE_NOUNS: dict[Direction, str] = {"input": "microphone", "output": "loudspeaker"}

FILE_HINTS: dict[Direction, str] = {
    "input": "Without one, speak from a file: --input speech.wav.",
    "output": "Without one, write to a file: --output answer.wav.",
}

COMMON_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


def find_device(
    devices: Sequence[Device],
    direction: Direction,
    wanted: int | str | None,
    previous: Device | None = None,
) -> Device:
    """The device that `wanted` means: an index, a part of a name in any case, or the default.

    With `before` given it is that device, by its name, wherever in the list it is now; the
    default, if it is gone. Raises `DeviceError`.
    """
    usable = [device for device in devices if device.channels(direction)]
    if not usable:
        raise DeviceError(
            f"There is no {DEVICE_NOUNS[direction]} here.", hint=FILE_HINTS[direction]
        )
    if previous is not None and wanted is not None:
        for device in usable:
            if (device.name, device.host_api) == (previous.name, previous.host_api):
                return device
        wanted = None
    if wanted is None:
        return next((device for device in usable if device.is_default(direction)), usable[0])
    if isinstance(wanted, int):
        return _by_index(usable, direction, wanted)
    return _by_name(usable, direction, wanted)


def _by_index(usable: list[Device], direction: Direction, wanted: int) -> Device:
    for device in usable:
        if device.index == wanted:
            return device
    raise DeviceError(
        f"No {DEVICE_NOUNS[direction]} has the number {wanted}.",
        hint=f"There are {_list_devices(usable)}.",
    )


def _by_name(usable: list[Device], direction: Direction, wanted: str) -> Device:
    text = wanted.casefold().strip()
    exact = [device for device in usable if device.name.casefold() == text]
    partial = [
        device for device in usable if text in f"{device.name}, {device.host_api}".casefold()
    ]
    matches = exact or partial
    if len(matches) > 1:  # the same thing by several interfaces: the one the system prefers
        preferred = {device.host_api for device in usable if device.is_default(direction)}
        matches = [device for device in matches if device.host_api in preferred] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DeviceError(
            f"{wanted!r} may be any of {len(matches)} {DEVICE_NOUNS[direction]}s.",
            hint=f"Say more of the name, or the number: {_list_devices(matches)}.",
        )
    names = {device.name.casefold(): device.name for device in usable}
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    question = f"Did you mean {names[near[0]]!r}? " if near else ""
    raise DeviceError(
        f"No {DEVICE_NOUNS[direction]} is called {wanted!r}.",
        hint=f"{question}There are {_list_devices(usable)}.",
    )


def candidate_formats(
    device: Device, direction: Direction, rate_hz: int | None, channels: int | None
) -> list[tuple[int, int]]:
    """Rates and numbers of channels to try in turn: as asked for, or as the device prefers.

    Two channels of many are enough: nobody has more ears.
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
    """Why `device` does not open, `error` having said what the library thinks."""
    name = f"The {DEVICE_NOUNS[direction]} {device.name!r}"
    max_channels = device.channels(direction)
    count = min(max_channels, channels or 2)
    rates = [rate for rate in COMMON_RATES_HZ if _supports(backend, device, direction, rate, count)]
    requested = [f"{rate_hz} Hz"] if rate_hz else []
    requested += [f"{channels} channel{'s' * (channels > 1)}"] if channels else []
    if not requested or not rates:
        return DeviceError(
            f"{name} does not open. {error.message}",
            hint=f"Does another program have it, and may this one? {FILE_HINTS[direction]}",
        )
    return DeviceError(
        f"{name} does not open with {' and '.join(requested)}. {error.message}",
        hint=f"It takes {', '.join(map(str, rates))} Hz, and up to {max_channels} channels. "
        "Or leave the choice to the device.",
    )


def _supports(
    backend: Backend, device: Device, direction: Direction, rate_hz: int, channels: int
) -> bool:
    block = rate_hz // 100
    return backend.supports(DeviceOpening(direction, device, rate_hz, channels, block, "low"))


def _list_devices(devices: Sequence[Device]) -> str:
    return "; ".join(map(str, devices))
