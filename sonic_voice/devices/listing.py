"""Which device is meant, and what is said when it is none, several, or will not open."""

import difflib
from collections.abc import Sequence

from ..errors import DeviceError
from .port import Backend, Device, Direction, Opening

NOUN: dict[Direction, str] = {"input": "microphone", "output": "loudspeaker"}

FILES: dict[Direction, str] = {
    "input": "Without one, speak from a file: --input speech.wav.",
    "output": "Without one, write to a file: --output answer.wav.",
}

USUAL_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


def found(
    devices: Sequence[Device],
    direction: Direction,
    wanted: int | str | None,
    before: Device | None = None,
) -> Device:
    """The device that `wanted` means: an index, a part of a name in any case, or the default.

    With `before` given it is that device, by its name, wherever in the list it is now; the
    default, if it is gone. Raises `DeviceError`.
    """
    usable = [device for device in devices if device.channels(direction)]
    if not usable:
        raise DeviceError(f"There is no {NOUN[direction]} here.", hint=FILES[direction])
    if before is not None and wanted is not None:
        for device in usable:
            if (device.name, device.host_api) == (before.name, before.host_api):
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
        f"No {NOUN[direction]} has the number {wanted}.", hint=f"There are {_listed(usable)}."
    )


def _by_name(usable: list[Device], direction: Direction, wanted: str) -> Device:
    text = wanted.casefold().strip()
    exact = [device for device in usable if device.name.casefold() == text]
    partly = [device for device in usable if text in f"{device.name}, {device.host_api}".casefold()]
    matches = exact or partly
    if len(matches) > 1:  # the same thing by several interfaces: the one the system prefers
        preferred = {device.host_api for device in usable if device.is_default(direction)}
        matches = [device for device in matches if device.host_api in preferred] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DeviceError(
            f"{wanted!r} may be any of {len(matches)} {NOUN[direction]}s.",
            hint=f"Say more of the name, or the number: {_listed(matches)}.",
        )
    names = {device.name.casefold(): device.name for device in usable}
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    question = f"Did you mean {names[near[0]]!r}? " if near else ""
    raise DeviceError(
        f"No {NOUN[direction]} is called {wanted!r}.",
        hint=f"{question}There are {_listed(usable)}.",
    )


def ways(
    device: Device, direction: Direction, rate_hz: int | None, channels: int | None
) -> list[tuple[int, int]]:
    """Rates and numbers of channels to try in turn: as asked for, or as the device prefers.

    Two channels of many are enough: nobody has more ears.
    """
    most = device.channels(direction)
    rates = [rate_hz] if rate_hz else [device.rate_hz, 48_000, 44_100]
    numbers = [channels] if channels else [min(most, 2), most, 1]
    return list(dict.fromkeys((rate, number) for rate in rates for number in numbers))


def refusal(
    device: Device,
    direction: Direction,
    rate_hz: int | None,
    channels: int | None,
    backend: Backend,
    error: DeviceError,
) -> DeviceError:
    """Why `device` does not open, `error` having said what the library thinks."""
    name = f"The {NOUN[direction]} {device.name!r}"
    most = device.channels(direction)
    number = min(most, channels or 2)
    rates = [rate for rate in USUAL_RATES_HZ if _takes(backend, device, direction, rate, number)]
    asked = [f"{rate_hz} Hz"] if rate_hz else []
    asked += [f"{channels} channel{'s' * (channels > 1)}"] if channels else []
    if not asked or not rates:
        return DeviceError(
            f"{name} does not open. {error.message}",
            hint=f"Does another program have it, and may this one? {FILES[direction]}",
        )
    return DeviceError(
        f"{name} does not open with {' and '.join(asked)}. {error.message}",
        hint=f"It takes {', '.join(map(str, rates))} Hz, and up to {most} channels. "
        "Or leave the choice to the device.",
    )


def _takes(
    backend: Backend, device: Device, direction: Direction, rate_hz: int, channels: int
) -> bool:
    block = rate_hz // 100
    return backend.takes(Opening(direction, device, rate_hz, channels, block, "low"))


def _listed(devices: Sequence[Device]) -> str:
    return "; ".join(map(str, devices))
