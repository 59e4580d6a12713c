"""Microphones and loudspeakers: the two ends of a conversation on a computer.

    async with Microphone() as microphone, Speaker() as speaker:
        await converse(session, microphone, speaker)

    the sound library's thread                          the event loop
    Microphone   copy, call_soon_threadsafe ──► queue ──► to mono, resample ──► read()
    Speaker      pull, spread on the channels ◄── PlayoutBuffer ◄── resample ◄── play()

Two sound libraries serve equally: `sounddevice`, which needs no compiler, and PyAudio (`port` says
what is asked of them). A device that vanishes is opened again, or the default one in its place,
and the conversation goes on (`watch`); the list of devices and what re-reading it costs is
`library`'s business.

Both ends date what they heard and played by the devices' own clocks, told in seconds of
`time.monotonic()`: an echo canceller pairs `Microphone.chunk_began_s` with `Speaker.sounded()`.
"""

from .library import BackendName, sound_library
from .microphone import Microphone, MicrophoneStats
from .port import Device, DeviceOpening, Latency
from .speaker import PlayedBlock, Speaker, SpeakerStats

__all__ = [
    "BackendName",
    "Device",
    "DeviceOpening",
    "Latency",
    "Microphone",
    "MicrophoneStats",
    "PlayedBlock",
    "Speaker",
    "SpeakerStats",
    "devices",
]


def devices(backend: BackendName = "sounddevice") -> tuple[Device, ...]:
    """All devices the sound library knows, the defaults marked; as they are now, unless some are
    in use. Raises `DeviceError` if the library is missing."""
    return sound_library(backend).devices()
