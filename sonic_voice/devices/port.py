"""The port of sound libraries, which allows two of them.

A backend opens streams that call back from a thread of the library. That thread must never wait: an
`AudioCallback` gets samples, copies them, puts them into a buffer and returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

type Direction = Literal["input", "output"]
"""The direction of a stream, as seen from the program: "input" is a microphone."""

type Latency = Literal["low", "high"] | float
"""The latency that is requested from a device: its own low or high value, or a number of
seconds."""

type AudioCallback = Callable[[bytes, int, float, bool], bytes]
"""A function that is called for every block of a stream.

Its arguments are the captured samples (`b""` at an output), the number of frames in the block, the
seconds from now until the first of them is at the transducer (negative if it was there before), and
whether the device lost or lacked samples before the block (an xrun). It returns the samples to play
(`b""` at an input). Samples are s16le, with the channels interleaved.
"""


@dataclass(frozen=True, slots=True)
class Device:
    """An entry in the sound library's list of devices."""

    index: int
    """Index in the list, valid until the list is read again."""
    name: str
    """Name by which the system calls the device."""
    host_api: str
    """Interface of the system through which the device is reached: ALSA, Core Audio, Windows
    WASAPI."""
    inputs: int
    """Maximum number of channels that it records; 0 if it does not record."""
    outputs: int
    """Maximum number of channels that it plays; 0 if it does not play."""
    rate_hz: int
    """Preferred sample rate, in Hz."""
    default_input: bool
    default_output: bool
    server_name: str = ""
    """Identifier of a source or sink at the sound server; empty for a device of the sound
    library."""
    is_monitor: bool = False
    """True for a source that records what a loudspeaker plays: it is no microphone."""
    behind_default: bool = False
    """True for the source and the sink that the sound server's default stands for now."""
    input_behind: str = ""
    """Name of the source that is recorded through this device, if the sound server chooses it."""
    output_behind: str = ""
    """Name of the sink that plays through this device, if the sound server chooses it."""

    @property
    def identity(self) -> tuple[str, str]:
        """The properties by which the device is recognized when the list has been read again."""
        return self.host_api, self.server_name or self.name

    def channels(self, direction: Direction) -> int:
        """Return the maximum number of channels in a direction.

        Args:
            direction: The direction.
        """
        return self.inputs if direction == "input" else self.outputs

    def is_default(self, direction: Direction) -> bool:
        """Return whether this is the default device in a direction.

        Args:
            direction: The direction.
        """
        return self.default_input if direction == "input" else self.default_output

    def __str__(self) -> str:
        return f"[{self.index}] {self.name}, {self.host_api}"


@dataclass(frozen=True, slots=True)
class DeviceOpening:
    """A device and the settings with which it is, or is to be, opened."""

    direction: Direction
    device: Device
    rate_hz: int
    """Sample rate of the stream, in Hz."""
    channels: int
    """Number of channels of the stream."""
    block_frames: int
    """Number of frames in a block, which is what one callback processes."""
    latency: Latency
    """Requested latency."""

    @property
    def label(self) -> str:
        """Name of the device for the user, with that of the device behind it if there is one."""
        behind = {"input": self.device.input_behind, "output": self.device.output_behind}
        if name := behind[self.direction]:
            return f"{self.device.name} ({name})"
        return self.device.name


class DeviceStream(Protocol):
    """An open stream, which does not call back before it is started."""

    @property
    def latency_s(self) -> float:
        """Latency of the device, in seconds, as the library reports it."""
        ...

    def start(self) -> None:
        """Begin to call back.

        Raises:
            DeviceError: The device does not start.
        """
        ...

    def close(self) -> None:
        """Stop at once and close the device.

        No callback comes afterwards. This never raises.
        """
        ...


class Backend(Protocol):
    """A sound library. Its owner makes one call at a time."""

    def devices(self) -> tuple[Device, ...]:
        """Return the list of devices as it was at the last `refresh`."""
        ...

    def supports(self, opening: DeviceOpening) -> bool:
        """Return whether a device would open with these settings.

        Args:
            opening: The device and its settings.
        """
        ...

    def open(self, opening: DeviceOpening, callback: AudioCallback) -> DeviceStream:
        """Open a device, without starting it.

        Args:
            opening: The device and its settings.
            callback: The function that is called for every block, in a thread of the library.

        Raises:
            DeviceError: The device does not open. The message is the library's.
        """
        ...

    def refresh(self) -> None:
        """Read the list of devices again. Call this only while no stream is open."""
        ...

    def terminate(self) -> None:
        """Release what could be in the way of other programs.

        This is called when no stream is open and none is wanted.
        """
        ...


def until_transducer_s(now_s: float, then_s: float, latency_s: float) -> float:
    """Return the seconds until a block's first sample is at the transducer.

    Not every system fills in the two times of a stream, and those that do may not do so from the
    first block on: then both are 0, or equal, and the latency is returned instead.

    Args:
        now_s: The stream's time of the callback, in seconds.
        then_s: The stream's time at which the sample is at the transducer, in seconds.
        latency_s: The latency that the stream reports, in seconds; negative for an input.
    """
    distance_s = then_s - now_s
    return distance_s if then_s and distance_s * latency_s > 0 else latency_s


def times(count: int) -> str:
    """Return a count of occurrences as words: `once`, or `3 times`.

    Args:
        count: The number of occurrences.
    """
    return "once" if count == 1 else f"{count} times"
