"""The devices as a sound server reports them, and the faults that make one of them useless.

A sound server (PulseAudio, or PipeWire through the same protocol) has sources, which record, and
sinks, which play. Each sink has a *monitor*: a source that records what the sink plays. On a
computer without a microphone the server's default source is such a monitor. It opens like a
microphone, but a conversation then only hears itself.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .port import Device, Direction

LOW_VOLUME = 0.1
"""Volume below which a device is reported as too quiet, as a fraction of full volume. The scale is
that of volume controls, where 0.1 attenuates by 60 dB: speech ends up in the noise."""

RECORDINGS_COMMAND = "sonic-voice talk --input speech.wav --output answer.wav"
"""Command that converses without microphone and loudspeaker."""


@dataclass(frozen=True, slots=True)
class ServerDevice:
    """A source or a sink of a sound server."""

    direction: Direction
    """"input" for a source, "output" for a sink."""
    name: str
    """Identifier at the server, such as `alsa_input.usb-Jabra_Evolve_20-00.mono-fallback`."""
    description: str
    """Name for people, such as `Jabra Evolve 20 Mono`."""
    channels: int = 2
    """Number of channels."""
    volume: float = 1.0
    """Volume of the loudest channel on the scale of volume controls; 1 leaves the sound as it
    is."""
    muted: bool = False
    """True if the device is muted at the server."""
    monitor_of: str = ""
    """Identifier of the sink that a monitor records; empty for a real device."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """The devices of a sound server at one moment."""

    server: str
    """Name of the server's program, such as `pulseaudio` or `PulseAudio (on PipeWire 0.3.65)`."""
    devices: tuple[ServerDevice, ...]
    """All sources and sinks."""
    default_input: str
    """Identifier of the default source; empty if there is none."""
    default_output: str
    """Identifier of the default sink; empty if there is none."""

    def find(self, direction: Direction, name: str) -> ServerDevice | None:
        """Return a device by its identifier, or None if the server does not have it.

        Args:
            direction: The direction.
            name: The identifier.
        """
        for device in self.devices:
            if (device.direction, device.name) == (direction, name):
                return device
        return None

    def default(self, direction: Direction) -> ServerDevice | None:
        """Return the device that `default` stands for, or None if there is none.

        Args:
            direction: The direction.
        """
        name = self.default_input if direction == "input" else self.default_output
        return self.find(direction, name)

    def behind(self, device: Device, direction: Direction) -> ServerDevice | None:
        """Return the server's device that a stream of `device` uses.

        Args:
            device: An entry of the list of devices.
            direction: The direction of the stream.

        Returns:
            The server's device; None if `device` is not reached through the server.
        """
        if device.server_name:
            return self.find(direction, device.server_name)
        return self.default(direction) if device.name in SERVER_PCMS else None


SERVER_PCMS = ("default", "pulse")
"""Names of PortAudio's devices that lead to the sound server, for which the server chooses the
device."""


DUMMY_SINK = "auto_null"
"""Identifier of the sink that a server makes when there is no real one."""


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """A reason for which a device that opens is of no use."""

    problem: str
    """Sentence that describes it."""
    fix: str
    """Next step, as a sentence that ends with a command."""
    prevents_talking: bool = True
    """False if something may be heard all the same."""


def device_fault(state: ServerState, device: Device, direction: Direction) -> DeviceFault | None:
    """Return what is wrong with a device, as far as the sound server knows.

    Args:
        state: The devices of the server.
        device: The device that is used.
        direction: The direction in which it is used.

    Returns:
        The most serious fault: a monitor in place of a microphone, a sink that plays nowhere, a
        device that is muted, or one whose volume is below `LOW_VOLUME`. None if there is none, or
        the server does not know the device.
    """
    used = state.behind(device, direction)
    if used is None:
        return None
    if used.monitor_of:
        return _monitor_fault(state, used)
    if used.name == DUMMY_SINK:
        return DeviceFault(
            f"There is no loudspeaker: {used.description!r} plays nowhere.",
            f"Connect a loudspeaker, or talk with recordings: {RECORDINGS_COMMAND}",
        )
    kind = "source" if direction == "input" else "sink"
    noun = "microphone" if direction == "input" else "loudspeaker"
    if used.muted:
        return DeviceFault(
            f"The {noun} {used.description!r} is muted.",
            f"Unmute it: pactl set-{kind}-mute {used.name} 0",
        )
    if used.volume < LOW_VOLUME:
        return DeviceFault(
            f"The volume of the {noun} {used.description!r} is {100 * used.volume:.0f} %.",
            f"Turn it up: pactl set-{kind}-volume {used.name} 100%",
            prevents_talking=False,
        )
    return None


def _monitor_fault(state: ServerState, monitor: ServerDevice) -> DeviceFault:
    """Return the fault of a monitor, with a real microphone as the way out if there is one."""
    sink = state.find("output", monitor.monitor_of)
    problem = (
        f"There is no microphone: {monitor.description!r} records what the loudspeaker "
        f"{(sink.description if sink else monitor.monitor_of)!r} plays."
    )
    if microphones := real_microphones(state.devices):
        first = microphones[0]
        return DeviceFault(
            problem,
            f"Use {first.description!r} instead: sonic-voice talk --microphone {first.name}",
        )
    return DeviceFault(
        problem, f"Connect a microphone, or talk with recordings: {RECORDINGS_COMMAND}"
    )


def with_default_explained(state: ServerState, device: Device) -> Device:
    """Return an entry of PortAudio's list, with what the server's default stands for behind it.

    Args:
        state: The devices of the server.
        device: The entry; another one than `SERVER_PCMS` is returned as it is.
    """
    if device.name not in SERVER_PCMS:
        return device
    source, sink = state.default("input"), state.default("output")
    return replace(
        device,
        input_behind=source.description if source else "",
        output_behind=sink.description if sink else "",
    )


def real_microphones(devices: Sequence[ServerDevice]) -> list[ServerDevice]:
    """Return the sources that are not monitors.

    Args:
        devices: Devices of a server.
    """
    return [one for one in devices if one.direction == "input" and not one.monitor_of]


def listed_devices(state: ServerState, first_index: int, rate_hz: int) -> tuple[Device, ...]:
    """Return the devices of a sound server as entries of the list of devices.

    They are numbered after those of PortAudio: microphones, loudspeakers, and at the end monitors.
    Devices of the same description have their identifiers in their names.

    Args:
        state: The devices of the server.
        first_index: Number of the first entry.
        rate_hz: Sample rate at which streams are opened, in Hz; the server converts it.
    """
    ordered = sorted(state.devices, key=lambda one: (bool(one.monitor_of), one.direction))
    descriptions = Counter(one.description for one in ordered)
    defaults = (state.default("input"), state.default("output"))
    return tuple(
        Device(
            index=first_index + position,
            name=one.description
            if descriptions[one.description] == 1
            else f"{one.description} ({one.name})",
            host_api="sound server",
            inputs=one.channels if one.direction == "input" else 0,
            outputs=one.channels if one.direction == "output" else 0,
            rate_hz=rate_hz,
            default_input=False,
            default_output=False,
            server_name=one.name,
            is_monitor=bool(one.monitor_of),
            behind_default=one in defaults,
        )
        for position, one in enumerate(ordered)
    )
