"""A backend with the devices of the sound server in its list.

On Linux PortAudio lists `default` and `pulse`, and both lead to whatever the server chooses. A
certain source or sink is opened through `pulse`: the server's client library reads the environment
variables `PULSE_SOURCE` and `PULSE_SINK` when a stream connects, so they are set while it is
opened. Each stream has a connection of its own. Therefore microphone and loudspeaker may be on
different devices, and this works with every sound library that uses PortAudio.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from ..errors import DeviceError
from .port import AudioCallback, Backend, Device, DeviceOpening, DeviceStream, Direction
from .server_state import ServerState, listed_devices, with_default_explained

SERVER_PCM = "pulse"
"""Name of PortAudio's device that connects to the sound server. It belongs to ALSA's plug-ins
(Debian's `libasound2-plugins`)."""

VARIABLES: dict[Direction, str] = {"input": "PULSE_SOURCE", "output": "PULSE_SINK"}
"""Environment variable that names the device of a stream, for each direction."""


_ENVIRONMENT_LOCK = Lock()
"""The lock under which devices are opened: another one, of another sound library, must not be
opened while the variables name a device."""


class SoundServerBackend:
    """A backend that adds the devices of the sound server to another one; see `port.Backend`."""

    def __init__(self, backend: Backend, read: Callable[[], ServerState | None]) -> None:
        """Wrap a backend.

        Args:
            backend: The sound library.
            read: Returns the devices of the sound server, or None if there is no server.
        """
        self._backend = backend
        self._read = read

    def devices(self) -> tuple[Device, ...]:
        """See `Backend`. The server's devices are always current."""
        listed = self._backend.devices()
        pulse = _find_pulse(listed)
        state = self._read() if pulse is not None else None
        if pulse is None or state is None:
            return listed
        first_index = 1 + max(device.index for device in listed)
        explained = (with_default_explained(state, device) for device in listed)
        return *explained, *listed_devices(state, first_index, pulse.rate_hz)

    def supports(self, opening: DeviceOpening) -> bool:
        """See `Backend`."""
        try:
            with self._routed(opening) as routed:
                return self._backend.supports(routed)
        except DeviceError:
            return False

    def open(self, opening: DeviceOpening, callback: AudioCallback) -> DeviceStream:
        """See `Backend`."""
        with self._routed(opening) as routed:
            return self._backend.open(routed, callback)

    def refresh(self) -> None:
        """See `Backend`."""
        self._backend.refresh()

    def terminate(self) -> None:
        """See `Backend`."""
        self._backend.terminate()

    @contextmanager
    def _routed(self, opening: DeviceOpening) -> Generator[DeviceOpening]:
        """Yield what is to be opened in a block in which the server's device is selected."""
        with _ENVIRONMENT_LOCK:
            if not opening.device.server_name:
                yield opening
                return
            pulse = _find_pulse(self._backend.devices())
            if pulse is None:
                raise DeviceError(f"{opening.device.name!r} is gone, and its sound server with it.")
            with _environment(VARIABLES[opening.direction], opening.device.server_name):
                yield replace(opening, device=pulse)


def _find_pulse(devices: tuple[Device, ...]) -> Device | None:
    """Return the device that connects to the sound server, or None if there is none."""
    return next((device for device in devices if device.name == SERVER_PCM), None)


@contextmanager
def _environment(name: str, value: str) -> Generator[None]:
    """Set an environment variable for the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
