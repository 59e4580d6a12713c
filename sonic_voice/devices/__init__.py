"""Microphones and loudspeakers: the two ends of a conversation on a computer.

    async with Microphone() as microphone, Speaker() as speaker:
        await converse(session, microphone, speaker)

    the sound library's thread                          the event loop
    Microphone   copy, call_soon_threadsafe ──► queue ──► to mono, resample ──► read()
    Speaker      pull, spread on the channels ◄── PlayoutBuffer ◄── resample ◄── play()

Two sound libraries are supported equally: `sounddevice`, which needs no compiler, and PyAudio. The
module `port` defines what a library must do. The module `supervisor` opens a device that vanishes
again, or the default device in its place, while the conversation goes on. The module `library`
deals with the list of devices and with the cost of reading it again. On Linux `server_backend` adds
the devices of the sound server to that list, and `server_state` says what is wrong with them.

Both ends date what they captured and played by the devices' own clocks, in seconds of
`time.monotonic()`. An echo canceller pairs `Microphone.chunk_began_s` with
`Speaker.drain_played()`.
"""

from .library import BackendName, sound_library
from .microphone import Microphone, MicrophoneStats
from .port import Device, DeviceOpening, Latency
from .server_state import DeviceFault, ServerState, device_fault
from .sound_server import read_sound_server
from .speaker import PlayedBlock, Speaker, SpeakerStats

__all__ = [
    "BackendName",
    "Device",
    "DeviceFault",
    "DeviceOpening",
    "Latency",
    "Microphone",
    "MicrophoneStats",
    "PlayedBlock",
    "ServerState",
    "Speaker",
    "SpeakerStats",
    "device_fault",
    "devices",
    "read_sound_server",
]


def devices(backend: BackendName = "sounddevice") -> tuple[Device, ...]:
    """Return all devices that the sound library knows, with the defaults marked.

    The list is current, unless some of the devices are in use.

    Args:
        backend: The sound library.

    Raises:
        DeviceError: The library is not installed.
        ConfigError: There is no such backend.
    """
    return sound_library(backend).devices()
