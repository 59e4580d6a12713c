"""What is asked of a sound library, so that there can be two of them.

A backend opens streams that call back from a thread of the library's own, which must never wait:
an `Exchange` gets samples, copies, puts, and returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

type Direction = Literal["input", "output"]

type Latency = Literal["low", "high"] | float
"""What the device is asked to hold: its own idea of little or much, or seconds."""

type AudioCallback = Callable[[bytes, int, float, bool], bytes]
"""Called for every block with what was heard (`b""` at an output), how many frames the block has,
how many seconds from now its first sample is at the transducer (below 0: it was), and whether the
device lost or lacked samples before it. Returns what is to sound (`b""` at an input). Samples are
s16le, channels interleaved."""


@dataclass(frozen=True, slots=True)
class Device:
    """One entry of the sound library's list."""

    index: int
    """Valid until the list is read anew."""
    name: str
    host_api: str
    """The system's interface it is reached by: ALSA, Core Audio, Windows WASAPI."""
    inputs: int
    """Most channels it records; 0 for none."""
    outputs: int
    """Most channels it plays; 0 for none."""
    rate_hz: int
    """The rate it prefers."""
    default_input: bool
    default_output: bool

    def channels(self, direction: Direction) -> int:
        return self.inputs if direction == "input" else self.outputs

    def is_default(self, direction: Direction) -> bool:
        return self.default_input if direction == "input" else self.default_output

    def __str__(self) -> str:
        return f"[{self.index}] {self.name}, {self.host_api}"


@dataclass(frozen=True, slots=True)
class DeviceOpening:
    """A device and how it is, or is to be, opened."""

    direction: Direction
    device: Device
    rate_hz: int
    channels: int
    block: int
    """Frames of one callback."""
    latency: Latency


class DeviceStream(Protocol):
    """An open stream, not calling back yet."""

    @property
    def latency_s(self) -> float:
        """What the library says the device holds, in seconds."""
        ...

    def start(self) -> None:
        """Begin to call back. Raises `DeviceError`."""
        ...

    def close(self) -> None:
        """Stop at once and give the device back; no callback comes after. Never raises."""
        ...


class Backend(Protocol):
    """A sound library. Its owner makes one call at a time."""

    def devices(self) -> tuple[Device, ...]:
        """The list as it was at the last `renew`."""
        ...

    def supports(self, opening: DeviceOpening) -> bool:
        """Whether the device would open so."""
        ...

    def open(self, opening: DeviceOpening, callback: AudioCallback) -> DeviceStream:
        """Raises `DeviceError` with the library's own words."""
        ...

    def refresh(self) -> None:
        """Read the list anew. Only while no stream is open."""
        ...

    def terminate(self) -> None:
        """No stream is open, nothing is wanted: let go of what would be in others' way."""
        ...


def until_transducer_s(now_s: float, then_s: float, latency_s: float) -> float:
    """Seconds until a block's sample is at the transducer, from the stream's own two times.

    Not every system fills them in, and then not from the first block on: both are 0, or equal.
    What the stream says of its `latency_s` (below 0 for an input) stands in for them.
    """
    distance_s = then_s - now_s
    return distance_s if then_s and distance_s * latency_s > 0 else latency_s
